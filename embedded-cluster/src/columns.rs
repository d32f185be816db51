//! What `kubectl get` shows of each kind.
//!
//! In: objects. Out: cells. No I/O; ages are given as times, which kubectl turns into ages.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::since;
use crate::jsonpath::json_path;
use crate::object;
use crate::resource::Kind;

const CREATED: &[&str] = &["metadata", "creationTimestamp"];

/// A column and how to fill it.
pub(crate) struct Column {
    name: String,
    kind: String,
    format: &'static str,
    description: String,
    priority: i64,
    cell: Cell,
}

enum Cell {
    /// The value at a path.
    Path(Vec<String>),
    /// The value at a JSONPath of a CRD.
    JsonPath(String),
    /// How long ago the time at a path was.
    Age(&'static [&'static str]),
    Function(fn(&Value) -> Value),
}

impl Column {
    fn new(name: &str, kind: &str, priority: i64, cell: Cell) -> Self {
        let format = if name == "Name" { "name" } else { "" };
        Self {
            name: name.into(),
            kind: kind.into(),
            format,
            description: String::new(),
            priority,
            cell,
        }
    }

    fn text(name: &str, cell: fn(&Value) -> Value) -> Self {
        Self::new(name, "string", 0, Cell::Function(cell))
    }

    fn wide(name: &str, cell: fn(&Value) -> Value) -> Self {
        Self::new(name, "string", 1, Cell::Function(cell))
    }

    fn path(name: &str, kind: &str, path: &[&str]) -> Self {
        Self::new(
            name,
            kind,
            0,
            Cell::Path(path.iter().map(|name| (*name).into()).collect()),
        )
    }

    pub(crate) fn definition(&self) -> Value {
        json!({
            "name": self.name, "type": self.kind, "format": self.format,
            "description": self.description, "priority": self.priority,
        })
    }

    pub(crate) fn cell(&self, value: &Value, now: Timestamp) -> Value {
        match &self.cell {
            Cell::Path(path) => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                object::at(value, &path).cloned().unwrap_or_else(|| {
                    if self.kind == "integer" {
                        0.into()
                    } else {
                        "".into()
                    }
                })
            }
            Cell::JsonPath(path) if self.kind == "date" => {
                let found = json_path(value, path);
                found.as_str().map_or(Value::Null, |time| since(time, now).into())
            }
            Cell::JsonPath(path) => json_path(value, path),
            Cell::Age(path) => age(value, path, now),
            Cell::Function(cell) => cell(value),
        }
    }
}

fn created(value: &Value) -> Value {
    object::meta(value, "creationTimestamp").into()
}

fn age(value: &Value, path: &[&str], now: Timestamp) -> Value {
    since(object::text(value, path), now).into()
}

fn joined<'a>(items: impl Iterator<Item = &'a str>) -> Value {
    let items: Vec<&str> = items.collect();
    if items.is_empty() {
        "<none>".into()
    } else {
        items.join(",").into()
    }
}

