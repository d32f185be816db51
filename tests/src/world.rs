//! A repository, a cluster and a controller, started for one test and gone with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::watcher;
use reconciler::controller::{self, Config, ControllerError, Services};
use reconciler::report::redact::Redactor;
use serde_json::{Value, json};
use telemetry::logs::Format;
use telemetry::metrics::Metrics;
use telemetry::server::Server;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Log;
use crate::cluster::{Cluster, Needs};

/// How long a scenario waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Namespace of all Flux objects in the scenarios.
pub const NAMESPACE: &str = "flux-system";
/// Version of the API of GitRepositories.
pub const SOURCE_API: &str = "source.toolkit.fluxcd.io/v1";
/// Version of the API of Kustomizations.
pub const KUSTOMIZE_API: &str = "kustomize.toolkit.fluxcd.io/v1";

/// File of a world's folder with the log of a controller that is a process of its own.
pub const CONTROLLER_LOG: &str = "controller.log";

/// A repository, a cluster and a controller.
pub struct World {
    /// A client that acts as a user.
    pub client: kube::Client,
    directory: TempDir,
    url: String,
    config: Config,
    tells_artifacts: bool,
    metrics: Metrics,
    controller: Option<Running>,
    redactor: Redactor,
    log: Log,
    dispatch: tracing::Dispatch,
    /// The cluster. The last one, since the next scenario may have it once it is dropped.
    pub cluster: Cluster,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), ControllerError>>,
    runtime: Option<Runtime>,
}

impl Running {
    /// Ends all tasks: the lock on the storage is gone when they are.
    fn end(mut self) {
        if let Some(runtime) = self.runtime.take() {
            tokio::task::block_in_place(|| runtime.shutdown_timeout(PATIENCE));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A scenario that fails shows what the controller did.
impl Drop for World {
    #[expect(clippy::print_stderr, reason = "the test program shows it with the failure")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let ended = self
            .controller
            .as_mut()
            .and_then(|running| (&mut running.task).now_or_never());
        if let Some(ended) = ended {
            eprintln!("the controller has ended: {ended:?}");
        }
        let log = std::fs::read_to_string(self.directory().join(CONTROLLER_LOG)).unwrap_or_default();
        eprintln!("log of the controller:\n{}{log}", self.log.text());
        eprintln!("requests of the controller:\n{}", self.since(0).join("\n"));
    }
}

impl World {
    /// A cluster that knows Flux's kinds and an empty repository served at `url`; the controller is not started.
    ///
    /// # Panics
    /// When any of it cannot be made.
    pub async fn new(directory: TempDir, url: String) -> Self {
        Self::on(Needs::Kubernetes, directory, url).await
    }

    /// The same, on a cluster that has what the scenario needs.
    ///
    /// # Panics
    /// When any of it cannot be made.
    pub async fn on(needs: Needs, directory: TempDir, url: String) -> Self {
        // The first caller installs it; later ones find it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = Cluster::start(needs).await;
        let client = client(&cluster.kubeconfig(), "scenario").await;
        for object in furniture() {
            cluster.apply(&object, "scenario").unwrap();
        }
        let config = Config {
            storage: directory.path().join("storage"),
            failure_grace: Duration::from_millis(300),
            debounce: Duration::from_millis(200),
            ..Config::default()
        };
        let metrics = Metrics::new().unwrap();
        let log = Log::default();
        let redactor = Redactor::default();
        let text = Format::Text { colours: false };
        let dispatch = log.dispatch("info,reconciler=debug", text, redactor.clone().into());
        let world = Self {
            cluster,
            client,
            directory,
            url,
            config,
            tells_artifacts: false,
            metrics,
            redactor,
            log,
            dispatch,
            controller: None,
        };
        world.established().await;
        world
    }

    async fn established(&self) {
        for plural in [
            "gitrepositories.source.toolkit.fluxcd.io",
            "kustomizations.kustomize.toolkit.fluxcd.io",
        ] {
            self.until_established(plural).await;
        }
    }

    /// Waits until a definition is served.
    pub async fn until_established(&self, definition: &str) {
        self.until(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "",
            definition,
            "established",
            |crd| condition(crd, "Established").is_some_and(|condition| condition["status"] == "True"),
        )
        .await;
    }

    /// Changes the controller's configuration before it is started.
    #[must_use]
    pub fn configured(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Has statuses say where artifacts are served.
    #[must_use]
    pub fn telling_artifacts(mut self) -> Self {
        self.tells_artifacts = true;
        self
    }

    /// Changes the controller's configuration for its next start.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
    }

    /// Starts the controller, on a runtime of its own.
    ///
    /// # Panics
    /// When it runs already, or its client cannot be made.
    pub async fn start(&mut self) {
        assert!(self.controller.is_none(), "the controller runs already");
        self.metrics = Metrics::new().unwrap();
        let kubeconfig = self.cluster.kubeconfig();
        let (mut config, metrics, redactor, stop) = (
            self.config.clone(),
            self.metrics.clone(),
            self.redactor.clone(),
            CancellationToken::new(),
        );
        let dispatch = self.dispatch.clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            // The guard would end with this closure; the thread ends with the runtime.
            .on_thread_start(move || {
                std::mem::forget(tracing::dispatcher::set_default(&dispatch));
            })
            .build()
            .unwrap();
        let stopping = stop.clone();
        let told = self.tells_artifacts;
        let task = runtime.spawn(async move {
            let artifacts = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
            if told {
                config.artifact_host = artifacts.address().to_string();
            }
            let services = Services {
                client: client_of_controller(&kubeconfig).await,
                redactor,
                metrics,
                ready: telemetry::health::Readiness::default().check("controller"),
                artifacts,
            };
            controller::run(config, services, stopping).await
        });
        self.controller = Some(Running {
            stop,
            task,
            runtime: Some(runtime),
        });
    }

    /// Stops the controller and waits for its end.
    ///
    /// # Panics
    /// When it does not run, or ends with an error.
    pub async fn stop(&mut self) {
        let mut running = self.controller.take().expect("the controller runs");
        running.stop.cancel();
        (&mut running.task).await.unwrap().unwrap();
        running.end();
    }

    /// Waits until the controller ends by itself, and gives why it did.
    ///
    /// # Panics
    /// When it does not run, or ends without an error.
    pub async fn until_ended(&mut self) -> String {
        let mut running = self.controller.take().expect("the controller runs");
        let error = (&mut running.task).await.unwrap().unwrap_err();
        running.end();
        error.to_string()
    }

    /// Numbers of the controller that runs.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The URL of the repository.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends the controller where it is, as if its process had been killed: what it sent is on its way.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        self.controller.take().expect("the controller runs").end();
    }

    /// What masks the secrets of the controller.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// What the controller logs.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Has the controller log all there is, as the program does.
    pub fn log_everything(&mut self) {
        let redaction = self.redactor.clone().into();
        self.dispatch = self
            .log
            .dispatch("debug,reconciler=trace", Format::Json, redaction);
    }

    /// Puts the controller's clock ahead until no write of an earlier process can arrive any more, nor one whose
    /// answer was lost.
    pub fn let_late_writes_expire(&self) {
        self.config.clock.advance(self.config.late_write_bound);
    }

    /// Puts the controller's clock ahead.
    pub fn pass(&self, time: Duration) {
        self.config.clock.advance(time);
    }

    /// The folder of the world.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Applies an object as a user.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn apply(&self, object: &Value) {
        self.cluster.apply(object, "kubectl-of-the-scenario").unwrap();
    }

