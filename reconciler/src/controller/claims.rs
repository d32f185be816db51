//! Who else wants an object: looked up, or found out by rendering the other Kustomization. Reads only.

use crate::api::PRUNE_CONFIRM;
use crate::apply::Permit;
use crate::plan::{ObjectId, Owner};
use crate::report::Failure;

use super::build;
use super::context::Context;
use super::fleet::source_key;
use super::job::Job;
use super::registry::{Claims, Entry};

/// What a Kustomization wants at its newest revision; rendered if it has not run there yet. Works for those
/// that are suspended or wait for dependencies, since a render writes nothing.
pub(crate) async fn of(
    cx: &Context,
    permit: &Permit,
    owner: &Owner,
    entry: &Entry,
) -> Result<Claims, Failure> {
    if let Some(claims) = entry.current_claims() {
        return Ok(claims.clone());
    }
    let Some(checkout) = &entry.checkout else {
        return Err(Failure::Source(format!(
            "the source of Kustomization {owner} has no artifact"
        )));
    };
    let built = build::build(cx, permit, &entry.kustomization, checkout).await?;
    let claims = Claims::new(entry.key(), &built.wanted);
    cx.registry.update(owner, |entry| {
        if entry.key() == claims.key {
            entry.claims = Some(claims.clone());
        }
    });
    Ok(claims)
}

/// The Kustomization, other than the job's own, that wants an object which is about to be pruned.
///
/// # Errors
/// When one that may want it cannot be rendered and the object holds data that Git cannot bring back. Only one of the
/// same source can have been given the object in the commit that took it away here; and whoever confirmed the prune
/// has answered for it.
pub(crate) async fn claimed_by_another(
    cx: &Context,
    job: &Job,
    id: &ObjectId,
) -> Result<Option<Owner>, Failure> {
    let source = source_key(&job.kustomization);
    for (other, entry) in cx.registry.others(&job.owner) {
        if entry.kustomization.metadata.deletion_timestamp.is_some() {
            continue;
        }
        match of(cx, &job.permit, &other, &entry).await {
            Ok(claims) if claims.contains(id) => return Ok(Some(other)),
            Ok(_) => {}
            Err(failure @ Failure::Canceled(_)) => return Err(failure),
            Err(failure)
                if id.holds_data() && source_key(&entry.kustomization) == source && !job.is_confirmed() =>
            {
                return Err(Failure::Prune(refusal(job, id, &other, &failure)));
            }
            Err(_) => {}
        }
    }
    Ok(None)
}

fn refusal(job: &Job, id: &ObjectId, other: &Owner, failure: &Failure) -> String {
    let Owner { namespace, name } = &*job.owner;
    let revision = job.revision().unwrap_or_default();
    format!(
        "{id} is not deleted yet: Kustomization {other} may want it, which cannot be known while it cannot be built \
         ({failure}). Mend that one; or, if {id} is to go with its data, run: kubectl annotate kustomization \
         --namespace {namespace} {name} --overwrite {PRUNE_CONFIRM}={revision}"
    )
}
