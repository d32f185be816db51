//! Rules for the content of built-in kinds that users trip over. No I/O.

use serde_json::Value;

use super::{names, others, pods, services};
use crate::answer::Cause;
use crate::object;
use crate::resource::Kind;

const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// Causes in the content of an object.
pub(crate) fn check(value: &Value, kind: &Kind) -> Vec<Cause> {
    let mut causes = Vec::new();
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => pods::spec(value, "spec", &["spec"], &mut causes),
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets") => {
            workload(value, kind, &mut causes);
        }
        ("batch", "jobs") => job(value, &mut causes),
        ("batch", "cronjobs") => cron_job(value, &mut causes),
        ("", "services") => services::check(value, &mut causes),
        ("", "configmaps") => others::data_keys(value, &mut causes),
        ("", "secrets") => {
            others::data_keys(value, &mut causes);
            others::secret(value, &mut causes);
        }
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => others::rules(value, &mut causes),
        ("policy", "poddisruptionbudgets") => others::budget(value, &mut causes),
        ("autoscaling", "horizontalpodautoscalers") => others::scaler(value, kind, &mut causes),
        ("", "persistentvolumeclaims") => others::claim(value, &mut causes),
        ("networking.k8s.io", "ingresses") => others::ingress(value, &mut causes),
        _ => {}
    }
    causes
}

fn workload(value: &Value, kind: &Kind, causes: &mut Vec<Cause>) {
    if let Some(replicas) = object::number(value, &["spec", "replicas"]).filter(|replicas| *replicas < 0) {
        causes.push(Cause::invalid(
            "spec.replicas",
            &replicas.into(),
            "must be greater than or equal to 0",
        ));
    }
    match object::at(value, &["spec", "selector"]) {
        None | Some(Value::Null) => {
            // A DaemonSet is only told that nothing fits.
            if kind.plural != "daemonsets" {
                causes.push(Cause::required("spec.selector", ""));
            }
            {
                let path = ["spec", "template", "metadata", "labels"];
                let labels = object::at(value, &path).cloned().unwrap_or_default();
                causes.push(Cause::invalid(
                    "spec.template.metadata.labels",
                    &labels,
                    "`selector` does not match template `labels`",
                ));
            }
        }
        Some(selector) => {
            if is_empty(selector) {
                let empty = serde_json::json!({});
                causes.push(Cause::invalid(
                    "spec.selector",
                    &empty,
                    "empty selector is invalid for deployment",
                ));
            }
            let labels = object::entries(value, &["spec", "template", "metadata", "labels"]);
            if !selects(selector, labels) {
                let shown = Value::Object(labels.clone());
                causes.push(Cause::invalid(
                    "spec.template.metadata.labels",
                    &shown,
                    "`selector` does not match template `labels`",
                ));
            }
        }
    }
    for key in object::entries(value, &["spec", "template", "metadata", "labels"]).keys() {
        for complaint in names::qualified(key, "valid label key") {
            causes.push(Cause::invalid(
                "spec.template.labels",
                &key.as_str().into(),
                &complaint,
            ));
        }
    }
    pods::spec(value, "spec.template.spec", &["spec", "template", "spec"], causes);
    let policy = object::text(value, &["spec", "template", "spec", "restartPolicy"]);
    if !policy.is_empty() && policy != "Always" {
        causes.push(Cause::unsupported(
            "spec.template.spec.restartPolicy",
            &policy.into(),
            &["Always"],
        ));
    }
    if kind.plural == "deployments" {
        strategy(value, causes);
    }
    let limit = object::number(value, &["spec", "revisionHistoryLimit"]);
    if let Some(limit) = limit.filter(|limit| *limit < 0) {
        causes.push(Cause::invalid(
            "spec.revisionHistoryLimit",
            &limit.into(),
            NOT_NEGATIVE,
        ));
    }
    let management = object::text(value, &["spec", "podManagementPolicy"]);
    if kind.plural == "statefulsets" && !matches!(management, "" | "OrderedReady" | "Parallel") {
        let why = "must be 'OrderedReady' or 'Parallel'";
        causes.push(Cause::invalid(
            "spec.podManagementPolicy",
            &management.into(),
            why,
        ));
    }
}

/// Causes in the numbers of a Deployment's status.
pub(super) fn counts(value: &Value) -> Vec<Cause> {
    let number = |field: &str| object::number(value, &["status", field]).unwrap_or(0);
    let mut causes = Vec::new();
    for field in COUNTS.into_iter().filter(|field| number(field) < 0) {
        causes.push(Cause::invalid(
            format!("status.{field}"),
            &number(field).into(),
            NOT_NEGATIVE,
        ));
    }
    let most = number("replicas");
    for field in ["updatedReplicas", "readyReplicas", "availableReplicas"] {
        if number(field) > most {
            let why = "cannot be greater than status.replicas";
            causes.push(Cause::invalid(
                format!("status.{field}"),
                &number(field).into(),
                why,
            ));
        }
    }
    causes
}

