//! The Deployment controller: one ReplicaSet per template, replaced step by step. No I/O.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{CONTROLLER, Stage, condition, controlled, owner_reference, share, template_hash};
use crate::api::delete::DeleteOptions;
use crate::object;
use crate::store::{State, Stored};

const REVISION: &str = "deployment.kubernetes.io/revision";
const SETS: &str = "apps/replicasets";

/// Moves pods from old ReplicaSets to the one of the present template, and tells how far it is.
pub(super) fn sync(state: &mut State, stage: &Stage, deployment: &Arc<Stored>) -> Option<Timestamp> {
    let mut sets = controlled(state, SETS, deployment);
    let hash = template_hash(
        &object::at(&deployment.value, &["spec", "template"])
            .cloned()
            .unwrap_or_default(),
    );
    let name = format!("{}-{hash}", object::meta(&deployment.value, "name"));
    let paused = super::flag(&deployment.value, &["spec", "paused"]);
    if !paused && !sets.iter().any(|set| object::meta(&set.value, "name") == name) {
        create_set(state, stage, deployment, &sets, &name, &hash);
        sets = controlled(state, SETS, deployment);
    }
    let (new, old): (Vec<_>, Vec<_>) = sets
        .into_iter()
        .partition(|set| object::meta(&set.value, "name") == name);
    let new = new.into_iter().next();
    if let Some(new) = &new {
        scale(state, stage, deployment, new, &old);
        remember_revision(state, stage, deployment, new);
        clean_up(state, stage, deployment, &old);
    }
    let (status, next) = status(state, stage, deployment, &name);
    if let Some(deployment) = state.get("apps/deployments", &deployment.key()).cloned() {
        stage.set_status(state, "apps/deployments", &deployment, status, CONTROLLER);
    }
    next
}

fn create_set(
    state: &mut State,
    stage: &Stage,
    deployment: &Stored,
    sets: &[Arc<Stored>],
    name: &str,
    hash: &str,
) {
    let value = &deployment.value;
    let mut template = object::at(value, &["spec", "template"])
        .cloned()
        .unwrap_or_default();
    object::put(&mut template, &["metadata", "labels", "pod-template-hash"], hash);
    let mut selector = object::at(value, &["spec", "selector"])
        .cloned()
        .unwrap_or_default();
    object::put(&mut selector, &["matchLabels", "pod-template-hash"], hash);
    let latest = sets.iter().map(|set| revision(&set.value)).max().unwrap_or(0);
    let wanted = object::number(value, &["spec", "replicas"]).unwrap_or(1);
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name, "namespace": object::meta(value, "namespace"),
            "labels": object::at(&template, &["metadata", "labels"]),
            "annotations": {
                REVISION: (latest + 1).to_string(),
                "deployment.kubernetes.io/desired-replicas": wanted.to_string(),
                "deployment.kubernetes.io/max-replicas": (wanted + surge(value, wanted)).to_string(),
            },
            "ownerReferences": [owner_reference(value)],
        },
        "spec": {
            "replicas": 0, "selector": selector, "template": template,
            "minReadySeconds": object::number(value, &["spec", "minReadySeconds"]).unwrap_or(0),
        },
    });
    stage.create(state, SETS, set);
}

fn revision(set: &Value) -> i64 {
    object::text(set, &["metadata", "annotations", REVISION])
        .parse()
        .unwrap_or(0)
}

fn surge(deployment: &Value, wanted: i64) -> i64 {
    if object::text(deployment, &["spec", "strategy", "type"]) == "Recreate" {
        return 0;
    }
    share(
        object::at(deployment, &["spec", "strategy", "rollingUpdate", "maxSurge"]),
        wanted,
        true,
    )
}

fn unavailable(deployment: &Value, wanted: i64) -> i64 {
    let most = share(
        object::at(
            deployment,
            &["spec", "strategy", "rollingUpdate", "maxUnavailable"],
        ),
        wanted,
        false,
    );
    if most == 0 && surge(deployment, wanted) == 0 {
        1
    } else {
        most.min(wanted)
    }
}

fn replicas(set: &Stored) -> i64 {
    object::number(&set.value, &["spec", "replicas"]).unwrap_or(0)
}

fn observed(set: &Stored, field: &str) -> i64 {
    object::number(&set.value, &["status", field]).unwrap_or(0)
}

