//! Create and update, and the commit that all writes share.
//!
//! In: bodies. Out: stored objects. No I/O. The order of the steps is that of k8s.io/apiserver's
//! `registry.Store`: defaults, owners, strategy, validation, storage.

use std::sync::Arc;

use serde_json::{Value, json};

use super::body::{Body, Notes, check_type, parse_body};
use super::context::Context;
use super::options::Validation;
use super::{Answer, Api, complaints, prepare, render};
use crate::answer::ApiError;
use crate::apply::{self, Manager, Managers, same};
use crate::object;
use crate::request::Request;
use crate::resource::Kind;
use crate::schema::{builtin, defaulting, drop_unknown, from_json, json_kind};
use crate::store::{Key, State, Stored};
use crate::{convert, defaults, strategy, validate};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// What became of a write.
pub(crate) struct Written {
    pub(crate) stored: Arc<Stored>,
    pub(crate) created: bool,
}

/// POST
pub(crate) fn create(api: &Api, kind: &Arc<Kind>, request: &Request) -> Result<Answer, ApiError> {
    let context = Context::of(request, api.clock.now())?;
    if !matches!(
        context.subresource.as_str(),
        "" | "binding" | "eviction" | "token"
    ) {
        return Err(super::read::not_played(
            api,
            kind,
            &request.target,
            &context.subresource,
        ));
    }
    let Body { mut value, notes } = parse_body(request, kind)?;
    if !context.subresource.is_empty() {
        return super::scale::create(api, kind, &context, &value);
    }
    check_type(&value, kind)?;
    if let Some(review) = review(kind, &value) {
        return Ok(Answer::Body {
            code: 201,
            body: render::bytes(&review),
            warnings: Vec::new(),
        });
    }
    let warnings = decode(&mut value, &notes, kind, context.validation)?;
    let mut state = api.store.lock();
    let target = stored_kind(&state, kind, &mut value);
    let stored = create_object(&mut state, &target, &context, value, None)?;
    drop(state);
    api.store.bell.notify_one();
    Ok(with_warnings(
        Answer::object(201, &stored, kind, request),
        warnings,
    ))
}

/// PUT
pub(crate) fn update(api: &Api, kind: &Arc<Kind>, request: &Request) -> Result<Answer, ApiError> {
    let context = Context::of(request, api.clock.now())?;
    let Body { mut value, notes } = parse_body(request, kind)?;
    if context.subresource == "scale" {
        return super::scale::update(api, kind, &context, &value);
    }
    check_type(&value, kind)?;
    let warnings = decode(&mut value, &notes, kind, context.validation)?;
    check_name(&value, &context)?;
    prepare::namespace(&mut value, kind, &context.namespace)?;
    let mut state = api.store.lock();
    let target = stored_kind(&state, kind, &mut value);
    let key = Key::new(&context.namespace, &context.name);
    let live = state.get(&kind.storage, &key).cloned();
    let written = match live {
        Some(live) => update_object(&mut state, &target, &context, &live, value, None)?,
        None if strategy::allows_create_on_update(kind) => Written {
            stored: create_object(&mut state, &target, &context, value, None)?,
            created: true,
        },
        None => return Err(ApiError::not_found(kind.about(&context.name))),
    };
    drop(state);
    api.store.bell.notify_one();
    let code = if written.created { 201 } else { 200 };
    Ok(with_warnings(
        Answer::object(code, &written.stored, kind, request),
        warnings,
    ))
}

/// Refuses an object that has another name than its path, or none.
pub(crate) fn check_name(value: &Value, context: &Context) -> Result<(), ApiError> {
    let name = object::meta(value, "name");
    if name.is_empty() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            context.name
        )));
    }
    if name != context.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            context.name
        )));
    }
    Ok(())
}

/// The kind under which an object is stored; the object is brought into its shape.
pub(crate) fn stored_kind(state: &State, kind: &Arc<Kind>, value: &mut Value) -> Arc<Kind> {
    if !convert::is_needed(kind) {
        return Arc::clone(kind);
    }
    convert::to_stored(value, kind);
    state
        .registry
        .stored(&kind.storage)
        .map_or_else(|| Arc::clone(kind), Arc::clone)
}

pub(crate) fn with_warnings(answer: Answer, more: Vec<String>) -> Answer {
    match answer {
        Answer::Body {
            code,
            body,
            mut warnings,
        } => {
            warnings.extend(more);
            Answer::Body { code, body, warnings }
        }
        other => other,
    }
}

