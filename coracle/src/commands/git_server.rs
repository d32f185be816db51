//! `coracle git-server`: repositories of this machine over HTTP, to try things out. Does I/O: listens, runs `git`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;

use futures::FutureExt as _;

use crate::error::{Error, Kind};
use crate::git_server::{Access, GitServer};
use crate::parent::stdin_closed;
use crate::ui::{Styled, Ui, WARN};

/// Arguments of `git-server`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A clone `shop` in the directory is served as http://ADDRESS/shop/.git, a bare repository `shop.git` as\n\
http://ADDRESS/shop.git. Whoever reaches the address may read everything, and push nothing; nothing is encrypted.")]
pub struct Args {
    /// Directory that holds the repositories
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Address to listen at; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// End when standard input is closed
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

/// Serves until Ctrl-C.
///
/// # Errors
/// There is no such directory, or the address cannot be listened on.
pub async fn run(args: &Args, ui: &mut Ui) -> Result<(), Error> {
    let directory = args.directory.canonicalize().map_err(|error| {
        Error::new(
            Kind::NotFound,
            format!("there is no directory {}", args.directory.display()),
        )
        .caused_by(error)
    })?;
    let mut server = GitServer::start(&directory, args.listen, Access::Read)
        .await
        .map_err(|error| {
            Error::new(Kind::Machine, format!("cannot listen at {}", args.listen))
                .caused_by(error)
                .hint("--listen names another address; port 0 takes a free one.")
        })?;
    ui.line(format_args!("http://{}", server.address()))?;
    ui.flush()?;
    let stop = telemetry::shutdown::on_signals()
        .map_err(|error| Error::new(Kind::Internal, "cannot listen for signals").caused_by(error))?;
    let mut closed = pin!(async {
        match args.until_stdin_closes {
            true => stdin_closed().await,
            false => std::future::pending().await,
        }
    });
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = &mut closed => break,
            Some(complaint) = server.complaint() => ui.progress(Styled::new(WARN, complaint))?,
        }
    }
    // What was answered before the end is told before the end.
    while let Some(Some(complaint)) = server.complaint().now_or_never() {
        ui.progress(Styled::new(WARN, complaint))?;
    }
    Ok(())
}
