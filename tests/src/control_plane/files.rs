//! Files of a control plane, and the arguments of its parts that name them. Does I/O: writes the files.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::certificates::{Authority, SigningKey};

/// Who issues the tokens of ServiceAccounts.
pub(super) const ISSUER: &str = "https://kubernetes.default.svc";

/// Files of a control plane, and the arguments that name them.
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn write(folder: &Path, authority: &Authority, accounts: &SigningKey) -> Self {
        let write = |name: &str, content: &str| std::fs::write(folder.join(name), content).unwrap();
        let server = authority.server(&["localhost", "127.0.0.1", "kubernetes.default.svc"]);
        write("ca.crt", &authority.certificate());
        write("server.crt", &server.certificate);
        write("server.key", &server.key);
        write("accounts.key", &accounts.private());
        write("accounts.pub", &accounts.public());
        // Who asked for what, and no content: it would hold Secrets.
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
            "rules": [
                { "level": "None", "users": [
                    "system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "kwok",
                ] },
                { "level": "None", "userGroups": ["system:serviceaccounts:kube-system"] },
                // A watch is told when it begins: its end may be far.
                { "level": "Metadata", "verbs": ["watch"], "omitStages": ["RequestReceived", "ResponseComplete"] },
                { "level": "Metadata", "omitStages": ["RequestReceived", "ResponseStarted"] },
            ],
        });
        write("audit-policy.json", &policy.to_string());
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Writes what a part reaches the API server with.
    pub(super) fn kubeconfig(&self, part: &str, content: &str) {
        std::fs::write(self.kubeconfig_of(part), content).unwrap();
    }

    /// Where that is.
    pub(super) fn kubeconfig_of(&self, part: &str) -> PathBuf {
        self.folder.join(format!("{part}.kubeconfig"))
    }

    /// Where the API server says who asked for what.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// Where etcd listens.
    pub(super) fn etcd_socket(&self) -> PathBuf {
        self.folder.join("etcd.sock")
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Sockets in the folder, since ports would have to be free.
    pub(super) fn etcd(&self) -> Vec<String> {
        let clients = format!("unix://{}", self.etcd_socket().display());
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

    pub(super) fn apiserver(&self, port: u16, more: &[(&str, &str)]) -> Vec<String> {
        let mut arguments = flags(&[
            (
                "etcd-servers",
                &format!("unix://{}", self.etcd_socket().display()),
            ),
            ("bind-address", "127.0.0.1"),
            ("advertise-address", "127.0.0.1"),
            ("secure-port", &port.to_string()),
            // It would refuse to announce a loopback address.
            ("endpoint-reconciler-type", "none"),
            ("tls-cert-file", &self.path("server.crt")),
            ("tls-private-key-file", &self.path("server.key")),
            ("client-ca-file", &self.path("ca.crt")),
            ("service-account-issuer", ISSUER),
            ("service-account-key-file", &self.path("accounts.pub")),
            ("service-account-signing-key-file", &self.path("accounts.key")),
            ("service-cluster-ip-range", "10.43.0.0/16"),
            ("authorization-mode", "RBAC"),
            ("allow-privileged", "true"),
            ("audit-policy-file", &self.path("audit-policy.json")),
            ("audit-log-path", &self.audit_log().display().to_string()),
        ]);
        arguments.extend(flags(more));
        arguments
    }

    pub(super) fn controller_manager(&self, controllers: &str) -> Vec<String> {
        let kubeconfig = self.kubeconfig_of("kube-controller-manager");
        flags(&[
            ("kubeconfig", &kubeconfig.display().to_string()),
            ("secure-port", "0"),
            ("controllers", controllers),
            ("leader-elect", "false"),
            ("use-service-account-credentials", "true"),
            ("service-account-private-key-file", &self.path("accounts.key")),
            ("root-ca-file", &self.path("ca.crt")),
            // Tests wait for what controllers do; the default spares a busy API server.
            ("kube-api-qps", "500"),
            ("kube-api-burst", "1000"),
        ])
    }

    pub(super) fn scheduler(&self) -> Vec<String> {
        let kubeconfig = self.kubeconfig_of("kube-scheduler");
        flags(&[
            ("kubeconfig", &kubeconfig.display().to_string()),
            ("secure-port", "0"),
            ("leader-elect", "false"),
        ])
    }
}

pub(crate) fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs
        .iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect()
}
