//! Deletes what left the source, and says what stays in the inventory. Does I/O, through `apply` alone.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Run, revoked};
use crate::apply::{self, PruneError, Pruned, Recorded};
use crate::cluster::ApiError;
use crate::plan::{Action, Gvk, Inventory, ObjectId};
use crate::report::Failure;

impl Run<'_> {
    /// Deletes what left the source. Gives when to look again if entries had to stay because a late write may
    /// still bring their objects back (rule 2).
    pub(super) async fn prune(
        &mut self,
        recorded: Option<Recorded>,
        old: &Inventory,
        new: &Inventory,
        stale: Vec<(ObjectId, String)>,
        uids: &[String],
    ) -> Result<Option<Timestamp>, Failure> {
        let recorded = recorded.unwrap_or(Recorded(()));
        let mut survivors = new.clone();
        let mut failures = Vec::new();
        let mut recheck = None;
        for (id, version) in stale {
            // Asked before: the time of doubt may end while the answer is on its way.
            let doubted = self.doubted_until(&id);
            match self.prune_one(&recorded, &id, &version, uids).await {
                Ok(Pruned::Kept) => {}
                Ok(pruned) => {
                    if pruned == Pruned::Deleted {
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

    async fn prune_one(
        &self,
        recorded: &Recorded,
        id: &ObjectId,
        version: &str,
        uids: &[String],
    ) -> Result<Pruned, Failure> {
        if let Some(other) =
            super::super::claims::claimed_by_another(self.cx, &self.job.permit, &self.job.owner, id).await?
        {
            tracing::info!(kustomization = %self.job.owner, object = %id, to = %other, "handed over");
            return Ok(Pruned::Kept);
        }
        let gvk = Gvk {
            group: id.group.clone(),
            version: version.to_owned(),
            kind: id.kind.clone(),
        };
        let kind = match self.cx.discovery.resolve_any_version(&self.cx.api, &gvk).await {
            Ok(kind) => kind,
            // Its definition is gone, and all of its objects with it.
            Err(ApiError::UnknownKind { .. }) => return Ok(Pruned::Deleted),
            Err(error) => return Err(Failure::Prune(format!("{id}: {error}"))),
        };
        match apply::prune(
            recorded,
            &self.job.permit,
            &self.api,
            &kind,
            id,
            &self.job.owner,
            uids,
        )
        .await
        {
            Ok(pruned) => Ok(pruned),
            Err(PruneError::Revoked(why)) => Err(revoked(why)),
            Err(PruneError::Api(error)) => Err(Failure::Prune(format!("{id} could not be deleted: {error}"))),
        }
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
