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

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::plan::{Missing, ObjectId};
use crate::report::{Failure, Retry};

/// How long a source that does not exist may be on its way before that is told as trouble.
const SOURCE_GRACE: Duration = Duration::from_secs(15);

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
    /// The same, since something around the objects changed: what is contested is left alone.
    Around,
    /// What is remembered and unchanged is left out.
    Changes,
    /// Only these objects, which events say were touched.
    Drift(BTreeSet<ObjectId>),
    /// Objects go, then the finalizer.
    Finalize,
}

impl Scope {
    /// Whether events ask for it, which come back as long as two programs disagree (rule 14).
    #[must_use]
    pub fn is_about_events(&self) -> bool {
        matches!(self, Self::Around | Self::Drift(_))
    }
}

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The object, its source or its dependencies changed.
    Inputs(Box<Inputs>),
    /// A ConfigMap or Secret that it reads changed.
    ConfigChanged,
    /// What admits objects changed: the server, its admission, or a definition of what is owned (rule 12).
    SurroundingsChanged,
    /// An object that another Kustomization wants carries that one's labels now: it can be forgotten.
    HandedOver,
    /// An owned object was touched.
    Touched(ObjectId),
    /// An owned object's generation moved, and our fields are as they were (rule 10): it is checked then.
    Moved(ObjectId, Timestamp),
    /// A kind is served now, or a namespace is there.
    Appeared(Missing),
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
    /// Stop the run under way if it does nothing but wait: there is something newer to run for.
    Supersede,
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
    Running {
        work: Work,
        /// It was told to stop.
        canceling: bool,
        /// It was told to stop if it only waits.
        superseding: bool,
    },
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
    /// Until when a source that does not exist may be on its way.
    source_due: Option<Timestamp>,
    /// What came in while a run was under way, or was not run for yet.
    pending: Pending,
    /// What the last run failed without.
    missing: BTreeSet<Missing>,
    /// Runs since the last success that began because what was missing had appeared.
    eager_runs: u32,
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
    /// Everything is to be looked at.
    full: bool,
    /// Everything is to be looked at, since something around the objects changed.
    around: bool,
    /// What changed is to be looked at.
    changes: bool,
    touched: BTreeSet<ObjectId>,
    /// When to check objects whose generation moved.
    moved: BTreeMap<ObjectId, Timestamp>,
}

impl Pending {
    /// Objects that are to be looked at now.
    fn drift(&self, now: Timestamp) -> BTreeSet<ObjectId> {
        let moved = self.moved.iter().filter(|(_, at)| now >= **at);
        self.touched
            .iter()
            .chain(moved.map(|(id, _)| id))
            .cloned()
            .collect()
    }

