//! A whole cluster on one node: upstream's own control plane, kubelet and kube-proxy with containerd and runc, real
//! pods, Services and DNS. Does I/O.
//!
//! In: what `make node-test` made, namespaces of its own (`tests/node/inside`) and archives of images. Out: a cluster
//! whose addresses this process reaches as a machine of the cluster would. It ends with the namespaces.

mod settings;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use kube::Client;
use tokio::time::Instant;

use crate::control_plane::certificates::{Authority, Pair};
use crate::control_plane::part::Part;
use crate::control_plane::{program, text};
use crate::world::client;
use settings::Settings;

/// Names the folder for everything that is written; `tests/node/inside` sets it.
pub const FOLDER: &str = "CORACLE_NODE";
/// Names the folder with archives of all images; `make node-test` sets it.
pub const IMAGES: &str = "CORACLE_NODE_IMAGES";
/// The one node's name.
pub const NAME: &str = "node-1";

/// The address of the machine, as pods see it.
const ADDRESS: &str = "10.88.0.1";
/// How long a part may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(50);

/// A node and its control plane.
pub struct Machine {
    settings: Settings,
    authority: Authority,
    admin: Pair,
    parts: Vec<Part>,
    has_images: bool,
}

impl Machine {
    /// Starts everything, imports the images and waits until the node is ready for pods.
    ///
    /// # Panics
    /// When this process is not inside of namespaces of its own, a program is missing, or a part does not get ready.
    pub async fn start() -> Self {
        // The first caller installs it; later ones find it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = PathBuf::from(named(FOLDER));
        let authority = Authority::generate();
        let admin = authority.client("kubernetes-admin", Some("system:masters"));
        let settings = Settings::write(&folder, &authority);
        std::fs::write(
            settings.path("admin.kubeconfig"),
            authority.kubeconfig(&settings::server(), &admin),
        )
        .unwrap();
        let mut machine = Self {
            settings,
            authority,
            admin,
            parts: Vec::new(),
            has_images: false,
        };
        machine.turn_on().await;
        machine
    }

    /// Takes the power away: every process on the machine is killed at once, those of containers too. What is on disk
    /// stays. Then everything is started again.
    ///
    /// # Panics
    /// When a part does not get ready.
    pub async fn power_cycle(&mut self) {
        kill_others();
        self.parts.clear();
        // What was being started meanwhile.
        kill_others();
        self.turn_on().await;
    }

    async fn turn_on(&mut self) {
        let since = jiff::Timestamp::now();
        self.run("etcd", self.settings.etcd());
        self.run("kube-apiserver", self.settings.apiserver());
        let log = self.settings.log("containerd");
        let containerd = Part::other("containerd").arguments(self.settings.containerd());
        self.parts.push(containerd.start(&log));
        self.until_containerd_serves().await;
        if !self.has_images {
            self.import_images();
            self.has_images = true;
        }
        self.until_served("/readyz", "the API server to be ready").await;
        self.run("kube-controller-manager", self.settings.controller_manager());
        self.run("kube-scheduler", self.settings.scheduler());
        self.run("kube-proxy", self.settings.proxy());
        self.run("kubelet", self.settings.kubelet());
        self.until_node_is_ready(since).await;
    }

    fn run(&mut self, part: &'static str, arguments: Vec<String>) {
        let log = self.settings.log(part);
        let started = Part::new(&program(), part).arguments(arguments).start(&log);
        self.parts.push(started);
    }

    async fn until_containerd_serves(&mut self) {
        let deadline = Instant::now() + READY_WITHIN;
        while !ctr(&["version"]) {
            self.check(deadline, "containerd to serve");
            tokio::time::sleep(POLL).await;
        }
    }

    #[expect(clippy::unused_self, reason = "its containerd is what takes them")]
    fn import_images(&self) {
        for archive in std::fs::read_dir(named(IMAGES)).unwrap() {
            let archive = archive.unwrap().path().display().to_string();
            let imported = ctr(&["--namespace=k8s.io", "images", "import", &archive]);
            assert!(imported, "containerd does not take {archive}");
        }
    }

    async fn until_served(&mut self, path: &str, what: &str) {
        let client = self.client().await;
        let deadline = Instant::now() + READY_WITHIN;
        while text(&client, path).await.is_err() {
            self.check(deadline, what);
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the kubelet that was started last says that it is ready. It ends when containerd has not found out
    /// yet what it ran before; then it is started again, as a service is.
    async fn until_node_is_ready(&mut self, since: jiff::Timestamp) {
        let client = self.client().await;
        let deadline = Instant::now() + READY_WITHIN;
        let path = format!("/api/v1/nodes/{NAME}");
        while !is_ready(&text(&client, &path).await.unwrap_or_default(), since) {
            let kubelet = self.parts.last_mut().and_then(Part::ended);
            if kubelet.is_some() && Instant::now() < deadline {
                self.parts.pop();
                self.run("kubelet", self.settings.kubelet());
            }
            self.check(deadline, "the node to be ready");
            tokio::time::sleep(POLL).await;
        }
    }

    fn check(&mut self, deadline: Instant, what: &str) {
        for part in &mut self.parts {
            if let Some(ended) = part.ended() {
                panic!("{ended}");
            }
        }
        assert!(
            Instant::now() < deadline,
            "waited {READY_WITHIN:?} for {what}; logs are in {}",
            self.settings.path("log").display()
        );
    }

    /// The kubeconfig of an administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.authority.kubeconfig(&settings::server(), &self.admin)
    }

    /// The folder of everything that is written here.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.settings.folder()
    }

    /// A client of an administrator.
    pub async fn client(&self) -> Client {
        client(&self.kubeconfig(), "scenario").await
    }
}

/// Upstream's kubectl, acting as an administrator of the machine with this folder.
#[must_use]
pub fn kubectl(folder: &Path) -> Command {
    let mut kubectl = Command::new(program());
    kubectl
        .arg("kubectl")
        .arg("--kubeconfig")
        .arg(folder.join("admin.kubeconfig"))
        // Its cache of what is served would outlive the cluster.
        .arg("--cache-dir")
        .arg(folder.join("kubectl-cache"));
    kubectl
}

fn named(variable: &str) -> std::ffi::OsString {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: run `make node-test`"))
}

/// Runs containerd's own client.
fn ctr(arguments: &[&str]) -> bool {
    let status = Command::new("ctr")
        .arg("--address")
        .arg(settings::CONTAINERD_SOCKET)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.expect("containerd comes with `ctr`").success()
}

fn is_ready(node: &str, since: jiff::Timestamp) -> bool {
    let node: serde_json::Value = serde_json::from_str(node).unwrap_or_default();
    let conditions = node["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|it| {
        let beat = it["lastHeartbeatTime"]
            .as_str()
            .and_then(|time| time.parse().ok());
        // Whole seconds.
        let is_new = beat.is_some_and(|beat: jiff::Timestamp| beat.as_second() >= since.as_second());
        it["type"] == "Ready" && it["status"] == "True" && is_new
    })
}

/// Kills every process of the machine but the first one and this one.
fn kill_others() {
    let first = std::fs::read_to_string("/proc/1/cmdline").unwrap();
    assert!(first.contains("--furnished"), "this is not a machine of its own");
    let own = std::process::id();
    let others: Vec<String> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| {
            name.parse()
                .is_ok_and(|process: u32| process != 1 && process != own)
        })
        .collect();
    // Some may have ended meanwhile.
    let _ = Command::new("kill")
        .arg("-KILL")
        .args(others)
        .stderr(Stdio::null())
        .status();
}
