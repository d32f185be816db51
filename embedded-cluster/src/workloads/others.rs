//! Claims are bound, load balancers get an address, budgets are counted. No I/O.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{CONTROLLER, Stage, Workloads, condition, is_true, share};
use crate::object;
use crate::store::{State, Stored};
use crate::validate::selects;

/// Binds a claim to a volume that is made for it.
pub(super) fn claim(state: &mut State, stage: &Stage, claim: &Arc<Stored>) -> Option<Timestamp> {
    const STORAGE: &str = "/persistentvolumeclaims";
    if object::text(&claim.value, &["status", "phase"]) == "Bound" {
        return None;
    }
    let mut current = Arc::clone(claim);
    if object::text(&claim.value, &["spec", "volumeName"]).is_empty() {
        let mut value = claim.value.clone();
        object::put(
            &mut value,
            &["spec", "volumeName"],
            format!("pvc-{}", object::meta(&claim.value, "uid")),
        );
        object::put(
            &mut value,
            &["metadata", "annotations", "pv.kubernetes.io/bind-completed"],
            "yes",
        );
        object::put(
            &mut value,
            &["metadata", "annotations", "pv.kubernetes.io/bound-by-controller"],
            "yes",
        );
        stage.update(state, STORAGE, claim, value, CONTROLLER, "");
        current = Arc::clone(state.get(STORAGE, &claim.key())?);
    }
    let status = json!({
        "phase": "Bound",
        "accessModes": object::at(&current.value, &["spec", "accessModes"]),
        "capacity": object::at(&current.value, &["spec", "resources", "requests"]),
    });
    stage.set_status(state, STORAGE, &current, status, CONTROLLER);
    None
}

/// Gives a load balancer its address.
pub(super) fn service(state: &mut State, stage: &Stage, service: &Arc<Stored>) -> Option<Timestamp> {
    if object::text(&service.value, &["spec", "type"]) != "LoadBalancer" {
        return None;
    }
    if object::items(&service.value, &["status", "loadBalancer", "ingress"]).is_empty() {
        let address = object::text(&service.value, &["spec", "clusterIP"]).replacen("10.", "172.", 1);
        let status = json!({"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}});
        stage.set_status(state, "/services", service, status, "cloud-controller-manager");
    }
    None
}

/// Counts the healthy pods of a disruption budget.
pub(super) fn budget(state: &mut State, stage: &Stage, budget: &Arc<Stored>) -> Option<Timestamp> {
    let value = &budget.value;
    let selector = object::at(value, &["spec", "selector"])
        .cloned()
        .unwrap_or_default();
    let pods: Vec<Arc<Stored>> = state
        .in_namespace("/pods", object::meta(value, "namespace"))
        .filter(|(_, pod)| selects(&selector, object::entries(&pod.value, &["metadata", "labels"])))
        .map(|(_, pod)| Arc::clone(pod))
        .collect();
    let expected = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    let healthy = i64::try_from(pods.iter().filter(|pod| is_true(&pod.value, "Ready")).count()).unwrap_or(0);
    let desired = match object::at(value, &["spec", "maxUnavailable"]) {
        Some(most) => expected - share(Some(most), expected, true),
        None => share(object::at(value, &["spec", "minAvailable"]), expected, true),
    };
    let allowed = (healthy - desired.max(0)).max(0);
    let time = stage.time();
    let generation = object::number(value, &["metadata", "generation"]);
    let mut met = if allowed > 0 {
        condition(value, "DisruptionAllowed", "True", "SufficientPods", "", &time)
    } else {
        condition(value, "DisruptionAllowed", "False", "InsufficientPods", "", &time)
    };
    object::put(&mut met, &["observedGeneration"], generation);
    object::put(&mut met, &["message"], "");
    let status = json!({
        "currentHealthy": healthy, "desiredHealthy": desired.max(0), "disruptionsAllowed": allowed,
        "expectedPods": expected, "observedGeneration": generation, "conditions": [met],
    });
    stage.set_status(state, "policy/poddisruptionbudgets", budget, status, CONTROLLER);
    None
}

/// Forgets what was played of pods that are gone.
pub(super) fn forget(workloads: &Workloads, state: &State) {
    let mut inner = workloads.lock();
    // Looking at all uids each time would be work for nothing: do it when half of them may be stale.
    if inner.plays.len() < 64 || inner.plays.len() < 2 * inner.known {
        return;
    }
    inner.plays.retain(|uid, _| state.find_uid(uid).is_some());
    inner.known = inner.plays.len();
}

/// The node a cluster starts with.
pub(crate) fn node(now: &str) -> Value {
    let quantities = json!({"cpu": "8", "memory": "32Gi", "pods": "10000", "ephemeral-storage": "100Gi"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": super::NODE, "labels": {"kubernetes.io/hostname": super::NODE, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}},
        "spec": {},
        "status": {
            "capacity": quantities, "allocatable": quantities,
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            }],
            "nodeInfo": {
                "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "containerd://2.0.0", "kernelVersion": "6.1.0",
                "kubeProxyVersion": "", "kubeletVersion": "v1.36.3", "machineID": "", "operatingSystem": "linux",
                "osImage": "embedded", "systemUUID": "",
            },
        },
    })
}
