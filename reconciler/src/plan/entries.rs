//! Whether an apply would change which fields are ours where it would change no value. Pure.

use serde_json::{Map, Value};

use crate::api::APPLY_MANAGER;

/// Fields that Flux owns although Git does not set them: it sends what its typed objects always have, empty, or
/// defaulted by itself (fluxcd/pkg `ssa/normalize`). They are nothing that a write would have to give up: a cluster
/// that was Flux's stays as it is.
const SENT_BY_FLUX: [&str; 7] = [
    "f:metadata",
    "f:protocol",
    "f:resources",
    "f:spec",
    "f:strategy",
    "f:targetPort",
    "f:updateStrategy",
];

/// Rule 11: a field that was ours and was taken by another manager with an equal value would outlive its removal from
/// Git, and one that Git no longer sets would stay ours. Compares our own entry of the live object with that of the
/// preview.
#[must_use]
pub fn owns_otherwise(live: &Value, previewed: &Value) -> bool {
    match (ours(live), ours(previewed)) {
        (Some(live), Some(previewed)) => differ(live, previewed),
        (live, previewed) => live != previewed,
    }
}

fn ours(object: &Value) -> Option<&Map<String, Value>> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    let ours = entries.iter().find(|entry| {
        entry["manager"] == APPLY_MANAGER
            && entry["operation"] == "Apply"
            && entry["subresource"].as_str().unwrap_or_default().is_empty()
    });
    ours?.get("fieldsV1")?.as_object()
}

fn differ(live: &Map<String, Value>, previewed: &Map<String, Value>) -> bool {
    if previewed.keys().any(|field| !live.contains_key(field)) {
        return true;
    }
    live.iter()
        .any(|(field, below)| match (below.as_object(), previewed.get(field)) {
            (Some(below), Some(Value::Object(previewed))) => differ(below, previewed),
            (Some(below), None) => !below.is_empty() || !SENT_BY_FLUX.contains(&field.as_str()),
            (_, previewed) => previewed != Some(below),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(fields: &Value) -> Value {
        let entry = json!({ "manager": APPLY_MANAGER, "operation": "Apply", "fieldsV1": fields });
        json!({ "metadata": { "managedFields": [{ "manager": "other", "operation": "Update" }, entry] } })
    }

    #[test]
    fn a_field_that_we_would_own_anew_has_to_be_written() {
        let live = object(&json!({ "f:data": { "f:a": {} } }));
        let previewed = object(&json!({ "f:data": { "f:a": {}, "f:b": {} } }));
        assert!(owns_otherwise(&live, &previewed));
        assert!(!owns_otherwise(&live, &live));
        assert!(owns_otherwise(&json!({}), &previewed));
    }

    #[test]
    fn a_field_that_git_no_longer_sets_is_given_up() {
        let live = object(&json!({ "f:spec": { "f:replicas": {}, "f:paused": {} } }));
        let previewed = object(&json!({ "f:spec": { "f:paused": {} } }));
        assert!(owns_otherwise(&live, &previewed));
    }

    #[test]
    fn what_flux_sends_by_itself_is_left_as_it_is() {
        let live = object(&json!({ "f:spec": {
            "f:strategy": {},
            "f:template": { "f:spec": { "f:containers": { "k:{\"name\":\"web\"}": {
                ".": {}, "f:image": {}, "f:name": {}, "f:resources": {},
            } } } },
        } }));
        let previewed = object(&json!({ "f:spec": {
            "f:template": { "f:spec": { "f:containers": { "k:{\"name\":\"web\"}": {
                ".": {}, "f:image": {}, "f:name": {},
            } } } },
        } }));
        assert!(!owns_otherwise(&live, &previewed));
        assert!(owns_otherwise(&previewed, &live));
        let more = object(&json!({ "f:spec": { "f:strategy": { "f:type": {} } } }));
        assert!(owns_otherwise(&more, &object(&json!({ "f:spec": {} }))));
    }
}
