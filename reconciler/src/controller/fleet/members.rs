//! Which Kustomizations there are, and what others are told of them. No I/O.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::registry::Entry;
use super::super::{build, metrics};
use super::{Fleet, Member};
use crate::api::{Kustomization, KustomizationStatus};
use crate::plan::{Inventory, Owner};

impl Fleet {
    /// Takes a Kustomization in that was seen: a new one, or another state of one that is known.
    pub(super) fn seen(&mut self, mut object: Kustomization) {
        let owner = Arc::new(build::owner_of(&object));
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        let status = object.status.take().unwrap_or_default();
        let kustomization = Arc::new(object);
        let same_uid = self
            .members
            .get(&owner)
            .is_some_and(|member| member.kustomization.metadata.uid == kustomization.metadata.uid);
        if !same_uid {
            self.forget(&owner);
            let now = self.cx.config.clock.now();
            let member = Member::new(&owner, kustomization, status, version, now);
            self.members.insert(owner.clone(), Box::new(member));
        } else if let Some(member) = self.members.get_mut(&owner) {
            member.kustomization = kustomization;
            let statuses = member.statuses.clone();
            tokio::spawn(async move { statuses.saw(&version).await });
        }
        self.publish(&owner);
        self.register(&owner);
        self.refresh(&owner);
        self.refresh_dependents(&owner);
    }

    /// Forgets one that is gone, and ends what was done for it.
    pub(super) fn forget(&mut self, owner: &Owner) {
        let owner = Arc::new(owner.clone());
        // First, so that nothing is watched for it once its watches are released.
        self.cx.registry.remove(&owner);
        if let Some(member) = self.members.remove(&owner) {
            member.cancel.cancel();
            if let Some(at) = member.wake {
                self.timers.remove(&(at, owner.clone()));
            }
            self.cx.watches.release_objects(&owner, &HashSet::new());
            self.leave_namespace(&owner.namespace);
        }
        build::forget_secrets(&self.cx, &owner);
        self.cx
            .metrics
            .forget(&metrics::key("Kustomization", &owner.namespace, &owner.name));
        self.refresh_dependents(&owner);
    }

    /// Nothing is read any more where neither a Kustomization nor a source is.
    pub(super) fn leave_namespace(&self, namespace: &str) {
        let is_used = self.members.keys().any(|owner| owner.namespace == namespace)
            || self.sources.keys().any(|(source, _)| source == namespace);
        if !is_used {
            self.cx.configs.forget(namespace);
        }
    }

    /// Lets runs of others know of it.
    pub(super) fn register(&self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let checkout = self.checkout(&member.kustomization).cloned();
        let claims = self.cx.registry.get(owner).and_then(|entry| entry.claims);
        self.cx.registry.put(
            owner,
            Entry {
                kustomization: member.kustomization.clone(),
                checkout,
                inventory: member.inventory.clone(),
                claims,
            },
        );
    }

    pub(super) fn status_written(&mut self, owner: &Arc<Owner>, status: Arc<KustomizationStatus>) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        if member.status.inventory != status.inventory {
            member.inventory = Arc::new(Inventory::from_status(status.inventory.as_ref()));
        }
        member.status = status;
        self.publish(owner);
        self.register(owner);
        self.refresh_dependents(owner);
    }

    pub(super) fn publish(&self, owner: &Arc<Owner>) {
        if let Some(member) = self.members.get(owner) {
            metrics::publish(&self.cx.metrics, owner, &member.kustomization, &member.status);
        }
    }
}
