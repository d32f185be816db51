//! Serves a cluster until Ctrl-C: `serve KUBECONFIG [--no-workloads]` writes its kubeconfig to that file.

use anyhow::Context;
use embedded_cluster::{Cluster, Config};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let path = std::env::args()
        .nth(1)
        .context("name the file for the kubeconfig")?;
    let workloads = std::env::args().nth(2).as_deref() != Some("--no-workloads");
    let cluster = Cluster::start(Config {
        workloads,
        ..Config::default()
    })
    .await?;
    std::fs::write(&path, cluster.kubeconfig()).with_context(|| format!("cannot write {path}"))?;
    tokio::signal::ctrl_c().await?;
    cluster.shutdown().await;
    Ok(())
}
