//! When a run of one Kustomization starts, stops, waits and is tried again. Pure: state, event and time in,
//! effects out (rule 21).
//!
//! ```text
//!            inputs ready                  applied                  healthy
//!  Blocked ---------------> Running ---------------> Waiting ---------------> Settled
//!     ^                        |   \_________________   |  \________________ /   |
//!     |   source, dependency   |     failed (retry)  \  |   failed, timed out    | drift, commit,
//!     +------------------------+<---------------------+-+------------------------+ interval, request
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::plan::ObjectId;
use crate::report::{Failure, Retry};

/// What is known of a Kustomization's inputs, replaced whole when any of them changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// `metadata.generation`.
    pub generation: i64,
    /// `spec.suspend`.
    pub suspended: bool,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The `requestedAt` annotation, if it is not handled yet.
    pub requested: Option<String>,
    /// The prune confirmation, if there is one.
    pub confirmed: Option<String>,
    /// What keeps it from running: a missing source, a dependency, a field that is not served.
    pub blocked: Option<Failure>,
    /// The newest revision of its source.
    pub revision: Option<String>,
    /// How often everything is checked.
    pub interval: Duration,
    /// How long until a failed run is tried again.
    pub retry_interval: Duration,
    /// Bound of a run, waiting included.
    pub timeout: Duration,
    /// Phase of the interval in thousandths, from the uid (rule 23).
    pub phase: u16,
}

/// How much a run looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything is previewed, whatever is remembered.
    Full,
    /// What is remembered and unchanged is left out.
    Changes,
    /// Only these objects, which events say were touched.
    Drift(BTreeSet<ObjectId>),
    /// Objects go, then the finalizer.
    Finalize,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The object, its source or its dependencies changed.
    Inputs(Box<Inputs>),
    /// A ConfigMap or Secret that it reads changed.
    ConfigChanged,
    /// An owned object was touched.
    Touched(ObjectId),
    /// A run ended.
    Finished(Ended),
    /// The health of what was applied was judged.
    Judged(Health),
    /// A timer went off.
    Tick,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// Everything is applied; health is to be waited for, or not.
    Applied {
        /// Whether there is something to wait for.
        wait: bool,
        /// When everything is to be looked at again, because a late write may bring back until then what was
        /// pruned (rule 2).
        recheck: Option<Timestamp>,
    },
    /// It failed.
    Failed(Failure),
    /// It was canceled, and leaves no mark.
    Canceled,
    /// The finalizer is gone.
    Finalized,
}

/// Judgement on what was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// All of it is healthy.
    Healthy,
    /// Some of it is on its way.
    InProgress,
    /// Some of it failed, and why.
    Failed(String),
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start a run.
    Start(Scope),
    /// Stop the run under way before its next write.
    Cancel,
    /// Judge the health of what was applied.
    Judge,
    /// Find out why it is not healthy and report that as a failure.
    ReportUnhealthy(String),
    /// Report success: applied, and healthy where that is asked for.
    ReportReady,
    /// Report what keeps it from running.
    ReportBlocked(Failure),
    /// Forget it.
    Forget,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Running { work: Work, canceling: bool },
}

/// What a run is for, as far as its end matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Everything,
    Drift,
    Finalize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settling {
    /// Nothing is waited for.
    No,
    /// Health is waited for until then.
    Until(Timestamp),
    /// It was healthy.
    Healthy,
    /// It was healthy and is on its way again until then.
    Again(Timestamp),
    /// It was reported unhealthy.
    Unhealthy,
}

/// What is remembered of one Kustomization.
#[derive(Clone, Debug)]
pub struct State {
    inputs: Inputs,
    phase: Phase,
    settling: Settling,
    attempted: Option<Attempt>,
    /// The `requestedAt` that a run was last started for.
    handled: Option<String>,
    reported_block: Option<Failure>,
    /// What came in while a run was under way, or was not run for yet.
    pending: Pending,
    next_full: Timestamp,
    retry_at: Option<Timestamp>,
    recheck_at: Option<Timestamp>,
    run_started: Timestamp,
    finalized: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Attempt {
    generation: i64,
    revision: Option<String>,
    confirmed: Option<String>,
    failed: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pending {
    config: bool,
    touched: BTreeSet<ObjectId>,
}

impl State {
    /// A Kustomization that was just seen.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            inputs: Inputs::default(),
            phase: Phase::Idle,
            settling: Settling::No,
            attempted: None,
            handled: None,
            reported_block: None,
            pending: Pending::default(),
            next_full: now,
            retry_at: None,
            recheck_at: None,
            run_started: now,
            finalized: false,
        }
    }

