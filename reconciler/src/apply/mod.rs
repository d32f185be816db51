//! Writes what was planned and recorded: the only module that writes objects. Does I/O.
//!
//! ```text
//! wanted --preview--> Previewed{action, verdict of the server}   writes nothing
//! plan   --record---> Recorded                                   the intent is in the inventory
//! Recorded + Permit --write--> Entry{object, action, answer}     the only writer
//! ```

mod preview;
mod prune;
mod write;

pub use crate::cluster::{Permit, Revoked};
pub use preview::{Absent, Known, Preview, Previewed, Rejection, preview};
pub use prune::{Pruned, prune};
pub use write::{Recorded, Written, make_room, write};
