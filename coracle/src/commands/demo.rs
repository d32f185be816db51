//! `coracle demo`: the story on this machine. Does I/O through the stage.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Instant;

use futures::StreamExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::demo::pushes::Pushes;
use crate::demo::stage::{self, DemoError, Stage};
use crate::demo::story;
use crate::demo::teller::Teller;
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
    story::check(&project).map_err(report)?;
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
        return Err(report(error).hint(format!("The controller's log says:\n{log}")));
    }
    if !stays {
        return Ok(());
    }
    tokio::select! {
        stayed = stay(stage, teller) => stayed,
        () = stop.cancelled() => Ok(()),
    }
}

/// Keeps everything up for a person: a push is followed at once, and what comes of it is told.
async fn stay(stage: &Stage, teller: &mut Teller<'_>) -> Result<(), Error> {
    teller.invite(&stage.kubeconfig, &stage.git.url("shop"))?;
    let mut pushed = stage.git.pushes();
    pushed.mark_unchanged();
    let heads = stage.served.heads().await;
    let mut pushes = Pushes::since(heads.map_err(|error| report(error.into()))?);
    let mut news = pin!(stage.world.news());
    let mut states = pin!(stage.world.kustomizations());
    loop {
        let due = pushes.due().map(tokio::time::Instant::from_std);
        tokio::select! {
            changed = pushed.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                follow(stage, &mut pushes, teller).await.map_err(report)?;
            }
            said = news.next() => match said {
                Some(said) => {
                    pushes.said(&said);
                    teller.news(&said)?;
                }
                None => return Ok(()),
            },
            Some(state) = states.next() => pushes.saw(&state, Instant::now()),
            () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                for (name, what) in pushes.untold(Instant::now()) {
                    teller.tell(format_args!("kustomization/{name}: {what}"))?;
                }
            }
        }
    }
}

/// Tells of each branch that a push moved, and has its sources looked at, as a webhook would.
async fn follow(stage: &Stage, pushes: &mut Pushes, teller: &mut Teller<'_>) -> Result<(), DemoError> {
    let moved = pushes.moved(stage.served.heads().await?);
    if moved.is_empty() {
        teller.tell("push: no branch has a new commit")?;
    }
    for (branch, commit) in moved {
        let subject = stage.served.subject(&commit).await?;
        let short = &commit[..commit.len().min(8)];
        let (sources, kustomizations) = stage.world.followers(&branch).await?;
        let nobody = if sources.is_empty() {
            "; no source follows it"
        } else {
            ""
        };
        teller.tell(format_args!("push: {branch} is at {short} `{subject}`{nobody}"))?;
        for kustomization in &kustomizations {
            pushes.follow(kustomization, &commit);
        }
        for source in &sources {
            stage.world.poke(source).await?;
        }
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
        DemoError::Needs { .. } => Kind::Input,
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
        DemoError::Needs { .. } => {
            reported.hint("`git checkout -- apps clusters` brings the files back as they were.")
        }
        _ => reported,
    }
}
