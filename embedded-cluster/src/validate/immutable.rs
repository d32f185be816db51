//! Rules for fields that may not change. No I/O.

use serde_json::Value;

use crate::answer::Cause;
use crate::apply::same;
use crate::object;
use crate::resource::Kind;

const IMMUTABLE: &str = "field is immutable";

/// Causes against changing what may not change.
pub(super) fn check(value: &Value, live: &Value, kind: &Kind) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut fixed = |path: &[&str]| {
        let (new, old) = (object::at(value, path), object::at(live, path));
        let equal = match (new, old) {
            (Some(new), Some(old)) => same(new, old),
            (new, old) => new.is_none_or(Value::is_null) && old.is_none_or(Value::is_null),
        };
        if !equal {
            causes.push(Cause::invalid(
                path.join("."),
                new.unwrap_or(&Value::Null),
                IMMUTABLE,
            ));
        }
    };
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("apps", "deployments" | "replicasets" | "daemonsets") => fixed(&["spec", "selector"]),
        ("batch", "jobs") => {
            for field in [
                "selector",
                "completionMode",
                "podFailurePolicy",
                "backoffLimitPerIndex",
            ] {
                fixed(&["spec", field]);
            }
            if object::text(value, &["spec", "completionMode"]) != "Indexed" {
                fixed(&["spec", "completions"]);
            }
            let suspended = object::at(live, &["spec", "suspend"])
                .and_then(Value::as_bool)
                .unwrap_or(false);
            if !suspended {
                fixed(&["spec", "template"]);
            }
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings")
            if object::at(value, &["roleRef"]) != object::at(live, &["roleRef"]) =>
        {
            let text = |field: &str| object::text(value, &["roleRef", field]);
            let shown = serde_json::json!({
                "APIGroup": text("apiGroup"), "Kind": text("kind"), "Name": text("name"),
            });
            causes.push(Cause::invalid("roleRef", &shown, "cannot change roleRef"));
        }
        ("storage.k8s.io", "storageclasses") => {
            for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                if object::at(value, &[field]) != object::at(live, &[field]) {
                    let shown = object::at(value, &[field]).unwrap_or(&Value::Null);
                    causes.push(Cause::invalid(field, shown, IMMUTABLE));
                }
            }
        }
        ("scheduling.k8s.io", "priorityclasses") if value.get("value") != live.get("value") => {
            causes.push(Cause::forbidden("value", "may not be changed in an update."));
        }
        ("", "services") => service_address(value, live, &mut causes),
        ("", "persistentvolumeclaims") => claim_spec(value, live, &mut causes),
        ("apps", "statefulsets") => stateful_spec(value, live, &mut causes),
        ("", "secrets" | "configmaps") => frozen(value, live, &mut causes),
        ("", "pods") => pod_update(value, live, &mut causes),
        _ => {}
    }
    causes
}

fn service_address(value: &Value, live: &Value, causes: &mut Vec<Cause>) {
    let external = |service: &Value| object::text(service, &["spec", "type"]) == "ExternalName";
    if external(value) || external(live) {
        return;
    }
    let (new, old) = (
        object::at(value, &["spec", "clusterIPs"]),
        object::at(live, &["spec", "clusterIPs"]),
    );
    let (one, before) = (
        object::text(value, &["spec", "clusterIP"]),
        object::text(live, &["spec", "clusterIP"]),
    );
    if one != before || new != old {
        let shown = new
            .filter(|_| one == before)
            .cloned()
            .unwrap_or_else(|| serde_json::json!([one]));
        causes.push(Cause::invalid(
            "spec.clusterIPs[0]",
            &shown,
            "may not change once set",
        ));
    }
}

fn claim_spec(value: &Value, live: &Value, causes: &mut Vec<Cause>) {
    let strip = |claim: &Value| {
        let mut spec = claim.get("spec").cloned().unwrap_or_default();
        object::take(&mut spec, &["resources", "requests"]);
        object::take(&mut spec, &["volumeAttributesClassName"]);
        spec
    };
    let (new, mut old) = (strip(value), strip(live));
    // A claim may be bound once.
    if object::text(&old, &["volumeName"]).is_empty() {
        object::copy(&mut old, &new, &["volumeName"]);
    }
    if !same(&new, &old) {
        causes.push(Cause::forbidden("spec", "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"));
        return;
    }
    let size = |claim: &Value| object::text(claim, &["spec", "resources", "requests", "storage"]).to_owned();
    let bytes = |text: &str| crate::quantity::value(text).unwrap_or(0);
    if bytes(&size(value)) < bytes(&size(live)) {
        causes.push(Cause::forbidden(
            "spec.resources.requests.storage",
            "field can not be less than status.capacity",
        ));
    }
}

fn stateful_spec(value: &Value, live: &Value, causes: &mut Vec<Cause>) {
    const MUTABLE: [&str; 8] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
        "volumeAttributesClassName",
    ];
    let strip = |set: &Value| {
        let mut spec = object::entries(set, &["spec"]).clone();
        spec.retain(|name, _| !MUTABLE.contains(&name.as_str()));
        Value::Object(spec)
    };
    if !same(&strip(value), &strip(live)) {
        causes.push(Cause::forbidden("spec", "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"));
    }
}

fn frozen(value: &Value, live: &Value, causes: &mut Vec<Cause>) {
    let flag = |object: &Value| object.get("immutable").and_then(Value::as_bool).unwrap_or(false);
    if flag(live) {
        if !flag(value) {
            causes.push(Cause::forbidden(
                "immutable",
                "field is immutable when `immutable` is set",
            ));
        }
        for field in ["data", "binaryData"] {
            if value.get(field) != live.get(field) {
                causes.push(Cause::forbidden(
                    field,
                    "field is immutable when `immutable` is set",
                ));
            }
        }
    }
    let (new, old) = (object::text(value, &["type"]), object::text(live, &["type"]));
    if new != old {
        causes.push(Cause::invalid("type", &new.into(), IMMUTABLE));
    }
}

fn pod_update(value: &Value, live: &Value, causes: &mut Vec<Cause>) {
    let strip = |pod: &Value| {
        let mut spec = pod.get("spec").cloned().unwrap_or_default();
        for field in [
            "activeDeadlineSeconds",
            "tolerations",
            "terminationGracePeriodSeconds",
            "nodeName",
        ] {
            object::take(&mut spec, &[field]);
        }
        for list in ["containers", "initContainers"] {
            for container in object::items_mut(&mut spec, &[list]) {
                object::take(container, &["image"]);
            }
        }
        spec
    };
    let without_time = |toleration: &Value| {
        let mut toleration = toleration.clone();
        object::take(&mut toleration, &["tolerationSeconds"]);
        toleration
    };
    let tolerations = |pod: &Value| -> Vec<Value> {
        let found = object::items(pod, &["spec", "tolerations"]).iter();
        found.map(without_time).collect()
    };
    let now = tolerations(value);
    if tolerations(live).iter().any(|old| !now.contains(old)) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        causes.push(Cause::forbidden("spec.tolerations", why));
    }
    if !same(&strip(value), &strip(live)) {
        causes.push(Cause::forbidden("spec", "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"));
    }
}
