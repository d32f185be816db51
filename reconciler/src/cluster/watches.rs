//! Shared watches: one for each kind that is owned by any Kustomization, filtered by the owner label. Does I/O.
//!
//! In: kinds to watch. Out: an [`Index`] kept true, and an [`ObjectEvent`] for each change that matters to an
//! owner: its fields changed hands, its health changed, it appeared or went. Objects are reduced and dropped
//! at once; of kinds without a status only metadata is asked for, so Secrets stay on the server.
//!
//! A kind whose definition is deleted takes its objects with it: they are gone then, and its watch begins again when
//! the kind is served again.

mod health;
mod watch;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::health::Health;
use self::watch::{Extent, Watch};
use super::{Api, Discovery, Index, Kind};
use crate::plan::{ObjectId, Owner};

/// Something about an owned object changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEvent {
    /// Who owns it, or owned it.
    pub owner: Arc<Owner>,
    /// Which object.
    pub id: ObjectId,
    /// Whether it is no longer there, or no longer labelled.
    pub gone: bool,
}

/// The set of running watches.
pub struct Watches {
    api: Api,
    discovery: Arc<Discovery>,
    index: Arc<Index>,
    events: mpsc::Sender<ObjectEvent>,
    started: Arc<Mutex<HashMap<Key, Started>>>,
    stop: CancellationToken,
}

