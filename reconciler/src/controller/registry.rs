//! What runs must know of other Kustomizations: who exists, what each wants, what each owns. No I/O.
//!
//! An object that moves from one Kustomization to another in one commit keeps its UID whichever runs first:
//! the old owner does not prune what another claims at its newest revision, and the new owner adopts what the
//! old one no longer claims.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, PoisonError, RwLock};

use crate::api::Kustomization;
use crate::plan::{Inventory, ObjectId, Owner, Wanted};
use crate::source::Checkout;

/// What others may know of a Kustomization.
#[derive(Clone)]
pub(crate) struct Entry {
    /// The object.
    pub(crate) kustomization: Arc<Kustomization>,
    /// The newest revision of its source.
    pub(crate) checkout: Option<Checkout>,
    /// What it owns by its status.
    pub(crate) inventory: Arc<Inventory>,
    /// What it wants, by its last render.
    pub(crate) claims: Option<Claims>,
}

impl Entry {
    /// The key of a render now.
    pub(crate) fn key(&self) -> ClaimKey {
        let generation = self.kustomization.metadata.generation.unwrap_or_default();
        ClaimKey::of(generation, self.checkout.as_ref())
    }

    /// Its claims, if they were made from what is current.
    pub(crate) fn current_claims(&self) -> Option<&Claims> {
        self.claims.as_ref().filter(|claims| claims.key == self.key())
    }
}

/// What claims were made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimKey {
    pub(crate) generation: i64,
    pub(crate) revision: String,
    /// What the source leaves out of that.
    ignore: Option<String>,
}

impl ClaimKey {
    /// Of a generation and a checkout, if there is one.
    pub(crate) fn of(generation: i64, checkout: Option<&Checkout>) -> Self {
        Self {
            generation,
            revision: checkout
                .map(|checkout| checkout.revision().to_string())
                .unwrap_or_default(),
            ignore: checkout.and_then(|checkout| checkout.ignore().map(ToOwned::to_owned)),
        }
    }
}

/// The objects that a Kustomization wants, as digests: eight bytes each.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    pub(crate) key: ClaimKey,
    ids: Arc<[u64]>,
}

impl Claims {
    pub(crate) fn new(key: ClaimKey, wanted: &[Wanted]) -> Self {
        let mut ids: Vec<u64> = wanted.iter().map(|object| digest(&object.id)).collect();
        ids.sort_unstable();
        Self { key, ids: ids.into() }
    }

    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
        self.ids.binary_search(&digest(id)).is_ok()
    }
}

fn digest(id: &ObjectId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// All Kustomizations.
#[derive(Default)]
pub(crate) struct Registry(RwLock<HashMap<Owner, Entry>>);

impl Registry {
    pub(crate) fn put(&self, owner: &Owner, entry: Entry) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.insert(owner.clone(), entry);
    }

    pub(crate) fn remove(&self, owner: &Owner) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(owner);
    }

    pub(crate) fn get(&self, owner: &Owner) -> Option<Entry> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(owner)
            .cloned()
    }

    pub(crate) fn update(&self, owner: &Owner, change: impl FnOnce(&mut Entry)) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = map.get_mut(owner) {
            change(entry);
        }
    }

    /// Whether any but one is so.
    pub(crate) fn any_other(&self, owner: &Owner, is_so: impl Fn(&Entry) -> bool) -> bool {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.iter().any(|(other, entry)| other != owner && is_so(entry))
    }

    /// All but one, for a look at who else wants an object.
    pub(crate) fn others(&self, owner: &Owner) -> Vec<(Owner, Entry)> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.iter()
            .filter(|(other, _)| *other != owner)
            .map(|(o, e)| (o.clone(), e.clone()))
            .collect()
    }
}
