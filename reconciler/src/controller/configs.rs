//! Watches the metadata of ConfigMaps and Secrets in namespaces where a Kustomization reads some, so that a
//! change of a value runs those that read it (rule 20). Does I/O.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::NamespaceResourceScope;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::build::config_version;
use super::fleet::Message;
use super::memory::ConfigRead;

/// The set of running watches.
pub(crate) struct Configs {
    client: Client,
    messages: mpsc::Sender<Message>,
    stop: CancellationToken,
    started: Mutex<HashSet<(&'static str, String)>>,
}

impl Configs {
    pub(crate) fn new(client: Client, messages: mpsc::Sender<Message>, stop: CancellationToken) -> Self {
        Self { client, messages, stop, started: Mutex::default() }
    }

    /// Watches a kind in a namespace, if that is not done yet.
    pub(crate) fn ensure(&self, kind: &'static str, namespace: &str) {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if !started.insert((kind, namespace.to_owned())) {
            return;
        }
        let (client, messages, stop) = (self.client.clone(), self.messages.clone(), self.stop.clone());
        let namespace = namespace.to_owned();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = async {
                    match kind {
                        "Secret" => watch::<Secret>(client, kind, &namespace, messages).await,
                        _ => watch::<ConfigMap>(client, kind, &namespace, messages).await,
                    }
                } => {}
            }
        });
    }
}

async fn watch<K>(client: Client, kind: &'static str, namespace: &str, messages: mpsc::Sender<Message>)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let objects = Api::<PartialObjectMeta<K>>::namespaced(client, namespace);
    let config = watcher::Config::default().page_size(200);
    let mut stream = watcher::watcher(objects, config).default_backoff().boxed();
    while let Some(answer) = stream.next().await {
        let (meta, gone) = match answer {
            Ok(Event::Apply(object) | Event::InitApply(object)) => (object.metadata, false),
            Ok(Event::Delete(object)) => (object.metadata, true),
            Ok(Event::Init | Event::InitDone) => continue,
            Err(error) => {
                tracing::debug!(%error, kind, namespace, "a watch broke and is opened again");
                continue;
            }
        };
        let name = meta.name.unwrap_or_default();
        let version = match (gone, meta.uid, meta.resource_version) {
            (false, Some(uid), Some(version)) => config_version(&uid, &version),
            _ => String::new(),
        };
        // Whoever read it in another version, or found none, is run: also for what changed before the watch began.
        let config = ConfigRead { kind, namespace: namespace.to_owned(), name, version };
        if messages.send(Message::Config(config)).await.is_err() {
            return;
        }
    }
}
