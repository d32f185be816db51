//! A cluster, a kubeconfig, and the program run against them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use embedded_cluster::{Cluster, Config};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStdout;

/// How long a cluster may take to become what a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A person at a terminal, with a cluster of their own.
pub(crate) struct Terminal {
    pub(crate) cluster: Cluster,
    directory: TempDir,
}

impl Terminal {
    /// An empty cluster.
    pub(crate) async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = Cluster::start(Config::default()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("kubeconfig"), cluster.kubeconfig()).unwrap();
        Self { cluster, directory }
    }

    /// A cluster with everything that `coracle install` prints.
    pub(crate) async fn installed() -> Self {
        Self::with(installed()).await
    }

    /// The same, with another image.
    pub(crate) async fn with_image(image: &str) -> Self {
        let mut manifests = installed();
        for manifest in manifests.iter_mut().filter(|it| it["kind"] == "Deployment") {
            manifest["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        }
        Self::with(manifests).await
    }

    async fn with(manifests: Vec<Value>) -> Self {
        let terminal = Self::new().await;
        for manifest in manifests {
            terminal.cluster.apply(&manifest, "kubectl").unwrap();
        }
        let established = |crd: &Value| {
            let conditions = crd.pointer("/status/conditions").and_then(Value::as_array);
            conditions.is_some_and(|all| {
                all.iter()
                    .any(|it| it["type"] == "Established" && it["status"] == "True")
            })
        };
        terminal
            .until(|cluster| {
                let definitions = cluster.list("apiextensions.k8s.io/v1", "CustomResourceDefinition", "");
                definitions.iter().all(established)
            })
            .await;
        terminal
    }

    /// Waits until the cluster is so.
    pub(crate) async fn until(&self, holds: impl Fn(&Cluster) -> bool) {
        let awaited = async {
            while !holds(&self.cluster) {
                let clock = self.cluster.clock();
                clock.until(clock.now() + Duration::from_millis(5)).await;
            }
        };
        assert!(
            tokio::time::timeout(PATIENCE, awaited).await.is_ok(),
            "the cluster is not so after {PATIENCE:?}"
        );
    }

    /// Installs the controller's Deployment in another namespace as well.
    pub(crate) fn also_in(&self, namespace: &str) {
        let made = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        self.cluster.apply(&made, "kubectl").unwrap();
        let mut manifests = installed();
        for manifest in manifests.iter_mut().filter(|it| it["kind"] == "Deployment") {
            manifest["metadata"]["namespace"] = namespace.into();
            self.cluster.apply(manifest, "kubectl").unwrap();
        }
    }

    /// Has somebody outside of the cluster hold the lease of its controllers.
    pub(crate) fn somebody_works(&self) {
        let held = lease("laptop_1", "2999-01-01T00:00:00.000000Z");
        self.cluster.apply(&held, "test").unwrap();
    }

    /// The path of a file that the person has.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Makes a folder that the person has.
    pub(crate) fn folder(&self, name: &str) {
        std::fs::create_dir_all(self.directory.path().join(name)).unwrap();
    }

    /// Where the person is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A command line of the person.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = program(line);
        command
            .env("KUBECONFIG", self.directory().join("kubeconfig"))
            .current_dir(self.directory());
        command
    }

    /// Runs a command line and returns what it printed and how it ended, machine-specific text taken out.
    pub(crate) async fn run(&self, line: &str) -> String {
        let url = self.cluster.url();
        let mut command = self.command(line);
        let shown = tokio::task::spawn_blocking(move || show(&mut command))
            .await
            .unwrap();
        shown.replace(&url, "https://cluster")
    }

    /// Starts a command line that goes on until it is dropped.
    pub(crate) fn start(&self, line: &str) -> Running {
        let mut command = tokio::process::Command::from(self.command(line));
        command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Running {
            _process: process,
            lines,
        }
    }

    /// Creates a Kustomization with this state.
    pub(crate) fn kustomization(&self, name: &str, status: &Value) {
        let spec = json!({
            "interval": "10m", "prune": true, "path": "./apps",
            "sourceRef": { "kind": "GitRepository", "name": "apps" },
        });
        self.object(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            name,
            &spec,
            status,
        );
    }

    /// Creates a GitRepository with this state.
    pub(crate) fn repository(&self, name: &str, status: &Value) {
        let spec = json!({ "interval": "1m", "url": "https://git.example.org/apps.git" });
        self.object(
            "source.toolkit.fluxcd.io/v1",
            "GitRepository",
            name,
            &spec,
            status,
        );
    }

    fn object(&self, api_version: &str, kind: &str, name: &str, spec: &Value, status: &Value) {
        let object = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": { "name": name, "namespace": "flux-system", "finalizers": ["finalizers.fluxcd.io"] },
            "spec": spec,
        });
        let mut object = self.cluster.apply(&object, "test").unwrap();
        object["status"] = status.clone();
        self.cluster.update_status(&object, "test").unwrap();
    }
}

