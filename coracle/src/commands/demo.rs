//! `coracle demo`: the story on this machine. Does I/O through the stage.

use std::path::PathBuf;
use std::pin::pin;

use futures::StreamExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::demo::stage::{self, DemoError, Stage};
use crate::demo::story::{self, Teller};
use crate::error::{Error, Kind};
use crate::ui::Ui;

use super::install;

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It needs the program `git` and the folders `clusters` and `apps` of Coracle's own repository; nothing is left\n\
behind when it ends.")]
pub struct Args {
    /// Check the story, print a summary and end, also on a terminal
    #[arg(long)]
    once: bool,
    /// Directory with `clusters` and `apps`
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    source: PathBuf,
}

/// Tells the story.
///
/// # Errors
/// Something did not happen as it is told.
pub async fn run(args: &Args, ui: &mut Ui) -> Result<(), Error> {
    let stays = ui.is_interactive() && !args.once;
    let project = stage::project(&args.source).map_err(report)?;
    let stop = telemetry::shutdown::on_signals()
        .map_err(|error| Error::new(Kind::Internal, "cannot listen for signals").caused_by(error))?;
    let mut teller = Teller::new(ui);
    teller.tell("A Kubernetes API, a Git server and the controller start on this machine.")?;
    let mut stage = Stage::set(&project, &manifests()?).await.map_err(report)?;
    let outcome = play(&mut stage, stays, &stop, &mut teller).await;
    stage.strike().await;
    outcome
}

async fn play(
    stage: &mut Stage,
    stays: bool,
    stop: &CancellationToken,
    teller: &mut Teller<'_>,
) -> Result<(), Error> {
    teller.detail(format!("API {}  Git {}", stage.api, stage.git.url("shop")))?;
    let props = stage.props();
    let told = tokio::select! {
        told = story::tell(&props, teller) => told,
        () = stop.cancelled() => return Err(Error::new(Kind::Negative, "stopped")),
    };
    let told = told.map_err(|error| stage.ended().unwrap_or(error));
    teller.summary(told.is_err())?;
    if let Err(error) = told {
        let log = stage.controller_log();
        return Err(report(error).hint(format!("The controller's last lines:\n{log}")));
    }
    if !stays {
        return Ok(());
    }
    tokio::select! {
        stayed = stay(stage, teller) => stayed,
        () = stop.cancelled() => Ok(()),
    }
}

/// Keeps everything up for a person: a push is followed at once, and what happens is told.
async fn stay(stage: &Stage, teller: &mut Teller<'_>) -> Result<(), Error> {
    teller.invite(&stage.kubeconfig, &stage.git.url("shop"))?;
    let mut pushes = stage.git.pushes();
    pushes.mark_unchanged();
    let mut news = pin!(stage.world.news());
    loop {
        tokio::select! {
            pushed = pushes.changed() => {
                if pushed.is_err() {
                    return Ok(());
                }
                teller.tell("a push")?;
                follow(stage).await.map_err(report)?;
            }
            said = news.next() => match said {
                Some(said) => teller.news(&said)?,
                None => return Ok(()),
            },
        }
    }
}

/// Asks for all sources, as a webhook would.
async fn follow(stage: &Stage) -> Result<(), DemoError> {
    for source in stage.world.sources().await? {
        stage.world.poke(&source).await?;
    }
    Ok(())
}

/// What `coracle install` prints, as objects.
fn manifests() -> Result<Vec<Value>, Error> {
    install::default_manifests()?
        .split("---\n")
        .map(|document| {
            serde_saphyr::from_str(document)
                .map_err(|error| Error::new(Kind::Internal, "cannot read the manifests").caused_by(error))
        })
        .collect()
}

#[expect(clippy::needless_pass_by_value, reason = "it is the last step of `map_err`")]
fn report(error: DemoError) -> Error {
    let kind = match &error {
        DemoError::NoProject(_) => Kind::NotFound,
        DemoError::Start { .. } | DemoError::Repository(_) => Kind::Internal,
        DemoError::Ended { .. } | DemoError::World(_) | DemoError::Untrue(_) | DemoError::Output(_) => {
            Kind::Negative
        }
    };
    let message = error.to_string();
    let mut reported = Error::new(kind, message);
    if let Some(source) = std::error::Error::source(&error) {
        reported = reported.caused_by(source.to_string());
    }
    match error {
        DemoError::NoProject(_) => {
            reported.hint("Run it in a clone of Coracle's repository, or say where that is with --source.")
        }
        _ => reported,
    }
}
