//! Objects that rows send. No I/O.

use serde_json::{Value, json};

/// A ConfigMap.
pub(super) fn config_map(name: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

/// A ConfigMap with labels.
pub(super) fn labelled(name: &str, labels: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "labels": labels } })
}

/// A Service of the selector `app: NAME`.
pub(super) fn service(name: &str, ports: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": { "app": name }, "ports": ports },
    })
}

/// A Deployment whose pods have this specification.
pub(super) fn deployment(name: &str, pod: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": pod },
        },
    })
}

/// A specification of a pod with one container `main`.
///
/// It has no token, since the volume of that has a name that the server makes up.
pub(super) fn one_container() -> Value {
    json!({ "automountServiceAccountToken": false, "containers": [{ "name": "main", "image": "example.com/app:1" }] })
}

/// A Pod; without a token, if it does not say otherwise.
pub(super) fn pod(name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec.get("automountServiceAccountToken").is_none() {
        spec["automountServiceAccountToken"] = false.into();
    }
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec })
}

/// A JSON object with one more field at a pointer, whose parents are there.
pub(crate) fn with(mut value: Value, pointer: &str, field: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[name] = field;
    value
}
