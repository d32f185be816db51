//! Serves a cluster until Ctrl-C; writes its kubeconfig to the file named by the first argument.

use anyhow::Context;
use embedded_cluster::{Cluster, Config};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let path = std::env::args()
        .nth(1)
        .context("name the file for the kubeconfig")?;
    let cluster = Cluster::start(Config::default()).await?;
    std::fs::write(&path, cluster.kubeconfig()).with_context(|| format!("cannot write {path}"))?;
    tokio::signal::ctrl_c().await?;
    cluster.shutdown().await;
    Ok(())
}
