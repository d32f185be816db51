//! CustomResourceDefinitions: what they say, and the kinds they make.
//!
//! In: CRD objects. Out: kinds for the registry, conditions, causes. No I/O.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::apply::FieldSet;
use crate::object;
use crate::resource::{Kind, Resets, Subresource, storage_name, version_order};
use crate::schema::{Builder, Root, builtin_document};

/// What only kinds of CRDs have.
#[derive(Debug)]
pub(crate) struct Custom {
    /// The published schema of this version.
    pub(crate) schema: Value,
    /// `additionalPrinterColumns`
    pub(crate) columns: Vec<Value>,
    /// Paths of the scale subresource.
    pub(crate) scale: Option<Scale>,
    /// Unknown fields are kept (`spec.preserveUnknownFields`).
    pub(crate) preserve_unknown: bool,
    /// `selectableFields`
    pub(crate) selectable: Vec<String>,
    /// How often the schema has `x-kubernetes-validations`, which are not evaluated here.
    pub(crate) cel_rules: usize,
    /// What users of a deprecated version are warned of.
    pub(crate) deprecation: Option<String>,
}

/// Where the scale subresource finds its fields.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) spec: Vec<String>,
    pub(crate) status: Vec<String>,
    pub(crate) selector: Option<Vec<String>>,
}

