//! `coracle embedded-cluster`: a Kubernetes API in this process. Does I/O: listens, writes a kubeconfig.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use embedded_cluster::{Cluster, Config};

use crate::demo::processes::stdin_closed;
use crate::error::{Error, Kind};
use crate::ui::Ui;

/// Arguments of `embedded-cluster`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It keeps everything in memory and runs no containers: a simulator plays the controllers of workloads. An image\n\
with the tag `does-not-exist` cannot be pulled.")]
pub struct Args {
    /// Address to listen at; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to write the kubeconfig
    #[arg(long, value_name = "FILE", default_value = "embedded-cluster.kubeconfig")]
    kubeconfig_out: PathBuf,
    /// End when standard input is closed
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

/// Serves until Ctrl-C.
///
/// # Errors
/// It cannot listen, or the kubeconfig cannot be written.
pub async fn run(args: &Args, ui: &mut Ui) -> Result<(), Error> {
    let config = Config {
        listen: args.listen,
        ..Config::default()
    };
    let cluster = Cluster::start(config).await.map_err(|error| {
        Error::new(
            Kind::Machine,
            format!("cannot start a cluster at {}", args.listen),
        )
        .caused_by(error)
        .hint("--listen names another address; port 0 takes a free one.")
    })?;
    write_private(&args.kubeconfig_out, &cluster.kubeconfig()).map_err(|error| {
        Error::new(
            Kind::Machine,
            format!("cannot write {}", args.kubeconfig_out.display()),
        )
        .caused_by(error)
        .hint("--kubeconfig-out names another file.")
    })?;
    ui.line(cluster.url())?;
    if !args.until_stdin_closes {
        ui.progress(format_args!(
            "export KUBECONFIG={}",
            args.kubeconfig_out.display()
        ))?;
    }
    ui.flush()?;
    let stop = telemetry::shutdown::on_signals()
        .map_err(|error| Error::new(Kind::Internal, "cannot listen for signals").caused_by(error))?;
    tokio::select! {
        () = stop.cancelled() => {}
        () = stdin_closed(), if args.until_stdin_closes => {}
    }
    cluster.shutdown().await;
    Ok(())
}

/// Writes a file that only its owner may read: it holds the cluster's token.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}
