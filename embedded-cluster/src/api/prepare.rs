//! What the server itself decides about an object: names, times, generation, what a path may change.
//!
//! In: the new object, the live one. Out: the object as it may be stored. No I/O.

use serde_json::Value;

use super::context::Context;
use crate::answer::{ApiError, Cause, Details};
use crate::apply::same;
use crate::clock;
use crate::object;
use crate::resource::Kind;
use crate::store::{Key, State};
use crate::strategy::has_generation;

/// Puts the namespace of the path into the object, or refuses another one.
pub(crate) fn namespace(value: &mut Value, kind: &Kind, namespace: &str) -> Result<(), ApiError> {
    let given = object::meta(value, "namespace");
    if !kind.namespaced {
        if given.is_empty() {
            object::take(value, &["metadata", "namespace"]);
        }
        return Ok(());
    }
    if !given.is_empty() && given != namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    object::meta_mut(value).insert("namespace".into(), namespace.into());
    Ok(())
}

/// Makes a name from `generateName`; true if it did.
pub(crate) fn generate_name(value: &mut Value, context: &Context, state: &mut State) -> bool {
    let prefix = object::meta(value, "generateName");
    if prefix.is_empty() || !object::meta(value, "name").is_empty() {
        return false;
    }
    let prefix: String = prefix.chars().take(58).collect();
    let suffix = if mutated!(SuffixMissing) {
        String::new()
    } else {
        random_suffix(&state.new_uid(context.now))
    };
    object::meta_mut(value).insert("name".into(), format!("{prefix}{suffix}").into());
    true
}

/// Five characters of the alphabet that upstream uses for generated names.
pub(crate) fn random_suffix(uid: &str) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).collect::<Vec<u8>>();
    let pick = |pair: &[u8]| {
        let number = pair
            .iter()
            .fold(0_usize, |sum, byte| sum * 31 + usize::from(*byte));
        ALPHABET
            .get(number % ALPHABET.len())
            .copied()
            .map_or('x', char::from)
    };
    digits.chunks(3).take(5).map(pick).collect()
}

