//! Watches Kustomizations and GitRepositories, and hands what is seen on. Does I/O.
//!
//! An object that cannot be read is logged and left out: one bad object must not end a watch.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::ControllerError;
use super::context::Context;
use super::fleet::{Message, SourceKey};
use super::sources::{Sources, key_of};
use crate::api::{GitRepository, Kustomization};
use crate::cluster::{Api, ApiError, Discovery, ObjectEvent};
use crate::plan::{Gvk, Owner};

const PAGE: u32 = 100;

/// Makes sure that the cluster knows Flux's two kinds.
pub(crate) async fn require_kinds(api: &Api, discovery: &Discovery) -> Result<(), ControllerError> {
    for gvk in [
        Gvk::new("source.toolkit.fluxcd.io/v1", "GitRepository"),
        Gvk::new("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
    ] {
        match discovery.resolve(api, &gvk).await {
            Ok(_) => {}
            Err(ApiError::UnknownKind { .. }) => return Err(ControllerError::NotInstalled(gvk.to_string())),
            Err(error) => return Err(ControllerError::Discovery(error)),
        }
    }
    Ok(())
}

/// Starts the watches once this process leads; they end with `stop`. Nothing is read before: while another
/// process leads it writes statuses, and an inventory read then would be an old one.
pub(crate) async fn start_once_leading(
    cx: Arc<Context>,
    sources: Sources,
    mut seen: mpsc::Receiver<ObjectEvent>,
    mut leading: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    if leading.wait_for(|leads| *leads).await.is_err() {
        return;
    }
    let watch = |task: futures::future::BoxFuture<'static, ()>| {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    };
    watch(Box::pin(kustomizations(cx.clone())));
    watch(Box::pin(repositories(cx.clone(), sources)));
    watch(Box::pin(super::surroundings::follow(cx.clone())));
    let messages = cx.messages.clone();
    watch(Box::pin(async move {
        while let Some(event) = seen.recv().await {
            let _ = messages.send(Message::Object(event)).await;
        }
    }));
}

async fn kustomizations(cx: Arc<Context>) {
    let mut known: HashSet<Owner> = HashSet::new();
    let mut listed: HashSet<Owner> = HashSet::new();
    let mut stream = objects::<Kustomization>(
        &cx,
        "kustomize.toolkit.fluxcd.io",
        "Kustomization",
        "kustomizations",
    );
    while let Some(seen) = stream.next().await {
        let owner_of = |object: &Kustomization| super::build::owner_of(object);
        match seen {
            Seen::Restarted => listed.clear(),
            Seen::Object(object) => {
                let owner = owner_of(&object);
                known.insert(owner.clone());
                listed.insert(owner);
                let _ = cx.messages.send(Message::Kustomization(object)).await;
            }
            Seen::Gone(object) => {
                let owner = owner_of(&object);
                known.remove(&owner);
                let _ = cx.messages.send(Message::KustomizationGone(owner)).await;
            }
            Seen::Listed => {
                let _ = cx.messages.send(Message::Listed).await;
                let absent: Vec<Owner> = known.difference(&listed).cloned().collect();
                for owner in absent {
                    known.remove(&owner);
                    let _ = cx.messages.send(Message::KustomizationGone(owner)).await;
                }
            }
        }
    }
}

async fn repositories(cx: Arc<Context>, mut sources: Sources) {
    let mut listed: HashSet<SourceKey> = HashSet::new();
    let mut stream = objects::<GitRepository>(
        &cx,
        "source.toolkit.fluxcd.io",
        "GitRepository",
        "gitrepositories",
    );
    while let Some(seen) = stream.next().await {
        match seen {
            Seen::Restarted => listed.clear(),
            Seen::Object(object) => {
                listed.insert(key_of(&object));
                let _ = cx.messages.send(Message::SourceSeen(key_of(&object))).await;
                sources.seen(*object);
            }
            Seen::Gone(object) => sources.gone(&key_of(&object)).await,
            Seen::Listed => {
                for key in sources.keys().into_iter().filter(|key| !listed.contains(key)) {
                    sources.gone(&key).await;
                }
                let _ = cx.messages.send(Message::SourcesListed).await;
            }
        }
    }
}

enum Seen<K> {
    Restarted,
    Object(Box<K>),
    Gone(Box<K>),
    Listed,
}

fn objects<K>(
    cx: &Context,
    group: &str,
    kind: &str,
    plural: &str,
) -> futures::stream::BoxStream<'static, Seen<K>>
where
    K: DeserializeOwned + Debug + Send + 'static,
{
    let resource = ApiResource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        api_version: format!("{group}/v1"),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    let client = cx.api.client().clone();
    let objects: kube::Api<DynamicObject> = match &cx.config.watch_namespace {
        Some(namespace) => kube::Api::namespaced_with(client, namespace, &resource),
        None => kube::Api::all_with(client, &resource),
    };
    let stream = watcher::watcher(objects, watcher::Config::default().page_size(PAGE)).default_backoff();
    stream
        .filter_map(|event| async move {
            match event {
                Ok(Event::Init) => Some(Seen::Restarted),
                Ok(Event::InitDone) => Some(Seen::Listed),
                Ok(Event::InitApply(object) | Event::Apply(object)) => typed(object).map(Seen::Object),
                Ok(Event::Delete(object)) => typed(object).map(Seen::Gone),
                Err(error) => {
                    tracing::warn!(%error, "a watch broke and is opened again");
                    None
                }
            }
        })
        .boxed()
}

fn typed<K: DeserializeOwned>(mut object: DynamicObject) -> Option<Box<K>> {
    object.metadata.managed_fields = None;
    let name = format!(
        "{}/{}",
        object.metadata.namespace.as_deref().unwrap_or_default(),
        object.metadata.name.as_deref().unwrap_or_default()
    );
    let value = serde_json::to_value(&object).ok()?;
    match serde_json::from_value(value) {
        Ok(object) => Some(Box::new(object)),
        Err(error) => {
            tracing::error!(object = name, %error, "an object cannot be read and is left out");
            None
        }
    }
}
