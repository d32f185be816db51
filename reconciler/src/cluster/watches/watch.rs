//! One watch: what it shows goes into the index, and what matters of it to the owners. Does I/O.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use kube::api::{Api as KubeApi, ApiResource, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use serde_json::Value;
use tokio::sync::mpsc;

use super::super::{Api, Discovery, Fingerprint, Index, Kind, Seen};
use super::health::Health;
use super::{ObjectEvent, Subscribers};
use crate::api::{OWNER_NAME, OWNER_NAMESPACE};
use crate::assess::reduce::Observed;
use crate::plan::{Gvk, ObjectId, Owner};

/// Objects that are listed at once: bounds memory while a watch starts.
const PAGE: u32 = 50;
/// Pauses before a kind that is served again is watched again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// When a watch that is not allowed is tried again: soon, since a server that has just started knows no roles for a
/// moment, and then when rights may have changed. In seconds; the last one goes on.
const AFTER_REFUSAL: [u64; 4] = [1, 5, 60, 300];

/// What of a kind is watched.
pub(super) enum Extent {
    /// All that carries our label.
    Owned,
    /// One object, whoever owns it.
    One {
        namespace: String,
        name: String,
        subscribers: Subscribers,
        /// What they were told last: others keep the index as well, so that it may show it before this watch does.
        told: Option<Seen>,
    },
}

/// A watch of a kind, or of one object of it.
pub(super) struct Watch {
    pub(super) kind: Kind,
    pub(super) api: Api,
    pub(super) discovery: Arc<Discovery>,
    pub(super) extent: Extent,
    pub(super) health: Arc<Health>,
    pub(super) index: Arc<Index>,
    pub(super) events: mpsc::Sender<ObjectEvent>,
    /// Ids that a list under way has shown.
    pub(super) seen: Option<HashSet<ObjectId>>,
    /// Ids of the kind that were known before that list.
    pub(super) before_list: HashSet<Arc<ObjectId>>,
    /// One allocation for each owner, however many objects it has.
    pub(super) owners: HashMap<Owner, Arc<Owner>>,
}

