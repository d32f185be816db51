//! Runs: each is a task of its own, which is given a job and tells what it came to. No I/O here.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::super::context::Context;
use super::super::events::subject_of;
use super::super::finalize::finalize;
use super::super::job::{Done, Job, Stand};
use super::super::places::Place;
use super::super::reports::{report_outcome, report_suspended};
use super::super::run::run;
use super::super::step::{Ended, Event, Scope};
use super::super::{elsewhere, metrics};
use super::inputs::timeout;
use super::{Fleet, Member, Message};
use crate::api::Reason;
use crate::apply::Permit;
use crate::plan::{ObjectId, Owner};
use crate::report::{self, Failure, Outcome, Severity};

impl Fleet {
    /// A job about what a run would be for now.
    pub(super) fn job_now(&self, owner: &Arc<Owner>, member: &Member, scope: Scope) -> Job {
        let checkout = self.checkout(&member.kustomization);
        // What is deleted together with its source is about what it was applied at.
        let before = || {
            member
                .revisions
                .stand()
                .revision
                .clone()
                .filter(|_| scope == Scope::Finalize)
        };
        let stand = Stand {
            generation: member.kustomization.metadata.generation.unwrap_or_default(),
            revision: checkout
                .map(|checkout| checkout.revision().to_string())
                .or_else(before),
        };
        Job {
            stand,
            ..self.job(owner, member, scope)
        }
    }

    /// A job about what the last run was for.
    pub(super) fn job(&self, owner: &Arc<Owner>, member: &Member, scope: Scope) -> Job {
        let checkout = self.checkout(&member.kustomization).cloned();
        let timeout = timeout(&member.kustomization);
        Job {
            owner: owner.clone(),
            kustomization: member.kustomization.clone(),
            stand: member.revisions.stand().clone(),
            checkout,
            memory: member.memory.clone(),
            scope,
            statuses: member.statuses.clone(),
            news: member.news.clone(),
            permit: Permit::new(self.cx.leadership.clone(), member.cancel.clone(), timeout),
            number: member.number,
            ticket: self.tickets.fetch_add(1, Ordering::Relaxed),
            timeout,
            contested: member.contest.contested(self.cx.config.clock.now()),
        }
    }

    pub(super) fn start(&mut self, owner: &Arc<Owner>, scope: Scope) {
        self.runs += 1;
        let number = self.runs;
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        member.cancel = CancellationToken::new();
        member.supersede = CancellationToken::new();
        member.number = number;
        member.started = Instant::now();
        member.waiting_reported = false;
        let corrects = matches!(scope, Scope::Drift(_));
        if !corrects {
            member.whys.clear();
        }
        let finalizing = scope == Scope::Finalize;
        let (cancel, supersede) = (member.cancel.clone(), member.supersede.clone());
        let mut job = self.job_now(owner, &self.members[owner], scope);
        if let Some(member) = self.members.get_mut(owner) {
            member.revisions.try_at(job.stand.clone(), !corrects);
        }
        let cx = self.cx.clone();
        self.running += 1;
        // Asked for here, so that runs begin in the order in which they were decided on.
        let mut place = Box::pin(cx.places.enter());
        let at_once = place.as_mut().now_or_never();
        tokio::spawn(async move {
            let place = match at_once {
                Some(place) => place,
                None => place.await,
            };
            // The time of a run begins now that it has its place; what it holds is made now too, since many wait.
            job.permit = Permit::new(cx.leadership.clone(), cancel, job.timeout).superseded_by(supersede);
            let message = if finalizing {
                let ended = Box::pin(finalize_to_the_end(&cx, &job, &place)).await;
                Message::Finalized(job.owner.clone(), number, ended)
            } else {
                let done = Box::pin(run_to_the_end(&cx, &job, &place)).await;
                Message::RunEnded(job.owner.clone(), number, Box::new(done))
            };
            drop(place);
            // The fleet waits for runs under way before it ends, so it is there to be told.
            let _ = cx.messages.send(message).await;
        });
    }

