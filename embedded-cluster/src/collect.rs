//! What follows from deletions: dependents, contents of namespaces, CRDs and their objects.
//!
//! In: an object that changed or went. Out: further changes. No I/O; runs whenever something was touched.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::context::Context;
use crate::api::delete::{DeleteOptions, delete_object};
use crate::api::write::update_object;
use crate::clock::{self, Clock};
use crate::crd;
use crate::object;
use crate::resource::{Kind, Registry};
use crate::store::{Key, State, Stored, Touched};

const COLLECTOR: &str = "kube-controller-manager";
const CRD_STORAGE: &str = "apiextensions.k8s.io/customresourcedefinitions";

/// Looks at one place: what was asked of this object, and does it still have an owner?
pub(crate) fn look(state: &mut State, clock: &Clock, place: &Touched) {
    let Some(kind) = state.registry.stored(&place.storage).cloned() else {
        return;
    };
    let Some(stored) = state.get(&place.storage, &place.key).cloned() else {
        if *place.storage == *CRD_STORAGE {
            reload(state);
        }
        return;
    };
    if &*place.storage == "/namespaces" {
        namespace(state, clock, &kind, &stored);
    } else if *place.storage == *CRD_STORAGE {
        definition(state, clock, &kind, &stored);
    }
    owners(state, clock, &kind, &stored);
    finalizers(state, clock, &kind, &stored);
}

fn context(kind: &Kind, stored: &Stored, subresource: &str, clock: &Clock) -> Context {
    let namespace = if kind.namespaced {
        object::meta(&stored.value, "namespace")
    } else {
        ""
    };
    Context::internal(
        COLLECTOR,
        subresource,
        namespace,
        object::meta(&stored.value, "name"),
        clock.now(),
    )
}

/// Deletes an object whose owners are all gone, and drops references to those that are.
fn owners(state: &mut State, clock: &Clock, kind: &Kind, stored: &Arc<Stored>) {
    let references = object::items(&stored.value, &["metadata", "ownerReferences"]);
    if references.is_empty() || object::is_terminating(&stored.value) {
        return;
    }
    let lives = |reference: &&Value| {
        let owner = state.find_uid(object::text(reference, &["uid"]));
        owner.is_some_and(|owner| !deletes_dependents(&owner.value))
    };
    let alive: Vec<Value> = references.iter().filter(lives).cloned().collect();
    if alive.len() == references.len() {
        return;
    }
    let context = context(kind, stored, "", clock);
    if alive.is_empty() {
        let options = DeleteOptions::background(object::meta(&stored.value, "uid"));
        let _gone_already = delete_object(state, kind, &context, &options);
        return;
    }
    let mut value = stored.value.clone();
    object::put(&mut value, &["metadata", "ownerReferences"], alive);
    let _changed_meanwhile = update_object(state, kind, &context, stored, value, None);
}

fn deletes_dependents(owner: &Value) -> bool {
    object::is_terminating(owner)
        && object::finalizers(owner).any(|finalizer| finalizer == "foregroundDeletion")
}

/// Carries out what the two finalizers of the garbage collector ask for.
fn finalizers(state: &mut State, clock: &Clock, kind: &Kind, stored: &Arc<Stored>) {
    if !object::is_terminating(&stored.value) {
        return;
    }
    let uid = object::meta(&stored.value, "uid").to_owned();
    let has = |name: &str| object::finalizers(&stored.value).any(|finalizer| finalizer == name);
    if has("orphan") {
        for dependent in state.dependents_of(&uid) {
            orphan(state, clock, &dependent, &uid);
        }
        drop_finalizer(state, clock, kind, stored, "orphan");
    } else if has("foregroundDeletion") {
        let mut blocked = false;
        for dependent in state.dependents_of(&uid) {
            let Some(found) = state.get(&dependent.storage, &dependent.key) else {
                continue;
            };
            blocked |= object::items(&found.value, &["metadata", "ownerReferences"])
                .iter()
                .any(|owner| {
                    object::text(owner, &["uid"]) == uid
                        && owner
                            .get("blockOwnerDeletion")
                            .and_then(Value::as_bool)
                            .unwrap_or(false)
                });
            state.touch(dependent);
        }
        if !blocked {
            drop_finalizer(state, clock, kind, stored, "foregroundDeletion");
        }
    }
}

fn orphan(state: &mut State, clock: &Clock, place: &Touched, uid: &str) {
    let Some(kind) = state.registry.stored(&place.storage).cloned() else {
        return;
    };
    let Some(stored) = state.get(&place.storage, &place.key).cloned() else {
        return;
    };
    let mut value = stored.value.clone();
    let kept: Vec<Value> = object::items(&value, &["metadata", "ownerReferences"])
        .iter()
        .filter(|owner| object::text(owner, &["uid"]) != uid)
        .cloned()
        .collect();
    object::put(&mut value, &["metadata", "ownerReferences"], kept);
    let context = context(&kind, &stored, "", clock);
    let _changed_meanwhile = update_object(state, &kind, &context, &stored, value, None);
}

