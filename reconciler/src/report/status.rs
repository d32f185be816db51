//! A Kustomization's next status, from the last one and what a run came to. Pure.
//!
//! Conditions, reasons and words follow kustomize-controller
//! (`internal/controller/kustomization_controller.go`); messages carry no time, so that an unchanged outcome
//! is an unchanged status.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::api::{
    Condition, ConditionStatus, Conditions, GoDuration, KustomizationStatus, Reason, Snapshot,
    condition_types,
};
use crate::plan::Inventory;

use super::Failure;

const HISTORY: usize = 5;

/// How far a run has come, for a status that is written on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The intent is recorded; objects are about to be written.
    Applying,
    /// Everything is applied; health is waited for.
    Waiting,
    /// An object is being deleted and has to be gone first; with what keeps it.
    Deleting(String),
}

/// What a run came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is under way.
    Progressing(Progress),
    /// Everything is applied, and healthy where that is asked for.
    Succeeded {
        /// Whether health was checked.
        health_checked: bool,
    },
    /// It failed.
    Failed(Failure),
    /// It is suspended: nothing is done, and what is Ready stays so.
    Suspended,
}

/// What the next status is made of.
#[derive(Clone, Debug)]
pub struct StatusPatch<'a> {
    /// The outcome.
    pub outcome: &'a Outcome,
    /// The object's generation when the run started.
    pub generation: i64,
    /// The revision that was tried, if one was.
    pub revision: Option<&'a str>,
    /// The inventory, when it is known.
    pub inventory: Option<&'a Inventory>,
    /// The `requestedAt` that this run handles.
    pub handled: Option<&'a str>,
    /// Digest of what was built, and how long the run took, for the history.
    pub built: Option<(&'a str, Duration)>,
    /// `spec.timeout`, for messages.
    pub timeout: Duration,
}

/// The next status.
#[must_use]
pub fn next_status(
    old: &KustomizationStatus,
    patch: &StatusPatch<'_>,
    now: Timestamp,
) -> KustomizationStatus {
    let mut status = old.clone();
    let mut conditions = Conditions(std::mem::take(&mut status.conditions));
    let revision = patch.revision.unwrap_or_default();
    let mut set = |type_: &str, state, reason, message: &str| {
        conditions.set(type_, state, reason, message, patch.generation, now);
    };
    use ConditionStatus::{False, True, Unknown};
    use condition_types::{HEALTHY, READY, RECONCILING, STALLED};
    match patch.outcome {
        Outcome::Progressing(progress) => {
            let timeout = GoDuration(patch.timeout);
            let message = match progress {
                Progress::Applying => {
                    format!("Detecting drift for revision {revision} with a timeout of {timeout}")
                }
                Progress::Waiting => {
                    format!("Running health checks for revision {revision} with a timeout of {timeout}")
                }
                Progress::Deleting(held) => held.clone(),
            };
            set(READY, Unknown, Reason::Progressing, "Reconciliation in progress");
            set(RECONCILING, True, Reason::Progressing, &message);
            if *progress == Progress::Waiting {
                set(HEALTHY, Unknown, Reason::Progressing, &message);
            }
            conditions.remove(STALLED);
        }
        Outcome::Succeeded { health_checked } => {
            set(
                READY,
                True,
                Reason::ReconciliationSucceeded,
                &format!("Applied revision: {revision}"),
            );
            if *health_checked {
                set(HEALTHY, True, Reason::Succeeded, "Health check passed");
            } else {
                conditions.remove(HEALTHY);
            }
            conditions.remove(RECONCILING);
            conditions.remove(STALLED);
            status.observed_generation = Some(patch.generation);
            status.last_applied_revision = patch.revision.map(ToOwned::to_owned);
        }
        Outcome::Failed(failure) => {
            let message = failure.to_string();
            set(READY, False, failure.reason(), &message);
            if matches!(failure, Failure::Health(_)) {
                set(HEALTHY, False, failure.reason(), &message);
            }
            if failure.is_stalled() {
                set(STALLED, True, failure.reason(), &message);
                conditions.remove(RECONCILING);
                status.observed_generation = Some(patch.generation);
            } else {
                set(RECONCILING, True, Reason::ProgressingWithRetry, &message);
                conditions.remove(STALLED);
            }
        }
        Outcome::Suspended => {
            if conditions.is_true(READY) {
                conditions.remove(RECONCILING);
                status.observed_generation = Some(patch.generation);
            }
        }
    }
    status.conditions = conditions.0;
    if let Some(revision) = patch.revision {
        status.last_attempted_revision = Some(revision.to_owned());
    }
    if let Some(handled) = patch.handled {
        status.last_handled_reconcile_at = Some(handled.to_owned());
    }
    if let Some(inventory) = patch.inventory {
        status.inventory = Some(inventory.to_status());
    }
    if let Some((digest, took)) = patch.built {
        let reason = match patch.outcome {
            Outcome::Succeeded { .. } => Reason::ReconciliationSucceeded,
            Outcome::Failed(failure) => failure.reason(),
            Outcome::Progressing(_) | Outcome::Suspended => Reason::Progressing,
        };
        upsert(&mut status.history, digest, took, reason, revision, now);
    }
    if status.observed_generation.is_none() {
        status.observed_generation = Some(-1);
    }
    status
}

