//! Plays the workload controllers, the scheduler and the kubelet.
//!
//! In: objects that changed, the clock, rules of behaviour. Out: ReplicaSets, Pods, statuses. No I/O.
//!
//! Pods become ready a moment after they are made, or fail as the rules say; what the controllers make of it
//! (conditions, reasons, messages) is worded as upstream words it.

mod behaviour;
mod daemons;
mod deployments;
mod events;
mod jobs;
mod logs;
mod others;
mod pods;
mod replicas;
mod stateful;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::context::Context;
use crate::api::delete::{DeleteOptions, delete_object};
use crate::api::write::{create_object, update_object};
use crate::clock::{self, Clock};
use crate::object;
use crate::resource::Kind;
use crate::store::{Key, State, Stored, Touched};

pub use behaviour::{Behaviour, PodFacts};
pub(crate) use logs::log;
pub(crate) use others::node;

const CONTROLLER: &str = "kube-controller-manager";
const KUBELET: &str = "kubelet";
/// The one node of a cluster.
pub(crate) const NODE: &str = "embedded-node";

/// The simulator and its rules.
#[derive(Debug)]
pub struct Workloads {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    ready_after: Duration,
    rules: Vec<behaviour::Rule>,
    /// What was played of a pod so far, by uid.
    plays: HashMap<String, pods::Play>,
    /// How many of them were alive when the others were last forgotten.
    known: usize,
    playing: bool,
}

impl Workloads {
    pub(crate) fn new(playing: bool) -> Self {
        let inner = Inner {
            ready_after: Duration::from_millis(50),
            rules: vec![behaviour::Rule::missing_images()],
            plays: HashMap::new(),
            known: 0,
            playing,
        };
        Self {
            inner: Mutex::new(inner),
        }
    }
}

impl Workloads {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long each step of a pod's start takes, in the cluster's time. 50 ms at first.
    pub fn ready_after(&self, span: Duration) {
        self.lock().ready_after = span;
    }

    /// Pods that the test picks behave so. Of several rules that meet a pod, the last one added holds; it
    /// counts for pods that are not finished yet too, the next time they are looked at.
    pub fn when(&self, picks: impl Fn(&PodFacts<'_>) -> bool + Send + Sync + 'static, behaviour: Behaviour) {
        self.lock().rules.push(behaviour::Rule::new(picks, behaviour));
    }

    /// Pods with a container of this image behave so.
    pub fn when_image(&self, image: &str, behaviour: Behaviour) {
        let image = image.to_owned();
        self.when(
            move |pod| pod.images.iter().any(|known| *known == image),
            behaviour,
        );
    }

    /// Pods of a workload, by namespace and the start of the pod's name, behave so.
    pub fn when_pod(&self, namespace: &str, prefix: &str, behaviour: Behaviour) {
        let (namespace, prefix) = (namespace.to_owned(), prefix.to_owned());
        self.when(
            move |pod| pod.namespace == namespace && pod.name.starts_with(&prefix),
            behaviour,
        );
    }

    /// Forgets all rules but the one for images whose tag is `does-not-exist`.
    pub fn reset(&self) {
        self.lock().rules.truncate(1);
    }

    /// Looks at one object; says when to look again.
    pub(crate) fn look(&self, state: &mut State, clock: &Clock, place: &Touched) -> Option<Timestamp> {
        if !self.lock().playing {
            return None;
        }
        let stage = Stage { now: clock.now() };
        let Some(stored) = state.get(&place.storage, &place.key).cloned() else {
            if &*place.storage == "/pods" {
                others::forget(self, state);
            }
            return None;
        };
        if object::is_terminating(&stored.value) {
            if &*place.storage == "/pods" {
                stage.delete(state, &place.storage, &place.key, &DeleteOptions::immediate());
            }
            return None;
        }
        let next = match &*place.storage {
            "/pods" => pods::play(self, state, &stage, &stored),
            "apps/deployments" => deployments::sync(state, &stage, &stored),
            "apps/replicasets" => replicas::sync(state, &stage, &stored),
            "apps/statefulsets" => stateful::sync(state, &stage, &stored),
            "apps/daemonsets" => daemons::sync(state, &stage, &stored),
            "batch/jobs" => jobs::sync(state, &stage, &stored),
            "/persistentvolumeclaims" => others::claim(state, &stage, &stored),
            "/services" => others::service(state, &stage, &stored),
            "policy/poddisruptionbudgets" => others::budget(state, &stage, &stored),
            _ => None,
        };
        if &*place.storage == "/pods" {
            touch_owner(state, &stored.value);
        }
        if &*place.storage == "apps/replicasets" {
            touch_owner(state, &stored.value);
        }
        next
    }
}

/// A change of a pod or ReplicaSet is a reason to look at what controls it.
fn touch_owner(state: &mut State, value: &Value) {
    let Some(owner) = controller_of(value) else { return };
    let storage = match object::text(owner, &["kind"]) {
        "ReplicaSet" => "apps/replicasets",
        "Deployment" => "apps/deployments",
        "StatefulSet" => "apps/statefulsets",
        "DaemonSet" => "apps/daemonsets",
        "Job" => "batch/jobs",
        _ => return,
    };
    let key = Key::new(object::meta(value, "namespace"), object::text(owner, &["name"]));
    if state.get(storage, &key).is_some() {
        state.touch(Touched {
            storage: storage.into(),
            key,
        });
    }
}

fn controller_of(value: &Value) -> Option<&Value> {
    let owners = object::items(value, &["metadata", "ownerReferences"]);
    owners
        .iter()
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
}

/// The time, and the ways in which controllers write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    pub(crate) now: Timestamp,
}

