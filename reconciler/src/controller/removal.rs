//! Removes one object that a Kustomization no longer wants, unless another one does. Does I/O, through `apply` alone.

use crate::apply::{self, Pruned, Recorded};
use crate::cluster::{Api, ApiError, Kind};
use crate::plan::{self, Gvk, ObjectId, Ownership};
use crate::report::Failure;

use super::claims::OthersClaims;
use super::context::Context;
use super::job::Job;
use super::run::revoked;

/// What became of an object that is no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// It was deleted, or on its way out.
    Deleted,
    /// There was none.
    Absent,
    /// It is not ours any more, or is to be kept: it can be forgotten.
    Forgotten,
    /// Another Kustomization wants it and has not applied it yet: until then it is ours to remember.
    Promised,
}

/// Removes an object of the inventory, which is there in this API version. `applied_uids` are those of objects that
/// this run applied: one of them under another name is not removed.
///
/// # Errors
/// [`Failure::Prune`] when this object has to stay for now and others may go; any other failure ends the run.
pub(crate) async fn remove(
    cx: &Context,
    job: &Job,
    api: &Api,
    others: &OthersClaims,
    (id, version): (&ObjectId, &str),
    applied_uids: &[String],
) -> Result<Removed, Failure> {
    let claimant = others.claimant(job, id).map_err(Failure::Prune)?;
    let mut gvk = id.gvk(version);
    // Once more when what was known of the kind turns out to be outdated.
    for _ in 0..2 {
        let Some(kind) = served(cx, id, &gvk).await? else {
            return Ok(Removed::Deleted);
        };
        let removed = match claimant {
            Some(_) => promised(api, &kind, id, job).await,
            None => {
                let recorded = Recorded::in_inventory();
                let pruned =
                    apply::prune(&recorded, &job.permit, api, &kind, id, &job.owner, applied_uids).await;
                pruned.map(|pruned| match pruned {
                    Pruned::Deleted => Removed::Deleted,
                    Pruned::Absent => Removed::Absent,
                    Pruned::Kept => Removed::Forgotten,
                })
            }
        };
        match removed {
            Ok(removed) => return Ok(removed),
            Err(ApiError::Revoked(why)) => return Err(revoked(why)),
            Err(error) if error.is_unserved() => {
                cx.discovery.forget(&kind.gvk);
                gvk = kind.gvk;
            }
            Err(error) => return Err(Failure::Prune(format!("{id} could not be deleted: {error}"))),
        }
    }
    Err(Failure::Prune(format!(
        "{id} could not be deleted: the API server says that it serves the kind, and answers that it does not"
    )))
}

/// The kind, in whatever version it is served; nothing when its definition is gone, and all of its objects with it.
async fn served(cx: &Context, id: &ObjectId, gvk: &Gvk) -> Result<Option<Kind>, Failure> {
    match cx.discovery.resolve_any_version(&cx.api, gvk).await {
        Ok(kind) => Ok(Some(kind)),
        Err(ApiError::UnknownKind { .. }) if is_unavailable(cx, gvk).await => Err(Failure::Prune(format!(
            "{id} could not be deleted: {} is registered and not served at present",
            gvk.api_version()
        ))),
        Err(ApiError::UnknownKind { .. }) => Ok(None),
        Err(error) => Err(Failure::Prune(format!("{id}: {error}"))),
    }
}

/// Whether an API that is not served will be again: the server behind it is away. Unless the answer is a clear no, it
/// may be.
async fn is_unavailable(cx: &Context, gvk: &Gvk) -> bool {
    if gvk.group.is_empty() {
        return false;
    }
    let path = format!(
        "/apis/apiregistration.k8s.io/v1/apiservices/{}.{}",
        gvk.version, gvk.group
    );
    match cx.api.raw(&path, "application/json").await {
        Ok(service) if service["spec"]["service"].is_null() => is_defined(cx, gvk).await,
        Ok(_) => true,
        Err(error) if error.is_not_found() => is_defined(cx, gvk).await,
        Err(_) => true,
    }
}

/// Whether a definition says that the kind is served, which the API server does not do a moment after its start.
async fn is_defined(cx: &Context, gvk: &Gvk) -> bool {
    let definition = Kind::of_definitions();
    let Ok(names) = cx.api.names(&definition).await else {
        return true;
    };
    let suffix = format!(".{}", gvk.group);
    for name in names.iter().filter(|name| name.ends_with(&suffix)) {
        let id = ObjectId::new("apiextensions.k8s.io", "CustomResourceDefinition", "", name);
        match cx.api.get(&definition, &id).await {
            Ok(Some(found)) if found["metadata"]["deletionTimestamp"].is_string() => {}
            Ok(Some(found)) if found["spec"]["names"]["kind"] != gvk.kind.as_str() => {}
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return true,
        }
    }
    false
}

/// An object that another Kustomization wants is forgotten once it carries that one's labels.
async fn promised(api: &Api, kind: &Kind, id: &ObjectId, job: &Job) -> Result<Removed, ApiError> {
    let Some(live) = api.get_metadata(kind, id).await? else {
        return Ok(Removed::Absent);
    };
    if plan::owner_of(&live, &job.owner) == Ownership::Ours {
        return Ok(Removed::Promised);
    }
    tracing::info!(kustomization = %job.owner, object = %id, "handed over");
    Ok(Removed::Forgotten)
}
