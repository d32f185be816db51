//! `coracle controller` as a process: what it answers while it runs, and how it ends.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use coracle::demo::repository::Repository;
use coracle::git_server::{Access, GitServer};
use embedded_cluster::{Held, HoldAt, Holding, Match};
use serde_json::{Value, json};

use crate::terminal::{Terminal, get, signal};

const SOURCE_API: &str = "source.toolkit.fluxcd.io/v1";
const KUSTOMIZE_API: &str = "kustomize.toolkit.fluxcd.io/v1";
/// How long the controller may take to say what a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster, and a repository that is served.
struct Scene {
    terminal: Terminal,
    git: GitServer,
    work: Repository,
}

impl Scene {
    async fn new() -> Self {
        let terminal = Terminal::installed().await;
        let served = terminal.directory().join("served");
        Repository::create_bare(&served.join("apps.git")).await.unwrap();
        let git = GitServer::start(&served, ([127, 0, 0, 1], 0).into(), Access::ReadAndPush)
            .await
            .unwrap();
        let work = Repository::create(&terminal.directory().join("work"), &git.url("apps"))
            .await
            .unwrap();
        terminal.folder("work/app");
        Self { terminal, git, work }
    }

    /// Pushes files to the branch `main`; gives the commit.
    async fn push(&self, files: &[(&str, &Value)]) -> String {
        for (path, object) in files {
            self.work.write(path, &object.to_string()).unwrap();
        }
        let commit = self.work.commit("Change the application").await.unwrap();
        self.work.push("main").await.unwrap();
        commit
    }

    /// A GitRepository of the repository, and a Kustomization of its folder `app`, both of this name.
    fn follow(&self, namespace: &str, name: &str) {
        let metadata = json!({ "name": name, "namespace": namespace });
        for object in [
            json!({
                "apiVersion": SOURCE_API, "kind": "GitRepository", "metadata": metadata,
                "spec": { "interval": "1h", "url": self.git.url("apps"), "ref": { "branch": "main" } },
            }),
            json!({
                "apiVersion": KUSTOMIZE_API, "kind": "Kustomization", "metadata": metadata,
                "spec": {
                    "interval": "1h", "prune": true, "path": "./app",
                    "sourceRef": { "kind": "GitRepository", "name": name },
                },
            }),
        ] {
            self.terminal.cluster.apply(&object, "kubectl").unwrap();
        }
    }

