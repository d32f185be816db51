//! A GitRepository's next status, from the last one and what a look at its repository came to. Pure.
//!
//! Conditions, reasons and words follow source-controller (`internal/controller/gitrepository_controller.go`).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{
    Artifact, ConditionStatus, Conditions, GitRepository, GitRepositoryStatus, REQUESTED_AT, Reason,
    condition_types,
};

/// Why a GitRepository brought no revision.
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) message: String,
    /// Nothing is tried until the object changes.
    pub(super) stalled: bool,
}

/// The status once an artifact stands for what was fetched.
pub(super) fn fetched(
    old: &GitRepositoryStatus,
    object: &GitRepository,
    artifact: Artifact,
    now: Timestamp,
) -> GitRepositoryStatus {
    let generation = object.metadata.generation.unwrap_or_default();
    let message = format!("stored artifact for revision '{}'", artifact.revision);
    let mut conditions = Conditions(old.conditions.clone());
    for type_ in [condition_types::READY, condition_types::ARTIFACT_IN_STORAGE] {
        conditions.set(
            type_,
            ConditionStatus::True,
            Reason::Succeeded,
            &message,
            generation,
            now,
        );
    }
    for type_ in [
        condition_types::RECONCILING,
        condition_types::STALLED,
        condition_types::FETCH_FAILED,
    ] {
        conditions.remove(type_);
    }
    GitRepositoryStatus {
        observed_generation: Some(generation),
        conditions: conditions.0,
        artifact: Some(artifact),
        observed_ignore: object.spec.ignore.clone(),
        last_handled_reconcile_at: handled(object).or(old.last_handled_reconcile_at.clone()),
        ..GitRepositoryStatus::default()
    }
}

/// The status after a failure; the artifact of before stays.
pub(super) fn failed(
    old: &GitRepositoryStatus,
    object: &GitRepository,
    failure: &Failure,
    now: Timestamp,
) -> GitRepositoryStatus {
    let generation = object.metadata.generation.unwrap_or_default();
    let mut conditions = Conditions(old.conditions.clone());
    let mut set = |type_: &str, status, reason| {
        conditions.set(type_, status, reason, &failure.message, generation, now);
    };
    set(condition_types::READY, ConditionStatus::False, failure.reason);
    set(
        condition_types::FETCH_FAILED,
        ConditionStatus::True,
        failure.reason,
    );
    if failure.stalled {
        set(condition_types::STALLED, ConditionStatus::True, failure.reason);
        conditions.remove(condition_types::RECONCILING);
    } else {
        set(
            condition_types::RECONCILING,
            ConditionStatus::True,
            Reason::ProgressingWithRetry,
        );
        conditions.remove(condition_types::STALLED);
    }
    let observed = if failure.stalled {
        Some(generation)
    } else {
        old.observed_generation.or(Some(-1))
    };
    GitRepositoryStatus {
        observed_generation: observed,
        conditions: conditions.0,
        last_handled_reconcile_at: handled(object).or(old.last_handled_reconcile_at.clone()),
        ..old.clone()
    }
}

/// Reason and words of the failure that a status tells of.
pub(super) fn failure(status: &GitRepositoryStatus) -> Option<(String, String)> {
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == condition_types::READY)?;
    (ready.status == ConditionStatus::False).then(|| (ready.reason.clone(), ready.message.clone()))
}

pub(super) fn requested(object: &GitRepository) -> Option<String> {
    object.metadata.annotations.as_ref()?.get(REQUESTED_AT).cloned()
}

/// The request that a look handles: none while it is suspended (rule 22).
fn handled(object: &GitRepository) -> Option<String> {
    requested(object).filter(|_| !object.spec.suspend)
}

const FIELDS: [&str; 8] = [
    "conditions",
    "artifact",
    "includedArtifacts",
    "observedIgnore",
    "observedRecurseSubmodules",
    "observedInclude",
    "observedSparseCheckout",
    "lastHandledReconcileAt",
];

/// The patch that makes a status stand as it is, fields that it does not have included.
pub(super) fn patch(status: &GitRepositoryStatus) -> Value {
    let mut fields = match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    for field in FIELDS {
        fields.entry(field).or_insert(Value::Null);
    }
    json!({ "status": fields })
}
