//! Plays a scenario with one of the two controllers. Does I/O.
//!
//! In: a scenario. Out: what was recorded, by headings.

use std::process::Command;

use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Map, Value, json};
use tests::World;
use tests::flux::{self, Flux};
use tests::world::{KUSTOMIZE_API, NAMESPACE, SOURCE_API, condition, resource, workspace};

use crate::git_server::{GitServer, Upstream};
use crate::scenario::{By, FieldValue, Flags, Needs, Reason, Scenario, Step, Target, Until};

/// When the first commit was made; each next one is a minute younger, so that commits have the same ids in every play.
const FIRST_COMMIT: u64 = 1_750_000_000;

/// Who reconciles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Flux,
    Coracle,
}

/// A repository, a cluster and a contender.
pub(crate) struct Stage {
    /// Declared first: the next scenario may have the world's cluster once it is dropped.
    flux: Option<Flux>,
    pub(crate) world: World,
    pub(crate) upstream: Upstream,
    _server: GitServer,
    commits: u64,
    tokens: usize,
}

impl Drop for Stage {
    #[expect(clippy::print_stderr, reason = "the test program shows it with the failure")]
    fn drop(&mut self) {
        if let (true, Some(flux)) = (std::thread::panicking(), &self.flux) {
            eprintln!("source-controller:\n{}", flux.source.last_words());
            eprintln!("kustomize-controller:\n{}", flux.kustomize.last_words());
        }
    }
}

/// Plays a scenario and gives what was recorded.
pub(crate) async fn play(scenario: &Scenario, contender: Contender) -> Value {
    let mut stage = Stage::new().await;
    let embedded = stage.world.cluster.is_embedded();
    let will_do = scenario.needs == Needs::Kubernetes && contender == Contender::Coracle;
    assert!(!embedded || will_do, "this is played upstream: make conformance");
    stage.start(contender, &scenario.flags).await;
    stage.play(&scenario.steps).await
}

impl Stage {
    /// A cluster with Flux's objects, and nobody who reconciles.
    pub(crate) async fn new() -> Self {
        let upstream = Upstream::empty();
        let server = GitServer::http(upstream.root()).await;
        let directory = tempfile::tempdir().unwrap();
        Self {
            world: World::new(directory, server.url("repo.git")).await,
            upstream,
            _server: server,
            commits: 0,
            tokens: 0,
            flux: None,
        }
    }

    /// Starts one of the two.
    pub(crate) async fn start(&mut self, contender: Contender, flags: &Flags) {
        match contender {
            Contender::Coracle => {
                self.world.configure(|config| {
                    config.no_cross_namespace_refs = flags.no_cross_namespace_refs;
                    config
                        .default_service_account
                        .clone_from(&flags.default_service_account);
                });
                self.world.start().await;
            }
            Contender::Flux => {
                self.install(&flux::definitions()).await;
                let mut of_flux = vec!["--requeue-dependency=2s".to_owned()];
                if flags.no_cross_namespace_refs {
                    of_flux.push("--no-cross-namespace-refs=true".to_owned());
                }
                if let Some(account) = &flags.default_service_account {
                    of_flux.push(format!("--default-service-account={account}"));
                }
                let kubeconfig = self.world.cluster.kubeconfig();
                let source = flux::start_source(&kubeconfig, self.world.directory());
                self.refetched().await;
                let kustomize = flux::start_kustomize(&kubeconfig, self.world.directory(), &of_flux);
                self.flux = Some(Flux { source, kustomize });
            }
        }
    }

    /// Installs definitions, and what else comes with them, in the place of those there are.
    pub(crate) async fn install(&self, objects: &[Value]) {
        for object in objects {
            self.world.cluster.apply(object, "scenario").unwrap();
        }
        for object in objects {
            if object["kind"] == "CustomResourceDefinition" {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                self.world.until_established(name).await;
            }
        }
    }

