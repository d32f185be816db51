//! What Events say of how a Kustomization fares: each failure once, and once that it is over. No I/O.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::step::SOURCE_GRACE;
use crate::api::{Condition, ConditionStatus, KustomizationStatus, Reason, condition_types};
use crate::report::{Event, Failure, Outcome, Severity, conditions_of};

/// What was said last of one Kustomization.
#[derive(Debug, Default)]
pub(crate) struct News(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    /// Ticket of the report that was taken in last: an earlier one is no news.
    ticket: u64,
    /// The failure, or the wait, that was told last and still stands.
    last: Option<Told>,
    /// Reason of the failure whose end is to be told; a wait has none to tell.
    trouble: Option<String>,
}

#[derive(Debug)]
struct Told {
    revision: Option<String>,
    reason: String,
    /// Unknown of a failure that an earlier process told and that is being retried.
    message: Option<String>,
}

impl Told {
    /// Whether another says the same. What has no revision, such as that there is no source, is the same at any: the
    /// status goes on to name the one before.
    fn says(&self, other: &Self) -> bool {
        self.reason == other.reason
            && (self.message.is_none() || self.message == other.message)
            && (other.revision.is_none() || self.revision == other.revision)
    }
}

impl News {
    /// What a status says was said already, by an earlier process.
    pub(crate) fn since(status: &KustomizationStatus, now: Timestamp) -> Self {
        let conditions = conditions_of(Some(status));
        let said = match conditions.get(condition_types::READY) {
            Some(ready) if ready.status == ConditionStatus::False => Said::of_failure(ready, status, now),
            Some(ready) if ready.status == ConditionStatus::Unknown => Said::of_retry(status),
            _ => Said::default(),
        };
        Self(Mutex::new(said))
    }

    /// The Event that an outcome is worth, in the order in which outcomes were decided.
    pub(crate) fn of(&self, ticket: u64, outcome: &Outcome, revision: Option<&str>) -> Option<Event> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ticket < said.ticket {
            return None;
        }
        said.ticket = ticket;
        match outcome {
            Outcome::Progressing(_) | Outcome::Suspended => None,
            Outcome::Succeeded { .. } => said.succeed(revision),
            Outcome::Failed(failure) => said.fail(failure, revision),
        }
    }
}

impl Said {
    fn of_failure(ready: &Condition, status: &KustomizationStatus, now: Timestamp) -> Self {
        let is_wait = match &ready.reason {
            reason if *reason == Reason::DependencyNotReady.as_str() => true,
            reason if *reason == Reason::ArtifactFailed.as_str() => {
                let is_missing = Failure::is_of_missing_source(&ready.message);
                Failure::is_of_unfetched_source(&ready.message) || is_missing && is_young(ready, now)
            }
            _ => false,
        };
        Self {
            ticket: 0,
            last: Some(Told {
                revision: status.last_attempted_revision.clone(),
                reason: ready.reason.clone(),
                message: Some(ready.message.clone()),
            }),
            trouble: Some(ready.reason.clone()).filter(|_| !is_wait),
        }
    }

    /// A run that is under way hides what the one before came to; the history has it.
    fn of_retry(status: &KustomizationStatus) -> Self {
        let done = [Reason::ReconciliationSucceeded, Reason::Progressing].map(Reason::as_str);
        let last = status.history.first();
        let Some(failed) = last.filter(|last| !done.contains(&last.last_reconciled_status.as_str())) else {
            return Self::default();
        };
        let reason = failed.last_reconciled_status.clone();
        Self {
            ticket: 0,
            last: Some(Told {
                revision: failed.metadata.get("revision").cloned(),
                reason: reason.clone(),
                message: None,
            }),
            trouble: Some(reason),
        }
    }

    fn succeed(&mut self, revision: Option<&str>) -> Option<Event> {
        self.last = None;
        let over = self.trouble.take()?;
        let at = revision
            .map(|revision| format!(" at {revision}"))
            .unwrap_or_default();
        Some(Event {
            severity: Severity::Info,
            reason: Reason::ReconciliationSucceeded,
            revision: revision.map(ToOwned::to_owned),
            message: format!("Ready{at}: {over} is over"),
        })
    }

    fn fail(&mut self, failure: &Failure, revision: Option<&str>) -> Option<Event> {
        let severity = failure.severity()?;
        let reason = failure.reason();
        let told = Told {
            revision: revision.map(ToOwned::to_owned),
            reason: reason.as_str().to_owned(),
            message: Some(failure.to_string()),
        };
        if severity == Severity::Error {
            self.trouble = Some(told.reason.clone());
        }
        let is_known = self.last.as_ref().is_some_and(|last| last.says(&told));
        let event = Event {
            severity,
            reason,
            revision: told.revision.clone(),
            message: failure.to_string(),
        };
        self.last = Some(told);
        (!is_known).then_some(event)
    }
}

