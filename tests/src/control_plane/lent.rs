//! Control planes that serve one scenario after another. Does I/O.
//!
//! In: nothing. Out: a whole control plane for one scenario alone, with pods that come up, in the state in which the
//! first one found it. Starting one takes ten seconds, sweeping one a part of a second; as many are started as
//! scenarios run at the same time.

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use embedded_cluster::RequestKey;
use futures::StreamExt as _;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::discovery::{ApiGroup, Discovery};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{ControlPlane, Node, READY_WITHIN};
use crate::world::{self, resource};

/// Control planes that nobody uses at the moment.
static FREE: Mutex<Vec<Swept>> = Mutex::new(Vec::new());
/// How long nothing has to appear until a new control plane counts as furnished.
const SETTLED_FOR: Duration = Duration::from_secs(1);
/// Namespaces in which the parts of Kubernetes keep their own things, and no scenario does anything.
const OF_KUBERNETES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
/// Requests at the same time while sweeping.
const SWEEPERS: usize = 8;

/// A control plane and what belongs to it.
struct Swept {
    control_plane: ControlPlane,
    /// The uids of all objects that a scenario finds.
    furniture: HashSet<String>,
}

/// A control plane for one scenario; the next one gets it when this is dropped.
pub struct Lent {
    lent: Option<Swept>,
    client: Client,
    /// Where the audit log of this scenario begins.
    began: u64,
    _node: Node,
}

impl Lent {
    /// Takes a free control plane and removes what the last scenario left, or starts one.
    ///
    /// # Panics
    /// When none can be started.
    pub async fn new() -> Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let swept = match free {
            Some(used) => used.sweep().await,
            None => None,
        };
        let swept = match swept {
            Some(swept) => swept,
            None => Swept::new(ControlPlane::start().await).await,
        };
        let client = swept.control_plane.client().await;
        Self {
            _node: Node::join(client.clone()).await,
            began: swept.control_plane.audit_mark(),
            lent: Some(swept),
            client,
        }
    }

    fn control_plane(&self) -> &ControlPlane {
        // It is taken only while this is dropped.
        &self.lent.as_ref().unwrap().control_plane
    }

    /// A kubeconfig of an administrator.
    pub(crate) fn kubeconfig(&self) -> String {
        self.control_plane().kubeconfig()
    }

    pub(crate) fn get(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let api = self.api(api_version, kind, namespace);
        match wait(api.get_opt(name)) {
            Ok(object) => object.map(value),
            // A kind that is not served has no objects.
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn list(&self, api_version: &str, kind: &str, namespace: &str) -> Vec<Value> {
        let api = self.api(api_version, kind, namespace);
        let listed = match wait(api.list(&ListParams::default())) {
            Ok(listed) => listed,
            Err(kube::Error::Api(status)) if status.code == 404 => return Vec::new(),
            Err(error) => panic!("{error}"),
        };
        let items = listed.items.into_iter();
        items
            .map(|mut object| {
                // In a list they stand for all objects together.
                object.types = Some(kube::core::TypeMeta {
                    api_version: api_version.to_owned(),
                    kind: kind.to_owned(),
                });
                value(object)
            })
            .collect()
    }

    pub(crate) fn apply(&self, object: &Value, manager: &str) -> Result<Value, kube::Error> {
        let (api, name) = self.target(object);
        let params = PatchParams::apply(manager).force();
        wait(api.patch(&name, &params, &Patch::Apply(object))).map(value)
    }

    pub(crate) fn merge(&self, object: &Value, manager: &str) -> Result<Value, kube::Error> {
        let (api, name) = self.target(object);
        let params = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        wait(api.patch(&name, &params, &Patch::Merge(object))).map(value)
    }

    pub(crate) fn update_status(&self, object: &Value, manager: &str) -> Result<Value, kube::Error> {
        let (api, name) = self.target(object);
        let params = PostParams {
            field_manager: Some(manager.to_owned()),
            ..PostParams::default()
        };
        let object = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
        wait(api.replace_status(&name, &params, &object)).map(value)
    }

    pub(crate) fn delete(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<(), kube::Error> {
        let api = self.api(api_version, kind, namespace);
        wait(api.delete(name, &DeleteParams::background())).map(drop)
    }

    pub(crate) fn mark(&self) -> u64 {
        self.control_plane().audit_mark()
    }

    pub(crate) fn requests_since(&self, mark: u64) -> Vec<RequestKey> {
        // What a request did is seen before it is in the log; one that is asked now comes after it.
        let _ = wait(self.client.apiserver_version());
        let audited = self
            .control_plane()
            .audited_since(mark.max(self.began))
            .into_iter();
        audited.map(|audited| audited.request).collect()
    }

    fn api(&self, api_version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let resource = resource(api_version, kind);
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    fn target(&self, object: &Value) -> (Api<DynamicObject>, String) {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let api = self.api(text("/apiVersion"), text("/kind"), text("/metadata/namespace"));
        (api, text("/metadata/name").to_owned())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take() {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).push(lent);
        }
    }
}

fn value(object: DynamicObject) -> Value {
    // It was read from JSON.
    serde_json::to_value(object).unwrap()
}

/// Scenarios look at a cluster between two waits, as at a value.
fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| Handle::current().block_on(answer))
}