impl Stage {
    fn time(&self) -> String {
        clock::seconds(self.now)
    }

    fn after(&self, span: Duration) -> Timestamp {
        self.now.saturating_add(span).unwrap_or(Timestamp::MAX)
    }

    fn context(&self, manager: &str, subresource: &str, value: &Value, namespaced: bool) -> Context {
        let namespace = if namespaced {
            object::meta(value, "namespace")
        } else {
            ""
        };
        Context::internal(
            manager,
            subresource,
            namespace,
            object::meta(value, "name"),
            self.now,
        )
    }

    /// Writes a status, if it is another one than before.
    fn set_status(
        &self,
        state: &mut State,
        storage: &str,
        stored: &Arc<Stored>,
        status: Value,
        manager: &str,
    ) {
        if stored.value.get("status") == Some(&status) {
            return;
        }
        let mut value = stored.value.clone();
        object::put(&mut value, &["status"], status);
        self.update(state, storage, stored, value, manager, "status");
    }

    fn update(
        &self,
        state: &mut State,
        storage: &str,
        stored: &Arc<Stored>,
        value: Value,
        manager: &str,
        subresource: &str,
    ) {
        let Some(kind) = state.registry.stored(storage).cloned() else {
            return;
        };
        let context = self.context(manager, subresource, &stored.value, kind.namespaced);
        if let Err(error) = update_object(state, &kind, &context, stored, value, None) {
            tracing::debug!(%error, storage, "a simulated controller's update was refused");
        }
    }

    fn create(&self, state: &mut State, storage: &str, value: Value) {
        let Some(kind) = state.registry.stored(storage).cloned() else {
            return;
        };
        let context = self.context(CONTROLLER, "", &value, kind.namespaced);
        if let Err(error) = create_object(state, &kind, &context, value, None) {
            tracing::debug!(%error, storage, "a simulated controller's create was refused");
        }
    }

    fn delete(&self, state: &mut State, storage: &str, key: &Key, options: &DeleteOptions) {
        let Some(kind) = state.registry.stored(storage).cloned() else {
            return;
        };
        let context = Context::internal(CONTROLLER, "", &key.namespace, &key.name, self.now);
        if let Err(error) = delete_object(state, &kind, &context, options) {
            tracing::debug!(%error, storage, "a simulated controller's delete was refused");
        }
    }

