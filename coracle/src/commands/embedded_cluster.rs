//! `coracle embedded-cluster`: a Kubernetes API in this process. Does I/O: listens, writes a kubeconfig and removes it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use embedded_cluster::{Cluster, Config};

use crate::error::{Error, Kind};
use crate::parent::stdin_closed;
use crate::ui::Ui;

/// What every kubeconfig of an embedded cluster says, and hardly another.
const MARK: &str = "\"current-context\": \"embedded\"";

/// Arguments of `embedded-cluster`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It keeps everything in memory and runs no containers: a simulator plays Deployments, StatefulSets, DaemonSets,\n\
ReplicaSets, Jobs and their pods, binds PersistentVolumeClaims and gives addresses to Services. An image with the\n\
tag `does-not-exist` cannot be pulled. There is no authorization: whoever has the kubeconfig may do anything.")]
pub struct Args {
    /// Address to listen at; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to write the kubeconfig
    #[arg(long, value_name = "FILE", default_value = "embedded-cluster.kubeconfig")]
    kubeconfig_out: PathBuf,
    /// Leave the kubeconfig there at the end
    #[arg(long)]
    keep_kubeconfig: bool,
    /// End when standard input is closed
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

/// Serves until Ctrl-C.
///
/// # Errors
/// It cannot listen, or the kubeconfig cannot be written.
pub async fn run(args: &Args, ui: &mut Ui) -> Result<(), Error> {
    let stop = telemetry::shutdown::on_signals()
        .map_err(|error| Error::new(Kind::Internal, "cannot listen for signals").caused_by(error))?;
    check_free(&args.kubeconfig_out)?;
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
    let kubeconfig = Kubeconfig::write(args, cluster.kubeconfig()).map_err(|error| {
        Error::new(
            Kind::Machine,
            format!("cannot write {}", args.kubeconfig_out.display()),
        )
        .caused_by(error)
        .hint("--kubeconfig-out names another file.")
    })?;
    ui.line(cluster.url())?;
    if !args.until_stdin_closes {
        welcome(&kubeconfig, ui)?;
    }
    ui.flush()?;
    tokio::select! {
        () = stop.cancelled() => {}
        () = stdin_closed(), if args.until_stdin_closes => {}
    }
    drop(kubeconfig);
    cluster.shutdown().await;
    Ok(())
}

/// Says how to get in, and what to expect there.
fn welcome(kubeconfig: &Kubeconfig, ui: &mut Ui) -> Result<(), Error> {
    let end = if kubeconfig.keep {
        "Ctrl-C ends it; the kubeconfig stays."
    } else {
        "Ctrl-C ends it and removes the kubeconfig."
    };
    ui.progress(format_args!(
        "\
A Kubernetes API listens there and keeps everything in memory. In another terminal:

  export KUBECONFIG={}

Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and their pods are played: they become ready, and no
container runs. PersistentVolumeClaims are bound, and Services get addresses that nothing listens at.
{end}",
        quoted(&kubeconfig.path)
    ))
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if path.chars().all(is_plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

/// Refuses to write over a file that is not the kubeconfig of an embedded cluster.
fn check_free(path: &Path) -> Result<(), Error> {
    let Ok(known) = fs::read_to_string(path) else {
        // Writing it will say what is wrong, if anything is.
        return Ok(());
    };
    if known.trim().is_empty() || known.contains(MARK) {
        return Ok(());
    }
    let what = format!(
        "{} exists and is not the kubeconfig of an embedded cluster",
        path.display()
    );
    Err(Error::new(Kind::Usage, what)
        .hint("--kubeconfig-out names another file; to have this one replaced, remove it first."))
}

/// A kubeconfig that was written; it is removed when this is dropped, if nobody wrote another one there.
struct Kubeconfig {
    path: PathBuf,
    text: String,
    keep: bool,
}

impl Kubeconfig {
    fn write(args: &Args, text: String) -> io::Result<Self> {
        let path = std::path::absolute(&args.kubeconfig_out)?;
        write_private(&path, &text)?;
        let keep = args.keep_kubeconfig;
        Ok(Self { path, text, keep })
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        let is_ours = fs::read_to_string(&self.path).is_ok_and(|text| text == self.text);
        if is_ours && !self.keep {
            // It would lead nowhere, and does no harm where it cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes a file that only its owner may read: it holds the cluster's token.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    // One that was there already may have been open to others.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}
