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
use std::sync::{Arc, Mutex, PoisonError};
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
    started: Mutex<HashMap<(String, String), Started>>,
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
            started: Mutex::default(),
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
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if started.contains_key(&key) {
            return;
        }
        let watch = self.started();
        started.insert(key, watch.clone());
        self.spawn(kind, Extent::Owned, watch);
    }

    /// Whether the index is kept true for the objects of a kind: there is a watch, and no error came for as long as one
    /// that is still broken would be silent. What no watch shows has to be looked at.
    #[must_use]
    pub fn is_in_sync(&self, group: &str, kind: &str) -> bool {
        self.is_good(&(group.to_owned(), kind.to_owned()))
    }

    /// The same for a single object that is watched by name.
    #[must_use]
    pub fn is_object_in_sync(&self, id: &ObjectId) -> bool {
        self.is_good(&key_of(id))
    }

    fn is_good(&self, key: &(String, String)) -> bool {
        let started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = started.get(key);
        watch.is_some_and(|watch| watch.health.is_good(Instant::now()))
    }

    /// Ends the watches of single objects that a Kustomization wants no longer, and nobody else.
    pub fn release_objects(&self, owner: &Owner, kept: &HashSet<ObjectId>) {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.retain(|_, watch| {
            let Some(id) = watch.object.as_ref().filter(|id| !kept.contains(*id)) else {
                return true;
            };
            let is_wanted = watch.subscribers.remove(owner);
            if !is_wanted {
                watch.stop.cancel();
                self.index.remove_unowned(id);
            }
            is_wanted
        });
    }

    /// Watches a single object that need not carry our label, for a Kustomization.
    pub fn ensure_object(&self, kind: &Kind, id: &ObjectId, owner: &Arc<Owner>) {
        let key = key_of(id);
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = started.get(&key) {
            watch.subscribers.add(owner);
            return;
        }
        let watch = Started {
            object: Some(id.clone()),
            ..self.started()
        };
        watch.subscribers.add(owner);
        started.insert(key, watch.clone());
        let extent = Extent::One {
            namespace: id.namespace.clone(),
            name: id.name.clone(),
            subscribers: watch.subscribers.clone(),
            told: None,
        };
        self.spawn(kind, extent, watch);
    }

    fn started(&self) -> Started {
        Started {
            object: None,
            subscribers: Subscribers::default(),
            health: Arc::default(),
            stop: self.stop.child_token(),
        }
    }

    fn spawn(&self, kind: &Kind, extent: Extent, Started { health, stop, .. }: Started) {
        let watch = Watch {
            kind: kind.clone(),
            api: self.api.clone(),
            discovery: self.discovery.clone(),
            extent,
            health,
            index: self.index.clone(),
            events: self.events.clone(),
            seen: None,
            before_list: HashSet::new(),
            owners: HashMap::new(),
        };
        let client = self.api.client().clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = watch.run(client) => {}
            }
        });
    }
}

fn key_of(id: &ObjectId) -> (String, String) {
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
