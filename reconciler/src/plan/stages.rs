//! In which order objects are applied: Flux's stages and Flux's order inside each. Pure.
//!
//! Source: fluxcd/pkg `ssa/manager_apply.go` (`ApplyAllStaged`) and `ssa/sort.go`.

use super::{ObjectId, Wanted};

/// A stage is applied and settled before the next one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// CustomResourceDefinitions, Namespaces and ClusterRoles.
    Definitions,
    /// Kinds that end in `Class`; and Roles, which Flux leaves to the rest: their bindings are refused while they are
    /// not there, so they have to come before them (rule 6).
    Classes,
    /// Everything else.
    Rest,
}

/// The stage of an object.
#[must_use]
pub fn stage_of(id: &ObjectId) -> Stage {
    match (id.group.as_str(), id.kind.as_str()) {
        ("apiextensions.k8s.io", "CustomResourceDefinition")
        | ("", "Namespace")
        | ("rbac.authorization.k8s.io", "ClusterRole") => Stage::Definitions,
        ("rbac.authorization.k8s.io", "Role") => Stage::Classes,
        (_, kind) if kind.ends_with("Class") => Stage::Classes,
        _ => Stage::Rest,
    }
}

/// Objects by stage, empty stages left out, each sorted in apply order.
#[must_use]
pub fn stages(mut wanted: Vec<Wanted>) -> Vec<(Stage, Vec<Wanted>)> {
    wanted.sort_by_key(|a| apply_order(&a.id));
    let mut stages: Vec<(Stage, Vec<Wanted>)> = Vec::new();
    for stage in [Stage::Definitions, Stage::Classes, Stage::Rest] {
        let (mine, others) = wanted
            .into_iter()
            .partition(|object| stage_of(&object.id) == stage);
        wanted = others;
        stages.push((stage, mine));
    }
    stages.retain(|(_, objects)| !objects.is_empty());
    stages
}

const FIRST: [&str; 23] = [
    "CustomResourceDefinition",
    "Namespace",
    "ClusterRole",
    "ClusterClass",
    "RuntimeClass",
    "PriorityClass",
    "StorageClass",
    "VolumeSnapshotClass",
    "IngressClass",
    "GatewayClass",
    "ClusterRoleBinding",
    "ResourceQuota",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "Service",
    "LimitRange",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// The key that objects are sorted by before they are applied.
pub(super) fn apply_order(id: &ObjectId) -> (usize, String, String, String) {
    let kind = id.kind.as_str();
    let rank = match (
        FIRST.iter().position(|k| *k == kind),
        LAST.iter().position(|k| *k == kind),
    ) {
        (Some(first), _) => first,
        (None, Some(last)) => FIRST.len() + 1 + last,
        (None, None) => FIRST.len(),
    };
    (rank, id.kind.clone(), id.namespace.clone(), id.name.clone())
}
