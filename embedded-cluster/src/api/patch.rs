//! PATCH: JSON patch, merge patch, strategic merge patch; apply is next door.
//!
//! In: a body, the live object. Out: the stored object. No I/O.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::context::{Body, Context, parse_body};
use super::write::{decode, stored_kind, update_object, with_warnings};
use super::{Answer, Api, render, strategic};
use crate::answer::ApiError;
use crate::object;
use crate::request::Request;
use crate::resource::Kind;
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
    let Body { value: patch, twice } = parse_body(request, kind)?;
    if context.subresource == "scale" {
        return super::scale::patch(api, kind, &context, &patch, request);
    }
    let mut state = api.store.lock();
    let key = Key::new(&context.namespace, &context.name);
    let live = state.get(&kind.storage, &key).cloned();
    let live = live.ok_or_else(|| ApiError::not_found(kind.about(&context.name)))?;
    let before = render::value(&live, kind);
    let mut value = match media {
        "application/json-patch+json" => json_patch(before, &patch)?,
        "application/merge-patch+json" => merged(before, &patch)?,
        _ => strategic::patch(before, &patch, kind.root.view())?,
    };
    let name = object::meta(&value, "name");
    if name != context.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            context.name
        )));
    }
    let warnings = decode(&mut value, &twice, kind, context.validation)?;
    let target = stored_kind(&state, kind, &mut value);
    let written = update_object(&mut state, &target, &context, &live, value, None)?;
    drop(state);
    api.store.bell.notify_one();
    Ok(with_warnings(
        Answer::object(200, &written.stored, kind, request),
        warnings,
    ))
}

fn unsupported(kind: &Kind) -> ApiError {
    let mut types = vec!["application/json-patch+json", "application/merge-patch+json"];
    if kind.custom.is_none() {
        types.push("application/strategic-merge-patch+json");
    }
    types.push("application/apply-patch+yaml");
    ApiError::unsupported_media(format!(
        "the body of the request was in an unknown format - accepted media types include: {}",
        types.join(", ")
    ))
}

fn json_patch(mut value: Value, patch: &Value) -> Result<Value, ApiError> {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    json_patch::patch(&mut value, &patch).map_err(|error| {
        tracing::debug!(%error, "a JSON patch does not fit");
        let message = "the server rejected our request due to an error in our request";
        ApiError {
            details: Some(Box::default()),
            ..ApiError::new(422, "Invalid", message)
        }
    })?;
    Ok(value)
}

fn merged(mut value: Value, patch: &Value) -> Result<Value, ApiError> {
    if !patch.is_object() {
        return Err(ApiError::bad_request(
            "error decoding patch: the body is not an object",
        ));
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
