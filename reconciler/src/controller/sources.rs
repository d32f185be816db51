//! Keeps GitRepositories fetched: one task for each, which sleeps until its interval or a change. Does I/O.

mod fetching;
mod keeper;
mod status;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::fleet::{Message, SourceKey};
use crate::api::GitRepository;
use crate::source::{Checkout, Store};
use keeper::Keeper;

/// Checkouts by source, for those who ask for an artifact.
#[derive(Default)]
pub(crate) struct Checkouts(RwLock<HashMap<SourceKey, Checkout>>);

impl Checkouts {
    pub(crate) fn get(&self, key: &SourceKey) -> Option<Checkout> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    fn put(&self, key: &SourceKey, checkout: Checkout) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone(), checkout);
    }

    fn remove(&self, key: &SourceKey) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// All sources.
pub(crate) struct Sources {
    cx: Arc<Context>,
    store: Store,
    checkouts: Arc<Checkouts>,
    workers: HashMap<SourceKey, Worker>,
    stop: CancellationToken,
}

struct Worker {
    object: watch::Sender<Arc<GitRepository>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Sources {
    pub(crate) fn new(
        cx: Arc<Context>,
        store: Store,
        checkouts: Arc<Checkouts>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            cx,
            store,
            checkouts,
            workers: HashMap::new(),
            stop,
        }
    }

    /// Takes a GitRepository in that was seen.
    pub(crate) fn seen(&mut self, object: GitRepository) {
        let key = key_of(&object);
        let object = Arc::new(object);
        match self.workers.get(&key) {
            Some(worker) if worker.object.borrow().metadata.uid == object.metadata.uid => {
                worker.object.send_replace(object);
                return;
            }
            // Another object of the same name: nothing that is known of the old one is true of it.
            Some(worker) => worker.stop.cancel(),
            None => {}
        }
        let stop = self.stop.child_token();
        let (sender, receiver) = watch::channel(object);
        let keeper = Keeper::new(
            self.cx.clone(),
            self.store.clone(),
            self.checkouts.clone(),
            key.clone(),
            receiver,
        );
        let task = tokio::spawn({
            let stop = stop.clone();
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = keeper.keep() => {}
                }
            }
        });
        let worker = Worker {
            object: sender,
            stop,
            task,
        };
        self.workers.insert(key, worker);
    }

    /// Forgets one that is gone.
    pub(crate) async fn gone(&mut self, key: &SourceKey) {
        if let Some(worker) = self.workers.remove(key) {
            worker.stop.cancel();
            // What it watches is free once it has ended, whether well or not.
            let _ = worker.task.await;
        }
        self.checkouts.remove(key);
        self.cx.redactor.forget(&learned_as(key));
        self.cx
            .metrics
            .forget(&super::metrics::key("GitRepository", &key.0, &key.1));
        let _ = self.cx.messages.send(Message::SourceGone(key.clone())).await;
    }

    /// The sources that are known.
    pub(crate) fn keys(&self) -> Vec<SourceKey> {
        self.workers.keys().cloned().collect()
    }
}

pub(crate) fn key_of(object: &GitRepository) -> SourceKey {
    (
        object.metadata.namespace.clone().unwrap_or_default(),
        object.metadata.name.clone().unwrap_or_default(),
    )
}

/// The name under which a source's credentials are known to those who mask them.
fn learned_as(key: &SourceKey) -> String {
    format!("GitRepository/{}/{}", key.0, key.1)
}
