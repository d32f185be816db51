//! The StatefulSet controller: pods with fixed names, one after the other. No I/O.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{CONTROLLER, Stage, controlled, is_true, owner_reference, replicas, template_hash};
use crate::api::delete::DeleteOptions;
use crate::object;
use crate::store::{Key, State, Stored};

const HASH: &str = "controller-revision-hash";

/// Makes the next pod, removes what is too many, replaces what is old.
pub(super) fn sync(state: &mut State, stage: &Stage, set: &Arc<Stored>) -> Option<Timestamp> {
    let wanted = object::number(&set.value, &["spec", "replicas"]).unwrap_or(1);
    let template = object::at(&set.value, &["spec", "template"])
        .cloned()
        .unwrap_or_default();
    let name = object::meta(&set.value, "name").to_owned();
    let update = format!("{name}-{}", template_hash(&template));
    revision(state, stage, set, &update, &template);
    let pods = controlled(state, "/pods", set);
    let step = next_step(&set.value, &pods, wanted, &update);
    match step {
        Step::Create(ordinals) => {
            for ordinal in ordinals {
                create(state, stage, set, &template, ordinal, &update);
            }
        }
        Step::Delete(key) => stage.delete(state, "/pods", &key, &DeleteOptions::immediate()),
        Step::Wait => {}
    }
    let pods = controlled(state, "/pods", set);
    let wait = object::number(&set.value, &["spec", "minReadySeconds"]).unwrap_or(0);
    let (available, next) = replicas::available(stage, &pods, wait);
    let status = status(&set.value, &pods, available, &update);
    if let Some(set) = state.get("apps/statefulsets", &set.key()).cloned() {
        stage.set_status(state, "apps/statefulsets", &set, status, CONTROLLER);
    }
    next
}

enum Step {
    Create(Vec<i64>),
    Delete(Key),
    Wait,
}

fn pod_name(set: &Value, ordinal: i64) -> String {
    format!("{}-{ordinal}", object::meta(set, "name"))
}

fn next_step(set: &Value, pods: &[Arc<Stored>], wanted: i64, update: &str) -> Step {
    let start = object::number(set, &["spec", "ordinals", "start"]).unwrap_or(0);
    let find = |ordinal: i64| {
        let name = pod_name(set, ordinal);
        pods.iter().find(|pod| object::meta(&pod.value, "name") == name)
    };
    let ordinals: Vec<i64> = (start..start + wanted).collect();
    let parallel = object::text(set, &["spec", "podManagementPolicy"]) == "Parallel";
    let missing: Vec<i64> = ordinals
        .iter()
        .copied()
        .filter(|ordinal| find(*ordinal).is_none())
        .collect();
    if parallel && !missing.is_empty() {
        return Step::Create(missing);
    }
    for ordinal in &ordinals {
        match find(*ordinal) {
            None => return Step::Create(vec![*ordinal]),
            Some(pod) if !parallel && !is_true(&pod.value, "Ready") => return broken(pod, update),
            Some(_) => {}
        }
    }
    let surplus = pods.iter().filter(|pod| {
        !ordinals
            .iter()
            .any(|ordinal| object::meta(&pod.value, "name") == pod_name(set, *ordinal))
    });
    if let Some(last) = surplus.max_by_key(|pod| ordinal_of(pod)) {
        return Step::Delete(last.key());
    }
    if object::text(set, &["spec", "updateStrategy", "type"]) == "OnDelete" {
        return Step::Wait;
    }
    let partition =
        object::number(set, &["spec", "updateStrategy", "rollingUpdate", "partition"]).unwrap_or(0);
    for ordinal in ordinals.iter().rev().filter(|ordinal| **ordinal >= partition) {
        let Some(pod) = find(*ordinal) else { continue };
        if object::text(&pod.value, &["metadata", "labels", HASH]) != update {
            return Step::Delete(pod.key());
        }
        if !is_true(&pod.value, "Ready") {
            return Step::Wait;
        }
    }
    Step::Wait
}

/// A pod of an old template that never became ready is replaced; otherwise upstream waits, too.
fn broken(pod: &Stored, update: &str) -> Step {
    let old = object::text(&pod.value, &["metadata", "labels", HASH]) != update;
    if old { Step::Delete(pod.key()) } else { Step::Wait }
}