/// One step: the new set grows as far as `maxSurge` allows, the old ones shrink as far as enough is available.
fn scale(state: &mut State, stage: &Stage, deployment: &Stored, new: &Arc<Stored>, old: &[Arc<Stored>]) {
    let wanted = object::number(&deployment.value, &["spec", "replicas"]).unwrap_or(1);
    let recreate = object::text(&deployment.value, &["spec", "strategy", "type"]) == "Recreate";
    let of_old: i64 = old.iter().map(|set| replicas(set)).sum();
    if recreate {
        for set in old {
            resize(state, stage, set, 0);
        }
        let running: i64 = old.iter().map(|set| observed(set, "replicas")).sum();
        if running == 0 {
            resize(state, stage, new, wanted);
        }
        return;
    }
    let room = wanted + surge(&deployment.value, wanted) - of_old;
    let grown = if of_old == 0 {
        wanted
    } else {
        wanted.min(room.max(replicas(new)))
    };
    resize(state, stage, new, grown);
    if of_old == 0 {
        return;
    }
    let least = wanted - unavailable(&deployment.value, wanted);
    let new_missing = grown - observed(new, "availableReplicas");
    let surplus = of_old + grown - least - new_missing;
    if surplus > 0 {
        shrink(state, stage, new, old, least, surplus);
    }
}

/// Pods of old sets that are not available help nobody and go first, then as many as are not needed.
fn shrink(state: &mut State, stage: &Stage, new: &Stored, old: &[Arc<Stored>], least: i64, surplus: i64) {
    let mut broken_may_go = surplus;
    let mut healthy_may_go = observed(new, "availableReplicas") - least;
    healthy_may_go += old
        .iter()
        .map(|set| observed(set, "availableReplicas"))
        .sum::<i64>();
    for set in old {
        let broken = (replicas(set) - observed(set, "availableReplicas")).clamp(0, broken_may_go);
        let healthy = (replicas(set) - broken).clamp(0, healthy_may_go.max(0));
        broken_may_go -= broken;
        healthy_may_go -= healthy;
        resize(state, stage, set, replicas(set) - broken - healthy);
    }
}

fn resize(state: &mut State, stage: &Stage, set: &Arc<Stored>, replicas: i64) {
    let Some(set) = state.get(SETS, &set.key()).cloned() else {
        return;
    };
    if self::replicas(&set) == replicas {
        return;
    }
    let mut value = set.value.clone();
    object::put(&mut value, &["spec", "replicas"], replicas);
    stage.update(state, SETS, &set, value, CONTROLLER, "");
}

/// The Deployment carries the revision of its present ReplicaSet; one that is taken up again becomes the latest.
fn remember_revision(state: &mut State, stage: &Stage, deployment: &Arc<Stored>, new: &Arc<Stored>) {
    let latest = controlled(state, SETS, deployment)
        .iter()
        .map(|set| revision(&set.value))
        .max()
        .unwrap_or(1);
    let mut present = revision(&new.value);
    if present < latest {
        present = latest + 1;
        if let Some(set) = state.get(SETS, &new.key()).cloned() {
            let mut value = set.value.clone();
            object::put(
                &mut value,
                &["metadata", "annotations", REVISION],
                present.to_string(),
            );
            stage.update(state, SETS, &set, value, CONTROLLER, "");
        }
    }
    let shown = object::text(&deployment.value, &["metadata", "annotations", REVISION]);
    if shown == present.to_string() {
        return;
    }
    let Some(deployment) = state.get("apps/deployments", &deployment.key()).cloned() else {
        return;
    };
    let mut value = deployment.value.clone();
    object::put(
        &mut value,
        &["metadata", "annotations", REVISION],
        present.to_string(),
    );
    // With the status, as its controller does: an annotation that anybody else writes counts as a wish.
    stage.update(
        state,
        "apps/deployments",
        &deployment,
        value,
        CONTROLLER,
        "status",
    );
}

/// Old, empty ReplicaSets beyond the history limit go.
fn clean_up(state: &mut State, stage: &Stage, deployment: &Stored, old: &[Arc<Stored>]) {
    let limit = object::number(&deployment.value, &["spec", "revisionHistoryLimit"]).unwrap_or(10);
    let mut empty: Vec<&Arc<Stored>> = old
        .iter()
        .filter(|set| replicas(set) == 0 && observed(set, "replicas") == 0)
        .collect();
    empty.sort_by_key(|set| revision(&set.value));
    let surplus = empty.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    for set in empty.into_iter().take(surplus) {
        let options = DeleteOptions::background(object::meta(&set.value, "uid"));
        stage.delete(state, SETS, &set.key(), &options);
    }
}