/// The columns of a kind.
pub(crate) fn of(kind: &Kind) -> Vec<Column> {
    let mut columns = vec![Column::path("Name", "string", &["metadata", "name"])];
    if let Some(custom) = &kind.custom {
        for column in &custom.columns {
            let text = |field: &str| object::text(column, &[field]);
            columns.push(Column {
                name: text("name").into(),
                kind: text("type").into(),
                format: "",
                description: text("description").into(),
                priority: object::number(column, &["priority"]).unwrap_or(0),
                cell: Cell::JsonPath(text("jsonPath").into()),
            });
        }
        if custom.columns.is_empty() {
            columns.push(Column::new("Age", "date", 0, Cell::Age(CREATED)));
        }
        return columns;
    }
    let mut wide = Vec::new();
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => {
            columns.push(Column::text("Ready", pod_ready));
            columns.push(Column::text("Status", pod_status));
            columns.push(Column::text("Restarts", pod_restarts));
            wide.push(Column::wide("IP", |pod| {
                or_none(object::text(pod, &["status", "podIP"]))
            }));
            wide.push(Column::wide("Node", |pod| {
                or_none(object::text(pod, &["spec", "nodeName"]))
            }));
            wide.push(Column::wide("Nominated Node", |pod| {
                or_none(object::text(pod, &["status", "nominatedNodeName"]))
            }));
            wide.push(Column::wide("Readiness Gates", readiness_gates));
        }
        ("apps", "deployments") => {
            columns.push(Column::text("Ready", ready_of_wanted));
            columns.push(Column::text("Up-to-date", |deployment| {
                count(deployment, "updatedReplicas")
            }));
            columns.push(Column::text("Available", |deployment| {
                count(deployment, "availableReplicas")
            }));
            wide.extend(template_columns());
        }
        ("apps", "statefulsets") => {
            columns.push(Column::text("Ready", ready_of_wanted));
            // Their selector is not shown.
            wide.extend(template_columns().into_iter().take(2));
        }
        ("apps", "replicasets") => {
            columns.push(Column::path("Desired", "integer", &["spec", "replicas"]));
            columns.push(Column::path("Current", "integer", &["status", "replicas"]));
            columns.push(Column::path("Ready", "integer", &["status", "readyReplicas"]));
            wide.extend(template_columns());
        }
        ("apps", "daemonsets") => {
            columns.push(Column::path(
                "Desired",
                "integer",
                &["status", "desiredNumberScheduled"],
            ));
            columns.push(Column::path(
                "Current",
                "integer",
                &["status", "currentNumberScheduled"],
            ));
            columns.push(Column::path("Ready", "integer", &["status", "numberReady"]));
            columns.push(Column::path(
                "Up-to-date",
                "integer",
                &["status", "updatedNumberScheduled"],
            ));
            columns.push(Column::path(
                "Available",
                "integer",
                &["status", "numberAvailable"],
            ));
            wide.extend(template_columns());
        }
        ("batch", "jobs") => {
            columns.push(Column::text("Status", job_status));
            columns.push(Column::text("Completions", job_completions));
            columns.push(Column::text("Duration", job_duration));
            wide.extend(template_columns());
        }
        ("batch", "cronjobs") => {
            columns.push(Column::path("Schedule", "string", &["spec", "schedule"]));
            columns.push(Column::text("Suspend", |job| {
                let suspended = object::at(job, &["spec", "suspend"])
                    .and_then(Value::as_bool)
                    .unwrap_or(false);
                if suspended { "True".into() } else { "False".into() }
            }));
            columns.push(Column::text("Active", |job| {
                object::items(job, &["status", "active"]).len().into()
            }));
        }
        ("", "services") => {
            columns.push(Column::path("Type", "string", &["spec", "type"]));
            columns.push(Column::text("Cluster-IP", |service| {
                match object::text(service, &["spec", "clusterIP"]) {
                    "" => "<none>".into(),
                    address => address.into(),
                }
            }));
            columns.push(Column::text("External-IP", external_address));
            columns.push(Column::text("Port(s)", service_ports));
            wide.push(Column::wide("Selector", |service| {
                labels(object::entries(service, &["spec", "selector"]))
            }));
        }
        ("", "namespaces") => columns.push(Column::path("Status", "string", &["status", "phase"])),
        ("", "configmaps") => columns.push(Column::text("Data", |map| {
            (object::entries(map, &["data"]).len() + object::entries(map, &["binaryData"]).len()).into()
        })),
        ("", "secrets") => {
            columns.push(Column::path("Type", "string", &["type"]));
            columns.push(Column::text("Data", |secret| {
                object::entries(secret, &["data"]).len().into()
            }));
        }
        ("", "serviceaccounts") => {
            columns.push(Column::text("Secrets", |account| {
                object::items(account, &["secrets"]).len().into()
            }));
        }
        ("", "persistentvolumeclaims") => {
            columns.push(Column::text("Status", |claim| {
                if object::is_terminating(claim) {
                    return "Terminating".into();
                }
                object::text(claim, &["status", "phase"]).into()
            }));
            columns.push(Column::path("Volume", "string", &["spec", "volumeName"]));
            columns.push(Column::path(
                "Capacity",
                "string",
                &["status", "capacity", "storage"],
            ));
            columns.push(Column::text("Access Modes", |claim| {
                access_modes(object::items(claim, &["spec", "accessModes"]))
            }));
            columns.push(Column::path(
                "StorageClass",
                "string",
                &["spec", "storageClassName"],
            ));
        }
        ("networking.k8s.io", "ingresses") => {
            columns.push(Column::text("Class", |ingress| {
                or_none(object::text(ingress, &["spec", "ingressClassName"]))
            }));
            columns.push(Column::text("Hosts", |ingress| {
                let rules = object::items(ingress, &["spec", "rules"]);
                if rules.is_empty() {
                    "*".into()
                } else {
                    joined(rules.iter().map(|rule| object::text(rule, &["host"])))
                }
            }));
            columns.push(Column::text("Address", |ingress| {
                let points = object::items(ingress, &["status", "loadBalancer", "ingress"]);
                points
                    .iter()
                    .map(|point| object::text(point, &["ip"]))
                    .collect::<Vec<_>>()
                    .join(",")
                    .into()
            }));
            columns.push(Column::text("Ports", |ingress| {
                if object::items(ingress, &["spec", "tls"]).is_empty() {
                    "80".into()
                } else {
                    "80, 443".into()
                }
            }));
        }
        ("autoscaling", "horizontalpodautoscalers") => {
            columns.push(Column::text("Reference", |scaler| {
                let target = |field: &str| object::text(scaler, &["spec", "scaleTargetRef", field]);
                format!("{}/{}", target("kind"), target("name")).into()
            }));
            columns.push(Column::text("Targets", |_| "<unknown>".into()));
            columns.push(Column::path("MinPods", "string", &["spec", "minReplicas"]));
            columns.push(Column::path("MaxPods", "string", &["spec", "maxReplicas"]));
            columns.push(Column::path("Replicas", "string", &["status", "currentReplicas"]));
        }
        ("policy", "poddisruptionbudgets") => {
            columns.push(Column::text("Min Available", |budget| {
                shown_or(object::at(budget, &["spec", "minAvailable"]), "N/A")
            }));
            columns.push(Column::text("Max Unavailable", |budget| {
                shown_or(object::at(budget, &["spec", "maxUnavailable"]), "N/A")
            }));
            columns.push(Column::path(
                "Allowed Disruptions",
                "integer",
                &["status", "disruptionsAllowed"],
            ));
        }
        ("", "nodes") => {
            columns.push(Column::text("Status", node_status));
            columns.push(Column::text("Roles", |_| "<none>".into()));
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            columns.push(Column::text("Created At", created));
            return columns;
        }
        ("", "events") => {
            let columns = vec![
                Column::text("Last Seen", |event| {
                    object::text(event, &["lastTimestamp"]).into()
                }),
                Column::path("Type", "string", &["type"]),
                Column::path("Reason", "string", &["reason"]),
                Column::text("Object", |event| {
                    let part = |field: &str| object::text(event, &["involvedObject", field]);
                    format!("{}/{}", part("kind").to_lowercase(), part("name")).into()
                }),
                Column::wide("Subobject", |event| {
                    object::text(event, &["involvedObject", "fieldPath"]).into()
                }),
                Column::wide("Source", |event| {
                    let part = |field: &str| object::text(event, &["source", field]);
                    joined(
                        [part("component"), part("host")]
                            .into_iter()
                            .filter(|part| !part.is_empty()),
                    )
                }),
                Column::path("Message", "string", &["message"]),
                Column::wide("First Seen", |event| {
                    object::text(event, &["firstTimestamp"]).into()
                }),
                Column::wide("Count", |event| {
                    object::number(event, &["count"]).unwrap_or(1).into()
                }),
                Column::wide("Name", |event| object::meta(event, "name").into()),
            ];
            return columns;
        }
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => {
            columns.push(Column::text("Created At", created));
            return columns;
        }
        ("rbac.authorization.k8s.io", _) => columns.push(Column::text("Role", |binding| {
            let part = |field: &str| object::text(binding, &["roleRef", field]);
            format!("{}/{}", part("kind"), part("name")).into()
        })),
        ("networking.k8s.io", "networkpolicies") => columns.push(Column::text("Pod-Selector", |policy| {
            let labels = object::entries(policy, &["spec", "podSelector", "matchLabels"]);
            let pairs: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
                .collect();
            if pairs.is_empty() {
                "<none>".into()
            } else {
                pairs.join(",").into()
            }
        })),
        ("coordination.k8s.io", "leases") => {
            columns.push(Column::path("Holder", "string", &["spec", "holderIdentity"]));
        }
        _ => {}
    }
    columns.push(Column::new("Age", "string", 0, Cell::Age(CREATED)));
    columns.extend(wide);
    columns
}

