//! What Events say of how a Kustomization fares: each failure once, and once that it is over. No I/O.

use std::sync::{Mutex, PoisonError};

use crate::api::{ConditionStatus, KustomizationStatus, Reason, condition_types};
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

#[derive(Debug, PartialEq, Eq)]
struct Told {
    revision: Option<String>,
    reason: String,
    message: String,
}

impl News {
    /// What a status says was said already, by an earlier process.
    pub(crate) fn since(status: &KustomizationStatus) -> Self {
        let conditions = conditions_of(Some(status));
        let ready = conditions.get(condition_types::READY);
        let Some(failed) = ready.filter(|ready| ready.status == ConditionStatus::False) else {
            return Self::default();
        };
        let waits = [Reason::DependencyNotReady, Reason::ArtifactFailed].map(Reason::as_str);
        let said = Said {
            ticket: 0,
            last: Some(Told {
                revision: status.last_attempted_revision.clone(),
                reason: failed.reason.clone(),
                message: failed.message.clone(),
            }),
            trouble: Some(failed.reason.clone()).filter(|reason| !waits.contains(&reason.as_str())),
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
            Outcome::Progressing(_) => None,
            Outcome::Succeeded { .. } => said.succeed(revision),
            Outcome::Failed(failure) => said.fail(failure, revision),
        }
    }
}

impl Said {
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
            message: failure.to_string(),
        };
        if severity == Severity::Error {
            self.trouble = Some(told.reason.clone());
        }
        if self.last.as_ref() == Some(&told) {
            return None;
        }
        let event = Event {
            severity,
            reason,
            revision: told.revision.clone(),
            message: told.message.clone(),
        };
        self.last = Some(told);
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::api::Conditions;

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

    #[test]
    fn a_failure_that_an_earlier_process_told_is_not_told_again_and_its_end_is() {
        let failure = Failure::Build("no such file".into());
        let mut conditions = Conditions::default();
        let (false_, now) = (ConditionStatus::False, Timestamp::UNIX_EPOCH);
        conditions.set(
            condition_types::READY,
            false_,
            failure.reason(),
            &failure.to_string(),
            1,
            now,
        );
        let status = KustomizationStatus {
            conditions: conditions.0,
            last_attempted_revision: AT.map(ToOwned::to_owned),
            ..KustomizationStatus::default()
        };
        let news = News::since(&status);
        assert_eq!(told(&news, &failed(failure)), None);
        assert!(told(&news, &APPLIED).is_some());
    }
}