/// A command that goes on.
pub(crate) struct Running {
    _process: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// The next line that it prints.
    pub(crate) async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        line.unwrap().unwrap().unwrap()
    }
}

/// The program with these words, and nothing of this machine's environment that it reads.
pub(crate) fn program(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.args(line.split_whitespace());
    command.env("HOME", "/nonexistent");
    for name in [
        "KUBECONFIG",
        "RUNTIME_NAMESPACE",
        "POD_NAME",
        "NO_COLOR",
        "CLICOLOR_FORCE",
    ] {
        command.env_remove(name);
    }
    command
}

/// What a command printed, and how it ended.
pub(crate) fn show(command: &mut Command) -> String {
    let output = command.output().unwrap();
    // The command line's own help pads empty lines.
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.split_inclusive('\n')
            .map(|line| format!("{}\n", line.trim_end()))
            .collect::<String>()
    };
    format!(
        "{}{}[{}]",
        text(&output.stdout),
        text(&output.stderr),
        output.status.code().unwrap_or(-1)
    )
}

/// The status and the body of an answer by HTTP.
pub(crate) fn get(address: &str, path: &str) -> (String, String) {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap();
    (status.to_owned(), body.to_owned())
}

/// Sends a signal, such as `TERM`, to a process of the test.
pub(crate) fn signal(name: &str, child: &Child) {
    let number = child.id().to_string();
    let sent = Command::new("kill").args([&format!("-{name}"), &number]).status();
    assert!(sent.unwrap().success());
}

/// The objects that `coracle install` prints.
pub(crate) fn installed() -> Vec<Value> {
    let text = include_str!("../../../deploy/install.yaml");
    text.split("---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

/// A revision as sources name it.
pub(crate) const REVISION: &str = "main@sha1:0123456789abcdef0123456789abcdef01234567";

/// The condition Ready.
pub(crate) fn ready(status: &str, reason: &str, message: &str) -> Value {
    json!([{
        "type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }])
}

/// A root that applied another Kustomization, which failed.
pub(crate) async fn two_kustomizations() -> Terminal {
    let terminal = Terminal::installed().await;
    terminal.repository(
        "apps",
        &json!({
            "conditions": ready("True", "Succeeded", &format!("stored artifact for revision '{REVISION}'")),
            "artifact": {
                "digest": "sha256:00", "lastUpdateTime": "2026-01-01T00:00:00Z", "path": "x",
                "revision": REVISION, "url": "http://x",
            },
        }),
    );
    terminal.kustomization(
        "cluster",
        &json!({
            "lastAppliedRevision": REVISION,
            "conditions": ready("True", "ReconciliationSucceeded", &format!("Applied revision: {REVISION}")),
            "inventory": { "entries": [
                { "id": "flux-system_staging_kustomize.toolkit.fluxcd.io_Kustomization", "v": "v1" },
            ]},
        }),
    );
    terminal.kustomization(
        "staging",
        &json!({
            "conditions": ready("False", "HealthCheckFailed", "pod web-1: image \"web:new\" cannot be pulled"),
            "inventory": { "entries": [{ "id": "shop_web_apps_Deployment", "v": "v1" }] },
        }),
    );
    terminal
}

/// A lease that this one renewed at this time.
pub(crate) fn lease(holder: &str, renewed: &str) -> Value {
    lease_in("flux-system", holder, renewed)
}

/// The same in another namespace.
pub(crate) fn lease_in(namespace: &str, holder: &str, renewed: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "kustomize-controller-leader-election", "namespace": namespace },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 90, "renewTime": renewed },
    })
}
