//! Who else wants an object: looked up, or found out by rendering the other Kustomization. Reads only.

use crate::api::PRUNE_CONFIRM;
use crate::apply::Permit;
use crate::plan::{ObjectId, Owner};
use crate::report::Failure;

use super::build;
use super::context::Context;
use super::fleet::source_key;
use super::heirs;
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
    if built.whole().is_err() {
        // It wants more as soon as that can be identified.
        return Ok(claims);
    }
    cx.registry.update(owner, |entry| {
        if entry.key() == claims.key {
            entry.claims = Some(claims.clone());
        }
    });
    Ok(claims)
}

/// What all other Kustomizations want, for a look at what may be removed.
#[derive(Default)]
pub(crate) struct OthersClaims {
    known: Vec<(Owner, Claims)>,
    unknown: Vec<(Owner, Failure)>,
}

/// Finds out what the others want. One of another source need not be known, since it cannot have been given an object
/// in the commit that took it away here, unless it may be the heir of one that is being deleted.
///
/// # Errors
/// The run was canceled.
pub(crate) async fn of_others(cx: &Context, job: &Job) -> Result<OthersClaims, Failure> {
    let source = source_key(&job.kustomization);
    let mut others = OthersClaims::default();
    for (owner, entry) in cx.registry.others(&job.owner) {
        if entry.kustomization.metadata.deletion_timestamp.is_some() {
            continue;
        }
        match of(cx, &job.permit, &owner, &entry).await {
            Ok(claims) => others.known.push((owner, claims)),
            Err(failure @ Failure::Canceled(_)) => return Err(failure),
            Err(failure) => {
                let is_of_same_source = source_key(&entry.kustomization) == source;
                if is_of_same_source || heirs::may_inherit(&entry, &job.kustomization) {
                    others.unknown.push((owner, failure));
                }
            }
        }
    }
    Ok(others)
}

impl OthersClaims {
    /// Who else wants an object that is about to be pruned.
    ///
    /// # Errors
    /// Why it cannot be known and the object must stay for now: one that may want it could not be built for a passing
    /// reason; or at all, and the object holds data that Git cannot bring back, unless the prune was confirmed.
    pub(crate) fn claimant(&self, job: &Job, id: &ObjectId) -> Result<Option<&Owner>, String> {
        if let Some((owner, _)) = self.known.iter().find(|(_, claims)| claims.contains(id)) {
            return Ok(Some(owner));
        }
        for (other, failure) in &self.unknown {
            if is_passing(failure) {
                return Err(format!(
                    "{id} is not deleted yet: whether Kustomization {other} wants it could not be found out ({failure})"
                ));
            }
            if id.holds_data() && !job.is_confirmed() {
                return Err(refusal(job, id, other, failure));
            }
        }
        Ok(None)
    }
}

fn is_passing(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Apply(_) | Failure::Timeout(_) | Failure::Missing { .. }
    )
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
