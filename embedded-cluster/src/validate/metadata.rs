//! Rules for `metadata` (`apimachinery/pkg/api/validation/objectmeta.go`). No I/O.

use serde_json::Value;

use super::names;
use crate::answer::Cause;
use crate::object;
use crate::resource::Kind;

/// All annotations together may be this long.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Causes in the metadata of any object.
pub(crate) fn check(value: &Value, kind: &Kind) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = object::meta(value, "name");
    if name.is_empty() {
        causes.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else {
        for complaint in name_complaints(name, kind) {
            causes.push(Cause::invalid("metadata.name", &name.into(), &complaint));
        }
    }
    if !kind.namespaced && !object::meta(value, "namespace").is_empty() {
        causes.push(Cause::forbidden("metadata.namespace", "not allowed on this type"));
    }
    for (key, text) in object::entries(value, &["metadata", "labels"]) {
        for complaint in names::qualified(key, "valid label key") {
            causes.push(Cause::invalid(
                "metadata.labels",
                &key.as_str().into(),
                &complaint,
            ));
        }
        for complaint in names::label_value(text.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid("metadata.labels", text, &complaint));
        }
    }
    let mut size = 0;
    for (key, text) in object::entries(value, &["metadata", "annotations"]) {
        size += key.len() + text.as_str().map_or(0, str::len);
        for complaint in names::qualified(&key.to_lowercase(), "qualified name") {
            causes.push(Cause::invalid(
                "metadata.annotations",
                &key.as_str().into(),
                &complaint,
            ));
        }
    }
    if size > ANNOTATIONS_LIMIT {
        let message = format!("Too long: may not be more than {ANNOTATIONS_LIMIT} bytes");
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message,
            field: "metadata.annotations".into(),
        });
    }
    for owner in object::items(value, &["metadata", "ownerReferences"]) {
        for (field, what) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if object::text(owner, &[field]).is_empty() {
                causes.push(Cause::invalid(
                    format!("metadata.ownerReferences.{field}"),
                    &"".into(),
                    what,
                ));
            }
        }
    }
    causes.extend(owners(value));
    let finalizers: Vec<&str> = object::finalizers(value).collect();
    for finalizer in &finalizers {
        for complaint in names::qualified(finalizer, "qualified name") {
            causes.push(Cause::invalid(
                "metadata.finalizers",
                &(*finalizer).into(),
                &complaint,
            ));
        }
    }
    for (index, finalizer) in finalizers.iter().enumerate().filter(|_| kind.custom.is_none()) {
        if !finalizer.contains('/') && !matches!(*finalizer, "kubernetes" | "orphan" | "foregroundDeletion") {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            causes.push(Cause::invalid(
                format!("metadata.finalizers[{index}]"),
                &(*finalizer).into(),
                why,
            ));
        }
    }
    causes
}

/// Rules for who may own, and how many control.
fn owners(value: &Value) -> Vec<Cause> {
    const FIELD: &str = "metadata.ownerReferences";
    let mut causes = Vec::new();
    let owners = object::items(value, &["metadata", "ownerReferences"]);
    for owner in owners {
        let text = |field: &str| object::text(owner, &[field]);
        if text("kind") == "Event" && matches!(text("apiVersion"), "v1" | "events.k8s.io/v1") {
            let (group, version) = crate::resource::split_api_version(text("apiVersion"));
            let why = format!("{group}/{version}, Kind=Event is disallowed from being an owner");
            causes.push(Cause::invalid(FIELD, owner, &why));
        }
    }
    let controls = |owner: &&Value| owner.get("controller").and_then(Value::as_bool) == Some(true);
    let mut controllers = owners.iter().filter(controls);
    if let (Some(first), Some(second)) = (controllers.next(), controllers.next()) {
        let shown = |owner: &Value| {
            format!(
                "{}/{}",
                object::text(owner, &["kind"]),
                object::text(owner, &["name"])
            )
        };
        let why = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
            shown(first),
            shown(second)
        );
        causes.push(Cause::invalid(FIELD, &Value::Array(owners.to_vec()), &why));
    }
    causes
}

fn name_complaints(name: &str, kind: &Kind) -> Vec<String> {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "namespaces") => names::label(name),
        ("", "services") => names::label(name),
        ("rbac.authorization.k8s.io", _) => names::path_segment(name),
        // The one length that upstream counts in characters.
        _ => names::subdomain(name)
            .into_iter()
            .map(|complaint| complaint.replace("253 bytes", "253 characters"))
            .collect(),
    }
}

/// Causes against a change of metadata.
pub(crate) fn check_update(value: &Value, live: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for field in ["name", "namespace", "uid"] {
        let (new, old) = (object::meta(value, field), object::meta(live, field));
        if new != old {
            causes.push(Cause::invalid(
                format!("metadata.{field}"),
                &new.into(),
                "field is immutable",
            ));
        }
    }
    if object::is_terminating(live) {
        let old: Vec<&str> = object::finalizers(live).collect();
        let mut added: Vec<String> = object::finalizers(value)
            .filter(|finalizer| !old.contains(finalizer))
            .map(|f| format!("{f:?}"))
            .collect();
        if !added.is_empty() {
            added.sort();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            causes.push(Cause::forbidden("metadata.finalizers", &why));
        }
    }
    causes
}
