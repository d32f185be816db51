//! Coracle and Flux on the same work, each on an API server of its own: how long, how much CPU and memory, how many
//! requests; and the floor, the same objects applied one after the other by a bare loop.
//!
//! `make bench-flux` builds everything and runs this; nothing is asserted, but what is promised stands below the table.

#![allow(clippy::print_stdout, reason = "it prints its figures")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot be set up fails"
)]

#[path = "../../reconciler/tests/source/git_server/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the fetch tests use more of it")]
mod git_server;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use git_server::{GitServer, Upstream};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::{Value, json};
use tests::control_plane::{Audited, ControlPlane};
use tests::flux::{self, Flux};
use tests::process::Process;
use tests::world::{self, KUSTOMIZE_API, NAMESPACE, SOURCE_API, is_ready, resource};

/// How long nothing is done to see what that costs.
const IDLE: Duration = Duration::from_secs(30);
/// How long a phase may take.
const PATIENCE: Duration = Duration::from_secs(900);
/// The verbs of the table; what else there is counts as the last one.
const VERBS: [&str; 7] = ["get", "list", "watch", "create", "patch", "delete", "other"];

fn main() {
    let number = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(bench(number.unwrap_or(300)));
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Coracle,
    Flux,
}

/// What a phase took.
struct Figures {
    what: &'static str,
    wall: Duration,
    cpu: f64,
    peak: u64,
    requests: BTreeMap<&'static str, usize>,
}

async fn bench(number: usize) {
    println!(
        "{number} applications of 4 objects, wait: true; a fresh etcd, kube-apiserver and kube-controller-manager each"
    );
    let floor = floor(number).await;
    println!(
        "{:8} {:30} {:>8} {:>8} {:>8}   {}",
        "",
        "",
        "s",
        "s CPU",
        "MiB peak",
        VERBS.map(|verb| format!("{verb:>7}")).join("")
    );
    println!("{:8} {:30} {:8.2}", "a loop", "all at once", floor.as_secs_f64());
    let coracle = measure(Contender::Coracle, number).await;
    let flux = measure(Contender::Flux, number).await;
    judge(number, floor, &coracle, &flux);
}

/// What is promised, and whether it is kept.
fn judge(number: usize, floor: Duration, coracle: &[Figures], flux: &[Figures]) {
    let by = |figures: &[Figures], what: &str| {
        let found = figures.iter().find(|figures| figures.what == what).unwrap();
        (
            found.wall.as_secs_f64(),
            found.requests.values().sum::<usize>(),
            found.cpu,
        )
    };
    let total = |figures: &[Figures]| {
        let cpu: f64 = figures.iter().map(|figures| figures.cpu).sum();
        (
            cpu,
            figures.iter().map(|figures| figures.peak).max().unwrap() as f64,
        )
    };
    let ((cpu, memory), (cpu_of_flux, memory_of_flux)) = (total(coracle), total(flux));
    let all = by(coracle, ALL).0 / floor.as_secs_f64();
    let live = by(coracle, LIVE).0;
    // The source is asked to look, and says that it did.
    let each = by(coracle, NONE).1 as f64 / (number + 1) as f64;
    for (what, is, most) in [
        ("all Ready, in floors", all, 1.5),
        ("a commit to one, live after s", live, 0.3),
        ("a commit to none, requests for each", each, 1.0),
        ("CPU, of Flux's", cpu / cpu_of_flux, 0.1),
        ("memory, of Flux's", memory / memory_of_flux, 0.25),
    ] {
        let verdict = if is <= most { "kept" } else { "BROKEN" };
        println!("{what:40} {is:8.2}   at most {most}: {verdict}");
    }
}

const ALL: &str = "all at once";
const LIVE: &str = "a commit to one, live";
const ONE: &str = "a commit to one, all statuses";
const NONE: &str = "a commit to none, all statuses";

/// The same objects, each applied when the one before it is there.
async fn floor(number: usize) -> Duration {
    let control_plane = ControlPlane::start().await;
    let client = world::client(&control_plane.kubeconfig(), "loop").await;
    furnish(&client, &[]).await;
    let started = Instant::now();
    for index in 0..number {
        for object in application(index, "one") {
            apply(&client, &object).await;
        }
    }
    started.elapsed()
}