    /// Waits until source-controller serves what it did not fetch itself: kustomize-controller would ask for it where it
    /// was before, and wait longer each time.
    async fn refetched(&self) {
        for source in self.world.cluster.list(SOURCE_API, "GitRepository", NAMESPACE) {
            let name = source["metadata"]["name"].as_str().unwrap_or_default();
            let here = |object: &Value| {
                let url = object.pointer("/status/artifact/url").and_then(Value::as_str);
                url.is_some_and(|url| url.starts_with("http://127.0.0.1:"))
            };
            self.world
                .until(SOURCE_API, "GitRepository", NAMESPACE, name, "fetched anew", here)
                .await;
        }
    }

    /// Stops whoever reconciles.
    pub(crate) async fn stop(&mut self) {
        if self.flux.take().is_none() {
            self.world.stop().await;
        }
    }

    /// Plays steps and gives what they record.
    pub(crate) async fn play(&mut self, steps: &[Step]) -> Value {
        let mut records = Map::new();
        for step in steps {
            self.step(step, &mut records).await;
        }
        records.into()
    }

    async fn step(&mut self, step: &Step, records: &mut Map<String, Value>) {
        match step {
            Step::Commit(files) => {
                for (path, content) in files {
                    match content {
                        Some(content) => self.upstream.write(path, included(content)),
                        None => std::fs::remove_file(self.upstream.work().join(path)).unwrap(),
                    }
                }
                self.commit();
            }
            Step::Branch(name) => drop(self.upstream.git(&["checkout", "-q", "-B", name])),
            Step::Tag(name) => drop(self.upstream.git(&["tag", name])),
            Step::Source(source) => {
                let mut spec = json!({"ref": {"branch": "main"}});
                merge(&mut spec, &self.filled(&source.spec));
                self.world.git_repository_with(&source.name, &spec);
            }
            Step::Kustomization(it) => {
                let spec = self.filled(&it.spec);
                self.world.kustomization(&it.name, &it.source, &it.path, &spec);
            }
            Step::Apply(by) => self.each(by, |stage, object| {
                stage.world.cluster.apply(object, &by.manager).unwrap();
            }),
            Step::Merge(by) => self.each(by, |stage, object| {
                stage.world.cluster.merge(object, &by.manager).unwrap();
            }),
            Step::Create(by) => self.create(by).await,
            Step::Delete(target) => {
                self.delete(target);
                self.gone(target).await;
            }
            Step::Mark(target) => self.delete(target),
            Step::Poll(source) => {
                let token = self.token();
                self.world.poll(source, &token);
            }
            Step::Reconcile(kustomization) => {
                let token = self.token();
                self.world.reconcile(kustomization, &token).await;
            }
            Step::Until(until) => self.until(until).await,
            Step::Gone(target) => self.gone(target).await,
            Step::Flux(line) => {
                let number = records.keys().filter(|key| key.starts_with("flux ")).count() + 1;
                drop(records.insert(format!("flux {number}: {line}"), self.flux(line)));
            }
            Step::Record(record) => {
                drop(records.insert(record.heading.clone(), self.record(record).await));
            }
        }
        if let Some(flux) = &self.flux {
            flux.assert_runs();
        }
    }

    /// Commits everything, at a time that is the same in every play.
    fn commit(&mut self) {
        let date = format!("{} +0000", FIRST_COMMIT + 60 * self.commits);
        self.commits += 1;
        self.upstream.git(&["add", "-A"]);
        let person = ["GIT_AUTHOR", "GIT_COMMITTER"];
        let mut git = Command::new("git");
        // Kubernetes counts events that say the same as one: each commit has words of its own.
        let message = format!("Commit {}", self.commits);
        git.args(["commit", "-q", "--allow-empty", "-m", &message])
            .current_dir(self.upstream.work())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in person {
            git.env(format!("{role}_NAME"), "test")
                .env(format!("{role}_EMAIL"), "test@example.org")
                .env(format!("{role}_DATE"), &date);
        }
        assert!(git.status().unwrap().success());
    }