impl Watch {
    /// Follows the kind for ever, also when it is not served for a while.
    pub(super) async fn run(mut self, client: kube::Client) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            self.follow(client.clone()).await;
            tracing::info!(kind = %self.kind.gvk, "the kind is not served any more; it is watched again when it is");
            self.discovery.forget(&self.kind.gvk);
            self.all_gone().await;
            self.kind = self.discovery.served(&self.kind.gvk).await;
            // The server may say that it serves what it does not.
            if began.elapsed() > LAST_PAUSE {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Follows the kind for as long as it is served.
    async fn follow(&mut self, client: kube::Client) {
        let gvk = &self.kind.gvk;
        let resource = ApiResource {
            group: gvk.group.clone(),
            version: gvk.version.clone(),
            api_version: gvk.api_version(),
            kind: gvk.kind.clone(),
            plural: self.kind.plural.clone(),
        };
        let config = watcher::Config::default().page_size(PAGE);
        let (config, namespace) = match &self.extent {
            Extent::Owned => (config.labels(OWNER_NAME), None),
            Extent::One { namespace, name, .. } => (
                config.fields(&format!("metadata.name={name}")),
                Some(namespace.clone()).filter(|n| !n.is_empty()),
            ),
        };
        let named_kind = gvk.clone();
        if self.kind.has_status() {
            let objects = match &namespace {
                Some(namespace) => KubeApi::<DynamicObject>::namespaced_with(client, namespace, &resource),
                None => KubeApi::<DynamicObject>::all_with(client, &resource),
            };
            let stream = watcher::watcher(objects, config)
                .default_backoff()
                .map_ok(move |event| map(event, |object| named(&object, &named_kind)));
            self.drive(stream.boxed()).await;
        } else {
            let objects = match &namespace {
                Some(namespace) => {
                    KubeApi::<PartialObjectMeta<DynamicObject>>::namespaced_with(client, namespace, &resource)
                }
                None => KubeApi::<PartialObjectMeta<DynamicObject>>::all_with(client, &resource),
            };
            let stream = watcher::watcher(objects, config)
                .default_backoff()
                .map_ok(move |event| map(event, |object| named(&object, &named_kind)));
            self.drive(stream.boxed()).await;
        }
    }

    async fn drive(
        &mut self,
        mut stream: futures::stream::BoxStream<'static, watcher::Result<Event<Value>>>,
    ) {
        let mut refusals = 0;
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => {
                    // That a list begins says nothing yet.
                    if !matches!(event, Event::Init) {
                        refusals = 0;
                    }
                    self.take(event).await;
                }
                Err(error) if is_unserved(&error) => return,
                Err(error) if forbidden(&error).is_some() => {
                    if self.health.forbidden() {
                        tracing::info!(
                            kind = %self.kind.gvk, why = forbidden(&error),
                            "objects of this kind may not be watched: they are compared at each interval"
                        );
                    }
                    let last = AFTER_REFUSAL.len() - 1;
                    tokio::time::sleep(Duration::from_secs(AFTER_REFUSAL[refusals.min(last)])).await;
                    refusals += 1;
                }
                Err(error) => {
                    if self.health.failed(Instant::now()) {
                        tracing::warn!(kind = %self.kind.gvk, error = %error, "watch broke and is opened again");
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn take(&mut self, event: Event<Value>) {
        match event {
            Event::Init => {
                self.seen = Some(HashSet::new());
                let known = self.index.ids_of_kind(&self.kind.gvk.group, &self.kind.gvk.kind);
                self.before_list = known.into_iter().collect();
            }
            Event::InitApply(object) => {
                let id = self.id(&object);
                self.applied(&id, &object).await;
                if let Some(seen) = &mut self.seen {
                    seen.insert(id);
                }
            }
            Event::InitDone => {
                self.forget_absent().await;
                self.health.listed();
            }
            Event::Apply(object) => {
                self.health.listed();
                self.applied(&self.id(&object), &object).await;
            }
            Event::Delete(object) => self.gone(&self.id(&object)).await,
        }
    }

    fn id(&self, object: &Value) -> ObjectId {
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        ObjectId {
            namespace: text("namespace"),
            name: text("name"),
            group: self.kind.gvk.group.clone(),
            kind: self.kind.gvk.kind.clone(),
        }
    }

    async fn applied(&mut self, id: &ObjectId, object: &Value) {
        let owner = self.owner(object);
        let seen = Seen {
            observed: Observed::reduce(object, Timestamp::now()),
            fingerprint: Fingerprint::of(object),
            owner: owner.clone(),
        };
        let before = self.index.put(id, seen.clone());
        if let Some(old) = &before
            && let Some(old_owner) = &old.owner
            && Some(old_owner) != owner.as_ref()
        {
            self.send(old_owner.clone(), id, true).await;
        }
        self.tell_subscribers(id, Some(&seen)).await;
        if before.is_some_and(|old| !differs(&old, &seen)) {
            return;
        }
        if let Some(owner) = owner {
            self.send(owner, id, false).await;
        }
    }

    async fn tell_subscribers(&mut self, id: &ObjectId, seen: Option<&Seen>) {
        let Extent::One {
            subscribers, told, ..
        } = &mut self.extent
        else {
            return;
        };
        let before = std::mem::replace(told, seen.cloned());
        if before
            .zip(seen)
            .is_some_and(|(before, seen)| !differs(&before, seen))
        {
            return;
        }
        for owner in subscribers.all() {
            self.send(owner, id, seen.is_none()).await;
        }
    }

    async fn gone(&mut self, id: &ObjectId) {
        let before = self.index.remove(id);
        self.tell_subscribers(id, None).await;
        if let Some(owner) = before.and_then(|before| before.owner) {
            self.send(owner, id, true).await;
        }
    }

    async fn forget_absent(&mut self) {
        let Some(seen) = self.seen.take() else { return };
        for id in self.index.ids_of_kind(&self.kind.gvk.group, &self.kind.gvk.kind) {
            if seen.contains(&*id) || !self.covers(&id) {
                continue;
            }
            // What a run wrote since the list was asked for may not be in it.
            let listed_too_early = !self.before_list.contains(&id) && self.is_there(&id).await;
            if !listed_too_early {
                self.gone(&id).await;
            }
        }
    }

    async fn all_gone(&mut self) {
        self.seen = None;
        for id in self.index.ids_of_kind(&self.kind.gvk.group, &self.kind.gvk.kind) {
            if self.covers(&id) {
                self.gone(&id).await;
            }
        }
    }

    /// Asked as a list, which is what a watch is allowed.
    async fn is_there(&self, id: &ObjectId) -> bool {
        let collection = self.kind.collection(&id.namespace);
        let path = format!("{collection}?fieldSelector=metadata.name%3D{}", id.name);
        let list = self.api.raw(&path, super::super::api::PARTIAL_LIST).await;
        list.is_ok_and(|list| list["items"].as_array().is_some_and(|items| !items.is_empty()))
    }

    /// Whether an object is one that this watch would show: others are in the index by watches of their own.
    fn covers(&self, id: &ObjectId) -> bool {
        match &self.extent {
            Extent::Owned => self.index.get(id).is_some_and(|seen| seen.owner.is_some()),
            Extent::One { namespace, name, .. } => id.namespace == *namespace && id.name == *name,
        }
    }

    async fn send(&self, owner: Arc<Owner>, id: &ObjectId, gone: bool) {
        // The receiver ends only when the controller does.
        let _ = self
            .events
            .send(ObjectEvent {
                owner,
                id: id.clone(),
                gone,
            })
            .await;
    }

    fn owner(&mut self, object: &Value) -> Option<Arc<Owner>> {
        let labels = &object["metadata"]["labels"];
        let owner = Owner {
            namespace: labels[OWNER_NAMESPACE].as_str()?.to_owned(),
            name: labels[OWNER_NAME].as_str()?.to_owned(),
        };
        Some(
            self.owners
                .entry(owner.clone())
                .or_insert_with(|| Arc::new(owner))
                .clone(),
        )
    }
}

/// What the server says when the account lacks the right to watch: with `--tenant-only` it has it for common kinds only.
fn forbidden(error: &watcher::Error) -> Option<&str> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 403 =>
        {
            Some(&status.message)
        }
        _ => None,
    }
}

/// Whether there is no such collection; a namespace that does not exist answers an empty list.
fn is_unserved(error: &watcher::Error) -> bool {
    has_code(error, 404)
}

fn has_code(error: &watcher::Error, code: u16) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code == code,
        _ => false,
    }
}

/// Whether a change is of interest: not a new resourceVersion alone.
fn differs(old: &Seen, new: &Seen) -> bool {
    let health = |seen: &Seen| {
        let o = &seen.observed;
        (o.uid.clone(), o.generation, o.kind, o.deleting, o.message.clone())
    };
    old.fingerprint != new.fingerprint || health(old) != health(new)
}

/// An object with its kind, which the items of a list do not carry, and without which its health is that of any
/// object.
fn named(object: &impl serde::Serialize, gvk: &Gvk) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = gvk.api_version().into();
    value["kind"] = gvk.kind.as_str().into();
    value
}

fn map<T>(event: Event<T>, f: impl FnOnce(T) -> Value) -> Event<Value> {
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(f(object)),
        Event::Apply(object) => Event::Apply(f(object)),
        Event::Delete(object) => Event::Delete(f(object)),
    }
}
