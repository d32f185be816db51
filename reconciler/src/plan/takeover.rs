//! Taking over fields from `kubectl`, so that what Git drops really goes. Pure.
//!
//! Source: fluxcd/pkg `ssa/manager_apply.go` (`cleanupMetadata`) and `ssa/managedfields.go`; rule 17:
//! managers whose name starts with `kubectl` and whose subresource is empty, `before-first-apply`, and our
//! own name with operation Update. Their fields are folded into our own Apply entry.

use serde_json::{Map, Value, json};

use crate::api::APPLY_MANAGER;

use super::ownership::has_mark;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const OLD_ANNOTATIONS: [&str; 2] = [LAST_APPLIED, "fluxcd.io/sync-checksum"];

/// The JSON patch that takes an object over, or nothing when there is nothing to take.
///
/// It tests the resourceVersion it was computed from, so that a change in between makes it fail.
#[must_use]
pub fn takeover_patch(live: &Value, wanted: &Value) -> Option<Value> {
    if has_mark(wanted, "ssa", "Merge") || has_mark(live, "ssa", "Merge") {
        return None;
    }
    let mut operations = Vec::new();
    if let Some(annotations) = live.pointer("/metadata/annotations").and_then(Value::as_object) {
        for key in OLD_ANNOTATIONS
            .iter()
            .filter(|key| annotations.contains_key(**key))
        {
            let escaped = key.replace('~', "~0").replace('/', "~1");
            operations.push(json!({"op": "remove", "path": format!("/metadata/annotations/{escaped}")}));
        }
    }
    if let Some(entries) = live.pointer("/metadata/managedFields").and_then(Value::as_array)
        && let Some(folded) = fold(entries)
    {
        operations.push(json!({"op": "replace", "path": "/metadata/managedFields", "value": folded}));
    }
    if operations.is_empty() {
        return None;
    }
    let version = live
        .pointer("/metadata/resourceVersion")
        .cloned()
        .unwrap_or(Value::Null);
    operations.push(json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version}));
    Some(Value::Array(operations))
}

fn fold(entries: &[Value]) -> Option<Vec<Value>> {
    let (taken, mut kept): (Vec<&Value>, Vec<&Value>) = entries.iter().partition(|entry| is_taken(entry));
    if taken.is_empty() {
        return None;
    }
    let ours = kept.iter().position(|entry| is_ours(entry));
    let mut merged = match ours {
        Some(index) => kept.remove(index).clone(),
        None => taken[0].clone(),
    };
    for entry in taken {
        if let (Some(Value::Object(into)), Some(Value::Object(from))) =
            (merged.get_mut("fieldsV1"), entry.get("fieldsV1"))
        {
            union(into, from);
        }
    }
    merged["manager"] = APPLY_MANAGER.into();
    merged["operation"] = "Apply".into();
    let mut folded: Vec<Value> = kept.into_iter().cloned().collect();
    folded.push(merged);
    Some(folded)
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is_ours(entry: &Value) -> bool {
    text(entry, "manager") == APPLY_MANAGER
        && text(entry, "operation") == "Apply"
        && text(entry, "subresource").is_empty()
}

fn is_taken(entry: &Value) -> bool {
    let (manager, operation) = (text(entry, "manager"), text(entry, "operation"));
    if !text(entry, "subresource").is_empty() {
        return false;
    }
    manager.starts_with("kubectl")
        || (operation == "Update" && (manager == "before-first-apply" || manager == APPLY_MANAGER))
}

fn union(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(a)), Value::Object(b)) => union(a, b),
            (Some(_), _) => {}
            (None, _) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_kubectl_become_ours_and_those_of_others_stay() {
        let live = json!({"metadata": {
            "resourceVersion": "7",
            "annotations": {LAST_APPLIED: "{}"},
            "managedFields": [
                {"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "v1",
                 "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}},
                {"manager": "kubelet", "operation": "Update", "apiVersion": "v1",
                 "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:b": {}}}},
                {"manager": "kubectl-edit", "operation": "Update", "subresource": "status", "apiVersion": "v1",
                 "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {}}}
            ]
        }});
        assert_eq!(
            takeover_patch(&live, &json!({})).unwrap(),
            json!([
                {"op": "remove", "path": "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration"},
                {"op": "replace", "path": "/metadata/managedFields", "value": [
                    {"manager": "kubelet", "operation": "Update", "apiVersion": "v1",
                     "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:b": {}}}},
                    {"manager": "kubectl-edit", "operation": "Update", "subresource": "status", "apiVersion": "v1",
                     "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {}}},
                    {"manager": "kustomize-controller", "operation": "Apply", "apiVersion": "v1",
                     "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}}
                ]},
                {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
            ])
        );
    }

    #[test]
    fn an_object_marked_merge_is_shared_and_not_taken() {
        let live = json!({"metadata": {"annotations": {
            LAST_APPLIED: "{}", "kustomize.toolkit.fluxcd.io/ssa": "merge"}}});
        assert_eq!(takeover_patch(&live, &json!({})), None);
    }
}
