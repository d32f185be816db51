//! Many Kustomizations on the embedded cluster: how long, how much memory, how many requests.
//!
//! `make bench` builds the program for release and runs this; nothing is asserted, but each peak stands beside
//! what was promised. The controller is a process of its own, so that its memory and CPU seconds are its own.

#![allow(clippy::print_stdout, reason = "it prints its figures")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot be set up fails"
)]

#[path = "../../reconciler/tests/source/git_server/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the fetch tests use more of it")]
mod git_server;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use git_server::{GitServer, Upstream};
use serde_json::json;
use tests::World;
use tests::world::{condition, is_ready};

/// Every this many applications one has a ConfigMap of a MiB.
const LARGE_EVERY: usize = 50;
/// What the controller takes at most, with a thousand applications.
const PROMISED_MIB: u64 = 64;

fn main() {
    let number = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(bench(number));
}

async fn bench(number: usize) {
    let upstream = Upstream::empty();
    for index in 0..number {
        write_application(&upstream, index, "one");
    }
    let commit = upstream.commit_all("all");
    let server = GitServer::http(upstream.root()).await;
    let world = World::new(tempfile::tempdir().unwrap(), server.url("repo.git")).await;
    world.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}}));
    world.git_repository("fleet", "main");
    for index in 0..number {
        world.kustomization(
            &name(index),
            "fleet",
            &format!("./{}", name(index)),
            &json!({"wait": true, "timeout": "2m"}),
        );
    }
    println!(
        "{number} Kustomizations of 4 objects, wait: true, {} of them with a ConfigMap of 1 MiB; asked for: less than \
         {PROMISED_MIB} MiB at the peak",
        number.div_ceil(LARGE_EVERY)
    );

    let mut controller = Controller::start(&world, "storage");
    let started = Instant::now();
    settle(&world, number, &commit).await;
    controller.print("all Ready", started.elapsed());

    write_application(&upstream, number / 2, "two");
    let commit = upstream.commit_all("one");
    let started = Instant::now();
    world.poll("fleet", "one");
    world
        .until(
            "v1",
            "ConfigMap",
            "bench",
            &format!("{}-config", name(number / 2)),
            "live",
            |object| object["data"]["key"] == "two",
        )
        .await;
    controller.print("a commit to one, live", started.elapsed());
    settle(&world, number, &commit).await;
    controller.print("a commit to one, all statuses", started.elapsed());

    upstream.write("README.md", "nothing\n");
    let commit = upstream.commit_all("none");
    let started = Instant::now();
    world.poll("fleet", "none");
    settle(&world, number, &commit).await;
    controller.print("a commit to none, all statuses", started.elapsed());

    let cpu = controller.cpu();
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("{:34} {:8.2} s CPU in 5 s", "idle", controller.cpu() - cpu);
    controller.stop();

    let mut controller = Controller::start(&world, "cold-storage");
    let started = Instant::now();
    controller.until_quiet().await;
    controller.print("a cold restart, quiet after", started.elapsed());
    controller.stop();
}

fn name(index: usize) -> String {
    format!("app-{index:04}")
}

fn write_application(upstream: &Upstream, index: usize, value: &str) {
    let name = name(index);
    let data = if index.is_multiple_of(LARGE_EVERY) {
        "x".repeat((1 << 20) - 1024)
    } else {
        String::new()
    };
    let labels = format!("app: {name}");
    upstream.write(
        &format!("{name}/app.yaml"),
        format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: bench}}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-config, namespace: bench}}\ndata: {{key: \"{value}\", large: \"{data}\"}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: bench}}\nspec: {{selector: {{{labels}}}, ports: [{{port: 80}}]}}\n---\n\
             apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: bench}}\nspec:\n  replicas: 0\n  selector: {{matchLabels: {{{labels}}}}}\n  \
             template:\n    metadata: {{labels: {{{labels}}}}}\n    spec: {{containers: [{{name: app, image: example/app:1}}]}}\n"
        ),
    );
}

async fn settle(world: &World, number: usize, commit: &str) {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let objects = world
            .cluster
            .list("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "flux-system");
        let applied = |object: &&serde_json::Value| {
            is_ready(object)
                && object
                    .pointer("/status/lastAppliedRevision")
                    .and_then(|r| r.as_str())
                    .is_some_and(|r| r.ends_with(commit))
        };
        let ready = objects.iter().filter(applied).count();
        if ready == number {
            return;
        }
        if Instant::now() > deadline {
            let failed = objects.iter().find(|object| !applied(object)).unwrap();
            panic!(
                "{ready} of {number} are Ready; one that is not: {:#?}",
                condition(failed, "Ready")
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

struct Controller {
    child: Child,
    log: PathBuf,
}

impl Controller {
    fn start(world: &World, storage: &str) -> Self {
        let kubeconfig = world.directory().join("kubeconfig");
        std::fs::write(&kubeconfig, world.cluster.kubeconfig()).unwrap();
        let log = world.directory().join(format!("{storage}.log"));
        let program = std::env::current_exe().unwrap().with_file_name("../coracle");
        let child = Command::new(&program)
            .args([
                "controller",
                "--metrics-addr=127.0.0.1:0",
                "--storage-addr=127.0.0.1:0",
                // As a container that is restarted in its pod: it need not wait for its own lease.
                "--identity=bench",
            ])
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .arg("--storage-path")
            .arg(world.directory().join(storage))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; build it first: make bench", program.display()));
        Self { child, log }
    }

    fn print(&mut self, what: &str, took: Duration) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!(
                "the controller ended with {status}:\n{}",
                std::fs::read_to_string(&self.log).unwrap()
            );
        }
        let mib = |key| self.status(key).div_ceil(1024);
        let peak = mib("VmHWM:");
        println!(
            "{what:34} {:8.2} s   {:7.2} s CPU   {peak:4} MiB peak: {}   {:4} MiB now, {} of them the program",
            took.as_secs_f64(),
            self.cpu(),
            if peak < PROMISED_MIB { "kept" } else { "BROKEN" },
            mib("VmRSS:"),
            mib("RssFile:"),
        );
    }

    /// CPU seconds so far: fields 14 and 15 of `/proc/PID/stat`, in hundredths.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        let ticks: f64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        ticks / 100.0
    }

    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap_or_default();
        line.split_whitespace()
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or_default()
    }

    /// Waits until it has used next to no CPU for two seconds.
    async fn until_quiet(&mut self) {
        loop {
            let before = self.cpu();
            tokio::time::sleep(Duration::from_secs(2)).await;
            if before > 0.1 && self.cpu() - before < 0.03 {
                return;
            }
        }
    }

    fn stop(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
