//! `coracle demo`: the story on this machine. Does I/O through the stage.

use std::path::PathBuf;

use serde_json::Value;

use crate::demo::stage::{self, DemoError, Stage};
use crate::demo::story::{self, Teller};
use crate::error::{Error, Kind};
use crate::ui::{STRONG, Styled, Ui};

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
    let manifests = manifests()?;
    tokio::select! {
        outcome = play(&project, &manifests, stays, ui) => outcome,
        // Dropping the stage ends its processes.
        _ = tokio::signal::ctrl_c() => Err(Error::new(Kind::Negative, "stopped")),
    }
}

async fn play(project: &std::path::Path, manifests: &[Value], stays: bool, ui: &mut Ui) -> Result<(), Error> {
    let mut teller = Teller::new(ui);
    teller.tell("A Kubernetes API, a Git server and the controller start on this machine.")?;
    let mut stage = Stage::set(project, manifests).await.map_err(report)?;
    teller.detail(format!("API {}  Git {}", stage.api, stage.git.url("shop")))?;
    let told = story::tell(&stage, &mut teller).await;
    let told = told.map_err(|error| stage.ended().unwrap_or(error));
    teller.summary(told.is_err())?;
    if let Err(error) = told {
        let log = stage.controller_log();
        stage.strike().await;
        return Err(report(error).hint(format!("The controller's last lines:\n{log}")));
    }
    if stays {
        stay(&stage, ui).await?;
    }
    stage.strike().await;
    Ok(())
}

/// Keeps everything up for a person; a push is followed at once. Ends with Ctrl-C.
async fn stay(stage: &Stage, ui: &mut Ui) -> Result<(), Error> {
    let kubeconfig = stage.kubeconfig.display();
    ui.line(Styled::new(
        STRONG,
        "It stays up until Ctrl-C. In another terminal:",
    ))?;
    ui.line(format_args!("  export KUBECONFIG={kubeconfig}"))?;
    ui.line("  kubectl get deployments -A")?;
    ui.line("  coracle get all")?;
    ui.line(format_args!("  git clone -b staging {}", stage.git.url("shop")))?;
    ui.line("  # edit apps/shop/overlays/staging, commit, push, and look here:")?;
    ui.line("")?;
    let mut pushes = stage.git.pushes();
    while pushes.changed().await.is_ok() {
        let asked = async {
            for source in stage.world.sources().await? {
                stage.world.poke(&source).await?;
            }
            Ok::<_, DemoError>(())
        };
        asked.await.map_err(report)?;
        ui.line("pushed; `coracle events --watch` shows what comes of it")?;
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
