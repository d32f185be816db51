//! DELETE of one object and of many.
//!
//! In: options, selectors. Out: objects removed or marked. No I/O. What follows (dependents, contents of a
//! namespace) is the collector's work.

use std::sync::Arc;

use serde_json::{Value, json};

use super::body::parse_options;
use super::context::Context;
use super::selector::Selector;
use super::{Answer, Api, options, prepare, render};
use crate::answer::{About, ApiError, Cause};
use crate::clock;
use crate::object;
use crate::request::Request;
use crate::resource::Kind;
use crate::store::{Key, State, Stored};
use crate::strategy::returns_deleted;

/// How and under which conditions an object is deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    uid: Option<String>,
    resource_version: Option<String>,
    propagation: Propagation,
    grace: Option<i64>,
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Propagation {
    #[default]
    Unset,
    Orphan,
    Background,
    Foreground,
}

/// What became of a deletion.
pub(crate) enum Deleted {
    /// The object is gone; this is what it was.
    Gone(Arc<Stored>),
    /// Something has to happen before it goes.
    Pending(Arc<Stored>),
}

impl DeleteOptions {
    fn read(request: &Request) -> Result<Self, ApiError> {
        let body = parse_options(request)?;
        // Options in a body are all there are.
        let in_query = |name: &str| request.query.get(name).filter(|_| request.body.is_empty());
        let text = |path: &[&str]| Some(object::text(&body, path).to_owned()).filter(|text| !text.is_empty());
        let policy = text(&["propagationPolicy"]).or_else(|| in_query("propagationPolicy").map(String::from));
        let orphan = body.get("orphanDependents").and_then(Value::as_bool);
        if let (Some(policy), Some(_)) = (&policy, orphan) {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            let cause = Cause::invalid("propagationPolicy", &policy.as_str().into(), why);
            return Err(options::refused("DeleteOptions", vec![cause]));
        }
        let propagation = match (policy.as_deref(), orphan) {
            (Some("Orphan"), _) | (None, Some(true)) => Propagation::Orphan,
            (Some("Background"), _) | (None, Some(false)) => Propagation::Background,
            (Some("Foreground"), _) => Propagation::Foreground,
            (None, None) => Propagation::Unset,
            (Some(other), _) => {
                let allowed = ["Foreground", "Background", "Orphan", "nil"];
                let cause = Cause::unsupported("propagationPolicy", &other.into(), &allowed);
                return Err(options::refused("DeleteOptions", vec![cause]));
            }
        };
        let asked = options::whole_number(request, "gracePeriodSeconds")?.filter(|_| request.body.is_empty());
        let grace = object::number(&body, &["gracePeriodSeconds"]).or(asked);
        let dry_run = object::items(&body, &["dryRun"]);
        if dry_run.iter().any(|value| value.as_str() != Some("All")) {
            let cause = Cause::unsupported("dryRun", &dry_run.into(), &["All"]);
            return Err(options::refused("DeleteOptions", vec![cause]));
        }
        Ok(Self {
            uid: text(&["preconditions", "uid"]),
            resource_version: text(&["preconditions", "resourceVersion"]),
            propagation,
            grace,
            dry_run: !dry_run.is_empty() || in_query("dryRun") == Some("All"),
        })
    }

    /// What a controller asks for.
    pub(crate) fn background(uid: &str) -> Self {
        Self {
            uid: Some(uid.into()),
            propagation: Propagation::Background,
            ..Self::default()
        }
    }

    /// A pod that leaves at once.
    pub(crate) fn immediate() -> Self {
        Self {
            grace: Some(0),
            ..Self::default()
        }
    }
}

/// DELETE of one object.
pub(crate) fn one(api: &Api, kind: &Arc<Kind>, request: &Request) -> Result<Answer, ApiError> {
    let options = DeleteOptions::read(request)?;
    let context = Context::of(request, api.clock.now())?;
    let mut state = api.store.lock();
    let deleted = delete_object(&mut state, kind, &context, &options)?;
    drop(state);
    api.store.bell.notify_one();
    Ok(match deleted {
        Deleted::Gone(stored) if !returns_deleted(kind) => Answer::ok(render::bytes(&success(kind, &stored))),
        Deleted::Gone(stored) | Deleted::Pending(stored) => Answer::object(200, &stored, kind, request),
    })
}

