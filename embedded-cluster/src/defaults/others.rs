//! Defaults of all other built-in kinds, and the status objects are born with. No I/O.

use serde_json::{Value, json};

use super::pods;
use crate::object::{self, items_mut, put_default};
use crate::resource::Kind;

/// Kinds of the core group.
pub(crate) fn core(value: &mut Value, kind: &Kind) {
    match kind.plural.as_str() {
        "secrets" => {
            put_default(value, &["type"], "Opaque");
            string_data(value);
        }
        "namespaces" => {
            let name = object::meta(value, "name").to_owned();
            if !name.is_empty() {
                object::put(
                    value,
                    &["metadata", "labels", "kubernetes.io/metadata.name"],
                    name,
                );
            }
        }
        "persistentvolumeclaims" => {
            put_default(value, &["spec", "volumeMode"], "Filesystem");
            pods::quantities(value, &["spec", "resources", "requests"]);
            pods::quantities(value, &["spec", "resources", "limits"]);
        }
        "persistentvolumes" => {
            put_default(value, &["spec", "persistentVolumeReclaimPolicy"], "Retain");
            put_default(value, &["spec", "volumeMode"], "Filesystem");
            pods::quantities(value, &["spec", "capacity"]);
        }
        "resourcequotas" => pods::quantities(value, &["spec", "hard"]),
        "limitranges" => {
            for limit in items_mut(value, &["spec", "limits"]) {
                limit_defaults(limit);
                for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
                    pods::quantities(limit, &[field]);
                }
            }
        }
        "endpoints" => {
            for subset in items_mut(value, &["subsets"]) {
                for port in items_mut(subset, &["ports"]) {
                    put_default(port, &["protocol"], "TCP");
                }
            }
        }
        _ => {}
    }
}

/// A container that is limited by default requests as much.
fn limit_defaults(limit: &mut Value) {
    if object::text(limit, &["type"]) != "Container" {
        return;
    }
    for (from, to) in [
        ("max", "default"),
        ("default", "defaultRequest"),
        ("min", "defaultRequest"),
    ] {
        for (name, quantity) in object::entries(limit, &[from]).clone() {
            put_default(limit, &[to, &name], quantity);
        }
    }
}

/// `stringData` is written into `data` and never stored.
fn string_data(value: &mut Value) {
    use base64::Engine;
    let Some(Value::Object(texts)) = object::take(value, &["stringData"]) else {
        return;
    };
    for (key, text) in texts {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or_default());
        object::map_at(value, &["data"]).insert(key, encoded.into());
    }
}

/// Kinds of other groups.
pub(crate) fn set(value: &mut Value, kind: &Kind) {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            put_default(value, &["roleRef", "apiGroup"], "rbac.authorization.k8s.io");
            for subject in items_mut(value, &["subjects"]) {
                if matches!(object::text(subject, &["kind"]), "User" | "Group") {
                    put_default(subject, &["apiGroup"], "rbac.authorization.k8s.io");
                }
            }
        }
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => {
            put_default(value, &["rules"], Value::Null);
        }
        ("autoscaling", "horizontalpodautoscalers") => {
            put_default(value, &["spec", "minReplicas"], 1);
            if kind.version == "v2" && object::items(value, &["spec", "metrics"]).is_empty() {
                let cpu = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
                object::put(value, &["spec", "metrics"], cpu);
            }
            if object::at(value, &["spec", "behavior"]).is_some_and(Value::is_object) {
                behaviour(value);
            }
        }
        ("storage.k8s.io", "storageclasses") => {
            put_default(value, &["reclaimPolicy"], "Delete");
            put_default(value, &["volumeBindingMode"], "Immediate");
        }
        ("storage.k8s.io", "csidrivers") => {
            put_default(value, &["spec", "attachRequired"], true);
            put_default(value, &["spec", "podInfoOnMount"], false);
            put_default(value, &["spec", "storageCapacity"], false);
            put_default(value, &["spec", "fsGroupPolicy"], "ReadWriteOnceWithFSType");
            put_default(value, &["spec", "volumeLifecycleModes"], json!(["Persistent"]));
            put_default(value, &["spec", "requiresRepublish"], false);
            put_default(value, &["spec", "seLinuxMount"], false);
        }
        ("scheduling.k8s.io", "priorityclasses") => {
            put_default(value, &["preemptionPolicy"], "PreemptLowerPriority");
        }
        ("admissionregistration.k8s.io", plural) if plural.ends_with("webhookconfigurations") => {
            webhooks(value, plural);
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => {
            put_default(value, &["spec", "failurePolicy"], "Fail");
            put_default(value, &["spec", "matchConstraints", "matchPolicy"], "Equivalent");
            put_default(
                value,
                &["spec", "matchConstraints", "namespaceSelector"],
                json!({}),
            );
            put_default(value, &["spec", "matchConstraints", "objectSelector"], json!({}));
            for rule in items_mut(value, &["spec", "matchConstraints", "resourceRules"]) {
                put_default(rule, &["scope"], "*");
            }
        }
        ("discovery.k8s.io", "endpointslices") => {
            for port in items_mut(value, &["ports"]) {
                put_default(port, &["name"], "");
                put_default(port, &["protocol"], "TCP");
            }
        }
        ("policy", "poddisruptionbudgets") => {}
        _ => {}
    }
}

