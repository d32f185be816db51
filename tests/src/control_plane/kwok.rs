//! kwok, which plays the kubelets of many nodes: pods go through the stages that a file tells. Does I/O.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::ControlPlane;

/// Names the program; `make conformance` sets it.
pub const KWOK: &str = "CORACLE_KWOK";

/// Ends the program with its own standard input: whoever holds the other end may be killed.
const UNTIL_STDIN_CLOSES: &str = "\"$@\" </dev/null & cat >/dev/null; kill -s KILL $!";

/// kwok with its nodes; it ends when it is dropped.
pub struct Kwok(Child);

impl Kwok {
    /// Has this many nodes join a control plane, whose pods go through the stages of this file.
    ///
    /// # Panics
    /// When the program is missing, or the API server refuses a node.
    pub async fn join(control_plane: &ControlPlane, nodes: usize, stages: &Path) -> Self {
        let identity = control_plane.authority.client("kwok", Some("system:masters"));
        let kubeconfig = control_plane
            .authority
            .kubeconfig(&control_plane.server, &identity);
        control_plane.files.kubeconfig("kwok", &kubeconfig);
        let log = std::fs::File::create(control_plane.logs.file("kwok")).unwrap();
        let child = Command::new("sh")
            .args(["-c", UNTIL_STDIN_CLOSES, "sh"])
            .arg(program())
            .arg("--kubeconfig")
            .arg(control_plane.files.kubeconfig_of("kwok"))
            .arg("--config")
            .arg(stages)
            .args(["--manage-all-nodes=true", "--server-address="])
            .env("HOME", control_plane.folder())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let kwok = Self(child);
        let api = Api::<Node>::all(control_plane.client().await);
        for number in 1..=nodes {
            let name = format!("node-{number}");
            let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": {
                "name": name, "labels": { "kubernetes.io/hostname": name },
            } });
            api.patch(&name, &PatchParams::apply("kubelet"), &Patch::Apply(node))
                .await
                .unwrap();
            // Who would take it away, once the node is ready, does not run.
            let untainted = json!({ "spec": { "taints": null } });
            api.patch(&name, &PatchParams::default(), &Patch::Merge(untainted))
                .await
                .unwrap();
        }
        kwok
    }
}

impl Drop for Kwok {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It may have ended already.
        let _ = self.0.wait();
    }
}

fn program() -> PathBuf {
    let path =
        std::env::var_os(KWOK).unwrap_or_else(|| panic!("{KWOK} does not name kwok: run `make conformance`"));
    PathBuf::from(path)
}