/// Puts a build in the history, the newest first (fluxcd/pkg `apis/meta/history.go`).
fn upsert(
    history: &mut Vec<Snapshot>,
    digest: &str,
    took: Duration,
    reason: Reason,
    revision: &str,
    now: Timestamp,
) {
    let now = crate::api::rfc3339_seconds(now);
    let known = history
        .iter()
        .position(|snapshot| snapshot.digest == digest && snapshot.last_reconciled_status == reason.as_str());
    let mut snapshot = match known {
        Some(index) => history.remove(index),
        None => Snapshot {
            digest: digest.to_owned(),
            first_reconciled: now.clone(),
            last_reconciled: now.clone(),
            last_reconciled_duration: GoDuration(took),
            last_reconciled_status: reason.as_str().to_owned(),
            total_reconciliations: 0,
            metadata: BTreeMap::new(),
        },
    };
    snapshot.last_reconciled = now;
    snapshot.last_reconciled_duration = GoDuration(Duration::from_millis(took.as_millis() as u64));
    snapshot.total_reconciliations += 1;
    snapshot.metadata = BTreeMap::from([("revision".to_owned(), revision.to_owned())]);
    history.insert(0, snapshot);
    history.truncate(HISTORY);
}

const FIELDS: [&str; 8] = [
    "observedGeneration",
    "conditions",
    "lastAppliedRevision",
    "lastAppliedOriginRevision",
    "lastAttemptedRevision",
    "lastHandledReconcileAt",
    "inventory",
    "history",
];

/// The merge patch that makes a status so: whole, with explicit nulls (rule 25). With a `resource_version` it
/// is refused when the object was changed since.
#[must_use]
pub fn status_patch(status: &KustomizationStatus, resource_version: Option<&str>) -> Value {
    let mut fields = match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    for field in FIELDS {
        fields.entry(field).or_insert(Value::Null);
    }
    let mut patch = json!({ "status": fields });
    if let Some(version) = resource_version {
        patch["metadata"] = json!({ "resourceVersion": version });
    }
    patch
}

/// The conditions of a status, for those who only look.
#[must_use]
pub(crate) fn conditions_of(status: Option<&KustomizationStatus>) -> Conditions {
    let conditions: Vec<Condition> = status.map(|status| status.conditions.clone()).unwrap_or_default();
    Conditions(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(outcome: &Outcome) -> StatusPatch<'_> {
        StatusPatch {
            outcome,
            generation: 2,
            revision: Some("main@sha1:abc"),
            inventory: None,
            handled: None,
            built: None,
            timeout: Duration::from_secs(60),
        }
    }

    fn words(status: &KustomizationStatus) -> Vec<String> {
        status
            .conditions
            .iter()
            .map(|c| format!("{}={:?} {}: {}", c.type_, c.status, c.reason, c.message))
            .collect()
    }

    #[test]
    fn a_success_after_a_failure_takes_the_marks_of_the_failure_away() {
        let start = KustomizationStatus::default();
        let failed = Outcome::Failed(Failure::Health("Deployment/a/web failed".into()));
        let status = next_status(&start, &patch(&failed), Timestamp::UNIX_EPOCH);
        assert_eq!(
            words(&status),
            [
                "Reconciling=True ProgressingWithRetry: Deployment/a/web failed",
                "Ready=False HealthCheckFailed: Deployment/a/web failed",
                "Healthy=False HealthCheckFailed: Deployment/a/web failed",
            ]
        );
        assert_eq!(status.observed_generation, Some(-1));
        let succeeded = Outcome::Succeeded { health_checked: true };
        let status = next_status(&status, &patch(&succeeded), Timestamp::UNIX_EPOCH);
        assert_eq!(
            words(&status),
            [
                "Ready=True ReconciliationSucceeded: Applied revision: main@sha1:abc",
                "Healthy=True Succeeded: Health check passed",
            ]
        );
        assert_eq!(status.observed_generation, Some(2));
    }

    #[test]
    fn what_is_ready_stays_so_at_the_generation_that_suspends_it_and_what_failed_does_not() {
        let succeeded = Outcome::Succeeded { health_checked: true };
        let start = KustomizationStatus::default();
        let ready = next_status(&start, &patch(&succeeded), Timestamp::UNIX_EPOCH);
        let suspended = StatusPatch {
            generation: 3,
            revision: None,
            ..patch(&Outcome::Suspended)
        };
        let after = next_status(&ready, &suspended, Timestamp::UNIX_EPOCH);
        assert_eq!(after.observed_generation, Some(3));
        assert_eq!(
            KustomizationStatus {
                observed_generation: Some(2),
                ..after
            },
            ready
        );
        let failed = Outcome::Failed(Failure::Health("Deployment/a/web failed".into()));
        let failed = next_status(&ready, &patch(&failed), Timestamp::UNIX_EPOCH);
        assert_eq!(next_status(&failed, &suspended, Timestamp::UNIX_EPOCH), failed);
    }

    #[test]
    fn a_status_patch_says_null_for_what_is_not_there() {
        let patch = status_patch(&KustomizationStatus::default(), Some("7"));
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(patch["status"]["inventory"], Value::Null);
        assert!(patch["status"].as_object().unwrap().contains_key("history"));
    }
}
