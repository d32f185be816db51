//! What is live, reduced to what is needed: shared by all watches and runs. No I/O.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::assess::reduce::Observed;
use crate::plan::{ObjectId, Owner};

use super::Fingerprint;

/// What was last seen of one object.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Health and versions.
    pub observed: Observed,
    /// Our ownership of its fields.
    pub fingerprint: Fingerprint,
    /// The Kustomization that its labels name.
    pub owner: Option<Arc<Owner>>,
}

/// Objects by identity.
#[derive(Default)]
pub struct Index {
    objects: Mutex<HashMap<Arc<ObjectId>, Seen>>,
    changes: tokio::sync::Notify,
}

impl Index {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<ObjectId>, Seen>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was last seen of an object.
    #[must_use]
    pub fn get(&self, id: &ObjectId) -> Option<Seen> {
        self.lock().get(id).cloned()
    }

    /// The id as the index holds it: whoever keeps ids for long shares its memory.
    #[must_use]
    pub fn shared(&self, id: &ObjectId) -> Arc<ObjectId> {
        let known = self.lock().get_key_value(id).map(|(known, _)| known.clone());
        known.unwrap_or_else(|| Arc::new(id.clone()))
    }

    /// Puts in what was seen; gives what was there before.
    pub fn put(&self, id: &ObjectId, seen: Seen) -> Option<Seen> {
        let before = insert(&mut self.lock(), id, seen);
        self.changes.notify_waiters();
        before
    }

    /// Puts in the answer to a write, unless a watch has shown the object since `before` was read: what it
    /// showed may be newer, and if it is older, the newer follows.
    pub fn put_if_unchanged(&self, id: &ObjectId, before: Option<&Seen>, seen: Seen) {
        let mut map = self.lock();
        let version = |seen: &Seen| seen.observed.resource_version.clone();
        if map.get(id).map(version) == before.map(version) {
            insert(&mut map, id, seen);
        }
        drop(map);
        self.changes.notify_waiters();
    }

    /// Takes an object out that was looked for in vain, unless a watch has shown it since `before` was read.
    pub fn remove_if_unchanged(&self, id: &ObjectId, before: Option<&Seen>) {
        let mut map = self.lock();
        let version = |seen: &Seen| seen.observed.resource_version.clone();
        if map.get(id).map(version) == before.map(version) {
            map.remove(id);
        }
        drop(map);
        self.changes.notify_waiters();
    }

    /// Completes at the next change of any object; made before looking, it misses none.
    pub fn changed(&self) -> impl Future<Output = ()> + '_ {
        let mut notified = Box::pin(self.changes.notified());
        notified.as_mut().enable();
        notified
    }

    /// Takes an object out that is gone.
    pub fn remove(&self, id: &ObjectId) -> Option<Seen> {
        let before = self.lock().remove(id);
        self.changes.notify_waiters();
        before
    }

    /// Takes an object out that nobody watches any more, unless it is some Kustomization's: those are watched by kind.
    pub fn remove_unowned(&self, id: &ObjectId) {
        let mut map = self.lock();
        if map.get(id).is_some_and(|seen| seen.owner.is_none()) {
            map.remove(id);
        }
    }

    /// The ids of all objects of a kind, to find those that a fresh list no longer has.
    #[must_use]
    pub fn ids_of_kind(&self, group: &str, kind: &str) -> Vec<Arc<ObjectId>> {
        self.lock()
            .keys()
            .filter(|id| id.group == group && id.kind == kind)
            .cloned()
            .collect()
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn insert(map: &mut HashMap<Arc<ObjectId>, Seen>, id: &ObjectId, seen: Seen) -> Option<Seen> {
    if let Some(entry) = map.get_mut(id) {
        return Some(std::mem::replace(entry, seen));
    }
    map.insert(Arc::new(id.clone()), seen);
    None
}