/// Takes one finalizer off an object.
pub(crate) fn drop_finalizer(
    state: &mut State,
    clock: &Clock,
    kind: &Kind,
    stored: &Arc<Stored>,
    name: &str,
) {
    let mut value = stored.value.clone();
    let kept: Vec<Value> = object::finalizers(&stored.value)
        .filter(|known| *known != name)
        .map(Value::from)
        .collect();
    object::put(&mut value, &["metadata", "finalizers"], kept);
    let context = context(kind, stored, "", clock);
    let _changed_meanwhile = update_object(state, kind, &context, stored, value, None);
}

/// Empties a terminating namespace; when nothing is left, it goes.
fn namespace(state: &mut State, clock: &Clock, kind: &Kind, stored: &Arc<Stored>) {
    if !object::is_terminating(&stored.value) {
        default_account(state, clock, stored);
        return;
    }
    let name = object::meta(&stored.value, "name").to_owned();
    let registry = Arc::clone(&state.registry);
    let mut left: Vec<(Arc<Kind>, usize, Vec<String>)> = Vec::new();
    for content in registry
        .all_stored()
        .filter(|kind| kind.namespaced && !mutated!(NamespaceKeepsObjects))
    {
        let found: Vec<(Key, Arc<Stored>)> = state
            .in_namespace(&content.storage, &name)
            .map(|(key, stored)| (key.clone(), Arc::clone(stored)))
            .collect();
        for (key, found) in &found {
            let options = if content.is("", "pods") {
                DeleteOptions::immediate()
            } else {
                DeleteOptions::background(object::meta(&found.value, "uid"))
            };
            let context = Context::internal(COLLECTOR, "", &name, &key.name, clock.now());
            let _gone_already = delete_object(state, content, &context, &options);
        }
        let rest: Vec<Arc<Stored>> = state
            .in_namespace(&content.storage, &name)
            .map(|(_, stored)| Arc::clone(stored))
            .collect();
        if !rest.is_empty() {
            let waiting = rest.iter().flat_map(|stored| {
                object::finalizers(&stored.value)
                    .map(String::from)
                    .collect::<Vec<_>>()
            });
            left.push((Arc::clone(content), rest.len(), waiting.collect()));
        }
    }
    let Some(stored) = state.get(&kind.storage, &Key::new("", &name)).cloned() else {
        return;
    };
    if left.is_empty() {
        let mut value = stored.value.clone();
        object::put(&mut value, &["spec", "finalizers"], json!([]));
        let context = context(kind, &stored, "finalize", clock);
        let _changed_meanwhile = update_object(state, kind, &context, &stored, value, None);
        return;
    }
    let mut value = stored.value.clone();
    object::put(
        &mut value,
        &["status", "conditions"],
        namespace_conditions(&stored.value, &left, clock),
    );
    let context = context(kind, &stored, "status", clock);
    let _changed_meanwhile = update_object(state, kind, &context, &stored, value, None);
}

/// What keeps a namespace, in the words of the namespace controller.
fn namespace_conditions(namespace: &Value, left: &[(Arc<Kind>, usize, Vec<String>)], clock: &Clock) -> Value {
    let now = clock::seconds(clock.now());
    let content: Vec<String> = left
        .iter()
        .map(|(kind, count, _)| {
            let group = if kind.group.is_empty() {
                String::new()
            } else {
                kind.group.clone()
            };
            format!("{}.{group} has {count} resource instances", kind.plural)
        })
        .collect();
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for finalizer in left.iter().flat_map(|(_, _, finalizers)| finalizers) {
        *counts.entry(finalizer).or_default() += 1;
    }
    let finalizers: Vec<String> = counts
        .iter()
        .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"))
        .collect();
    let rows = [
        (
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered".to_owned(),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".into(),
        ),
        (
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".into(),
        ),
        (
            "NamespaceContentRemaining",
            "True",
            "SomeResourcesRemain",
            format!("Some resources are remaining: {}", content.join(", ")),
        ),
        if finalizers.is_empty() {
            (
                "NamespaceFinalizersRemaining",
                "False",
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished".into(),
            )
        } else {
            (
                "NamespaceFinalizersRemaining",
                "True",
                "SomeFinalizersRemain",
                format!(
                    "Some content in the namespace has finalizers remaining: {}",
                    finalizers.join(", ")
                ),
            )
        },
    ];
    let known = object::items(namespace, &["status", "conditions"]);
    let condition = |(kind, status, reason, message): (&str, &str, &str, String)| {
        let same = known
            .iter()
            .find(|old| object::text(old, &["type"]) == kind && object::text(old, &["status"]) == status);
        let since = same.map_or(now.as_str(), |old| object::text(old, &["lastTransitionTime"]));
        json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since})
    };
    rows.into_iter().map(condition).collect()
}

