//! Defaults of pods and pod templates (`pkg/apis/core/v1/defaults.go`). No I/O.

use serde_json::{Value, json};

use crate::object::{self, items_mut, put_default};

/// Fills in a pod's spec, found at `path`.
pub(crate) fn spec(value: &mut Value, path: &[&str]) {
    let Some(spec) = path.iter().try_fold(value, |value, name| value.get_mut(name)) else {
        return;
    };
    if !spec.is_object() {
        return;
    }
    put_default(spec, &["dnsPolicy"], "ClusterFirst");
    put_default(spec, &["restartPolicy"], "Always");
    put_default(spec, &["terminationGracePeriodSeconds"], 30);
    put_default(spec, &["schedulerName"], "default-scheduler");
    put_default(spec, &["securityContext"], json!({}));
    let account = object::text(spec, &["serviceAccountName"]).to_owned();
    if !account.is_empty() {
        // The old name of the same field is kept in step.
        object::put(spec, &["serviceAccount"], account);
    }
    let on_host = spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or(false);
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for one in items_mut(spec, &[list]) {
            container(one, on_host);
        }
    }
    for one in items_mut(spec, &["volumes"]) {
        volume(one);
    }
}

fn container(value: &mut Value, on_host: bool) {
    let image = object::text(value, &["image"]).to_owned();
    put_default(
        value,
        &["imagePullPolicy"],
        if is_latest(&image) {
            "Always"
        } else {
            "IfNotPresent"
        },
    );
    put_default(value, &["terminationMessagePath"], "/dev/termination-log");
    put_default(value, &["terminationMessagePolicy"], "File");
    put_default(value, &["resources"], json!({}));
    for port in items_mut(value, &["ports"]) {
        put_default(port, &["protocol"], "TCP");
        if on_host && let Some(number) = object::number(port, &["containerPort"]) {
            put_default(port, &["hostPort"], number);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(one) = value.get_mut(name).filter(|probe| probe.is_object()) {
            probe(one);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(action) = value.get_mut("lifecycle").and_then(|cycle| cycle.get_mut(hook)) {
            http_action(action);
        }
    }
    for variable in items_mut(value, &["env"]) {
        if variable
            .get("valueFrom")
            .and_then(|from| from.get("fieldRef"))
            .is_some()
        {
            put_default(variable, &["valueFrom", "fieldRef", "apiVersion"], "v1");
        }
    }
    for kind in ["limits", "requests"] {
        quantities(value, &["resources", kind]);
    }
}

/// What pods, not their templates, are given.
pub(crate) fn requests(pod: &mut Value) {
    put_default(pod, &["spec", "enableServiceLinks"], true);
    for list in ["containers", "initContainers"] {
        for container in items_mut(pod, &["spec", list]) {
            copy_limits_to_requests(container);
        }
    }
}

/// A container that limits a resource and does not request it, requests its limit.
fn copy_limits_to_requests(value: &mut Value) {
    let limits = object::entries(value, &["resources", "limits"]).clone();
    if limits.is_empty() {
        return;
    }
    let requests = object::map_at(value, &["resources", "requests"]);
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

fn is_latest(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains('@') {
        return false;
    }
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn probe(value: &mut Value) {
    put_default(value, &["timeoutSeconds"], 1);
    put_default(value, &["periodSeconds"], 10);
    put_default(value, &["successThreshold"], 1);
    put_default(value, &["failureThreshold"], 3);
    if value.get("grpc").is_some_and(Value::is_object) {
        put_default(value, &["grpc", "service"], "");
    }
    http_action(value);
}

fn http_action(value: &mut Value) {
    if value.get("httpGet").is_some_and(Value::is_object) {
        put_default(value, &["httpGet", "path"], "/");
        put_default(value, &["httpGet", "scheme"], "HTTP");
    }
}

fn volume(value: &mut Value) {
    let has = |name: &str| value.get(name).is_some_and(Value::is_object);
    let (secret, map, projected) = (has("secret"), has("configMap"), has("projected"));
    let (downward, host, image) = (has("downwardAPI"), has("hostPath"), has("image"));
    let sources = value
        .as_object()
        .map_or(0, |fields| fields.keys().filter(|name| *name != "name").count());
    if sources == 0 {
        object::put(value, &["emptyDir"], json!({}));
    }
    if secret {
        put_default(value, &["secret", "defaultMode"], 420);
    }
    if map {
        put_default(value, &["configMap", "defaultMode"], 420);
    }
    if downward {
        put_default(value, &["downwardAPI", "defaultMode"], 420);
    }
    if host {
        put_default(value, &["hostPath", "type"], "");
    }
    if image {
        let reference = object::text(value, &["image", "reference"]).to_owned();
        put_default(
            value,
            &["image", "pullPolicy"],
            if is_latest(&reference) {
                "Always"
            } else {
                "IfNotPresent"
            },
        );
    }
    if projected {
        put_default(value, &["projected", "defaultMode"], 420);
        for source in items_mut(value, &["projected", "sources"]) {
            if source.get("serviceAccountToken").is_some() {
                put_default(source, &["serviceAccountToken", "expirationSeconds"], 3600);
            }
            for item in items_mut(source, &["downwardAPI", "items"]) {
                put_default(item, &["fieldRef", "apiVersion"], "v1");
            }
        }
    }
    for item in items_mut(value, &["downwardAPI", "items"]) {
        if item.get("fieldRef").is_some() {
            put_default(item, &["fieldRef", "apiVersion"], "v1");
        }
    }
}

/// Writes the quantities of a map in their canonical form.
pub(crate) fn quantities(value: &mut Value, path: &[&str]) {
    if object::at(value, path).is_none_or(|map| !map.is_object()) {
        return;
    }
    for quantity in object::map_at(value, path).values_mut() {
        if let Some(canonical) = crate::quantity::canonical(quantity) {
            *quantity = canonical.into();
        }
    }
}