fn status(state: &State, stage: &Stage, deployment: &Stored, new_name: &str) -> (Value, Option<Timestamp>) {
    let value = &deployment.value;
    let sets = controlled(state, SETS, deployment);
    let new = sets
        .iter()
        .find(|set| object::meta(&set.value, "name") == new_name);
    let sum = |field: &str| sets.iter().map(|set| observed(set, field)).sum::<i64>();
    let wanted = object::number(value, &["spec", "replicas"]).unwrap_or(1);
    let (total, ready, available) = (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
    let updated = new.map_or(0, |new| observed(new, "replicas"));
    let missing = (total.max(wanted) - available).max(0);
    let mut status = json!({"observedGeneration": object::number(value, &["metadata", "generation"])});
    let numbers = [
        ("replicas", total),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", available),
        ("unavailableReplicas", missing),
    ];
    for (field, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
        object::put(&mut status, &[field], number);
    }
    let time = stage.time();
    let enough = available >= wanted - unavailable(value, wanted);
    let availability = if enough {
        condition(
            value,
            "Available",
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
            &time,
        )
    } else {
        condition(
            value,
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
            &time,
        )
    };
    let complete = updated == wanted && total == wanted && available == wanted;
    let (progress, next) = progress(
        stage,
        value,
        new_name,
        complete,
        (updated, ready, available, total),
    );
    let mut conditions = [updated_at(value, availability, &time), progress];
    conditions.sort_by_key(|condition| object::text(condition, &["type"]).to_owned());
    object::put(&mut status, &["conditions"], conditions.to_vec());
    (status, next)
}

/// Deployments' conditions also say when they were last updated.
fn updated_at(known: &Value, mut condition: Value, now: &str) -> Value {
    let kind = object::text(&condition, &["type"]).to_owned();
    let old = object::items(known, &["status", "conditions"])
        .iter()
        .find(|old| object::text(old, &["type"]) == kind);
    let same = old.filter(|old| {
        ["status", "reason", "message"]
            .iter()
            .all(|field| old.get(*field) == condition.get(*field))
    });
    let time = same
        .map_or(now, |old| object::text(old, &["lastUpdateTime"]))
        .to_owned();
    object::put(&mut condition, &["lastUpdateTime"], time);
    condition
}

/// `Progressing`: done, under way, or out of time.
fn progress(
    stage: &Stage,
    value: &Value,
    set: &str,
    complete: bool,
    counts: (i64, i64, i64, i64),
) -> (Value, Option<Timestamp>) {
    let time = stage.time();
    let make = |status: &str, reason: &str, message: String| {
        updated_at(
            value,
            condition(value, "Progressing", status, reason, &message, &time),
            &time,
        )
    };
    if complete {
        let message = format!("ReplicaSet {set:?} has successfully progressed.");
        return (make("True", "NewReplicaSetAvailable", message), None);
    }
    let old = object::items(value, &["status", "conditions"])
        .iter()
        .find(|old| object::text(old, &["type"]) == "Progressing");
    let field = |name: &str| object::number(value, &["status", name]).unwrap_or(0);
    let before = (
        field("updatedReplicas"),
        field("readyReplicas"),
        field("availableReplicas"),
        field("replicas"),
    );
    let observed = object::number(value, &["status", "observedGeneration"]);
    let moved = before != counts || observed != object::number(value, &["metadata", "generation"]);
    let under_way = format!("ReplicaSet {set:?} is progressing.");
    let named = |old: &Value| object::text(old, &["message"]).contains(set);
    let Some(old) = old.filter(|old| !moved && named(old)) else {
        let deadline = deadline(stage, value, &time);
        return (
            touched(make("True", "ReplicaSetUpdated", under_way), &time),
            deadline,
        );
    };
    let since = object::text(old, &["lastUpdateTime"]).to_owned();
    let out_of_time = object::text(old, &["reason"]) == "ProgressDeadlineExceeded";
    let deadline = deadline(stage, value, &since);
    if out_of_time || deadline.is_some_and(|deadline| deadline <= stage.now) {
        let message = format!("ReplicaSet {set:?} has timed out progressing.");
        return (make("False", "ProgressDeadlineExceeded", message), None);
    }
    (old.clone(), deadline)
}

/// Progress was made now, although the words are the same.
fn touched(mut condition: Value, now: &str) -> Value {
    object::put(&mut condition, &["lastUpdateTime"], now);
    condition
}

fn deadline(stage: &Stage, value: &Value, since: &str) -> Option<Timestamp> {
    let seconds = object::number(value, &["spec", "progressDeadlineSeconds"])?;
    let since: Timestamp = since.parse().unwrap_or(stage.now);
    since
        .checked_add(Duration::from_secs(seconds.unsigned_abs()))
        .ok()
}
