//! Health of what was applied: judged from what watches show, explained from pods, reported once it is decided.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::explain::{Whys, explain};
use super::super::memory::Memory;
use super::super::reports::report_outcome;
use super::super::step::{Event, Health, Scope};
use super::{Fleet, Member, Message};
use crate::api::{Reason, condition_types};
use crate::assess::targets::Target;
use crate::assess::verdict::{Seen as Sight, Verdict, judge};
use crate::cluster::{Index, Seen};
use crate::plan::{ObjectId, Owner};
use crate::report::{Failure, Outcome, Progress, Severity, conditions_of};

/// How often an object is looked at that no watch shows.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// When it is looked for the first time why something is not healthy yet.
const FIRST_EXPLANATION: Duration = Duration::from_secs(5);

impl Fleet {
    /// Judges what was applied, from what watches have shown.
    pub(super) fn judge(&mut self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        if member.state.is_running() {
            return;
        }
        let Some(memory) = member.memory.clone().filter(|memory| !memory.targets.is_empty()) else {
            return;
        };
        let verdict = self.verdict(member, &memory);
        let health = match &verdict {
            Verdict::Healthy => Health::Healthy,
            Verdict::Waiting { .. } => Health::InProgress,
            Verdict::Failed { .. } => Health::Failed(verdict.failure().unwrap_or_default()),
        };
        let in_progress = health == Health::InProgress;
        if health == Health::Healthy
            && let Some(member) = self.members.get_mut(owner)
        {
            // What passed is no cause of what may come.
            member.whys.clear();
        }
        let settling = self.is_settling(owner);
        self.step(owner, Event::Judged(health));
        if in_progress {
            self.report_waiting(owner);
            self.look_at_unwatched(owner);
        }
        // A watch that runs already has told of the pods before this was known to break.
        if self.pods.runs() && !settling && self.is_settling(owner) {
            self.start_explaining(owner);
        }
        self.watch_pods(owner);
    }