fn ordinal_of(pod: &Stored) -> i64 {
    object::meta(&pod.value, "name")
        .rsplit('-')
        .next()
        .and_then(|ordinal| ordinal.parse().ok())
        .unwrap_or(0)
}

fn create(state: &mut State, stage: &Stage, set: &Stored, template: &Value, ordinal: i64, update: &str) {
    let name = pod_name(&set.value, ordinal);
    let mut template = template.clone();
    let claims = object::items(&set.value, &["spec", "volumeClaimTemplates"]).to_vec();
    let mut volumes = object::items(&template, &["spec", "volumes"]).to_vec();
    for claim in &claims {
        let volume = object::meta(claim, "name");
        let claim_name = format!("{volume}-{name}");
        volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim_name}}));
        create_claim(state, stage, set, claim, &claim_name);
    }
    if !volumes.is_empty() {
        object::put(&mut template, &["spec", "volumes"], volumes);
    }
    object::put(&mut template, &["spec", "hostname"], name.as_str());
    object::put(
        &mut template,
        &["spec", "subdomain"],
        object::text(&set.value, &["spec", "serviceName"]),
    );
    let index = ordinal.to_string();
    let labels = [
        (HASH, update),
        ("statefulset.kubernetes.io/pod-name", name.as_str()),
        ("apps.kubernetes.io/pod-index", index.as_str()),
    ];
    stage.create_pod(state, set, &template, &name, &labels);
}

fn create_claim(state: &mut State, stage: &Stage, set: &Stored, template: &Value, name: &str) {
    let space = object::meta(&set.value, "namespace");
    if state
        .get("/persistentvolumeclaims", &Key::new(space, name))
        .is_some()
    {
        return;
    }
    let mut labels = object::entries(&set.value, &["spec", "selector", "matchLabels"]).clone();
    labels.extend(object::entries(template, &["metadata", "labels"]).clone());
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": space, "labels": labels},
        "spec": template.get("spec"),
    });
    stage.create(state, "/persistentvolumeclaims", claim);
}

/// Remembers the template, as upstream does for rollbacks.
fn revision(state: &mut State, stage: &Stage, set: &Stored, name: &str, template: &Value) {
    let space = object::meta(&set.value, "namespace");
    if state
        .get("apps/controllerrevisions", &Key::new(space, name))
        .is_some()
    {
        return;
    }
    let known = controlled(state, "apps/controllerrevisions", set);
    let latest = known
        .iter()
        .filter_map(|known| object::number(&known.value, &["revision"]))
        .max()
        .unwrap_or(0);
    let revision = json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {
            "name": name, "namespace": space, "labels": object::at(template, &["metadata", "labels"]),
            "ownerReferences": [owner_reference(&set.value)],
        },
        "data": {"spec": {"template": template}}, "revision": latest + 1,
    });
    stage.create(state, "apps/controllerrevisions", revision);
}

fn status(set: &Value, pods: &[Arc<Stored>], available: usize, update: &str) -> Value {
    let ready = pods.iter().filter(|pod| is_true(&pod.value, "Ready")).count();
    let is_new = |pod: &&Arc<Stored>| object::text(&pod.value, &["metadata", "labels", HASH]) == update;
    let updated = pods.iter().filter(is_new).count();
    let wanted = object::number(set, &["spec", "replicas"]).unwrap_or(1);
    let before = object::text(set, &["status", "currentRevision"]);
    let done = i64::try_from(updated).unwrap_or(0) == wanted && ready == updated && pods.len() == updated;
    let current = if done || before.is_empty() { update } else { before };
    let is_current = |pod: &&Arc<Stored>| object::text(&pod.value, &["metadata", "labels", HASH]) == current;
    let mut status = json!({
        "observedGeneration": object::number(set, &["metadata", "generation"]),
        "replicas": pods.len(), "availableReplicas": available,
        "currentRevision": current, "updateRevision": update, "collisionCount": 0,
    });
    let numbers = [
        ("readyReplicas", ready),
        ("updatedReplicas", updated),
        ("currentReplicas", pods.iter().filter(is_current).count()),
    ];
    for (field, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
        object::put(&mut status, &[field], number);
    }
    status
}
