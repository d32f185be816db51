//! A namespace, a repository and a Kustomization of one test.

use std::path::PathBuf;
use std::time::Instant;

use coracle::demo::repository::Repository;
use coracle::demo::world::World;
use coracle::objects::condition;
use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::installation::{Installation, PATIENCE, POLL};

/// Lines of the controller that a test shows which fails.
const LINES: usize = 15;
pub(crate) const KUSTOMIZATION: &str = "kustomize.toolkit.fluxcd.io/v1/Kustomization";
const GIT_REPOSITORY: &str = "source.toolkit.fluxcd.io/v1/GitRepository";

/// What one test has to itself. Its namespace, its repository, its GitRepository and its Kustomization have one name.
pub(crate) struct Team {
    pub(crate) name: &'static str,
    pub(crate) world: World,
    client: kube::Client,
    work: Repository,
    work_tree: PathBuf,
    log: PathBuf,
}

impl Team {
    /// A new one. What is not there yet is the Kustomization.
    pub(crate) async fn new(installation: &Installation, name: &'static str) -> Self {
        let folder = installation.folder();
        let (bare, work_tree) = (
            folder.join(format!("served/{name}.git")),
            folder.join(format!("work-{name}")),
        );
        let url = installation.git.url(name);
        Repository::create_bare(&bare).await.unwrap();
        let team = Self {
            name,
            world: World::reach(&installation.control_plane.kubeconfig())
                .await
                .unwrap(),
            client: installation.control_plane.client().await,
            work: Repository::create(&work_tree, &url).await.unwrap(),
            work_tree,
            log: installation.controller_log(),
        };
        team.commit(&[]).await;
        team.apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))
            .await;
        team.apply(&json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": { "name": name, "namespace": name },
            "spec": { "interval": "1h", "url": url, "ref": { "branch": "main" } },
        }))
        .await;
        team
    }

    /// Has the team's Kustomization apply the whole repository. What fails is tried again after two seconds.
    pub(crate) async fn kustomization(&self, spec: &Value) {
        let mut object = json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": { "name": self.name, "namespace": self.name },
            "spec": {
                "interval": "1h", "retryInterval": "2s", "timeout": "20s", "prune": true, "wait": true,
                "path": "./", "targetNamespace": self.name,
                "sourceRef": { "kind": "GitRepository", "name": self.name },
            },
        });
        for (key, value) in spec.as_object().into_iter().flatten() {
            object["spec"][key] = value.clone();
        }
        // What is null is left out.
        let spec = object["spec"].as_object_mut().unwrap();
        spec.retain(|_, value| !value.is_null());
        self.apply(&object).await;
    }

    /// Commits files and pushes them, and has the source look; gives the commit.
    pub(crate) async fn commit(&self, files: &[(&str, &str)]) -> String {
        let is_first = !self.work_tree.join("README.md").exists();
        if is_first {
            self.work.write("README.md", "Files of a test.\n").unwrap();
        }
        for (path, content) in files {
            self.work.write(path, content).unwrap();
        }
        let commit = self.work.commit("Change what the test wants").await.unwrap();
        self.work.push("main").await.unwrap();
        if !is_first {
            self.request(GIT_REPOSITORY, &commit).await;
        }
        commit
    }

    /// Asks for a look, as `flux reconcile` does.
    async fn request(&self, kind: &str, token: &str) {
        let patch = json!({ "metadata": { "annotations": { "reconcile.fluxcd.io/requestedAt": token } } });
        self.edit(kind, self.name, &patch).await;
    }

    /// Has the Kustomization run, and waits until it has; gives it.
    pub(crate) async fn reconcile(&self, token: &str) -> DynamicObject {
        self.request(KUSTOMIZATION, token).await;
        self.until(KUSTOMIZATION, self.name, "to be handled", |object| {
            object.data["status"]["lastHandledReconcileAt"] == token
        })
        .await
    }

    /// Waits until a commit is applied and healthy.
    pub(crate) async fn ready(&self, commit: &str) {
        self.until(KUSTOMIZATION, self.name, "to be ready", |object| {
            let applied = object.data["status"]["lastAppliedRevision"].as_str();
            applied.is_some_and(|applied| applied.ends_with(commit)) && has(object, "Ready", "True")
        })
        .await;
    }

    /// Waits until the Kustomization has failed and its condition says this; gives all that it says. A source that was
    /// made together with it may be seen a moment later.
    pub(crate) async fn fails(&self, part: &str) -> String {
        let what = format!("to fail with `{part}`");
        let failed = self
            .until(KUSTOMIZATION, self.name, &what, |object| {
                let message = message(object);
                has(object, "Ready", "False")
                    && message.contains(part)
                    && !message.contains("' not found; create it")
            })
            .await;
        message(&failed).to_owned()
    }

    /// Waits until the Kustomization says that it is doing this; gives all that it says.
    pub(crate) async fn is_doing(&self, part: &str) -> String {
        let doing = |object: &DynamicObject| {
            let condition = condition(&object.data, "Reconciling");
            let message = condition.and_then(|condition| condition["message"].as_str());
            message.unwrap_or_default().to_owned()
        };
        let what = format!("to say that it does `{part}`");
        let said = self
            .until(KUSTOMIZATION, self.name, &what, |object| {
                doing(object).contains(part)
            })
            .await;
        doing(&said)
    }

    /// Applies an object of any namespace as an administrator.
    pub(crate) async fn apply(&self, object: &Value) {
        self.world.apply(object).await.unwrap();
    }

    /// Waits until the API server refuses an object that it would take without some rule: the rule is at work then.
    pub(crate) async fn refuses(&self, object: &Value) {
        self.tries(object, kube::Result::is_err).await;
    }

    /// Waits until the API server makes this of an object: whatever changes it is at work then.
    pub(crate) async fn admits(&self, object: &Value, wanted: impl Fn(&DynamicObject) -> bool) {
        self.tries(object, |answer| answer.as_ref().is_ok_and(&wanted))
            .await;
    }

    /// Asks what would become of an object until the answer is as wanted. Rules come by watches of the API server's
    /// own, which nobody else sees.
    async fn tries(&self, object: &Value, wanted: impl Fn(&kube::Result<DynamicObject>) -> bool) {
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let types = object.types.clone().unwrap();
        let (group, version) = types
            .api_version
            .split_once('/')
            .unwrap_or(("", &types.api_version));
        let api = self.api(&format!("{group}/{version}/{}", types.kind));
        let mut answer = api.create(&params, &object).await;
        let deadline = Instant::now() + PATIENCE;
        while !wanted(&answer) {
            assert!(Instant::now() < deadline, "no rule came into force: {answer:?}");
            tokio::time::sleep(POLL).await;
            answer = api.create(&params, &object).await;
        }
    }

    /// Changes an object of the team's namespace by a merge patch, as `kubectl edit` would.
    pub(crate) async fn edit(&self, kind: &str, name: &str, patch: &Value) {
        self.world
            .edit(kind, self.namespace_of(kind), name, patch)
            .await
            .unwrap();
    }

    /// An object of the team's namespace, as it stands.
    pub(crate) async fn get(&self, kind: &str, name: &str) -> Option<DynamicObject> {
        self.api(kind).get_opt(name).await.unwrap()
    }

    /// All objects of a kind in the team's namespace.
    pub(crate) async fn list(&self, kind: &str) -> Vec<DynamicObject> {
        self.api(kind).list(&ListParams::default()).await.unwrap().items
    }

    /// Deletes an object, and waits until it is gone.
    pub(crate) async fn delete(&self, kind: &str, name: &str) {
        let params = DeleteParams::background();
        self.api(kind).delete(name, &params).await.unwrap();
        self.gone(kind, name).await;
    }

    /// Begins to delete an object.
    pub(crate) async fn begin_to_delete(&self, kind: &str, name: &str) {
        let params = DeleteParams::background();
        self.api(kind).delete(name, &params).await.unwrap();
    }

    /// Waits until an object is gone.
    pub(crate) async fn gone(&self, kind: &str, name: &str) {
        self.wait(kind, name, "to be gone", |object| object.is_none())
            .await;
    }

    /// Waits, by events, until an object is as wanted, and gives it.
    pub(crate) async fn until(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        wanted: impl Fn(&DynamicObject) -> bool,
    ) -> DynamicObject {
        let found = self.wait(kind, name, what, |object| object.is_some_and(&wanted));
        found.await.unwrap()
    }

    async fn wait(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        wanted: impl Fn(Option<&DynamicObject>) -> bool,
    ) -> Option<DynamicObject> {
        let mut last = None;
        let look = async {
            let mut states = watcher::watch_object(self.api(kind), name).boxed();
            loop {
                match states.next().await {
                    Some(Ok(state)) if wanted(state.as_ref()) => return state,
                    Some(Ok(state)) => last = state,
                    // The watch opens itself again.
                    Some(Err(_)) => {}
                    None => std::future::pending().await,
                }
            }
        };
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(found) => found,
            Err(_) => panic!("waited {PATIENCE:?} for {kind} {name} {what}; last seen: {last:#?}"),
        }
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let namespace = self.namespace_of(kind);
        let (group, version, kind) = match kind.split('/').collect::<Vec<_>>()[..] {
            [group, version, kind] => (group, version, kind),
            _ => ("", "v1", kind),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    fn namespace_of(&self, kind: &str) -> &'static str {
        let of_the_cluster = ["Namespace", "CustomResourceDefinition"];
        let is_admission = kind.starts_with("admissionregistration.k8s.io/");
        if is_admission || of_the_cluster.iter().any(|name| kind.ends_with(name)) {
            return "";
        }
        self.name
    }
}