const VERBS: [&str; 8] = [
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

/// The kinds of one CRD, one for each served version, the stored one first.
pub(crate) fn kinds(crd: &Value) -> Vec<Arc<Kind>> {
    let mut versions: Vec<&Value> = object::items(crd, &["spec", "versions"]).iter().collect();
    versions.retain(|version| version.get("served").and_then(Value::as_bool).unwrap_or(false));
    versions
        .iter()
        .map(|version| Arc::new(kind(crd, version)))
        .collect()
}

fn kind(crd: &Value, version: &Value) -> Kind {
    let names = |field: &str| object::text(crd, &["spec", "names", field]);
    let list = |field: &str| -> Vec<String> {
        let items = object::items(crd, &["spec", "names", field]).iter();
        items.filter_map(Value::as_str).map(String::from).collect()
    };
    let group = object::text(crd, &["spec", "group"]);
    let schema = object::at(version, &["schema", "openAPIV3Schema"])
        .cloned()
        .unwrap_or(json!({"type": "object"}));
    let mut builder = Builder::structural(builtin_document());
    let node = builder.inline(&schema, 0);
    let has_status = object::at(version, &["subresources", "status"]).is_some();
    let scale = object::at(version, &["subresources", "scale"]).map(scale);
    let mut subresources = Vec::new();
    let verbs = || ["get", "patch", "update"].map(String::from).to_vec();
    if has_status {
        subresources.push(Subresource {
            name: "status".into(),
            group: group.into(),
            version: object::text(version, &["name"]).into(),
            kind: names("kind").into(),
            verbs: verbs(),
        });
    }
    if scale.is_some() {
        subresources.push(Subresource {
            name: "scale".into(),
            group: "autoscaling".into(),
            version: "v1".into(),
            kind: "Scale".into(),
            verbs: verbs(),
        });
    }
    let main: &[&[&str]] = if has_status { &[&["status"]] } else { &[] };
    Kind {
        group: group.into(),
        version: object::text(version, &["name"]).into(),
        kind: names("kind").into(),
        plural: names("plural").into(),
        singular: names("singular").into(),
        short_names: list("shortNames"),
        categories: list("categories"),
        namespaced: object::text(crd, &["spec", "scope"]) == "Namespaced",
        verbs: VERBS.map(String::from).to_vec(),
        subresources,
        root: Root {
            schema: Arc::new(builder.finish()),
            node,
        },
        schema_name: schema_name(group, object::text(version, &["name"]), names("kind")),
        storage: storage_name(group, names("plural")).into(),
        reset: Resets {
            main: FieldSet::of_fields(main),
            status: FieldSet::of_fields(&[&["spec"], &["metadata"]]),
            none: FieldSet::default(),
        },
        custom: Some(Arc::new(Custom {
            columns: object::items(version, &["additionalPrinterColumns"]).to_vec(),
            scale,
            preserve_unknown: object::at(crd, &["spec", "preserveUnknownFields"])
                .and_then(Value::as_bool)
                .unwrap_or(false),
            selectable: object::items(version, &["selectableFields"])
                .iter()
                .map(|field| object::text(field, &["jsonPath"]).into())
                .collect(),
            cel_rules: count_rules(&schema),
            deprecation: deprecation(crd, version),
            schema,
        })),
    }
}

/// The warning of a deprecated version: its own, or one that names the newest version that is served.
fn deprecation(crd: &Value, version: &Value) -> Option<String> {
    if version.get("deprecated").and_then(Value::as_bool) != Some(true) {
        return None;
    }
    let own = object::text(version, &["deprecationWarning"]);
    if !own.is_empty() {
        return Some(own.to_owned());
    }
    let (group, kind) = (
        object::text(crd, &["spec", "group"]),
        object::text(crd, &["spec", "names", "kind"]),
    );
    let name = object::text(version, &["name"]);
    let flag = |version: &Value, flag: &str| version.get(flag).and_then(Value::as_bool) == Some(true);
    let mut newer: Vec<&str> = object::items(crd, &["spec", "versions"])
        .iter()
        .filter(|other| flag(other, "served") && !flag(other, "deprecated"))
        .map(|other| object::text(other, &["name"]))
        .filter(|other| version_order(other) > version_order(name))
        .collect();
    newer.sort_by_key(|other| version_order(other));
    let instead = newer
        .last()
        .map(|newest| format!("; use {group}/{newest} {kind}"));
    Some(format!(
        "{group}/{name} {kind} is deprecated{}",
        instead.unwrap_or_default()
    ))
}

/// `com.example.v1.Widget`
fn schema_name(group: &str, version: &str, kind: &str) -> String {
    let mut parts: Vec<&str> = group.split('.').rev().collect();
    parts.extend([version, kind]);
    parts.join(".")
}

fn scale(value: &Value) -> Scale {
    let path = |field: &str| -> Option<Vec<String>> {
        let text = value.get(field)?.as_str()?;
        Some(
            text.trim_start_matches('.')
                .split('.')
                .map(String::from)
                .collect(),
        )
    };
    Scale {
        spec: path("specReplicasPath").unwrap_or_default(),
        status: path("statusReplicasPath").unwrap_or_default(),
        selector: path("labelSelectorPath"),
    }
}

fn count_rules(schema: &Value) -> usize {
    match schema {
        Value::Object(entries) => entries
            .iter()
            .map(|(name, entry)| match (name.as_str(), entry) {
                ("x-kubernetes-validations", Value::Array(rules)) => rules.len(),
                (_, entry) => count_rules(entry),
            })
            .sum(),
        Value::Array(items) => items.iter().map(count_rules).sum(),
        _ => 0,
    }
}

/// Fills in what upstream defaults in a CRD.
pub(crate) fn set_defaults(crd: &mut Value) {
    let kind = object::text(crd, &["spec", "names", "kind"]).to_owned();
    if kind.is_empty() {
        return;
    }
    object::put_default(crd, &["spec", "names", "listKind"], format!("{kind}List"));
    object::put_default(crd, &["spec", "names", "singular"], kind.to_lowercase());
    object::put_default(crd, &["spec", "conversion", "strategy"], "None");
}

/// The status of a CRD whose names are accepted; `established` says if it is served yet.
pub(crate) fn status(crd: &Value, now: &str, established: bool) -> Value {
    let mut names = object::entries(crd, &["spec", "names"]).clone();
    names.retain(|_, value| !value.is_null());
    let stored = object::items(crd, &["spec", "versions"])
        .iter()
        .find(|version| version.get("storage").and_then(Value::as_bool) == Some(true))
        .map(|version| object::text(version, &["name"]).to_owned());
    let mut versions: Vec<Value> = object::items(crd, &["status", "storedVersions"]).to_vec();
    if let Some(stored) = stored.map(Value::String)
        && !versions.contains(&stored)
    {
        versions.push(stored);
    }
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        let known = object::items(crd, &["status", "conditions"]);
        let same = known
            .iter()
            .find(|old| object::text(old, &["type"]) == kind && object::text(old, &["status"]) == status);
        let since = same.map_or(now, |old| object::text(old, &["lastTransitionTime"]));
        json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since})
    };
    let accepted = condition("NamesAccepted", "True", "NoConflicts", "no conflicts found");
    let served = if established {
        condition(
            "Established",
            "True",
            "InitialNamesAccepted",
            "the initial names have been accepted",
        )
    } else {
        condition(
            "Established",
            "False",
            "Installing",
            "the initial names have been accepted",
        )
    };
    json!({
        "conditions": [accepted, served],
        "acceptedNames": Value::Object(names.into_iter().collect::<Map<_, _>>()),
        "storedVersions": versions,
    })
}

/// Says in the status that deletion was asked for.
pub(crate) fn mark_terminating(crd: &mut Value, now: &str) {
    let mut conditions = object::items(crd, &["status", "conditions"]).to_vec();
    if conditions
        .iter()
        .any(|condition| object::text(condition, &["type"]) == "Terminating")
    {
        return;
    }
    conditions.push(json!({
        "type": "Terminating", "status": "True", "reason": "InstanceDeletionPending", "lastTransitionTime": now,
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    }));
    object::put(crd, &["status", "conditions"], conditions);
}

/// Whether a CRD is served.
pub(crate) fn is_established(crd: &Value) -> bool {
    object::items(crd, &["status", "conditions"])
        .iter()
        .any(|condition| {
            object::text(condition, &["type"]) == "Established"
                && object::text(condition, &["status"]) == "True"
        })
}
