//! Defaults of the workload kinds (`pkg/apis/apps/v1`, `batch/v1`). No I/O.

use serde_json::{Value, json};

use super::pods;
use crate::object::{self, items_mut, put_default};
use crate::resource::Kind;

/// Fills in a workload; false if the kind is none.
pub(crate) fn set(value: &mut Value, kind: &Kind) -> bool {
    if value.get("spec").is_none_or(|spec| !spec.is_object()) {
        return matches!(kind.group.as_str(), "apps" | "batch");
    }
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("apps", "deployments") => {
            put_default(value, &["spec", "replicas"], 1);
            put_default(value, &["spec", "strategy", "type"], "RollingUpdate");
            if object::text(value, &["spec", "strategy", "type"]) == "RollingUpdate" {
                put_default(
                    value,
                    &["spec", "strategy", "rollingUpdate", "maxUnavailable"],
                    "25%",
                );
                put_default(value, &["spec", "strategy", "rollingUpdate", "maxSurge"], "25%");
            }
            put_default(value, &["spec", "revisionHistoryLimit"], 10);
            if !mutated!(DefaultForgotten) {
                put_default(value, &["spec", "progressDeadlineSeconds"], 600);
            }
        }
        ("apps", "statefulsets") => {
            put_default(value, &["spec", "replicas"], 1);
            put_default(value, &["spec", "podManagementPolicy"], "OrderedReady");
            put_default(value, &["spec", "updateStrategy", "type"], "RollingUpdate");
            if object::text(value, &["spec", "updateStrategy", "type"]) == "RollingUpdate" {
                put_default(
                    value,
                    &["spec", "updateStrategy", "rollingUpdate", "partition"],
                    0,
                );
            }
            put_default(value, &["spec", "revisionHistoryLimit"], 10);
            let policy = &["spec", "persistentVolumeClaimRetentionPolicy"];
            put_default(value, &[policy[0], policy[1], "whenDeleted"], "Retain");
            put_default(value, &[policy[0], policy[1], "whenScaled"], "Retain");
            for claim in items_mut(value, &["spec", "volumeClaimTemplates"]) {
                object::put(claim, &["apiVersion"], "v1");
                object::put(claim, &["kind"], "PersistentVolumeClaim");
                put_default(claim, &["spec", "volumeMode"], "Filesystem");
                put_default(claim, &["status", "phase"], "Pending");
                pods::quantities(claim, &["spec", "resources", "requests"]);
            }
        }
        ("apps", "daemonsets") => {
            put_default(value, &["spec", "updateStrategy", "type"], "RollingUpdate");
            if object::text(value, &["spec", "updateStrategy", "type"]) == "RollingUpdate" {
                put_default(
                    value,
                    &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"],
                    1,
                );
                put_default(value, &["spec", "updateStrategy", "rollingUpdate", "maxSurge"], 0);
            }
            put_default(value, &["spec", "revisionHistoryLimit"], 10);
        }
        ("apps", "replicasets") => put_default(value, &["spec", "replicas"], 1),
        ("", "replicationcontrollers") => {
            put_default(value, &["spec", "replicas"], 1);
            let labels = object::entries(value, &["spec", "template", "metadata", "labels"]).clone();
            if !labels.is_empty() {
                put_default(value, &["spec", "selector"], labels.clone());
                put_default(value, &["metadata", "labels"], labels);
            }
        }
        ("batch", "jobs") => job(value, &["spec"]),
        ("batch", "cronjobs") => {
            put_default(value, &["spec", "concurrencyPolicy"], "Allow");
            put_default(value, &["spec", "suspend"], false);
            put_default(value, &["spec", "successfulJobsHistoryLimit"], 3);
            put_default(value, &["spec", "failedJobsHistoryLimit"], 1);
            template(value, &["spec", "jobTemplate", "spec", "template"]);
            return true;
        }
        _ => return false,
    }
    template(value, &["spec", "template"]);
    true
}

fn template(value: &mut Value, path: &[&str]) {
    let Some(template) = path.iter().try_fold(value, |value, name| value.get_mut(name)) else {
        return;
    };
    pods::spec(template, &["spec"]);
}

