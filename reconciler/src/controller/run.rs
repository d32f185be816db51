//! One run of one Kustomization, from its files to the cluster. Does I/O; decides nothing that `plan` decides.
//!
//! ```text
//! finalizer -> build -> claims -> guard -> [ preview -> record -> write -> settle ] per stage -> prune -> report
//! ```

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{FINALIZER, KUSTOMIZATION_STATUS_MANAGER, Kustomization, PRUNE_CONFIRM};
use crate::apply::{
    self, Known, Permit, Preview, PreviewError, Previewed, PruneError, Pruned, Recorded, Rejection, Revoked,
    WriteError,
};
use crate::assess::reduce::Observed;
use crate::assess::status::StatusKind;
use crate::assess::targets::Target;
use crate::cluster::{Api, ApiError, Fingerprint, Identity, Kind, Seen};
use crate::plan::{self, Action, Gvk, Inventory, ObjectId, Owner, Stage, Wanted};
use crate::report::{Failure, Outcome, Progress, StatusPatch, change_list};
use crate::source::Checkout;

use super::build::{self, Built};
use super::context::Context;
use super::events::Recorder;
use super::memory::{Left, Memory, digest, version};
use super::registry::{ClaimKey, Claims};
use super::statuses::{StatusWriter, kustomization_kind};
use super::step::Scope;

/// Objects of one run that are previewed or written at once.
const PARALLEL: usize = 8;
/// How often the finalizer is tried when the object changes meanwhile.
const ATTEMPTS: usize = 4;

/// All that a run is given.
pub(crate) struct Job {
    pub(crate) owner: Arc<Owner>,
    pub(crate) kustomization: Arc<Kustomization>,
    pub(crate) checkout: Option<Checkout>,
    pub(crate) memory: Option<Arc<Memory>>,
    pub(crate) scope: Scope,
    pub(crate) statuses: Arc<StatusWriter>,
    pub(crate) permit: Permit,
    /// Number of this run: later ones have larger numbers.
    pub(crate) number: u64,
    /// Place of its reports among all reports: one that was decided earlier is not written later.
    pub(crate) ticket: u64,
    pub(crate) timeout: Duration,
    pub(crate) contested: BTreeSet<ObjectId>,
}

/// What a run came to.
pub(crate) struct Done {
    pub(crate) result: Result<Applied, Failure>,
    /// What to remember; nothing when the run did not get through.
    pub(crate) memory: Option<Arc<Memory>>,
    /// The revision that was run for.
    pub(crate) revision: Option<String>,
    /// Objects that were put back, with who had changed what.
    pub(crate) corrections: Vec<Correction>,
}

/// Everything is applied.
pub(crate) struct Applied {
    /// Whether health is to be waited for.
    pub(crate) wait: bool,
    /// When entries that stay in the inventory until a late write can no longer arrive are to be looked at.
    pub(crate) recheck: Option<Timestamp>,
}

/// A field that was put back.
#[derive(Clone, Debug)]
pub(crate) struct Correction {
    pub(crate) id: ObjectId,
    pub(crate) manager: String,
    pub(crate) path: String,
}

/// An object on its way through the run.
struct Item {
    kind: Kind,
    wanted: Wanted,
    digest: u64,
    /// Nothing of it is to be done: as remembered, and untouched.
    settled: bool,
}

impl Job {
    /// A status that follows from an outcome of this job, and says nothing of inventory, request or history.
    pub(crate) fn patch<'a>(&self, outcome: &'a Outcome, revision: Option<&'a str>) -> StatusPatch<'a> {
        StatusPatch {
            outcome,
            generation: self.generation(),
            revision,
            inventory: None,
            handled: None,
            built: None,
            timeout: self.timeout,
        }
    }

    pub(crate) fn revision(&self) -> Option<String> {
        self.checkout
            .as_ref()
            .map(|checkout| checkout.revision().to_string())
    }

    fn generation(&self) -> i64 {
        self.kustomization.metadata.generation.unwrap_or_default()
    }

    /// The `requestedAt` that this run handles.
    pub(crate) fn requested(&self) -> Option<&str> {
        annotation(&self.kustomization, crate::api::REQUESTED_AT)
    }

    /// The account that every call of this run is made as.
    pub(crate) fn api(&self, cx: &Context) -> Api {
        let account = self
            .kustomization
            .spec
            .service_account_name
            .clone()
            .or_else(|| cx.config.default_service_account.clone());
        let identity = account.map(|service_account| Identity {
            namespace: self.owner.namespace.clone(),
            service_account,
        });
        cx.api.impersonating(identity.as_ref())
    }
}

pub(crate) fn annotation<'a>(object: &'a Kustomization, key: &str) -> Option<&'a str> {
    object.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Carries a job out and reports its end, but for health, which is waited for elsewhere.
