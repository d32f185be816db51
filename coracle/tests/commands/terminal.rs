//! A cluster, a kubeconfig, and the program run against them.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use embedded_cluster::{Cluster, Config};
use serde_json::{Value, json};
use tempfile::TempDir;

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
        let terminal = Self::new().await;
        for manifest in installed() {
            terminal.cluster.apply(&manifest, "kubectl").unwrap();
        }
        terminal.serve_definitions().await;
        terminal
    }

    /// Waits until the API serves the kinds that the definitions define.
    async fn serve_definitions(&self) {
        let established = |crd: &Value| {
            let conditions = crd.pointer("/status/conditions").and_then(Value::as_array);
            conditions.is_some_and(|all| {
                all.iter()
                    .any(|it| it["type"] == "Established" && it["status"] == "True")
            })
        };
        let all = || {
            self.cluster
                .list("apiextensions.k8s.io/v1", "CustomResourceDefinition", "")
        };
        while !all().iter().all(established) {
            let clock = self.cluster.clock();
            clock.until(clock.now() + Duration::from_millis(5)).await;
        }
    }

    /// The path of a file that the person has.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs a command line and returns what it printed and how it ended, machine-specific text taken out.
    pub(crate) async fn run(&self, line: &str) -> String {
        let kubeconfig = self.directory.path().join("kubeconfig");
        let url = self.cluster.url();
        let mut command = program(line);
        command
            .env("KUBECONFIG", &kubeconfig)
            .current_dir(self.directory.path());
        let shown = tokio::task::spawn_blocking(move || show(&mut command))
            .await
            .unwrap();
        shown.replace(&url, "https://cluster")
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

/// The objects that `coracle install` prints.
pub(crate) fn installed() -> Vec<Value> {
    let text = include_str!("../../../deploy/install.yaml");
    text.split("---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}
