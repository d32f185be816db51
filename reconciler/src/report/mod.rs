//! Status, Events and metrics: all made here, from what a run came to. Pure; the controller sends them.

mod events;
mod failure;
pub mod redact;
mod status;

pub use events::{Event, Severity, change_list};
pub use failure::{Failure, Retry};
pub(crate) use status::conditions_of;
pub use status::{Outcome, Progress, StatusPatch, next_status, status_patch};