async fn measure(contender: Contender, number: usize) -> Vec<Figures> {
    let upstream = Upstream::empty();
    for index in 0..number {
        write(&upstream, index, "one");
    }
    let commit = upstream.commit_all("all");
    let server = GitServer::http(upstream.root()).await;
    let control_plane = ControlPlane::start().await;
    let client = world::client(&control_plane.kubeconfig(), "bench").await;
    let definitions = match contender {
        Contender::Coracle => Vec::new(),
        Contender::Flux => flux::definitions(),
    };
    furnish(&client, &definitions).await;
    for object in objects_of_flux(number, &server.url("repo.git")) {
        apply(&client, &object).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut meter = Meter::start(contender, &control_plane, folder.path());

    settle(&client, number, &commit).await;
    meter.read(ALL);

    let chosen = number / 2;
    write(&upstream, chosen, "two");
    let commit = upstream.commit_all("one");
    meter.restart();
    poll(&client, "one").await;
    live(&client, chosen).await;
    meter.read(LIVE);
    settle(&client, number, &commit).await;
    meter.read(ONE);

    upstream.write("README.md", "nothing\n");
    let commit = upstream.commit_all("none");
    meter.restart();
    poll(&client, "none").await;
    settle(&client, number, &commit).await;
    meter.read(NONE);

    tokio::time::sleep(IDLE).await;
    meter.read("nothing");
    meter.figures
}

/// Reads what a contender has used since the last time.
struct Meter<'a> {
    contender: Contender,
    control_plane: &'a ControlPlane,
    processes: Vec<Process>,
    figures: Vec<Figures>,
    since: Instant,
    cpu: f64,
    mark: u64,
}

impl<'a> Meter<'a> {
    fn start(contender: Contender, control_plane: &'a ControlPlane, folder: &Path) -> Self {
        let (since, mark) = (Instant::now(), control_plane.audit_mark());
        let processes = match contender {
            Contender::Coracle => vec![coracle(&control_plane.kubeconfig(), folder)],
            Contender::Flux => {
                let Flux { source, kustomize } = Flux::start(&control_plane.kubeconfig(), folder, &[]);
                vec![source, kustomize]
            }
        };
        Self {
            contender,
            control_plane,
            processes,
            figures: Vec::new(),
            since,
            cpu: 0.0,
            mark,
        }
    }

    /// Has the wall's time begin now; nothing else was done since the last reading.
    fn restart(&mut self) {
        self.since = Instant::now();
    }

    fn read(&mut self, what: &'static str) {
        let wall = self.since.elapsed();
        for process in &self.processes {
            process.assert_runs();
        }
        let cpu: f64 = self.processes.iter().map(Process::cpu).sum();
        let peak = self
            .processes
            .iter()
            .map(|process| process.mebibytes("VmHWM"))
            .sum();
        let mut requests = BTreeMap::new();
        for audited in self.control_plane.audited_since(self.mark) {
            if self.is_own(&audited) {
                let verb = audited.request.verb.map_or("other", |verb| verb.name());
                let verb = VERBS.into_iter().find(|known| *known == verb).unwrap_or("other");
                *requests.entry(verb).or_insert(0) += 1;
            }
        }
        let figures = Figures {
            what,
            wall,
            cpu: cpu - self.cpu,
            peak,
            requests,
        };
        figures.print(self.contender);
        self.figures.push(figures);
        self.cpu = cpu;
        self.mark = self.control_plane.audit_mark();
        self.since = Instant::now();
    }

    /// Its own requests; leases are renewed however much there is to do, and events only tell.
    fn is_own(&self, audited: &Audited) -> bool {
        let agent = &audited.request.user_agent;
        let own = match self.contender {
            Contender::Coracle => agent.is_empty() || agent.starts_with("coracle"),
            Contender::Flux => {
                agent.starts_with("source-controller") || agent.starts_with("kustomize-controller")
            }
        };
        own && !matches!(audited.request.resource.as_str(), "leases" | "events")
    }
}

impl Figures {
    fn print(&self, contender: Contender) {
        let who = match contender {
            Contender::Coracle => "Coracle",
            Contender::Flux => "Flux",
        };
        let requests = VERBS.map(|verb| format!("{:>7}", self.requests.get(verb).unwrap_or(&0)));
        println!(
            "{who:8} {:30} {:8.2} {:8.2} {:8}   {}",
            self.what,
            self.wall.as_secs_f64(),
            self.cpu,
            self.peak,
            requests.join("")
        );
    }
}

/// The program as it is released.
fn coracle(kubeconfig: &str, folder: &Path) -> Process {
    let path = folder.join("kubeconfig");
    std::fs::write(&path, kubeconfig).unwrap();
    let program = std::env::current_exe().unwrap().with_file_name("../coracle");
    assert!(
        program.exists(),
        "{} is missing: make bench-flux builds it",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .args([
            "controller",
            "--metrics-addr=127.0.0.1:0",
            "--storage-addr=127.0.0.1:0",
        ])
        .arg(format!("--kubeconfig={}", path.display()))
        .arg(format!("--storage-path={}", folder.join("storage").display()));
    Process::start(&command, &folder.join("coracle.log"))
}

fn name(index: usize) -> String {
    format!("app-{index:04}")
}

/// The objects of an application.
fn application(index: usize, value: &str) -> [Value; 4] {
    let name = name(index);
    let metadata = json!({ "name": name, "namespace": "bench" });
    let labels = json!({ "app": name });
    [
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }),
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "key": value } }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": { "selector": labels, "ports": [{ "port": 80 }] },
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {
                // Nothing runs pods here.
                "replicas": 0, "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": "app", "image": "example.org/app:1" }] },
                },
            },
        }),
    ]
}

