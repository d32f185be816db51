//! Fetches what is needed to say why a workload is not healthy, as the account of the run (rule 26). Reads only.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::assess::why::{self, Facts, LOG_TAIL_LINES, LogTail, Need, Patience, Why};
use crate::cluster::{Api, Kind};
use crate::plan::ObjectId;

use super::context::Context;

/// Objects that are explained at most; the rest is named only.
const EXPLAINED: usize = 5;
/// Objects of a kind that are fetched at most.
const FETCHED: usize = 100;

/// Explanations by object, the worst first.
pub(crate) type Whys = HashMap<ObjectId, Vec<Why>>;

/// Explains the first few of these objects.
pub(crate) async fn explain(cx: &Arc<Context>, api: &Api, objects: Vec<ObjectId>) -> Whys {
    let mut whys = Whys::new();
    for object in objects.into_iter().take(EXPLAINED) {
        let found = explain_one(cx, api, &object).await;
        if !found.is_empty() {
            whys.insert(object, found);
        }
    }
    whys
}

async fn explain_one(cx: &Context, api: &Api, object: &ObjectId) -> Vec<Why> {
    let gvk = object.gvk("v1");
    let Ok(kind) = cx.discovery.resolve_any_version(&cx.api, &gvk).await else {
        return Vec::new();
    };
    let Ok(Some(workload)) = api.get(&kind, object).await else {
        return Vec::new();
    };
    let mut fetched = Fetched::default();
    for need in why::needs(&workload) {
        fetched.fetch(cx, api, need).await;
    }
    // What is found asks for more: a pod for its claims, a claim for its events.
    let mut asked = BTreeSet::new();
    loop {
        let needs: Vec<Need> = why::further_needs(&fetched.facts(&workload))
            .into_iter()
            .filter(|need| asked.insert(need.clone()))
            .take(FETCHED)
            .collect();
        if needs.is_empty() {
            break;
        }
        for need in needs {
            fetched.fetch(cx, api, need).await;
        }
    }
    let settling = SignedDuration::try_from(cx.config.failure_grace).unwrap_or(SignedDuration::from_secs(60));
    let patience = Patience {
        settling,
        ..Patience::default()
    };
    why::explain(&fetched.facts(&workload), Timestamp::now(), &patience)
}

#[derive(Default)]
struct Fetched {
    replica_sets: Vec<Value>,
    pods: Vec<Value>,
    events: Vec<Value>,
    claims: Vec<Value>,
    logs: Vec<LogTail>,
}

impl Fetched {
    fn facts<'a>(&'a self, workload: &'a Value) -> Facts<'a> {
        Facts {
            workload,
            replica_sets: &self.replica_sets,
            pods: &self.pods,
            events: &self.events,
            claims: &self.claims,
            logs: &self.logs,
        }
    }

    /// What cannot be fetched is left out: an explanation is worth having in part.
    async fn fetch(&mut self, cx: &Context, api: &Api, need: Need) {
        match need {
            Need::ReplicaSets { namespace, selector } => {
                let kind = Kind::fixed("apps/v1", "ReplicaSet", "replicasets", true);
                self.replica_sets.extend(
                    api.list(&kind, &namespace, &selector, FETCHED)
                        .await
                        .unwrap_or_default(),
                );
            }
            Need::Pods { namespace, selector } => {
                let kind = Kind::fixed("v1", "Pod", "pods", true);
                self.pods.extend(
                    api.list(&kind, &namespace, &selector, FETCHED)
                        .await
                        .unwrap_or_default(),
                );
            }
            Need::Events { namespace, uid } => {
                let path = format!(
                    "/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.uid%3D{uid}&limit={FETCHED}"
                );
                let Ok(mut list) = api.raw(&path, "application/json").await else {
                    return;
                };
                if let Some(Value::Array(items)) = list.get_mut("items").map(Value::take) {
                    self.events.extend(items);
                }
            }
            Need::Claim { namespace, name } => {
                let kind = Kind::fixed("v1", "PersistentVolumeClaim", "persistentvolumeclaims", true);
                let id = ObjectId {
                    namespace,
                    name,
                    group: String::new(),
                    kind: kind.gvk.kind.clone(),
                };
                self.claims.extend(api.get(&kind, &id).await.unwrap_or_default());
            }
            Need::Log {
                namespace,
                pod,
                container,
                previous,
            } => {
                if !cx.config.log_excerpts {
                    return;
                }
                let lines = u32::try_from(LOG_TAIL_LINES).unwrap_or(20);
                if let Ok(text) = api.logs(&namespace, &pod, &container, previous, lines).await {
                    self.logs.push(LogTail { pod, container, text });
                }
            }
        }
    }
}
