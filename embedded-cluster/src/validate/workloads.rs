//! Rules for the content of built-in kinds that users trip over, and for fields that may not change. No I/O.

use serde_json::Value;

use super::pods;
use crate::answer::Cause;
use crate::apply::same;
use crate::object;
use crate::resource::Kind;

const IMMUTABLE: &str = "field is immutable";

/// Causes in the content of an object.
pub(crate) fn check(value: &Value, kind: &Kind) -> Vec<Cause> {
    let mut causes = Vec::new();
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => pods::spec(value, "spec", &["spec"], &mut causes),
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets") => {
            workload(value, kind, &mut causes);
        }
        ("batch", "jobs") => job(value, &mut causes),
        ("batch", "cronjobs") => cron_job(value, &mut causes),
        ("", "services") => service(value, &mut causes),
        ("", "configmaps" | "secrets") => data_keys(value, &mut causes),
        ("", "persistentvolumeclaims") => claim(value, &mut causes),
        ("networking.k8s.io", "ingresses") => ingress(value, &mut causes),
        _ => {}
    }
    causes
}

fn workload(value: &Value, kind: &Kind, causes: &mut Vec<Cause>) {
    if let Some(replicas) = object::number(value, &["spec", "replicas"]).filter(|replicas| *replicas < 0) {
        causes.push(Cause::invalid(
            "spec.replicas",
            &replicas.into(),
            "must be greater than or equal to 0",
        ));
    }
    match object::at(value, &["spec", "selector"]) {
        None | Some(Value::Null) => {
            causes.push(Cause::required("spec.selector", ""));
            if kind.plural != "statefulsets" {
                let path = ["spec", "template", "metadata", "labels"];
                let labels = object::at(value, &path).cloned().unwrap_or_default();
                causes.push(Cause::invalid(
                    "spec.template.metadata.labels",
                    &labels,
                    "`selector` does not match template `labels`",
                ));
            }
        }
        Some(selector) => {
            if object::entries(selector, &["matchLabels"]).is_empty()
                && object::items(selector, &["matchExpressions"]).is_empty()
            {
                let empty = serde_json::json!({});
                causes.push(Cause::invalid(
                    "spec.selector",
                    &empty,
                    "empty selector is invalid for deployment",
                ));
            }
            let labels = object::entries(value, &["spec", "template", "metadata", "labels"]);
            if !selects(selector, labels) {
                let shown = Value::Object(labels.clone());
                causes.push(Cause::invalid(
                    "spec.template.metadata.labels",
                    &shown,
                    "`selector` does not match template `labels`",
                ));
            }
        }
    }
    pods::spec(value, "spec.template.spec", &["spec", "template", "spec"], causes);
    let policy = object::text(value, &["spec", "template", "spec", "restartPolicy"]);
    if !policy.is_empty() && policy != "Always" {
        causes.push(Cause::unsupported(
            "spec.template.spec.restartPolicy",
            &policy.into(),
            &["Always"],
        ));
    }
    if kind.plural == "deployments" {
        strategy(value, causes);
    }
}

/// Whether a label selector covers these labels.
pub(crate) fn selects(selector: &Value, labels: &serde_json::Map<String, Value>) -> bool {
    let exact = object::entries(selector, &["matchLabels"])
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value));
    let expressions = object::items(selector, &["matchExpressions"])
        .iter()
        .all(|expression| {
            let label = labels.get(object::text(expression, &["key"]));
            let values = object::items(expression, &["values"]);
            match object::text(expression, &["operator"]) {
                "In" => label.is_some_and(|label| values.contains(label)),
                "NotIn" => label.is_none_or(|label| !values.contains(label)),
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => false,
            }
        });
    exact && expressions
}

fn strategy(value: &Value, causes: &mut Vec<Cause>) {
    let kind = object::text(value, &["spec", "strategy", "type"]);
    if kind == "Recreate" && object::at(value, &["spec", "strategy", "rollingUpdate"]).is_some() {
        let why = "may not be specified when strategy `type` is 'Recreate'";
        causes.push(Cause::forbidden("spec.strategy.rollingUpdate", why));
    } else if !matches!(kind, "Recreate" | "RollingUpdate") {
        causes.push(Cause::unsupported(
            "spec.strategy.type",
            &kind.into(),
            &["Recreate", "RollingUpdate"],
        ));
    }
}

fn job(value: &Value, causes: &mut Vec<Cause>) {
    pods::spec(value, "spec.template.spec", &["spec", "template", "spec"], causes);
    let policy = object::text(value, &["spec", "template", "spec", "restartPolicy"]);
    if policy == "Always" {
        causes.push(Cause {
            reason: "FieldValueRequired",
            message: "Required value: valid values: \"OnFailure\", \"Never\"".into(),
            field: "spec.template.spec.restartPolicy".into(),
        });
    }
}

