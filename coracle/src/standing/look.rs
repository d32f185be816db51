//! Looks at what a namespace says about its controllers. Does I/O through the cluster's client.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use reconciler::assess::why::{self, Facts, Patience};
use serde_json::Value;

use super::{Deployment, FluxController, Hold, Pod, Seen, Standing, Trouble};
use crate::connect::Cluster;
use crate::error::Error;
use crate::objects::ObjectKind;

/// Leases that a controller holds while it runs: those of Flux's own controllers.
const LEASES: [&str; 2] = [
    "kustomize-controller-leader-election",
    "source-controller-leader-election",
];
/// Deployments of Flux that do what Coracle does.
const FLUX: [&str; 2] = ["source-controller", "kustomize-controller"];
/// The namespace that Coracle is installed in unless another one is named.
const USUAL: &str = "flux-system";
/// Label of the controller's Deployment and pods.
const PODS: &str = "app.kubernetes.io/name=coracle";

/// Looks at everything. What this account may not see is left open.
///
/// # Errors
/// The cluster cannot be reached.
pub async fn look(cluster: &Cluster, namespace: &str) -> Result<Standing, Error> {
    let now = Timestamp::now();
    let looking = Looking { cluster, namespace };
    Ok(Standing {
        namespace: namespace.to_owned(),
        missing: looking.missing().await?,
        deployment: looking.deployment(now).await?,
        hold: hold(cluster, namespace, now).await?,
        flux: looking.flux().await?,
    })
}

/// Looks where Coracle is: a controller serves objects of other namespaces than its own.
///
/// # Errors
/// The cluster cannot be reached.
pub async fn look_anywhere(cluster: &Cluster) -> Result<Standing, Error> {
    look(cluster, &home(cluster).await?).await
}

/// The namespace with the controller's Deployment, or with the lease of one that runs elsewhere.
async fn home(cluster: &Cluster) -> Result<String, Error> {
    let named = |name: &str| ListParams::default().fields(&format!("metadata.name={name}"));
    let signs = [
        ("apps", "Deployment", named("coracle").labels(PODS)),
        ("coordination.k8s.io", "Lease", named(LEASES[0])),
    ];
    for (group, kind, selected) in signs {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        let everywhere = Api::<DynamicObject>::all_with(cluster.client.clone(), &resource);
        let answer = everywhere.list_metadata(&selected).await;
        // Whoever may not look everywhere is told about the usual place.
        let found = seen(cluster, "look for the controller", answer)?;
        let namespace = found
            .ok()
            .and_then(|found| found.items.into_iter().next()?.metadata.namespace);
        if let Some(namespace) = namespace {
            return Ok(namespace);
        }
    }
    Ok(USUAL.to_owned())
}

/// Who holds the leases, or held them last.
///
/// # Errors
/// The cluster cannot be reached.
pub async fn hold(cluster: &Cluster, namespace: &str, now: Timestamp) -> Result<Seen<Option<Hold>>, Error> {
    let mut last: Option<Hold> = None;
    for name in LEASES {
        let answer = Api::<Lease>::namespaced(cluster.client.clone(), namespace)
            .get_opt(name)
            .await;
        let lease = match seen(cluster, "look who holds the lease", answer)? {
            Ok(lease) => lease,
            Err(why) => return Ok(Err(why)),
        };
        if let Some(hold) = lease.and_then(|lease| read_hold(name, &lease, now))
            && last
                .as_ref()
                .is_none_or(|last| (last.lasts, last.renewed) < (hold.lasts, hold.renewed))
        {
            last = Some(hold);
        }
    }
    Ok(Ok(last))
}

fn read_hold(name: &'static str, lease: &Lease, now: Timestamp) -> Option<Hold> {
    let spec = lease.spec.as_ref()?;
    let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty())?;
    let renewed = spec.renew_time.as_ref().map(|time| time.0);
    let duration = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(Duration::from_secs);
    let lasts = matches!((renewed, duration), (Some(renewed), Some(lasts)) if renewed + lasts > now);
    Some(Hold {
        lease: name,
        holder,
        renewed,
        lasts,
    })
}

/// An answer, or why this account does not get one; everything else is an error.
fn seen<T>(cluster: &Cluster, doing: &str, answer: Result<T, kube::Error>) -> Result<Seen<T>, Error> {
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
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        Api::namespaced_with(self.cluster.client.clone(), self.namespace, &resource)
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
        let selected = ListParams::default().labels(PODS);
        let pods = self.list("", "Pod", &selected).await?;
        let replica_sets = self.list("apps", "ReplicaSet", &selected).await?;
        let events = self.list("", "Event", &ListParams::default()).await?;
        let facts = Facts {
            replica_sets: replica_sets.as_deref().unwrap_or_default(),
            pods: pods.as_deref().unwrap_or_default(),
            events: events.as_deref().unwrap_or_default(),
            ..Facts::of(&found)
        };
        let troubles = why::explain(&facts, now, &Patience::default())
            .into_iter()
            .map(|why| Trouble {
                reason: why.reason,
                text: why.to_string(),
                pod: why.pod,
            })
            .collect();
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
