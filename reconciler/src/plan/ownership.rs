//! Whose object it is, and whether an annotation keeps us from it. Pure.

use std::fmt;

use serde_json::Value;

use crate::api::{OWNER_NAME, OWNER_NAMESPACE};

/// A Kustomization, as the owner labels name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Namespace of the Kustomization.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Who owns a live object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Nobody: it is adopted.
    Nobody,
    /// This Kustomization.
    Ours,
    /// The labels name another one. Whether it really is its owner, its inventory says.
    Other(Owner),
}

/// Reads the owner labels of a live object.
#[must_use]
pub fn owner_of(live: &Value, us: &Owner) -> Ownership {
    let label = |key: &str| {
        live.pointer("/metadata/labels")
            .and_then(|l| l.get(key))
            .and_then(Value::as_str)
    };
    let (Some(name), Some(namespace)) = (label(OWNER_NAME), label(OWNER_NAMESPACE)) else {
        return Ownership::Nobody;
    };
    if name == us.name && namespace == us.namespace {
        return Ownership::Ours;
    }
    Ownership::Other(Owner {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// Why an object is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// `kustomize.toolkit.fluxcd.io/reconcile: disabled`.
    ReconcileDisabled,
    /// `kustomize.toolkit.fluxcd.io/ssa: Ignore`.
    Ignore,
    /// `kustomize.toolkit.fluxcd.io/ssa: IfNotPresent`, and it is present.
    Present,
}

/// Whether an annotation or label on the wanted or on the live object keeps it from being applied
/// (fluxcd/pkg `ssa/manager_apply.go`, `shouldSkipApply`).
#[must_use]
pub fn skip_reason(wanted: &Value, live: Option<&Value>) -> Option<SkipReason> {
    let marked =
        |key, value| has_mark(wanted, key, value) || live.is_some_and(|live| has_mark(live, key, value));
    if marked("reconcile", "disabled") {
        return Some(SkipReason::ReconcileDisabled);
    }
    if marked("ssa", "Ignore") {
        return Some(SkipReason::Ignore);
    }
    if live.is_some() && marked("ssa", "IfNotPresent") {
        return Some(SkipReason::Present);
    }
    None
}

/// Whether an object carries `kustomize.toolkit.fluxcd.io/<key>: <value>` as label or annotation; values
/// are compared without regard to case (fluxcd/pkg `ssa/utils`, `AnyInMetadata`).
#[must_use]
pub(crate) fn has_mark(object: &Value, key: &str, value: &str) -> bool {
    let key = format!("kustomize.toolkit.fluxcd.io/{key}");
    ["/metadata/annotations", "/metadata/labels"].iter().any(|place| {
        object
            .pointer(place)
            .and_then(|map| map.get(&key))
            .and_then(Value::as_str)
            .is_some_and(|found| found.eq_ignore_ascii_case(value))
    })
}
