//! The DaemonSet controller, for a cluster of one node. No I/O.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::{CONTROLLER, NODE, Stage, controlled, is_true, replicas, template_hash};
use crate::api::delete::DeleteOptions;
use crate::object;
use crate::store::{State, Stored};

const HASH: &str = "controller-revision-hash";

/// Keeps one pod of the present template.
pub(super) fn sync(state: &mut State, stage: &Stage, set: &Arc<Stored>) -> Option<Timestamp> {
    let template = object::at(&set.value, &["spec", "template"])
        .cloned()
        .unwrap_or_default();
    let hash = template_hash(&template);
    let pods = controlled(state, "/pods", set);
    let is_new = |pod: &Arc<Stored>| object::text(&pod.value, &["metadata", "labels", HASH]) == hash;
    for old in pods.iter().filter(|pod| !is_new(pod)) {
        stage.delete(state, "/pods", &old.key(), &DeleteOptions::immediate());
    }
    let selector = object::entries(&set.value, &["spec", "template", "spec", "nodeSelector"]);
    let fits = selector
        .iter()
        .all(|(key, value)| key == "kubernetes.io/os" && value == "linux");
    if fits && !pods.iter().any(is_new) {
        stage.create_pod(state, set, &template, "", &[(HASH, &hash)]);
    }
    let pods = controlled(state, "/pods", set);
    let wait = object::number(&set.value, &["spec", "minReadySeconds"]).unwrap_or(0);
    let (available, next) = replicas::available(stage, &pods, wait);
    let ready = pods.iter().filter(|pod| is_true(&pod.value, "Ready")).count();
    let wanted = usize::from(fits);
    let mut status = json!({
        "currentNumberScheduled": pods.len(), "desiredNumberScheduled": wanted, "numberMisscheduled": 0,
        "numberReady": ready, "observedGeneration": object::number(&set.value, &["metadata", "generation"]),
    });
    let numbers = [
        (
            "updatedNumberScheduled",
            pods.iter().filter(|pod| is_new(pod)).count(),
        ),
        ("numberAvailable", available),
        ("numberUnavailable", wanted.saturating_sub(available)),
    ];
    for (field, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
        object::put(&mut status, &[field], number);
    }
    if let Some(set) = state.get("apps/daemonsets", &set.key()).cloned() {
        stage.set_status(state, "apps/daemonsets", &set, status, CONTROLLER);
    }
    tracing::trace!(node = NODE, ready, "daemon set looked at");
    next
}
