//! What a verdict is about: the objects to wait for, and what is known about each beforehand.
//!
//! In: the answers to an apply, or the spec's healthChecks. Out: [`Target`]s. Pure.

use serde_json::Value;

use super::freshness::Expected;
use crate::plan::ObjectId;

/// One object that a verdict waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which object.
    pub object: ObjectId,
    /// The answer to its apply; `None` for an object that this run did not apply (a health check elsewhere), of
    /// which any state counts.
    pub expected: Option<Expected>,
    /// A Job with `ttlSecondsAfterFinished`: the cluster deletes it after it has finished, so its absence means
    /// done. (Flux does the same.)
    pub vanishes_when_done: bool,
}

impl Target {
    /// Waits for an object that was just applied, given the API server's answer to the apply.
    #[must_use]
    pub fn applied(answer: &Value) -> Self {
        Self {
            object: ObjectId::of(answer),
            expected: Some(Expected::from_answer(answer)),
            vanishes_when_done: is_job_with_ttl(answer),
        }
    }

    /// Waits for an object that others apply.
    #[must_use]
    pub fn elsewhere(object: ObjectId) -> Self {
        Self {
            object,
            expected: None,
            vanishes_when_done: false,
        }
    }
}

fn is_job_with_ttl(object: &Value) -> bool {
    object["kind"] == "Job"
        && object["apiVersion"]
            .as_str()
            .is_some_and(|version| version.starts_with("batch/"))
        && object["spec"]["ttlSecondsAfterFinished"].is_i64()
}

/// Leaves the waiting Kustomization itself out of its targets: it would wait for its own Ready condition for ever.
/// (Flux does the same.)
#[must_use]
pub fn without_self(mut targets: Vec<Target>, namespace: &str, name: &str) -> Vec<Target> {
    targets.retain(|target| {
        let object = &target.object;
        !(object.kind == "Kustomization" && object.namespace == namespace && object.name == name)
    });
    targets
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_job_with_a_ttl_vanishes_when_done() {
        let job = |version: &str, spec: Value| json!({"apiVersion": version, "kind": "Job", "metadata": {"name": "m", "namespace": "n"}, "spec": spec});
        assert!(Target::applied(&job("batch/v1", json!({"ttlSecondsAfterFinished": 0}))).vanishes_when_done);
        assert!(!Target::applied(&job("batch/v1", json!({}))).vanishes_when_done);
        assert!(!Target::applied(&job("x.dev/v1", json!({"ttlSecondsAfterFinished": 0}))).vanishes_when_done);
    }

    #[test]
    fn a_kustomization_does_not_wait_for_itself() {
        let flux = "kustomize.toolkit.fluxcd.io";
        let itself = Target::elsewhere(ObjectId::new(flux, "Kustomization", "flux-system", "apps"));
        let other = Target::elsewhere(ObjectId::new(flux, "Kustomization", "flux-system", "infra"));
        assert_eq!(
            without_self(vec![itself, other.clone()], "flux-system", "apps"),
            [other]
        );
    }
}