/// Refuses new content in namespaces that are not there or on their way out (admission's NamespaceLifecycle).
pub(crate) fn check_namespace(
    state: &State,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Result<(), ApiError> {
    if !kind.namespaced {
        return Ok(());
    }
    let Some(found) = state.get("/namespaces", &Key::new("", namespace)) else {
        let about = crate::answer::About {
            group: "",
            plural: "namespaces",
            kind: "Namespace",
            name: namespace,
        };
        return Err(ApiError::not_found(about));
    };
    if !object::is_terminating(&found.value) {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut error = ApiError::forbidden(kind.about(name), &why);
    let message = format!("namespace {namespace} is being terminated");
    let cause = Cause {
        reason: "NamespaceTerminating",
        message,
        field: "metadata.namespace".into(),
    };
    error.details = error.details.map(|details| {
        Box::new(Details {
            causes: vec![cause],
            ..*details
        })
    });
    Err(error)
}

/// The priority that a pod has by its class (admission's Priority).
pub(crate) fn priority(value: &Value, kind: &Kind, state: &State) -> Result<Option<i64>, ApiError> {
    let class = object::text(value, &["spec", "priorityClassName"]);
    if !kind.is("", "pods") || class.is_empty() {
        return Ok(None);
    }
    let priority = match class {
        "system-node-critical" => Some(2_000_001_000),
        "system-cluster-critical" => Some(2_000_000_000),
        class => state
            .get("scheduling.k8s.io/priorityclasses", &Key::new("", class))
            .map(|found| object::number(&found.value, &["value"]).unwrap_or(0)),
    };
    if priority.is_none() {
        let why = format!("no PriorityClass with name {class} was found");
        return Err(ApiError::forbidden(kind.about(object::meta(value, "name")), &why));
    }
    Ok(priority)
}

/// The server's own fields of a new object.
pub(crate) fn for_create(value: &mut Value, kind: &Kind, context: &Context, state: &mut State) {
    object::put(value, &["apiVersion"], kind.api_version());
    object::put(value, &["kind"], kind.kind.as_str());
    let uid = state.new_uid(context.now);
    let meta = object::meta_mut(value);
    for field in [
        "resourceVersion",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        meta.remove(field);
    }
    drop_empty(meta);
    meta.insert("uid".into(), uid.into());
    meta.insert("creationTimestamp".into(), clock::seconds(context.now).into());
    if has_generation(kind) {
        meta.insert("generation".into(), 1.into());
    }
    if kind.has_status() {
        object::take(value, &["status"]);
    }
}

/// Empty lists and maps of metadata are not stored.
fn drop_empty(meta: &mut serde_json::Map<String, Value>) {
    for field in [
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "creationTimestamp",
        "namespace",
        "generateName",
    ] {
        let empty = match meta.get(field) {
            Some(Value::Object(entries)) => entries.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Null) => true,
            _ => false,
        };
        if empty {
            meta.remove(field);
        }
    }
}

/// Refuses a patch that changes the uid; an update with another uid is a precondition that fails.
pub(crate) fn check_uid(value: &Value, live: &Value, kind: &Kind) -> Result<(), ApiError> {
    let (uid, known) = (object::meta(value, "uid"), object::meta(live, "uid"));
    if uid.is_empty() || uid == known {
        return Ok(());
    }
    let cause = Cause::invalid("metadata.uid", &uid.into(), "field is immutable");
    // Upstream checks metadata once for all kinds and once more in each built-in kind's own rules.
    let times = if kind.custom.is_some() { 1 } else { 2 };
    Err(ApiError::invalid(
        kind.about(object::meta(live, "name")),
        vec![cause; times],
    ))
}

/// Takes back what an update through this path may not change.
pub(crate) fn for_update(value: &mut Value, live: &Value, kind: &Kind, subresource: &str) {
    object::copy(value, live, &["apiVersion"]);
    object::copy(value, live, &["kind"]);
    match subresource {
        "status" => {
            let status = value.get("status").cloned();
            let metadata = value.get("metadata").cloned();
            *value = live.clone();
            if kind.custom.is_none()
                && let Some(metadata) = metadata
            {
                object::put(value, &["metadata"], metadata);
                if kind.is("apps", "deployments") {
                    object::copy(value, live, &["metadata", "labels"]);
                }
                if kind.is("", "pods") {
                    object::copy(value, live, &["metadata", "ownerReferences"]);
                }
            }
            match status {
                Some(status) => object::put(value, &["status"], status),
                None => {
                    object::take(value, &["status"]);
                }
            }
        }
        "finalize" => {
            let finalizers = object::items(value, &["spec", "finalizers"]).to_vec();
            *value = live.clone();
            object::put(value, &["spec", "finalizers"], finalizers);
        }
        _ if kind.has_status() && !mutated!(StatusThroughMain) => object::copy(value, live, &["status"]),
        _ => {}
    }
    for field in [
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "uid",
    ] {
        object::copy(value, live, &["metadata", field]);
    }
    drop_empty(object::meta_mut(value));
}

/// Counts up `metadata.generation` when what is wanted changed.
pub(crate) fn generation(value: &mut Value, live: &Value, kind: &Kind, subresource: &str) {
    if !has_generation(kind) || mutated!(GenerationNotCounted) {
        return;
    }
    let changed = match (kind.group.as_str(), kind.plural.as_str(), &kind.custom) {
        (_, _, Some(_)) => {
            let ignored: &[&str] = if kind.has_status() {
                &["metadata", "status"]
            } else {
                &["metadata"]
            };
            !same_but(value, live, ignored)
        }
        ("admissionregistration.k8s.io" | "discovery.k8s.io" | "scheduling.k8s.io", _, _)
            if value.get("spec").is_none() =>
        {
            !same_but(value, live, &["metadata", "status"])
        }
        _ => !same_at(value, live, "spec"),
    };
    // Clients of old kept what they want in annotations; the controller writes its own with the status.
    let annotated = subresource != "status"
        && kind.is("apps", "deployments")
        && object::entries(value, &["metadata", "annotations"])
            != object::entries(live, &["metadata", "annotations"]);
    let changed = changed || annotated;
    let asked_to_delete = object::is_terminating(value) != object::is_terminating(live);
    if changed || asked_to_delete {
        let old = object::number(live, &["metadata", "generation"]).unwrap_or(0);
        object::meta_mut(value).insert("generation".into(), (old + 1).into());
    }
}

fn same_at(a: &Value, b: &Value, field: &str) -> bool {
    match (a.get(field), b.get(field)) {
        (Some(a), Some(b)) => same(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn same_but(a: &Value, b: &Value, ignored: &[&str]) -> bool {
    let (a, b) = (object::entries(a, &[]), object::entries(b, &[]));
    let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
    names
        .filter(|name| !ignored.contains(&name.as_str()))
        .all(|name| match (a.get(name), b.get(name)) {
            (Some(a), Some(b)) => same(a, b),
            _ => false,
        })
}
