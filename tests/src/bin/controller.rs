//! The controller as a process of its own, for the tests that kill it.
//!
//! Arguments: path of a kubeconfig, folder for repositories. Each line on standard input puts the clock ahead until
//! no write of an earlier process can arrive any more; the process ends with that input.

#![allow(clippy::unwrap_used, reason = "a scenario that cannot be set up fails")]

use reconciler::controller::{self, Config, Services};
use reconciler::report::redact::Redactor;
use telemetry::logs::{Format, LogConfig};
use telemetry::server::Server;
use tests::world::client_of_controller;
use tokio_util::sync::CancellationToken;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kubeconfig, storage] = arguments.as_slice() else {
        panic!("expected: controller KUBECONFIG STORAGE, got {arguments:?}");
    };
    // The first caller installs it; there is no other one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redactor = Redactor::default();
    telemetry::logs::start(&LogConfig {
        filter: "info,reconciler=debug".to_owned(),
        format: Format::Text { colours: false },
        redaction: redactor.clone().into(),
    })
    .unwrap();
    let kubeconfig = std::fs::read_to_string(kubeconfig).unwrap();
    let services = Services {
        client: client_of_controller(&kubeconfig).await,
        redactor,
        metrics: telemetry::metrics::Metrics::new().unwrap(),
        ready: telemetry::health::Readiness::default().check("controller"),
        artifacts: Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap(),
    };
    let config = Config {
        storage: storage.into(),
        ..Config::default()
    };
    let (clock, bound) = (config.clock.clone(), config.late_write_bound);
    std::thread::spawn(move || {
        for _ in std::io::stdin().lines().map_while(Result::ok) {
            clock.advance(bound);
        }
        std::process::exit(0);
    });
    controller::run(config, services, CancellationToken::new())
        .await
        .unwrap();
}