    fn token(&mut self) -> String {
        self.tokens += 1;
        format!("request-{}", self.tokens)
    }

    /// An object with `HEAD` and `URL` filled in.
    fn filled(&self, object: &Value) -> Value {
        let text = object
            .to_string()
            .replace("\"URL\"", &json!(self.world.url()).to_string());
        let text = if text.contains("HEAD") {
            text.replace("HEAD", &self.upstream.head())
        } else {
            text
        };
        let mut filled: Value = serde_json::from_str(&text).unwrap();
        if let Some(texts) = filled.get_mut("stringData").and_then(Value::as_object_mut) {
            for text in texts.values_mut() {
                *text = json!(included(text.as_str().unwrap_or_default()));
            }
        }
        filled
    }

    fn each(&self, by: &By, act: impl Fn(&Self, &Value)) {
        for object in &by.objects {
            act(self, &self.filled(object));
        }
    }

    async fn create(&self, by: &By) {
        for object in &by.objects {
            let object = self.filled(object);
            let text = |pointer: &str| {
                object
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let kind = resource(text("/apiVersion"), text("/kind"));
            let api: Api<DynamicObject> = match text("/metadata/namespace") {
                "" => Api::all_with(self.world.client.clone(), &kind),
                namespace => Api::namespaced_with(self.world.client.clone(), namespace, &kind),
            };
            let parameters = PostParams {
                field_manager: Some(by.manager.clone()),
                ..PostParams::default()
            };
            api.create(&parameters, &serde_json::from_value(object.clone()).unwrap())
                .await
                .unwrap();
        }
    }

    fn delete(&self, it: &Target) {
        self.world
            .cluster
            .delete(&it.api_version, &it.kind, &it.namespace, &it.name)
            .unwrap();
    }

    async fn gone(&self, it: &Target) {
        self.world
            .until_gone(&it.api_version, &it.kind, &it.namespace, &it.name)
            .await;
    }

    pub(crate) async fn until(&self, until: &Until) {
        match until {
            Until::Applied(name) => drop(self.world.until_applied(name, &self.upstream.head()).await),
            Until::Fetched(name) => drop(self.world.until_fetched(name, &self.upstream.head()).await),
            Until::Failed(reason) => self.until_failed(KUSTOMIZE_API, "Kustomization", reason).await,
            Until::Unfetched(reason) => self.until_failed(SOURCE_API, "GitRepository", reason).await,
            Until::Established(name) => self.world.until_established(name).await,
            Until::Value(FieldValue { of, at, is }) => {
                let has = |object: &Value| object.pointer(at).unwrap_or(&Value::Null) == is;
                self.world
                    .until(&of.api_version, &of.kind, &of.namespace, &of.name, at, has)
                    .await;
            }
        }
    }

    async fn until_failed(&self, api_version: &str, kind: &str, wanted: &Reason) {
        let head = self.upstream.head();
        let failed = |object: &Value| {
            let attempted = object
                .pointer("/status/lastAttemptedRevision")
                .and_then(Value::as_str);
            let attempted = kind != "Kustomization"
                || !wanted.attempted
                || attempted.is_some_and(|revision| revision.ends_with(&head));
            attempted
                && condition(object, "Ready")
                    .is_some_and(|ready| ready["status"] == "False" && ready["reason"] == *wanted.reason)
        };
        self.world
            .until(api_version, kind, NAMESPACE, &wanted.name, &wanted.reason, failed)
            .await;
    }
}

/// A text, or what is in the file of this repository that `@path` names.
fn included(text: &str) -> String {
    match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(workspace(path)).unwrap(),
        None => text.to_owned(),
    }
}

/// Puts fields into an object, in place of those of the same name.
fn merge(object: &mut Value, fields: &Value) {
    for (key, value) in fields.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
}
