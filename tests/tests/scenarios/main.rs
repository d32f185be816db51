//! The main job, end to end: a merge reaches the cluster, a revert takes it back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a scenario that cannot be set up fails"
)]

#[path = "../../../reconciler/tests/source/git_server/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the fetch tests use more of it"
)]
mod git_server;

mod accounts;
mod annotations;
mod bad_input;
mod bad_sources;
mod budgets;
mod dependencies;
mod drift;
mod faults;
mod health;
mod kill;
mod leadership;
mod moves;
mod ownership;
mod preview;
mod recording;
mod removal;
mod renames;
mod replacement;
mod requests;
mod secrets;
mod sources;
mod statuses;
mod story;
mod surroundings;
mod turns;
mod variables;

use std::time::Duration;

use embedded_cluster::{Faults, Held, HoldAt, Holding, Workloads};
use git_server::{GitServer, Upstream};
use serde_json::{Value, json};
use tests::World;
pub(crate) use tests::cluster::Needs;
use tests::world::{KUSTOMIZE_API, NAMESPACE, condition};

/// A repository with its server, and a world around it.
pub(crate) struct Scene {
    pub(crate) upstream: Upstream,
    pub(crate) world: World,
    pub(crate) server: GitServer,
}

/// The cluster that a scene is set on.
pub(crate) struct Setting(Needs);

impl Setting {
    /// As [`Scene::new`].
    pub(crate) async fn empty(self) -> Scene {
        let upstream = Upstream::empty();
        let server = GitServer::http(upstream.root()).await;
        let world = World::on(self.0, tempfile::tempdir().unwrap(), server.url("repo.git")).await;
        Scene {
            upstream,
            world,
            server,
        }
    }

    /// A Kustomization `app` of the ConfigMaps `a` and `b`, applied.
    pub(crate) async fn a_and_b(self) -> Scene {
        let files = ["a", "b"].map(|name| (format!("{name}.yaml"), config_map(name, "1")));
        let files = files
            .each_ref()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        self.applied(&files, &json!({})).await
    }

    /// As [`Scene::applied`].
    pub(crate) async fn applied(self, files: &[(&str, &str)], spec: &Value) -> Scene {
        let mut scene = self.empty().await;
        scene.world.git_repository("app", "main");
        scene.world.kustomization("app", "app", "./app", spec);
        let commit = scene.commit(files);
        scene.world.start().await;
        scene.world.until_applied("app", &commit).await;
        // The run that wrote this status is over, and the source has written its own too.
        scene.world.until_runs("app", 1).await;
        scene.world.until_fetched("app", &commit).await;
        scene
    }
}

impl Scene {
    /// A scene on a cluster that has what it needs.
    pub(crate) fn with(needs: Needs) -> Setting {
        Setting(needs)
    }

    pub(crate) async fn new() -> Self {
        Self::with(Needs::Kubernetes).empty().await
    }

    /// A Kustomization `app` of the folder `app`, which holds the ConfigMap `settings`, applied.
    pub(crate) async fn live() -> Self {
        Self::live_with(&json!({})).await
    }

    /// The same, with more of the Kustomization's spec.
    pub(crate) async fn live_with(spec: &Value) -> Self {
        let mut scene = Self::new().await;
        let first = scene
            .upstream
            .commit("app/config.yaml", &config_map("settings", "one"));
        scene.world.git_repository("app", "main");
        scene.world.kustomization("app", "app", "./app", spec);
        scene.world.start().await;
        scene.world.until_applied("app", &first).await;
        scene
    }

    /// The faults of the cluster: what it does wrong, and which requests it holds.
    pub(crate) fn faults(&self) -> &Faults {
        self.world.cluster.faults()
    }

    /// The workloads that the cluster plays.
    pub(crate) fn workloads(&self) -> &Workloads {
        self.world.cluster.workloads()
    }

