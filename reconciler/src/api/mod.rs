//! Flux's objects as types: what users write, what controllers report. No I/O.
//!
//! The schemas that `coracle install` prints are generated from these types, so a doc comment here is
//! what `kubectl explain` shows.

mod condition;
mod crd;
mod duration;
mod kustomization;
mod overlay;
pub mod rbac;
mod source;

pub(crate) use condition::rfc3339_seconds;
pub use condition::{Condition, ConditionStatus, Conditions, Reason, condition_types};
pub use crd::crds;
pub use duration::{GoDuration, ParseDurationError};
pub use kustomization::*;
pub use source::*;

/// Annotation whose change asks for a reconciliation at once (Flux's `flux reconcile`).
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
/// Finalizer of Flux's objects.
pub const FINALIZER: &str = "finalizers.fluxcd.io";
/// Field manager of objects that a Kustomization applies.
pub const APPLY_MANAGER: &str = "kustomize-controller";
/// Field manager of a Kustomization's status and finalizers.
pub const KUSTOMIZATION_STATUS_MANAGER: &str = "gotk-kustomize-controller";
/// Field manager of a GitRepository's status and finalizers.
pub const SOURCE_STATUS_MANAGER: &str = "source-controller";
/// Label that names the Kustomization which owns an object.
pub const OWNER_NAME: &str = "kustomize.toolkit.fluxcd.io/name";
/// Label that names the namespace of the Kustomization which owns an object.
pub const OWNER_NAMESPACE: &str = "kustomize.toolkit.fluxcd.io/namespace";
/// Annotation on a Kustomization that lets a guarded prune of this revision go on.
pub const PRUNE_CONFIRM: &str = "coracle.dev/prune-confirm";
