//! What is to be looked at by the next run. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Scope;
use crate::plan::ObjectId;

/// What came in while a run was under way, or was not run for yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pending {
    /// Everything is to be looked at.
    pub(super) full: bool,
    /// Everything is to be looked at, since something around the objects changed.
    pub(super) around: bool,
    /// What changed is to be looked at.
    pub(super) changes: bool,
    pub(super) touched: BTreeSet<ObjectId>,
    /// When to check objects whose generation moved.
    pub(super) moved: BTreeMap<ObjectId, Timestamp>,
}

impl Pending {
    /// Objects that are to be looked at now.
    pub(super) fn drift(&self, now: Timestamp) -> BTreeSet<ObjectId> {
        let moved = self.moved.iter().filter(|(_, at)| now >= **at);
        self.touched
            .iter()
            .chain(moved.map(|(id, _)| id))
            .cloned()
            .collect()
    }

    /// Whether nothing is to be looked at. Objects that only moved may wait.
    pub(super) fn is_empty(&self) -> bool {
        !self.full && !self.around && !self.changes && self.touched.is_empty()
    }

    /// When an object that moved is to be looked at.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.moved.values().min().copied()
    }

    /// A run starts: it takes along what it looks at. What it does not look at and moved shows when it has ended.
    pub(super) fn taken_by(&mut self, scope: &Scope) {
        match scope {
            Scope::Drift(objects) => {
                self.touched.clear();
                self.moved.retain(|id, _| !objects.contains(id));
            }
            Scope::Full | Scope::Around | Scope::Changes | Scope::Finalize => *self = Self::default(),
        }
    }
}