pub(crate) async fn run(cx: &Context, recorder: &Recorder, job: &Job) -> Done {
    let started = Instant::now();
    let mut run = Run {
        cx,
        job,
        api: job.api(cx),
        changes: Vec::new(),
        corrections: Vec::new(),
        built_digest: None,
    };
    let end = run.reconcile().await;
    let (changes, corrections, built) = (run.changes, run.corrections, run.built_digest);
    if let Some(list) = change_list(&changes) {
        recorder.changed(job, &list);
    }
    let (result, memory) = match end {
        Ok((applied, memory)) => (Ok(applied), Some(Arc::new(memory))),
        Err(failure) => (Err(failure), None),
    };
    let outcome = match &result {
        Ok(applied) if applied.wait => None,
        Ok(_) => Some(Outcome::Succeeded {
            health_checked: false,
        }),
        Err(Failure::Canceled(_)) => None,
        Err(failure) => Some(Outcome::Failed(masked(cx, failure))),
    };
    if let Some(outcome) = outcome {
        let revision = job.revision();
        let patch = StatusPatch {
            handled: job.requested(),
            built: built.as_deref().map(|digest| (digest, started.elapsed())),
            ..job.patch(&outcome, revision.as_deref())
        };
        report(cx, job, &patch).await;
        if let Outcome::Failed(failure) = &outcome {
            recorder.failed(job, failure);
        }
    }
    Done {
        revision: job.revision(),
        result,
        memory,
        corrections,
    }
}

/// Writes a status and tells the fleet of it; a status that cannot be written is logged, and comes with the
/// next run.
pub(crate) async fn report(cx: &Context, job: &Job, patch: &StatusPatch<'_>) {
    match job.statuses.report(&cx.api, job.ticket, patch).await {
        Ok(Some(status)) => {
            let message = super::fleet::Message::StatusWritten(job.owner.clone(), Box::new(status));
            // The fleet ends only when the controller does.
            let _ = cx.messages.send(message).await;
        }
        Ok(None) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => tracing::warn!(kustomization = %job.owner, %error, "the status was not written"),
    }
}

pub(crate) fn masked(cx: &Context, failure: &Failure) -> Failure {
    let mask = |text: &String| cx.redactor.mask(text).into_owned();
    match failure {
        Failure::InvalidSpec(text) => Failure::InvalidSpec(mask(text)),
        Failure::AccessDenied(text) => Failure::AccessDenied(mask(text)),
        Failure::Source(text) => Failure::Source(mask(text)),
        Failure::Dependency(text) => Failure::Dependency(mask(text)),
        Failure::Build(text) => Failure::Build(mask(text)),
        Failure::Apply(text) => Failure::Apply(mask(text)),
        Failure::Contested(text) => Failure::Contested(mask(text)),
        Failure::Prune(text) => Failure::Prune(mask(text)),
        Failure::Guard(text) => Failure::Guard(mask(text)),
        Failure::Health(text) => Failure::Health(mask(text)),
        Failure::Timeout(text) => Failure::Timeout(mask(text)),
        Failure::Canceled(text) => Failure::Canceled(mask(text)),
    }
}

struct Run<'a> {
    cx: &'a Context,
    job: &'a Job,
    api: Api,
    changes: Vec<(ObjectId, Action)>,
    corrections: Vec<Correction>,
    built_digest: Option<String>,
}