impl Swept {
    /// Puts in what every scenario finds.
    async fn new(control_plane: ControlPlane) -> Self {
        let client = control_plane.client().await;
        drop(Node::join(client.clone()).await);
        for object in world::furniture() {
            let text = |pointer: &str| {
                object
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let api: Api<DynamicObject> =
                Api::all_with(client.clone(), &resource(text("/apiVersion"), text("/kind")));
            let params = PatchParams::apply("scenario").force();
            api.patch(text("/metadata/name"), &params, &Patch::Apply(&object))
                .await
                .unwrap();
        }
        Self {
            furniture: settled(&client).await,
            control_plane,
        }
    }

    /// Removes everything that does not belong here. Nothing when that is not to be done: something that belongs
    /// here is gone, or something stays.
    async fn sweep(self) -> Option<Self> {
        let client = self.control_plane.client().await;
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            let found = all(&client).await.ok()?;
            let there: HashSet<String> = found.iter().map(Found::uid).collect();
            if !self.furniture.is_subset(&there) {
                return None;
            }
            let left: Vec<Found> = found
                .into_iter()
                .filter(|found| !self.furniture.contains(&found.uid()))
                .collect();
            if left.is_empty() {
                return Some(self);
            }
            futures::stream::iter(left)
                .for_each_concurrent(SWEEPERS, Found::remove)
                .await;
        }
        None
    }
}

/// The uids of all objects, once the controllers have put in theirs.
async fn settled(client: &Client) -> HashSet<String> {
    let mut before = HashSet::new();
    loop {
        let found: HashSet<String> = all(client).await.unwrap().iter().map(Found::uid).collect();
        if found == before {
            return found;
        }
        before = found;
        tokio::time::sleep(SETTLED_FOR).await;
    }
}

/// An object and how to reach it.
struct Found {
    api: Api<DynamicObject>,
    object: DynamicObject,
    client: Client,
    is_namespace: bool,
}

impl Found {
    fn uid(&self) -> String {
        self.object.metadata.uid.clone().unwrap_or_default()
    }

    /// Deletes it, and has nothing hold it back. What fails is seen by what is found the next time.
    async fn remove(self) {
        let Some(name) = &self.object.metadata.name else {
            return;
        };
        let _ = self
            .api
            .delete(name, &DeleteParams::background().grace_period(0))
            .await;
        if self.object.metadata.finalizers.is_some() {
            let none = json!({ "metadata": { "finalizers": null } });
            let _ = self
                .api
                .patch_metadata(name, &PatchParams::default(), &Patch::Merge(none))
                .await;
        }
        if self.is_namespace {
            // Its controller takes seconds to find out that it is empty.
            let empty = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name }, "spec": { "finalizers": [] },
            });
            let request = http::Request::put(format!("/api/v1/namespaces/{name}/finalize"))
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(empty.to_string().into_bytes());
            if let Ok(request) = request {
                let _ = self.client.request_text(request).await;
            }
        }
    }
}

/// Everything that can be listed and deleted. Groups that are served twice are seen once.
async fn all(client: &Client) -> Result<Vec<Found>, kube::Error> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let kinds: Vec<ApiResource> = discovery
        .groups()
        .flat_map(ApiGroup::recommended_resources)
        .filter(|(_, capabilities)| capabilities.supports_operation("list"))
        .filter(|(_, capabilities)| capabilities.supports_operation("delete"))
        .map(|(resource, _)| resource)
        // The same objects as those of the core group; those of definitions come and go by themselves.
        .filter(|resource| {
            !matches!(
                resource.group.as_str(),
                "events.k8s.io" | "apiregistration.k8s.io"
            )
        })
        .collect();
    let lists = futures::stream::iter(kinds).map(|resource| async move {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let is_namespace = resource.group.is_empty() && resource.kind == "Namespace";
        let listed = match api.list_metadata(&ListParams::default()).await {
            // Its definition went meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
            listed => listed?,
        };
        let of_scenarios = |object: &PartialObjectMeta<DynamicObject>| {
            let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
            !OF_KUBERNETES.contains(&namespace)
        };
        let found = listed.items.into_iter().filter(of_scenarios).map(|object| {
            let namespace = object.metadata.namespace.clone();
            Found {
                api: match &namespace {
                    Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
                    None => Api::all_with(client.clone(), &resource),
                },
                object: DynamicObject {
                    types: None,
                    metadata: object.metadata,
                    data: Value::Null,
                },
                client: client.clone(),
                is_namespace,
            }
        });
        Ok(found.collect::<Vec<_>>())
    });
    let lists: Vec<Result<Vec<Found>, kube::Error>> = lists.buffer_unordered(SWEEPERS).collect().await;
    let lists: Result<Vec<Vec<Found>>, kube::Error> = lists.into_iter().collect();
    Ok(lists?.into_iter().flatten().collect())
}