fn service(value: &Value, causes: &mut Vec<Cause>) {
    let ports = object::items(value, &["spec", "ports"]);
    let kind = object::text(value, &["spec", "type"]);
    if ports.is_empty() && kind != "ExternalName" && object::text(value, &["spec", "clusterIP"]) != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    let out_of_range = |port: &Value, field: &str| {
        object::number(port, &[field]).is_some_and(|number| !(1..=65535).contains(&number))
    };
    for (index, port) in ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        let name = object::text(port, &["name"]);
        let earlier = ports.iter().take(index);
        if ports.len() > 1 && name.is_empty() {
            causes.push(Cause::required(format!("{at}.name"), ""));
        } else if !name.is_empty()
            && earlier
                .clone()
                .any(|other| object::text(other, &["name"]) == name)
        {
            causes.push(Cause::duplicate(format!("{at}.name"), &name.into()));
        }
        for field in ["port", "targetPort"] {
            if out_of_range(port, field) {
                let shown = port.get(field).cloned().unwrap_or_default();
                causes.push(Cause::invalid(
                    format!("{at}.{field}"),
                    &shown,
                    "must be between 1 and 65535, inclusive",
                ));
            }
        }
        pods::check_protocol(port, &at, causes);
        let same = |other: &Value| {
            other.get("port") == port.get("port") && other.get("protocol") == port.get("protocol")
        };
        if earlier.clone().any(same) {
            // As Go prints the struct.
            let message = format!(
                "Duplicate value: {{\"Name\":\"\",\"Protocol\":{:?},\"AppProtocol\":null,\"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
                object::text(port, &["protocol"]),
                object::number(port, &["port"]).unwrap_or(0),
            );
            causes.push(Cause {
                reason: "FieldValueDuplicate",
                message,
                field: at,
            });
        }
    }
    if !matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName") {
        let allowed = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
        causes.push(Cause::unsupported("spec.type", &kind.into(), &allowed));
    }
}

fn cron_job(value: &Value, causes: &mut Vec<Cause>) {
    let schedule = object::text(value, &["spec", "schedule"]);
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if schedule.is_empty() {
        causes.push(Cause::required("spec.schedule", ""));
    } else if fields.len() != 5 && !schedule.starts_with('@') {
        let why = format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        );
        causes.push(Cause::invalid("spec.schedule", &schedule.into(), &why));
    }
    let path = ["spec", "jobTemplate", "spec", "template", "spec"];
    pods::spec(value, "spec.jobTemplate.spec.template.spec", &path, causes);
}

fn data_keys(value: &Value, causes: &mut Vec<Cause>) {
    const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
    let fits = |key: &str| {
        !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    for field in ["data", "binaryData"] {
        for key in object::entries(value, &[field]).keys().filter(|key| !fits(key)) {
            causes.push(Cause::invalid(
                format!("{field}[{key}]"),
                &key.as_str().into(),
                KEY,
            ));
        }
    }
    let size: usize = ["data", "binaryData"]
        .iter()
        .flat_map(|field| object::entries(value, &[field]).values())
        .map(|value| value.as_str().map_or(0, str::len))
        .sum();
    if size > 1024 * 1024 {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: "Too long: may not be more than 1048576 bytes".into(),
            field: "[]".into(),
        });
    }
}

fn claim(value: &Value, causes: &mut Vec<Cause>) {
    if object::items(value, &["spec", "accessModes"]).is_empty() {
        causes.push(Cause::required(
            "spec.accessModes",
            "at least 1 access mode is required",
        ));
    }
    if object::at(value, &["spec", "resources", "requests", "storage"]).is_none() {
        causes.push(Cause::required("spec.resources[storage]", ""));
    }
}

fn ingress(value: &Value, causes: &mut Vec<Cause>) {
    if object::items(value, &["spec", "rules"]).is_empty()
        && object::at(value, &["spec", "defaultBackend"]).is_none()
    {
        causes.push(Cause::invalid(
            "spec",
            &Value::Null,
            "either `defaultBackend` or `rules` must be specified",
        ));
    }
    for (rule, value) in object::items(value, &["spec", "rules"]).iter().enumerate() {
        for (index, path) in object::items(value, &["http", "paths"]).iter().enumerate() {
            let at = format!("spec.rules[{rule}].http.paths[{index}]");
            if object::text(path, &["pathType"]).is_empty() {
                causes.push(Cause::required(
                    format!("{at}.pathType"),
                    "pathType must be specified",
                ));
            }
            if object::at(path, &["backend", "service"]).is_none()
                && object::at(path, &["backend", "resource"]).is_none()
            {
                causes.push(Cause::required(
                    format!("{at}.backend"),
                    "must specify exactly one of `service` or `resource`",
                ));
            }
        }
    }
}

/// Causes against changing what may not change.
pub(crate) fn immutable(value: &Value, live: &Value, kind: &Kind) -> Vec<Cause> {
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
            let shown = object::at(value, &["roleRef"]).cloned().unwrap_or_default();
            causes.push(Cause::invalid("roleRef", &shown, "cannot change roleRef"));
        }
        ("storage.k8s.io", "storageclasses") => {
            for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                if object::at(value, &[field]) != object::at(live, &[field]) {
                    causes.push(Cause::forbidden(field, "updates to {field} are forbidden."));
                }
            }
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
    if !same(&strip(value), &strip(live)) {
        causes.push(Cause::forbidden("spec", "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"));
    }
}
