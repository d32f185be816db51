//! What a Kustomization's state is told, and what it says is to be done. Types only.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::plan::{Missing, ObjectId};
use crate::report::Failure;

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
    /// Whether one that may inherit from it cannot be known yet; only while it is being deleted.
    pub awaits_heirs: bool,
    /// The prune confirmation, if there is one.
    pub confirmed: Option<String>,
    /// What keeps it from running: a missing source, a dependency, a field that is not served.
    pub blocked: Option<Failure>,
    /// The newest revision of its source.
    pub revision: Option<String>,
    /// What its source leaves out of that.
    pub ignore: Option<String>,
    /// How often everything is checked.
    pub interval: Duration,
    /// How long until a failed run is tried again.
    pub retry_interval: Duration,
    /// Bound of a run, waiting included.
    pub timeout: Duration,
    /// Phase of the interval in thousandths, from the uid (rule 23).
    pub phase: u16,
}

impl Inputs {
    /// The next full check: at the phase of the interval that the uid gives, so that a fleet does not check all at
    /// once.
    pub(super) fn next_full_after(&self, now: Timestamp) -> Timestamp {
        let interval = self.interval.as_secs_f64().max(1.0);
        let phase = f64::from(self.phase) / 1000.0 * interval;
        let seconds = now.as_second() as f64;
        let mut next = ((seconds - phase) / interval).floor() * interval + phase + interval;
        if next - seconds < interval / 2.0 {
            next += interval;
        }
        Timestamp::from_second(next as i64).unwrap_or(Timestamp::MAX)
    }
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
        /// Whether the status says that it is under way.
        told: bool,
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
    /// Report that it is suspended.
    ReportSuspended,
    /// Forget it.
    Forget,
}
