//! Deletes what left the source, and says what stays in the inventory. Does I/O, through `apply` alone.

use std::sync::Arc;

use jiff::Timestamp;

use super::super::claims::OthersClaims;
use super::super::memory::Memory;
use super::super::removal::{Removed, remove};
use super::Run;
use crate::plan::{Action, Inventory, ObjectId};
use crate::report::Failure;

impl Run<'_> {
    /// Deletes what left the source. Gives when to look again if entries had to stay because a late write may
    /// still bring their objects back (rule 2).
    pub(super) async fn prune(
        &mut self,
        old: &Inventory,
        new: &Inventory,
        (stale, others): (Vec<(ObjectId, String)>, &OthersClaims),
        uids: &[String],
        memory: &mut Memory,
    ) -> Result<Option<Timestamp>, Failure> {
        let mut survivors = new.clone();
        let mut failures = Vec::new();
        let mut recheck = None;
        for (id, version) in stale {
            // Asked before: the time of doubt may end while the answer is on its way.
            let doubted = self.doubted_until(&id);
            match remove(self.cx, self.job, &self.api, others, (&id, &version), uids).await {
                Ok(Removed::Forgotten) => {}
                Ok(Removed::Promised) => {
                    memory.promised.insert(id.clone());
                    survivors.insert(id, version);
                }
                Ok(removed) => {
                    if removed == Removed::Deleted {
                        self.changes.push((id.clone(), Action::Deleted));
                    }
                    if let Some(until) = doubted {
                        recheck = recheck.max(Some(until));
                        survivors.insert(id, version);
                    }
                }
                Err(Failure::Prune(why)) => {
                    failures.push(why);
                    survivors.insert(id, version);
                }
                Err(failure) => return Err(failure),
            }
        }
        if survivors != *old {
            self.shrink(&survivors).await;
        }
        if failures.is_empty() {
            return Ok(recheck);
        }
        Err(Failure::Prune(failures.join("\n")))
    }

    /// Until when a write may still arrive that nobody waits for.
    pub(super) fn doubted_until(&self, id: &ObjectId) -> Option<Timestamp> {
        self.cx.doubts.until(id, self.job.statuses.is_inherited(id))
    }

    /// The inventory shrinks only after everything else has succeeded.
    async fn shrink(&self, survivors: &Inventory) {
        self.cx.registry.update(&self.job.owner, |entry| {
            entry.inventory = Arc::new(survivors.clone());
        });
        self.job.statuses.stage_inventory(survivors).await;
    }
}
