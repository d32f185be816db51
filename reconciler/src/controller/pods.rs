//! Watches pods while some Kustomization waits for health (rule 20): an image that cannot be pulled may never
//! touch its Deployment. Does I/O.

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::fleet::Message;

const PAGE: u32 = 50;

/// A watch that runs only while it is wanted.
pub(crate) struct PodWatch {
    client: Client,
    messages: mpsc::Sender<Message>,
    stop: CancellationToken,
    running: Option<CancellationToken>,
}

impl PodWatch {
    pub(crate) fn new(client: Client, messages: mpsc::Sender<Message>, stop: CancellationToken) -> Self {
        Self {
            client,
            messages,
            stop,
            running: None,
        }
    }

    pub(crate) fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Starts or stops it.
    pub(crate) fn keep(&mut self, wanted: bool) {
        match (&self.running, wanted) {
            (None, true) => {
                let stop = self.stop.child_token();
                self.running = Some(stop.clone());
                let (client, messages) = (self.client.clone(), self.messages.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = watch(client, messages) => {}
                    }
                });
            }
            (Some(running), false) => {
                running.cancel();
                self.running = None;
            }
            _ => {}
        }
    }
}

async fn watch(client: Client, messages: mpsc::Sender<Message>) {
    let config = watcher::Config::default().page_size(PAGE);
    let mut stream = watcher::watcher(Api::<Pod>::all(client), config)
        .default_backoff()
        .map_ok(troubled)
        .boxed();
    while let Some(answer) = stream.next().await {
        match answer {
            Ok(Some(namespace)) => {
                if messages.send(Message::PodTrouble { namespace }).await.is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "the watch of pods broke and is opened again"),
        }
    }
}

/// The namespace of a pod that is in trouble.
fn troubled(event: Event<Pod>) -> Option<String> {
    let (Event::InitApply(pod) | Event::Apply(pod)) = event else {
        return None;
    };
    let status = pod.status?;
    let containers = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses)
        .flatten();
    let trouble = containers.into_iter().any(|container| {
        let state = container.state.as_ref();
        let waits = state
            .and_then(|state| state.waiting.as_ref())
            .and_then(|waiting| waiting.reason.as_deref())
            .is_some_and(|reason| !matches!(reason, "ContainerCreating" | "PodInitializing"));
        let failed = state
            .and_then(|state| state.terminated.as_ref())
            .is_some_and(|ended| ended.exit_code != 0);
        waits || failed
    });
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let failed = status.phase.as_deref() == Some("Failed");
    (trouble || unscheduled || failed)
        .then_some(pod.metadata.namespace)
        .flatten()
}
