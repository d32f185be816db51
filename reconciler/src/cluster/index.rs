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
pub struct Index(Mutex<HashMap<Arc<ObjectId>, Seen>>);

impl Index {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<ObjectId>, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was last seen of an object.
    #[must_use]
    pub fn get(&self, id: &ObjectId) -> Option<Seen> {
        self.lock().get(id).cloned()
    }

    /// Puts in what was seen; gives what was there before.
    pub fn put(&self, id: &ObjectId, seen: Seen) -> Option<Seen> {
        let mut map = self.lock();
        if let Some(entry) = map.get_mut(id) {
            return Some(std::mem::replace(entry, seen));
        }
        map.insert(Arc::new(id.clone()), seen);
        None
    }

    /// Takes an object out that is gone.
    pub fn remove(&self, id: &ObjectId) -> Option<Seen> {
        self.lock().remove(id)
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