    /// A GitRepository `name` that follows a branch of the repository.
    pub fn git_repository(&self, name: &str, branch: &str) {
        self.git_repository_with(name, &json!({"ref": {"branch": branch}}));
    }

    /// A GitRepository `name` of the repository, with more of its spec.
    pub fn git_repository_with(&self, name: &str, spec: &Value) {
        let mut object = json!({
            "apiVersion": SOURCE_API, "kind": "GitRepository",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"url": self.url, "interval": "1h"},
        });
        for (key, value) in spec.as_object().into_iter().flatten() {
            object["spec"][key] = value.clone();
        }
        self.apply(&object);
    }

    /// A Secret of the namespace of the Flux objects.
    pub fn secret(&self, name: &str, data: &[(&str, &str)]) {
        let data: serde_json::Map<_, _> = data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
            .collect();
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE}, "stringData": data,
        }));
    }

    /// A ConfigMap of the namespace of the Flux objects.
    pub fn config_map(&self, name: &str, data: &Value) {
        self.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": NAMESPACE}, "data": data,
        }));
    }

    /// A ServiceAccount of the namespace of the Flux objects that may do anything.
    pub fn account(&self, name: &str) {
        self.apply(&json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE},
        }));
        self.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
        }));
    }

    /// A Kustomization of a path of the GitRepository `source`, with more of its spec.
    pub fn kustomization(&self, name: &str, source: &str, path: &str, spec: &Value) {
        let mut object = json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "interval": "1h", "retryInterval": "30m", "prune": true, "path": path,
                "sourceRef": {"kind": "GitRepository", "name": source},
            },
        });
        for (key, value) in spec.as_object().into_iter().flatten() {
            object["spec"][key] = value.clone();
        }
        self.apply(&object);
    }

    /// Asks for a look at a source or a Kustomization, as `flux reconcile` does.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn request(&self, api_version: &str, kind: &str, name: &str, token: &str) {
        let object = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {
                "name": name, "namespace": NAMESPACE,
                "annotations": {"reconcile.fluxcd.io/requestedAt": token},
            },
        });
        self.cluster.merge(&object, "flux").unwrap();
    }

    /// Has the GitRepository look at its reference now.
    pub fn poll(&self, source: &str, token: &str) {
        self.request("source.toolkit.fluxcd.io/v1", "GitRepository", source, token);
    }

    /// An object as it stands.
    #[must_use]
    pub fn get(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        self.cluster.get(api_version, kind, namespace, name)
    }

    /// The Kustomization as it stands.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn get_kustomization(&self, name: &str) -> Value {
        self.get("kustomize.toolkit.fluxcd.io/v1", "Kustomization", NAMESPACE, name)
            .expect("it is there")
    }

    /// Waits, by events, until an object is as wanted, and gives it.
    ///
    /// # Panics
    /// When that does not come; the message shows the object as it stands.
    pub async fn until(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let found = self
            .wait(api_version, kind, namespace, name, |object| {
                object.is_some_and(&wanted)
            })
            .await;
        match found {
            Ok(object) => object.unwrap_or_default(),
            Err(()) => {
                let live = self.get(api_version, kind, namespace, name);
                panic!(
                    "{kind}/{namespace}/{name} did not become {what}:\n{:#}",
                    live.unwrap_or_default()
                )
            }
        }
    }

    /// The GitRepository as it stands.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn get_source(&self, name: &str) -> Value {
        self.get(SOURCE_API, "GitRepository", NAMESPACE, name)
            .expect("it is there")
    }

    /// Value of a key of a ConfigMap in the namespace `default`.
    #[must_use]
    pub fn value(&self, config_map: &str, key: &str) -> Option<String> {
        let found = self.get("v1", "ConfigMap", "default", config_map)?;
        Some(found["data"][key].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until a GitRepository has fetched a commit, and gives it.
    pub async fn until_fetched(&self, name: &str, commit: &str) -> Value {
        self.until(
            SOURCE_API,
            "GitRepository",
            NAMESPACE,
            name,
            "fetched",
            |object| {
                let revision = object
                    .pointer("/status/artifact/revision")
                    .and_then(Value::as_str);
                revision.is_some_and(|revision| revision.ends_with(commit)) && is_ready(object)
            },
        )
        .await
    }

    /// Waits until an object's Ready condition is False for this reason, and an Event says the same in the same
    /// words; gives them.
    pub async fn until_told(&self, api_version: &str, kind: &str, name: &str, reason: &str) -> String {
        let object = self
            .until(api_version, kind, NAMESPACE, name, reason, |object| {
                condition(object, "Ready").is_some_and(|c| c["status"] == "False" && c["reason"] == reason)
            })
            .await;
        let message = condition(&object, "Ready")
            .and_then(|c| c["message"].as_str())
            .unwrap_or_default();
        self.until_event_says(kind, name, reason, message).await;
        message.to_owned()
    }

    /// Waits until an Event about an object says this.
    ///
    /// # Panics
    /// When none does; the message shows those there are.
    pub async fn until_event_says(&self, kind: &str, name: &str, reason: &str, message: &str) -> Value {
        let events: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), NAMESPACE, &resource("v1", "Event"));
        let short = &message[..message.floor_char_boundary(1024)];
        let search = async {
            let mut seen = watcher::watcher(events, watcher::Config::default()).boxed();
            loop {
                let Some(event) = seen.try_next().await.unwrap() else {
                    panic!("the watch of Events ended")
                };
                let (watcher::Event::InitApply(event) | watcher::Event::Apply(event)) = event else {
                    continue;
                };
                let event = serde_json::to_value(&event).unwrap();
                let about = &event["involvedObject"];
                if about["kind"] == kind
                    && about["name"] == name
                    && event["reason"] == reason
                    && event["message"] == short
                {
                    return event;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(event) => event,
            Err(_) => panic!(
                "no Event of {kind}/{name} says {reason}: {short}\n{:#?}",
                self.events(name)
            ),
        }
    }

    /// The numbers of the controller, as `/metrics` shows them.
    ///
    /// # Panics
    /// When metrics cannot be read.
    #[must_use]
    pub fn metrics_shown(&self) -> String {
        let text = self.metrics.encode().unwrap();
        telemetry::Redaction::from(self.redactor.clone()).apply_to(text)
    }

    /// Waits, by events, until an object is gone.
    ///
    /// # Panics
    /// When it stays.
    pub async fn until_gone(&self, api_version: &str, kind: &str, namespace: &str, name: &str) {
        let gone = self
            .wait(api_version, kind, namespace, name, |object| object.is_none())
            .await;
        assert!(gone.is_ok(), "{kind}/{namespace}/{name} stayed");
    }

    async fn wait(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        wanted: impl Fn(Option<&Value>) -> bool,
    ) -> Result<Option<Value>, ()> {
        let resource = resource(api_version, kind);
        let objects: Api<DynamicObject> = match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        };
        let search = async {
            let mut states = watcher::watch_object(objects, name).boxed();
            while let Ok(state) = states.try_next().await {
                let object = state
                    .flatten()
                    .map(|object| serde_json::to_value(&object).unwrap());
                if wanted(object.as_ref()) {
                    return object;
                }
            }
            None
        };
        tokio::time::timeout(PATIENCE, search).await.map_err(|_| ())
    }

    /// Waits until a Kustomization is Ready at a revision that ends with `commit`.
    pub async fn until_applied(&self, name: &str, commit: &str) -> Value {
        self.until(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            NAMESPACE,
            name,
            "ready",
            |object| {
                let applied = object
                    .pointer("/status/lastAppliedRevision")
                    .and_then(Value::as_str);
                applied.is_some_and(|applied| applied.ends_with(commit)) && is_ready(object)
            },
        )
        .await
    }

    /// Waits until a Kustomization's Ready condition is False with this reason, and gives its message.
    pub async fn until_failed(&self, name: &str, reason: &str) -> String {
        let object = self
            .until(
                "kustomize.toolkit.fluxcd.io/v1",
                "Kustomization",
                NAMESPACE,
                name,
                reason,
                |object| {
                    condition(object, "Ready")
                        .is_some_and(|c| c["status"] == "False" && c["reason"] == reason)
                },
            )
            .await;
        condition(&object, "Ready")
            .and_then(|c| c["message"].as_str())
            .unwrap_or_default()
            .to_owned()
    }

    /// Changes an object with a merge patch as a person with `kubectl edit` does.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub async fn edit(&self, api_version: &str, kind: &str, namespace: &str, name: &str, patch: &Value) {
        let resource = resource(api_version, kind);
        let objects: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let parameters = PatchParams {
            field_manager: Some("somebody".to_owned()),
            ..PatchParams::default()
        };
        objects
            .patch(name, &parameters, &Patch::Merge(patch))
            .await
            .unwrap();
    }
}

