//! What a Kustomization depends on by `spec.dependsOn`, and who depends on it. No I/O.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Fleet, source_key};
use crate::api::{Kustomization, condition_types};
use crate::plan::Owner;
use crate::report::conditions_of;

impl Fleet {
    pub(super) fn refresh_dependents(&mut self, owner: &Owner) {
        let dependents: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| dependencies(&member.kustomization).any(|dependency| dependency == *owner))
            .map(|(dependent, _)| dependent.clone())
            .collect();
        for dependent in dependents {
            self.refresh(&dependent);
        }
    }

    /// What of `spec.dependsOn` is not there yet.
    pub(super) fn unmet_dependency(
        &self,
        owner: &Arc<Owner>,
        kustomization: &Kustomization,
    ) -> Option<String> {
        if let Some(cycle) = self.cycle(owner) {
            return Some(format!(
                "dependency cycle: {cycle}; remove one of these from spec.dependsOn"
            ));
        }
        for dependency in dependencies(kustomization) {
            if self.cx.config.no_cross_namespace_refs && dependency.namespace != owner.namespace {
                return Some(format!(
                    "dependency '{dependency}' is in another namespace, and cross-namespace references have been blocked"
                ));
            }
            let Some(member) = self.members.get(&dependency) else {
                return Some(format!("dependency '{dependency}' not found"));
            };
            let object = &member.kustomization;
            let ready = conditions_of(Some(&member.status)).is_true(condition_types::READY)
                && member.status.observed_generation == object.metadata.generation;
            let same_source = source_key(object) == source_key(kustomization);
            let revision = self
                .checkout(kustomization)
                .map(|checkout| checkout.revision().to_string());
            if !ready {
                return Some(format!("dependency '{dependency}' is not ready"));
            }
            if same_source && member.revisions.applied() != revision.as_deref() {
                return Some(format!("dependency '{dependency}' revision is not up to date"));
            }
        }
        None
    }

    /// A path of dependencies that leads back to where it began.
    fn cycle(&self, owner: &Arc<Owner>) -> Option<String> {
        let mut path: Vec<Owner> = vec![(**owner).clone()];
        let mut seen = BTreeSet::new();
        self.find_cycle(owner, &mut path, &mut seen).then(|| {
            path.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" -> ")
        })
    }

    fn find_cycle(&self, start: &Owner, path: &mut Vec<Owner>, seen: &mut BTreeSet<Owner>) -> bool {
        let Some(member) = path.last().and_then(|last| self.members.get(last)) else {
            return false;
        };
        for dependency in dependencies(&member.kustomization) {
            if dependency == *start {
                path.push(dependency);
                return true;
            }
            if seen.insert(dependency.clone()) {
                path.push(dependency);
                if self.find_cycle(start, path, seen) {
                    return true;
                }
                path.pop();
            }
        }
        false
    }
}

pub(super) fn dependencies(kustomization: &Kustomization) -> impl Iterator<Item = Owner> + '_ {
    let own = kustomization.metadata.namespace.as_deref().unwrap_or_default();
    kustomization.spec.depends_on.iter().map(move |dependency| Owner {
        namespace: dependency.namespace.clone().unwrap_or_else(|| own.to_owned()),
        name: dependency.name.clone(),
    })
}
