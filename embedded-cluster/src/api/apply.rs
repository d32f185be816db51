//! PATCH with an apply configuration.
//!
//! In: a body, the live object. Out: the stored object. No I/O.

use std::sync::Arc;

use serde_json::Value;

use super::body::{Body, parse_applied};
use super::context::Context;
use super::options::Validation;
use super::write::{Written, check_name, create_object, manager, stored_kind, update_object, with_warnings};
use super::{Answer, Api};
use crate::answer::ApiError;
use crate::apply::{self, ApplyError};
use crate::object;
use crate::request::Request;
use crate::resource::{Kind, split_api_version};
use crate::schema;
use crate::store::{Key, State};

/// Server-side apply of one object.
pub(crate) fn apply(api: &Api, kind: &Arc<Kind>, request: &Request) -> Result<Answer, ApiError> {
    let context = Context::of(request, api.clock.now())?;
    let Body {
        value: mut wanted,
        notes,
    } = parse_applied(request)?;
    let warnings = match (notes.in_yaml, context.validation) {
        (Some(note), Validation::Strict) => {
            return Err(ApiError::bad_request(format!(
                "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  {note}"
            )));
        }
        (Some(note), Validation::Warn) => vec![note],
        _ => Vec::new(),
    };
    if context.subresource == "scale" {
        return super::scale::apply(api, kind, &context, &wanted, request);
    }
    let mut state = api.store.lock();
    check(&wanted, kind)?;
    let target = stored_kind(&state, kind, &mut wanted);
    let written = apply_object(
        &mut state,
        &target,
        &context,
        &wanted,
        request.query.flag("force"),
    )?;
    drop(state);
    api.store.bell.notify_one();
    let code = if written.created { 201 } else { 200 };
    Ok(with_warnings(
        Answer::object(code, &written.stored, kind, request),
        warnings,
    ))
}

/// Applies a configuration in one transaction.
pub(crate) fn apply_object(
    state: &mut State,
    kind: &Kind,
    context: &Context,
    wanted: &Value,
    force: bool,
) -> Result<Written, ApiError> {
    check(wanted, kind)?;
    let key = Key::new(
        if kind.namespaced { &context.namespace } else { "" },
        &context.name,
    );
    let live = state.get(&kind.storage, &key).cloned();
    let version = kind.api_version();
    let who = manager(context, kind, &version);
    let mut managers = live
        .as_ref()
        .map(|live| live.managers.clone())
        .unwrap_or_default();
    if context.subresource == "scale" {
        super::scale::adopt(&mut managers, kind);
    }
    let applied = apply::apply(
        live.as_ref().map(|live| &live.value),
        wanted,
        managers,
        who,
        force,
        kind.root.view(),
    )
    .map_err(|error| match error {
        // A Scale shows its owners in its own version.
        ApplyError::Conflicts(mut conflicts) if context.subresource == "scale" => {
            for (key, _) in &mut conflicts.0 {
                key.version = "autoscaling/v1".into();
            }
            ApplyError::Conflicts(conflicts)
        }
        error => error,
    })
    .map_err(|error| refusal(error, wanted, kind))?;
    let Some(live) = live else {
        let mut value = decoded(applied.object.unwrap_or_else(|| wanted.clone()), wanted, kind)?;
        let uid = object::meta(&value, "uid");
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(ApiError::conflict(kind.about(&context.name), &why));
        }
        if !context.subresource.is_empty() {
            return Err(ApiError::not_found(kind.about(&context.name)));
        }
        check_name(&value, context)?;
        // A version cannot be wrong of what is not there.
        object::take(&mut value, &["metadata", "resourceVersion"]);
        let stored = create_object(state, kind, context, value, Some(applied.managers))?;
        return Ok(Written {
            stored,
            created: true,
        });
    };
    let value = match applied.object {
        Some(value) => decoded(value, wanted, kind)?,
        None => live.value.clone(),
    };
    check_name(&value, context)?;
    super::prepare::check_uid(&value, &live.value, kind)?;
    update_object(state, kind, context, &live, value, Some(applied.managers))
}

fn check(wanted: &Value, kind: &Kind) -> Result<(), ApiError> {
    let text = |field: &str| object::text(wanted, &[field]);
    let (group, version) = split_api_version(text("apiVersion"));
    if (group, version, text("kind")) != (&kind.group, &kind.version, &kind.kind) {
        return Err(ApiError::bad_request(format!(
            "invalid object type: {group}/{version}, Kind={}",
            text("kind")
        )));
    }
    if object::at(wanted, &["metadata", "managedFields"]).is_some_and(|fields| !fields.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

/// The merged object as its Go type holds it.
fn decoded(mut value: Value, wanted: &Value, kind: &Kind) -> Result<Value, ApiError> {
    if kind.custom.is_some() {
        return Ok(value);
    }
    match schema::from_unstructured(&mut value, kind.root.view()) {
        None => Ok(value),
        Some(why) => Err(ApiError::unclassified(format!(
            "failed to convert new object ({}) to proper version: unable to convert unstructured object to {}: {why}",
            object_named(wanted, kind),
            type_named(kind),
        ))),
    }
}

fn type_named(kind: &Kind) -> String {
    format!("{}/{}, Kind={}", kind.group, kind.version, kind.kind)
}

fn object_named(wanted: &Value, kind: &Kind) -> String {
    let (namespace, name) = (object::meta(wanted, "namespace"), object::meta(wanted, "name"));
    format!("{namespace}/{name}; {}", type_named(kind))
}

fn refusal(error: ApplyError, wanted: &Value, kind: &Kind) -> ApiError {
    match error {
        ApplyError::Conflicts(conflicts) => conflicts.into_error(),
        ApplyError::Untyped(errors) => {
            let errors = match errors.as_slice() {
                [one] => one.clone(),
                many => format!(
                    "errors:\n{}",
                    many.iter()
                        .map(|error| format!("  {error}"))
                        .collect::<Vec<_>>()
                        .join("\n")
                ),
            };
            ApiError::unclassified(format!(
                "failed to create typed patch object ({}): {errors}",
                object_named(wanted, kind)
            ))
        }
    }
}
