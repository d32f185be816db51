//! When changes are told, and when discovery looks anew. Pure: the time is passed in.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::Changes;

/// A burst that does not end is told after this many times its quiet time.
const LONGEST: u32 = 6;
/// The pause after the first look.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A look is not followed by another after a longer pause.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Changes that come shortly after each other, told as one.
#[derive(Debug)]
pub(super) struct Burst {
    quiet: Duration,
    changes: Changes,
    /// When the first and the last of them came.
    span: Option<(Timestamp, Timestamp)>,
}

impl Burst {
    /// It is over when nothing came for `quiet`.
    pub(super) fn new(quiet: Duration) -> Self {
        Self {
            quiet,
            changes: Changes::default(),
            span: None,
        }
    }

    pub(super) fn add(&mut self, changes: Changes, now: Timestamp) {
        self.changes.everything |= changes.everything;
        self.changes.kinds.extend(changes.kinds);
        let first = self.span.map_or(now, |(first, _)| first);
        self.span = Some((first, now));
    }

    /// When it is to be told.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let (first, last) = self.span?;
        Some(after(last, self.quiet).min(after(first, self.quiet * LONGEST)))
    }

    /// All of it, once it is over.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Changes> {
        if now < self.due()? {
            return None;
        }
        self.span = None;
        Some(std::mem::take(&mut self.changes))
    }
}

/// Looks at what the server serves. What was changed a moment ago may show a little later only, so there are several,
/// further and further apart.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// Definitions whose kinds are not served yet.
    awaited: BTreeSet<String>,
    /// There is more that may have changed than what is awaited.
    doubtful: bool,
    /// The next look, and the pause after it.
    next: Option<(Timestamp, Duration)>,
}

impl Looks {
    /// Looks until what a definition defines is served.
    pub(super) fn wait_for(&mut self, definition: String, now: Timestamp) {
        self.awaited.insert(definition);
        self.begin(now);
    }

    /// Looks at whatever may have changed.
    pub(super) fn doubt(&mut self, now: Timestamp) {
        self.doubtful = true;
        self.begin(now);
    }

    fn begin(&mut self, now: Timestamp) {
        // What happens together is one look.
        let first = after(now, FIRST_PAUSE / 2);
        let at = self.next.map_or(first, |(at, _)| at.min(first));
        self.next = Some((at, FIRST_PAUSE));
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.next.map(|(at, _)| at)
    }

    /// A look could not be made: it is made later.
    pub(super) fn failed(&mut self, now: Timestamp) {
        if let Some((_, pause)) = self.next {
            self.next = Some((after(now, LAST_PAUSE), pause));
        }
    }

    /// A look has been made, and showed which definitions are served.
    pub(super) fn looked(&mut self, now: Timestamp, served: impl Fn(&str) -> bool) {
        let Some((_, pause)) = self.next.take() else {
            return;
        };
        self.awaited.retain(|definition| !served(definition));
        let over = self.awaited.is_empty() && !self.doubtful;
        if over || pause > LAST_PAUSE {
            *self = Self::default();
            return;
        }
        self.next = Some((after(now, pause), pause * 4));
    }
}

fn after(time: Timestamp, pause: Duration) -> Timestamp {
    time.checked_add(pause).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000 + milliseconds).unwrap()
    }

    fn of_kind(kind: &str) -> Changes {
        Changes {
            everything: false,
            kinds: BTreeSet::from([("example.org".to_owned(), kind.to_owned())]),
        }
    }

    #[test]
    fn a_burst_of_changes_is_told_once_when_it_is_over() {
        let mut burst = Burst::new(Duration::from_secs(1));
        assert_eq!(burst.due(), None);
        burst.add(of_kind("A"), at(0));
        burst.add(of_kind("B"), at(900));
        assert_eq!(burst.take(at(1000)), None);
        let told = burst.take(at(1900)).unwrap();
        assert!(!told.everything);
        assert_eq!(told.kinds.len(), 2);
        assert_eq!(burst.take(at(9000)), None);
    }

    #[test]
    fn a_burst_that_does_not_end_is_told_nevertheless() {
        let mut burst = Burst::new(Duration::from_secs(1));
        for change in 0..12 {
            burst.add(Changes::of_everything(), at(change * 500));
        }
        assert_eq!(burst.due(), Some(at(6000)));
        assert_eq!(burst.take(at(6000)), Some(Changes::of_everything()));
    }

    #[test]
    fn looks_end_when_what_is_awaited_is_served() {
        let mut looks = Looks::default();
        looks.wait_for("widgets.example.org".to_owned(), at(0));
        looks.looked(at(50), |_| false);
        assert_eq!(looks.due(), Some(at(150)));
        looks.looked(at(150), |_| true);
        assert_eq!(looks.due(), None);
    }

    #[test]
    fn looks_end_after_a_while_when_nothing_comes_of_them() {
        let mut looks = Looks::default();
        looks.doubt(at(0));
        let mut made = 0;
        while let Some(due) = looks.due() {
            made += 1;
            looks.looked(due, |_| false);
        }
        assert_eq!(made, 6);
    }

    #[test]
    fn what_happens_while_looks_are_made_begins_them_anew() {
        let mut looks = Looks::default();
        looks.doubt(at(0));
        looks.looked(at(50), |_| false);
        looks.looked(at(150), |_| false);
        assert_eq!(looks.due(), Some(at(550)));
        looks.wait_for("widgets.example.org".to_owned(), at(200));
        assert_eq!(looks.due(), Some(at(250)));
        looks.looked(at(250), |_| false);
        assert_eq!(looks.due(), Some(at(350)));
    }
}
