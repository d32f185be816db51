//! When a run of one Kustomization starts, stops, waits and is tried again. Pure: state, event and time in,
//! effects out (rule 21). What is told and what is to be done stands in `terms`, the way to health in `settling`.
//!
//! ```text
//!            inputs ready                  applied                  healthy
//!  Blocked ---------------> Running ---------------> Waiting ---------------> Settled
//!     ^                        |   \_________________   |  \________________ /   |
//!     |   source, dependency   |     failed (retry)  \  |   failed, timed out    | drift, commit,
//!     +------------------------+<---------------------+-+------------------------+ interval, request
//! ```

mod absent;
mod attempt;
mod hold;
mod pending;
mod settling;
mod terms;

use std::time::Duration;

use jiff::Timestamp;

use self::absent::Absent;
use self::attempt::{Attempt, Work};
use self::hold::Hold;
pub(crate) use self::hold::SOURCE_GRACE;
use self::pending::Pending;
use self::settling::{Settling, Turn};
pub use self::terms::{Effect, Ended, Event, Health, Inputs, Scope};
use crate::plan::Missing;
use crate::report::{Failure, Retry};

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
    /// Its finalizer is gone.
    Gone,
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
    hold: Hold,
    /// The generation that was last reported as suspended.
    suspended: Option<i64>,
    pending: Pending,
    absent: Absent,
    next_full: Timestamp,
    retry_at: Option<Timestamp>,
    recheck_at: Option<Timestamp>,
    run_started: Timestamp,
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
            hold: Hold::default(),
            suspended: None,
            pending: Pending::default(),
            absent: Absent::default(),
            next_full: now,
            retry_at: None,
            recheck_at: None,
            run_started: now,
        }
    }

    /// The run under way began only now: it had to wait for its place.
    pub fn began(&mut self, at: Timestamp) {
        self.run_started = at;
    }

    /// Whether a run is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// Whether health is being waited for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.settling, Settling::Until(_))
    }

    /// Whether something is on its way to health, for the first time or again: its pods are looked at.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        self.settling.deadline().is_some()
    }

    /// What the last run failed without, and that has not appeared since.
    pub fn missing(&self) -> impl Iterator<Item = &Missing> {
        self.absent.iter()
    }

    /// A commit that touches nothing of this Kustomization counts as applied without a run.
    pub fn skip_to(&mut self, revision: &str, ignore: Option<&str>) {
        let (revision, ignore) = (Some(revision.to_owned()), ignore.map(ToOwned::to_owned));
        if let Some(attempted) = &mut self.attempted {
            attempted.revision.clone_from(&revision);
            attempted.ignore.clone_from(&ignore);
        }
        self.inputs.revision = revision;
        self.inputs.ignore = ignore;
    }

    /// Whether a new revision may be skipped when none of its changes were read: the last run succeeded, with
    /// the same spec, and nothing waits.
    #[must_use]
    pub fn may_skip(&self) -> bool {
        let clean = self.phase == Phase::Idle
            && self.pending.is_empty()
            && matches!(self.settling, Settling::No | Settling::Healthy)
            && self.inputs.blocked.is_none()
            && !self.inputs.suspended
            && !self.is_requested();
        let succeeded = |run: &Attempt| !run.failed && run.generation == self.inputs.generation;
        clean && self.attempted.as_ref().is_some_and(succeeded)
    }

    /// Takes an event in and says what to do.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Inputs(inputs) => {
                if inputs.deleting && self.may_leave_now(&inputs) {
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
            Phase::Idle | Phase::Gone => None,
        };
        self.phase = Phase::Idle;
        match ended {
            Ended::Applied { wait, told, recheck } => {
                self.absent.succeeded();
                let corrects = work == Some(Work::Drift);
                self.recheck_at = match corrects {
                    true => self.recheck_at.max(recheck),
                    false => recheck,
                };
                // A correction says nothing of the way to health but that it is worth a look, unless the status says
                // that it is under way.
                if !corrects || told {
                    self.applied(wait);
                }
                if wait || corrects {
                    effects.push(Effect::Judge);
                }
            }
            Ended::Failed(failure) => self.failed(&failure, work, now),
            Ended::Canceled => self.attempted = None,
            Ended::Finalized => {
                self.phase = Phase::Gone;
                effects.push(Effect::Forget);
            }
        }
    }

    fn applied(&mut self, wait: bool) {
        self.settling = Settling::No;
        if wait {
            self.settling = Settling::Until(after(self.run_started, self.inputs.timeout));
        }
    }

    fn failed(&mut self, failure: &Failure, work: Option<Work>, now: Timestamp) {
        self.mark(true);
        self.settling = Settling::No;
        if let Failure::Missing { what, .. } = failure {
            self.absent.set(what);
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

    /// Whether the last run, or what it applied, failed.
    fn mark(&mut self, failed: bool) {
        if let Some(attempted) = &mut self.attempted {
            attempted.failed = failed;
        }
    }

    fn appeared(&mut self, what: &Missing, now: Timestamp) {
        let Some(pause) = self.absent.appeared(what, self.inputs.retry_interval) else {
            return;
        };
        let at = after(now, pause);
        self.retry_at = Some(self.retry_at.map_or(at, |retry| retry.min(at)));
    }

    fn judged(&mut self, health: Health, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Idle || self.inputs.suspended || self.inputs.deleting {
            return;
        }
        match self.settling.judged(health, after(now, self.inputs.timeout)) {
            Turn::None => {}
            Turn::Healthy => {
                self.retry_at = None;
                self.mark(false);
                effects.push(Effect::ReportReady);
            }
            Turn::Unhealthy(why) => self.unhealthy(why, now, effects),
        }
    }

    fn unhealthy(&mut self, why: String, now: Timestamp, effects: &mut Vec<Effect>) {
        self.mark(true);
        self.retry_at = Some(after(now, self.inputs.retry_interval));
        effects.push(Effect::ReportUnhealthy(why));
    }

    fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Idle && self.settling.passed(now) {
            self.unhealthy(String::new(), now, effects);
        }
    }

    fn decide(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Idle => {}
            Phase::Running { .. } => return self.interrupt(effects),
            Phase::Gone => return,
        }
        if self.inputs.deleting {
            if self.leaves_at(now).is_none_or(|at| now >= at) {
                self.start(Scope::Finalize, now, effects);
            }
            return;
        }
        if self.inputs.suspended {
            self.settling = Settling::No;
            let generation = self.inputs.generation;
            if self.suspended.replace(generation) != Some(generation) {
                effects.push(Effect::ReportSuspended);
            }
            return;
        }
        if let Some(block) = self.inputs.blocked.clone() {
            let block = self.hold.told_as(block, now);
            self.hold(block, now, effects);
            return;
        }
        self.hold = Hold::default();
        if let Some(scope) = self.due(now) {
            self.start(scope, now, effects);
        }
    }

    /// Whether a deletion has a reason not to wait for another try: what a failed run waits for holds none up.
    fn may_leave_now(&self, inputs: &Inputs) -> bool {
        let confirms = inputs.confirmed != self.inputs.confirmed;
        let knows_heirs = self.inputs.awaits_heirs && !inputs.awaits_heirs;
        !self.inputs.deleting || confirms || knows_heirs
    }

    /// When what is being deleted is to be taken away; at once if nothing is given.
    fn leaves_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        let heirs = self.inputs.awaits_heirs.then(|| self.hold.for_heirs(now));
        self.retry_at.max(heirs)
    }

    /// Stops a run that is not wanted any more; one that was overtaken only if it does nothing but wait.
    fn interrupt(&mut self, effects: &mut Vec<Effect>) {
        let overtaken = self.is_requested() || self.is_overtaken();
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

    /// Whether the inputs are others than the last run was for.
    fn is_overtaken(&self) -> bool {
        self.attempted
            .as_ref()
            .is_some_and(|run| run.differs(&self.inputs))
    }

    /// Something keeps it from running. A dependency that is not ready for a moment is no news to one that has
    /// nothing to run for.
    fn hold(&mut self, block: Failure, now: Timestamp, effects: &mut Vec<Effect>) {
        let passing = matches!(block, Failure::Dependency(_));
        if passing && self.due(now).is_none() {
            return;
        }
        if !self.is_requested() && self.hold.is_reported(&block) {
            return;
        }
        effects.push(Effect::ReportBlocked(block.clone()));
        self.handled.clone_from(&self.inputs.requested);
        self.hold.report(block);
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
        if attempted.differs(&self.inputs) || self.pending.changes {
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
        let work = Work::from(&scope);
        self.phase = Phase::Running {
            work,
            canceling: false,
            superseding: false,
        };
        self.run_started = now;
        self.retry_at = None;
        if work != Work::Drift {
            self.attempted = Some(Attempt::at(&self.inputs));
            self.next_full = self.inputs.next_full_after(now);
            self.recheck_at = None;
            if self.inputs.requested.is_some() {
                self.handled.clone_from(&self.inputs.requested);
            }
        }
        self.absent.clear();
        self.pending.taken_by(&scope);
        effects.push(Effect::Start(scope));
    }

    /// When to come back if nothing happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.phase != Phase::Idle {
            return None;
        }
        if self.inputs.deleting {
            return self.retry_at.max(self.hold.heirs_due(self.inputs.awaits_heirs));
        }
        if self.inputs.suspended {
            return None;
        }
        if self.hold.holds() {
            return self.hold.due();
        }
        // A failed run looks at everything when it is tried again.
        let failed = self.attempted.as_ref().is_none_or(|attempted| attempted.failed);
        let moved = self.pending.due().filter(|_| !failed);
        [
            Some(self.next_full),
            self.retry_at,
            self.recheck_at,
            self.settling.deadline(),
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
