//! Files of a machine, and the arguments that name them. Writes files.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{ADDRESS, NAME};
use crate::control_plane::certificates::{Authority, SigningKey};
use crate::control_plane::files::flags;

const PODS: &str = "10.88.0.0/16";
const SERVICES: &str = "10.43.0.0/16";
/// Where Services begin: the API server's own.
const API_SERVICE: &str = "10.43.0.1";
const DNS_SERVICE: &str = "10.43.0.10";
const PORT: u16 = 6443;
/// Short, since paths of sockets must be.
pub(super) const CONTAINERD_SOCKET: &str = "/run/containerd.sock";

pub(super) fn server() -> String {
    format!("https://{ADDRESS}:{PORT}")
}

pub(super) struct Settings {
    folder: PathBuf,
}

impl Settings {
    pub(super) fn write(folder: &Path, authority: &Authority) -> Self {
        let settings = Self {
            folder: folder.to_owned(),
        };
        let names = ["localhost", ADDRESS, API_SERVICE, "kubernetes.default.svc"];
        let served = authority.server(&names);
        let accounts = SigningKey::generate();
        let to_kubelet = authority.client("kube-apiserver", Some("system:masters"));
        settings.put("ca.crt", &authority.certificate());
        settings.put("server.crt", &served.certificate);
        settings.put("server.key", &served.key);
        settings.put("to-kubelet.crt", &to_kubelet.certificate);
        settings.put("to-kubelet.key", &to_kubelet.key);
        settings.put("accounts.key", &accounts.private());
        settings.put("accounts.pub", &accounts.public());
        for (part, user, group) in [
            ("kube-controller-manager", "system:kube-controller-manager", None),
            ("kube-scheduler", "system:kube-scheduler", None),
            ("kube-proxy", "system:kube-proxy", None),
            ("kubelet", &*format!("system:node:{NAME}"), Some("system:nodes")),
        ] {
            let client = authority.client(user, group);
            settings.put(
                &format!("{part}.kubeconfig"),
                &authority.kubeconfig(&server(), &client),
            );
        }
        settings.put("kubelet.json", &settings.kubelet_configuration());
        settings.put("containerd.toml", &settings.containerd_configuration());
        std::fs::create_dir_all(settings.path("cni")).unwrap();
        settings.put("cni/10-bridge.conflist", &settings.network());
        settings
    }

    fn put(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A new file for what a part says: it may be started more than once.
    pub(super) fn log(&self, part: &str) -> PathBuf {
        let numbered = |number: usize| self.path("log").join(format!("{part}-{number}.log"));
        (1..).map(numbered).find(|log| !log.exists()).unwrap_or_default()
    }

    /// Sockets in the folder, since ports would have to be free.
    pub(super) fn etcd(&self) -> Vec<String> {
        flags(&[
            ("data-dir", &self.text("etcd")),
            (
                "listen-client-urls",
                &format!("unix://{}", self.text("etcd.sock")),
            ),
            ("advertise-client-urls", "http://localhost:2379"),
            ("listen-peer-urls", &format!("unix://{}", self.text("peer.sock"))),
            ("unsafe-no-fsync", "true"),
            ("log-level", "warn"),
        ])
    }

    pub(super) fn apiserver(&self) -> Vec<String> {
        flags(&[
            ("etcd-servers", &format!("unix://{}", self.text("etcd.sock"))),
            ("bind-address", ADDRESS),
            ("advertise-address", ADDRESS),
            ("secure-port", &PORT.to_string()),
            ("tls-cert-file", &self.text("server.crt")),
            ("tls-private-key-file", &self.text("server.key")),
            ("client-ca-file", &self.text("ca.crt")),
            ("kubelet-client-certificate", &self.text("to-kubelet.crt")),
            ("kubelet-client-key", &self.text("to-kubelet.key")),
            ("kubelet-preferred-address-types", "InternalIP"),
            ("service-account-issuer", "https://kubernetes.default.svc"),
            ("service-account-key-file", &self.text("accounts.pub")),
            ("service-account-signing-key-file", &self.text("accounts.key")),
            ("service-cluster-ip-range", SERVICES),
            ("authorization-mode", "Node,RBAC"),
            ("enable-admission-plugins", "NodeRestriction"),
            ("allow-privileged", "true"),
        ])
    }

    pub(super) fn controller_manager(&self) -> Vec<String> {
        flags(&[
            ("kubeconfig", &self.text("kube-controller-manager.kubeconfig")),
            ("secure-port", "0"),
            ("leader-elect", "false"),
            ("use-service-account-credentials", "true"),
            ("service-account-private-key-file", &self.text("accounts.key")),
            ("root-ca-file", &self.text("ca.crt")),
            // The default is a folder of the machine.
            ("flex-volume-plugin-dir", &self.text("volume-plugins")),
        ])
    }

    pub(super) fn scheduler(&self) -> Vec<String> {
        flags(&[
            ("kubeconfig", &self.text("kube-scheduler.kubeconfig")),
            ("secure-port", "0"),
            ("leader-elect", "false"),
        ])
    }

    pub(super) fn proxy(&self) -> Vec<String> {
        flags(&[
            ("kubeconfig", &self.text("kube-proxy.kubeconfig")),
            ("hostname-override", NAME),
            ("proxy-mode", "iptables"),
            ("cluster-cidr", PODS),
            // It would set the limit of the whole kernel.
            ("conntrack-max-per-core", "0"),
        ])
    }

    pub(super) fn kubelet(&self) -> Vec<String> {
        flags(&[
            ("config", &self.text("kubelet.json")),
            ("kubeconfig", &self.text("kubelet.kubeconfig")),
            ("root-dir", &self.text("kubelet")),
            ("hostname-override", NAME),
            ("node-ip", ADDRESS),
        ])
    }

    fn kubelet_configuration(&self) -> String {
        let group = self.folder.file_name().unwrap_or_default().to_string_lossy();
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": true },
                "x509": { "clientCAFile": self.path("ca.crt") },
            },
            "authorization": { "mode": "Webhook" },
            "cgroupDriver": "cgroupfs",
            // `tests/node/inside` makes it, and takes it away.
            "cgroupRoot": format!("/{group}"),
            "failCgroupV1": false,
            "failSwapOn": false,
            "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
            "volumePluginDir": self.path("volume-plugins"),
            "clusterDNS": [DNS_SERVICE],
            "clusterDomain": "cluster.local",
            // The disk is the machine's own, and so is how full it is.
            "evictionHard": { "memory.available": "50Mi", "nodefs.available": "0%", "imagefs.available": "0%" },
            "imageGCHighThresholdPercent": 100,
        })
        .to_string()
    }

    pub(super) fn containerd(&self) -> Vec<String> {
        flags(&[("config", &self.text("containerd.toml"))])
    }

    fn containerd_configuration(&self) -> String {
        format!(
            r#"version = 2
root = "{folder}/containerd"
state = "/run/containerd"
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "coracle.test/pause:1"
# Without it no pod starts where lowering one's own score is not allowed.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#,
            folder = self.folder.display()
        )
    }

    /// Everything on one bridge; what leaves it is dropped.
    fn network(&self) -> String {
        json!({
            "cniVersion": "0.4.0", "name": "bridge",
            "plugins": [{
                "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
                "ipam": {
                    "type": "host-local", "dataDir": self.path("addresses"),
                    "ranges": [[{ "subnet": PODS, "rangeStart": "10.88.1.0", "gateway": ADDRESS }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            }],
        })
        .to_string()
    }
}