/// What every scenario finds in its cluster: the namespace of the Flux objects, and their definitions.
#[must_use]
pub fn furniture() -> Vec<Value> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    let crds = reconciler::api::crds().into_iter();
    std::iter::once(namespace)
        .chain(crds.map(|crd| serde_json::to_value(&crd).unwrap()))
        .collect()
}

/// A client whose requests carry a user agent of their own, so that they can be counted apart.
///
/// # Panics
/// When the kubeconfig cannot be used.
pub async fn client(kubeconfig: &str, agent: &str) -> kube::Client {
    kube::Client::try_from(config(kubeconfig, agent).await).unwrap()
}

/// The client of a controller: what is tried again is its own to decide.
///
/// # Panics
/// When the kubeconfig cannot be used.
pub async fn client_of_controller(kubeconfig: &str) -> kube::Client {
    let mut config = config(kubeconfig, "coracle").await;
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}

async fn config(kubeconfig: &str, agent: &str) -> kube::Config {
    let kubeconfig = kube::config::Kubeconfig::from_yaml(kubeconfig).unwrap();
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
            .await
            .unwrap();
    config
        .headers
        .push((http::header::USER_AGENT, agent.parse().unwrap()));
    config
}

/// A kind as a client needs it.
#[must_use]
pub fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural(kind),
    }
}

fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    match lower.strip_suffix('y') {
        Some(stem) if stem.ends_with(['c', 'r']) => format!("{stem}ies"),
        _ if lower == "ingress" => "ingresses".to_owned(),
        _ => format!("{lower}s"),
    }
}

/// A condition of an object.
#[must_use]
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object
        .pointer("/status/conditions")?
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == type_)
}

/// Whether an object's Ready condition is True for its generation.
#[must_use]
pub fn is_ready(object: &Value) -> bool {
    condition(object, "Ready").is_some_and(|condition| condition["status"] == "True")
        && object.pointer("/status/observedGeneration") == object.pointer("/metadata/generation")
}

/// Runs a program of the machine and gives what it prints.
///
/// # Panics
/// When it fails.
pub fn program(directory: &Path, name: &str, arguments: &[&str]) -> String {
    let output = Command::new(name)
        .current_dir(directory)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{name} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Where a file of the repository stands in this workspace.
#[must_use]
pub fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
