//! The subresources that are objects of another kind: scale, eviction, tokens.
//!
//! In: Scale objects. Out: Scale objects; the replicas of the object itself are changed. No I/O.

use std::sync::Arc;

use serde_json::{Value, json};

use super::context::Context;
use super::delete::{DeleteOptions, delete_object};
use super::write::update_object;
use super::{Answer, Api, patch as patches, render};
use crate::answer::ApiError;
use crate::apply::Managers;
use crate::object;
use crate::request::Request;
use crate::resource::Kind;
use crate::store::{Key, State, Stored};

/// POST to a subresource.
pub(crate) fn create(
    api: &Api,
    kind: &Arc<Kind>,
    context: &Context,
    body: &Value,
) -> Result<Answer, ApiError> {
    let mut state = api.store.lock();
    let stored = find(&state, kind, context)?;
    if context.subresource == "token" {
        return super::token::create(api, context, &stored, body);
    }
    let answer = match context.subresource.as_str() {
        "eviction" => {
            delete_object(&mut state, kind, context, &DeleteOptions::default())?;
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
        }
        "binding" => {
            let mut value = render::value(&stored, kind);
            object::put(
                &mut value,
                &["spec", "nodeName"],
                object::text(body, &["target", "name"]),
            );
            update_object(&mut state, kind, context, &stored, value, None)?;
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
        }
        _ => return Err(ApiError::method_not_allowed()),
    };
    drop(state);
    api.store.bell.notify_one();
    Ok(Answer::Body {
        code: 201,
        body: render::bytes(&answer),
        warnings: Vec::new(),
    })
}

fn find(state: &State, kind: &Kind, context: &Context) -> Result<Arc<Stored>, ApiError> {
    let key = Key::new(&context.namespace, &context.name);
    state
        .get(&kind.storage, &key)
        .cloned()
        .ok_or_else(|| ApiError::not_found(kind.about(&context.name)))
}

/// GET of a scale.
pub(crate) fn get(api: &Api, kind: &Arc<Kind>, request: &Request) -> Result<Answer, ApiError> {
    let context = Context::of(request, api.clock.now())?;
    let stored = find(&api.store.lock(), kind, &context)?;
    let path = path(kind);
    if kind.custom.is_some() && object::at(&stored.value, &words(&path)).is_none() {
        let what = format!(
            "the spec replicas field {:?} does not exist",
            format!(".{}", path.join("."))
        );
        return Err(ApiError::internal(&what));
    }
    Ok(Answer::ok(render::bytes(&scale(kind, &stored))))
}

/// Where an object keeps its replicas.
fn path(kind: &Kind) -> Vec<String> {
    let custom = kind.custom.as_ref().and_then(|custom| custom.scale.as_ref());
    custom.map_or_else(
        || vec!["spec".into(), "replicas".into()],
        |scale| scale.spec.clone(),
    )
}

fn words(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn scale(kind: &Kind, stored: &Stored) -> Value {
    let value = &stored.value;
    let custom = kind.custom.as_ref().and_then(|custom| custom.scale.as_ref());
    let observed = custom.map_or_else(
        || vec!["status".into(), "replicas".into()],
        |scale| scale.status.clone(),
    );
    let mut status = json!({"replicas": object::number(value, &words(&observed)).unwrap_or(0)});
    let selector = match custom {
        Some(scale) => scale
            .selector
            .as_ref()
            .map(|path| object::text(value, &words(path)).to_owned()),
        None => Some(label_selector(object::at(value, &["spec", "selector"]))),
    };
    if let Some(selector) = selector.filter(|selector| !selector.is_empty()) {
        object::put(&mut status, &["selector"], selector);
    }
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        object::copy(
            &mut metadata,
            object::at(value, &["metadata"]).unwrap_or(&Value::Null),
            &[field],
        );
    }
    let replicas = object::number(value, &words(&path(kind))).unwrap_or(0);
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": replicas}, "status": status,
    })
}

/// A selector in the text form.
fn label_selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector else {
        return String::new();
    };
    let labels = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .or_else(|| selector.as_object());
    let pairs = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    pairs.collect::<Vec<_>>().join(",")
}

/// PUT of a scale.
pub(crate) fn update(
    api: &Api,
    kind: &Arc<Kind>,
    context: &Context,
    body: &Value,
) -> Result<Answer, ApiError> {
    let mut state = api.store.lock();
    let stored = find(&state, kind, context)?;
    check_body(body, context)?;
    let version = object::meta(body, "resourceVersion");
    if !version.is_empty() && version != object::meta(&stored.value, "resourceVersion") {
        return Err(ApiError::stale(kind.about(&context.name)));
    }
    let answer = set(&mut state, kind, context, &stored, body)?;
    drop(state);
    api.store.bell.notify_one();
    Ok(answer)
}

