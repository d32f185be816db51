//! Removes one object that a Kustomization no longer wants, unless another one does. Does I/O, through `apply` alone.

use crate::apply::{self, Pruned, Recorded};
use crate::cluster::{Api, ApiError};
use crate::plan::{Gvk, ObjectId};
use crate::report::Failure;

use super::claims::claimed_by_another;
use super::context::Context;
use super::job::Job;
use super::run::revoked;

/// Removes an object of the inventory, which is there in this API version. `applied_uids` are those of objects that
/// this run applied: one of them under another name is not removed.
///
/// # Errors
/// [`Failure::Prune`] when this object has to stay for now and others may go; any other failure ends the run.
pub(crate) async fn remove(
    cx: &Context,
    job: &Job,
    api: &Api,
    (id, version): (&ObjectId, &str),
    applied_uids: &[String],
) -> Result<Pruned, Failure> {
    if let Some(other) = claimed_by_another(cx, job, id).await? {
        tracing::info!(kustomization = %job.owner, object = %id, to = %other, "handed over");
        return Ok(Pruned::Kept);
    }
    let gvk = Gvk {
        group: id.group.clone(),
        version: version.to_owned(),
        kind: id.kind.clone(),
    };
    let kind = match cx.discovery.resolve_any_version(&cx.api, &gvk).await {
        Ok(kind) => kind,
        // Its definition is gone, and all of its objects with it.
        Err(ApiError::UnknownKind { .. }) => return Ok(Pruned::Deleted),
        Err(error) => return Err(Failure::Prune(format!("{id}: {error}"))),
    };
    let recorded = Recorded::in_inventory();
    let pruned = apply::prune(&recorded, &job.permit, api, &kind, id, &job.owner, applied_uids).await;
    pruned.map_err(|error| match error {
        ApiError::Revoked(why) => revoked(why),
        error => Failure::Prune(format!("{id} could not be deleted: {error}")),
    })
}
