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

/// A span as k8s.io/apimachinery's `HumanDuration` writes it.
pub(crate) fn since(time: &str, now: Timestamp) -> String {
    let Ok(then) = time.parse::<Timestamp>() else {
        return "<unknown>".into();
    };
    let seconds = now.as_second() - then.as_second();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |big: i64, unit: &str, small: i64, rest: &str| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit}{small}{rest}")
        }
    };
    match () {
        () if seconds < -1 => "<invalid>".into(),
        () if seconds < 0 => "0s".into(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 192 => two(days, "d", hours % 24, "h"),
        () if days < 730 => format!("{days}d"),
        () if days < 2920 => two(days / 365, "y", days % 365, "d"),
        () => format!("{}y", days / 365),
    }
}
