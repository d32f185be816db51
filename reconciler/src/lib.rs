//! Keeps a cluster in step with Git, speaking Flux's API.
//!
//! Data goes one way, and each stage hands the next a value of a new type:
//!
//! ```text
//! GitRepository --source--> Checkout{revision, tree}
//!   --render--> Rendered{objects, origins, read set}   pure, given a file tree and variables
//!   --plan----> Plan{stages, prunes, guard}            pure, from wanted, previews, live, inventory
//!   --record--> Recorded                               the intent is in the inventory
//!   --apply---> ChangeSet{entries}                     the only writer of objects
//!   --assess--> Verdict{healthy | waiting | failed}    pure, fed by watches
//!   --report--> status, Events, metrics                all from the same ChangeSet and Verdict
//! ```

pub mod api;
pub mod apply;
pub mod assess;
mod causes;
pub mod cluster;
pub mod controller;
pub mod plan;
pub mod render;
pub mod report;
pub mod source;