fn success(kind: &Kind, stored: &Stored) -> Value {
    let mut details = json!({
        "name": object::meta(&stored.value, "name"),
        "kind": kind.plural,
        "uid": object::meta(&stored.value, "uid"),
    });
    if !kind.group.is_empty() {
        object::put(&mut details, &["group"], kind.group.as_str());
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// Deletes one object, or marks it as terminating.
pub(crate) fn delete_object(
    state: &mut State,
    kind: &Kind,
    context: &Context,
    options: &DeleteOptions,
) -> Result<Deleted, ApiError> {
    let about = kind.about(&context.name);
    let by_kind = About {
        plural: &kind.kind,
        ..about
    };
    let key = Key::new(
        if kind.namespaced { &context.namespace } else { "" },
        &context.name,
    );
    let live = state
        .get(&kind.storage, &key)
        .cloned()
        .ok_or_else(|| ApiError::not_found(about))?;
    let (uid, version) = (
        object::meta(&live.value, "uid"),
        object::meta(&live.value, "resourceVersion"),
    );
    let other_uid = options.uid.as_deref().filter(|wanted| *wanted != uid);
    if let Some(wanted) = other_uid.filter(|_| !mutated!(DeletePreconditionIgnored)) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        );
        return Err(ApiError::conflict(by_kind, &why));
    }
    if let Some(wanted) = options
        .resource_version
        .as_deref()
        .filter(|wanted| *wanted != version)
    {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
        );
        return Err(ApiError::conflict(by_kind, &why));
    }
    if kind.is("", "namespaces") && matches!(context.name.as_str(), "default" | "kube-system" | "kube-public")
    {
        return Err(ApiError::forbidden(about, "this namespace may not be deleted"));
    }
    let mut value = live.value.clone();
    set_propagation_finalizers(&mut value, options.propagation);
    if kind.is("apiextensions.k8s.io", "customresourcedefinitions") && !object::is_terminating(&value) {
        add_finalizer(&mut value, "customresourcecleanup.apiextensions.k8s.io");
    }
    let grace = grace_seconds(kind, &live.value, options);
    let holds = (object::finalizers(&value).next().is_some() && !mutated!(FinalizerIgnored))
        || grace > 0
        || (kind.is("", "namespaces") && !object::items(&value, &["spec", "finalizers"]).is_empty());
    if !holds {
        let last = if kind.is("", "pods") {
            stopped(state, kind, context, &live, options.dry_run)
        } else {
            live
        };
        if !options.dry_run {
            state.remove(kind, &key);
        }
        return Ok(Deleted::Gone(last));
    }
    mark(&mut value, kind, context, grace);
    if value == live.value {
        return Ok(Deleted::Pending(live));
    }
    if !kind.is("apiextensions.k8s.io", "customresourcedefinitions") {
        prepare::generation(&mut value, &live.value, kind, "");
    }
    let managers = live.managers.clone();
    if options.dry_run {
        return Ok(Deleted::Pending(Arc::new(Stored {
            value,
            managers,
            revision: live.revision,
        })));
    }
    Ok(Deleted::Pending(state.put(kind, key, value, managers)))
}

/// A pod is given its last grace, of no time, before it goes.
fn stopped(
    state: &mut State,
    kind: &Kind,
    context: &Context,
    live: &Arc<Stored>,
    dry_run: bool,
) -> Arc<Stored> {
    let mut value = live.value.clone();
    mark(&mut value, kind, context, 0);
    prepare::generation(&mut value, &live.value, kind, "");
    let managers = live.managers.clone();
    if dry_run {
        return Arc::new(Stored {
            value,
            managers,
            revision: live.revision,
        });
    }
    state.put(kind, live.key(), value, managers)
}

