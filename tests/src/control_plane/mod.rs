//! Upstream's own etcd, kube-apiserver and kube-controller-manager, started for a test run. Does I/O.
//!
//! In: the program that `make conformance` builds from `tests/controlplane`. Out: a kubeconfig of a cluster with
//! RBAC and without nodes. Everything listens on loopback, writes into a temporary folder and ends with this
//! process, also when it is killed: each part holds one end of a pipe and ends when the other one closes.

mod audit;
mod certificates;
mod lent;
mod node;
mod part;

use std::fmt::Write as _;
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
use certificates::{Authority, Pair};
pub use lent::Lent;
pub use node::Node;
use part::Part;

/// Names the program; `make conformance` sets it.
pub const PROGRAM: &str = "CORACLE_CONTROL_PLANE";

/// How long a part may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(50);
/// Another process may take a port between its choice and its use.
const PORTS_TRIED: usize = 3;

/// A control plane that runs; it ends when it is dropped.
pub struct ControlPlane {
    server: String,
    authority: Authority,
    admin: Pair,
    program: PathBuf,
    // Declared before the folder that they use, so that they end first.
    _parts: [Part; 3],
    scratch: TempDir,
}

impl ControlPlane {
    /// Starts one and waits until it serves and its controllers work.
    ///
    /// # Panics
    /// When the program is missing, or a part ends or does not become ready; the message names the part's log.
    pub async fn start() -> Self {
        // The first caller installs it; later ones find it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let program = program();
        let scratch = tempfile::Builder::new()
            .prefix("coracle-control-plane-")
            .tempdir()
            .unwrap();
        let authority = Authority::generate();
        let admin = authority.client("kubernetes-admin", Some("system:masters"));
        let files = Files::write(scratch.path(), &authority);
        let logs = Logs::new();

        let mut etcd = Part::new(&program, "etcd")
            .arguments(files.etcd())
            .removes(scratch.path())
            .start(&logs.file("etcd"));
        let mut tried = 0;
        let (server, apiserver) = loop {
            tried += 1;
            let port = free_port();
            let server = format!("https://127.0.0.1:{port}");
            let mut apiserver = Part::new(&program, "kube-apiserver")
                .arguments(files.apiserver(port))
                .start(&logs.file("kube-apiserver"));
            let client = client(&authority.kubeconfig(&server, &admin), "control-plane").await;
            match ready(&client, &mut etcd, &mut apiserver).await {
                Ok(()) => break (server, apiserver),
                Err(why) if tried == PORTS_TRIED => panic!("{why}"),
                Err(_) => {}
            }
        };
        let manager = authority.client("system:kube-controller-manager", None);
        std::fs::write(&files.manager_kubeconfig, authority.kubeconfig(&server, &manager)).unwrap();
        let controllers = Part::new(&program, "kube-controller-manager")
            .arguments(files.controller_manager())
            .start(&logs.file("kube-controller-manager"));
        let control_plane = Self {
            server,
            authority,
            admin,
            program,
            _parts: [etcd, apiserver, controllers],
            scratch,
        };
        control_plane.controllers_work(&logs).await;
        control_plane
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
        let path = self.scratch.path().join("admin.kubeconfig");
        if !path.exists() {
            std::fs::write(&path, self.kubeconfig()).unwrap();
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
        audit::length(&self.audit_log())
    }

    /// What was asked for since a mark (0: since the start), in the order of completion.
    #[must_use]
    pub fn audited_since(&self, mark: u64) -> Vec<Audited> {
        audit::since(&self.audit_log(), mark)
    }

    fn audit_log(&self) -> PathBuf {
        self.scratch.path().join(AUDIT_LOG)
    }

    /// The controllers work when the namespace `default` has its ServiceAccount.
    async fn controllers_work(&self, logs: &Logs) {
        let client = self.client().await;
        let deadline = Instant::now() + READY_WITHIN;
        let path = "/api/v1/namespaces/default/serviceaccounts/default";
        while text(&client, path).await.is_err() {
            assert!(
                Instant::now() < deadline,
                "the controllers do not work: see {}",
                logs.file("kube-controller-manager").display()
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

async fn text(client: &Client, path: &str) -> Result<String, kube::Error> {
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
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, part: &str) -> PathBuf {
        self.0.join(format!("{part}.log"))
    }
}

const AUDIT_LOG: &str = "audit.log";

/// Files of a control plane, and the arguments that name them.
struct Files {
    folder: PathBuf,
    manager_kubeconfig: PathBuf,
}

impl Files {
    fn write(folder: &Path, authority: &Authority) -> Self {
        let write = |name: &str, content: &str| std::fs::write(folder.join(name), content).unwrap();
        let server = authority.server(&["localhost", "127.0.0.1", "kubernetes.default.svc"]);
        let accounts = certificates::SigningKey::generate();
        write("ca.crt", &authority.certificate());
        write("server.crt", &server.certificate);
        write("server.key", &server.key);
        write("accounts.key", &accounts.private);
        write("accounts.pub", &accounts.public);
        // Who asked for what, and no content: it would hold Secrets.
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
            "rules": [
                { "level": "None", "users": ["system:apiserver", "system:kube-controller-manager"] },
                { "level": "None", "userGroups": ["system:serviceaccounts:kube-system"] },
                // A watch is told when it begins: its end may be far.
                { "level": "Metadata", "verbs": ["watch"], "omitStages": ["RequestReceived", "ResponseComplete"] },
                { "level": "Metadata", "omitStages": ["RequestReceived", "ResponseStarted"] },
            ],
        });
        write("audit-policy.json", &policy.to_string());
        Self {
            folder: folder.to_owned(),
            manager_kubeconfig: folder.join("controller-manager.kubeconfig"),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Sockets in the folder, since ports would have to be free.
    fn etcd(&self) -> Vec<String> {
        let clients = format!("unix://{}", self.path("etcd.sock"));
        flags(&[
            ("data-dir", &self.path("etcd")),
            ("listen-client-urls", &clients),
            // It wants a host and a port to tell other members, of which there are none.
            ("advertise-client-urls", "http://localhost:2379"),
            ("listen-peer-urls", &format!("unix://{}", self.path("peer.sock"))),
            // Nothing here has to survive the machine.
            ("unsafe-no-fsync", "true"),
            ("log-level", "warn"),
        ])
    }

    fn apiserver(&self, port: u16) -> Vec<String> {
        flags(&[
            ("etcd-servers", &format!("unix://{}", self.path("etcd.sock"))),
            ("bind-address", "127.0.0.1"),
            ("advertise-address", "127.0.0.1"),
            ("secure-port", &port.to_string()),
            // It would refuse to announce a loopback address.
            ("endpoint-reconciler-type", "none"),
            ("tls-cert-file", &self.path("server.crt")),
            ("tls-private-key-file", &self.path("server.key")),
            ("client-ca-file", &self.path("ca.crt")),
            ("service-account-issuer", "https://kubernetes.default.svc"),
            ("service-account-key-file", &self.path("accounts.pub")),
            ("service-account-signing-key-file", &self.path("accounts.key")),
            ("service-cluster-ip-range", "10.43.0.0/16"),
            ("authorization-mode", "RBAC"),
            ("allow-privileged", "true"),
            ("audit-policy-file", &self.path("audit-policy.json")),
            ("audit-log-path", &self.path(AUDIT_LOG)),
        ])
    }

    fn controller_manager(&self) -> Vec<String> {
        flags(&[
            ("kubeconfig", &self.manager_kubeconfig.display().to_string()),
            ("secure-port", "0"),
            // The one node there may be renews no lease, and stays.
            ("controllers", "*,-node-lifecycle-controller"),
            ("leader-elect", "false"),
            ("use-service-account-credentials", "true"),
            ("service-account-private-key-file", &self.path("accounts.key")),
            ("root-ca-file", &self.path("ca.crt")),
            // Tests wait for what controllers do; the default spares a busy API server.
            ("kube-api-qps", "500"),
            ("kube-api-burst", "1000"),
        ])
    }
}

fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs
        .iter()
        .map(|(name, value)| {
            let mut flag = String::new();
            // Writing to a String does not fail.
            let _ = write!(flag, "--{name}={value}");
            flag
        })
        .collect()
}
