//! What a verdict is about: the objects to wait for, and what is known about each beforehand.
//!
//! In: the answers to an apply, or the spec's healthChecks. Out: [`Target`]s. Pure.

use std::fmt;

use serde_json::Value;

use super::freshness::Expected;

/// An object by what stays the same when its API version changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// API group; empty for the core group.
    pub group: Box<str>,
    /// Kind.
    pub kind: Box<str>,
    /// Namespace; empty for objects of the whole cluster.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
}

impl ObjectRef {
    /// Makes a reference from its parts.
    #[must_use]
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Reads the reference of an object; what is missing is empty.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let text = |value: &Value| -> Box<str> { value.as_str().unwrap_or_default().into() };
        let version = object["apiVersion"].as_str().unwrap_or_default();
        let metadata = &object["metadata"];
        Self {
            group: version.split_once('/').map_or("", |(group, _)| group).into(),
            kind: text(&object["kind"]),
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
        }
    }
}

/// Writes `Kind/namespace/name`, or `Kind/name` without a namespace, as Flux's messages do.
impl fmt::Display for ObjectRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return write!(formatter, "{}/{}", self.kind, self.name);
        }
        write!(formatter, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

/// One object that a verdict waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which object.
    pub object: ObjectRef,
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
            object: ObjectRef::of(answer),
            expected: Some(Expected::from_answer(answer)),
            vanishes_when_done: is_job_with_ttl(answer),
        }
    }

    /// Waits for an object that others apply.
    #[must_use]
    pub fn elsewhere(object: ObjectRef) -> Self {
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
        !(&*object.kind == "Kustomization" && &*object.namespace == namespace && &*object.name == name)
    });
    targets
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_written_as_flux_writes_them() {
        assert_eq!(
            ObjectRef::new("apps", "Deployment", "web", "api").to_string(),
            "Deployment/web/api"
        );
        assert_eq!(
            ObjectRef::new("", "Namespace", "", "web").to_string(),
            "Namespace/web"
        );
    }

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
        let itself = Target::elsewhere(ObjectRef::new(flux, "Kustomization", "flux-system", "apps"));
        let other = Target::elsewhere(ObjectRef::new(flux, "Kustomization", "flux-system", "infra"));
        assert_eq!(
            without_self(vec![itself, other.clone()], "flux-system", "apps"),
            [other]
        );
    }
}
