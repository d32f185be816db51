//! Decides whether a state that was seen may count for what was applied (rule 19).
//!
//! In: the API server's answer to an apply, and states seen later. Out: which of them count, and the standing of the
//! object over time. Pure; the time is an argument.
//!
//! A watch may still deliver states from before an apply: an old Deployment that is available says nothing about the
//! new one. And an object of the same name may be another one by now.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::reduce::Observed;
use super::status::StatusKind;

/// What the answer to an apply promised: every state that counts has this uid and at least this generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// `metadata.uid` in the answer.
    pub uid: Box<str>,
    /// `metadata.generation` in the answer; 0 for kinds that have none.
    pub generation: i64,
}

/// Relation of a state to an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The state is of the object applied, and not older than the apply.
    Fresh,
    /// The state is older than the apply.
    Stale,
    /// The state is of another object of that name.
    Replaced,
}

impl Expected {
    /// Reads the promise from the API server's answer to an apply.
    #[must_use]
    pub fn from_answer(answer: &Value) -> Self {
        let metadata = &answer["metadata"];
        Self {
            uid: metadata["uid"].as_str().unwrap_or_default().into(),
            generation: metadata["generation"].as_i64().unwrap_or_default(),
        }
    }

    /// Relates a state to the apply.
    #[must_use]
    pub fn freshness(&self, observed: &Observed) -> Freshness {
        if observed.uid != self.uid {
            return Freshness::Replaced;
        }
        if observed.generation < self.generation {
            Freshness::Stale
        } else {
            Freshness::Fresh
        }
    }
}

/// Health of one object over time, seeded from the answer to its apply.
#[derive(Clone, Debug)]
pub struct Health {
    expected: Expected,
    last: Observed,
    was_healthy: bool,
    /// Since when the object is in progress or worse.
    unsettled_since: Option<Timestamp>,
}

/// Where an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Current, or in progress for a while after it was current.
    Healthy,
    /// Not current yet since the apply.
    Settling,
    /// Failed, or gone, or in progress for longer than the timeout.
    Unhealthy,
}

impl Health {
    /// Starts from the answer to an apply.
    #[must_use]
    pub fn seed(answer: &Value, now: Timestamp) -> Self {
        let last = Observed::reduce(answer, now);
        let healthy = last.kind == StatusKind::Current;
        Self {
            expected: Expected::from_answer(answer),
            last,
            was_healthy: healthy,
            unsettled_since: (!healthy).then_some(now),
        }
    }

    /// Takes in a state if it counts, and tells whether it did.
    pub fn observe(&mut self, observed: Observed, now: Timestamp) -> Freshness {
        let freshness = self.expected.freshness(&observed);
        if freshness != Freshness::Fresh {
            return freshness;
        }
        if observed.kind == StatusKind::Current {
            self.was_healthy = true;
            self.unsettled_since = None;
        } else {
            self.unsettled_since.get_or_insert(now);
        }
        self.last = observed;
        freshness
    }

    /// Takes in that the object of this uid was deleted, if that is the object applied, and tells whether it is.
    pub fn gone(&mut self, uid: &str) -> Freshness {
        if *uid != *self.expected.uid {
            return Freshness::Replaced;
        }
        self.last.kind = StatusKind::NotFound;
        Freshness::Fresh
    }

    /// The last state that counted.
    #[must_use]
    pub fn last(&self) -> &Observed {
        &self.last
    }

    /// Where the object stands. A healthy object turns unhealthy when it fails, or when it is in progress for longer
    /// than `timeout`: a rollout that others started, or a pod that is replaced, is no failure.
    #[must_use]
    pub fn standing(&self, now: Timestamp, timeout: SignedDuration) -> Standing {
        let overdue = self
            .unsettled_since
            .is_some_and(|since| now.duration_since(since) > timeout);
        match self.last.kind {
            StatusKind::Current => Standing::Healthy,
            StatusKind::Failed | StatusKind::NotFound => Standing::Unhealthy,
            _ if overdue => Standing::Unhealthy,
            _ if self.was_healthy => Standing::Healthy,
            _ => Standing::Settling,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

    fn deployment(uid: &str, generation: i64, observed: i64, ready: i64) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "api", "namespace": "web", "uid": uid, "generation": generation},
            "spec": {"replicas": 1},
            "status": {
                "observedGeneration": observed, "replicas": 1, "updatedReplicas": ready,
                "readyReplicas": ready, "availableReplicas": ready,
                "conditions": [{"type": "Available", "status": "True"}],
            },
        })
    }

    fn seen(uid: &str, generation: i64, ready: i64) -> Observed {
        Observed::reduce(&deployment(uid, generation, generation, ready), NOW)
    }

    #[test]
    fn rule_19_a_state_from_before_the_apply_does_not_count() {
        let mut health = Health::seed(&deployment("a", 2, 1, 1), NOW);
        assert_eq!(health.standing(NOW, TIMEOUT), Standing::Settling);
        assert_eq!(health.observe(seen("a", 1, 1), NOW), Freshness::Stale);
        assert_eq!(health.standing(NOW, TIMEOUT), Standing::Settling);
        assert_eq!(health.observe(seen("a", 2, 1), NOW), Freshness::Fresh);
        assert_eq!(health.standing(NOW, TIMEOUT), Standing::Healthy);
    }

    #[test]
    fn rule_19_a_state_of_another_object_of_that_name_does_not_count() {
        let mut health = Health::seed(&deployment("a", 1, 0, 0), NOW);
        assert_eq!(health.observe(seen("b", 7, 1), NOW), Freshness::Replaced);
        assert_eq!(health.standing(NOW, TIMEOUT), Standing::Settling);
    }

    #[test]
    fn rule_19_the_answer_to_an_apply_that_changed_nothing_is_a_verdict() {
        let health = Health::seed(&deployment("a", 3, 3, 1), NOW);
        assert_eq!(health.standing(NOW, TIMEOUT), Standing::Healthy);
    }

    #[test]
    fn rule_19_a_healthy_object_may_be_in_progress_for_the_timeout_and_no_longer() {
        let mut health = Health::seed(&deployment("a", 1, 1, 1), NOW);
        health.observe(seen("a", 1, 0), NOW);
        let later = NOW + TIMEOUT;
        assert_eq!(health.standing(later, TIMEOUT), Standing::Healthy);
        let overdue = later + SignedDuration::from_secs(1);
        assert_eq!(health.standing(overdue, TIMEOUT), Standing::Unhealthy);
        health.observe(seen("a", 1, 1), overdue);
        assert_eq!(health.standing(overdue, TIMEOUT), Standing::Healthy);
    }

    #[test]
    fn rule_19_the_deletion_of_another_object_of_that_name_does_not_count() {
        let mut health = Health::seed(&deployment("a", 1, 1, 1), NOW);
        assert_eq!(health.gone("b"), Freshness::Replaced);
        assert_eq!(health.standing(NOW, TIMEOUT), Standing::Healthy);
        assert_eq!(health.gone("a"), Freshness::Fresh);
        assert_eq!(health.standing(NOW, TIMEOUT), Standing::Unhealthy);
    }

    #[test]
    fn rule_19_a_failure_is_unhealthy_at_once() {
        let mut health = Health::seed(&deployment("a", 1, 1, 1), NOW);
        let mut failed = deployment("a", 1, 1, 0);
        failed["status"]["conditions"] =
            json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
        health.observe(Observed::reduce(&failed, NOW), NOW);
        assert_eq!(health.standing(NOW, TIMEOUT), Standing::Unhealthy);
    }
}
