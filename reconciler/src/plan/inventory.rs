//! The set of objects that belong to a Kustomization, as `status.inventory` holds it. Pure.

use std::collections::BTreeMap;

use crate::api::{InventoryEntry, ResourceInventory};

use super::{ObjectId, Wanted};

/// Objects and the API version that each was last applied in, sorted by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory(BTreeMap<ObjectId, String>);

impl Inventory {
    /// Reads a status; entries that name no object are left out, since nothing can be done about them.
    #[must_use]
    pub fn from_status(status: Option<&ResourceInventory>) -> Self {
        let entries = status
            .map(|inventory| inventory.entries.as_slice())
            .unwrap_or_default();
        Self(
            entries
                .iter()
                .filter_map(|entry| Some((ObjectId::parse(&entry.id).ok()?, entry.v.clone())))
                .collect(),
        )
    }

    /// The inventory that holds just these objects.
    #[must_use]
    pub fn of(wanted: &[Wanted]) -> Self {
        Self(
            wanted
                .iter()
                .map(|object| (object.id.clone(), object.version.clone()))
                .collect(),
        )
    }

    /// As it is written to a status: sorted as Flux sorts it, by id.
    #[must_use]
    pub fn to_status(&self) -> ResourceInventory {
        let mut entries: Vec<_> = self
            .0
            .iter()
            .map(|(id, version)| InventoryEntry {
                id: id.inventory_id(),
                v: version.clone(),
            })
            .collect();
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        ResourceInventory { entries }
    }

    /// This and the other; the other's versions win.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut union = self.0.clone();
        union.extend(other.0.iter().map(|(id, version)| (id.clone(), version.clone())));
        Self(union)
    }

    /// What is in this one and not in the other, in the order in which it is pruned: what was applied last
    /// goes first.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Vec<(ObjectId, String)> {
        let mut stale: Vec<_> = self
            .0
            .iter()
            .filter(|(id, _)| !other.0.contains_key(id))
            .map(|(id, version)| (id.clone(), version.clone()))
            .collect();
        stale.sort_by_key(|(id, _)| std::cmp::Reverse(super::stages::apply_order(id)));
        stale
    }

    /// Puts an object in.
    pub fn insert(&mut self, id: ObjectId, version: String) {
        self.0.insert(id, version);
    }

    /// Takes an object out.
    pub fn remove(&mut self, id: &ObjectId) {
        self.0.remove(id);
    }

    /// Whether the object is in it.
    #[must_use]
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.0.contains_key(id)
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Objects with their versions.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectId, &str)> {
        self.0.iter().map(|(id, version)| (id, version.as_str()))
    }
}
