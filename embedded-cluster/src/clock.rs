//! The clock of a cluster: real time, or time that a test drives.
//!
//! In: durations. Out: timestamps and moments to wait for. No I/O.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

/// Tells the time of a cluster and lets tasks wait for a moment of it.
///
/// Clones share one time.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Real,
    Driven {
        now: Arc<watch::Sender<Timestamp>>,
        guard: Arc<Mutex<()>>,
    },
}

impl Default for Clock {
    fn default() -> Self {
        Self::real()
    }
}

impl Clock {
    /// The machine's own clock.
    #[must_use]
    pub fn real() -> Self {
        Self { source: Source::Real }
    }

    /// A clock that stands still until [`Clock::advance`] moves it. It starts at the machine's time,
    /// cut to whole seconds.
    #[must_use]
    pub fn driven() -> Self {
        let second = Timestamp::now().as_second();
        let start = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        Self::driven_from(start)
    }

    /// A clock that stands still at `start` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn driven_from(start: Timestamp) -> Self {
        let (now, _) = watch::channel(start);
        Self {
            source: Source::Driven {
                now: Arc::new(now),
                guard: Arc::new(Mutex::new(())),
            },
        }
    }

    /// The cluster's present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.source {
            Source::Real => Timestamp::now(),
            Source::Driven { now, .. } => *now.borrow(),
        }
    }

    /// Whether a test drives this clock.
    #[must_use]
    pub fn is_driven(&self) -> bool {
        matches!(self.source, Source::Driven { .. })
    }

    /// Moves a driven clock forward; a real clock is left alone.
    pub fn advance(&self, by: Duration) {
        let Source::Driven { now, guard } = &self.source else {
            return;
        };
        let _one_at_a_time = guard.lock().unwrap_or_else(PoisonError::into_inner);
        let next = now.borrow().saturating_add(by).unwrap_or(Timestamp::MAX);
        now.send_replace(next);
    }

    /// Waits until the clock shows `moment` or later.
    pub async fn until(&self, moment: Timestamp) {
        match &self.source {
            Source::Real => {
                let left = moment.duration_since(Timestamp::now());
                if let Ok(left) = Duration::try_from(left) {
                    tokio::time::sleep(left).await;
                }
            }
            Source::Driven { now, .. } => {
                let mut seen = now.subscribe();
                // The sender lives as long as this clock: waiting cannot fail.
                let _ = seen.wait_for(|time| *time >= moment).await;
            }
        }
    }

    /// Waits for a span of the cluster's time.
    pub async fn sleep(&self, span: Duration) {
        let moment = self.now().saturating_add(span).unwrap_or(Timestamp::MAX);
        self.until(moment).await;
    }
}

/// Writes a time as Kubernetes' `metav1.Time` does: UTC, whole seconds.
#[must_use]
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