    /// Asks for a run of the Kustomization `app` and holds it where it previews the ConfigMap `a`.
    pub(crate) async fn held_at_its_preview(&self, token: &str) -> Held {
        let previews = requests::previews().name("a");
        let mut holding = self.faults().hold(previews.times(1), HoldAt::Before);
        self.world.request(KUSTOMIZE_API, "Kustomization", "app", token);
        held(&mut holding).await
    }

    /// Waits until the controller has taken in what happened to Kustomizations until now: one that is seen after all
    /// that was told by then. It is gone again afterwards.
    pub(crate) async fn until_seen_so_far(&self) {
        let world = &self.world;
        world.kustomization("marker", "app", "./none", &json!({"prune": false}));
        world.until_failed("marker", "ArtifactFailed").await;
        world.delete_kustomization("marker").await;
    }

    /// Commits one file and has the GitRepository `app` look.
    pub(crate) fn push_file(&self, path: &str, content: &str) -> String {
        self.upstream.write(path, content);
        self.push_all()
    }

    /// Commits everything and has the GitRepository `app` look.
    pub(crate) fn push_all(&self) -> String {
        let commit = self.upstream.commit_all("Change something");
        self.world.poll("app", &commit);
        commit
    }

    /// Has the GitRepository `app` look at what is committed already.
    pub(crate) fn push_all_committed(&self) -> String {
        let commit = self.upstream.head();
        self.world.poll("app", &commit);
        commit
    }

    /// The version of the ConfigMap `settings`, to see that nothing touched it.
    pub(crate) fn settings(&self) -> Value {
        let settings = self
            .world
            .get("v1", "ConfigMap", "default", "settings")
            .expect("it is there");
        settings["metadata"]["resourceVersion"].clone()
    }

    /// Waits until a Kustomization failed at a commit for this reason and an Event says so in the same words;
    /// gives the words.
    pub(crate) async fn until_failed_at(&self, name: &str, commit: &str, reason: &str) -> String {
        let object = self
            .world
            .until(
                KUSTOMIZE_API,
                "Kustomization",
                NAMESPACE,
                name,
                "failed",
                |object| {
                    let attempted = object
                        .pointer("/status/lastAttemptedRevision")
                        .and_then(Value::as_str);
                    attempted.is_some_and(|attempted| attempted.ends_with(commit))
                        && condition(object, "Ready")
                            .is_some_and(|c| c["status"] == "False" && c["reason"] == reason)
                },
            )
            .await;
        let message = condition(&object, "Ready")
            .and_then(|c| c["message"].as_str())
            .unwrap_or_default();
        self.world
            .until_event_says("Kustomization", name, reason, message)
            .await;
        message.to_owned()
    }

    /// A scene whose controller has applied these files of `app/` with a Kustomization `app`.
    pub(crate) async fn applied(files: &[(&str, &str)], spec: &Value) -> Self {
        Self::with(Needs::Kubernetes).applied(files, spec).await
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
        self.world
            .get("v1", "ConfigMap", "default", name)
            .map(|object| object["data"].clone())
            .unwrap_or_default()
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

/// A claim of storage in namespace `default`, which holds data.
pub(crate) const CLAIM: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: default}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
";

/// A Deployment in namespace `default` as YAML.
pub(crate) fn deployment(name: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  namespace: default\nspec:\n  selector:\n    matchLabels:\n      app: {name}\n  template:\n    metadata:\n      labels:\n        app: {name}\n    spec:\n      containers:\n      - name: web\n        image: example.org/web:1\n{more}"
    )
}

/// A kustomization file with these resources.
pub(crate) fn kustomization_of(resources: &[&str]) -> String {
    let list: String = resources
        .iter()
        .map(|resource| format!("  - {resource}\n"))
        .collect();
    format!("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{list}")
}

/// The same with this image, and one replica.
pub(crate) fn deployment_of(name: &str, image: &str) -> String {
    deployment(name, "")
        .replace("example.org/web:1", image)
        .replace("spec:\n  selector", "spec:\n  replicas: 1\n  selector")
}