fn write(upstream: &Upstream, index: usize, value: &str) {
    // JSON is YAML.
    let documents = application(index, value).map(|object| object.to_string());
    upstream.write(&format!("{}/app.yaml", name(index)), documents.join("\n---\n"));
}

fn objects_of_flux(number: usize, url: &str) -> Vec<Value> {
    let source = json!({
        "apiVersion": SOURCE_API, "kind": "GitRepository",
        "metadata": { "name": "fleet", "namespace": NAMESPACE },
        "spec": { "url": url, "interval": "1h", "ref": { "branch": "main" } },
    });
    let applications = (0..number).map(|index| {
        json!({
            "apiVersion": KUSTOMIZE_API, "kind": "Kustomization",
            "metadata": { "name": name(index), "namespace": NAMESPACE },
            "spec": {
                "interval": "1h", "prune": true, "wait": true, "timeout": "2m",
                "path": format!("./{}", name(index)),
                "sourceRef": { "kind": "GitRepository", "name": "fleet" },
            },
        })
    });
    std::iter::once(source).chain(applications).collect()
}

/// The namespaces and definitions that are there before.
async fn furnish(client: &Client, definitions: &[Value]) {
    for object in world::furniture().iter().chain(definitions) {
        apply(client, object).await;
    }
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "bench" } });
    apply(client, &namespace).await;
    let kinds = [(SOURCE_API, "GitRepository"), (KUSTOMIZE_API, "Kustomization")].into_iter();
    let of_definitions = definitions.iter().map(|definition| {
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap_or_default();
        let group = definition["spec"]["group"].as_str().unwrap_or_default();
        (
            if group.starts_with("source") {
                SOURCE_API
            } else {
                KUSTOMIZE_API
            },
            kind,
        )
    });
    for (api_version, kind) in kinds.chain(of_definitions) {
        let served = Api::<DynamicObject>::all_with(client.clone(), &resource(api_version, kind));
        while served.list(&kube::api::ListParams::default()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn apply(client: &Client, object: &Value) {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    api(
        client,
        text("/apiVersion"),
        text("/kind"),
        text("/metadata/namespace"),
    )
    .patch(
        text("/metadata/name"),
        &PatchParams::apply("bench").force(),
        &Patch::Apply(object),
    )
    .await
    .unwrap();
}

fn api(client: &Client, api_version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let resource = resource(api_version, kind);
    match namespace {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

/// Has the source look.
async fn poll(client: &Client, token: &str) {
    let request = json!({ "metadata": { "annotations": { "reconcile.fluxcd.io/requestedAt": token } } });
    api(client, SOURCE_API, "GitRepository", NAMESPACE)
        .patch("fleet", &PatchParams::default(), &Patch::Merge(request))
        .await
        .unwrap();
}

/// Waits, by a watch, until all Kustomizations are Ready at a commit.
async fn settle(client: &Client, number: usize, commit: &str) {
    let applied = |object: &Value| {
        let revision = object
            .pointer("/status/lastAppliedRevision")
            .and_then(Value::as_str);
        is_ready(object) && revision.is_some_and(|revision| revision.ends_with(commit))
    };
    let kustomizations = api(client, KUSTOMIZE_API, "Kustomization", NAMESPACE);
    let mut done = HashSet::new();
    until(kustomizations, |name, object| {
        if applied(object) {
            done.insert(name.to_owned());
        }
        done.len() == number
    })
    .await;
}

/// Waits, by a watch, until the change of one application is in the cluster.
async fn live(client: &Client, index: usize) {
    let config_maps = api(client, "v1", "ConfigMap", "bench");
    until(config_maps, |changed, object| {
        changed == name(index) && object["data"]["key"] == "two"
    })
    .await;
}

async fn until(objects: Api<DynamicObject>, mut wanted: impl FnMut(&str, &Value) -> bool) {
    let search = async {
        let mut events = watcher(objects, watcher::Config::default()).boxed();
        loop {
            // A watch that broke opens itself again.
            let Ok(Some(watcher::Event::Apply(object) | watcher::Event::InitApply(object))) =
                events.try_next().await
            else {
                continue;
            };
            let name = object.metadata.name.clone().unwrap_or_default();
            if wanted(&name, &serde_json::to_value(&object).unwrap()) {
                return;
            }
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, search).await.is_ok(),
        "it did not come within {PATIENCE:?}"
    );
}