fn shown_or(value: Option<&Value>, none: &str) -> Value {
    match value {
        None | Some(Value::Null) => none.into(),
        Some(Value::String(text)) => text.as_str().into(),
        Some(other) => other.to_string().into(),
    }
}

fn or_none(text: &str) -> Value {
    if text.is_empty() {
        "<none>".into()
    } else {
        text.into()
    }
}

/// Labels as a selector is written.
fn labels(labels: &serde_json::Map<String, Value>) -> Value {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    or_none(&pairs.join(","))
}

fn readiness_gates(pod: &Value) -> Value {
    let gates = object::items(pod, &["spec", "readinessGates"]);
    if gates.is_empty() {
        return "<none>".into();
    }
    let conditions = object::items(pod, &["status", "conditions"]);
    let is_met = |gate: &&Value| {
        conditions.iter().any(|condition| {
            condition.get("type") == gate.get("conditionType")
                && object::text(condition, &["status"]) == "True"
        })
    };
    format!("{}/{}", gates.iter().filter(is_met).count(), gates.len()).into()
}

/// How long a job took that is done.
fn job_duration(job: &Value) -> Value {
    let time = |field: &str| object::text(job, &["status", field]).parse::<Timestamp>().ok();
    let (Some(started), Some(done)) = (time("startTime"), time("completionTime")) else {
        return "".into();
    };
    format!("{}s", done.as_second() - started.as_second()).into()
}

