//! What both controllers leave behind, without what is never the same twice. Pure.
//!
//! In: objects as the API server gives them. Out: values with names for keys instead of places in lists, so that a
//! difference says what differs: conditions by type, events by what they say, managed fields by manager.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value, json};

/// Namespaces that hold nothing of a scenario.
const OF_KUBERNETES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
/// What differs between two runs of the same program.
const FLEETING: [(&str, &str); 10] = [
    (r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]+ \+0000 UTC", "TIME"),
    (
        r"lastReconciledDuration: [0-9.a-zµ]+",
        "lastReconciledDuration: TIME",
    ),
    (
        r"failed after [0-9.]+(ns|µs|ms|s|m|h)[0-9.a-zµ]*",
        "failed after TIME",
    ),
    (r"http://[^/ ]+/gitrepository/", "http://artifacts/gitrepository/"),
    (
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})",
        "TIME",
    ),
    (
        r"finished in [0-9.]+(ns|µs|ms|s|m|h)[0-9.a-zµ]*",
        "finished in TIME",
    ),
    (r"passed in [0-9.]+(ns|µs|ms|s|m|h)[0-9.a-zµ]*", "passed in TIME"),
    (r"http://127\.0\.0\.1:[0-9]+/repo\.git", "http://git/repo.git"),
    (r"127\.0\.0\.1:[0-9]+", "ADDRESS"),
    (r"/[^' ]*/kustomization-[0-9]+", "/FOLDER"),
];

/// Replaces in a text what is never the same twice.
pub(crate) fn still(text: &str) -> String {
    static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let compiled = FLEETING
            .iter()
            .map(|(pattern, by)| (Regex::new(pattern).unwrap(), *by));
        compiled.collect()
    });
    PATTERNS.iter().fold(text.to_owned(), |text, (pattern, by)| {
        pattern.replace_all(&text, *by).into_owned()
    })
}

/// Whether an object belongs to Kubernetes itself.
pub(crate) fn is_furniture(object: &Value) -> bool {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    OF_KUBERNETES.contains(&namespace)
}

/// `Kind/namespace/name` of an object.
pub(crate) fn title(object: &Value) -> String {
    let metadata = &object["metadata"];
    let parts = [&object["kind"], &metadata["namespace"], &metadata["name"]];
    let parts: Vec<&str> = parts.into_iter().filter_map(Value::as_str).collect();
    parts.join("/")
}

