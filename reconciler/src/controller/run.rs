//! One run of one Kustomization, from its files to the cluster. Does I/O; decides nothing that `plan` decides.
//!
//! ```text
//! finalizer -> build -> claims -> guard -> [ preview -> record -> write -> settle ] per stage -> prune -> report
//! ```

mod items;
mod previews;
mod prune;
mod settle;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::{PRUNE_CONFIRM, PostBuild};
use crate::apply::{Recorded, Revoked};
use crate::assess::targets::Target;
use crate::cluster::Api;
use crate::plan::{Action, Gvk, Inventory, ObjectId, Wanted};
use crate::render::substitute::unreplaced;
use crate::report::{Failure, Outcome, Progress, StatusPatch, change_list};

use super::build::{self, Built};
use super::claims::{self, OthersClaims};
use super::context::Context;
use super::finalizer;
use super::job::{Applied, Correction, Done, Job, annotation};
use super::memory::Memory;
use super::places::Place;
use super::registry::{ClaimKey, Claims};
use super::reports::report_run;

/// Objects of one run that are previewed or written at once.
const PARALLEL: usize = 8;

/// Carries a job out and reports its end, but for health, which is waited for elsewhere.
pub(crate) async fn run(cx: &Arc<Context>, job: &Job, place: &Place) -> Done {
    let began = Instant::now();
    let mut run = Run {
        cx,
        job,
        place,
        api: job.api(cx),
        changes: Vec::new(),
        corrections: Vec::new(),
        recheck: None,
        built_digest: None,
        was_applied: false,
        told: AtomicBool::new(false),
    };
    let end = run.reconcile().await;
    let (changes, corrections, built) = (run.changes, run.corrections, run.built_digest);
    if let Some(list) = change_list(&changes) {
        cx.recorder.changed(job, &list);
    }
    // What changed nothing and was not asked for is not history: an interval without news writes nothing.
    let is_news = !changes.is_empty() || job.statuses.is_news(built.as_deref(), job.requested()).await;
    let (result, memory) = match end {
        Ok((applied, memory)) => (Ok(applied), Some(Arc::new(Memory { is_news, ..memory }))),
        Err(failure) => (Err(failure), None),
    };
    let outcome = match &result {
        Ok(applied) if applied.wait => None,
        Ok(_) => Some(Outcome::Succeeded {
            health_checked: false,
        }),
        Err(Failure::Canceled(_)) => None,
        Err(failure) => Some(Outcome::Failed(failure.masked(&cx.redactor))),
    };
    if let Some(outcome) = outcome {
        let built = built.filter(|_| is_news || matches!(outcome, Outcome::Failed(_)));
        let built = built.map(|digest| (digest, began.elapsed()));
        report_run(cx, job, outcome, built).await;
    }
    Done {
        revision: job.revision(),
        result,
        memory,
        corrections,
        began,
    }
}

struct Run<'a> {
    cx: &'a Arc<Context>,
    job: &'a Job,
    place: &'a Place,
    api: Api,
    changes: Vec<(ObjectId, Action)>,
    corrections: Vec<Correction>,
    /// When what was written while an older write might still arrive and undo it is to be looked at once more: that
    /// one is ours too, and need not leave a mark that an event would show (rule 2).
    recheck: Option<Timestamp>,
    built_digest: Option<String>,
    /// The status says that the last run applied what this one is to apply.
    was_applied: bool,
    /// The status says what this run waits for.
    told: AtomicBool,
}

