//! What has to be fetched before a workload can be explained, in two rounds: what belongs to it, then what its
//! troubled pods say.

use serde_json::Value;

use super::{Facts, entries, owned, text};

/// Lines of a log to ask for.
pub const LOG_TAIL_LINES: i64 = 20;
/// Bytes of a log to ask for.
pub const LOG_LIMIT_BYTES: i64 = 16 * 1024;

/// Something to fetch. All of it is in one namespace, and is read as the account that the run impersonates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// ReplicaSets (`apps/v1`) by label selector.
    ReplicaSets {
        /// Namespace to list in.
        namespace: String,
        /// Label selector as the API server reads it.
        selector: String,
    },
    /// Pods by label selector.
    Pods {
        /// Namespace to list in.
        namespace: String,
        /// Label selector as the API server reads it.
        selector: String,
    },
    /// Events about one object (field selector `involvedObject.uid`).
    Events {
        /// Namespace to list in.
        namespace: String,
        /// UID of the object.
        uid: String,
    },
    /// A PersistentVolumeClaim.
    Claim {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The end of a container's log: [`LOG_TAIL_LINES`], [`LOG_LIMIT_BYTES`].
    Log {
        /// Namespace of the pod.
        namespace: String,
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// Whether to ask for the run before the present one.
        previous: bool,
    },
}

/// First round: what belongs to a workload. Empty for kinds that have neither pods nor volumes.
#[must_use]
pub fn needs(workload: &Value) -> Vec<Need> {
    let metadata = &workload["metadata"];
    let namespace = || text(metadata, "namespace").to_owned();
    let events = || Need::Events {
        namespace: namespace(),
        uid: text(metadata, "uid").to_owned(),
    };
    let pods = || Need::Pods {
        namespace: namespace(),
        selector: selector_of(&workload["spec"]["selector"]),
    };
    match text(workload, "kind") {
        "Deployment" => {
            let selector = selector_of(&workload["spec"]["selector"]);
            vec![
                Need::ReplicaSets {
                    namespace: namespace(),
                    selector,
                },
                pods(),
            ]
        }
        "ReplicaSet" => vec![pods()],
        "StatefulSet" | "DaemonSet" | "Job" => vec![pods(), events()],
        "PersistentVolumeClaim" | "Pod" => vec![events()],
        _ => Vec::new(),
    }
}

/// Second round: what the troubled pods among the facts of the first one say. Claims that it brings have events of
/// their own, so it is asked again with them, until it names nothing new.
#[must_use]
pub fn further_needs(facts: &Facts<'_>) -> Vec<Need> {
    let mut wanted = Vec::new();
    for pod in owned::pods_to_look_at(facts) {
        let metadata = &pod["metadata"];
        let namespace = text(metadata, "namespace");
        let ready = entries(&pod["status"], "conditions")
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        if ready {
            continue;
        }
        wanted.push(Need::Events {
            namespace: namespace.to_owned(),
            uid: text(metadata, "uid").to_owned(),
        });
        if pod["status"]["phase"] == "Pending" {
            wanted.extend(claims_of(pod).map(|name| Need::Claim {
                namespace: namespace.to_owned(),
                name,
            }));
        }
        let statuses = ["initContainerStatuses", "containerStatuses"];
        let containers = statuses
            .into_iter()
            .flat_map(|list| entries(&pod["status"], list));
        wanted.extend(containers.filter_map(|status| {
            Some(Need::Log {
                namespace: namespace.to_owned(),
                pod: text(metadata, "name").to_owned(),
                container: text(status, "name").to_owned(),
                previous: crashed_in_previous_run(status)?,
            })
        }));
    }
    let pending = facts
        .claims
        .iter()
        .filter(|claim| claim["status"]["phase"] != "Bound");
    wanted.extend(pending.map(|claim| Need::Events {
        namespace: text(&claim["metadata"], "namespace").to_owned(),
        uid: text(&claim["metadata"], "uid").to_owned(),
    }));
    wanted.sort();
    wanted.dedup();
    wanted
}

/// In which run a container crashed: `Some(true)` for the one before the present one, `None` if in neither.
fn crashed_in_previous_run(status: &Value) -> Option<bool> {
    let failed = |run: &Value| {
        run["terminated"]["exitCode"]
            .as_i64()
            .is_some_and(|code| code != 0)
    };
    if failed(&status["state"]) {
        return Some(false);
    }
    failed(&status["lastState"]).then_some(true)
}

fn claims_of(pod: &Value) -> impl Iterator<Item = String> {
    entries(&pod["spec"], "volumes")
        .iter()
        .filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
        .map(str::to_owned)
}

/// Writes a label selector as a query. The empty one selects everything, as it does for the API server.
fn selector_of(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let equal = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let expressions = entries(selector, "matchExpressions")
        .iter()
        .filter_map(|expression| {
            let key = text(expression, "key");
            let values: Vec<&str> = entries(expression, "values")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            Some(match text(expression, "operator") {
                "In" => format!("{key} in ({})", values.join(",")),
                "NotIn" => format!("{key} notin ({})", values.join(",")),
                "Exists" => key.to_owned(),
                "DoesNotExist" => format!("!{key}"),
                _ => return None,
            })
        });
    equal.chain(expressions).collect::<Vec<_>>().join(",")
}