    /// A run starts: it takes along what it looks at. What it does not look at and moved shows when it has ended.
    fn taken_by(&mut self, scope: &Scope) {
        match scope {
            Scope::Drift(objects) => {
                self.touched.clear();
                self.moved.retain(|id, _| !objects.contains(id));
            }
            Scope::Full | Scope::Around | Scope::Changes | Scope::Finalize => *self = Self::default(),
        }
    }
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
            source_due: None,
            pending: Pending::default(),
            missing: BTreeSet::new(),
            eager_runs: 0,
            next_full: now,
            retry_at: None,
            recheck_at: None,
            run_started: now,
            finalized: false,
        }
    }

    /// The run under way began only now: it had to wait for its place.
    pub fn began(&mut self, at: Timestamp) {
        self.run_started = at;
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

    /// Whether something is on its way to health, for the first time or again: its pods are looked at.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        matches!(self.settling, Settling::Until(_) | Settling::Again(_))
    }

    /// What the last run failed without, and that has not appeared since.
    pub fn missing(&self) -> impl Iterator<Item = &Missing> {
        self.missing.iter()
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
            && !self.pending.full
            && !self.pending.around
            && !self.pending.changes
            && self.pending.touched.is_empty()
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
            Event::ConfigChanged => self.pending.full = true,
            Event::SurroundingsChanged => self.pending.around = true,
            Event::HandedOver => self.pending.changes = true,
            Event::Touched(id) => {
                self.pending.touched.insert(id);
            }
            Event::Moved(id, check_at) => {
                self.pending.moved.entry(id).or_insert(check_at);
            }
            Event::Appeared(what) => self.appeared(&what, now),
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
        if matches!(ended, Ended::Applied { .. }) {
            self.eager_runs = 0;
        }
        match ended {
            Ended::Applied { recheck, .. } if drift => {
                self.recheck_at = self.recheck_at.max(recheck);
                effects.push(Effect::Judge);
            }
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
                if let Failure::Missing { what, .. } = &failure {
                    self.missing.clone_from(what);
                }
                self.retry_at = match failure.retry() {
                    // Whoever deletes waits for the end: it is tried again, whatever the failure.
                    _ if work == Some(Work::Finalize) => Some(after(now, self.inputs.retry_interval)),
                    // What failed while it was being canceled for a deletion holds that up no longer.
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

    /// Once all that a run failed without is there, it is tried again at once; and later each time if it fails
    /// nevertheless: what is said to be there may not be.
    fn appeared(&mut self, what: &Missing, now: Timestamp) {
        if !self.missing.remove(what) || !self.missing.is_empty() {
            return;
        }
        let pause = match self.eager_runs {
            0 => Duration::ZERO,
            runs => Duration::from_secs(1 << (runs - 1).min(30)).min(self.inputs.retry_interval),
        };
        self.eager_runs += 1;
        let at = after(now, pause);
        self.retry_at = Some(self.retry_at.map_or(at, |retry| retry.min(at)));
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
        if self.is_running() {
            self.interrupt(effects);
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
            let block = self.within_grace(block, now);
            self.hold(block, now, effects);
            return;
        }
        self.reported_block = None;
        self.source_due = None;
        if let Some(scope) = self.due(now) {
            self.start(scope, now, effects);
        }
    }

    /// Stops a run that is not wanted any more; one that was overtaken only if it does nothing but wait.
    fn interrupt(&mut self, effects: &mut Vec<Effect>) {
        let overtaken = self.is_requested() || self.attempted.as_ref().is_some_and(|run| self.differs(run));
        let Phase::Running {
            work,
            canceling,
            superseding,
        } = &mut self.phase
        else {
            return;
        };
        if *work == Work::Finalize {
            return;
        }
        if self.inputs.suspended || self.inputs.deleting {
            if !std::mem::replace(canceling, true) {
                effects.push(Effect::Cancel);
            }
        } else if overtaken && !*superseding {
            *superseding = true;
            effects.push(Effect::Supersede);
        }
    }

    /// Whether the inputs are others than a run was for.
    fn differs(&self, run: &Attempt) -> bool {
        run.generation != self.inputs.generation
            || run.revision != self.inputs.revision
            || run.confirmed != self.inputs.confirmed
    }

    /// A source that does not exist is no trouble for a moment: what is created together may be seen one after the
    /// other.
    fn within_grace(&mut self, block: Failure, now: Timestamp) -> Failure {
        let Failure::SourceMissing { text, .. } = block else {
            self.source_due = None;
            return block;
        };
        let due = *self.source_due.get_or_insert(after(now, SOURCE_GRACE));
        Failure::SourceMissing {
            text,
            awaited: now < due,
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
        if passing {
            // The run after it has to say that it is over.
            self.next_full = now;
        } else {
            self.attempted = None;
        }
    }

    fn due(&self, now: Timestamp) -> Option<Scope> {
        let Some(attempted) = &self.attempted else {
            return Some(Scope::Full);
        };
        if self.is_requested() || now >= self.next_full || self.pending.full {
            return Some(Scope::Full);
        }
        if self.pending.around {
            return Some(Scope::Around);
        }
        if self.differs(attempted) || self.pending.changes {
            return Some(Scope::Changes);
        }
        if [self.retry_at, self.recheck_at]
            .into_iter()
            .flatten()
            .any(|at| now >= at)
        {
            return Some(Scope::Full);
        }
        let drift = self.pending.drift(now);
        (!drift.is_empty() && !attempted.failed).then_some(Scope::Drift(drift))
    }

    fn is_requested(&self) -> bool {
        self.inputs.requested.is_some() && self.inputs.requested != self.handled
    }

    fn start(&mut self, scope: Scope, now: Timestamp, effects: &mut Vec<Effect>) {
        let work = match scope {
            Scope::Full | Scope::Around | Scope::Changes => Work::Everything,
            Scope::Drift(_) => Work::Drift,
            Scope::Finalize => Work::Finalize,
        };
        self.phase = Phase::Running {
            work,
            canceling: false,
            superseding: false,
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
        self.missing.clear();
        self.pending.taken_by(&scope);
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
        if self.inputs.suspended {
            return None;
        }
        if let Some(block) = &self.reported_block {
            let awaited = matches!(block, Failure::SourceMissing { awaited: true, .. });
            return self.source_due.filter(|_| awaited);
        }
        let deadline = match self.settling {
            Settling::Until(at) | Settling::Again(at) => Some(at),
            _ => None,
        };
        // A failed run looks at everything when it is tried again.
        let failed = self.attempted.as_ref().is_none_or(|attempted| attempted.failed);
        let moved = self.pending.moved.values().min().copied().filter(|_| !failed);
        [
            Some(self.next_full),
            self.retry_at,
            self.recheck_at,
            deadline,
            moved,
        ]
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