impl Run<'_> {
    async fn reconcile(&mut self) -> Result<(Applied, Memory), Failure> {
        let Some(checkout) = &self.job.checkout else {
            return Err(Failure::Source("the source has no artifact yet".to_owned()));
        };
        finalizer::ensure(self.cx, self.job).await?;
        let built = build::build(self.cx, &self.job.permit, &self.job.kustomization, checkout).await?;
        // It counts in the history also when an object of it is of no known kind.
        self.built_digest = Some(built.digest.clone());
        let Built {
            wanted,
            read_set,
            digest,
            ..
        } = built.whole()?;
        self.was_applied = !self.job.statuses.is_news(Some(&digest), None).await;
        self.claim(&wanted);
        let old = self.job.statuses.inventory().await;
        let new = Inventory::of(&wanted);
        let stale = self.stale(&old, &new);
        let others = if stale.is_empty() {
            OthersClaims::default()
        } else {
            claims::of_others(self.cx, self.job).await?
        };
        self.guard(&old, &new, &stale, &others)?;

        let mut memory = Memory {
            read_set,
            digest,
            ..Memory::default()
        };
        let mut recorded = self.already_recorded(&old, &new);
        let mut uids = Vec::new();
        let mut staged = self.identify(wanted);
        let last = staged.len();
        let mut previews = self.preview_all(&mut staged).await?;
        for (index, (stage, items)) in staged.iter_mut().enumerate() {
            if index > 0 {
                self.preview_deferred(items, &mut previews).await?;
            }
            if recorded.is_none() && self.will_write(items, &previews) {
                recorded = Some(self.record(&old.union(&new)).await?);
            }
            self.write_stage(recorded.as_ref(), items, &previews, &mut memory, &mut uids)
                .await?;
            if index + 1 < last {
                self.settle(*stage, items, &previews).await?;
            }
        }
        let recheck = self
            .prune(&old, &new, (stale, &others), &uids, &mut memory)
            .await?
            .max(self.recheck);
        memory.targets = self.targets(memory.targets);
        self.check_access(&memory.targets).await?;
        let wait = !memory.targets.is_empty();
        let told = self.told.load(Ordering::Relaxed);
        Ok((Applied { wait, told, recheck }, memory))
    }

    /// Lets others know what this Kustomization wants at this revision.
    fn claim(&self, wanted: &[Wanted]) {
        let key = ClaimKey::of(self.job.generation(), self.job.checkout.as_ref());
        let claims = Claims::new(key, wanted);
        self.cx
            .registry
            .update(&self.job.owner, |entry| entry.claims = Some(claims));
    }

    fn stale(&self, old: &Inventory, new: &Inventory) -> Vec<(ObjectId, String)> {
        if self.job.kustomization.spec.prune {
            old.minus(new)
        } else {
            Vec::new()
        }
    }

    /// What another Kustomization takes over is not deleted, and counts for nothing.
    fn guard(
        &self,
        old: &Inventory,
        new: &Inventory,
        stale: &[(ObjectId, String)],
        others: &OthersClaims,
    ) -> Result<(), Failure> {
        let is_deleted = |id: &&ObjectId| !matches!(others.claimant(self.job, id), Ok(Some(_)));
        let ids: Vec<ObjectId> = stale
            .iter()
            .map(|(id, _)| id)
            .filter(is_deleted)
            .cloned()
            .collect();
        let revision = self.job.revision().unwrap_or_default();
        let confirmed = annotation(&self.job.kustomization, PRUNE_CONFIRM);
        self.cx
            .config
            .prune_guard
            .check(old, new, &ids, &self.job.owner, &revision, confirmed)
            .map_err(|refusal| Failure::Guard(refusal.to_string()))
    }

    /// The words by which an object was refused, with what may explain them.
    fn explained(&self, wanted: &Wanted, words: &str) -> String {
        let post_build = self.job.kustomization.spec.post_build.as_ref();
        let replaces = post_build.is_some_and(PostBuild::replaces);
        match unreplaced::hint(&wanted.value, words, replaces, |text| {
            self.cx.redactor.masks(text)
        }) {
            Some(hint) => format!("{words}; {hint}"),
            None => words.to_owned(),
        }
    }

    /// No status patch when the union is unchanged (rule 1).
    fn already_recorded(&self, old: &Inventory, new: &Inventory) -> Option<Recorded> {
        (old.union(new) == *old).then(Recorded::in_inventory)
    }

    async fn record(&self, union: &Inventory) -> Result<Recorded, Failure> {
        self.job.permit.check().map_err(revoked)?;
        let outcome = Outcome::Progressing(Progress::Applying);
        let revision = self.job.revision();
        let patch = StatusPatch {
            inventory: Some(union),
            ..self.job.patch(&outcome, revision.as_deref())
        };
        let status = self
            .job
            .statuses
            .record(&self.cx.api, self.job.ticket, &patch)
            .await
            .map_err(|error| {
                Failure::Apply(format!(
                    "the inventory could not be recorded, nothing was applied: {error}"
                ))
            })?;
        let message = super::fleet::Message::StatusWritten(self.job.owner.clone(), status);
        let _ = self.cx.messages.send(message).await;
        Ok(Recorded::in_inventory())
    }

    /// Health checks may name objects of others: whether their state may be known is for the run's account to say,
    /// since the watches are the controller's (rule 26).
    async fn check_access(&self, targets: &[Target]) -> Result<(), Failure> {
        let Some(identity) = self.job.identity(self.cx) else {
            return Ok(());
        };
        for target in targets.iter().filter(|target| target.expected.is_none()) {
            let id = &target.object;
            let gvk = id.gvk("v1");
            let Ok(kind) = self.cx.discovery.resolve_any_version(&self.cx.api, &gvk).await else {
                continue;
            };
            match self.api.get_metadata(&kind, id).await {
                Err(error) if error.is_forbidden() => {
                    return Err(Failure::Health(format!(
                        "the health of {id} is not for ServiceAccount {}/{} to know: {error}",
                        identity.namespace, identity.service_account
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn targets(&self, applied: Vec<Target>) -> Vec<Target> {
        let spec = &self.job.kustomization.spec;
        if spec.wait {
            let owner = &self.job.owner;
            return crate::assess::targets::without_self(applied, &owner.namespace, &owner.name);
        }
        let checks = spec.health_checks.iter().map(|check| {
            let group = Gvk::new(check.api_version.as_deref().unwrap_or_default(), &check.kind).group;
            let namespace = check.namespace.as_deref().unwrap_or(&self.job.owner.namespace);
            ObjectId::new(&group, &check.kind, namespace, &check.name)
        });
        checks
            .map(|object| {
                applied
                    .iter()
                    .find(|target| target.object == object)
                    .cloned()
                    .unwrap_or_else(|| Target::elsewhere(object))
            })
            .collect()
    }
}

pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(crate) fn revoked(why: Revoked) -> Failure {
    match why {
        Revoked::Deadline => Failure::Timeout("the run took longer than spec.timeout".to_owned()),
        Revoked::NotLeader | Revoked::Canceled => Failure::Canceled(why.to_string()),
    }
}