    /// Whether a run is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// Whether health is being waited for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.settling, Settling::Until(_))
    }

    /// A commit that touches nothing of this Kustomization counts as applied without a run.
    pub fn skip_to(&mut self, revision: &str) {
        if let Some(attempted) = &mut self.attempted {
            attempted.revision = Some(revision.to_owned());
        }
        self.inputs.revision = Some(revision.to_owned());
    }

    /// Whether a new revision may be skipped when none of its changes were read: the last run succeeded, with
    /// the same spec, and nothing waits.
    #[must_use]
    pub fn may_skip(&self) -> bool {
        let clean = self.phase == Phase::Idle
            && self.pending == Pending::default()
            && matches!(self.settling, Settling::No | Settling::Healthy)
            && self.inputs.blocked.is_none()
            && !self.inputs.suspended
            && !self.is_requested();
        clean
            && self
                .attempted
                .as_ref()
                .is_some_and(|a| !a.failed && a.generation == self.inputs.generation)
    }

    /// Takes an event in and says what to do.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Inputs(inputs) => {
                if inputs.deleting && !self.inputs.deleting {
                    // What a failed run waits for holds no deletion up.
                    self.retry_at = None;
                }
                self.inputs = *inputs;
            }
            Event::ConfigChanged => self.pending.config = true,
            Event::Touched(id) => {
                self.pending.touched.insert(id);
            }
            Event::Finished(ended) => self.finished(ended, now, &mut effects),
            Event::Judged(health) => self.judged(health, now, &mut effects),
            Event::Tick => self.tick(now, &mut effects),
        }
        self.decide(now, &mut effects);
        effects
    }

    fn finished(&mut self, ended: Ended, now: Timestamp, effects: &mut Vec<Effect>) {
        let work = match self.phase {
            Phase::Running { work, .. } => Some(work),
            Phase::Idle => None,
        };
        let drift = work == Some(Work::Drift);
        self.phase = Phase::Idle;
        match ended {
            Ended::Applied { .. } if drift => effects.push(Effect::Judge),
            Ended::Applied { wait: true, recheck } => {
                self.recheck_at = recheck;
                self.settling = Settling::Until(after(self.run_started, self.inputs.timeout));
                effects.push(Effect::Judge);
            }
            Ended::Applied { wait: false, recheck } => {
                self.recheck_at = recheck;
                self.settling = Settling::No;
            }
            Ended::Failed(failure) => {
                if let Some(attempted) = &mut self.attempted {
                    attempted.failed = true;
                }
                self.settling = Settling::No;
                self.retry_at = match failure.retry() {
                    // Whoever deletes waits for the end: it is tried again, whatever the failure.
                    _ if work == Some(Work::Finalize) => Some(after(now, self.inputs.retry_interval)),
                    // Nor does what a run failed of that was under way when the deletion came.
                    _ if self.inputs.deleting => None,
                    Retry::Interval => Some(after(now, self.inputs.retry_interval)),
                    Retry::OnChange | Retry::Never => None,
                };
            }
            Ended::Canceled => self.attempted = None,
            Ended::Finalized => {
                self.finalized = true;
                effects.push(Effect::Forget);
            }
        }
    }

    fn judged(&mut self, health: Health, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Idle || self.inputs.suspended || self.inputs.deleting {
            return;
        }
        self.settling = match (self.settling, health) {
            (Settling::No, _) => Settling::No,
            (Settling::Healthy, Health::Healthy) => Settling::Healthy,
            (Settling::Again(_), Health::Healthy) => Settling::Healthy,
            (_, Health::Healthy) => {
                self.retry_at = None;
                if let Some(attempted) = &mut self.attempted {
                    attempted.failed = false;
                }
                effects.push(Effect::ReportReady);
                Settling::Healthy
            }
            (Settling::Healthy, Health::InProgress) => Settling::Again(after(now, self.inputs.timeout)),
            (settling, Health::InProgress) => settling,
            (Settling::Unhealthy, Health::Failed(_)) => Settling::Unhealthy,
            (_, Health::Failed(why)) => self.unhealthy(why, now, effects),
        };
    }

    fn unhealthy(&mut self, why: String, now: Timestamp, effects: &mut Vec<Effect>) -> Settling {
        if let Some(attempted) = &mut self.attempted {
            attempted.failed = true;
        }
        self.retry_at = Some(after(now, self.inputs.retry_interval));
        effects.push(Effect::ReportUnhealthy(why));
        Settling::Unhealthy
    }

    fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let over = match self.settling {
            Settling::Until(deadline) | Settling::Again(deadline) => now >= deadline,
            _ => false,
        };
        if over && self.phase == Phase::Idle {
            self.settling = self.unhealthy(String::new(), now, effects);
        }
    }

    fn decide(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.finalized {
            return;
        }
        if let Phase::Running { work, canceling } = &mut self.phase {
            let unwanted = self.inputs.suspended || self.inputs.deleting;
            if unwanted && *work != Work::Finalize && !*canceling {
                *canceling = true;
                effects.push(Effect::Cancel);
            }
            return;
        }
        if self.inputs.deleting {
            if self.retry_at.is_none_or(|at| now >= at) {
                self.start(Scope::Finalize, now, effects);
            }
            return;
        }
        if self.inputs.suspended {
            self.settling = Settling::No;
            return;
        }
        if let Some(block) = self.inputs.blocked.clone() {
            self.hold(block, now, effects);
            return;
        }
        self.reported_block = None;
        if let Some(scope) = self.due(now) {
            self.start(scope, now, effects);
        }
    }

    /// Something keeps it from running. A dependency that is not ready for a moment is no news to one that has
    /// nothing to run for.
    fn hold(&mut self, block: Failure, now: Timestamp, effects: &mut Vec<Effect>) {
        let passing = matches!(block, Failure::Dependency(_));
        if passing && self.due(now).is_none() {
            return;
        }
        if !self.is_requested() && self.reported_block.as_ref() == Some(&block) {
            return;
        }
        effects.push(Effect::ReportBlocked(block.clone()));
        self.handled.clone_from(&self.inputs.requested);
        self.reported_block = Some(block);
        self.settling = Settling::No;
        if !passing {
            self.attempted = None;
        }
    }

    fn due(&self, now: Timestamp) -> Option<Scope> {
        let Some(attempted) = &self.attempted else {
            return Some(Scope::Full);
        };
        if self.is_requested() || now >= self.next_full || self.pending.config {
            return Some(Scope::Full);
        }
        if attempted.generation != self.inputs.generation
            || attempted.revision != self.inputs.revision
            || attempted.confirmed != self.inputs.confirmed
        {
            return Some(Scope::Changes);
        }
        if [self.retry_at, self.recheck_at]
            .into_iter()
            .flatten()
            .any(|at| now >= at)
        {
            return Some(Scope::Full);
        }
        if !self.pending.touched.is_empty() && !attempted.failed {
            return Some(Scope::Drift(self.pending.touched.clone()));
        }
        None
    }

    fn is_requested(&self) -> bool {
        self.inputs.requested.is_some() && self.inputs.requested != self.handled
    }

    fn start(&mut self, scope: Scope, now: Timestamp, effects: &mut Vec<Effect>) {
        let work = match scope {
            Scope::Full | Scope::Changes => Work::Everything,
            Scope::Drift(_) => Work::Drift,
            Scope::Finalize => Work::Finalize,
        };
        self.phase = Phase::Running {
            work,
            canceling: false,
        };
        self.run_started = now;
        self.retry_at = None;
        if work != Work::Drift {
            self.attempted = Some(Attempt {
                generation: self.inputs.generation,
                revision: self.inputs.revision.clone(),
                confirmed: self.inputs.confirmed.clone(),
                failed: false,
            });
            self.next_full = self.next_full_after(now);
            self.recheck_at = None;
            if self.inputs.requested.is_some() {
                self.handled.clone_from(&self.inputs.requested);
            }
        }
        self.pending = Pending::default();
        effects.push(Effect::Start(scope));
    }

    /// The next full check: at the phase of the interval that the uid gives, so that a fleet does not check
    /// all at once.
    fn next_full_after(&self, now: Timestamp) -> Timestamp {
        let interval = self.inputs.interval.as_secs_f64().max(1.0);
        let phase = f64::from(self.inputs.phase) / 1000.0 * interval;
        let seconds = now.as_second() as f64;
        let mut next = ((seconds - phase) / interval).floor() * interval + phase + interval;
        if next - seconds < interval / 2.0 {
            next += interval;
        }
        Timestamp::from_second(next as i64).unwrap_or(Timestamp::MAX)
    }

    /// When to come back if nothing happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.phase != Phase::Idle {
            return None;
        }
        if self.inputs.deleting {
            return self.retry_at;
        }
        if self.inputs.suspended || self.reported_block.is_some() {
            return None;
        }
        let deadline = match self.settling {
            Settling::Until(at) | Settling::Again(at) => Some(at),
            _ => None,
        };
        [Some(self.next_full), self.retry_at, self.recheck_at, deadline]
            .into_iter()
            .flatten()
            .min()
    }
}

fn after(time: Timestamp, pause: Duration) -> Timestamp {
    time.checked_add(pause).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
