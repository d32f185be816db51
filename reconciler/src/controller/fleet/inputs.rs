//! What a Kustomization's state is told of its object, its source and its dependencies, and what keeps it from running.
//! No I/O.

use std::sync::Arc;
use std::time::Duration;

use super::super::heirs;
use super::super::job::annotation;
use super::super::served::unserved;
use super::super::step::{Event, Inputs};
use super::{Fleet, SourceKey, SourceState};
use crate::api::{Kustomization, PRUNE_CONFIRM, REQUESTED_AT};
use crate::plan::Owner;
use crate::report::Failure;
use crate::source::Checkout;

impl Fleet {
    pub(super) fn refresh(&mut self, owner: &Arc<Owner>) {
        if !self.listed || self.awaits_source(owner) {
            return;
        }
        let Some(inputs) = self.inputs(owner) else {
            return;
        };
        let awaits_heirs = inputs.awaits_heirs;
        self.step(owner, Event::Inputs(Box::new(inputs)));
        if awaits_heirs && self.leaving.insert(owner.clone()) {
            tracing::info!(kustomization = %owner, "its objects stay until the source of a new Kustomization is fetched, which may want them");
        }
    }

    /// Lets those go whose heirs are known now, or are no more.
    pub(super) fn let_leave(&mut self) {
        let awaits = |owner: &Arc<Owner>| {
            let member = self.members.get(owner);
            member.is_some_and(|member| heirs::are_awaited(&self.cx.registry, owner, &member.kustomization))
        };
        let ready: Vec<_> = self
            .leaving
            .iter()
            .filter(|owner| !awaits(owner))
            .cloned()
            .collect();
        for owner in ready {
            self.leaving.remove(&owner);
            self.refresh(&owner);
        }
    }

    fn inputs(&self, owner: &Arc<Owner>) -> Option<Inputs> {
        let member = self.members.get(owner)?;
        let kustomization = &member.kustomization;
        let spec = &kustomization.spec;
        let interval = spec.interval.0;
        let requested = annotation(kustomization, REQUESTED_AT)
            .filter(|token| member.status.last_handled_reconcile_at.as_deref() != Some(token));
        let checkout = self.checkout(kustomization);
        Some(Inputs {
            generation: kustomization.metadata.generation.unwrap_or_default(),
            suspended: spec.suspend,
            deleting: kustomization.metadata.deletion_timestamp.is_some(),
            requested: requested.map(ToOwned::to_owned),
            awaits_heirs: heirs::are_awaited(&self.cx.registry, owner, kustomization),
            confirmed: annotation(kustomization, PRUNE_CONFIRM).map(ToOwned::to_owned),
            blocked: self.block(owner, kustomization),
            revision: checkout.map(|checkout| checkout.revision().to_string()),
            ignore: checkout.and_then(|checkout| checkout.ignore().map(ToOwned::to_owned)),
            interval,
            retry_interval: spec.retry_interval.map_or(interval, |retry| retry.0),
            timeout: timeout(kustomization),
            phase: phase(kustomization.metadata.uid.as_deref().unwrap_or_default()),
        })
    }

    /// Whether its source has not been looked at since this process leads: nothing can be said of it yet.
    fn awaits_source(&self, owner: &Arc<Owner>) -> bool {
        let Some(member) = self.members.get(owner) else {
            return true;
        };
        if member.kustomization.metadata.deletion_timestamp.is_some() {
            return false;
        }
        match self.sources.get(&source_key(&member.kustomization)) {
            None => !self.sources_listed,
            Some(source) => source.checkout.is_none() && source.failure.is_none(),
        }
    }

    /// The newest revision of its source.
    pub(super) fn checkout(&self, kustomization: &Kustomization) -> Option<&Checkout> {
        self.sources.get(&source_key(kustomization))?.checkout.as_ref()
    }

    /// What keeps it from running.
    fn block(&self, owner: &Arc<Owner>, kustomization: &Kustomization) -> Option<Failure> {
        let spec = &kustomization.spec;
        if let Some(why) = unserved(owner, spec) {
            return Some(Failure::InvalidSpec(why));
        }
        let key = source_key(kustomization);
        let reference = format!("{:?}/{}/{}", spec.source_ref.kind, key.0, key.1);
        if self.cx.config.no_cross_namespace_refs && key.0 != owner.namespace {
            return Some(Failure::AccessDenied(format!(
                "can't access '{reference}', cross-namespace references have been blocked"
            )));
        }
        match self.sources.get(&key) {
            None => {
                return Some(Failure::source_missing(&reference, false));
            }
            Some(SourceState {
                checkout: None,
                failure,
            }) => {
                return Some(Failure::unfetched_source(&reference, failure.as_deref()));
            }
            Some(_) => {}
        }
        self.unmet_dependency(owner, kustomization)
            .map(Failure::Dependency)
    }
}

/// The source of a Kustomization.
pub(crate) fn source_key(kustomization: &Kustomization) -> SourceKey {
    let reference = &kustomization.spec.source_ref;
    let namespace = reference
        .namespace
        .clone()
        .or_else(|| kustomization.metadata.namespace.clone());
    (namespace.unwrap_or_default(), reference.name.clone())
}

/// `spec.timeout`, or the interval less 30 s, at least 30 s (Flux's `GetTimeout`).
pub(crate) fn timeout(kustomization: &Kustomization) -> Duration {
    let spec = &kustomization.spec;
    let default = || {
        spec.interval
            .0
            .saturating_sub(Duration::from_secs(30))
            .max(Duration::from_secs(30))
    };
    spec.timeout.map_or_else(default, |timeout| timeout.0)
}

/// Thousandths of the interval, the same for an object on every start (rule 23).
fn phase(uid: &str) -> u16 {
    let sum = uid.bytes().fold(0_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    (sum % 1000) as u16
}