    /// What is waited for and no watch shows is looked at now and then.
    fn look_at_unwatched(&mut self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let Some(memory) = member.memory.clone().filter(|_| member.state.is_settling()) else {
            return;
        };
        let watches = &self.cx.watches;
        let is_unwatched = |target: &&Target| match target.expected {
            Some(_) => !watches.is_in_sync(&target.object.group, &target.object.kind),
            None => !watches.is_object_in_sync(&target.object),
        };
        let unwatched: Vec<ObjectId> = memory
            .targets
            .iter()
            .filter(is_unwatched)
            .map(|target| target.object.clone())
            .collect();
        if unwatched.is_empty() || member.looking {
            return;
        }
        let job = self.job(owner, member, Scope::Changes);
        if let Some(member) = self.members.get_mut(owner) {
            member.looking = true;
        }
        let cx = self.cx.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LOOK_EVERY).await;
            let is_unwatched = |id: &&ObjectId| {
                !cx.watches.is_in_sync(&id.group, &id.kind) && !cx.watches.is_object_in_sync(id)
            };
            for id in unwatched.iter().filter(is_unwatched) {
                super::super::elsewhere::look(&cx, &job, id).await;
            }
            let _ = cx.messages.send(Message::Looked(job.owner.clone())).await;
        });
    }

    pub(super) fn looked(&mut self, owner: &Arc<Owner>) {
        if let Some(member) = self.members.get_mut(owner) {
            member.looking = false;
            self.judge(owner);
        }
    }

    fn is_settling(&self, owner: &Owner) -> bool {
        self.members
            .get(owner)
            .is_some_and(|member| member.state.is_settling())
    }

    fn verdict(&self, member: &Member, memory: &Memory) -> Verdict {
        verdict(&self.cx.index, memory, &member.whys)
    }

    /// Says that health is waited for, once a run.
    fn report_waiting(&mut self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        if !member.state.is_waiting() || member.waiting_reported {
            return;
        }
        member.waiting_reported = true;
        // Pods that may not be created are told by no watch.
        self.explain_later(owner, FIRST_EXPLANATION);
        let member = &self.members[owner];
        let job = self.job(owner, member, Scope::Changes);
        let cx = self.cx.clone();
        tokio::spawn(async move {
            report_outcome(&cx, &job, Outcome::Progressing(Progress::Waiting), None).await;
        });
    }

    /// Pods are watched while anything is on its way to health, for the first time or again (rule 20).
    fn watch_pods(&mut self, judged: &Owner) {
        let wanted = self.is_settling(judged)
            || self.pods.runs() && self.members.values().any(|member| member.state.is_settling());
        self.pods.keep(wanted);
    }

    pub(super) fn pod_trouble(&mut self, namespace: &str) {
        let waiting: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| {
                member.state.is_settling()
                    && member.memory.as_ref().is_some_and(|memory| {
                        memory
                            .targets
                            .iter()
                            .any(|target| target.object.namespace == namespace)
                    })
            })
            .map(|(owner, _)| owner.clone())
            .collect();
        for owner in waiting {
            self.start_explaining(&owner);
        }
    }

    pub(super) fn explain_again(&mut self, owner: &Arc<Owner>) {
        if let Some(member) = self.members.get_mut(owner) {
            member.explanation_due = false;
        }
        if self.is_settling(owner) {
            self.start_explaining(owner);
        }
    }

    pub(super) fn start_explaining(&mut self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        if member.explaining {
            member.explain_again = true;
            return;
        }
        let Some(memory) = member.memory.clone() else {
            return;
        };
        member.explaining = true;
        let member = &self.members[owner];
        let objects = unhealthy(&self.verdict(member, &memory));
        let job = self.job(owner, member, Scope::Changes);
        let cx = self.cx.clone();
        tokio::spawn(async move {
            let whys = explain(&cx, &job.api(&cx), objects).await;
            let _ = cx
                .messages
                .send(Message::Explained(job.owner.clone(), job.number, whys))
                .await;
        });
    }

    pub(super) fn explained(&mut self, owner: &Arc<Owner>, number: u64, whys: Whys) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        member.explaining = false;
        let again = std::mem::take(&mut member.explain_again);
        if member.number != number {
            if again && self.is_settling(owner) {
                self.start_explaining(owner);
            }
            return;
        }
        let unsure = !whys.is_empty();
        member.whys = whys;
        self.judge(owner);
        if !self.is_settling(owner) {
            return;
        }
        if again {
            self.start_explaining(owner);
        } else if unsure {
            // Trouble that may pass is looked at again when its time of grace is over.
            self.explain_later(owner, Duration::MAX);
        }
    }

    /// Orders another look, after the time of grace at the latest; one is enough.
    fn explain_later(&mut self, owner: &Arc<Owner>, pause: Duration) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        if std::mem::replace(&mut member.explanation_due, true) {
            return;
        }
        let grace = self.cx.config.failure_grace.max(Duration::from_millis(200));
        let (cx, owner) = (self.cx.clone(), owner.clone());
        tokio::spawn(async move {
            tokio::time::sleep(pause.min(grace)).await;
            let _ = cx.messages.send(Message::Explain(owner)).await;
        });
    }

    pub(super) fn report_unhealthy(&mut self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let Some(memory) = member.memory.clone() else {
            return;
        };
        let objects = unhealthy(&self.verdict(member, &memory));
        let known = member.whys.clone();
        let job = self.job(owner, member, Scope::Changes);
        let (cx, took) = (self.cx.clone(), member.started.elapsed());
        self.watch_pods(owner);
        tokio::spawn(async move {
            let mut whys = explain(&cx, &job.api(&cx), objects).await;
            for (object, known) in known {
                whys.entry(object).or_insert(known);
            }
            let verdict = verdict(&cx.index, &memory, &whys);
            let Some(text) = verdict.failure() else { return };
            let failure = Failure::Health(text).masked(&cx.redactor);
            report_outcome(&cx, &job, Outcome::Failed(failure), Some(took)).await;
        });
    }

    pub(super) fn report_ready(&mut self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        member.revisions.settle();
        let member = &self.members[owner];
        let was_ready = conditions_of(Some(&member.status)).is_true(condition_types::HEALTHY);
        let job = self.job(owner, member, Scope::Changes);
        let (cx, took) = (self.cx.clone(), member.started.elapsed());
        tokio::spawn(async move {
            let is_news = job.memory.as_ref().is_some_and(|memory| memory.is_news);
            let outcome = Outcome::Succeeded { health_checked: true };
            let told = report_outcome(&cx, &job, outcome, is_news.then_some(took)).await;
            if !was_ready && !told {
                let message = format!(
                    "Health check passed in {}",
                    crate::api::GoDuration(Duration::from_millis(took.as_millis() as u64))
                );
                // Under the reason that the Ready condition has while health is waited for, as in Flux.
                cx.recorder
                    .about(&job, Severity::Info, Reason::Progressing, message);
            }
        });
    }
}

/// Judges targets by what watches have shown, and by what is known of the causes.
fn verdict(index: &Index, memory: &Memory, whys: &Whys) -> Verdict {
    let sights: HashMap<&ObjectId, Seen> = memory
        .targets
        .iter()
        .filter_map(|target| Some((&target.object, index.get(&target.object)?)))
        .collect();
    judge(
        &memory.targets,
        |object| {
            sights
                .get(object)
                .map_or(Sight::Absent, |seen| Sight::Present(&seen.observed))
        },
        |object| whys.get(object).map(Vec::as_slice).unwrap_or_default(),
    )
}

fn unhealthy(verdict: &Verdict) -> Vec<ObjectId> {
    match verdict {
        Verdict::Healthy => Vec::new(),
        Verdict::Waiting { on } => on.iter().map(|finding| finding.object.clone()).collect(),
        Verdict::Failed { why } => why.iter().map(|finding| finding.object.clone()).collect(),
    }
}
