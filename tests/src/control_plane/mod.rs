//! Upstream's own etcd, kube-apiserver and kube-controller-manager, started for a test run. Does I/O.
//!
//! In: the program that `make conformance` builds from `tests/controlplane`. Out: a kubeconfig of a cluster with
//! RBAC and without nodes. Everything listens on loopback, writes into a temporary folder and ends with this
//! process, also when it is killed: each part holds one end of a pipe and ends when the other one closes.

mod audit;
pub(crate) mod certificates;
pub(crate) mod files;
mod kwok;
mod lent;
mod node;
pub(crate) mod part;
mod road;
mod tokens;
mod trouble;
mod webhook;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kube::Client;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::world::client;
pub use audit::Audited;
use certificates::{Authority, Pair, SigningKey};
use files::Files;
pub use kwok::{KWOK, Kwok};
pub use lent::Lent;
pub use node::Node;
use part::Part;
pub use road::Road;
pub use webhook::{Reviewed, Webhook};

/// Names the program; `make conformance` sets it.
pub const PROGRAM: &str = "CORACLE_CONTROL_PLANE";

/// How long a part may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(50);
/// Another process may take a port between its choice and its use.
const PORTS_TRIED: usize = 3;

/// What a control plane has besides etcd and an API server.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Which controllers, as kube-controller-manager names them; none of them, not even the program, when empty.
    pub controllers: &'static str,
    /// The scheduler: without it a pod goes to a node only when a [`Node`] takes it.
    pub scheduler: bool,
    /// Flags of the API server.
    pub flags: &'static [(&'static str, &'static str)],
}

impl Default for Setup {
    /// The controllers alone. Nodes here may renew no lease, and stay.
    fn default() -> Self {
        Self {
            controllers: "*,-node-lifecycle-controller",
            scheduler: false,
            flags: &[],
        }
    }
}

/// A control plane that runs; it ends when it is dropped.
pub struct ControlPlane {
    server: String,
    port: u16,
    setup: Setup,
    authority: Authority,
    accounts: SigningKey,
    admin: Pair,
    program: PathBuf,
    files: Files,
    logs: Logs,
    // Declared before the folder that they use, so that they end first.
    etcd: Part,
    apiserver: Part,
    _others: Vec<Part>,
    scratch: TempDir,
}

impl ControlPlane {
    /// Starts one with controllers, and waits until it serves and they work.
    ///
    /// # Panics
    /// When the program is missing, or a part ends or does not become ready; the message names the part's log.
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    /// Starts one whose workloads stay as they were written: only namespaces are emptied and furnished, and garbage
    /// is collected. History is short.
    ///
    /// # Panics
    /// As [`ControlPlane::start`].
    pub async fn without_workloads() -> Self {
        Self::with(Setup {
            controllers: "namespace-controller,garbage-collector-controller,serviceaccount-controller",
            // What is older than this is gone.
            flags: &[("etcd-compaction-interval", "5s")],
            ..Setup::default()
        })
        .await
    }

