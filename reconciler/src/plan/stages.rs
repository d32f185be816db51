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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// An object that a text like `apps/Deployment shop/web` names.
    fn wanted(text: &str) -> Wanted {
        let (kind, name) = text.split_once(' ').unwrap();
        let (group, kind) = kind.split_once('/').unwrap_or(("", kind));
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        Wanted {
            id: ObjectId::new(group, kind, namespace, name),
            version: "v1".to_owned(),
            value: Value::Null,
            origin: None,
        }
    }

    /// What of these objects is applied in a stage, in this order.
    fn stage(staged: &[(Stage, Vec<Wanted>)], stage: Stage) -> Vec<String> {
        let mut found = staged.iter().filter(|(found, _)| *found == stage);
        let objects = found.next().map(|(_, objects)| objects.as_slice());
        assert!(found.next().is_none(), "{stage:?} comes twice");
        objects
            .into_iter()
            .flatten()
            .map(|wanted| wanted.id.to_string())
            .collect()
    }

    #[test]
    fn definitions_come_first_then_classes_then_the_rest_each_in_the_order_of_flux() {
        let mut shuffled: Vec<Wanted> = [
            "admissionregistration.k8s.io/ValidatingWebhookConfiguration a",
            "admissionregistration.k8s.io/MutatingWebhookConfiguration a",
            "example.org/Widget shop/a",
            "policy/PodDisruptionBudget shop/a",
            "apps/Deployment shop/b",
            "apps/Deployment shop/a",
            "apps/Deployment bakery/z",
            "Service shop/a",
            "Secret shop/a",
            "ConfigMap shop/a",
            "rbac.authorization.k8s.io/RoleBinding shop/a",
            "ServiceAccount shop/a",
            "rbac.authorization.k8s.io/ClusterRoleBinding a",
            // Of other groups than those that the server builds on.
            "example.org/ClusterRole a",
            "example.org/Namespace a",
            "rbac.authorization.k8s.io/Role shop/a",
            "example.org/DatabaseClass a",
            "networking.k8s.io/IngressClass a",
            "storage.k8s.io/StorageClass a",
            "scheduling.k8s.io/PriorityClass a",
            "rbac.authorization.k8s.io/ClusterRole a",
            "Namespace shop",
            "apiextensions.k8s.io/CustomResourceDefinition widgets.example.org",
        ]
        .map(wanted)
        .into();
        for _ in 0..2 {
            let staged = stages(shuffled.clone());
            let order: Vec<Stage> = staged.iter().map(|(stage, _)| *stage).collect();
            assert_eq!(order, [Stage::Definitions, Stage::Classes, Stage::Rest]);
            assert_eq!(
                stage(&staged, Stage::Definitions),
                [
                    "CustomResourceDefinition/widgets.example.org",
                    "Namespace/shop",
                    "ClusterRole/a"
                ]
            );
            assert_eq!(
                stage(&staged, Stage::Classes),
                [
                    "PriorityClass/a",
                    "StorageClass/a",
                    "IngressClass/a",
                    "Role/shop/a",
                    "DatabaseClass/a"
                ]
            );
            assert_eq!(
                stage(&staged, Stage::Rest),
                [
                    "Namespace/a",
                    "ClusterRole/a",
                    "ClusterRoleBinding/a",
                    "ServiceAccount/shop/a",
                    "RoleBinding/shop/a",
                    "ConfigMap/shop/a",
                    "Secret/shop/a",
                    "Service/shop/a",
                    "Deployment/bakery/z",
                    "Deployment/shop/a",
                    "Deployment/shop/b",
                    "PodDisruptionBudget/shop/a",
                    "Widget/shop/a",
                    "MutatingWebhookConfiguration/a",
                    "ValidatingWebhookConfiguration/a"
                ]
            );
            shuffled.reverse();
        }
    }

    #[test]
    fn a_stage_without_objects_is_none() {
        let staged = stages(vec![wanted("ConfigMap shop/a")]);
        assert_eq!(staged, [(Stage::Rest, vec![wanted("ConfigMap shop/a")])]);
        assert_eq!(stages(Vec::new()), []);
    }
}