/// Reviews are answered, not stored: nobody is refused anything here.
fn review(kind: &Kind, value: &Value) -> Option<Value> {
    let status = match (kind.group.as_str(), kind.kind.as_str()) {
        ("authorization.k8s.io", "SelfSubjectRulesReview") => {
            let all = json!(["*"]);
            json!({
                "incomplete": false,
                "nonResourceRules": [{"nonResourceURLs": all, "verbs": all}],
                "resourceRules": [{"apiGroups": all, "resources": all, "verbs": all}],
            })
        }
        ("authorization.k8s.io", _) => {
            json!({"allowed": true})
        }
        ("authentication.k8s.io", "SelfSubjectReview") => {
            json!({"userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]}})
        }
        ("authentication.k8s.io", _) => json!({"authenticated": true, "user": {"username": "admin"}}),
        _ => return None,
    };
    let mut out = value.clone();
    object::put(&mut out, &["apiVersion"], kind.api_version());
    object::put(&mut out, &["kind"], kind.kind.as_str());
    object::put(&mut out, &["status"], status);
    Some(out)
}

/// What decoding does to a body: unknown fields are refused, warned of or dropped; wrong types are refused.
pub(crate) fn decode(
    value: &mut Value,
    notes: &Notes,
    kind: &Kind,
    validation: Validation,
) -> Result<Vec<String>, ApiError> {
    let of = kind.root.view();
    let refusal = |what: &str| {
        let name = &kind.kind;
        ApiError::bad_request(format!(
            "{name} in version {:?} cannot be handled as a {name}: {what}",
            kind.version
        ))
    };
    if kind.custom.is_some()
        && let Some(why) = metadata_problem(value)
    {
        return Err(refusal(&why));
    }
    if kind.custom.as_ref().is_some_and(|custom| custom.preserve_unknown) {
        return Ok(Vec::new());
    }
    let complaints = match validation {
        Validation::Ignore => Vec::new(),
        Validation::Warn | Validation::Strict => complaints::of(value, notes, kind),
    };
    if validation == Validation::Strict && !complaints.is_empty() {
        let joined = complaints::joined(&complaints, notes);
        return Err(refusal(&format!("strict decoding error: {joined}")));
    }
    if kind.custom.is_none() || !mutated!(PruningForgotten) {
        drop_unknown(value, of);
    }
    if kind.custom.is_some() {
        defaulting::drop_nulls(value, of);
    }
    if kind.custom.is_none()
        && let Some(found) = from_json(value, of)
    {
        return Err(refusal(&found));
    }
    if mutated!(WarningLost) {
        return Ok(Vec::new());
    }
    Ok(complaints)
}

/// Why the metadata of a custom object cannot be read; the rest of it is for its schema to say.
fn metadata_problem(value: &Value) -> Option<String> {
    let metadata = value.get("metadata")?;
    if !matches!(metadata, Value::Null | Value::Object(_)) {
        let got = json_kind(metadata);
        return Some(format!(
            "json: cannot unmarshal {got} into Go value of type v1.ObjectMeta"
        ));
    }
    from_json(metadata, builtin(OBJECT_META)?.view())
}

/// Takes `managedFields` out of an object that a client sent.
fn take_managers(value: &mut Value, live: Option<&Managers>, subresource: &str) -> Managers {
    let sent = object::take(value, &["metadata", "managedFields"]);
    let live = || live.cloned().unwrap_or_default();
    let Some(sent) = sent.filter(|sent| !sent.is_null() && subresource.is_empty()) else {
        return live();
    };
    if Managers::is_reset(&sent) {
        return Managers::default();
    }
    Managers::decode(&sent)
        .filter(|managers| !managers.entries.is_empty())
        .unwrap_or_else(live)
}

/// Creates an object; `managers` are given by an apply, and otherwise found here.
pub(crate) fn create_object(
    state: &mut State,
    kind: &Kind,
    context: &Context,
    mut value: Value,
    managers: Option<Managers>,
) -> Result<Arc<Stored>, ApiError> {
    prepare::namespace(&mut value, kind, &context.namespace)?;
    // A dry run does not come to where upstream looks.
    if !context.dry_run && !object::meta(&value, "resourceVersion").is_empty() {
        return Err(ApiError::unclassified(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let generated = prepare::generate_name(&mut value, context, state);
    let sent = take_managers(&mut value, None, "");
    prepare::for_create(&mut value, kind, context, state);
    let name = object::meta(&value, "name").to_owned();
    let about = kind.about(&name);
    prepare::check_namespace(state, kind, &context.namespace, &name)?;
    let priority = prepare::priority(&value, kind, state)?;
    defaults::prepare(&mut value, kind);
    defaults::set(&mut value, kind);
    let managers = managers.unwrap_or_else(|| {
        let version = kind.api_version();
        let who = manager(context, kind, &version);
        apply::update(None, &value, sent, who, kind.root.view())
    });
    // What the server decides on its own is nobody's.
    if let Some(priority) = priority {
        object::put(&mut value, &["spec", "priority"], priority);
    }
    defaults::on_create(&mut value, kind, state);
    defaults::settle(&mut value, kind);
    let causes = validate::create(&value, kind);
    if !causes.is_empty() {
        return Err(ApiError::invalid(about, causes));
    }
    let key = Key::new(if kind.namespaced { &context.namespace } else { "" }, &name);
    if let Some(found) = state.get(&kind.storage, &key) {
        if object::is_terminating(&found.value) {
            let error = ApiError::already_exists(about);
            return Err(ApiError {
                message: format!("object is being deleted: {}", error.message),
                ..error
            });
        }
        if generated {
            let why = "the server was not able to generate a unique name for the object";
            return Err(ApiError::conflict(about, why));
        }
        return Err(ApiError::already_exists(about));
    }
    if context.dry_run && !mutated!(DryRunPersists) {
        return Ok(Arc::new(Stored {
            value,
            managers,
            revision: 0,
        }));
    }
    Ok(state.put(kind, key, value, managers))
}

/// Creates an object together with its status, which requests cannot do.
pub(crate) fn create_with_status(
    state: &mut State,
    kind: &Kind,
    context: &Context,
    value: Value,
) -> Result<(), ApiError> {
    let status = value.get("status").cloned().unwrap_or_default();
    let stored = create_object(state, kind, context, value, None)?;
    let mut value = stored.value.clone();
    object::put(&mut value, &["status"], status);
    let context = Context {
        subresource: "status".into(),
        ..context.clone()
    };
    update_object(state, kind, &context, &stored, value, None).map(|_| ())
}

pub(crate) fn manager<'a>(context: &'a Context, kind: &'a Kind, version: &'a str) -> Manager<'a> {
    Manager {
        name: &context.manager,
        version,
        subresource: &context.subresource,
        reset: kind.resets(&context.subresource),
        now: context.now,
    }
}

/// Updates an object. The new value is whole; `managers` are given by an apply, and otherwise found here.
pub(crate) fn update_object(
    state: &mut State,
    kind: &Kind,
    context: &Context,
    live: &Arc<Stored>,
    mut value: Value,
    managers: Option<Managers>,
) -> Result<Written, ApiError> {
    let about = kind.about(&context.name);
    prepare::namespace(&mut value, kind, &context.namespace)?;
    check_preconditions(&value, live, kind, context)?;
    let sent = take_managers(&mut value, Some(&live.managers), &context.subresource);
    defaults::set(&mut value, kind);
    prepare::for_update(&mut value, &live.value, kind, &context.subresource);
    defaults::on_update(&mut value, &live.value, kind);
    let managers = managers.unwrap_or_else(|| {
        let version = kind.api_version();
        let who = manager(context, kind, &version);
        apply::update(Some(&live.value), &value, sent, who, kind.root.view())
    });
    // What the server decides on its own is nobody's.
    defaults::after_update(&mut value, &live.value, kind, state);
    defaults::settle(&mut value, kind);
    prepare::generation(&mut value, &live.value, kind, &context.subresource);
    let causes = validate::update(&value, &live.value, kind, &context.subresource);
    if !causes.is_empty() {
        return Err(ApiError::invalid(about, causes));
    }
    let unchanged = same(&value, &live.value) && managers.same_but_time(&live.managers);
    if unchanged && !mutated!(NoOpWritten) {
        return Ok(Written {
            stored: Arc::clone(live),
            created: false,
        });
    }
    if context.dry_run {
        return Ok(Written {
            stored: Arc::new(Stored {
                value,
                managers,
                revision: live.revision,
            }),
            created: false,
        });
    }
    let key = Key::new(
        if kind.namespaced { &context.namespace } else { "" },
        &context.name,
    );
    let gone =
        object::is_terminating(&value) && object::finalizers(&value).next().is_none() && !waits(kind, &value);
    if gone {
        // Nothing is written before the deletion: it is told with the object as it was, and answered with the new one.
        state.remove(kind, &key);
        let stored = Arc::new(Stored {
            value,
            managers,
            revision: live.revision,
        });
        return Ok(Written {
            stored,
            created: false,
        });
    }
    let stored = state.put(kind, key, value, managers);
    Ok(Written {
        stored,
        created: false,
    })
}

/// Objects that are removed by somebody else than the writer that takes the last finalizer away.
fn waits(kind: &Kind, value: &Value) -> bool {
    let namespace = kind.is("", "namespaces") && !object::items(value, &["spec", "finalizers"]).is_empty();
    namespace || object::number(value, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) > 0
}

/// uid and resourceVersion in a body are preconditions.
fn check_preconditions(value: &Value, live: &Stored, kind: &Kind, context: &Context) -> Result<(), ApiError> {
    let about = kind.about(&context.name);
    let (uid, live_uid) = (object::meta(value, "uid"), object::meta(&live.value, "uid"));
    if !uid.is_empty() && uid != live_uid {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{}{}{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {live_uid}",
            kind.plural,
            context.namespace,
            if kind.namespaced { "/" } else { "" },
            context.name,
        );
        return Err(ApiError::conflict(about, &why));
    }
    let version = object::meta(value, "resourceVersion");
    if !version.is_empty() && version.parse::<u64>().is_err() {
        return Err(ApiError::unclassified(format!(
            "strconv.ParseUint: parsing {version:?}: invalid syntax"
        )));
    }
    if version.is_empty() || version == "0" {
        if strategy::allows_unconditional_update(kind) {
            return Ok(());
        }
        let cause = crate::answer::Cause::invalid(
            "metadata.resourceVersion",
            &json!(0),
            "must be specified for an update",
        );
        return Err(ApiError::invalid(
            crate::answer::About {
                kind: &kind.plural,
                ..about
            },
            vec![cause],
        ));
    }
    if version != object::meta(&live.value, "resourceVersion") && !mutated!(VersionUnchecked) {
        return Err(ApiError::stale(about));
    }
    Ok(())
}
