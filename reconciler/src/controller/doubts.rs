//! Which objects a write that nobody waits for any more may still bring back (rule 2). No I/O.
//!
//! A PATCH whose answer was lost, or whose process was killed, may be carried out later; only one that creates
//! does harm, since all others name a uid. Until no such write can arrive, an object that was pruned stays in
//! the inventory, and is looked at once more then.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::plan::ObjectId;

use super::clock::Clock;

/// Writes that may still arrive.
pub(crate) struct Doubts {
    bound: Duration,
    clock: Clock,
    began: OnceLock<Instant>,
    lost: Mutex<HashMap<ObjectId, Instant>>,
}

impl Doubts {
    /// A write that was sent arrives within `bound`, or never.
    pub(crate) fn new(bound: Duration, clock: Clock) -> Self {
        Self {
            bound,
            clock,
            began: OnceLock::new(),
            lost: Mutex::default(),
        }
    }

    /// From now on nobody else sends writes.
    pub(crate) fn leads(&self) {
        self.began.get_or_init(|| self.clock.instant());
    }

    /// The answer to a write that may have created this object was lost.
    pub(crate) fn lost_answer(&self, id: &ObjectId) {
        let now = self.clock.instant();
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.retain(|_, until| *until > now);
        lost.insert(id.clone(), now + self.bound);
    }

    /// Until when a write may still bring this object back; nothing when none can. `inherited` says that it
    /// was in the inventory before this process began to lead, so that an earlier one may have written it.
    pub(crate) fn until(&self, id: &ObjectId, inherited: bool) -> Option<Timestamp> {
        let earlier = self
            .began
            .get()
            .filter(|_| inherited)
            .map(|began| *began + self.bound);
        let lost = self
            .lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .copied();
        let left = earlier.max(lost)?.duration_since(self.clock.instant());
        (!left.is_zero()).then(|| self.clock.now().checked_add(left).unwrap_or(Timestamp::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ObjectId {
        ObjectId {
            namespace: "a".into(),
            name: name.into(),
            group: String::new(),
            kind: "ConfigMap".into(),
        }
    }

    fn leading(clock: &Clock) -> Doubts {
        let doubts = Doubts::new(Duration::from_secs(60), clock.clone());
        doubts.leads();
        doubts
    }

    #[test]
    fn rule_2_an_absent_object_that_an_earlier_process_may_have_written_is_doubted_until_no_write_can_arrive()
    {
        let clock = Clock::default();
        let doubts = leading(&clock);
        assert_eq!(doubts.until(&id("own"), false), None);
        assert!(doubts.until(&id("inherited"), true).is_some());
        clock.advance(Duration::from_secs(60));
        assert_eq!(doubts.until(&id("inherited"), true), None);
    }

    #[test]
    fn rule_2_an_object_whose_create_was_not_answered_is_doubted_too() {
        let clock = Clock::default();
        let doubts = leading(&clock);
        clock.advance(Duration::from_secs(30));
        doubts.lost_answer(&id("lost"));
        clock.advance(Duration::from_secs(30));
        assert!(doubts.until(&id("lost"), false).is_some());
        assert_eq!(doubts.until(&id("other"), false), None);
        clock.advance(Duration::from_secs(30));
        assert_eq!(doubts.until(&id("lost"), false), None);
    }
}