/// A test that fails shows what the controller said of its team.
impl Drop for Team {
    #[expect(clippy::print_stderr, reason = "it is shown with the failure")]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let own: Vec<&str> = log.lines().filter(|line| line.contains(self.name)).collect();
        let last = &own[own.len().saturating_sub(LINES)..];
        eprintln!("the controller said last:\n{}", last.join("\n"));
    }
}

/// The same text without what the names of this workload's pods end with, which differs each time.
pub(crate) fn masked(text: &str, workload: &str) -> String {
    let start = format!("{workload}-");
    let is_in_name = |character: char| character.is_ascii_alphanumeric() || character == '-';
    let mut rest = text;
    let mut masked = String::new();
    while let Some(at) = rest.find(&start) {
        let (before, found) = rest.split_at(at + start.len());
        masked.push_str(before);
        masked.push('*');
        rest = found.trim_start_matches(is_in_name);
    }
    masked + rest
}

/// Whether a condition of an object has this status, for its generation.
pub(crate) fn has(object: &DynamicObject, type_: &str, status: &str) -> bool {
    condition(&object.data, type_).is_some_and(|found| {
        found["status"] == status && found["observedGeneration"].as_i64() == object.metadata.generation
    })
}

/// What the Ready condition of an object says.
pub(crate) fn message(object: &DynamicObject) -> &str {
    let ready = condition(&object.data, "Ready");
    ready
        .and_then(|ready| ready["message"].as_str())
        .unwrap_or_default()
}