impl Watches {
    /// No watch runs yet; events go to `events` until `stop`.
    #[must_use]
    pub fn new(
        api: Api,
        discovery: Arc<Discovery>,
        index: Arc<Index>,
        events: mpsc::Sender<ObjectEvent>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            api,
            discovery,
            index,
            events,
            started: Arc::default(),
            stop,
        }
    }

    /// The picture that the watches keep.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Starts to watch a kind, if that is not done yet.
    pub fn ensure(&self, kind: &Kind) {
        if !kind.watchable {
            return;
        }
        let key = (kind.gvk.group.clone(), kind.gvk.kind.clone());
        let mut started = self.lock();
        if started.contains_key(&key) {
            return;
        }
        let watch = Started::of(None, Subscribers::default(), &self.stop);
        started.insert(key, watch.clone());
        let (parts, kind) = (self.parts(), kind.clone());
        tokio::spawn(async move { parts.watch(&kind, Extent::Owned, &watch).await });
    }

    /// Whether the index is kept true for the objects of a kind: there is a watch, and no error came for as long as one
    /// that is still broken would be silent. What no watch shows has to be looked at.
    #[must_use]
    pub fn is_in_sync(&self, group: &str, kind: &str) -> bool {
        self.is_good(&(group.to_owned(), kind.to_owned()))
    }

    /// The same for a single object that is watched by name, which nothing else has shown: it has to be listed first.
    #[must_use]
    pub fn is_object_in_sync(&self, id: &ObjectId) -> bool {
        self.is_good(&key_of(id))
    }

    fn is_good(&self, key: &Key) -> bool {
        let started = self.lock();
        started.get(key).is_some_and(Started::is_good)
    }

    /// Ends the watches of single objects that a Kustomization wants no longer, and nobody else.
    pub fn release_objects(&self, owner: &Owner, kept: &HashSet<ObjectId>) {
        for watch in self.lock().values() {
            let is_released = watch.object.as_ref().is_some_and(|id| !kept.contains(id));
            if is_released && !watch.subscribers.remove(owner) {
                watch.stop.cancel();
            }
        }
    }

    /// Watches a single object that need not carry our label, for a Kustomization, if that is still wanted when those
    /// that are not are released.
    pub fn ensure_object(
        &self,
        kind: &Kind,
        id: &ObjectId,
        owner: &Arc<Owner>,
        is_wanted: impl FnOnce() -> bool,
    ) {
        let key = key_of(id);
        let mut started = self.lock();
        if !is_wanted() {
            return;
        }
        // One that is about to end sees that it is wanted again.
        if let Some(watch) = started.get(&key) {
            watch.subscribers.add(owner);
            return;
        }
        let watch = Started::of(Some(id.clone()), Subscribers::default(), &self.stop);
        watch.subscribers.add(owner);
        started.insert(key.clone(), watch.clone());
        tokio::spawn(self.follow_object(kind.clone(), id.clone(), key, watch));
    }

    /// Watches an object for as long as anybody wants that. What it has shown is taken out of the index here, where
    /// nothing more can be put in by it.
    fn follow_object(
        &self,
        kind: Kind,
        id: ObjectId,
        key: Key,
        mut watch: Started,
    ) -> impl Future<Output = ()> + use<> {
        let (started, all, parts) = (self.started.clone(), self.stop.clone(), self.parts());
        async move {
            loop {
                let extent = Extent::One {
                    namespace: id.namespace.clone(),
                    name: id.name.clone(),
                    subscribers: watch.subscribers.clone(),
                    told: None,
                };
                parts.watch(&kind, extent, &watch).await;
                if all.is_cancelled() {
                    return;
                }
                let mut started = started.lock().unwrap_or_else(PoisonError::into_inner);
                parts.index.remove_unowned(&id);
                if watch.subscribers.all().is_empty() {
                    started.remove(&key);
                    return;
                }
                watch = Started::of(Some(id.clone()), watch.subscribers, &all);
                started.insert(key.clone(), watch.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Started>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self) -> Parts {
        Parts {
            api: self.api.clone(),
            discovery: self.discovery.clone(),
            index: self.index.clone(),
            events: self.events.clone(),
        }
    }
}

/// What a watch works with.
struct Parts {
    api: Api,
    discovery: Arc<Discovery>,
    index: Arc<Index>,
    events: mpsc::Sender<ObjectEvent>,
}

impl Parts {
    /// Watches until that is to stop.
    async fn watch(&self, kind: &Kind, extent: Extent, Started { health, stop, .. }: &Started) {
        let watch = Watch {
            kind: kind.clone(),
            api: self.api.clone(),
            discovery: self.discovery.clone(),
            extent,
            health: health.clone(),
            index: self.index.clone(),
            events: self.events.clone(),
            seen: None,
            before_list: HashSet::new(),
            owners: HashMap::new(),
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = watch.run(self.api.client().clone()) => {}
        }
    }
}

/// Group, and kind or, of a single object, kind, namespace and name.
type Key = (String, String);

fn key_of(id: &ObjectId) -> Key {
    (
        id.group.clone(),
        format!("{}/{}/{}", id.kind, id.namespace, id.name),
    )
}

/// A watch that was started.
#[derive(Clone)]
struct Started {
    /// The single object that it is about, if it is about one.
    object: Option<ObjectId>,
    subscribers: Subscribers,
    health: Arc<Health>,
    stop: CancellationToken,
}

impl Started {
    fn of(object: Option<ObjectId>, subscribers: Subscribers, all: &CancellationToken) -> Self {
        Self {
            object,
            subscribers,
            health: Arc::default(),
            stop: all.child_token(),
        }
    }

    fn is_good(&self) -> bool {
        let has_shown = self.object.is_none() || self.health.has_listed();
        has_shown && !self.stop.is_cancelled() && self.health.is_good(Instant::now())
    }
}

/// Kustomizations that want to know of an object that is not theirs.
#[derive(Clone, Default)]
struct Subscribers(Arc<Mutex<Vec<Arc<Owner>>>>);

impl Subscribers {
    fn add(&self, owner: &Arc<Owner>) {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !owners.contains(owner) {
            owners.push(owner.clone());
        }
    }

    /// Takes one out; gives whether there are others.
    fn remove(&self, owner: &Owner) -> bool {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owners.retain(|other| **other != *owner);
        !owners.is_empty()
    }

    fn all(&self) -> Vec<Arc<Owner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::assess::reduce::Observed;
    use crate::cluster::{Fingerprint, Seen};

    /// Watches of a server that never answers.
    fn watches() -> Watches {
        let silent = axum::Router::new().fallback(std::future::pending::<()>);
        let api = Api::new(kube::Client::new(silent, "default"), 4);
        let (events, _) = mpsc::channel(8);
        Watches::new(
            api,
            Arc::default(),
            Arc::default(),
            events,
            CancellationToken::new(),
        )
    }

    fn deployment() -> (Kind, ObjectId) {
        let kind = Kind::fixed("apps/v1", "Deployment", "deployments", true);
        (kind, ObjectId::new("apps", "Deployment", "shop", "web"))
    }

    fn owner(name: &str) -> Arc<Owner> {
        Arc::new(Owner {
            namespace: "flux-system".to_owned(),
            name: name.to_owned(),
        })
    }

    fn seen() -> Seen {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"uid": "1"}});
        Seen {
            observed: Observed::reduce(&object, Timestamp::UNIX_EPOCH),
            fingerprint: Fingerprint::of(&object),
            owner: None,
        }
    }

    async fn until_gone(watches: &Watches, id: &ObjectId) {
        let gone = async {
            while watches.index.get(id).is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    }

    #[tokio::test]
    async fn an_object_that_is_watched_by_name_is_not_known_before_it_was_listed() {
        let watches = watches();
        let (kind, id) = deployment();
        watches.ensure_object(&kind, &id, &owner("app"), || true);
        assert!(!watches.is_object_in_sync(&id));
        watches.lock()[&key_of(&id)].health.listed();
        assert!(watches.is_object_in_sync(&id));
        watches.release_objects(&owner("app"), &HashSet::new());
        assert!(!watches.is_object_in_sync(&id));
    }

    #[tokio::test]
    async fn what_a_watch_shows_while_it_ends_is_taken_out_of_the_index_too() {
        let watches = watches();
        let (kind, id) = deployment();
        watches.ensure_object(&kind, &id, &owner("app"), || true);
        tokio::task::yield_now().await;
        watches.release_objects(&owner("app"), &HashSet::new());
        watches.index.put(&id, seen());
        until_gone(&watches, &id).await;
        assert!(watches.lock().is_empty());
    }

    #[tokio::test]
    async fn an_object_that_is_wanted_again_while_its_watch_ends_is_watched_anew() {
        let watches = watches();
        let (kind, id) = deployment();
        watches.ensure_object(&kind, &id, &owner("app"), || true);
        tokio::task::yield_now().await;
        watches.lock()[&key_of(&id)].health.listed();
        watches.release_objects(&owner("app"), &HashSet::new());
        watches.index.put(&id, seen());
        watches.ensure_object(&kind, &id, &owner("other"), || true);
        until_gone(&watches, &id).await;
        let started = watches.lock();
        let watch = &started[&key_of(&id)];
        assert!(!watch.stop.is_cancelled() && !watch.health.has_listed());
    }

    #[tokio::test]
    async fn an_object_that_a_forgotten_kustomization_wanted_is_not_watched() {
        let watches = watches();
        let (kind, id) = deployment();
        watches.ensure_object(&kind, &id, &owner("app"), || {
            assert!(
                watches.started.try_lock().is_err(),
                "nothing is released meanwhile"
            );
            false
        });
        assert!(watches.lock().is_empty());
    }
}
