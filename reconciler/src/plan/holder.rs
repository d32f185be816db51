//! Who holds a field of a live object, as `managedFields` has it. Pure.
//!
//! Fields of one entry form a tree: `f:<name>` for a member, `k:{...}` for an element of a list that is keyed
//! by some of its fields, `v:<value>` for one of a set (structured-merge-diff, `fieldpath/serialize-pe.go`).

use serde_json::{Map, Value};

use crate::api::APPLY_MANAGER;

/// The manager other than us that holds the field at a JSON pointer, the one that wrote last if there are
/// several; when no entry has the field (it was removed), the one that wrote to the object last. Empty when
/// there is none.
#[must_use]
pub fn holder_of(live: &Value, pointer: &str) -> String {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let mut foreign: Vec<&Value> = entries
        .into_iter()
        .flatten()
        .filter(|entry| entry["manager"] != APPLY_MANAGER && entry["subresource"] != "status")
        .collect();
    foreign.sort_by_key(|entry| entry["time"].as_str());
    let path: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|key| key.replace("~1", "/").replace("~0", "~"))
        .collect();
    let holder = foreign
        .iter()
        .rev()
        .find(|entry| holds(&entry["fieldsV1"], live, &path));
    let manager = holder
        .or(foreign.last())
        .and_then(|entry| entry["manager"].as_str());
    manager.unwrap_or_default().to_owned()
}

fn holds(fields: &Value, value: &Value, path: &[String]) -> bool {
    let Some(fields) = fields.as_object() else {
        return false;
    };
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    let child = value
        .get(first)
        .or_else(|| value.get(first.parse::<usize>().ok()?))
        .unwrap_or(&Value::Null);
    let found = match value {
        Value::Array(_) => fields
            .iter()
            .find(|(key, _)| is_element(key, child))
            .map(|(_, below)| below),
        _ => fields.get(&format!("f:{first}")),
    };
    // A field without fields below it is held whole.
    found.is_some_and(|below| below.as_object().is_some_and(Map::is_empty) || holds(below, child, rest))
}

fn is_element(key: &str, element: &Value) -> bool {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    if let Some(keys) = key.strip_prefix("k:").and_then(parsed) {
        return keys
            .as_object()
            .is_some_and(|keys| keys.iter().all(|(key, value)| element.get(key) == Some(value)));
    }
    key.strip_prefix("v:")
        .and_then(parsed)
        .is_some_and(|value| value == *element)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live() -> Value {
        let entry = |manager, subresource, time, fields| json!({"manager": manager, "subresource": subresource, "time": time, "fieldsV1": fields});
        json!({
            "metadata": {"managedFields": [
                entry(APPLY_MANAGER, "", "2026-01-01T00:00:00Z", json!({"f:spec": {"f:paused": {}}})),
                entry("hpa", "scale", "2026-01-02T00:00:00Z", json!({"f:spec": {"f:replicas": {}}})),
                entry("sidecar-injector", "", "2026-01-03T00:00:00Z", json!({"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {"f:image": {}}}}})),
                entry("kubelet", "status", "2026-01-04T00:00:00Z", json!({"f:status": {}})),
            ]},
            "spec": {"replicas": 3, "containers": [{"name": "other"}, {"name": "web", "image": "x"}]},
        })
    }

    #[test]
    fn rule_14_the_manager_that_holds_the_field_is_named_also_when_it_writes_through_a_subresource() {
        assert_eq!(holder_of(&live(), "/spec/replicas"), "hpa");
    }

    #[test]
    fn rule_14_an_element_of_a_keyed_list_is_found_by_its_key() {
        assert_eq!(holder_of(&live(), "/spec/containers/1/image"), "sidecar-injector");
    }

    #[test]
    fn rule_14_a_removed_field_is_laid_to_whoever_wrote_last() {
        assert_eq!(holder_of(&live(), "/spec/gone"), "sidecar-injector");
        assert_eq!(holder_of(&json!({}), "/spec/gone"), "");
    }
}
