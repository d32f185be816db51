//! Health of one object by its own fields, as Flux computes it (kstatus).
//!
//! In: an object as the API server gives it, and the time. Out: a [`Status`]. Pure.
//!
//! The rules and the wording are those of `github.com/fluxcd/cli-utils` `pkg/kstatus/status`, and for Jobs those of
//! `github.com/fluxcd/pkg/runtime/statusreaders`; `tests/kstatus.rs` compares both with the originals. A
//! human's question "why" is answered in [`super::why`], since these messages only count replicas.

use std::borrow::Cow;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

/// How long a pod may be unschedulable before that counts as a failure.
const SCHEDULING_WINDOW: SignedDuration = SignedDuration::from_secs(15);

/// Closed set of states that an object can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatusKind {
    /// As its spec wants it.
    Current,
    /// On its way there.
    InProgress,
    /// Will not get there by itself.
    Failed,
    /// Being deleted.
    Terminating,
    /// Not in the cluster.
    NotFound,
    /// Its fields have types that the rules cannot read.
    Unknown,
}

impl fmt::Display for StatusKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Current => "Current",
            Self::InProgress => "InProgress",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
            Self::NotFound => "NotFound",
            Self::Unknown => "Unknown",
        })
    }
}

/// What an object's fields say about its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub kind: StatusKind,
    /// Why, in kstatus' words.
    pub message: Cow<'static, str>,
}

impl Status {
    fn new(kind: StatusKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    fn current(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusKind::Current, message)
    }

    fn in_progress(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusKind::InProgress, message)
    }

    fn failed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusKind::Failed, message)
    }
}

/// Computes the status of an object. `now` only matters for a pod that cannot be scheduled.
#[must_use]
pub fn compute(object: &Value, now: Timestamp) -> Status {
    judge(object, now).unwrap_or_else(|malformed| Status::new(StatusKind::Unknown, malformed.to_string()))
}

