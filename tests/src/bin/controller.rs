//! The controller as a process of its own, for the tests that kill it.
//!
//! Arguments: path of a kubeconfig, folder for repositories, bound of late writes in milliseconds.

#![allow(clippy::unwrap_used, reason = "a scenario that cannot be set up fails")]

use std::time::Duration;

use reconciler::controller::{self, Config, Services};
use reconciler::report::redact::Redactor;
use tests::world::client;
use tokio_util::sync::CancellationToken;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kubeconfig, storage, bound] = arguments.as_slice() else {
        panic!("expected: controller KUBECONFIG STORAGE MILLISECONDS, got {arguments:?}");
    };
    // The first caller installs it; there is no other one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = std::fs::read_to_string(kubeconfig).unwrap();
    let services = Services {
        client: client(&kubeconfig, "coracle").await,
        redactor: Redactor::default(),
        metrics: telemetry::metrics::Metrics::new().unwrap(),
        ready: telemetry::health::Readiness::default().check("controller"),
    };
    let config = Config {
        storage: storage.into(),
        artifact_address: ([127, 0, 0, 1], 0).into(),
        late_write_bound: Duration::from_millis(bound.parse().unwrap()),
        ..Config::default()
    };
    controller::run(config, services, CancellationToken::new())
        .await
        .unwrap();
}
