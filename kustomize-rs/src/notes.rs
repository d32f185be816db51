//! What kustomize notes about a resource on its way, which it keeps in annotations: files may contain them, and patches
//! see them. In: a tree with such annotations, or a resource; out: the one from the other. Pure.

use serde_json::Value;

use crate::error::Error;
use crate::resource::{Behavior, PreviousId, Resource};
use crate::yaml::{Mapping, Node};

type Result<T> = std::result::Result<T, Error>;

const DOMAIN: &str = "internal.config.kubernetes.io/";

const NAMES: &str = "internal.config.kubernetes.io/previousNames";
const NAMESPACES: &str = "internal.config.kubernetes.io/previousNamespaces";
const KINDS: &str = "internal.config.kubernetes.io/previousKinds";
const PREFIXES: &str = "internal.config.kubernetes.io/prefixes";
const SUFFIXES: &str = "internal.config.kubernetes.io/suffixes";
const BEHAVIOR: &str = "internal.config.kubernetes.io/generatorBehavior";
const HASH: &str = "internal.config.kubernetes.io/needsHashSuffix";

/// Takes the notes out of the annotations of a resource; what is not noted there is not so.
pub(crate) fn take(resource: &mut Resource) -> Result<()> {
    let position = resource.node.position;
    let metadata = resource.node.get_mut("metadata");
    let annotations = metadata.and_then(|m| m.get_mut("annotations"));
    let mut annotations = annotations.and_then(Node::as_mapping_mut);
    let mut list = |key: &str| -> Vec<String> {
        let text = annotations.as_mut().and_then(|a| remove(a, key));
        text.map(|t| t.split(',').map(str::to_string).collect())
            .unwrap_or_default()
    };
    let (names, namespaces, kinds) = (list(NAMES), list(NAMESPACES), list(KINDS));
    let (prefixes, suffixes) = (list(PREFIXES), list(SUFFIXES));
    let (behavior, hash) = (list(BEHAVIOR), list(HASH));
    if !names.is_empty() && (names.len() != namespaces.len() || names.len() != kinds.len()) {
        let message = format!(
            "{}: there must be as many previous names as namespaces and kinds",
            resource.id
        );
        return Err(Error::resource(message).at(&resource.origin.path, Some(position)));
    }
    let ids = names.into_iter().zip(namespaces).zip(kinds);
    resource.previous = ids
        .map(|((name, namespace), kind)| PreviousId {
            kind,
            name,
            namespace,
        })
        .collect();
    resource.prefixes = prefixes;
    resource.suffixes = suffixes;
    resource.needs_hash = hash == ["enabled"];
    resource.generated = !behavior.is_empty();
    resource.behavior = match behavior.first().map(String::as_str) {
        Some("create") => Behavior::Create,
        Some("replace") => Behavior::Replace,
        Some("merge") => Behavior::Merge,
        _ => Behavior::Unspecified,
    };
    Ok(())
}

/// Takes all notes out of the annotations of a tree.
pub(crate) fn remove_all(node: &mut Node) {
    let metadata = node.get_mut("metadata");
    let annotations = metadata.and_then(|m| m.get_mut("annotations"));
    if let Some(annotations) = annotations.and_then(Node::as_mapping_mut) {
        for key in [NAMES, NAMESPACES, KINDS, PREFIXES, SUFFIXES, BEHAVIOR, HASH] {
            annotations.remove(key);
        }
    }
}

fn remove(annotations: &mut Mapping, key: &str) -> Option<String> {
    let text = annotations.get(key)?.as_text().unwrap_or_default().to_string();
    annotations.remove(key);
    Some(text)
}

/// Takes the notes out of a resource that was just read, which hardly ever has some.
pub(crate) fn take_if_any(resource: &mut Resource) -> Result<()> {
    let annotations = resource.node.at(&["metadata", "annotations"]);
    let is_noted = |annotations: &Mapping| annotations.iter().any(|(key, _)| key.starts_with(DOMAIN));
    if annotations.and_then(Node::as_mapping).is_some_and(is_noted) {
        take(resource)?;
    }
    Ok(())
}

/// Writes the notes of a resource into the annotations of its value.
pub(crate) fn write(resource: &Resource, value: &mut Value) {
    let notes = of(resource);
    if notes.is_empty() {
        return;
    }
    let mut annotations = value;
    for field in ["metadata", "annotations"] {
        let Some(object) = annotations.as_object_mut() else {
            return;
        };
        annotations = object.entry(field).or_insert(Value::Null);
        if annotations.is_null() {
            *annotations = Value::Object(<_>::default());
        }
    }
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.extend(
            notes
                .into_iter()
                .map(|(key, text)| (key.to_string(), text.into())),
        );
    }
}

fn of(resource: &Resource) -> Vec<(&'static str, String)> {
    let previous = |part: fn(&PreviousId) -> &str| {
        let parts: Vec<_> = resource.previous.iter().map(part).collect();
        parts.join(",")
    };
    let mut notes = vec![
        (NAMES, previous(|p| &p.name)),
        (NAMESPACES, previous(|p| &p.namespace)),
        (KINDS, previous(|p| &p.kind)),
        (PREFIXES, resource.prefixes.join(",")),
        (SUFFIXES, resource.suffixes.join(",")),
    ];
    notes.retain(|(_, text)| !text.is_empty());
    if resource.needs_hash {
        notes.push((HASH, "enabled".to_string()));
    }
    if resource.generated {
        let behavior = match resource.behavior {
            Behavior::Unspecified => "unspecified",
            Behavior::Create => "create",
            Behavior::Replace => "replace",
            Behavior::Merge => "merge",
        };
        notes.push((BEHAVIOR, behavior.to_string()));
    }
    notes
}