    /// A pod made from a template for its controller. An empty `name` lets the server choose one.
    fn create_pod(
        &self,
        state: &mut State,
        owner: &Stored,
        template: &Value,
        name: &str,
        labels: &[(&str, &str)],
    ) {
        let kind = object::text(&owner.value, &["kind"]);
        let owner_name = object::meta(&owner.value, "name");
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": object::meta(&owner.value, "namespace"),
                "ownerReferences": [owner_reference(&owner.value)],
            },
            "spec": template.get("spec").cloned().unwrap_or_default(),
        });
        for field in ["labels", "annotations", "finalizers"] {
            object::copy(&mut pod, template, &["metadata", field]);
        }
        for (key, value) in labels {
            object::put(&mut pod, &["metadata", "labels", key], *value);
        }
        if name.is_empty() {
            object::put(&mut pod, &["metadata", "generateName"], format!("{owner_name}-"));
        } else {
            object::put(&mut pod, &["metadata", "name"], name);
        }
        tracing::trace!(kind, owner_name, "a simulated controller makes a pod");
        self.create(state, "/pods", pod);
    }
}

fn owner_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": object::text(owner, &["apiVersion"]), "kind": object::text(owner, &["kind"]),
        "name": object::meta(owner, "name"), "uid": object::meta(owner, "uid"),
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// What an object controls, of one kind, that is not on its way out.
fn controlled(state: &State, storage: &str, owner: &Stored) -> Vec<Arc<Stored>> {
    let uid = object::meta(&owner.value, "uid");
    let mut found: Vec<Arc<Stored>> = state
        .dependents_of(uid)
        .into_iter()
        .filter(|place| *place.storage == *storage)
        .filter_map(|place| state.get(&place.storage, &place.key).cloned())
        .filter(|stored| {
            controller_of(&stored.value).is_some_and(|owner| object::text(owner, &["uid"]) == uid)
        })
        .collect();
    found.retain(|stored| !object::is_terminating(&stored.value));
    found
}

/// Whether a condition is true.
fn is_true(value: &Value, kind: &str) -> bool {
    let conditions = object::items(value, &["status", "conditions"]);
    conditions
        .iter()
        .any(|c| object::text(c, &["type"]) == kind && object::text(c, &["status"]) == "True")
}

/// A condition that keeps its transition time while its status stays.
fn condition(known: &Value, kind: &str, status: &str, reason: &str, message: &str, now: &str) -> Value {
    let conditions = object::items(known, &["status", "conditions"]);
    let same = conditions
        .iter()
        .find(|c| object::text(c, &["type"]) == kind && object::text(c, &["status"]) == status);
    let since = same.map_or(now, |old| object::text(old, &["lastTransitionTime"]));
    let mut out = json!({"type": kind, "status": status, "lastTransitionTime": since});
    for (field, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            object::put(&mut out, &[field], text);
        }
    }
    out
}

/// A short name for a template: the same template has the same one.
fn template_hash(template: &Value) -> String {
    use sha2::{Digest, Sha256};
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let digest = Sha256::digest(template.to_string().as_bytes());
    let letters = digest
        .iter()
        .take(10)
        .map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()).copied());
    letters.flatten().map(char::from).collect()
}

fn flag(value: &Value, path: &[&str]) -> bool {
    object::at(value, path).and_then(Value::as_bool).unwrap_or(false)
}

/// An absolute number or a share of `total`.
fn share(value: Option<&Value>, total: i64, round_up: bool) -> i64 {
    match value {
        Some(Value::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let product = percent * total;
            if round_up {
                (product + 99) / 100
            } else {
                product / 100
            }
        }
        Some(other) => other.as_i64().unwrap_or(0),
        None => 0,
    }
}

/// The kind of a stored object, for events.
fn kind_of<'a>(state: &'a State, storage: &str) -> Option<&'a Arc<Kind>> {
    state.registry.stored(storage)
}
