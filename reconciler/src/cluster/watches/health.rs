//! Whether a watch does its work, or what keeps it from that. No I/O.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What keeps a watch from its work.
#[derive(Default)]
pub(super) struct Health {
    /// When it failed last.
    failed: Mutex<Option<Instant>>,
    /// It is not allowed.
    forbidden: AtomicBool,
    /// It has shown everything once.
    listed: AtomicBool,
}

/// A watch that is opened in vain says so at least this often.
const SILENCE: Duration = Duration::from_secs(60);

impl Health {
    /// Notes that it is not allowed; gives whether that is news.
    pub(super) fn forbidden(&self) -> bool {
        !self.forbidden.swap(true, Ordering::Relaxed)
    }

    /// It has listed everything, so it is allowed.
    pub(super) fn listed(&self) {
        self.forbidden.store(false, Ordering::Relaxed);
        self.listed.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_listed(&self) -> bool {
        self.listed.load(Ordering::Relaxed)
    }

    /// Notes an error; gives whether it is the first for a while.
    pub(super) fn failed(&self, at: Instant) -> bool {
        let before = self
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(at);
        before.is_none_or(|before| at.duration_since(before) > SILENCE)
    }

    pub(super) fn is_good(&self, now: Instant) -> bool {
        if self.forbidden.load(Ordering::Relaxed) {
            return false;
        }
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_none_or(|at| now.duration_since(at) > SILENCE)
    }
}