/// Whether a source that is not there may still have been on its way: nothing was told of it then.
fn is_young(ready: &Condition, now: Timestamp) -> bool {
    let since: Option<Timestamp> = ready.last_transition_time.parse().ok();
    since.is_some_and(|since| now.duration_since(since).unsigned_abs() < SOURCE_GRACE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::{Progress, StatusPatch, next_status};

    const AT: Option<&str> = Some("main@sha1:abc");

    fn failed(failure: Failure) -> Outcome {
        Outcome::Failed(failure)
    }

    fn told(news: &News, outcome: &Outcome) -> Option<String> {
        let event = news.of(1, outcome, AT)?;
        Some(format!(
            "{:?} {}: {}",
            event.severity,
            event.reason.as_str(),
            event.message
        ))
    }

    const APPLIED: Outcome = Outcome::Succeeded {
        health_checked: false,
    };

    #[test]
    fn a_failure_is_told_once_and_its_end_once() {
        let news = News::default();
        let broken = failed(Failure::Build("no such file".into()));
        assert_eq!(told(&news, &broken).unwrap(), "Error BuildFailed: no such file");
        assert_eq!(told(&news, &broken), None, "the same at a retry");
        let other = failed(Failure::Build("another file".into()));
        assert_eq!(told(&news, &other).unwrap(), "Error BuildFailed: another file");
        assert_eq!(
            told(&news, &APPLIED).unwrap(),
            "Info ReconciliationSucceeded: Ready at main@sha1:abc: BuildFailed is over"
        );
        assert_eq!(told(&news, &APPLIED), None);
        assert!(told(&news, &broken).is_some(), "it came back");
    }

    #[test]
    fn a_wait_is_told_once_and_ends_without_a_word_but_does_not_end_the_failure_before_it() {
        let news = News::default();
        let waits = failed(Failure::Dependency("dependency 'a/b' is not ready".into()));
        assert!(told(&news, &waits).is_some());
        assert_eq!(told(&news, &waits), None);
        assert_eq!(told(&news, &APPLIED), None);
        let _ = told(&news, &failed(Failure::Build("no such file".into())));
        let _ = told(&news, &waits);
        assert!(told(&news, &APPLIED).unwrap().ends_with("BuildFailed is over"));
    }

    #[test]
    fn what_was_decided_earlier_is_no_news_later() {
        let news = News::default();
        assert!(news.of(2, &failed(Failure::Build("x".into())), AT).is_some());
        assert_eq!(news.of(1, &APPLIED, AT), None);
    }

    /// The status that outcomes at these revisions leave behind, one second after the other.
    fn left_by(outcomes: &[(&Outcome, Option<&str>)]) -> KustomizationStatus {
        let mut status = KustomizationStatus::default();
        for (second, (outcome, revision)) in (0..).zip(outcomes) {
            let ends = !matches!(outcome, Outcome::Progressing(_));
            let patch = StatusPatch {
                outcome,
                generation: 1,
                revision: *revision,
                inventory: None,
                handled: None,
                built: revision
                    .filter(|_| ends)
                    .map(|_| ("sha256:0", Duration::from_secs(1))),
                timeout: Duration::from_secs(60),
            };
            status = next_status(&status, &patch, Timestamp::from_second(second).unwrap());
        }
        status
    }

    fn after_restart(outcomes: &[(&Outcome, Option<&str>)], second: i64) -> News {
        News::since(&left_by(outcomes), Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn a_failure_that_an_earlier_process_told_is_not_told_again_and_its_end_is() {
        let broken = failed(Failure::Build("no such file".into()));
        let news = after_restart(&[(&broken, AT)], 60);
        assert_eq!(told(&news, &broken), None);
        assert!(told(&news, &APPLIED).unwrap().ends_with("BuildFailed is over"));
    }

    #[test]
    fn a_failure_that_an_earlier_process_was_retrying_is_not_told_again_at_its_revision_and_its_end_is() {
        let unhealthy = failed(Failure::Health("Deployment/shop/web failed".into()));
        let retry = Outcome::Progressing(Progress::Waiting);
        let restarted = || after_restart(&[(&unhealthy, AT), (&retry, AT)], 60);
        assert!(
            told(&restarted(), &APPLIED)
                .unwrap()
                .ends_with("HealthCheckFailed is over")
        );
        let news = restarted();
        assert_eq!(told(&news, &unhealthy), None);
        let other = failed(Failure::Health("Deployment/shop/db failed".into()));
        assert!(told(&news, &other).is_some(), "another object fails now");
        assert!(
            restarted().of(1, &unhealthy, Some("main@sha1:def")).is_some(),
            "another revision fails"
        );
        let news = after_restart(&[(&APPLIED, AT), (&retry, AT)], 60);
        assert_eq!(told(&news, &APPLIED), None, "nothing had failed");
    }

    #[test]
    fn a_missing_source_that_an_earlier_process_told_is_not_told_again_and_its_end_is() {
        let missing = |awaited| failed(Failure::source_missing("GitRepository/shop/app", awaited));
        let news = after_restart(&[(&APPLIED, AT), (&missing(false), None)], 60);
        assert_eq!(news.of(1, &missing(true), None), None);
        assert_eq!(news.of(1, &missing(false), None), None);
        assert!(told(&news, &APPLIED).unwrap().ends_with("ArtifactFailed is over"));
        // It was created while nobody looked.
        let news = after_restart(&[(&APPLIED, AT), (&missing(false), None)], 60);
        assert!(told(&news, &APPLIED).unwrap().ends_with("ArtifactFailed is over"));
        let news = after_restart(&[(&missing(true), None)], 3);
        assert_eq!(told(&news, &APPLIED), None, "nothing was told of it yet");
        let wait = failed(Failure::unfetched_source(
            "GitRepository/shop/app",
            Some("no branch"),
        ));
        let news = after_restart(&[(&wait, None)], 60);
        assert_eq!(told(&news, &APPLIED), None, "a wait has no end to tell");
    }

    #[test]
    fn a_folder_that_the_artifact_lacks_is_a_failure_whose_end_is_told_also_after_a_restart() {
        let lacking = failed(Failure::Path("spec.path apps does not exist".into()));
        let first = told(&News::default(), &lacking).unwrap();
        assert_eq!(first, "Error ArtifactFailed: spec.path apps does not exist");
        let news = after_restart(&[(&lacking, AT)], 60);
        assert!(told(&news, &APPLIED).unwrap().ends_with("ArtifactFailed is over"));
    }
}