fn template_columns() -> [Column; 3] {
    [
        Column::wide("Containers", |value| {
            joined(
                object::items(value, &["spec", "template", "spec", "containers"])
                    .iter()
                    .map(|c| object::text(c, &["name"])),
            )
        }),
        Column::wide("Images", |value| {
            joined(
                object::items(value, &["spec", "template", "spec", "containers"])
                    .iter()
                    .map(|c| object::text(c, &["image"])),
            )
        }),
        Column::wide("Selector", |value| {
            let labels = object::entries(value, &["spec", "selector", "matchLabels"]);
            let pairs: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
                .collect();
            pairs.join(",").into()
        }),
    ]
}

fn ready_of_wanted(value: &Value) -> Value {
    let ready = object::number(value, &["status", "readyReplicas"]).unwrap_or(0);
    format!(
        "{ready}/{}",
        object::number(value, &["spec", "replicas"]).unwrap_or(0)
    )
    .into()
}

fn count(value: &Value, field: &str) -> Value {
    object::number(value, &["status", field]).unwrap_or(0).into()
}

fn pod_ready(pod: &Value) -> Value {
    let statuses = object::items(pod, &["status", "containerStatuses"]);
    let ready = statuses
        .iter()
        .filter(|status| status.get("ready").and_then(Value::as_bool) == Some(true))
        .count();
    format!("{ready}/{}", object::items(pod, &["spec", "containers"]).len()).into()
}

fn pod_status(pod: &Value) -> Value {
    if object::is_terminating(pod) {
        return "Terminating".into();
    }
    for status in object::items(pod, &["status", "containerStatuses"]) {
        for state in ["waiting", "terminated"] {
            let reason = object::text(status, &["state", state, "reason"]);
            if !reason.is_empty() {
                return reason.into();
            }
        }
    }
    object::text(pod, &["status", "phase"]).into()
}

fn pod_restarts(pod: &Value) -> Value {
    let statuses = object::items(pod, &["status", "containerStatuses"]);
    let restarts: i64 = statuses
        .iter()
        .filter_map(|status| object::number(status, &["restartCount"]))
        .sum();
    restarts.to_string().into()
}

fn job_status(job: &Value) -> Value {
    let met = |kind: &str| {
        let conditions = object::items(job, &["status", "conditions"]);
        conditions
            .iter()
            .any(|c| object::text(c, &["type"]) == kind && object::text(c, &["status"]) == "True")
    };
    match (met("Complete"), met("Failed")) {
        (true, _) => "Complete".into(),
        (_, true) => "Failed".into(),
        _ => "Running".into(),
    }
}

fn job_completions(job: &Value) -> Value {
    let done = object::number(job, &["status", "succeeded"]).unwrap_or(0);
    format!(
        "{done}/{}",
        object::number(job, &["spec", "completions"]).unwrap_or(1)
    )
    .into()
}

fn external_address(service: &Value) -> Value {
    let points = object::items(service, &["status", "loadBalancer", "ingress"]);
    match (object::text(service, &["spec", "type"]), points) {
        ("LoadBalancer", []) => "<pending>".into(),
        ("LoadBalancer", points) => joined(points.iter().map(|point| object::text(point, &["ip"]))),
        ("ExternalName", _) => object::text(service, &["spec", "externalName"]).into(),
        _ => "<none>".into(),
    }
}

fn service_ports(service: &Value) -> Value {
    let ports = object::items(service, &["spec", "ports"]).iter().map(|port| {
        let number = object::number(port, &["port"]).unwrap_or(0);
        let protocol = object::text(port, &["protocol"]);
        match object::number(port, &["nodePort"]) {
            Some(node) if node > 0 => format!("{number}:{node}/{protocol}"),
            _ => format!("{number}/{protocol}"),
        }
    });
    let ports: Vec<String> = ports.collect();
    if ports.is_empty() {
        "<none>".into()
    } else {
        ports.join(",").into()
    }
}

fn access_modes(modes: &[Value]) -> Value {
    let short = modes.iter().filter_map(Value::as_str).map(|mode| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        other => other,
    });
    short.collect::<Vec<_>>().join(",").into()
}

fn node_status(node: &Value) -> Value {
    let conditions = object::items(node, &["status", "conditions"]);
    let ready = conditions
        .iter()
        .any(|c| object::text(c, &["type"]) == "Ready" && object::text(c, &["status"]) == "True");
    if ready { "Ready".into() } else { "NotReady".into() }
}
