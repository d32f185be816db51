//! Makes rendered objects fit to be applied: fields that must not be sent go, and the owner is written on
//! them. Pure.
//!
//! Source: fluxcd/pkg `ssa/normalize` and `ssa/manager.go` (`SetOwnerLabels`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::api::{OWNER_NAME, OWNER_NAMESPACE};

use super::Owner;

/// Prepares one object; `namespaced` is the scope of its kind.
pub fn normalize(object: &mut Value, namespaced: bool, owner: &Owner) {
    let Some(fields) = object.as_object_mut() else {
        return;
    };
    fields.remove("status");
    encode_string_data(fields);
    let Some(Value::Object(metadata)) = fields.get_mut("metadata") else {
        return;
    };
    for key in [
        "creationTimestamp",
        "managedFields",
        "resourceVersion",
        "uid",
        "generation",
        "selfLink",
    ] {
        metadata.remove(key);
    }
    if !namespaced {
        metadata.remove("namespace");
    }
    let labels = metadata
        .entry("labels")
        .or_insert_with(|| Value::Object(Map::new()));
    if labels.is_null() {
        *labels = Value::Object(Map::new());
    }
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(OWNER_NAME.to_owned(), owner.name.as_str().into());
        labels.insert(OWNER_NAMESPACE.to_owned(), owner.namespace.as_str().into());
    }
}

/// A Secret's `stringData` becomes `data`, as the API server would make it: otherwise what is dropped from
/// `stringData` would never leave `data`.
fn encode_string_data(object: &mut Map<String, Value>) {
    let is_secret = object.get("kind").and_then(Value::as_str) == Some("Secret")
        && object.get("apiVersion").and_then(Value::as_str) == Some("v1");
    if !is_secret {
        return;
    }
    let Some(Value::Object(texts)) = object.remove("stringData") else {
        return;
    };
    let data = object.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    if let Some(data) = data.as_object_mut() {
        for (key, value) in texts {
            let text = value.as_str().unwrap_or_default();
            data.insert(key, STANDARD.encode(text).into());
        }
    }
}
