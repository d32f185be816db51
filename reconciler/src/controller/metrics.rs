//! Numbers about Kustomizations and GitRepositories, as Flux's dashboards name them. No I/O.

use telemetry::metrics::{Metrics, Ready, ResourceInfo, ResourceKey};

use crate::api::{ConditionStatus, Kustomization, KustomizationStatus, condition_types};
use crate::plan::Owner;
use crate::report::conditions_of;

pub(crate) fn key(kind: &str, namespace: &str, name: &str) -> ResourceKey {
    ResourceKey {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

pub(crate) fn ready(status: Option<ConditionStatus>) -> Ready {
    match status {
        Some(ConditionStatus::True) => Ready::True,
        Some(ConditionStatus::False) => Ready::False,
        Some(ConditionStatus::Unknown) | None => Ready::Unknown,
    }
}

/// Publishes what is known of a Kustomization.
pub(crate) fn publish(
    metrics: &Metrics,
    owner: &Owner,
    object: &Kustomization,
    status: &KustomizationStatus,
) {
    let condition = conditions_of(Some(status))
        .get(condition_types::READY)
        .map(|condition| condition.status);
    metrics.set_resource(
        key("Kustomization", &owner.namespace, &owner.name),
        ResourceInfo {
            group: "kustomize.toolkit.fluxcd.io",
            version: "v1",
            ready: ready(condition),
            suspended: object.spec.suspend,
            details: vec![
                (
                    "revision",
                    status.last_applied_revision.clone().unwrap_or_default(),
                ),
                ("source_name", object.spec.source_ref.name.clone()),
            ],
        },
    );
}
