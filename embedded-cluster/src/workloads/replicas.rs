//! The ReplicaSet controller. No I/O.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{CONTROLLER, Stage, controlled, is_true};
use crate::api::delete::DeleteOptions;
use crate::object;
use crate::store::{State, Stored};

/// Makes and removes pods, and counts them.
pub(super) fn sync(state: &mut State, stage: &Stage, set: &Arc<Stored>) -> Option<Timestamp> {
    let wanted = object::number(&set.value, &["spec", "replicas"]).unwrap_or(1);
    let mut pods = active(controlled(state, "/pods", set));
    let template = object::at(&set.value, &["spec", "template"])
        .cloned()
        .unwrap_or_default();
    let missing = wanted - count(&pods);
    for _ in 0..missing {
        stage.create_pod(state, set, &template, "", &[]);
    }
    // Those that are not ready go first.
    pods.sort_by_key(|pod| is_true(&pod.value, "Ready"));
    for pod in pods.iter().take(usize::try_from(-missing).unwrap_or(0)) {
        stage.delete(state, "/pods", &pod.key(), &DeleteOptions::immediate());
    }
    let pods = active(controlled(state, "/pods", set));
    let (status, next) = status(stage, &set.value, &pods);
    if let Some(set) = state.get("apps/replicasets", &set.key()).cloned() {
        stage.set_status(state, "apps/replicasets", &set, status, CONTROLLER);
    }
    next
}

fn active(mut pods: Vec<Arc<Stored>>) -> Vec<Arc<Stored>> {
    pods.retain(|pod| {
        !matches!(
            object::text(&pod.value, &["status", "phase"]),
            "Succeeded" | "Failed"
        )
    });
    pods
}

fn count(pods: &[Arc<Stored>]) -> i64 {
    i64::try_from(pods.len()).unwrap_or(i64::MAX)
}

fn status(stage: &Stage, set: &Value, pods: &[Arc<Stored>]) -> (Value, Option<Timestamp>) {
    let wait = object::number(set, &["spec", "minReadySeconds"]).unwrap_or(0);
    let ready = pods.iter().filter(|pod| is_true(&pod.value, "Ready")).count();
    let (available, next) = available(stage, pods, wait);
    let mut status = json!({
        "replicas": pods.len(), "observedGeneration": object::number(set, &["metadata", "generation"]),
    });
    for (field, number) in [
        ("fullyLabeledReplicas", pods.len()),
        ("readyReplicas", ready),
        ("availableReplicas", available),
    ] {
        if number > 0 {
            object::put(&mut status, &[field], number);
        }
    }
    (status, next)
}

/// How many pods have been ready long enough, and when the next one will.
pub(super) fn available(stage: &Stage, pods: &[Arc<Stored>], wait: i64) -> (usize, Option<Timestamp>) {
    let wait = Duration::from_secs(wait.unsigned_abs());
    let mut next = None;
    let mut number = 0;
    for pod in pods.iter().filter(|pod| is_true(&pod.value, "Ready")) {
        let conditions = object::items(&pod.value, &["status", "conditions"]);
        let ready = conditions
            .iter()
            .find(|condition| object::text(condition, &["type"]) == "Ready");
        let since: Option<Timestamp> =
            ready.and_then(|ready| object::text(ready, &["lastTransitionTime"]).parse().ok());
        let moment = since
            .and_then(|since| since.checked_add(wait).ok())
            .unwrap_or(stage.now);
        if wait.is_zero() || moment <= stage.now {
            number += 1;
        } else {
            next = Some(next.map_or(moment, |next: Timestamp| next.min(moment)));
        }
    }
    (number, next)
}
