//! What each command does: one module a verb. Does I/O through the cluster's client and [`Ui`].

use std::future::Future;
use std::time::Duration;

use kube::runtime::watcher;

use crate::cli::{Cli, Command, Global};
use crate::connect::Cluster;
use crate::error::{Error, Kind};
use crate::standing::Verdict;
use crate::ui::{Styled, Ui, WARN};

pub mod build;
pub mod completion;
pub mod controller;
pub mod demo;
pub mod diff;
pub mod embedded_cluster;
pub mod events;
pub mod generate;
pub mod get;
pub mod git_server;
pub mod install;
pub mod reconcile;
pub mod resume;
pub mod suspend;
pub mod tree;
pub mod uninstall;
pub mod version;

/// Carries a command out.
///
/// # Errors
/// What the command says.
pub fn run(cli: Cli, ui: &mut Ui) -> Result<(), Error> {
    let global = &cli.global;
    match cli.command {
        Command::Install(args) => install::run(&args, global, ui),
        Command::Completion(args) => completion::run(&args, ui),
        Command::Generate(args) => generate::run(&args, ui),
        Command::Uninstall(args) => wait(uninstall::run(&args, global, ui)),
        Command::Build(args) => wait(build::run(&args, global, ui)),
        Command::Diff(args) => wait(diff::run(&args, global, ui)),
        Command::Get(args) => wait(get::run(&args, global, ui)),
        Command::Tree(args) => wait(tree::run(&args, global, ui)),
        Command::Events(args) => wait(events::run(&args, global, ui)),
        Command::Reconcile(args) => wait(reconcile::run(&args, global, ui)),
        Command::Suspend(args) => wait(suspend::run(&args, global, ui)),
        Command::Resume(args) => wait(resume::run(&args, global, ui)),
        Command::Version(args) => wait(version::run(&args, global, ui)),
        Command::EmbeddedCluster(args) => serve(embedded_cluster::run(&args, ui)),
        Command::GitServer(args) => serve(git_server::run(&args, ui)),
        Command::Demo(args) => serve(demo::run(&args, ui)),
        Command::Controller(args) => serve(controller::run(&args, global, ui)),
    }
}

/// Runs a command that waits for one answer at a time.
fn wait(command: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    block_on(&mut tokio::runtime::Builder::new_current_thread(), command)
}

/// Runs a command that serves many at once. Two threads suffice for the machines this is made for.
fn serve(command: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    block_on(
        tokio::runtime::Builder::new_multi_thread().worker_threads(2),
        command,
    )
}

fn block_on(
    runtime: &mut tokio::runtime::Builder,
    command: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    runtime
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Internal, "cannot start").caused_by(error))?
        .block_on(command)
}

/// How long an answer may take that is asked for beside something else.
const ASIDE: Duration = Duration::from_secs(2);

/// Says that nobody works and why, if that is known. `more` goes on after it.
fn tell_if_nobody_works(verdict: &Verdict, more: &str, ui: &mut Ui) -> Result<(), Error> {
    let Some((why, remedy)) = verdict.idle() else {
        return Ok(());
    };
    ui.progress(Styled::new(WARN, format!("No controller works: {why}.{more}")))?;
    ui.hint(remedy)
}

/// Where the objects of a command are looked for.
fn scope(all_namespaces: bool, global: &Global) -> Option<&str> {
    (!all_namespaces).then_some(global.namespace())
}

/// Whether a namespace in which nothing was found is there at all. Who may not ask is not told.
///
/// # Errors
/// It does not exist.
async fn require_namespace(cluster: &Cluster, scope: Option<&str>) -> Result<(), Error> {
    let Some(namespace) = scope else { return Ok(()) };
    match cluster
        .api("", "Namespace", None)
        .get_metadata_opt(namespace)
        .await
    {
        Ok(None) => Err(
            Error::new(Kind::NotFound, format!("there is no namespace {namespace}"))
                .hint("-A looks into all namespaces."),
        ),
        _ => Ok(()),
    }
}

/// Says that a watch broke off, which begins again by itself; or gives the error, if what it begins with was refused.
fn tell_of_broken_watch(
    cluster: &Cluster,
    doing: &str,
    error: watcher::Error,
    ui: &mut Ui,
) -> Result<(), Error> {
    match error {
        watcher::Error::InitialListFailed(error) => Err(cluster.explain(doing, error)),
        error => ui.progress(format_args!("watching again: {error}")),
    }
}