/// Every namespace has a `default` ServiceAccount and the cluster's root certificates.
fn default_account(state: &mut State, clock: &Clock, stored: &Arc<Stored>) {
    let name = object::meta(&stored.value, "name").to_owned();
    let key = Key::new(&name, "default");
    if state.get("/serviceaccounts", &key).is_some() {
        return;
    }
    let Some(kind) = state.registry.find("", "v1", "serviceaccounts").cloned() else {
        return;
    };
    let value = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let context = Context::internal(COLLECTOR, "", &name, "default", clock.now());
    let _terminating_meanwhile = crate::api::write::create_object(state, &kind, &context, value, None);
}

/// Serves a CRD, or takes it away with its objects.
fn definition(state: &mut State, clock: &Clock, kind: &Kind, stored: &Arc<Stored>) {
    let value = &stored.value;
    if object::is_terminating(value) {
        finalize_definition(state, clock, kind, stored);
        return;
    }
    let now = clock::seconds(clock.now());
    if !crd::is_established(value) {
        set_status(state, clock, kind, stored, crd::status(value, &now, false));
        return;
    }
    set_status(state, clock, kind, stored, crd::status(value, &now, true));
    reload(state);
}

/// A CRD is served a moment after its names were accepted.
pub(crate) fn establish(state: &mut State, clock: &Clock, key: &Key) {
    let Some(kind) = state.registry.stored(CRD_STORAGE).cloned() else {
        return;
    };
    let Some(stored) = state.get(CRD_STORAGE, key).cloned() else {
        return;
    };
    if object::is_terminating(&stored.value) {
        return;
    }
    let now = clock::seconds(clock.now());
    set_status(
        state,
        clock,
        &kind,
        &stored,
        crd::status(&stored.value, &now, true),
    );
    reload(state);
}

fn set_status(state: &mut State, clock: &Clock, kind: &Kind, stored: &Arc<Stored>, status: Value) {
    let mut value = stored.value.clone();
    object::put(&mut value, &["status"], status);
    let context = Context {
        manager: "kube-apiserver".into(),
        ..context(kind, stored, "status", clock)
    };
    let _changed_meanwhile = update_object(state, kind, &context, stored, value, None);
}

fn finalize_definition(state: &mut State, clock: &Clock, kind: &Kind, stored: &Arc<Stored>) {
    const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
    if !object::finalizers(&stored.value).any(|finalizer| finalizer == CLEANUP) {
        return;
    }
    let value = &stored.value;
    let storage = crate::resource::storage_name(
        object::text(value, &["spec", "group"]),
        object::text(value, &["spec", "names", "plural"]),
    );
    let Some(custom) = state.registry.stored(&storage).cloned() else {
        drop_finalizer(state, clock, kind, stored, CLEANUP);
        return;
    };
    let found: Vec<Key> = state.objects(&storage).map(|(key, _)| key.clone()).collect();
    for key in found {
        let context = Context::internal(COLLECTOR, "", &key.namespace, &key.name, clock.now());
        let _gone_already = delete_object(state, &custom, &context, &DeleteOptions::default());
    }
    if state.objects(&storage).next().is_none() {
        drop_finalizer(state, clock, kind, stored, CLEANUP);
    }
}

/// Looks again at what waits for an object to go.
pub(crate) fn after_removal(state: &mut State, place: &Touched) {
    if !place.key.namespace.is_empty() {
        let namespace = Key::new("", &place.key.namespace);
        let terminating = state
            .get("/namespaces", &namespace)
            .is_some_and(|found| object::is_terminating(&found.value));
        if terminating {
            state.touch(Touched {
                storage: "/namespaces".into(),
                key: namespace,
            });
        }
    }
    let waiting: Vec<Key> = state
        .objects(CRD_STORAGE)
        .filter(|(_, stored)| object::is_terminating(&stored.value))
        .map(|(key, _)| key.clone())
        .collect();
    for key in waiting {
        state.touch(Touched {
            storage: CRD_STORAGE.into(),
            key,
        });
    }
}

/// Serves exactly the established CRDs.
pub(crate) fn reload(state: &mut State) {
    let definitions: Vec<Arc<Stored>> = state
        .objects(CRD_STORAGE)
        .filter(|(_, stored)| crd::is_established(&stored.value))
        .map(|(_, stored)| Arc::clone(stored))
        .collect();
    let kinds: Vec<Arc<Kind>> = definitions
        .iter()
        .flat_map(|stored| crd::kinds(&stored.value))
        .collect();
    for kind in &kinds {
        let rules = kind.custom.as_ref().map_or(0, |custom| custom.cel_rules);
        if rules > 0 {
            tracing::info!(
                kind = kind.kind,
                version = kind.version,
                rules,
                "CEL rules are not evaluated here"
            );
        }
    }
    let before = std::mem::replace(&mut state.registry, Arc::new(Registry::with_custom(kinds)));
    let gone: Vec<Arc<str>> = before
        .all_stored()
        .filter(|kind| state.registry.stored(&kind.storage).is_none())
        .map(|kind| Arc::clone(&kind.storage))
        .collect();
    for storage in gone {
        state.drop_table(&storage);
    }
}
