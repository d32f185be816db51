//! Decides what would be done, from values alone: what is wanted, what the server previewed, what is live
//! and what the inventory says. No I/O, no clock.
//!
//! ```text
//! wanted objects + inventory --stages--> Stage{objects}
//! dry-run answer + live      --drift---> Action{create | configure | unchanged | skip | recreate}
//! old inventory - wanted     --guard---> prunes, or a refusal that says how to confirm
//! ```

mod drift;
mod entries;
mod guard;
mod holder;
mod identity;
mod inventory;
mod missing;
mod normalize;
mod ownership;
mod replace;
mod stages;
mod takeover;

pub use drift::{Drift, drift};
pub use entries::owns_otherwise;
pub use guard::{Guard, GuardRefusal};
pub use holder::holder_of;
pub use identity::{Gvk, InvalidObjectId, ObjectId};
pub use inventory::Inventory;
pub use missing::Missing;
pub use normalize::normalize;
pub(crate) use ownership::has_mark;
pub use ownership::{Owner, Ownership, SkipReason, owner_of, skip_reason};
pub(crate) use replace::may_recreate;
pub use replace::{ImmutableFields, immutable_fields};
pub use stages::{Stage, stage_of, stages};
pub use takeover::takeover_patch;

use serde_json::Value;

/// An object as it should be in the cluster, identified and labelled.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Which object.
    pub id: ObjectId,
    /// API version it is written in, without the group.
    pub version: String,
    /// The whole object.
    pub value: Value,
    /// Where it came from, `file:line`, when that is known.
    pub origin: Option<String>,
}

impl Wanted {
    /// `Kind/namespace/name`, as Flux names objects in messages.
    #[must_use]
    pub fn subject(&self) -> String {
        self.id.to_string()
    }
}

/// What a run does to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// It did not exist.
    Created,
    /// Fields were changed.
    Configured,
    /// It was deleted and created anew, because immutable fields changed.
    Recreated,
    /// Nothing differed.
    Unchanged,
    /// An annotation keeps it out.
    Skipped,
    /// It left the source.
    Deleted,
}

impl Action {
    /// The word that Flux uses in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Recreated => "recreated",
            Self::Unchanged => "unchanged",
            Self::Skipped => "skipped",
            Self::Deleted => "deleted",
        }
    }
}
