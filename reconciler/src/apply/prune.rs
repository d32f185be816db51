//! Deletes one object that left the source. Does I/O; the only place that deletes for good.

use serde_json::Value;

use crate::cluster::{Api, ApiError, Kind, Preconditions};
use crate::plan::{self, ObjectId, Owner, Ownership};

use super::{Permit, Recorded};

/// What became of an object that left the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruned {
    /// It is deleted, or on its way out.
    Deleted,
    /// There is none.
    Absent,
    /// It is not ours, or an annotation keeps it: it is left alone and forgotten.
    Kept,
}

/// Deletes an object of the inventory if both owner labels are ours, nothing keeps it, and it is still the
/// object that was looked at (rule 15).
///
/// # Errors
/// [`ApiError`]; the object's entry must then stay in the inventory.
pub async fn prune(
    _recorded: &Recorded,
    permit: &Permit,
    api: &Api,
    kind: &Kind,
    id: &ObjectId,
    us: &Owner,
    applied_uids: &[String],
) -> Result<Pruned, ApiError> {
    for _ in 0..3 {
        permit.check()?;
        let Some(live) = api.get_metadata(kind, id).await? else {
            return Ok(Pruned::Absent);
        };
        let text = |key: &str| live["metadata"][key].as_str().map(ToOwned::to_owned);
        if text("deletionTimestamp").is_some() {
            return Ok(Pruned::Deleted);
        }
        let uid = text("uid");
        let also_wanted = uid.as_ref().is_some_and(|uid| applied_uids.contains(uid));
        if also_wanted || plan::owner_of(&live, us) != Ownership::Ours || is_kept(&live) {
            return Ok(Pruned::Kept);
        }
        permit.check()?;
        let preconditions = Preconditions {
            uid,
            resource_version: text("resourceVersion"),
        };
        match api.delete(kind, id, &preconditions).await {
            Ok(true) => return Ok(Pruned::Deleted),
            Ok(false) => return Ok(Pruned::Absent),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
    }
    Err(ApiError::Overtaken {
        what: id.to_string(),
        deed: "it was about to be deleted",
    })
}

/// Whether an annotation or label keeps an object from being pruned.
fn is_kept(live: &Value) -> bool {
    [
        ("prune", "disabled"),
        ("reconcile", "disabled"),
        ("ssa", "Ignore"),
    ]
    .iter()
    .any(|(key, value)| plan::has_mark(live, key, value))
}
