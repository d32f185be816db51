//! Which fields go when an object is taken over from `kubectl`: those that `kubectl` set and Git does not. Pure.
//!
//! In: the live object, the object as a dry run of the apply gives it, and the patch that takes it over. Out: JSON
//! pointers into the live object. A dry run cannot foresee it, since the patch comes before the apply.

use reconciler::api::APPLY_MANAGER;
use serde_json::{Map, Value};

/// Places of the live object that the apply after the patch removes.
pub(super) fn removed(live: &Value, then: &Value, patch: &Value) -> Vec<String> {
    let mut removed = Vec::new();
    for operation in patch.as_array().into_iter().flatten() {
        let path = operation["path"].as_str().unwrap_or_default();
        match operation["op"].as_str() {
            Some("remove") => removed.push(path.to_owned()),
            _ if path == "/metadata/managedFields" => {
                removed.extend(dropped(live, then, &operation["value"]));
            }
            _ => {}
        }
    }
    let mut distinct: Vec<String> = Vec::new();
    for path in removed {
        if !distinct.contains(&path) {
            distinct.push(path);
        }
    }
    distinct
}

/// What is ours by the entries of after the takeover, and that nobody else holds and Git does not want.
fn dropped(live: &Value, then: &Value, entries: &Value) -> Vec<String> {
    let (ours, others): (Vec<&Value>, Vec<&Value>) = entries
        .as_array()
        .into_iter()
        .flatten()
        .partition(|it| is_ours(it));
    let wanted = then
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|it| is_ours(it));
    let kept: Vec<&Value> = others
        .into_iter()
        .chain(wanted)
        .map(|entry| &entry["fieldsV1"])
        .collect();
    let mut paths = Vec::new();
    for entry in ours {
        walk(&entry["fieldsV1"], &kept, live, "", &mut paths);
    }
    paths
}

fn is_ours(entry: &Value) -> bool {
    entry["manager"] == APPLY_MANAGER
        && entry["operation"] == "Apply"
        && entry["subresource"].as_str().unwrap_or_default().is_empty()
}

/// Goes down the fields that are held: what nobody keeps any more goes as a whole.
fn walk(fields: &Value, kept: &[&Value], live: &Value, place: &str, paths: &mut Vec<String>) {
    for (key, below) in fields
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != ".")
    {
        let Some((name, child)) = child(key, live) else {
            continue;
        };
        let path = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
        let keeping: Vec<&Value> = kept.iter().filter_map(|fields| fields.get(key)).collect();
        let kept_whole = keeping.iter().any(|it| it.as_object().is_some_and(Map::is_empty));
        if keeping.is_empty() {
            paths.push(path);
        } else if !kept_whole {
            walk(below, &keeping, child, &path, paths);
        }
    }
}

/// The part of a value that a key of `fieldsV1` means, with its name or its index.
fn child<'a>(key: &str, value: &'a Value) -> Option<(String, &'a Value)> {
    if let Some(name) = key.strip_prefix("f:") {
        return value.get(name).map(|child| (name.to_owned(), child));
    }
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    let keys = key.strip_prefix("k:").and_then(parsed);
    let element = key.strip_prefix("v:").and_then(parsed);
    let is_meant = |child: &Value| match (&keys, &element) {
        (Some(Value::Object(keys)), _) => keys.iter().all(|(key, value)| child.get(key) == Some(value)),
        (_, Some(element)) => child == element,
        _ => false,
    };
    let elements = value.as_array()?;
    let index = elements.iter().position(is_meant)?;
    Some((index.to_string(), &elements[index]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({ "manager": manager, "operation": operation, "fieldsV1": fields })
    }

    #[test]
    fn what_kubectl_set_and_git_does_not_goes_and_what_others_hold_stays() {
        let live = json!({
            "metadata": { "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}", "a/b": "c" } },
            "data": { "git": "1", "edited": "2", "shared": "3" },
            "spec": { "ports": [{ "port": 80, "name": "web" }, { "port": 81 }] },
        });
        let taken = json!({
            "f:metadata": { "f:annotations": { ".": {}, "f:a/b": {} } },
            "f:data": { "f:git": {}, "f:edited": {}, "f:shared": {} },
            "f:spec": { "f:ports": {
                "k:{\"port\":80}": { ".": {}, "f:port": {}, "f:name": {} },
                "k:{\"port\":81}": { ".": {}, "f:port": {} },
            }},
        });
        let wanted = json!({
            "f:metadata": { "f:annotations": {} },
            "f:data": { "f:git": {} },
            "f:spec": { "f:ports": { "k:{\"port\":80}": { ".": {}, "f:port": {} } } },
        });
        let patch = json!([
            { "op": "remove", "path": "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration" },
            { "op": "replace", "path": "/metadata/managedFields", "value": [
                entry("someone", "Update", &json!({ "f:data": { "f:shared": {} } })),
                entry(APPLY_MANAGER, "Apply", &taken),
            ]},
            { "op": "replace", "path": "/metadata/resourceVersion", "value": "7" },
        ]);
        let mut then = json!({ "metadata": { "managedFields": [entry(APPLY_MANAGER, "Apply", &wanted)] } });
        let kept_whole = [
            "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
            "/data/edited",
            "/spec/ports/0/name",
            "/spec/ports/1",
        ];
        assert_eq!(removed(&live, &then, &patch), kept_whole);

        then["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"] = json!({});
        assert_eq!(removed(&live, &then, &patch), kept_whole);
        then["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"] = json!({ "f:labels": {} });
        assert!(removed(&live, &then, &patch).contains(&"/metadata/annotations".to_owned()));
    }
}
