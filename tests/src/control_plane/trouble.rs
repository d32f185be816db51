//! What can befall a control plane: an API server that is killed, an etcd that does not answer, a history that is
//! gone. Does I/O.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{ControlPlane, Part, client, ready};

impl ControlPlane {
    /// Kills the API server; etcd goes on.
    pub fn kill_apiserver(&mut self) {
        self.apiserver.kill();
    }

    /// Starts the API server again where it was, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn restart_apiserver(&mut self) {
        self.apiserver = Part::new(&self.program, "kube-apiserver")
            .arguments(self.files.apiserver(self.port, self.setup.flags))
            .start(&self.logs.file("kube-apiserver"));
        let client = client(&self.kubeconfig(), "control-plane").await;
        ready(&client, &mut self.etcd, &mut self.apiserver)
            .await
            .unwrap_or_else(|why| panic!("{why}"));
    }

    /// Has etcd answer nothing any more.
    pub fn stop_etcd(&self) {
        self.etcd.signal("STOP");
    }

    /// Has etcd answer again, also what it was asked meanwhile.
    pub fn resume_etcd(&self) {
        self.etcd.signal("CONT");
    }

    /// Has etcd forget all states but the present one, as the API server does every five minutes.
    ///
    /// # Panics
    /// When etcd refuses it.
    pub fn compact(&self) {
        let key = json!({ "key": STANDARD.encode("/") });
        let revision = self.ask_etcd("range", &key)["header"]["revision"].clone();
        self.ask_etcd("compaction", &json!({ "revision": revision, "physical": true }));
    }

    /// Asks etcd by its gateway, which takes JSON.
    fn ask_etcd(&self, what: &str, request: &Value) -> Value {
        let body = request.to_string();
        let mut connection = UnixStream::connect(self.files.etcd_socket()).unwrap();
        write!(
            connection,
            "POST /v3/kv/{what} HTTP/1.0\r\nHost: etcd\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "etcd refuses {what}: {answer}");
        serde_json::from_str(body).unwrap()
    }
}