fn mark(value: &mut Value, kind: &Kind, context: &Context, grace: i64) {
    let left = object::number(value, &["metadata", "deletionGracePeriodSeconds"]);
    let is_shorter = left.is_some_and(|left| grace < left);
    if !object::is_terminating(value) || is_shorter {
        let moment = context
            .now
            .saturating_add(std::time::Duration::from_secs(grace.unsigned_abs()));
        let meta = object::meta_mut(value);
        meta.insert(
            "deletionTimestamp".into(),
            clock::seconds(moment.unwrap_or(context.now)).into(),
        );
        meta.insert("deletionGracePeriodSeconds".into(), grace.into());
    }
    if kind.is("apiextensions.k8s.io", "customresourcedefinitions") {
        object::meta_mut(value).remove("deletionGracePeriodSeconds");
        crate::crd::mark_terminating(value, &clock::seconds(context.now));
    }
    if kind.is("", "namespaces") {
        object::put(value, &["status", "phase"], "Terminating");
        object::meta_mut(value).remove("deletionGracePeriodSeconds");
    }
}

/// A pod on a node is given time to stop; everything else goes at once.
fn grace_seconds(kind: &Kind, live: &Value, options: &DeleteOptions) -> i64 {
    let finished = matches!(object::text(live, &["status", "phase"]), "Succeeded" | "Failed");
    if !kind.is("", "pods") || object::text(live, &["spec", "nodeName"]).is_empty() || finished {
        return 0;
    }
    let own = object::number(live, &["spec", "terminationGracePeriodSeconds"]).unwrap_or(30);
    options.grace.unwrap_or(own).max(0)
}

fn set_propagation_finalizers(value: &mut Value, propagation: Propagation) {
    if propagation == Propagation::Unset {
        return;
    }
    let mut finalizers: Vec<Value> = object::items(value, &["metadata", "finalizers"])
        .iter()
        .filter(|finalizer| !matches!(finalizer.as_str(), Some("orphan" | "foregroundDeletion")))
        .cloned()
        .collect();
    match propagation {
        Propagation::Orphan => finalizers.push("orphan".into()),
        Propagation::Foreground => finalizers.push("foregroundDeletion".into()),
        Propagation::Background | Propagation::Unset => {}
    }
    if finalizers.is_empty() {
        object::take(value, &["metadata", "finalizers"]);
    } else {
        object::put(value, &["metadata", "finalizers"], finalizers);
    }
}

fn add_finalizer(value: &mut Value, name: &str) {
    let mut finalizers = object::items(value, &["metadata", "finalizers"]).to_vec();
    if !finalizers.iter().any(|known| known.as_str() == Some(name)) {
        finalizers.push(name.into());
        object::put(value, &["metadata", "finalizers"], finalizers);
    }
}

/// DELETE of a collection.
pub(crate) fn many(api: &Api, kind: &Arc<Kind>, request: &Request) -> Result<Answer, ApiError> {
    let options = DeleteOptions::read(request)?;
    let selector = Selector::parse(
        kind,
        request.query.get("labelSelector"),
        request.query.get("fieldSelector"),
    )?;
    let context = Context::of(request, api.clock.now())?;
    let mut state = api.store.lock();
    let namespace = if kind.namespaced {
        context.namespace.as_str()
    } else {
        ""
    };
    let found: Vec<(Key, Arc<Stored>)> = state
        .in_namespace(&kind.storage, namespace)
        .filter(|(_, stored)| selector.matches(&stored.value))
        .map(|(key, stored)| (key.clone(), Arc::clone(stored)))
        .collect();
    let mut touched = Vec::with_capacity(found.len());
    for (key, _) in found {
        let context = Context {
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            ..context.clone()
        };
        touched.push(match delete_object(&mut state, kind, &context, &options)? {
            Deleted::Gone(stored) | Deleted::Pending(stored) => stored,
        });
    }
    let meta = render::ListMeta {
        revision: state.revision,
        next: None,
        remaining: None,
    };
    drop(state);
    api.store.bell.notify_one();
    let items: Vec<&Stored> = touched.iter().map(|stored| &**stored).collect();
    Ok(Answer::ok(render::list(kind, &items, &meta, request.form)))
}