/// A field has a type that the rules do not expect.
#[derive(Debug, thiserror::Error)]
enum Malformed {
    #[error("{0} is not of the type that Kubernetes gives it")]
    Field(&'static str),
    #[error("unknown phase {0}")]
    Phase(String),
}

fn judge(object: &Value, now: Timestamp) -> Result<Status, Malformed> {
    let group = api_group(object);
    let kind = object["kind"].as_str().unwrap_or_default();
    // Flux reads Jobs by rules of its own, which know neither deletion nor generation.
    if (group, kind) == ("batch", "Job") {
        return job(object);
    }
    if let Some(status) = by_generic_fields(object, kind)? {
        return Ok(status);
    }
    match (group, kind) {
        ("", "Service") => Ok(service(object)),
        ("", "Pod") => pod(object, now),
        ("", "Secret" | "ConfigMap") | ("batch", "CronJob") => {
            Ok(Status::current("Resource is always ready"))
        }
        ("", "PersistentVolumeClaim") => Ok(claim(object)),
        ("apps", "StatefulSet") => Ok(stateful_set(object)),
        ("apps" | "extensions", "DaemonSet") => daemon_set(object, kind),
        ("apps" | "extensions", "Deployment") => deployment(object),
        ("apps" | "extensions", "ReplicaSet") => replica_set(object),
        ("policy", "PodDisruptionBudget") => Ok(Status::current("AllowedDisruptions has been computed.")),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        _ => by_ready_condition(object),
    }
}

/// Group of an object's `apiVersion`; empty for the core group.
fn api_group(object: &Value) -> &str {
    object["apiVersion"]
        .as_str()
        .and_then(|version| version.split_once('/'))
        .map_or("", |(group, _)| group)
}

fn by_generic_fields(object: &Value, kind: &str) -> Result<Option<Status>, Malformed> {
    let metadata = section(object, "metadata")?;
    match field(metadata, "deletionTimestamp") {
        None => {}
        Some(Value::String(time)) if time.is_empty() => {}
        Some(Value::String(_)) => {
            return Ok(Some(Status::new(
                StatusKind::Terminating,
                "Resource scheduled for deletion",
            )));
        }
        Some(_) => return Err(Malformed::Field("metadata.deletionTimestamp")),
    }
    if let Some(generation) = integer(metadata, "generation", "metadata.generation")?
        && let Some(observed) = observed_generation(object)?
        && observed != generation
    {
        return Ok(Some(Status::in_progress(format!(
            "{kind} generation is {generation}, but latest observed generation is {observed}"
        ))));
    }
    for condition in conditions(object)?
        .into_iter()
        .filter(|condition| condition.status == "True")
    {
        match condition.kind {
            "Reconciling" => return Ok(Some(Status::in_progress(condition.message.to_owned()))),
            "Stalled" => return Ok(Some(Status::failed(condition.message.to_owned()))),
            _ => {}
        }
    }
    Ok(None)
}

fn by_ready_condition(object: &Value) -> Result<Status, Malformed> {
    let ready = conditions(object)?.into_iter().find(|condition| {
        condition.kind == "Ready" && matches!(condition.status, "True" | "False" | "Unknown")
    });
    Ok(match ready {
        None => Status::current("Resource is current"),
        Some(condition) if condition.status == "True" => Status::current("Resource is Ready"),
        Some(condition) => Status::in_progress(condition.message.to_owned()),
    })
}

fn service(object: &Value) -> Status {
    let spec = &object["spec"];
    if text(spec, "type", "ClusterIP") == "LoadBalancer" && text(spec, "clusterIP", "").is_empty() {
        return Status::in_progress("ClusterIP not set. Service type: LoadBalancer");
    }
    Status::current("Service is ready")
}

fn pod(object: &Value, now: Timestamp) -> Result<Status, Malformed> {
    let conditions = conditions(object)?;
    match text(&object["status"], "phase", "") {
        "" => Ok(Status::in_progress("Pod phase not available")),
        "Succeeded" => Ok(Status::current("Pod has completed successfully")),
        "Failed" => Ok(Status::current("Pod has completed, but not successfully")),
        "Running" => Ok(running_pod(object, &conditions)),
        "Pending" => Ok(pending_pod(object, &conditions, now)),
        other => Err(Malformed::Phase(other.to_owned())),
    }
}

fn running_pod(object: &Value, conditions: &[Condition<'_>]) -> Status {
    if conditions.iter().any(|condition| condition.is("Ready", "True")) {
        return Status::current("Pod is Ready");
    }
    let crashing: Vec<&str> = object["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|container| container["state"]["waiting"]["reason"] == "CrashLoopBackOff")
        .filter_map(|container| container["name"].as_str())
        .collect();
    if crashing.is_empty() {
        return Status::in_progress("Pod is running but is not Ready");
    }
    Status::failed(format!("Containers in CrashLoop state: {}", crashing.join(",")))
}

fn pending_pod(object: &Value, conditions: &[Condition<'_>], now: Timestamp) -> Status {
    let scheduled = conditions
        .iter()
        .find(|condition| condition.is("PodScheduled", "False"));
    if scheduled.is_none_or(|condition| condition.reason != "Unschedulable") {
        return Status::in_progress("Pod is in the Pending phase");
    }
    let created = object["metadata"]["creationTimestamp"]
        .as_str()
        .and_then(|time| time.parse::<Timestamp>().ok());
    if created.is_some_and(|created| now - SCHEDULING_WINDOW < created) {
        return Status::in_progress("Pod has not been scheduled");
    }
    Status::failed("Pod could not be scheduled")
}

fn claim(object: &Value) -> Status {
    match text(&object["status"], "phase", "unknown") {
        "Bound" => Status::current("PVC is Bound"),
        phase => Status::in_progress(format!("PVC is not Bound. phase: {phase}")),
    }
}

fn stateful_set(object: &Value) -> Status {
    let (spec, status) = (&object["spec"], &object["status"]);
    if text(&spec["updateStrategy"], "type", "") == "OnDelete" {
        return Status::current("StatefulSet is using the ondelete update strategy");
    }
    let wanted = count(spec, "replicas", 1);
    let ready = count(status, "readyReplicas", 0);
    let current = count(status, "currentReplicas", 0);
    let updated = count(status, "updatedReplicas", 0);
    let existing = count(status, "replicas", 0);
    let partition = count(&spec["updateStrategy"]["rollingUpdate"], "partition", -1);

    if wanted > existing {
        return Status::in_progress(format!("Replicas: {existing}/{wanted}"));
    }
    if wanted > ready {
        return Status::in_progress(format!("Ready: {ready}/{wanted}"));
    }
    if existing > wanted {
        return Status::in_progress(format!(
            "Pending termination: {}",
            existing.saturating_sub(wanted)
        ));
    }
    if partition != -1 {
        let beyond = wanted.saturating_sub(partition);
        if updated < beyond {
            return Status::in_progress(format!("updated: {updated}/{beyond}"));
        }
        return Status::current(format!("Partition rollout complete. updated: {updated}"));
    }
    if wanted > current {
        return Status::in_progress(format!("current: {current}/{wanted}"));
    }
    if text(status, "currentRevision", "") != text(status, "updateRevision", "") {
        return Status::in_progress("Waiting for updated revision to match current");
    }
    Status::current(format!(
        "All replicas scheduled as expected. Replicas: {existing}"
    ))
}

fn deployment(object: &Value) -> Result<Status, Malformed> {
    /// A deadline of this value means none to the controller, which then writes no Progressing condition.
    const NO_DEADLINE: i64 = i32::MAX as i64;

    let (spec, status) = (&object["spec"], &object["status"]);
    let mut progressing = count(spec, "progressDeadlineSeconds", NO_DEADLINE) == NO_DEADLINE;
    let mut available = false;
    for condition in conditions(object)? {
        match condition.kind {
            "Progressing" if condition.reason == "ProgressDeadlineExceeded" => {
                return Ok(Status::failed("Progress deadline exceeded"));
            }
            "Progressing" if condition.is("Progressing", "True") => {
                progressing |= condition.reason == "NewReplicaSetAvailable";
            }
            "Available" => available |= condition.status == "True",
            _ => {}
        }
    }
    let wanted = count(spec, "replicas", 1);
    let existing = count(status, "replicas", 0);
    let updated = count(status, "updatedReplicas", 0);
    let ready = count(status, "readyReplicas", 0);
    let serving = count(status, "availableReplicas", 0);

    Ok(if wanted > existing {
        Status::in_progress(format!("Replicas: {existing}/{wanted}"))
    } else if wanted > updated {
        Status::in_progress(format!("Updated: {updated}/{wanted}"))
    } else if existing > wanted {
        Status::in_progress(format!(
            "Pending termination: {}",
            existing.saturating_sub(wanted)
        ))
    } else if updated > serving {
        Status::in_progress(format!("Available: {serving}/{updated}"))
    } else if wanted > ready {
        Status::in_progress(format!("Ready: {ready}/{wanted}"))
    } else if !progressing {
        Status::in_progress("ReplicaSet not Available")
    } else if !available {
        Status::in_progress("Deployment not Available")
    } else {
        Status::current(format!("Deployment is available. Replicas: {existing}"))
    })
}

fn replica_set(object: &Value) -> Result<Status, Malformed> {
    if conditions(object)?
        .iter()
        .any(|condition| condition.is("ReplicaFailure", "True"))
    {
        return Ok(Status::in_progress("Replica Failure condition. Check Pods"));
    }
    let status = &object["status"];
    let wanted = count(&object["spec"], "replicas", 1);
    let existing = count(status, "replicas", 0);
    let ready = count(status, "readyReplicas", 0);
    let available = count(status, "availableReplicas", 0);
    let labelled = count(status, "fullyLabeledReplicas", 0);

    Ok(if wanted > labelled {
        Status::in_progress(format!("Labelled: {labelled}/{wanted}"))
    } else if wanted > available {
        Status::in_progress(format!("Available: {available}/{wanted}"))
    } else if wanted > ready {
        Status::in_progress(format!("Ready: {ready}/{wanted}"))
    } else if existing > wanted {
        Status::in_progress(format!(
            "Pending termination: {}",
            existing.saturating_sub(wanted)
        ))
    } else {
        Status::current(format!("ReplicaSet is available. Replicas: {existing}"))
    })
}

fn daemon_set(object: &Value, kind: &str) -> Result<Status, Malformed> {
    // Its controller always writes both, so their absence means that it has not looked yet.
    if integer(section(object, "metadata")?, "generation", "metadata.generation")?.is_none() {
        return Ok(Status::in_progress(format!(
            "{kind} metadata.generation not found"
        )));
    }
    if observed_generation(object)?.is_none() {
        return Ok(Status::in_progress(format!(
            "{kind} status.observedGeneration not found"
        )));
    }
    let status = &object["status"];
    let wanted = count(status, "desiredNumberScheduled", -1);
    let current = count(status, "currentNumberScheduled", 0);
    let updated = count(status, "updatedNumberScheduled", 0);
    let available = count(status, "numberAvailable", 0);
    let ready = count(status, "numberReady", 0);

    Ok(if wanted == -1 {
        Status::in_progress("Missing .status.desiredNumberScheduled")
    } else if wanted > current {
        Status::in_progress(format!("Current: {current}/{wanted}"))
    } else if wanted > updated {
        Status::in_progress(format!("Updated: {updated}/{wanted}"))
    } else if wanted > available {
        Status::in_progress(format!("Available: {available}/{wanted}"))
    } else if wanted > ready {
        Status::in_progress(format!("Ready: {ready}/{wanted}"))
    } else {
        Status::current(format!("All replicas scheduled as expected. Replicas: {wanted}"))
    })
}

fn job(object: &Value) -> Result<Status, Malformed> {
    let (spec, status) = (&object["spec"], &object["status"]);
    if field(spec, "suspend") == Some(&Value::Bool(true)) {
        return Ok(Status::current("Job is suspended"));
    }
    let parallelism = count(spec, "parallelism", 1);
    let completions = count(spec, "completions", parallelism);
    let active = count(status, "active", 0);
    let succeeded = count(status, "succeeded", 0);
    let failed = count(status, "failed", 0);
    for condition in conditions(object)?
        .into_iter()
        .filter(|condition| condition.status == "True")
    {
        match condition.kind {
            "Complete" => {
                return Ok(Status::current(format!(
                    "Job Completed. succeeded: {succeeded}/{completions}"
                )));
            }
            "Failed" => {
                return Ok(Status::failed(format!(
                    "Job Failed. failed: {failed}/{completions}"
                )));
            }
            _ => {}
        }
    }
    if text(status, "startTime", "").is_empty() {
        return Ok(Status::in_progress(format!(
            "Job not started. active: 0/{parallelism}"
        )));
    }
    Ok(Status::in_progress(format!(
        "Job in progress. success:{succeeded}, active: {active}, failed: {failed}"
    )))
}

fn definition(object: &Value) -> Result<Status, Malformed> {
    for condition in conditions(object)? {
        if condition.is("NamesAccepted", "False")
            || (condition.is("Established", "False") && condition.reason != "Installing")
        {
            return Ok(Status::failed(condition.message.to_owned()));
        }
        if condition.is("Established", "True") {
            return Ok(Status::current("CRD is established"));
        }
    }
    Ok(Status::in_progress("Install in progress"))
}

/// One entry of `status.conditions`; what is missing is empty.
struct Condition<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
    fn is(&self, kind: &str, status: &str) -> bool {
        self.kind == kind && self.status == status
    }
}

fn conditions(object: &Value) -> Result<Vec<Condition<'_>>, Malformed> {
    let entries = match field(section(object, "status")?, "conditions") {
        None => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(Malformed::Field("status.conditions")),
    };
    let part = |entry: &'_ Value, name: &str| match field(entry, name) {
        None => Ok(()),
        Some(Value::String(_)) => Ok(()),
        Some(_) => Err(Malformed::Field("status.conditions")),
    };
    entries
        .iter()
        .map(|entry| {
            if !entry.is_object() && !entry.is_null() {
                return Err(Malformed::Field("status.conditions"));
            }
            for name in ["type", "status", "reason", "message"] {
                part(entry, name)?;
            }
            Ok(Condition {
                kind: text(entry, "type", ""),
                status: text(entry, "status", ""),
                reason: text(entry, "reason", ""),
                message: text(entry, "message", ""),
            })
        })
        .collect()
}

/// An object under `name`, or null when there is none.
fn section<'a>(object: &'a Value, name: &'static str) -> Result<&'a Value, Malformed> {
    match &object[name] {
        found @ (Value::Null | Value::Object(_)) => Ok(found),
        _ => Err(Malformed::Field(name)),
    }
}

fn observed_generation(object: &Value) -> Result<Option<i64>, Malformed> {
    integer(
        section(object, "status")?,
        "observedGeneration",
        "status.observedGeneration",
    )
}

fn integer(parent: &Value, name: &str, path: &'static str) -> Result<Option<i64>, Malformed> {
    field(parent, name)
        .map(|value| value.as_i64().ok_or(Malformed::Field(path)))
        .transpose()
}

fn field<'a>(parent: &'a Value, name: &str) -> Option<&'a Value> {
    parent
        .as_object()
        .and_then(|fields: &Map<String, Value>| fields.get(name))
        .filter(|value| !value.is_null())
}

fn text<'a>(parent: &'a Value, name: &str, otherwise: &'a str) -> &'a str {
    field(parent, name).and_then(Value::as_str).unwrap_or(otherwise)
}

fn count(parent: &Value, name: &str, otherwise: i64) -> i64 {
    field(parent, name).and_then(Value::as_i64).unwrap_or(otherwise)
}