/// Only a Scale of the same name is one.
fn check_body(body: &Value, context: &Context) -> Result<(), ApiError> {
    let (version, kind) = (object::text(body, &["apiVersion"]), object::text(body, &["kind"]));
    if kind != "Scale" && !kind.is_empty() {
        let (_, short) = crate::resource::split_api_version(version);
        return Err(ApiError::bad_request(format!(
            "{kind} in version {short:?} cannot be handled as a Scale: no kind {kind:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\""
        )));
    }
    let name = object::meta(body, "name");
    if name != context.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            context.name
        )));
    }
    Ok(())
}

/// PATCH of a scale: the patch is laid over the Scale object.
pub(crate) fn patch(
    api: &Api,
    kind: &Arc<Kind>,
    context: &Context,
    change: &Value,
) -> Result<Answer, ApiError> {
    let mut state = api.store.lock();
    let stored = find(&state, kind, context)?;
    let mut value = scale(kind, &stored);
    if change.is_array() {
        let change: json_patch::Patch = serde_json::from_value(change.clone())
            .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
        json_patch::patch(&mut value, &change)
            .map_err(|error| ApiError::new(422, "Invalid", error.to_string()))?;
    } else {
        patches::merge(&mut value, change);
    }
    if object::at(&value, &["spec", "replicas"]).is_some_and(Value::is_string) {
        let why = "json: cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type int32";
        return Err(patches::misfit(ApiError::bad_request(why), &value.to_string()));
    }
    let answer = set(&mut state, kind, context, &stored, &value)?;
    drop(state);
    api.store.bell.notify_one();
    Ok(answer)
}

/// Apply to a scale owns `spec.replicas` of the object, under the subresource `scale`.
pub(crate) fn apply(
    api: &Api,
    kind: &Arc<Kind>,
    context: &Context,
    wanted: &Value,
    request: &Request,
) -> Result<Answer, ApiError> {
    if kind.custom.is_some() {
        // Upstream cannot do it either.
        return Err(ApiError::unclassified(format!(
            "failed to convert new object ({}/{}; autoscaling/v1, Kind=Scale) to proper version: request to convert CR to an invalid group/version: autoscaling/v1",
            context.namespace, context.name
        )));
    }
    let replicas = object::number(wanted, &["spec", "replicas"]).unwrap_or(0);
    let mut whole =
        json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": context.name}});
    object::put(&mut whole, &words(&path(kind)), replicas);
    let mut state = api.store.lock();
    find(&state, kind, context)?;
    let written = super::apply::apply_object(&mut state, kind, context, &whole, request.query.flag("force"))?;
    drop(state);
    api.store.bell.notify_one();
    Ok(Answer::ok(render::bytes(&scale(kind, &written.stored))))
}

/// Writes what a Scale wants into the object itself.
fn set(
    state: &mut State,
    kind: &Kind,
    context: &Context,
    stored: &Arc<Stored>,
    wanted: &Value,
) -> Result<Answer, ApiError> {
    let replicas = object::number(wanted, &["spec", "replicas"]).unwrap_or(0);
    if replicas < 0 && kind.custom.is_some() {
        let field = format!(".{}", path(kind).join("."));
        let cause =
            crate::answer::Cause::invalid(field, &replicas.into(), "should be a non-negative integer");
        return Err(ApiError::invalid(kind.about(&context.name), vec![cause]));
    }
    if replicas < 0 {
        let cause = crate::answer::Cause::invalid(
            "spec.replicas",
            &replicas.into(),
            "must be greater than or equal to 0",
        );
        let about = crate::answer::About {
            group: "autoscaling",
            plural: "scale",
            kind: "Scale",
            name: &context.name,
        };
        return Err(ApiError::invalid(about, vec![cause]));
    }
    let mut value = stored.value.clone();
    object::put(&mut value, &words(&path(kind)), replicas);
    // Through a Scale, fields are tracked only if somebody is known to own them already.
    let tracked = stored.managers.own(&words(&path(kind)));
    let managers = (!tracked).then(|| stored.managers.clone());
    let written = update_object(state, kind, context, stored, value, managers)?;
    Ok(Answer::ok(render::bytes(&scale(kind, &written.stored))))
}

/// Replicas that nobody owns belong to `before-first-apply` when they are first applied.
pub(crate) fn adopt(managers: &mut Managers, kind: &Kind) {
    let path = path(kind);
    if !managers.own(&words(&path)) {
        managers.adopt(&words(&path), &kind.api_version());
    }
}
