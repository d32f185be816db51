//! The main job, end to end: a merge reaches the cluster, a revert takes it back.

#[path = "../../../reconciler/tests/source/git_server/mod.rs"]
#[expect(dead_code, reason = "the fetch tests use more of it")]
mod git_server;

mod annotations;
mod budgets;
mod controlling;
mod drift;
mod kill;
mod ownership;
mod preview;
mod recording;
mod story;

use std::time::Duration;

use embedded_cluster::{Held, Holding};
use git_server::{GitServer, Upstream};
use serde_json::Value;
use tests::World;

/// A repository with its server, and a world around it.
pub(crate) struct Scene {
    pub(crate) upstream: Upstream,
    pub(crate) world: World,
    _server: GitServer,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let upstream = Upstream::empty();
        let server = GitServer::http(upstream.root()).await;
        let world = World::new(tempfile::tempdir().unwrap(), server.url("repo.git")).await;
        Self { upstream, world, _server: server }
    }

    /// A scene whose controller has applied these files of `app/` with a Kustomization `app`.
    pub(crate) async fn applied(files: &[(&str, &str)], spec: &Value) -> Self {
        let mut scene = Self::new().await;
        scene.world.git_repository("app", "main");
        scene.world.kustomization("app", "app", "./app", spec);
        let commit = scene.commit(files);
        scene.world.start().await;
        scene.world.until_applied("app", &commit).await;
        // The status that was just seen is counted by now: the run that wrote it is over.
        scene.world.until_runs("app", 1).await;
        scene
    }

    /// Commits files of `app/`; one without content is removed.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            let path = format!("app/{path}");
            if content.is_empty() {
                std::fs::remove_file(self.upstream.work().join(path)).unwrap();
            } else {
                self.upstream.write(&path, content);
            }
        }
        self.upstream.commit_all("Change the application")
    }

    /// Commits files of `app/` and has the source fetch them.
    pub(crate) fn push(&self, files: &[(&str, &str)]) -> String {
        let commit = self.commit(files);
        self.world.poll("app", &commit);
        commit
    }

    /// Commits files of `app/` and waits until they are applied.
    pub(crate) async fn deploy(&self, files: &[(&str, &str)]) -> String {
        let commit = self.push(files);
        self.world.until_applied("app", &commit).await;
        commit
    }

    /// The data of a ConfigMap in namespace `default`.
    pub(crate) fn data(&self, name: &str) -> Value {
        self.world.get("v1", "ConfigMap", "default", name).map(|object| object["data"].clone()).unwrap_or_default()
    }
}

/// Waits for the next request that is held.
pub(crate) async fn held(holding: &mut Holding) -> Held {
    let next = tokio::time::timeout(Duration::from_secs(30), holding.next()).await;
    next.expect("the request to hold comes").unwrap()
}

/// A ConfigMap in namespace `default` as YAML.
pub(crate) fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: default\ndata:\n  key: '{value}'\n"
    )
}

/// A Deployment in namespace `default` as YAML.
pub(crate) fn deployment(name: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  namespace: default\nspec:\n  selector:\n    matchLabels:\n      app: {name}\n  template:\n    metadata:\n      labels:\n        app: {name}\n    spec:\n      containers:\n      - name: web\n        image: example.org/web:1\n{more}"
    )
}
