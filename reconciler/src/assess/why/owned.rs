//! Which pods belong to a workload, and which of them to look at first.

use std::cmp::Reverse;

use serde_json::Value;

use super::{Facts, entries, text};

/// Pods that are looked into; a rollout that fails, fails alike in all of them.
const PODS: usize = 5;

/// Pods of the workload: those of the newest ReplicaSet or revision first, pods that are being deleted or are done
/// left out.
pub(super) fn pods_to_look_at<'a>(facts: &Facts<'a>) -> Vec<&'a Value> {
    if facts.workload["kind"] == "Pod" {
        return vec![facts.workload];
    }
    let sets = replica_sets(facts);
    let owners: Vec<&str> = match text(facts.workload, "kind") {
        "Deployment" => sets.iter().map(|set| text(&set["metadata"], "uid")).collect(),
        _ => vec![text(&facts.workload["metadata"], "uid")],
    };
    let revision = text(&facts.workload["status"], "updateRevision");
    let mut pods: Vec<(usize, &Value)> = facts
        .pods
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] != "Succeeded")
        .filter_map(|pod| Some((owners.iter().position(|owner| is_owned_by(pod, owner))?, pod)))
        .collect();
    let newest_owner = pods.iter().map(|(owner, _)| *owner).min();
    pods.retain(|(owner, _)| Some(*owner) == newest_owner);
    pods.sort_by_key(|(_, pod)| {
        let outdated = !revision.is_empty()
            && pod["metadata"]["labels"]["controller-revision-hash"]
                .as_str()
                .is_some_and(|hash| hash != revision);
        (outdated, text(&pod["metadata"], "name"))
    });
    pods.into_iter().map(|(_, pod)| pod).take(PODS).collect()
}

/// ReplicaSets of a Deployment, the newest first. One that is to have no pods is none to look at.
pub(super) fn replica_sets<'a>(facts: &Facts<'a>) -> Vec<&'a Value> {
    let uid = text(&facts.workload["metadata"], "uid");
    let mut sets: Vec<&Value> = facts
        .replica_sets
        .iter()
        .filter(|set| is_owned_by(set, uid) && set["spec"]["replicas"].as_i64() != Some(0))
        .collect();
    sets.sort_by_key(|set| {
        (
            Reverse(revision(set)),
            Reverse(text(&set["metadata"], "creationTimestamp")),
        )
    });
    sets
}

fn revision(set: &Value) -> i64 {
    let annotation = &set["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    annotation
        .as_str()
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

fn is_owned_by(object: &Value, uid: &str) -> bool {
    !uid.is_empty()
        && entries(&object["metadata"], "ownerReferences")
            .iter()
            .any(|owner| text(owner, "uid") == uid)
}