impl Run<'_> {
    async fn reconcile(&mut self) -> Result<(Applied, Memory), Failure> {
        let Some(checkout) = &self.job.checkout else {
            return Err(Failure::Source("the source has no artifact yet".to_owned()));
        };
        self.ensure_finalizer().await?;
        let Built {
            wanted,
            read_set,
            digest,
        } = build::build(self.cx, &self.job.permit, &self.job.kustomization, checkout).await?;
        self.built_digest = Some(digest.clone());
        self.claim(&wanted);
        let old = self.job.statuses.inventory().await;
        let new = Inventory::of(&wanted);
        let stale = self.stale(&old, &new);
        self.guard(&old, &new, &stale)?;

        let mut memory = Memory {
            read_set,
            digest,
            ..Memory::default()
        };
        let mut recorded = self.already_recorded(&old, &new);
        let mut uids = Vec::new();
        let staged = self.identify(wanted);
        let last = staged.len();
        let mut previews = self.preview_all(&staged).await?;
        for (index, (stage, items)) in staged.iter().enumerate() {
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
            .prune(recorded, &old, &new, stale, &uids)
            .await?
            .max(self.recheck_of_changes());
        memory.targets = self.targets(memory.targets);
        let wait = !memory.targets.is_empty();
        Ok((Applied { wait, recheck }, memory))
    }

    /// Rule 25: the finalizer is added by a patch that tests what it found.
    async fn ensure_finalizer(&self) -> Result<(), Failure> {
        let metadata = &self.job.kustomization.metadata;
        let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
        let mut version = metadata.resource_version.clone().unwrap_or_default();
        let id = ObjectId::from(&*self.job.owner);
        let gone = || Failure::Canceled("the Kustomization is gone".into());
        let failed = |error: ApiError| Failure::Apply(format!("the finalizer could not be added: {error}"));
        for _ in 0..ATTEMPTS {
            if finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
                return Ok(());
            }
            self.job.permit.check().map_err(revoked)?;
            let patch = finalizer_patch(&finalizers, &version);
            let answer = self
                .cx
                .api
                .json_patch(&kustomization_kind(), &id, &patch, KUSTOMIZATION_STATUS_MANAGER)
                .await;
            match answer {
                Ok(object) => {
                    self.job
                        .statuses
                        .saw(text(&object, "/metadata/resourceVersion"))
                        .await;
                    return Ok(());
                }
                Err(error) if error.is_not_found() => return Err(gone()),
                Err(error) if error.is_conflict() || error.is_invalid() => {}
                Err(error) => return Err(failed(error)),
            }
            // The object is not as this run was given it: look, and try again on what it is.
            let live = self
                .cx
                .api
                .get_metadata(&kustomization_kind(), &id)
                .await
                .map_err(failed)?;
            let live = live.ok_or_else(gone)?;
            text(&live, "/metadata/resourceVersion").clone_into(&mut version);
            let found = live.pointer("/metadata/finalizers").cloned().unwrap_or_default();
            finalizers = serde_json::from_value(found).unwrap_or_default();
        }
        Err(Failure::Apply(
            "the object changed each time the finalizer was about to be added".to_owned(),
        ))
    }

    /// Lets others know what this Kustomization wants at this revision.
    fn claim(&self, wanted: &[Wanted]) {
        let key = ClaimKey {
            generation: self.job.generation(),
            revision: self.job.revision().unwrap_or_default(),
        };
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

    fn guard(&self, old: &Inventory, new: &Inventory, stale: &[(ObjectId, String)]) -> Result<(), Failure> {
        let ids: Vec<ObjectId> = stale.iter().map(|(id, _)| id.clone()).collect();
        let revision = self.job.revision().unwrap_or_default();
        let confirmed = annotation(&self.job.kustomization, PRUNE_CONFIRM);
        self.cx
            .config
            .prune_guard
            .check(old.len(), new.len(), &ids, &self.job.owner, &revision, confirmed)
            .map_err(|refusal| Failure::Guard(refusal.to_string()))
    }

    /// No status patch when the union is unchanged (rule 1).
    fn already_recorded(&self, old: &Inventory, new: &Inventory) -> Option<Recorded> {
        (old.union(new) == *old).then_some(Recorded(()))
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
        let message = super::fleet::Message::StatusWritten(self.job.owner.clone(), Box::new(status));
        let _ = self.cx.messages.send(message).await;
        Ok(Recorded(()))
    }

    /// Gives each object its kind, and says which of them need no look at all.
    fn identify(&self, wanted: Vec<Wanted>) -> Vec<(Stage, Vec<Item>)> {
        let mut stages = Vec::new();
        for (stage, objects) in plan::stages(wanted) {
            let mut items = Vec::with_capacity(objects.len());
            for wanted in objects {
                let gvk = Gvk {
                    group: wanted.id.group.clone(),
                    version: wanted.version.clone(),
                    kind: wanted.id.kind.clone(),
                };
                let kind = match self.cx.discovery.known(&gvk) {
                    Some(kind) => kind,
                    // It comes with this set: its path is asked for again once its definition is there.
                    None => Kind {
                        gvk,
                        plural: String::new(),
                        namespaced: !wanted.id.namespace.is_empty(),
                        watchable: false,
                    },
                };
                let digest = digest(&wanted.value);
                let settled = self.is_settled(&wanted.id, digest);
                items.push(Item {
                    kind,
                    wanted,
                    digest,
                    settled,
                });
            }
            stages.push((stage, items));
        }
        stages
    }

    /// An object that is wanted as before, and whose fingerprint is as the last apply left it.
    fn is_settled(&self, id: &ObjectId, digest: u64) -> bool {
        let untouched = match &self.job.scope {
            Scope::Full | Scope::Finalize => false,
            Scope::Changes => true,
            Scope::Drift(touched) => !touched.contains(id),
        };
        untouched && self.left(id).is_some_and(|left| left.wanted == digest) && self.as_we_left_it(id)
    }

    fn left(&self, id: &ObjectId) -> Option<Left> {
        self.job.memory.as_ref()?.objects.get(id).copied()
    }

    fn as_we_left_it(&self, id: &ObjectId) -> bool {
        let left = self.left(id);
        let seen = self.cx.index.get(id);
        left.zip(seen)
            .is_some_and(|(left, seen)| left.fingerprint == seen.fingerprint)
    }

    async fn preview_all(
        &self,
        staged: &[(Stage, Vec<Item>)],
    ) -> Result<HashMap<ObjectId, Previewed>, Failure> {
        let items: Vec<&Item> = staged
            .iter()
            .flat_map(|(_, items)| items)
            .filter(|item| !item.settled)
            .collect();
        let coming = Coming::of(staged);
        let mut previews = HashMap::with_capacity(items.len());
        let mut rejections = Vec::new();
        let asked: Vec<_> = items.into_iter().map(|item| self.preview_one(item)).collect();
        let mut answers = stream::iter(asked).buffer_unordered(PARALLEL);
        while let Some((item, answer)) = answers.next().await {
            match answer? {
                Previewed::Rejected(rejection) => rejections.push(rejection),
                Previewed::Deferred(why) if !coming.explains(&item.wanted.id) => {
                    rejections.push(Rejection::of_dry_run(&item.wanted, &why));
                }
                previewed => {
                    previews.insert(item.wanted.id.clone(), previewed);
                }
            }
        }
        drop(answers);
        refuse(rejections)?;
        Ok(previews)
    }

    async fn preview_one<'i>(&self, item: &'i Item) -> (&'i Item, Result<Previewed, Failure>) {
        let id = item.wanted.id.clone();
        if item.kind.plural.is_empty() {
            let why = format!(
                "no matches for kind {} in version {}",
                id.kind,
                item.kind.gvk.api_version()
            );
            return (item, Ok(Previewed::Deferred(why)));
        }
        // What is wanted as before is compared with what is live: somebody may have touched it unseen. So is
        // what is left alone, since that may be for a mark on the live object.
        let changed = self
            .left(&id)
            .is_some_and(|left| left.wanted != item.digest && !left.skipped)
            && !plan::has_mark(&item.wanted.value, "ssa", "IfNotPresent");
        let deleting = self.cx.index.get(&id).is_some_and(|seen| seen.observed.deleting);
        let known = if changed && !deleting && self.as_we_left_it(&id) {
            Known::AsWeLeftIt
        } else {
            Known::Nothing
        };
        let force = self.job.kustomization.spec.force;
        let answer = apply::preview(
            &self.api,
            &self.job.permit,
            &item.kind,
            &item.wanted,
            &self.job.owner,
            known,
            force,
        )
        .await;
        let settled = match answer {
            Ok(Previewed::OwnedBy(other, preview)) => self.adopt(&item.wanted, &other, preview).await,
            Ok(previewed) => Ok(previewed),
            Err(PreviewError::Revoked(why)) => Err(revoked(why)),
            Err(PreviewError::Api(error)) => Err(Failure::Apply(format!("{id}: {error}"))),
        };
        (item, settled)
    }

    /// Rule 16: an object that another Kustomization's labels claim is adopted, unless that one exists, lists
    /// it in its inventory and still wants it at its newest revision.
    async fn adopt(&self, wanted: &Wanted, other: &Owner, preview: Preview) -> Result<Previewed, Failure> {
        let Some(entry) = self.cx.registry.get(other) else {
            return Ok(Previewed::Ok(preview));
        };
        if !entry.inventory.contains(&wanted.id) {
            return Ok(Previewed::Ok(preview));
        }
        let claims = super::claims::of(self.cx, &self.job.permit, other, &entry).await;
        if claims.as_ref().is_ok_and(|claims| !claims.contains(&wanted.id)) {
            return Ok(Previewed::Ok(Preview {
                action: Action::Configured,
                ..preview
            }));
        }
        Ok(Previewed::Rejected(Rejection {
            subject: wanted.subject(),
            origin: wanted.origin.clone(),
            message: format!(
                "belongs to Kustomization {other} and is wanted by {} as well; take it out of one of the two",
                self.job.owner
            ),
            transient: false,
        }))
    }

    /// After a stage was applied and settled, what had to wait for it is previewed, before anything of the
    /// next stage is written (rule 6).
    async fn preview_deferred(
        &self,
        items: &[Item],
        previews: &mut HashMap<ObjectId, Previewed>,
    ) -> Result<(), Failure> {
        let deferred: Vec<Item> = {
            let mut deferred = Vec::new();
            for item in items {
                if matches!(previews.get(&item.wanted.id), Some(Previewed::Deferred(_))) {
                    let kind = self.cx.discovery.resolve(&self.cx.api, &item.kind.gvk).await;
                    let kind =
                        kind.map_err(|error| Failure::Apply(format!("{}: {error}", item.wanted.id)))?;
                    deferred.push(Item {
                        kind,
                        wanted: item.wanted.clone(),
                        digest: item.digest,
                        settled: false,
                    });
                }
            }
            deferred
        };
        let mut rejections = Vec::new();
        let asked: Vec<_> = deferred.iter().map(|item| self.preview_one(item)).collect();
        let mut answers = stream::iter(asked).buffer_unordered(PARALLEL);
        while let Some((item, answer)) = answers.next().await {
            match answer? {
                Previewed::Rejected(rejection) => rejections.push(rejection),
                Previewed::Deferred(message) => {
                    rejections.push(Rejection::of_dry_run(&item.wanted, &message));
                }
                previewed => {
                    previews.insert(item.wanted.id.clone(), previewed);
                }
            }
        }
        drop(answers);
        refuse(rejections)
    }

    fn will_write(&self, items: &[Item], previews: &HashMap<ObjectId, Previewed>) -> bool {
        items.iter().any(|item| {
            previews
                .get(&item.wanted.id)
                .is_some_and(|previewed| match previewed {
                    Previewed::Ok(preview) | Previewed::Unverified(preview) => {
                        !matches!(preview.action, Action::Unchanged | Action::Skipped)
                    }
                    _ => true,
                })
        })
    }

    async fn write_stage(
        &mut self,
        recorded: Option<&Recorded>,
        items: &[Item],
        previews: &HashMap<ObjectId, Previewed>,
        memory: &mut Memory,
        uids: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let mut failures = Vec::new();
        let mut revoked_by = None;
        let this = &*self;
        let asked: Vec<_> = items
            .iter()
            .map(|item| async move {
                (
                    item,
                    this.write_one(recorded, item, previews.get(&item.wanted.id))
                        .await,
                )
            })
            .collect();
        let mut writes = stream::iter(asked).buffered(PARALLEL);
        let mut changes = Vec::new();
        let mut corrections = Vec::new();
        while let Some((item, answer)) = writes.next().await {
            match answer {
                Ok(wrote) => {
                    if matches!(
                        wrote.action,
                        Action::Created | Action::Configured | Action::Recreated
                    ) {
                        changes.push((item.wanted.id.clone(), wrote.action));
                    }
                    corrections.extend(wrote.corrections);
                    uids.extend(wrote.uid);
                    if let Some(left) = wrote.left {
                        memory.objects.insert(item.wanted.id.clone(), left);
                    }
                    memory.targets.extend(wrote.target);
                }
                Err(WriteError::Revoked(why)) => revoked_by = Some(why),
                Err(WriteError::Api(error)) => failures.push(format!("{}: {error}", item.wanted.id)),
            }
        }
        drop(writes);
        self.changes.extend(changes);
        self.corrections.extend(corrections);
        if let Some(why) = revoked_by {
            return Err(revoked(why));
        }
        if failures.is_empty() {
            return Ok(());
        }
        Err(Failure::Apply(failures.join("\n")))
    }

    async fn write_one(
        &self,
        recorded: Option<&Recorded>,
        item: &Item,
        previewed: Option<&Previewed>,
    ) -> Result<Wrote, WriteError> {
        let id = &item.wanted.id;
        let preview = match previewed {
            None => return Ok(self.settled(item)),
            Some(Previewed::Ok(preview) | Previewed::Unverified(preview)) => preview.clone(),
            Some(Previewed::Terminating { uid }) => {
                self.await_gone(&item.kind, id, uid).await?;
                Preview::of(Action::Created, None)
            }
            Some(Previewed::OwnedBy(..) | Previewed::Rejected(_) | Previewed::Deferred(_)) => {
                return Err(ApiError::NotPermitted("it was not previewed").into());
            }
        };
        let contested = self.job.contested.contains(id) && matches!(self.job.scope, Scope::Drift(_));
        match (preview.action, recorded) {
            (Action::Skipped, _) => return Ok(self.skipped(item, preview.live.as_ref())),
            (Action::Unchanged, _) => return Ok(self.unchanged(item, preview.live.as_ref())),
            _ if contested => return Ok(self.unchanged(item, preview.live.as_ref())),
            (_, None) => return Err(ApiError::NotPermitted("the intent is not in the inventory").into()),
            _ => {}
        }
        let recorded = recorded.ok_or(ApiError::NotPermitted("the intent is not in the inventory"))?;
        let kind = if item.kind.plural.is_empty() {
            self.cx.discovery.resolve(&self.cx.api, &item.kind.gvk).await?
        } else {
            item.kind.clone()
        };
        self.cx.watches.ensure(&kind);
        let before = self.cx.index.get(id);
        let written = apply::write(
            recorded,
            &self.job.permit,
            &self.api,
            &kind,
            &item.wanted,
            &preview,
        )
        .await;
        if written
            .as_ref()
            .map_or_else(WriteError::is_ambiguous, |written| written.repeated)
        {
            self.cx.doubts.lost_answer(id);
        }
        let written = written?;
        let fingerprint = self.seed(id, before.as_ref(), &written.object);
        let corrections = match &preview.drift {
            Some(drift) if matches!(self.job.scope, Scope::Drift(_)) => drift
                .paths
                .iter()
                .zip(&preview.managers)
                .map(|(path, manager)| Correction {
                    id: id.clone(),
                    manager: manager.clone(),
                    path: path.clone(),
                })
                .collect(),
            _ => Vec::new(),
        };
        Ok(Wrote {
            action: written.action,
            uid: written
                .object
                .pointer("/metadata/uid")
                .and_then(Value::as_str)
                .map(ToOwned::to_owned),
            left: Some(Left {
                wanted: item.digest,
                fingerprint,
                before: [preview.live.as_ref(), before.as_ref()].map(|seen| seen.map_or(0, version)),
                skipped: false,
                vanishes: vanishes(&item.wanted.value),
            }),
            target: Some(Target::applied(&written.object)),
            corrections,
        })
    }

    /// Puts the answer to an apply where watches put what they see, unless they have seen something meanwhile.
    fn seed(&self, id: &ObjectId, before: Option<&Seen>, object: &Value) -> Fingerprint {
        let fingerprint = Fingerprint::of(object);
        let seen = Seen {
            observed: Observed::reduce(object, Timestamp::now()),
            fingerprint,
            owner: Some(self.job.owner.clone()),
        };
        self.cx.index.put_if_unchanged(id, before, seen);
        fingerprint
    }

    /// An object that needed no look: it is as it was left.
    fn settled(&self, item: &Item) -> Wrote {
        let left = self.left(&item.wanted.id);
        if left.is_some_and(|left| left.skipped) {
            return Wrote {
                left,
                ..Wrote::nothing(Action::Skipped)
            };
        }
        let seen = self.cx.index.get(&item.wanted.id);
        Wrote {
            action: Action::Unchanged,
            uid: seen.as_ref().map(|seen| seen.observed.uid.to_string()),
            left,
            target: Some(target_of(item, seen.as_ref())),
            corrections: Vec::new(),
        }
    }

    /// An object that was looked at and agrees: what was seen then is what the next event is compared with.
    fn unchanged(&self, item: &Item, live: Option<&Seen>) -> Wrote {
        Wrote {
            action: Action::Unchanged,
            uid: live.map(|live| live.observed.uid.to_string()),
            left: self.keep_in_sight(item, live, false),
            target: Some(target_of(item, live)),
            corrections: Vec::new(),
        }
    }

    /// An object that a mark keeps us from: it is looked at again when what was seen changes. Its health is
    /// nobody's business.
    fn skipped(&self, item: &Item, live: Option<&Seen>) -> Wrote {
        Wrote {
            left: self.keep_in_sight(item, live, true),
            ..Wrote::nothing(Action::Skipped)
        }
    }

    fn keep_in_sight(&self, item: &Item, live: Option<&Seen>, skipped: bool) -> Option<Left> {
        let live = live?;
        self.cx.watches.ensure(&item.kind);
        let seen = Seen {
            owner: Some(self.job.owner.clone()),
            ..live.clone()
        };
        self.cx.index.put_if_unchanged(&item.wanted.id, None, seen);
        Some(Left {
            wanted: item.digest,
            fingerprint: live.fingerprint,
            before: [0; 2],
            skipped,
            vanishes: vanishes(&item.wanted.value),
        })
    }

    async fn await_gone(&self, kind: &Kind, id: &ObjectId, uid: &str) -> Result<(), WriteError> {
        self.cx.watches.ensure(kind);
        let gone = async {
            loop {
                let changed = self.cx.index.changed();
                let live = self.api.get_metadata(kind, id).await?;
                let found = live
                    .as_ref()
                    .and_then(|live| live.pointer("/metadata/uid"))
                    .and_then(Value::as_str);
                if found != Some(uid) {
                    return Ok::<(), ApiError>(());
                }
                let _ = tokio::time::timeout(Duration::from_secs(5), changed).await;
            }
        };
        self.job.permit.race(gone).await??;
        Ok(())
    }

    /// Waits until what was applied in a stage can be built on: definitions are established.
    async fn settle(
        &self,
        stage: Stage,
        items: &[Item],
        previews: &HashMap<ObjectId, Previewed>,
    ) -> Result<(), Failure> {
        if stage != Stage::Definitions {
            return Ok(());
        }
        let mut kinds = Vec::new();
        for item in items
            .iter()
            .filter(|item| item.wanted.id.kind == "CustomResourceDefinition")
        {
            let id = &item.wanted.id;
            let preview_skips =
                matches!(previews.get(id), Some(Previewed::Ok(preview)) if preview.action == Action::Skipped);
            if preview_skips || item.settled && self.left(id).is_some_and(|left| left.skipped) {
                continue;
            }
            self.await_current(&item.wanted.id).await?;
            if !item.settled {
                kinds.extend(served_kinds(&item.wanted.value));
            }
        }
        if kinds.is_empty() {
            return Ok(());
        }
        self.await_served(&kinds).await
    }

    /// A definition may be established a moment before its kind is served.
    async fn await_served(&self, kinds: &[Gvk]) -> Result<(), Failure> {
        let mut pause = Duration::from_millis(20);
        let served = async {
            loop {
                self.cx.discovery.refresh(&self.cx.api, Duration::ZERO).await?;
                if kinds.iter().all(|gvk| self.cx.discovery.known(gvk).is_some()) {
                    return Ok::<(), ApiError>(());
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
        };
        let answer = self.job.permit.race(served).await.map_err(revoked)?;
        answer
            .map_err(|error| Failure::Apply(format!("what the API server serves could not be read: {error}")))
    }

    async fn await_current(&self, id: &ObjectId) -> Result<(), Failure> {
        let current = async {
            loop {
                let changed = self.cx.index.changed();
                if self
                    .cx
                    .index
                    .get(id)
                    .is_some_and(|seen| seen.observed.kind == StatusKind::Current)
                {
                    return;
                }
                changed.await;
            }
        };
        self.job.permit.race(current).await.map_err(|why| match why {
            Revoked::Deadline => {
                Failure::Timeout(format!("{id} was not established within {:?}", self.job.timeout))
            }
            other => revoked(other),
        })
    }

    /// Deletes what left the source. Gives when to look again if entries had to stay because a late write may
    /// still bring their objects back (rule 2).
    async fn prune(
        &mut self,
        recorded: Option<Recorded>,
        old: &Inventory,
        new: &Inventory,
        stale: Vec<(ObjectId, String)>,
        uids: &[String],
    ) -> Result<Option<Timestamp>, Failure> {
        let recorded = recorded.unwrap_or(Recorded(()));
        let mut survivors = new.clone();
        let mut failures = Vec::new();
        let mut recheck = None;
        for (id, version) in stale {
            match self.prune_one(&recorded, &id, &version, uids).await {
                Ok(Pruned::Kept) => {}
                Ok(pruned) => {
                    if pruned == Pruned::Deleted {
                        self.changes.push((id.clone(), Action::Deleted));
                    }
                    if let Some(until) = self.doubted_until(&id) {
                        recheck = recheck.max(Some(until));
                        survivors.insert(id, version);
                    }
                }
                Err(Failure::Prune(why)) => {
                    failures.push(why);
                    survivors.insert(id, version);
                }
                Err(failure) => return Err(failure),
            }
        }
        if survivors != *old {
            self.shrink(&survivors).await;
        }
        if failures.is_empty() {
            return Ok(recheck);
        }
        Err(Failure::Prune(failures.join("\n")))
    }

    async fn prune_one(
        &self,
        recorded: &Recorded,
        id: &ObjectId,
        version: &str,
        uids: &[String],
    ) -> Result<Pruned, Failure> {
        if let Some(other) =
            super::claims::claimed_by_another(self.cx, &self.job.permit, &self.job.owner, id).await?
        {
            tracing::info!(kustomization = %self.job.owner, object = %id, to = %other, "handed over");
            return Ok(Pruned::Kept);
        }
        let gvk = Gvk {
            group: id.group.clone(),
            version: version.to_owned(),
            kind: id.kind.clone(),
        };
        let kind = match self.cx.discovery.resolve_any_version(&self.cx.api, &gvk).await {
            Ok(kind) => kind,
            // Its definition is gone, and all of its objects with it.
            Err(ApiError::UnknownKind { .. }) => return Ok(Pruned::Deleted),
            Err(error) => return Err(Failure::Prune(format!("{id}: {error}"))),
        };
        match apply::prune(
            recorded,
            &self.job.permit,
            &self.api,
            &kind,
            id,
            &self.job.owner,
            uids,
        )
        .await
        {
            Ok(pruned) => Ok(pruned),
            Err(PruneError::Revoked(why)) => Err(revoked(why)),
            Err(PruneError::Api(error)) => Err(Failure::Prune(format!("{id} could not be deleted: {error}"))),
        }
    }

    /// What was written while an older write may still arrive and undo it is looked at once more: that one is
    /// ours too, and need not leave a mark that an event would show.
    fn recheck_of_changes(&self) -> Option<Timestamp> {
        self.changes
            .iter()
            .filter_map(|(id, _)| self.doubted_until(id))
            .max()
    }

    /// Until when a write may still arrive that nobody waits for.
    fn doubted_until(&self, id: &ObjectId) -> Option<Timestamp> {
        let until = self.cx.doubts.until(id, self.job.statuses.is_inherited(id))?;
        let wait = until.saturating_duration_since(Instant::now());
        Some(Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX))
    }

    /// The inventory shrinks only after everything else has succeeded.
    async fn shrink(&self, survivors: &Inventory) {
        self.cx.registry.update(&self.job.owner, |entry| {
            entry.inventory = Arc::new(survivors.clone());
        });
        self.job.statuses.stage_inventory(survivors).await;
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
            crate::assess::targets::ObjectRef::new(&group, &check.kind, namespace, &check.name)
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

/// What health is about, of an object that was not written in this run.
fn target_of(item: &Item, seen: Option<&Seen>) -> Target {
    let value = &item.wanted.value;
    let mut object = json!({
        "apiVersion": value["apiVersion"], "kind": value["kind"],
        "metadata": {"name": value["metadata"]["name"], "namespace": value["metadata"]["namespace"]},
        "spec": {"ttlSecondsAfterFinished": value["spec"]["ttlSecondsAfterFinished"]},
    });
    let Some(seen) = seen else {
        return Target::elsewhere(crate::assess::targets::ObjectRef::of(&object));
    };
    object["metadata"]["uid"] = (*seen.observed.uid).into();
    object["metadata"]["generation"] = seen.observed.generation.into();
    Target::applied(&object)
}

/// Adds our finalizer to what was found, by a patch that tests what that was.
fn finalizer_patch(found: &[String], version: &str) -> Value {
    if found.is_empty() {
        return json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]},
        ]);
    }
    json!([
        {"op": "test", "path": "/metadata/finalizers", "value": found},
        {"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER},
    ])
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whether the cluster deletes an object when it is done.
fn vanishes(object: &Value) -> bool {
    object["kind"] == "Job" && !object["spec"]["ttlSecondsAfterFinished"].is_null()
}

/// What was done to one object.
struct Wrote {
    action: Action,
    uid: Option<String>,
    left: Option<Left>,
    target: Option<Target>,
    corrections: Vec<Correction>,
}

impl Wrote {
    fn nothing(action: Action) -> Self {
        Self {
            action,
            uid: None,
            left: None,
            target: None,
            corrections: Vec::new(),
        }
    }
}

/// The namespaces and kinds that a plan brings along.
struct Coming {
    namespaces: BTreeSet<String>,
    kinds: BTreeSet<(String, String)>,
}

impl Coming {
    fn of(staged: &[(Stage, Vec<Item>)]) -> Self {
        let mut coming = Self {
            namespaces: BTreeSet::new(),
            kinds: BTreeSet::new(),
        };
        for item in staged.iter().flat_map(|(_, items)| items) {
            let wanted = &item.wanted;
            match wanted.id.kind.as_str() {
                "Namespace" if wanted.id.group.is_empty() => {
                    coming.namespaces.insert(wanted.id.name.clone());
                }
                "CustomResourceDefinition" => {
                    let text = |pointer| {
                        wanted
                            .value
                            .pointer(pointer)
                            .and_then(Value::as_str)
                            .unwrap_or_default()
                            .to_owned()
                    };
                    coming
                        .kinds
                        .insert((text("/spec/group"), text("/spec/names/kind")));
                }
                _ => {}
            }
        }
        coming
    }

    fn explains(&self, id: &ObjectId) -> bool {
        self.namespaces.contains(&id.namespace) || self.kinds.contains(&(id.group.clone(), id.kind.clone()))
    }
}

/// The kinds that a definition has the API server serve.
fn served_kinds(crd: &Value) -> Vec<Gvk> {
    let text = |value: &Value, pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let versions = crd
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let served = versions.filter(|version| version["served"] == true);
    served
        .map(|version| Gvk {
            group: text(crd, "/spec/group"),
            version: text(version, "/name"),
            kind: text(crd, "/spec/names/kind"),
        })
        .collect()
}

/// All rejections of a look are reported together.
fn refuse(mut rejections: Vec<Rejection>) -> Result<(), Failure> {
    if rejections.is_empty() {
        return Ok(());
    }
    rejections.sort_by(|a, b| a.subject.cmp(&b.subject));
    let lines: Vec<String> = rejections.iter().map(ToString::to_string).collect();
    Err(Failure::Apply(lines.join("\n")))
}

pub(crate) fn revoked(why: Revoked) -> Failure {
    match why {
        Revoked::Deadline => Failure::Timeout("the run took longer than spec.timeout".to_owned()),
        Revoked::NotLeader | Revoked::Canceled => Failure::Canceled(why.to_string()),
    }
}