/// How fast a scaler that says anything about it goes up and down.
fn behaviour(value: &mut Value) {
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    let up = ["spec", "behavior", "scaleUp"];
    let down = ["spec", "behavior", "scaleDown"];
    put_default(value, &[up[0], up[1], up[2], "stabilizationWindowSeconds"], 0);
    for (way, policies) in [(up, json!([pods, percent])), (down, json!([percent]))] {
        put_default(value, &[way[0], way[1], way[2], "selectPolicy"], "Max");
        put_default(value, &[way[0], way[1], way[2], "policies"], policies);
    }
}

fn webhooks(value: &mut Value, plural: &str) {
    let mutating = plural.starts_with("mutating");
    for hook in items_mut(value, &["webhooks"]) {
        put_default(hook, &["failurePolicy"], "Fail");
        put_default(hook, &["matchPolicy"], "Equivalent");
        put_default(hook, &["namespaceSelector"], json!({}));
        put_default(hook, &["objectSelector"], json!({}));
        put_default(hook, &["timeoutSeconds"], 10);
        if mutating {
            put_default(hook, &["reinvocationPolicy"], "Never");
        }
        if object::at(hook, &["clientConfig", "service"]).is_some() {
            put_default(hook, &["clientConfig", "service", "port"], 443);
        }
        for rule in items_mut(hook, &["rules"]) {
            put_default(rule, &["scope"], "*");
        }
    }
}

/// The status that objects are born with.
pub(crate) fn initial_status(value: &mut Value, kind: &Kind) {
    let status = match (kind.group.as_str(), kind.plural.as_str()) {
        ("apps", "deployments") | ("batch", "jobs" | "cronjobs") => json!({}),
        ("apps", "replicasets") => json!({"replicas": 0}),
        ("apps", "statefulsets") => json!({"availableReplicas": 0, "replicas": 0}),
        ("apps", "daemonsets") => {
            json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0})
        }
        ("", "namespaces") => {
            put_default(value, &["spec", "finalizers"], json!(["kubernetes"]));
            json!({"phase": "Active"})
        }
        ("", "pods") => json!({"phase": "Pending", "qosClass": quality(value)}),
        ("", "persistentvolumeclaims" | "persistentvolumes") => json!({"phase": "Pending"}),
        ("networking.k8s.io", "ingresses") => json!({"loadBalancer": {}}),
        ("policy", "poddisruptionbudgets") => {
            json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0})
        }
        ("autoscaling", "horizontalpodautoscalers") => json!({"currentMetrics": null, "desiredReplicas": 0}),
        ("", "resourcequotas") => json!({}),
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            let versions = object::items(value, &["spec", "versions"]).iter();
            let stored =
                versions.filter(|version| version.get("storage").and_then(Value::as_bool) == Some(true));
            let names: Vec<&str> = stored.map(|version| object::text(version, &["name"])).collect();
            json!({"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": names})
        }
        _ => return,
    };
    object::put(value, &["status"], status);
}

/// The class of a pod by its requests and limits.
fn quality(pod: &Value) -> &'static str {
    let containers = object::items(pod, &["spec", "containers"]);
    let has = |container: &Value, kind: &str, name: &str| {
        object::at(container, &["resources", kind, name]).is_some()
    };
    let any = |container: &Value| {
        ["requests", "limits"]
            .iter()
            .any(|kind| !object::entries(container, &["resources", kind]).is_empty())
    };
    if !containers.iter().any(any) {
        return "BestEffort";
    }
    let guaranteed = containers.iter().all(|container| {
        ["cpu", "memory"].iter().all(|name| {
            has(container, "limits", name)
                && object::at(container, &["resources", "limits", name])
                    == object::at(container, &["resources", "requests", name])
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}