    pub(super) fn run_ended(&mut self, owner: &Arc<Owner>, number: u64, done: Done) {
        self.running -= 1;
        let Some(member) = self
            .members
            .get_mut(owner)
            .filter(|member| member.number == number)
        else {
            self.drain_trickle();
            return;
        };
        member.memory = done.memory;
        let now = self.cx.config.clock.now();
        let contested: Vec<String> = done
            .corrections
            .iter()
            .filter_map(|correction| member.contest.corrected(correction, now))
            .collect();
        member.started = done.began;
        let took = done.began.elapsed();
        member.state.began(now.checked_sub(took).unwrap_or(now));
        let mut moved = false;
        let ended = match done.result {
            Ok(applied) => {
                if !applied.wait {
                    moved = member.revisions.applied_by_run(done.revision.clone());
                    tracing::debug!(kustomization = %owner, ?took, "applied");
                }
                Ended::Applied {
                    wait: applied.wait,
                    told: applied.told,
                    recheck: applied.recheck,
                }
            }
            Err(Failure::Canceled(_)) => Ended::Canceled,
            Err(failure) => Ended::Failed(failure),
        };
        self.cx.metrics.observe_reconcile(
            &metrics::key("Kustomization", &owner.namespace, &owner.name),
            took,
        );
        self.tell_contests(owner, contested, done.revision.as_deref());
        self.watch_inputs(owner);
        self.step(owner, Event::Finished(ended));
        self.retry_if_there(owner);
        self.catch_up(owner);
        if moved {
            self.refresh_dependents(owner);
        }
        self.return_to_line(owner);
        self.drain_trickle();
    }

    /// A field that somebody changes back each time is told, and told again while that goes on (rule 14).
    fn tell_contests(&self, owner: &Arc<Owner>, contested: Vec<String>, revision: Option<&str>) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        for message in contested {
            let subject = subject_of(owner, member.kustomization.metadata.uid.as_deref());
            self.cx.recorder.send(
                subject,
                report::Event {
                    severity: Severity::Error,
                    reason: Reason::ReconciliationFailed,
                    revision: revision.map(ToOwned::to_owned),
                    message,
                },
            );
        }
    }

    fn watch_inputs(&self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let Some(memory) = &member.memory else { return };
        let elsewhere = memory.targets.iter().filter(|target| target.expected.is_none());
        let elsewhere: HashSet<ObjectId> = elsewhere.map(|target| target.object.clone()).collect();
        self.cx.watches.release_objects(owner, &elsewhere);
        for object in &elsewhere {
            elsewhere::watch(&self.cx, owner, object);
        }
    }

    pub(super) fn finalized(&mut self, owner: &Arc<Owner>, number: u64, result: Result<(), Failure>) {
        self.running -= 1;
        if self
            .members
            .get(owner)
            .is_some_and(|member| member.number == number)
        {
            let ended = match result {
                Ok(()) => Ended::Finalized,
                Err(failure) => Ended::Failed(failure),
            };
            self.step(owner, Event::Finished(ended));
        }
        self.drain_trickle();
    }

    pub(super) fn report_blocked(&self, owner: &Arc<Owner>, failure: Failure) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let job = self.job_now(owner, member, Scope::Changes);
        let cx = self.cx.clone();
        tokio::spawn(async move {
            report_outcome(&cx, &job, Outcome::Failed(failure), None).await;
        });
    }

    pub(super) fn report_suspended(&self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let job = self.job_now(owner, member, Scope::Changes);
        let cx = self.cx.clone();
        tokio::spawn(async move { report_suspended(&cx, &job).await });
    }
}

/// A panic in a run ends that run, and nothing else.
async fn run_to_the_end(cx: &Arc<Context>, job: &Job, place: &Place) -> Done {
    let began = Instant::now();
    match AssertUnwindSafe(run(cx, job, place)).catch_unwind().await {
        Ok(done) => done,
        Err(_) => {
            let failure = broken();
            report_outcome(cx, job, Outcome::Failed(failure.clone()), None).await;
            Done {
                result: Err(failure),
                memory: None,
                revision: job.revision(),
                corrections: Vec::new(),
                began,
            }
        }
    }
}

async fn finalize_to_the_end(cx: &Arc<Context>, job: &Job, place: &Place) -> Result<(), Failure> {
    let finalizing = AssertUnwindSafe(finalize(cx, job, place)).catch_unwind();
    let result = finalizing.await.unwrap_or_else(|_| Err(broken()));
    if let Err(failure) = &result
        && !matches!(failure, Failure::Canceled(_))
    {
        let failure = failure.masked(&cx.redactor);
        report_outcome(cx, job, Outcome::Failed(failure), None).await;
    }
    result
}

fn broken() -> Failure {
    Failure::Apply("the run broke off by a defect of Coracle; its log has the place".to_owned())
}
