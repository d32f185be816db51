//! Says a thing that stays so once, and again only after a while. Pure: the time is passed in.

use std::time::{Duration, Instant};

/// What is said of something that is looked at again and again.
#[derive(Clone, Debug)]
pub struct Repeats {
    again_after: Duration,
    said: Option<(String, Instant)>,
}

impl Repeats {
    /// Nothing is said yet; the same is said again after this long.
    ///
    /// # Examples
    /// ```
    /// use std::time::{Duration, Instant};
    /// use telemetry::logs::Repeats;
    ///
    /// let now = Instant::now();
    /// let mut trouble = Repeats::new(Duration::from_secs(60));
    /// assert!(trouble.is_due("no route to host", now));
    /// assert!(!trouble.is_due("no route to host", now + Duration::from_secs(2)));
    /// assert!(trouble.is_due("connection refused", now + Duration::from_secs(4)));
    /// assert!(trouble.is_due("connection refused", now + Duration::from_secs(64)));
    /// assert!(trouble.end() && !trouble.end());
    /// ```
    #[must_use]
    pub fn new(again_after: Duration) -> Self {
        Self {
            again_after,
            said: None,
        }
    }

    /// Whether this is to be said now: it is not what was said last, or that is long ago.
    pub fn is_due(&mut self, text: &str, now: Instant) -> bool {
        let was_just_said = self
            .said
            .as_ref()
            .is_some_and(|(said, at)| said == text && now.saturating_duration_since(*at) < self.again_after);
        if !was_just_said {
            self.said = Some((text.to_owned(), now));
        }
        !was_just_said
    }

    /// It is not so any more; gives whether anything was said of it.
    pub fn end(&mut self) -> bool {
        self.said.take().is_some()
    }
}
