//! What is compared to know whether anybody touched what we own. Pure.
//!
//! Rule 10: uid plus our own Apply entry in `managedFields`. Another manager that changes or removes a value
//! we own takes it out of our set; an autoscaler or a status writer does not touch it. So metadata is enough,
//! and the contents of Secrets stay on the server. Marks that steer us (`kustomize.toolkit.fluxcd.io/...` as
//! label or annotation) count too, whoever wrote them.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use crate::api::APPLY_MANAGER;

const MARKS: &str = "kustomize.toolkit.fluxcd.io/";

/// A digest of an object's identity, our ownership of its fields, and the labels and annotations that steer us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of an object, or of its metadata alone.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let mut hasher = DefaultHasher::new();
        metadata["uid"].as_str().hash(&mut hasher);
        let entries = metadata["managedFields"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for entry in entries.iter().filter(|entry| is_ours(entry)) {
            entry["apiVersion"].as_str().hash(&mut hasher);
            entry["time"].as_str().hash(&mut hasher);
            hash_value(&entry["fieldsV1"], &mut hasher);
        }
        for place in ["labels", "annotations"] {
            for (key, value) in metadata[place].as_object().into_iter().flatten() {
                if key.starts_with(MARKS) {
                    (key, value.as_str()).hash(&mut hasher);
                }
            }
        }
        Self(hasher.finish())
    }
}

fn is_ours(entry: &Value) -> bool {
    entry["manager"] == APPLY_MANAGER
        && entry["operation"] == "Apply"
        && entry["subresource"].as_str().unwrap_or_default().is_empty()
}

fn hash_value(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(map) => {
            map.len().hash(hasher);
            for (key, value) in map {
                key.hash(hasher);
                hash_value(value, hasher);
            }
        }
        other => other.to_string().hash(hasher),
    }
}