    /// Starts one that has this, and waits until it serves and its controllers work.
    ///
    /// # Panics
    /// When the program is missing, or a part ends or does not become ready; the message names the part's log.
    pub async fn with(setup: Setup) -> Self {
        // The first caller installs it; later ones find it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let program = program();
        let scratch = tempfile::Builder::new()
            .prefix("coracle-control-plane-")
            .tempdir()
            .unwrap();
        let (authority, accounts) = (Authority::generate(), SigningKey::generate());
        let admin = authority.client("kubernetes-admin", Some("system:masters"));
        let files = Files::write(scratch.path(), &authority, &accounts);
        let logs = Logs::new();

        let mut etcd = Part::new(&program, "etcd")
            .arguments(files.etcd())
            .removes(scratch.path())
            .start(&logs.file("etcd"));
        let mut tried = 0;
        let (port, server, apiserver) = loop {
            tried += 1;
            let port = free_port();
            let server = format!("https://127.0.0.1:{port}");
            let mut apiserver = Part::new(&program, "kube-apiserver")
                .arguments(files.apiserver(port, setup.flags))
                .start(&logs.file("kube-apiserver"));
            let client = client(&authority.kubeconfig(&server, &admin), "control-plane").await;
            match ready(&client, &mut etcd, &mut apiserver).await {
                Ok(()) => break (port, server, apiserver),
                Err(why) if tried == PORTS_TRIED => panic!("{why}"),
                Err(_) => {}
            }
        };
        let start = |name: &'static str, arguments| {
            let identity = authority.client(&format!("system:{name}"), None);
            files.kubeconfig(name, &authority.kubeconfig(&server, &identity));
            Part::new(&program, name)
                .arguments(arguments)
                .start(&logs.file(name))
        };
        let mut others = Vec::new();
        if !setup.controllers.is_empty() {
            others.push(start(
                "kube-controller-manager",
                files.controller_manager(setup.controllers),
            ));
        }
        if setup.scheduler {
            others.push(start("kube-scheduler", files.scheduler()));
        }
        let control_plane = Self {
            server,
            port,
            setup,
            authority,
            accounts,
            admin,
            program,
            files,
            logs,
            etcd,
            apiserver,
            _others: others,
            scratch,
        };
        if !setup.controllers.is_empty() {
            control_plane.controllers_work().await;
        }
        control_plane
    }

    /// A folder that is removed with the control plane, also when this process is killed.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The kubeconfig of an administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.authority.kubeconfig(&self.server, &self.admin)
    }

    /// A kubeconfig with a token, such as a ServiceAccount's.
    #[must_use]
    pub fn kubeconfig_of(&self, token: &str) -> String {
        self.authority
            .kubeconfig_with(&self.server, &json!({ "token": token }))
    }

    /// A kubeconfig with a file that holds the token, which may be replaced.
    #[must_use]
    pub fn kubeconfig_of_file(&self, token: &Path) -> String {
        self.authority
            .kubeconfig_with(&self.server, &json!({ "tokenFile": token }))
    }

    /// A client of an administrator.
    pub async fn client(&self) -> Client {
        client(&self.kubeconfig(), "scenario").await
    }

    /// Upstream's kubectl, acting as an administrator.
    ///
    /// # Panics
    /// When its kubeconfig cannot be written.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let path = self.files.kubeconfig_of("admin");
        if !path.exists() {
            self.files.kubeconfig("admin", &self.kubeconfig());
        }
        let mut kubectl = Command::new(&self.program);
        kubectl
            .arg("kubectl")
            .arg("--kubeconfig")
            .arg(path)
            // Its cache of what is served would outlive the cluster.
            .arg("--cache-dir")
            .arg(self.scratch.path().join("kubectl-cache"));
        kubectl
    }

    /// A mark for [`ControlPlane::audited_since`].
    #[must_use]
    pub fn audit_mark(&self) -> u64 {
        audit::length(&self.files.audit_log())
    }

    /// What was asked for since a mark (0: since the start), in the order of completion.
    #[must_use]
    pub fn audited_since(&self, mark: u64) -> Vec<Audited> {
        audit::since(&self.files.audit_log(), mark)
    }

    /// The controllers work when the namespace `default` has its ServiceAccount.
    async fn controllers_work(&self) {
        let client = self.client().await;
        let deadline = Instant::now() + READY_WITHIN;
        let path = "/api/v1/namespaces/default/serviceaccounts/default";
        while text(&client, path).await.is_err() {
            assert!(
                Instant::now() < deadline,
                "the controllers do not work: see {}",
                self.logs.file("kube-controller-manager").display()
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Waits until the API server says that it is ready.
async fn ready(client: &Client, etcd: &mut Part, apiserver: &mut Part) -> Result<(), String> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let answer = text(client, "/readyz").await;
        let Err(error) = answer else { return Ok(()) };
        if let Some(ended) = etcd.ended().or_else(|| apiserver.ended()) {
            return Err(ended);
        }
        if Instant::now() > deadline {
            return Err(format!("{apiserver} does not become ready: {error}"));
        }
        tokio::time::sleep(POLL).await;
    }
}

pub(crate) async fn text(client: &Client, path: &str) -> Result<String, kube::Error> {
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    client.request_text(request).await
}

/// The program that holds all parts, kubectl among them.
///
/// # Panics
/// When it was not built: see [`PROGRAM`].
#[must_use]
pub fn program() -> PathBuf {
    let path = std::env::var_os(PROGRAM)
        .unwrap_or_else(|| panic!("{PROGRAM} does not name the control plane: run `make conformance`"));
    PathBuf::from(path)
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port()
}

/// Where the logs of one control plane are kept: beside the test program, so that they outlive the run.
struct Logs(PathBuf);

impl Logs {
    fn new() -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let program = std::env::current_exe().unwrap();
        // The name without the digest that Cargo adds, so that the next run takes the same folder.
        let stem = program.file_stem().unwrap().to_string_lossy();
        let name = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name);
        let build = program.ancestors().nth(2).unwrap();
        let folder = build.join("control-plane-logs").join(format!("{name}-{number}"));
        // What an earlier run left there is no log of this one.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, part: &str) -> PathBuf {
        self.0.join(format!("{part}.log"))
    }
}
