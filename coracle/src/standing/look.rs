//! Looks at what a namespace says about its controllers. Does I/O through the cluster's client.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams};
use reconciler::assess::why::{self, Facts, Patience, Why};
use serde_json::Value;

use super::{
    CONTROLLER_LABEL, Deployment, FluxController, Hold, Pod, Seen, Standing, Trouble, Verdict, leases,
};
use crate::cli::USUAL_NAMESPACE;
use crate::connect::Cluster;
use crate::error::Error;
use crate::objects::ObjectKind;

/// Deployments of Flux that do what Coracle does.
pub(super) const FLUX: [&str; 2] = ["source-controller", "kustomize-controller"];

/// Looks at everything in one namespace. What this account may not see is left open.
///
/// # Errors
/// The cluster cannot be reached.
pub async fn look(cluster: &Cluster, namespace: &str) -> Result<Standing, Error> {
    let now = cluster.now().await?;
    let looking = Looking { cluster, namespace };
    Ok(Standing {
        namespace: namespace.to_owned(),
        missing: looking.missing().await?,
        deployment: looking.deployment(now).await?,
        hold: leases::holds(cluster, Some(namespace), now)
            .await?
            .map(leases::best),
        flux: looking.flux().await?,
    })
}

/// Looks where Coracle is: a controller serves objects of other namespaces than its own. Of several, that in the
/// namespace of the object that it is about.
///
/// # Errors
/// The cluster cannot be reached.
pub async fn look_anywhere(cluster: &Cluster, near: Option<&str>) -> Result<Standing, Error> {
    let now = cluster.now().await?;
    // Whoever may not look everywhere is told about the usual place.
    let deployments = deployments(cluster).await?.unwrap_or_default();
    let holds = leases::holds(cluster, None, now).await?.unwrap_or_default();
    look(cluster, home(near, &deployments, &holds)).await
}

/// Whether a controller works anywhere, as far as it can be told in this time. It is asked beside something else,
/// which goes on without an answer.
pub async fn verdict(cluster: &Cluster, near: Option<&str>, within: Duration) -> Verdict {
    match tokio::time::timeout(within, look_anywhere(cluster, near)).await {
        Ok(Ok(standing)) => standing.verdict(),
        Ok(Err(error)) => Verdict::Unknown(error.to_string()),
        Err(_) => Verdict::Unknown(format!("the cluster does not answer within {within:?}")),
    }
}

/// The namespace to look into: that of the object, if a controller is or works there; one in which somebody works; one
/// in which somebody is to work, or did.
pub(super) fn home<'a>(near: Option<&'a str>, deployments: &'a [String], holds: &'a [Hold]) -> &'a str {
    let working = |namespace: &str| holds.iter().any(|hold| hold.lasts && hold.namespace == namespace);
    let anywhere = || {
        let lasting = holds.iter().find(|hold| hold.lasts);
        lasting.map(|hold| hold.namespace.as_str())
    };
    near.filter(|near| deployments.iter().any(|it| it == near) || working(near))
        .or_else(anywhere)
        .or_else(|| deployments.first().map(String::as_str))
        .or_else(|| holds.first().map(|hold| hold.namespace.as_str()))
        .unwrap_or(USUAL_NAMESPACE)
}

/// The namespaces with the controller's Deployment.
///
/// # Errors
/// The cluster cannot be reached.
pub async fn deployments(cluster: &Cluster) -> Result<Seen<Vec<String>>, Error> {
    let selected = ListParams::default()
        .fields("metadata.name=coracle")
        .labels(CONTROLLER_LABEL);
    let everywhere = cluster.api("apps", "Deployment", None);
    let answer = everywhere.list_metadata(&selected).await;
    let found = seen(cluster, "look for controllers in all namespaces", answer)?;
    Ok(found.map(|found| {
        let namespaces = found.items.into_iter().filter_map(|it| it.metadata.namespace);
        namespaces.collect()
    }))
}

/// An answer, or why this account does not get one; everything else is an error.
pub(super) fn seen<T>(
    cluster: &Cluster,
    doing: &str,
    answer: Result<T, kube::Error>,
) -> Result<Seen<T>, Error> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Err(status.message)),
        Err(error) => Err(cluster.explain(doing, error)),
    }
}

struct Looking<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
}

