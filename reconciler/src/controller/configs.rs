//! Watches the metadata of ConfigMaps and Secrets in namespaces where something reads some, so that a change of a
//! value runs those that read it (rule 20). Does I/O.
//!
//! A watch is listed before the first value is read: whatever changes after that read sends an event, so no change
//! falls between the two.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::fleet::Message;

/// Kind, namespace and name of a ConfigMap or a Secret.
pub(crate) type ConfigKey = (&'static str, String, String);

/// A watch of a kind in a namespace.
#[derive(Clone)]
struct Started {
    /// Whether it has been listed.
    listed: watch::Receiver<bool>,
    stop: CancellationToken,
}

/// The set of running watches.
pub(crate) struct Configs {
    client: Client,
    messages: mpsc::Sender<Message>,
    stop: CancellationToken,
    started: Mutex<HashMap<(&'static str, String), Started>>,
    /// Those who want to know of single objects besides the fleet.
    subscribers: Mutex<HashMap<ConfigKey, watch::Sender<()>>>,
}

impl Configs {
    pub(crate) fn new(client: Client, messages: mpsc::Sender<Message>, stop: CancellationToken) -> Self {
        Self {
            client,
            messages,
            stop,
            started: Mutex::default(),
            subscribers: Mutex::default(),
        }
    }

    /// Watches a kind in a namespace from now on; completes when changes from here on are seen, or when it turns out
    /// that they cannot be.
    pub(crate) async fn ensure(self: &std::sync::Arc<Self>, kind: &'static str, namespace: &str) {
        let mut watch = {
            let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (kind, namespace.to_owned());
            started
                .entry(key)
                .or_insert_with(|| self.start(kind, namespace))
                .clone()
        };
        // One that ended meanwhile was of a namespace where nobody reads anything any more.
        let _ = watch.listed.wait_for(|listed| *listed).await;
    }

    /// Ends the watches of a namespace in which nobody reads anything any more, but for those who have subscribed: a
    /// source may have been made anew before the fleet hears of the end of the old one.
    pub(crate) fn forget(&self, namespace: &str) {
        let subscribed: HashSet<&'static str> = {
            let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
            let open = subscribers.iter().filter(|(_, sender)| !sender.is_closed());
            open.filter(|((_, of, _), _)| of == namespace)
                .map(|((kind, ..), _)| *kind)
                .collect()
        };
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.retain(|(kind, watched), watch| {
            let stays = watched != namespace || subscribed.contains(kind);
            if !stays {
                watch.stop.cancel();
            }
            stays
        });
    }

    /// Tells of changes of one object from here on.
    pub(crate) fn subscribe(&self, key: ConfigKey) -> watch::Receiver<()> {
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.retain(|_, sender| !sender.is_closed());
        subscribers
            .entry(key)
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe()
    }

    fn start(self: &std::sync::Arc<Self>, kind: &'static str, namespace: &str) -> Started {
        let (listed, receiver) = watch::channel(false);
        let stop = self.stop.child_token();
        let stopped = stop.clone();
        let (this, namespace) = (self.clone(), namespace.to_owned());
        tokio::spawn(async move {
            let watch = Watch {
                configs: &this,
                kind,
                namespace,
                versions: HashMap::new(),
                listed,
            };
            tokio::select! {
                () = stopped.cancelled() => {}
                () = watch.run() => {}
            }
        });
        Started {
            listed: receiver,
            stop,
        }
    }

    async fn changed(&self, key: ConfigKey) {
        if let Some(subscriber) = self
            .subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            subscriber.send_replace(());
        }
        let (kind, namespace, name) = key;
        // The fleet ends only when the controller does.
        let _ = self
            .messages
            .send(Message::Config {
                kind,
                namespace,
                name,
            })
            .await;
    }
}

struct Watch<'a> {
    configs: &'a Configs,
    kind: &'static str,
    namespace: String,
    versions: HashMap<String, String>,
    listed: watch::Sender<bool>,
}

impl Watch<'_> {
    async fn run(self) {
        match self.kind {
            "Secret" => self.follow::<Secret>().await,
            _ => self.follow::<ConfigMap>().await,
        }
    }

    async fn follow<K>(mut self)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let objects = Api::<PartialObjectMeta<K>>::namespaced(self.configs.client.clone(), &self.namespace);
        let config = watcher::Config::default().page_size(200);
        let mut stream = watcher::watcher(objects, config).default_backoff().boxed();
        let mut seen = HashSet::new();
        while let Some(answer) = stream.next().await {
            match answer {
                Ok(Event::Init) => seen.clear(),
                Ok(Event::InitApply(object)) => {
                    let name = object.metadata.name.unwrap_or_default();
                    seen.insert(name.clone());
                    self.found(name, object.metadata.resource_version).await;
                }
                Ok(Event::InitDone) => {
                    let gone: Vec<String> = self
                        .versions
                        .keys()
                        .filter(|name| !seen.contains(*name))
                        .cloned()
                        .collect();
                    for name in gone {
                        self.gone(name).await;
                    }
                    self.listed.send_replace(true);
                }
                Ok(Event::Apply(object)) => {
                    self.found(
                        object.metadata.name.unwrap_or_default(),
                        object.metadata.resource_version,
                    )
                    .await;
                }
                Ok(Event::Delete(object)) => self.gone(object.metadata.name.unwrap_or_default()).await,
                Err(error) => {
                    tracing::debug!(%error, kind = self.kind, namespace = self.namespace, "a watch broke and is opened again");
                    // Nobody is held up by a watch that cannot be had.
                    self.listed.send_replace(true);
                }
            }
        }
    }

    async fn found(&mut self, name: String, version: Option<String>) {
        let version = version.unwrap_or_default();
        let before = self.versions.insert(name.clone(), version.clone());
        let news = before.is_none_or(|before| before != version);
        if news && *self.listed.borrow() {
            self.tell(name).await;
        }
    }

    async fn gone(&mut self, name: String) {
        if self.versions.remove(&name).is_some() {
            self.tell(name).await;
        }
    }

    async fn tell(&self, name: String) {
        self.configs
            .changed((self.kind, self.namespace.clone(), name))
            .await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_watch_whose_changes_somebody_waits_for_outlives_the_use_of_its_namespace_by_others() {
        // A server that knows nothing: nobody is held up by it.
        let client = Client::new(axum::Router::new(), "default");
        let (messages, _) = mpsc::channel(8);
        let configs = Arc::new(Configs::new(client, messages, CancellationToken::new()));
        let watched = || {
            let mut kinds: Vec<_> = configs
                .started
                .lock()
                .unwrap()
                .keys()
                .map(|(kind, _)| *kind)
                .collect();
            kinds.sort_unstable();
            kinds
        };
        let keeper = configs.subscribe(("Secret", "shop".to_owned(), "credentials".to_owned()));
        for kind in ["ConfigMap", "Secret"] {
            configs.ensure(kind, "shop").await;
        }
        configs.forget("elsewhere");
        assert_eq!(watched(), ["ConfigMap", "Secret"]);
        configs.forget("shop");
        assert_eq!(watched(), ["Secret"]);
        drop(keeper);
        configs.forget("shop");
        assert!(watched().is_empty());
    }
}
