//! The time by which the controller decides: when a run is due, and until when a late write may arrive. No I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

/// The machine's time, or a time ahead of it if a test has put it there. Clones share one time.
///
/// What passes by itself passes here too: a test that has to act before something is over makes that long and
/// moves the clock when it has acted.
#[derive(Clone, Debug)]
pub struct Clock {
    ahead: Arc<watch::Sender<Duration>>,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            ahead: Arc::new(watch::Sender::new(Duration::ZERO)),
        }
    }
}

impl Clock {
    /// The date and time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        later(Timestamp::now(), *self.ahead.borrow())
    }

    /// A moment to measure spans from: it moves steadily, also when the machine's date is set.
    #[must_use]
    pub fn instant(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(*self.ahead.borrow()).unwrap_or(now)
    }

    /// Moves it, for a test.
    pub fn advance(&self, by: Duration) {
        self.ahead.send_modify(|ahead| *ahead = ahead.saturating_add(by));
    }

    /// Waits until a moment has come.
    pub async fn until(&self, moment: Timestamp) {
        let mut moved = self.ahead.subscribe();
        // A moment that has come leaves no positive span.
        while let Some(left) = Duration::try_from(moment.duration_since(self.now()))
            .ok()
            .filter(|left| !left.is_zero())
        {
            // This clock holds the sender, so the wait ends with a move only.
            let _ = tokio::time::timeout(left, moved.changed()).await;
        }
    }

    /// Waits for a span, also when the machine's date is set meanwhile.
    pub async fn sleep(&self, span: Duration) {
        let mut moved = self.ahead.subscribe();
        let began = self.instant();
        while let Some(left) = span
            .checked_sub(self.instant().saturating_duration_since(began))
            .filter(|left| !left.is_zero())
        {
            // This clock holds the sender, so the wait ends with a move only.
            let _ = tokio::time::timeout(left, moved.changed()).await;
        }
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_moment_goes_on_when_the_clock_is_moved_there() {
        let clock = Clock::default();
        let hour = Duration::from_secs(3600);
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(hour).await }
        });
        // It has to be waiting before the clock is moved.
        tokio::task::yield_now().await;
        let before = clock.instant();
        clock.advance(hour / 2);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        clock.advance(hour / 2);
        waiting.await.unwrap();
        assert!(clock.instant().duration_since(before) >= hour);
    }

    #[tokio::test]
    async fn a_moment_that_has_passed_is_not_waited_for() {
        let clock = Clock::default();
        clock.until(clock.now()).await;
    }
}
