//! The end of a Kustomization: what its deletion policy asks for, then the finalizer. Does I/O.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::DeletionPolicy;
use crate::apply::{self, PruneError, Pruned, Recorded};
use crate::cluster::{ApiError, Kind};
use crate::plan::{Gvk, Inventory, ObjectId};
use crate::report::Failure;

use super::context::Context;
use super::finalizer;
use super::job::Job;
use super::run::revoked;

/// Deletes what is to be deleted and lets the object go (Flux's `finalize`, with one difference: the finalizer
/// of `WaitForTermination` stays until the objects are gone).
pub(crate) async fn finalize(cx: &Arc<Context>, job: &Job) -> Result<(), Failure> {
    let spec = &job.kustomization.spec;
    let inventory = job.statuses.inventory().await;
    let policy = spec.deletion_policy.unwrap_or(DeletionPolicy::MirrorPrune);
    let delete = match policy {
        DeletionPolicy::MirrorPrune => spec.prune,
        DeletionPolicy::Delete | DeletionPolicy::WaitForTermination => true,
        DeletionPolicy::Orphan => false,
    };
    if delete && !spec.suspend {
        // Asked before: the time of doubt may end while an answer is on its way.
        let doubted = doubted_until(cx, job, &inventory);
        let deleted = delete_all(cx, job, &inventory).await?;
        if let Some(until) = doubted {
            // Rule 2: a late write may bring back what nobody would look after any more.
            job.permit
                .race(cx.config.clock.until(until))
                .await
                .map_err(revoked)?;
            delete_all(cx, job, &inventory).await?;
        }
        if policy == DeletionPolicy::WaitForTermination {
            wait_until_gone(cx, job, &deleted).await?;
        }
    }
    finalizer::remove(cx, job).await
}

async fn delete_all(
    cx: &Context,
    job: &Job,
    inventory: &Inventory,
) -> Result<Vec<(Kind, ObjectId)>, Failure> {
    let api = job.api(cx);
    let mut failures = Vec::new();
    let mut deleted = Vec::new();
    for (id, version) in inventory.minus(&Inventory::default()) {
        if super::claims::claimed_by_another(cx, &job.permit, &job.owner, &id)
            .await?
            .is_some()
        {
            continue;
        }
        let gvk = Gvk {
            group: id.group.clone(),
            version,
            kind: id.kind.clone(),
        };
        let kind = match cx.discovery.resolve_any_version(&cx.api, &gvk).await {
            Ok(kind) => kind,
            Err(ApiError::UnknownKind { .. }) => continue,
            Err(error) => {
                failures.push(format!("{id}: {error}"));
                continue;
            }
        };
        match apply::prune(&Recorded(()), &job.permit, &api, &kind, &id, &job.owner, &[]).await {
            Ok(Pruned::Deleted) => deleted.push((kind, id)),
            Ok(Pruned::Absent | Pruned::Kept) => {}
            Err(PruneError::Revoked(why)) => return Err(revoked(why)),
            Err(PruneError::Api(error)) => failures.push(format!("{id} could not be deleted: {error}")),
        }
    }
    if failures.is_empty() {
        return Ok(deleted);
    }
    Err(Failure::Prune(failures.join("\n")))
}

fn doubted_until(cx: &Context, job: &Job, inventory: &Inventory) -> Option<Timestamp> {
    let mut latest = None;
    for (id, _) in inventory.iter() {
        latest = latest.max(cx.doubts.until(id, job.statuses.is_inherited(id)));
    }
    latest
}

async fn wait_until_gone(cx: &Context, job: &Job, deleted: &[(Kind, ObjectId)]) -> Result<(), Failure> {
    let api = job.api(cx);
    for (kind, id) in deleted {
        let gone = async {
            loop {
                let changed = cx.index.changed();
                match api.get_metadata(kind, id).await {
                    Ok(None) => return Ok(()),
                    Ok(Some(_)) => {}
                    Err(error) => return Err(Failure::Prune(format!("{id}: {error}"))),
                }
                // An object that no watch shows is looked for now and then.
                let _ = tokio::time::timeout(Duration::from_secs(5), changed).await;
            }
        };
        match job.permit.race(gone).await {
            Ok(answer) => answer?,
            Err(why) => {
                return Err(match revoked(why) {
                    Failure::Timeout(_) => Failure::Prune(format!(
                        "{id} is deleted and not gone yet; what holds it: kubectl get {} {} -o jsonpath='{{.metadata.finalizers}}'",
                        kind.plural, id.name
                    )),
                    other => other,
                });
            }
        }
    }
    Ok(())
}
