//! The order of the output. In: resources; out: the same, sorted. Pure.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::id::{Gvk, ResourceId};
use crate::resource::Resource;

const FIRST: &[&str] = &[
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

const LAST: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// The place of a kind in the legacy order; kinds that are not in it stand in the middle.
pub(crate) fn kind_rank(kind: &str) -> usize {
    let last = || LAST.iter().position(|k| *k == kind).map(|i| FIRST.len() + 1 + i);
    FIRST
        .iter()
        .position(|k| *k == kind)
        .or_else(last)
        .unwrap_or(FIRST.len())
}

/// Sorts by kind, then group, version, kind, namespace and name; `orders` replaces the kinds that come
/// first and last.
pub(crate) fn sort_legacy(
    resources: Vec<Resource>,
    orders: Option<&(Vec<String>, Vec<String>)>,
) -> Vec<Resource> {
    let ranks: Option<HashMap<&str, i64>> = orders.map(|(first, last)| {
        let places = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let mut ranks = HashMap::new();
        ranks.extend(
            first
                .iter()
                .enumerate()
                .map(|(i, k)| (k.as_str(), places(i) - places(first.len()))),
        );
        ranks.extend(last.iter().enumerate().map(|(i, k)| (k.as_str(), 1 + places(i))));
        ranks
    });
    let rank = |kind: &str| match &ranks {
        Some(ranks) => ranks.get(kind).copied().unwrap_or(0),
        None => i64::try_from(kind_rank(kind)).unwrap_or(i64::MAX),
    };
    let mut keyed: Vec<_> = resources
        .into_iter()
        .map(|r| (rank(&r.id.gvk.kind), gvk_key(&r.id.gvk), id_key(&r.id), r))
        .collect();
    keyed.sort_by(|a, b| {
        let by_rank = a.0.cmp(&b.0);
        by_rank
            .then_with(|| by_gvk((&a.3.id.gvk, &a.1), (&b.3.id.gvk, &b.1)))
            .then_with(|| a.2.cmp(&b.2))
    });
    keyed.into_iter().map(|(_, _, _, r)| r).collect()
}

/// Compares kinds of equal rank by their keys. The namespaces of Kubernetes itself come before those of other groups,
/// though their key sorts last.
fn by_gvk((a, a_key): (&Gvk, &str), (b, b_key): (&Gvk, &str)) -> Ordering {
    let namespaces = a.kind == "Namespace" && b.kind == "Namespace";
    if namespaces && (a.group.is_empty() || b.group.is_empty()) {
        return b_key.cmp(a_key);
    }
    a_key.cmp(b_key)
}

pub(crate) fn gvk_key(gvk: &Gvk) -> String {
    let or = |text: &str, other: &str| {
        if text.is_empty() {
            other.to_string()
        } else {
            text.to_string()
        }
    };
    format!(
        "{}_{}_{}",
        or(&gvk.group, "~G"),
        or(&gvk.version, "~V"),
        or(&gvk.kind, "~K")
    )
}

fn id_key(id: &ResourceId) -> String {
    let namespace = if id.namespace.is_empty() {
        "~X"
    } else {
        &id.namespace
    };
    let name = if id.name.is_empty() { "~N" } else { &id.name };
    format!("{}|{namespace}|{name}", id.gvk)
}
