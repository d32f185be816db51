//! Fields that Flux knows and Coracle does not serve yet: accepted by the schema, refused by name. Pure.

use crate::api::{KustomizationSpec, SourceKind};
use crate::plan::Owner;

/// The longest value of a label, which the name of an owner becomes (rule 16).
const MAX_LABEL: usize = 63;

/// What of a spec is not served.
pub(crate) fn unserved(owner: &Owner, spec: &KustomizationSpec) -> Option<String> {
    if owner.name.len() > MAX_LABEL {
        return Some(format!(
            "the name is longer than {MAX_LABEL} characters, and cannot be written in the owner label"
        ));
    }
    let dependency = spec
        .depends_on
        .iter()
        .any(|dependency| dependency.ready_expr.is_some());
    let account = spec
        .decryption
        .as_ref()
        .is_some_and(|decryption| decryption.service_account_name.is_some());
    let fields = [
        (
            spec.source_ref.kind != SourceKind::GitRepository,
            "spec.sourceRef.kind other than GitRepository",
        ),
        (spec.kube_config.is_some(), "spec.kubeConfig"),
        (!spec.health_check_exprs.is_empty(), "spec.healthCheckExprs"),
        (!spec.build_metadata.is_empty(), "spec.buildMetadata"),
        (!spec.ignore.is_empty(), "spec.ignore"),
        (dependency, "spec.dependsOn[].readyExpr"),
        (account, "spec.decryption.serviceAccountName"),
    ];
    let refused: Vec<&str> = fields
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, field)| *field)
        .collect();
    if refused.is_empty() {
        return None;
    }
    Some(format!(
        "not supported yet: {}; remove it to have this reconciled",
        refused.join(", ")
    ))
}
