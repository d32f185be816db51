//! The end of a Kustomization: what its deletion policy asks for, then the finalizer. Does I/O.

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::{DeletionPolicy, KUSTOMIZATION_STATUS_MANAGER, KustomizationSpec, Reason};
use crate::apply::Revoked;
use crate::cluster::{ApiError, Kind};
use crate::plan::{Action, Inventory, ObjectId};
use crate::report::{Failure, Severity, change_list};

use super::claims;
use super::context::Context;
use super::finalizer;
use super::gone::{until_gone, what_holds};
use super::heirs;
use super::job::Job;
use super::places::Place;
use super::removal::{Removed, remove};
use super::run::revoked;
use super::statuses::kustomization_kind;

/// Deletes what is to be deleted and lets the object go (Flux's `finalize`, with one difference: the finalizer
/// of `WaitForTermination` stays until the objects are gone).
pub(crate) async fn finalize(cx: &Arc<Context>, job: &Job, place: &Place) -> Result<(), Failure> {
    let spec = &job.kustomization.spec;
    let inventory = job.statuses.inventory().await;
    let delete = deletes(spec);
    if delete && heirs::is_wanted_again(&cx.registry, &job.owner) {
        keep(cx, job, &inventory);
    } else if delete && account_is_gone(cx, job).await? {
        leave_behind(cx, job, &inventory);
    } else if delete {
        // Asked before: the time of doubt may end while an answer is on its way.
        let doubted = doubted_until(cx, job, &inventory);
        let deleted = delete_all(cx, job, &inventory).await?;
        say(cx, job, &deleted);
        if let Some(until) = doubted {
            // Rule 2: a late write may bring back what nobody would look after any more.
            let over = cx.config.clock.until(until);
            place.leave_for(job.permit.race(over)).await.map_err(revoked)?;
            delete_all(cx, job, &inventory).await?;
        }
        if spec.deletion_policy == Some(DeletionPolicy::WaitForTermination) {
            place.leave_for(wait_until_gone(cx, job, &deleted)).await?;
        }
    }
    let_go(cx, job).await
}

/// Whether the objects of a Kustomization go with it.
pub(crate) fn deletes(spec: &KustomizationSpec) -> bool {
    let asked = match spec.deletion_policy.unwrap_or(DeletionPolicy::MirrorPrune) {
        DeletionPolicy::MirrorPrune => spec.prune,
        DeletionPolicy::Delete | DeletionPolicy::WaitForTermination => true,
        DeletionPolicy::Orphan => false,
    };
    asked && !spec.suspend
}

async fn let_go(cx: &Context, job: &Job) -> Result<(), Failure> {
    let api = cx.api.under(job.permit.clone());
    let (kind, id) = (kustomization_kind(), ObjectId::from(&*job.owner));
    let removed = finalizer::remove(&api, &kind, &id, KUSTOMIZATION_STATUS_MANAGER, None).await;
    removed.map_err(|error| match error {
        ApiError::Revoked(why) => revoked(why),
        error => Failure::Apply(format!("the finalizer could not be removed: {error}")),
    })
}

fn say(cx: &Context, job: &Job, deleted: &[(ObjectId, String)]) {
    let changes: Vec<(ObjectId, Action)> = deleted
        .iter()
        .map(|(id, _)| (id.clone(), Action::Deleted))
        .collect();
    if let Some(list) = change_list(&changes) {
        cx.recorder
            .about(job, Severity::Info, Reason::ReconciliationSucceeded, list);
    }
}

async fn delete_all(
    cx: &Context,
    job: &Job,
    inventory: &Inventory,
) -> Result<Vec<(ObjectId, String)>, Failure> {
    let api = job.api(cx);
    let others = claims::of_others(cx, job).await?;
    let mut failures = Vec::new();
    let mut deleted = Vec::new();
    for (id, version) in inventory.minus(&Inventory::default()) {
        match remove(cx, job, &api, &others, (&id, &version), &[]).await {
            Ok(Removed::Deleted) => deleted.push((id, version)),
            Ok(Removed::Absent | Removed::Forgotten | Removed::Promised) => {}
            Err(Failure::Prune(why)) => failures.push(why),
            Err(failure) => return Err(failure),
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

async fn wait_until_gone(cx: &Context, job: &Job, deleted: &[(ObjectId, String)]) -> Result<(), Failure> {
    let api = job.api(cx);
    for (id, version) in deleted {
        let gvk = id.gvk(version);
        let kind = match cx.discovery.resolve_any_version(&cx.api, &gvk).await {
            Ok(kind) => kind,
            Err(ApiError::UnknownKind { .. }) => continue,
            Err(error) => return Err(Failure::Prune(format!("{id}: {error}"))),
        };
        let gone = until_gone(&api, &cx.index, &kind, id, None);
        match job.permit.race(gone).await {
            Ok(answer) => answer.map_err(|error| Failure::Prune(format!("{id}: {error}")))?,
            Err(Revoked::Deadline) => return Err(Failure::Prune(what_holds(&api, &kind, id).await)),
            Err(why) => return Err(revoked(why)),
        }
    }
    Ok(())
}

/// Says so when the account that may delete a Kustomization's objects is gone itself, as it is when a tenant's whole
/// namespace is deleted: nobody can delete them then, and a finalizer that waits for it would hold the namespace for
/// ever (Flux lets go as well).
async fn account_is_gone(cx: &Context, job: &Job) -> Result<bool, Failure> {
    let Some(identity) = job.identity(cx) else {
        return Ok(false);
    };
    let kind = Kind::fixed("v1", "ServiceAccount", "serviceaccounts", true);
    let id = ObjectId::new(
        "",
        "ServiceAccount",
        &identity.namespace,
        &identity.service_account,
    );
    let found = cx.api.get_metadata(&kind, &id).await;
    let found = found.map_err(|error| Failure::Prune(format!("{id} could not be looked for: {error}")))?;
    Ok(found.is_none())
}

/// Says that the objects stay for the Kustomization that takes this one's place under the same name.
fn keep(cx: &Context, job: &Job, inventory: &Inventory) {
    let kept: Vec<String> = inventory.iter().map(|(id, _)| id.to_string()).collect();
    if kept.is_empty() {
        return;
    }
    let message = format!(
        "what Git says makes this Kustomization anew, so its objects stay for that one: {}",
        kept.join(", ")
    );
    cx.recorder
        .about(job, Severity::Info, Reason::ReconciliationSucceeded, message);
}

fn leave_behind(cx: &Context, job: &Job, inventory: &Inventory) {
    let left: Vec<String> = inventory.iter().map(|(id, _)| id.to_string()).collect();
    if left.is_empty() {
        return;
    }
    let message = format!(
        "the ServiceAccount of this Kustomization is gone, so its objects could not be deleted and stay: {}",
        left.join(", ")
    );
    cx.recorder
        .about(job, Severity::Error, Reason::PruneFailed, message);
}
