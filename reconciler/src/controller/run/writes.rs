//! Writes the objects of one stage, and remembers how each was left. Does I/O, through `apply` alone.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::fleet::Message;
use super::super::gone::{until_gone, what_holds};
use super::super::job::Correction;
use super::super::memory::{Left, Memory, version};
use super::super::reports::report_outcome;
use super::items::Item;
use super::{PARALLEL, Run, revoked};
use crate::apply::{self, Known, Preview, Previewed, Recorded, Rejection, Revoked};
use crate::assess::reduce::Observed;
use crate::assess::targets::Target;
use crate::cluster::{ApiError, Fingerprint, Kind, ObjectEvent, Seen};
use crate::plan::{Action, Missing, ObjectId, Wanted};
use crate::report::{Failure, Outcome, Progress};

/// How often an object is written that somebody else changes or replaces after each look at it.
const ATTEMPTS: usize = 3;
/// What is being deleted is gone by then, unless something keeps it.
const SOON_GONE: Duration = Duration::from_secs(3);

/// Why an object was not written.
enum NotWritten {
    /// The server refused, was not heard, or was not asked since the permit is gone.
    Api(ApiError),
    /// What was found at a second look cannot be applied.
    Rejected(Rejection),
    /// There was no second look.
    Failed(Failure),
    /// What has to come before a write has not been done.
    Unprepared(&'static str),
}

impl From<ApiError> for NotWritten {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// What was done to one object.
struct Wrote {
    action: Action,
    uid: Option<String>,
    left: Option<Left>,
    target: Option<Target>,
    corrections: Vec<Correction>,
    /// When to look again, because an older write may have arrived after this one.
    recheck: Option<Timestamp>,
}

impl Wrote {
    fn nothing(action: Action) -> Self {
        Self {
            action,
            uid: None,
            left: None,
            target: None,
            corrections: Vec::new(),
            recheck: None,
        }
    }
}

impl Run<'_> {
    pub(super) async fn write_stage(
        &mut self,
        recorded: Option<&Recorded>,
        items: &[Item],
        previews: &HashMap<ObjectId, Previewed>,
        memory: &mut Memory,
        uids: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let mut failures = Vec::new();
        let mut missing = BTreeSet::new();
        let mut ended_by = None;
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
        let mut recheck = None;
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
                    recheck = recheck.max(wrote.recheck);
                    uids.extend(wrote.uid);
                    if let Some(left) = wrote.left {
                        let id = self.cx.index.shared(&item.wanted.id);
                        memory.objects.insert(id, left);
                    }
                    memory.targets.extend(wrote.target);
                }
                Err(NotWritten::Api(ApiError::Revoked(why))) => ended_by = Some(revoked(why)),
                Err(NotWritten::Failed(failure)) => ended_by = Some(failure),
                Err(NotWritten::Api(error)) => {
                    missing.extend(self.missing_for(item, &error));
                    let words = self.explained(&item.wanted, &error.to_string());
                    failures.push(format!("{}: {words}", located(&item.wanted)));
                }
                Err(NotWritten::Unprepared(why)) => {
                    failures.push(format!("{}: {why}", located(&item.wanted)));
                }
                Err(NotWritten::Rejected(rejection)) => failures.push(rejection.to_string()),
            }
        }
        drop(writes);
        self.changes.extend(changes);
        self.corrections.extend(corrections);
        self.recheck = self.recheck.max(recheck);
        if let Some(failure) = ended_by {
            return Err(failure);
        }
        if failures.is_empty() {
            return Ok(());
        }
        Err(Failure::of_apply(failures.join("\n"), missing))
    }

    /// What a refused write says is not there.
    fn missing_for(&self, item: &Item, error: &ApiError) -> Option<Missing> {
        let status = error.status()?;
        if status.is_missing_namespace() || status.is_terminating_namespace() {
            return Some(Missing::Namespace(item.wanted.id.namespace.clone()));
        }
        if !status.is_unserved() {
            return None;
        }
        self.cx.discovery.forget(&item.kind.gvk);
        Some(Missing::Kind(item.kind.gvk.clone()))
    }

    /// Writes an object as it was previewed; looks again when it is not as it was then.
    async fn write_one(
        &self,
        recorded: Option<&Recorded>,
        item: &Item,
        previewed: Option<&Previewed>,
    ) -> Result<Wrote, NotWritten> {
        let Some(previewed) = previewed else {
            return Ok(self.settled(item));
        };
        let mut answer = self.write_previewed(recorded, item, previewed).await;
        for _ in 1..ATTEMPTS {
            if !matches!(&answer, Err(NotWritten::Api(error)) if error.is_conflict()) {
                break;
            }
            let again = self.preview_knowing(item, Known::Nothing).await;
            let again = again.map_err(NotWritten::Failed)?;
            answer = self.write_previewed(recorded, item, &again).await;
        }
        answer
    }

    async fn write_previewed(
        &self,
        recorded: Option<&Recorded>,
        item: &Item,
        previewed: &Previewed,
    ) -> Result<Wrote, NotWritten> {
        let id = &item.wanted.id;
        let mut preview = match previewed {
            Previewed::Ok(preview) | Previewed::Unverified(preview) => preview.clone(),
            Previewed::Terminating { uid } => {
                self.await_gone(&item.kind, id, Some(uid)).await?;
                Preview::of(Action::Created, None)
            }
            Previewed::Rejected(rejection) => return Err(NotWritten::Rejected(rejection.clone())),
            Previewed::Deferred(_, words) => {
                return Err(NotWritten::Rejected(Rejection::of_dry_run(&item.wanted, words)));
            }
            Previewed::OwnedBy(..) => return Err(NotWritten::Unprepared("it was not previewed")),
        };
        let contested = self.job.contested.contains(id) && self.job.scope.is_about_events();
        match preview.action {
            Action::Created if self.is_done(item) => return Ok(done(item)),
            Action::Skipped => return Ok(self.skipped(item, preview.live.as_ref())),
            Action::Unchanged => return Ok(self.unchanged(item, preview.live.as_ref())),
            _ if contested => return Ok(self.unchanged(item, preview.live.as_ref())),
            _ => {}
        }
        let recorded = recorded.ok_or(NotWritten::Unprepared("the intent is not in the inventory"))?;
        // Asked before: the time of doubt may end while the answer is on its way.
        let doubted = self.doubted_until(id);
        self.cx.watches.ensure(&item.kind);
        if preview.action == Action::Recreated {
            let uid = preview.uid.take();
            apply::make_room(
                recorded,
                &self.job.permit,
                &self.api,
                &item.kind,
                id,
                uid.as_deref(),
            )
            .await?;
            self.await_gone(&item.kind, id, uid.as_deref()).await?;
        }
        let before = self.cx.index.get(id);
        let written = apply::write(
            recorded,
            &self.job.permit,
            &self.api,
            &item.kind,
            &item.wanted,
            &preview,
        )
        .await;
        if written.as_ref().map_or_else(
            |error| error.is_ambiguous() || error.may_have_been_carried_out(),
            |written| written.repeated,
        ) {
            self.cx.doubts.lost_answer(id);
        }
        let written = written?;
        let fingerprint = self.seed(id, before.as_ref(), &written.object);
        self.tell_former_owner(id, before.as_ref()).await;
        let corrections = match &preview.drift {
            Some(drift) if self.job.scope.is_about_events() => drift
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
                generation: written
                    .object
                    .pointer("/metadata/generation")
                    .and_then(Value::as_i64)
                    .unwrap_or_default(),
                before: [preview.live.as_ref(), before.as_ref()].map(|seen| seen.map_or(0, version)),
                skipped: false,
                vanishes: vanishes(&item.wanted.value),
            }),
            target: Some(Target::applied(&written.object)),
            corrections,
            recheck: doubted.max(self.doubted_until(id)),
        })
    }

    /// Whoever owned it before is told that it is not theirs any more: no watch will, since it is known here already.
    async fn tell_former_owner(&self, id: &ObjectId, before: Option<&Seen>) {
        let Some(owner) = before.and_then(|before| before.owner.clone()) else {
            return;
        };
        if owner == self.job.owner {
            return;
        }
        let event = ObjectEvent {
            owner,
            id: id.clone(),
            gone: true,
        };
        // The fleet ends only when the controller does.
        let _ = self.cx.messages.send(Message::Object(event)).await;
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
            uid: seen.as_ref().map(|seen| seen.observed.uid.to_string()),
            left,
            target: Some(target_of(item, seen.as_ref())),
            ..Wrote::nothing(Action::Unchanged)
        }
    }

    /// Whether an object that is absent has been here as it is wanted, and was removed by the cluster when it was done.
    /// What this process does not remember, the status tells.
    fn is_done(&self, item: &Item) -> bool {
        let id = &item.wanted.id;
        vanishes(&item.wanted.value)
            && match (&self.job.memory, self.left(id)) {
                (Some(_), left) => left.is_some_and(|left| left.wanted == item.digest),
                (None, _) => self.was_applied && self.job.statuses.is_inherited(id),
            }
    }

    /// An object that was looked at and agrees: what was seen then is what the next event is compared with.
    fn unchanged(&self, item: &Item, live: Option<&Seen>) -> Wrote {
        Wrote {
            uid: live.map(|live| live.observed.uid.to_string()),
            left: self.keep_in_sight(item, live, false),
            target: Some(target_of(item, live)),
            ..Wrote::nothing(Action::Unchanged)
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
        let before = item.before.as_ref();
        self.cx.index.put_if_unchanged(&item.wanted.id, before, seen);
        Some(Left {
            wanted: item.digest,
            fingerprint: live.fingerprint,
            generation: live.observed.generation,
            before: [0; 2],
            skipped,
            vanishes: vanishes(&item.wanted.value),
        })
    }

    /// Waits until an object is gone, and says what keeps it when that takes long.
    async fn await_gone(&self, kind: &Kind, id: &ObjectId, uid: Option<&str>) -> Result<(), NotWritten> {
        self.cx.watches.ensure(kind);
        let gone = async {
            tokio::select! {
                answer = until_gone(&self.api, &self.cx.index, kind, id, uid) => answer,
                never = self.tell_what_holds(kind, id) => match never {},
            }
        };
        match self.place.leave_for(self.job.permit.wait(gone)).await {
            Ok(answer) => Ok(answer?),
            Err(Revoked::Deadline) => {
                let held = what_holds(&self.api, kind, id).await;
                let text = format!("{held} ({})", Revoked::Deadline);
                Err(NotWritten::Failed(Failure::Timeout(text)))
            }
            Err(why) => Err(NotWritten::Api(why.into())),
        }
    }

    async fn tell_what_holds(&self, kind: &Kind, id: &ObjectId) -> Infallible {
        tokio::time::sleep(SOON_GONE).await;
        let held = what_holds(&self.api, kind, id).await;
        let outcome = Outcome::Progressing(Progress::Deleting(held));
        self.told.store(true, Ordering::Relaxed);
        report_outcome(self.cx, self.job, outcome, None).await;
        std::future::pending().await
    }
}

/// An object, and where it comes from if that is known.
fn located(wanted: &Wanted) -> String {
    match &wanted.origin {
        Some(origin) => format!("{} ({origin})", wanted.id),
        None => wanted.id.to_string(),
    }
}

/// An object that is gone since it is done.
fn done(item: &Item) -> Wrote {
    Wrote {
        left: Some(Left {
            wanted: item.digest,
            fingerprint: Fingerprint::of(&Value::Null),
            generation: 0,
            before: [0; 2],
            skipped: false,
            vanishes: true,
        }),
        target: Some(Target::applied(&item.wanted.value)),
        ..Wrote::nothing(Action::Unchanged)
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
        return Target::elsewhere(ObjectId::of(&object));
    };
    object["metadata"]["uid"] = (*seen.observed.uid).into();
    object["metadata"]["generation"] = seen.observed.generation.into();
    Target::applied(&object)
}

/// Whether the cluster deletes an object when it is done.
fn vanishes(object: &Value) -> bool {
    object["kind"] == "Job" && !object["spec"]["ttlSecondsAfterFinished"].is_null()
}
