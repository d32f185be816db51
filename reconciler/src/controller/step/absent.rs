//! What a run failed without: once all of it is there, the run is worth another try. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::plan::Missing;

/// What the last run failed without.
#[derive(Clone, Debug, Default)]
pub(super) struct Absent {
    missing: BTreeSet<Missing>,
    /// Runs since the last success that began because what was missing had appeared.
    eager_runs: u32,
}

impl Absent {
    /// A run failed without these.
    pub(super) fn set(&mut self, missing: &BTreeSet<Missing>) {
        self.missing.clone_from(missing);
    }

    /// A run begins: what it needs it finds out.
    pub(super) fn clear(&mut self) {
        self.missing.clear();
    }

    /// A run got through.
    pub(super) fn succeeded(&mut self) {
        self.eager_runs = 0;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Missing> {
        self.missing.iter()
    }

    /// Something appeared. Once all is there, the run is tried again: at once, and later each time if it fails
    /// nevertheless, since what is said to be there may not be. Gives the pause before it.
    pub(super) fn appeared(&mut self, what: &Missing, longest: Duration) -> Option<Duration> {
        if !self.missing.remove(what) || !self.missing.is_empty() {
            return None;
        }
        let pause = match self.eager_runs {
            0 => Duration::ZERO,
            runs => Duration::from_secs(1 << (runs - 1).min(30)).min(longest),
        };
        self.eager_runs += 1;
        Some(pause)
    }
}