    /// Asks for a look at an object, as `flux reconcile` does.
    fn request(&self, api_version: &str, kind: &str, name: &str, token: &str) {
        let object = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {
                "name": name, "namespace": "flux-system",
                "annotations": { "reconcile.fluxcd.io/requestedAt": token },
            },
        });
        self.terminal.cluster.merge(&object, "flux").unwrap();
    }

    fn kustomization(&self, namespace: &str, name: &str) -> Value {
        let found = self
            .terminal
            .cluster
            .get(KUSTOMIZE_API, "Kustomization", namespace, name);
        found.unwrap()
    }

    /// Waits until the Kustomization of this name has applied a commit.
    async fn until_applied(&self, namespace: &str, name: &str, commit: &str) {
        let applied = || {
            let status = &self.kustomization(namespace, name)["status"];
            let revision = status["lastAppliedRevision"].as_str().unwrap_or_default();
            let ready = status["conditions"].as_array().is_some_and(|all| {
                all.iter()
                    .any(|it| it["type"] == "Ready" && it["status"] == "True")
            });
            ready && revision.ends_with(commit)
        };
        self.terminal.until(|_| applied()).await;
    }

    /// The ids in the inventory of the Kustomization `app`, sorted.
    fn inventory(&self) -> Vec<String> {
        let object = self.kustomization("flux-system", "app");
        let entries = object
            .pointer("/status/inventory/entries")
            .and_then(Value::as_array);
        let ids = entries.into_iter().flatten();
        let mut ids: Vec<String> = ids
            .map(|entry| entry["id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    }

    /// Who holds each lease.
    fn holders(&self) -> Vec<String> {
        let leases = self
            .terminal
            .cluster
            .list("coordination.k8s.io/v1", "Lease", "flux-system");
        let holder = |lease: &Value| {
            lease["spec"]["holderIdentity"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        leases.iter().map(holder).collect()
    }

    fn is_there(&self, name: &str) -> bool {
        self.terminal
            .cluster
            .get("v1", "ConfigMap", "default", name)
            .is_some()
    }
}

fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": "default" } })
}

/// Waits for the request that is held.
async fn held(holding: &mut Holding) -> Held {
    let next = tokio::time::timeout(PATIENCE, holding.next()).await;
    next.unwrap().unwrap()
}

/// A controller that runs; it is killed when it is dropped.
struct Controller {
    child: Child,
    said: mpsc::Receiver<String>,
    log: String,
    address: String,
}

impl Controller {
    /// Starts one with these options, and waits until it says where it answers.
    fn start(terminal: &Terminal, options: &str) -> Self {
        let line = "controller --storage-path data --metrics-addr 127.0.0.1:0 --storage-addr 127.0.0.1:0";
        let mut child = terminal
            .command(&format!("{line} {options}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let (log, address) = (String::new(), String::new());
        let mut controller = Self {
            child,
            said,
            log,
            address,
        };
        let start: Value = serde_json::from_str(&controller.until_says("metrics_and_health")).unwrap();
        start["metrics_and_health"]
            .as_str()
            .unwrap()
            .clone_into(&mut controller.address);
        controller
    }

    /// Waits until it says this.
    fn until_says(&mut self, words: &str) -> String {
        loop {
            let line = tokio::task::block_in_place(|| self.said.recv_timeout(PATIENCE));
            let Ok(line) = line else {
                panic!("it does not say `{words}`:\n{}", self.log)
            };
            self.log.push_str(&line);
            self.log.push('\n');
            if line.contains(words) {
                return line;
            }
        }
    }

    fn get(&self, path: &str) -> (String, String) {
        tokio::task::block_in_place(|| get(&self.address, path))
    }

    /// The numbers with this name, a line each.
    fn numbers(&self, name: &str) -> Vec<String> {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, "200");
        let lines = text
            .lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(name));
        lines.map(ToOwned::to_owned).collect()
    }

    /// Waits until it ends by itself; gives its exit code.
    fn end(&mut self) -> Option<i32> {
        tokio::task::block_in_place(|| self.child.wait()).unwrap().code()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It has ended already where a test waited for that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_once_it_leads_and_says_until_then_what_it_waits_for() {
    let scene = Scene::new().await;
    let leases = Match::default().resource("coordination.k8s.io", "leases");
    let mut holding = scene
        .terminal
        .cluster
        .faults()
        .hold(leases.times(1), HoldAt::Before);
    let mut controller = Controller::start(&scene.terminal, "");
    let held = held(&mut holding).await;
    assert_eq!(
        controller.get("/readyz"),
        ("503".to_owned(), "[-]leadership starting\n".to_owned())
    );
    assert_eq!(controller.get("/healthz"), ("200".to_owned(), "ok".to_owned()));
    held.release();
    controller.until_says("leading: reconciliation starts");
    let ready = ("200".to_owned(), "[+]leadership ok\n".to_owned());
    scene.terminal.until(|_| controller.get("/readyz") == ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_numbers_have_the_names_and_labels_of_those_of_flux() {
    let scene = Scene::new().await;
    let commit = scene.push(&[("app/a.yaml", &config_map("a"))]).await;
    scene.follow("flux-system", "app");
    let controller = Controller::start(&scene.terminal, "");
    scene.until_applied("flux-system", "app", &commit).await;
    // Numbers are published beside the status.
    let infos = || controller.numbers("gotk_resource_info");
    scene
        .terminal
        .until(|_| {
            infos()
                .iter()
                .filter(|line| line.contains("ready=\"True\""))
                .count()
                == 2
        })
        .await;
    let shown = infos()
        .join("\n")
        .replace(&commit, "COMMIT")
        .replace(&scene.git.url("apps"), "URL");
    insta::assert_snapshot!(shown, @r#"
    gotk_resource_info{customresource_group="kustomize.toolkit.fluxcd.io",customresource_kind="Kustomization",customresource_version="v1",exported_namespace="flux-system",name="app",ready="True",revision="main@sha1:COMMIT",source_name="app",suspended="false"} 1
    gotk_resource_info{customresource_group="source.toolkit.fluxcd.io",customresource_kind="GitRepository",customresource_version="v1",exported_namespace="flux-system",name="app",ready="True",revision="main@sha1:COMMIT",suspended="false",url="URL"} 1
    "#);

    let counts = |kind: &str| {
        let count = format!(
            "gotk_reconcile_duration_seconds_count{{kind=\"{kind}\",name=\"app\",namespace=\"flux-system\"}} "
        );
        let lines = controller.numbers("gotk_reconcile_duration_seconds_count");
        let numbers: Vec<u64> = lines
            .iter()
            .filter_map(|line| line.strip_prefix(&count)?.parse().ok())
            .collect();
        numbers.first().copied().unwrap_or(0)
    };
    scene.terminal.until(|_| counts("Kustomization") == 1).await;
    scene.terminal.until(|_| counts("GitRepository") == 1).await;
    scene.request(KUSTOMIZE_API, "Kustomization", "app", "again");
    scene.terminal.until(|_| counts("Kustomization") == 2).await;
    scene.request(SOURCE_API, "GitRepository", "app", "again");
    scene.terminal.until(|_| counts("GitRepository") == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_in_the_middle_of_a_run_it_ends_at_its_next_write_and_the_next_one_finishes_the_run() {
    let scene = Scene::new().await;
    let first = scene.push(&[("app/a.yaml", &config_map("a"))]).await;
    scene.follow("flux-system", "app");
    let mut controller = Controller::start(&scene.terminal, "");
    scene.until_applied("flux-system", "app", &first).await;

    // The namespace is written before what is in it.
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    let second = scene
        .push(&[("app/b.yaml", &config_map("b")), ("app/shop.yaml", &namespace)])
        .await;
    let writes = Match::default().resource("", "namespaces").name("shop").writes();
    let mut holding = scene
        .terminal
        .cluster
        .faults()
        .hold(writes.times(1), HoldAt::Before);
    scene.request(SOURCE_API, "GitRepository", "app", "again");
    let held = held(&mut holding).await;
    signal("TERM", &controller.child);
    controller.until_says("what is under way ends at its next write");
    // What is on its way is waited for.
    assert!(controller.child.try_wait().unwrap().is_none());
    held.release();
    assert_eq!(controller.end(), Some(0), "{}", controller.log);

    assert_eq!(scene.holders(), ["", ""]);
    assert!(
        scene
            .terminal
            .cluster
            .get("v1", "Namespace", "", "shop")
            .is_some()
    );
    assert!(!scene.is_there("b"), "it wrote on after it was asked to end");
    let wanted = ["_shop__Namespace", "default_a__ConfigMap", "default_b__ConfigMap"];
    assert_eq!(
        scene.inventory(),
        wanted,
        "what was to be written was recorded before"
    );

    let next = Controller::start(&scene.terminal, "");
    scene.until_applied("flux-system", "app", &second).await;
    assert!(scene.is_there("b"));
    assert_eq!(scene.inventory(), wanted);
    drop(next);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_another_namespace_is_not_touched_by_one_that_watches_its_own() {
    let scene = Scene::new().await;
    let commit = scene.push(&[("app/a.yaml", &config_map("a"))]).await;
    let team = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team" } });
    scene.terminal.cluster.apply(&team, "kubectl").unwrap();
    scene.follow("team", "theirs");
    let theirs = || {
        let cluster = &scene.terminal.cluster;
        [(SOURCE_API, "GitRepository"), (KUSTOMIZE_API, "Kustomization")]
            .map(|(api, kind)| cluster.get(api, kind, "team", "theirs").unwrap())
    };
    let untouched = theirs();
    scene.follow("flux-system", "app");
    let controller = Controller::start(&scene.terminal, "--watch-all-namespaces=false");
    scene.until_applied("flux-system", "app", &commit).await;
    // A second run, so that what came with the first look has been taken in.
    scene.request(KUSTOMIZE_API, "Kustomization", "app", "again");
    let is_handled =
        || scene.kustomization("flux-system", "app")["status"]["lastHandledReconcileAt"] == "again";
    scene.terminal.until(|_| is_handled()).await;
    assert!(scene.is_there("a"));
    assert_eq!(theirs(), untouched);
    assert!(!controller.get("/metrics").1.contains("\"theirs\""));
    drop(controller);

    // One that watches all would have.
    scene
        .terminal
        .cluster
        .delete(KUSTOMIZE_API, "Kustomization", "flux-system", "app")
        .unwrap();
    let _everywhere = Controller::start(&scene.terminal, "--lease=false");
    scene.until_applied("team", "theirs", &commit).await;
}