/// A GitRepository or a Kustomization: its status, and what the controller does to its metadata.
pub(crate) fn of_flux(object: &Value) -> Value {
    let mut status = object["status"].clone();
    if let Some(conditions) = status.get_mut("conditions") {
        *conditions = by_name(conditions, "type", &["lastTransitionTime"]);
    }
    if let Some(entries) = status.pointer_mut("/inventory/entries") {
        let list = entries.as_array().into_iter().flatten();
        *entries = list
            .filter_map(|entry| Some((entry["id"].as_str()?.to_owned(), entry["v"].clone())))
            .collect::<Map<_, _>>()
            .into();
    }
    for snapshot in status["history"].as_array_mut().into_iter().flatten() {
        for field in ["firstReconciled", "lastReconciled", "lastReconciledDuration"] {
            mask(snapshot, field);
        }
        // How often, beyond once, is a matter of which events came together.
        if snapshot["totalReconciliations"] != 1 {
            mask(snapshot, "totalReconciliations");
        }
    }
    if let Some(artifact) = status.get_mut("artifact") {
        for field in ["digest", "lastUpdateTime", "size"] {
            mask(artifact, field);
        }
    }
    for nothing in ["history", "artifact"] {
        if status[nothing].is_null()
            && let Some(status) = status.as_object_mut()
        {
            status.remove(nothing);
        }
    }
    let mut metadata = Map::new();
    for field in ["finalizers", "annotations", "labels", "generation"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    metadata.insert("managedFields".to_owned(), managers(object));
    stilled(&json!({ "metadata": metadata, "status": status }))
}

/// An object that a Kustomization applies, without what Kubernetes' own controllers say of it.
pub(crate) fn of_application(object: &Value) -> Value {
    let mut object = object.clone();
    let managed = managers(&object);
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let metadata = &mut object["metadata"];
    if let Some(metadata) = metadata.as_object_mut() {
        for field in ["uid", "resourceVersion", "creationTimestamp"] {
            metadata.remove(field);
        }
        metadata.insert("managedFields".to_owned(), managed);
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove("deployment.kubernetes.io/revision");
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    for field in ["clusterIP", "clusterIPs"] {
        if object["kind"] == "Service"
            && let Some(spec) = object.get_mut("spec")
            && spec[field] != "None"
        {
            mask(spec, field);
        }
    }
    stilled(&object)
}

/// Events by what they are about and what they say, with how often that was said.
pub(crate) fn of_events(events: &[Value]) -> Value {
    let mut said = Map::new();
    for event in events {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let about = format!(
            "{}/{}/{}",
            text("/involvedObject/kind"),
            text("/involvedObject/namespace"),
            text("/involvedObject/name")
        );
        let mut words = still(&format!(
            "{} {}: {}",
            text("/type"),
            text("/reason"),
            text("/message")
        ));
        let annotations = event["metadata"]["annotations"].as_object().into_iter().flatten();
        let mut revision = annotations.filter(|(key, _)| key.ends_with("/revision"));
        if let Some((_, revision)) = revision.next() {
            words = format!("{words} ({})", revision.as_str().unwrap_or_default());
        }
        let of_object = said.entry(about).or_insert_with(|| json!({}));
        let times = event["count"].as_u64().unwrap_or(1) + of_object[&words]["count"].as_u64().unwrap_or(0);
        // How often that was tried before the look is a matter of time.
        let repeated = words.contains("retrying in") || words.starts_with("Warning GitOperationFailed");
        let times = if repeated { Value::Null } else { times.into() };
        let mut annotations = event["metadata"]["annotations"].clone();
        mask(&mut annotations, "source.toolkit.fluxcd.io/digest");
        of_object[words.as_str()] = stilled(&json!({
            "count": times,
            "annotations": annotations,
            "source": event["source"]["component"],
            "reportingComponent": event["reportingComponent"],
            "involvedObject": event["involvedObject"]["apiVersion"],
        }));
    }
    said.into()
}

/// Managed fields: each manager's with the paths that it owns.
fn managers(object: &Value) -> Value {
    let entries = object["metadata"]["managedFields"].as_array();
    let mut managers = Map::new();
    for entry in entries.into_iter().flatten() {
        let text = |field: &str| entry[field].as_str().unwrap_or_default();
        // Kubernetes' own controllers look after the object whoever applied it.
        if text("manager").starts_with("kube-") {
            continue;
        }
        let mut paths = Vec::new();
        owned(&entry["fieldsV1"], "", &mut paths);
        paths.sort();
        let name = [
            text("manager"),
            text("operation"),
            text("subresource"),
            text("apiVersion"),
        ];
        let name: Vec<&str> = name.into_iter().filter(|part| !part.is_empty()).collect();
        managers.insert(name.join(" "), json!(paths));
    }
    managers.into()
}

/// The leaves of a set of fields.
fn owned(fields: &Value, path: &str, found: &mut Vec<String>) {
    let Some(fields) = fields.as_object() else { return };
    if fields.is_empty() {
        found.push(path.to_owned());
    }
    for (key, below) in fields {
        if key == "." {
            found.push(path.to_owned());
            continue;
        }
        let key = key.strip_prefix("f:").unwrap_or(key);
        let below_path = if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        };
        owned(below, &below_path, found);
    }
}

/// A list of objects as an object, by a field that names them.
fn by_name(list: &Value, name: &str, without: &[&str]) -> Value {
    let mut named = Map::new();
    for item in list.as_array().into_iter().flatten() {
        let mut item = item.clone();
        if let Some(fields) = item.as_object_mut() {
            let key = fields.remove(name);
            for field in without {
                fields.remove(*field);
            }
            named.insert(
                key.as_ref()
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                item,
            );
        }
    }
    named.into()
}

/// Replaces a value, if it is there, by a word.
fn mask(object: &mut Value, field: &str) {
    if let Some(value) = object.get_mut(field) {
        *value = json!(field.to_uppercase());
    }
}

/// The same value with all its texts stilled.
fn stilled(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(still(text)),
        Value::Array(items) => items.iter().map(stilled).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), stilled(value)));
            fields.collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}