impl Looking<'_> {
    async fn missing(&self) -> Result<Seen<Vec<String>>, Error> {
        let mut missing = Vec::new();
        for kind in ObjectKind::ALL {
            let resource = kind.resource();
            // Whoever may see the objects need not be allowed to see their definition.
            let answer = kind
                .api(self.cluster, Some(self.namespace))
                .list_metadata(&ListParams::default().limit(1))
                .await;
            match answer {
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    missing.push(format!("{}.{}", resource.plural, resource.group));
                }
                answer => {
                    if let Err(why) = seen(self.cluster, "look for Coracle's definitions", answer)? {
                        return Ok(Err(why));
                    }
                }
            }
        }
        Ok(Ok(missing))
    }

    fn api(&self, group: &str, kind: &str) -> Api<DynamicObject> {
        self.cluster.api(group, kind, Some(self.namespace))
    }

    async fn list(&self, group: &str, kind: &str, selected: &ListParams) -> Result<Seen<Vec<Value>>, Error> {
        let answer = self.api(group, kind).list(selected).await;
        let doing = format!("list the controller's {kind} objects");
        let listed = seen(self.cluster, &doing, answer)?;
        Ok(listed.map(|listed| {
            let objects = listed.items.into_iter();
            objects
                .map(|object| typed(kind, serde_json::to_value(object).unwrap_or_default()))
                .collect()
        }))
    }

    async fn deployment(&self, now: Timestamp) -> Result<Seen<Option<Deployment>>, Error> {
        let answer = self.api("apps", "Deployment").get_opt("coracle").await;
        let found = match seen(self.cluster, "look for the controller", answer)? {
            Ok(Some(found)) => typed("Deployment", serde_json::to_value(found).unwrap_or_default()),
            Ok(None) => return Ok(Ok(None)),
            Err(why) => return Ok(Err(why)),
        };
        let selected = ListParams::default().labels(CONTROLLER_LABEL);
        let pods = self.list("", "Pod", &selected).await?;
        let replica_sets = self.list("apps", "ReplicaSet", &selected).await?;
        let events = self.list("", "Event", &ListParams::default()).await?;
        let facts = Facts {
            replica_sets: replica_sets.as_deref().unwrap_or_default(),
            pods: pods.as_deref().unwrap_or_default(),
            events: events.as_deref().unwrap_or_default(),
            ..Facts::of(&found)
        };
        let troubles = troubles(&facts, now);
        let image = found.pointer("/spec/template/spec/containers/0/image");
        Ok(Ok(Some(Deployment {
            image: image.and_then(Value::as_str).unwrap_or_default().to_owned(),
            replicas: number(&found, "/spec/replicas").unwrap_or(1),
            pods: pods.map(|pods| pods.iter().map(read_pod).collect()),
            troubles,
        })))
    }

    async fn flux(&self) -> Result<Seen<Vec<FluxController>>, Error> {
        let mut running = Vec::new();
        for name in FLUX {
            let answer = self.api("apps", "Deployment").get_opt(name).await;
            let found = match seen(self.cluster, "look for Flux's controllers", answer)? {
                Ok(Some(found)) => found.data,
                Ok(None) => continue,
                Err(why) => return Ok(Err(why)),
            };
            if number(&found, "/spec/replicas").unwrap_or(1) > 0 {
                let ready = number(&found, "/status/readyReplicas").unwrap_or(0);
                running.push(FluxController { name, ready });
            }
        }
        Ok(Ok(running))
    }
}

/// What keeps pods from being ready. What several pods have in common is explained once; here each counts by itself,
/// since one of them may hold the lease.
pub(super) fn troubles(facts: &Facts<'_>, now: Timestamp) -> Vec<Trouble> {
    let mut whys = why::explain(facts, now, &Patience::default());
    for pod in facts.pods {
        let alone = Facts {
            pods: std::slice::from_ref(pod),
            ..*facts
        };
        for why in why::explain(&alone, now, &Patience::default()) {
            let is_known = |known: &Why| known.pod == why.pod && known.reason == why.reason;
            if why.pod.is_some() && !whys.iter().any(is_known) {
                whys.push(why);
            }
        }
    }
    whys.into_iter()
        .map(|why| Trouble {
            reason: why.reason,
            text: why.to_string(),
            pod: why.pod,
        })
        .collect()
}

/// Items of lists come without their kind.
fn typed(kind: &str, mut object: Value) -> Value {
    object["kind"] = kind.into();
    object
}

fn number(object: &Value, pointer: &str) -> Option<i32> {
    i32::try_from(object.pointer(pointer)?.as_i64()?).ok()
}

fn read_pod(pod: &Value) -> Pod {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    let phase = match pod.pointer("/metadata/deletionTimestamp") {
        Some(_) => "Terminating",
        None => pod["status"]["phase"].as_str().unwrap_or("Pending"),
    };
    Pod {
        name: pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        ready: conditions.is_some_and(|all| all.iter().any(is_ready)),
        phase: phase.to_owned(),
    }
}