const COUNTS: [&str; 5] = [
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
];

/// Whether a label selector covers these labels.
pub(crate) fn selects(selector: &Value, labels: &serde_json::Map<String, Value>) -> bool {
    let exact = object::entries(selector, &["matchLabels"])
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value));
    let expressions = object::items(selector, &["matchExpressions"])
        .iter()
        .all(|expression| {
            let label = labels.get(object::text(expression, &["key"]));
            let values = object::items(expression, &["values"]);
            match object::text(expression, &["operator"]) {
                "In" => label.is_some_and(|label| values.contains(label)),
                "NotIn" => label.is_none_or(|label| !values.contains(label)),
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => false,
            }
        });
    exact && expressions
}

fn is_empty(selector: &Value) -> bool {
    object::entries(selector, &["matchLabels"]).is_empty()
        && object::items(selector, &["matchExpressions"]).is_empty()
}

/// Whether a share of pods is a number or a percentage.
fn check_share(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    let share = object::at(value, &["spec", "strategy", "rollingUpdate", field]).unwrap_or(&Value::Null);
    let Some(text) = share.as_str() else { return };
    let digits = text.strip_suffix('%').unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
        causes.push(Cause::invalid(
            format!("spec.strategy.rollingUpdate.{field}"),
            share,
            why,
        ));
    }
}

fn strategy(value: &Value, causes: &mut Vec<Cause>) {
    let kind = object::text(value, &["spec", "strategy", "type"]);
    let none = |field: &str| {
        let share = object::at(value, &["spec", "strategy", "rollingUpdate", field]);
        share.is_some_and(|share| share == &Value::from(0) || share == &Value::from("0%"))
    };
    if kind == "RollingUpdate" {
        for field in ["maxUnavailable", "maxSurge"] {
            check_share(value, field, causes);
        }
        if none("maxUnavailable") && none("maxSurge") {
            let why = "may not be 0 when `maxSurge` is 0";
            causes.push(Cause::invalid(
                "spec.strategy.rollingUpdate.maxUnavailable",
                &0.into(),
                why,
            ));
        }
    }
    if kind == "Recreate" && object::at(value, &["spec", "strategy", "rollingUpdate"]).is_some() {
        let why = "may not be specified when strategy `type` is 'Recreate'";
        causes.push(Cause::forbidden("spec.strategy.rollingUpdate", why));
    } else if !matches!(kind, "Recreate" | "RollingUpdate") {
        let shown = serde_json::json!({ "Type": kind, "RollingUpdate": null });
        let mut cause = Cause::unsupported("spec.strategy", &shown, &["Recreate", "RollingUpdate"]);
        // Go prints the fields in the order of the struct.
        cause.message = cause.message.replace(
            &shown.to_string(),
            &format!("{{\"Type\":{kind:?},\"RollingUpdate\":null}}"),
        );
        causes.push(cause);
    }
}

fn job(value: &Value, causes: &mut Vec<Cause>) {
    pods::spec(value, "spec.template.spec", &["spec", "template", "spec"], causes);
    let policy = object::text(value, &["spec", "template", "spec", "restartPolicy"]);
    if policy == "Always" {
        causes.push(Cause {
            reason: "FieldValueRequired",
            message: "Required value: valid values: \"OnFailure\", \"Never\"".into(),
            field: "spec.template.spec.restartPolicy".into(),
        });
    }
}

fn cron_job(value: &Value, causes: &mut Vec<Cause>) {
    let schedule = object::text(value, &["spec", "schedule"]);
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if schedule.is_empty() {
        causes.push(Cause::required("spec.schedule", ""));
    } else if fields.len() != 5 && !schedule.starts_with('@') {
        let why = format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        );
        causes.push(Cause::invalid("spec.schedule", &schedule.into(), &why));
    }
    let zone = object::text(value, &["spec", "timeZone"]);
    if !zone.is_empty() && jiff::tz::TimeZone::get(zone).is_err() {
        let why = format!("unknown time zone {zone}");
        causes.push(Cause::invalid("spec.timeZone", &zone.into(), &why));
    }
    let path = ["spec", "jobTemplate", "spec", "template", "spec"];
    pods::spec(value, "spec.jobTemplate.spec.template.spec", &path, causes);
}