fn job(value: &mut Value, path: &[&str]) {
    let Some(spec) = path.iter().try_fold(value, |value, name| value.get_mut(name)) else {
        return;
    };
    let given = |spec: &Value, field: &str| spec.get(field).is_some_and(|value| !value.is_null());
    if !given(spec, "completions") && !given(spec, "parallelism") {
        put_default(spec, &["completions"], 1);
    }
    put_default(spec, &["parallelism"], 1);
    put_default(spec, &["manualSelector"], false);
    put_default(spec, &["completionMode"], "NonIndexed");
    put_default(spec, &["suspend"], false);
    let limit = if given(spec, "backoffLimitPerIndex") {
        i32::MAX
    } else {
        6
    };
    put_default(spec, &["backoffLimit"], limit);
    put_default(
        spec,
        &["podReplacementPolicy"],
        if given(spec, "podFailurePolicy") {
            "Failed"
        } else {
            "TerminatingOrFailed"
        },
    );
}

/// What strategies add on creation.
pub(crate) fn on_create(value: &mut Value, kind: &Kind) {
    if kind.is("batch", "jobs")
        && object::at(value, &["spec", "manualSelector"]).and_then(Value::as_bool) != Some(true)
    {
        let uid = object::meta(value, "uid").to_owned();
        let name = object::meta(value, "name").to_owned();
        put_default(
            value,
            &["spec", "selector"],
            json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}),
        );
        let labels = object::map_at(value, &["spec", "template", "metadata", "labels"]);
        for (key, text) in [
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
            ("controller-uid", &uid),
            ("job-name", &name),
        ] {
            labels.insert(key.into(), text.as_str().into());
        }
    }
    if kind.is("batch", "jobs") && object::entries(value, &["metadata", "labels"]).is_empty() {
        let labels = object::entries(value, &["spec", "template", "metadata", "labels"]).clone();
        object::put(value, &["metadata", "labels"], labels);
    }
    if kind.is("", "pods") {
        put_default(value, &["spec", "serviceAccountName"], "default");
        put_default(value, &["spec", "serviceAccount"], "default");
        put_default(value, &["spec", "preemptionPolicy"], "PreemptLowerPriority");
        put_default(value, &["spec", "priority"], 0);
        tolerate(value);
    }
}

/// A pod stays for a while on a node that is out of reach (admission's DefaultTolerationSeconds).
fn tolerate(pod: &mut Value) {
    let mut tolerations = object::items(pod, &["spec", "tolerations"]).to_vec();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !tolerations.iter().any(|toleration| tolerates(toleration, key)) {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
            }));
        }
    }
    object::put(pod, &["spec", "tolerations"], tolerations);
}

/// Whether a toleration covers a node that is taken out of service for this reason.
fn tolerates(toleration: &Value, key: &str) -> bool {
    let text = |field: &str| object::text(toleration, &[field]);
    (text("key") == key || text("key").is_empty()) && matches!(text("effect"), "NoExecute" | "")
}

/// What a strategy adds to a new object before it is known who owns what.
pub(crate) fn prepare(value: &mut Value, kind: &Kind) {
    if kind.is("apps", "daemonsets") {
        object::put(value, &["metadata", "annotations", TEMPLATE_GENERATION], "1");
    }
}

/// Counts a DaemonSet's templates, for very old clients.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// A Job keeps the selector it was given.
pub(crate) fn on_update(value: &mut Value, live: &Value, kind: &Kind) {
    if kind.is("batch", "jobs") && object::at(value, &["spec", "selector"]).is_none_or(Value::is_null) {
        object::copy(value, live, &["spec", "selector"]);
    }
    if kind.is("", "pods") {
        tolerate(value);
    }
    if kind.is("apps", "daemonsets") {
        let before: i64 = object::text(live, &["metadata", "annotations", TEMPLATE_GENERATION])
            .parse()
            .unwrap_or(0);
        let changed = object::at(value, &["spec", "template"]) != object::at(live, &["spec", "template"]);
        let now = (before + i64::from(changed)).to_string();
        object::put(value, &["metadata", "annotations", TEMPLATE_GENERATION], now);
    }
}
