//! PATCH: JSON patch, merge patch, strategic merge patch; apply is next door.
//!
//! In: a body, the live object. Out: the stored object. No I/O.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::body::{Body, check_type, parse_patch};
use super::context::Context;
use super::write::{check_name, decode, stored_kind, update_object, with_warnings};
use super::{Answer, Api, render, strategic};
use crate::answer::{About, ApiError, Cause};
use crate::object;
use crate::request::Request;
use crate::resource::Kind;
use crate::schema::{from_unstructured, json_kind};
use crate::store::Key;

/// PATCH, by content type.
pub(crate) fn patch(api: &Api, kind: &Arc<Kind>, request: &Request) -> Result<Answer, ApiError> {
    let media = request.content_type.split(';').next().unwrap_or_default().trim();
    match media {
        "application/apply-patch+yaml" | "application/apply-patch+cbor" => {
            return super::apply::apply(api, kind, request);
        }
        "application/json-patch+json" | "application/merge-patch+json" => {}
        "application/strategic-merge-patch+json" if kind.custom.is_none() => {}
        _ => return Err(unsupported(kind)),
    }
    let context = Context::of(request, api.clock.now())?;
    let is_strategic = media == "application/strategic-merge-patch+json";
    let prefix = if is_strategic {
        ""
    } else {
        "error decoding patch: "
    };
    let Body { value: patch, notes } = parse_patch(request, prefix)?;
    if context.subresource == "scale" {
        return super::scale::patch(api, kind, &context, &patch);
    }
    let mut state = api.store.lock();
    let key = Key::new(&context.namespace, &context.name);
    let live = state.get(&kind.storage, &key).cloned();
    let live = live.ok_or_else(|| ApiError::not_found(kind.about(&context.name)))?;
    let before = render::value(&live, kind);
    let mut value = match media {
        "application/json-patch+json" => json_patch(before, &patch)?,
        "application/merge-patch+json" => merged(before, &patch)?,
        _ if mutated!(StrategicAsMerge) => merged(before, &patch)?,
        _ => strategic::patch(before, &patch, kind.root.view())?,
    };
    check_name(&value, &context)?;
    // A strategic merge patch is laid over the typed object, and is shown itself where it does not fit.
    let shown = if is_strategic {
        shown_by_go(&patch)
    } else {
        value.to_string()
    };
    let misfit = |error: ApiError| misfit(error, &shown);
    if !is_strategic {
        check_type(&value, kind).map_err(misfit)?;
    } else if let Some(why) = from_unstructured(&mut value.clone(), kind.root.view()) {
        return Err(misfit(ApiError::bad_request(why)));
    }
    let warnings = decode(&mut value, &notes, kind, context.validation).map_err(misfit)?;
    super::prepare::check_uid(&value, &live.value, kind)?;
    let target = stored_kind(&state, kind, &mut value);
    let written = update_object(&mut state, &target, &context, &live, value, None)?;
    drop(state);
    api.store.bell.notify_one();
    Ok(with_warnings(
        Answer::object(200, &written.stored, kind, request),
        warnings,
    ))
}

/// What upstream makes of a patch whose result cannot be decoded.
pub(crate) fn misfit(error: ApiError, shown: &str) -> ApiError {
    if error.code != 400 {
        return error;
    }
    let why = error
        .message
        .split_once(" cannot be handled as a ")
        .and_then(|(_, rest)| rest.split_once(": "));
    let cause = Cause::invalid(
        "patch",
        &shown.into(),
        why.map_or(error.message.as_str(), |(_, why)| why),
    );
    ApiError::invalid(
        About {
            group: "",
            plural: "",
            kind: "",
            name: "",
        },
        vec![cause],
    )
}

/// A value as Go prints it with `%v`.
fn shown_by_go(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{name}:{}", shown_by_go(value)));
            format!("map[{}]", fields.collect::<Vec<_>>().join(" "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown_by_go).collect();
            format!("[{}]", items.join(" "))
        }
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".into(),
        other => other.to_string(),
    }
}

fn unsupported(kind: &Kind) -> ApiError {
    if kind.custom.is_some() {
        return ApiError::unsupported_media(
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        );
    }
    let error = ApiError::unsupported_media("415: Unsupported Media Type");
    ApiError {
        details: Some(Box::default()),
        ..error
    }
}

fn json_patch(mut value: Value, patch: &Value) -> Result<Value, ApiError> {
    if !patch.is_array() {
        let why = "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp";
        return Err(ApiError::bad_request(why));
    }
    let misfit = || {
        let message = "the server rejected our request due to an error in our request";
        ApiError {
            details: Some(Box::default()),
            ..ApiError::new(422, "Invalid", message)
        }
    };
    let mut patch = patch.clone();
    for operation in patch.as_array_mut().into_iter().flatten() {
        replace_or_add(operation, &value);
    }
    let patch: json_patch::Patch = serde_json::from_value(patch).map_err(|_| misfit())?;
    json_patch::patch(&mut value, &patch).map_err(|_| misfit())?;
    Ok(value)
}

/// Upstream's library lets an entry of a map be replaced that is not there.
fn replace_or_add(operation: &mut Value, value: &Value) {
    let path = object::text(operation, &["path"]);
    let Some((parent, _)) = path.rsplit_once('/') else {
        return;
    };
    let is_entry = value.pointer(parent).is_some_and(Value::is_object);
    if object::text(operation, &["op"]) == "replace" && is_entry && value.pointer(path).is_none() {
        object::put(operation, &["op"], "add");
    }
}

fn merged(mut value: Value, patch: &Value) -> Result<Value, ApiError> {
    if patch.is_null() {
        return Err(ApiError::bad_request("Invalid JSON Patch"));
    }
    if !patch.is_object() {
        return Err(ApiError::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            json_kind(patch)
        )));
    }
    merge(&mut value, patch);
    Ok(value)
}

/// RFC 7396.
pub(crate) fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Value::Object(fields) = value else { return };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}
