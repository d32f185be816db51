//! What a render gives: objects with their identities and origins. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::plan::ObjectId;

/// A Kubernetes object as it is to be applied.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// Which object it is, as it is written: whether a namespace means anything is for the API server to say.
    pub id: ObjectId,
    /// The API version that it is written in, without the group.
    pub version: String,
    /// The whole object.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Shows no values: they may be secret.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({} from {})", self.id, self.origin)
    }
}

/// A place in the file tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Origin {
    /// The file, from the root of the tree.
    pub file: PathBuf,
    /// The line, from one; zero if it is not known.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}",
            self.file.strip_prefix("/").unwrap_or(&self.file).display()
        )?;
        if self.line > 0 {
            write!(f, ":{}", self.line)
        } else {
            Ok(())
        }
    }
}

/// Reads identity and version of an object as they are written in it: the namespace is empty where none is. `Err` names
/// the field that is missing or no text.
pub(super) fn identify(value: &Value) -> Result<(ObjectId, String), &'static str> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let api_version = text(&value["apiVersion"]).ok_or("apiVersion")?;
    let kind = text(&value["kind"]).ok_or("kind")?;
    let name = text(&value["metadata"]["name"]).ok_or("metadata.name")?;
    let namespace = text(&value["metadata"]["namespace"]).unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let id = ObjectId {
        namespace,
        name,
        group: group.to_owned(),
        kind,
    };
    Ok((id, version.to_owned()))
}

/// Whether it is a part of the build and not something to apply.
pub(super) fn is_kustomize_configuration(id: &ObjectId) -> bool {
    id.group == "kustomize.config.k8s.io" && id.kind.eq_ignore_ascii_case("kustomization")
}

/// `spec.commonMetadata`: wins over what the objects say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommonMetadata {
    /// Set on every object.
    pub labels: BTreeMap<String, String>,
    /// Set on every object.
    pub annotations: BTreeMap<String, String>,
}

impl CommonMetadata {
    pub(super) fn apply(&self, object: &mut Value) {
        set_all(object, "labels", &self.labels);
        set_all(object, "annotations", &self.annotations);
    }
}

fn set_all(object: &mut Value, field: &str, values: &BTreeMap<String, String>) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    if values.is_empty() {
        return;
    }
    let map = metadata.entry(field).or_insert(Value::Null);
    if !map.is_object() {
        *map = Value::Object(Map::new());
    }
    let set = |(key, value): (&String, &String)| map[key.as_str()] = Value::String(value.clone());
    values.iter().for_each(set);
}

/// The items if the object is a list, as the API machinery sees it: by its `items`.
pub(super) fn expanded(mut value: Value) -> Vec<Value> {
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        Some(other) => {
            value["items"] = other;
            vec![value]
        }
        None => vec![value],
    }
}
