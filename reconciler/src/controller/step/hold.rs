//! What keeps a Kustomization from running, as it was reported. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::after;
use crate::report::Failure;

/// How long a source that does not exist may be on its way before that is told as trouble.
pub(crate) const SOURCE_GRACE: Duration = Duration::from_secs(15);

/// How long a deletion waits for those who may inherit: the usual bound of a fetch.
const HEIRS_GRACE: Duration = Duration::from_secs(60);

/// What holds it, if anything does.
#[derive(Clone, Debug, Default)]
pub(super) struct Hold {
    /// What was reported.
    reported: Option<Failure>,
    /// Until when a source that does not exist may be on its way.
    source_due: Option<Timestamp>,
    /// Until when its deletion waits for those who may inherit.
    heirs_due: Option<Timestamp>,
}

impl Hold {
    /// What is to be said of it now: a source that does not exist is no trouble for a moment, since what is created
    /// together may be seen one after the other.
    pub(super) fn told_as(&mut self, block: Failure, now: Timestamp) -> Failure {
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

    /// Until when a deletion is to wait, now that somebody may inherit.
    pub(super) fn for_heirs(&mut self, now: Timestamp) -> Timestamp {
        *self.heirs_due.get_or_insert(after(now, HEIRS_GRACE))
    }

    /// The same, if it waits for them.
    pub(super) fn heirs_due(&self, awaited: bool) -> Option<Timestamp> {
        self.heirs_due.filter(|_| awaited)
    }

    pub(super) fn is_reported(&self, block: &Failure) -> bool {
        self.reported.as_ref() == Some(block)
    }

    pub(super) fn report(&mut self, block: Failure) {
        self.reported = Some(block);
    }

    /// Whether anything holds it.
    pub(super) fn holds(&self) -> bool {
        self.reported.is_some()
    }

    /// When there is more to say of it.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let awaited = matches!(self.reported, Some(Failure::SourceMissing { awaited: true, .. }));
        self.source_due.filter(|_| awaited)
    }
}
