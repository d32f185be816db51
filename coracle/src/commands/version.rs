//! `coracle version`: this program's version, and whether a controller works in the cluster. Does I/O through
//! the cluster's client.

use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::json;

use crate::cli::Global;
use crate::connect::connect;
use crate::error::{Error, Kind};
use crate::standing::{self, Standing};
use crate::ui::Ui;

/// Arguments of `version`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It says what is installed, how the controller's pod is, who holds the lease, whether Flux's own controllers run,\n\
and from all of that whether a controller works, and what to do if none does.\n\n\
It ends with 0 if one works or if that cannot be told, 1 if none works, 4 if Coracle is not installed or the cluster\n\
cannot be reached. With --client it ends with 0.")]
pub struct Args {
    /// Do not ask the cluster
    #[arg(long)]
    client: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for each thing.
    Text,
    /// One object as JSON.
    Json,
    /// One object as YAML.
    Yaml,
}

/// Prints the versions.
///
/// # Errors
/// The cluster cannot be asked, or no controller works in it.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let version = env!("CARGO_PKG_VERSION");
    if args.output == Output::Text {
        ui.line(format_args!("coracle: {version}"))?;
    }
    let standing = match args.client {
        true => None,
        false => {
            let cluster = connect(global).await?;
            Some(match &global.namespace {
                Some(namespace) => standing::look(&cluster, namespace).await?,
                None => standing::look_anywhere(&cluster, None).await?,
            })
        }
    };
    let object = || json!({ "coracle": version, "controller": standing.as_ref().map(standing::as_json) });
    match args.output {
        Output::Json => ui.json(&object())?,
        Output::Yaml => ui.yaml(&object())?,
        Output::Text => {
            if let Some(standing) = &standing {
                print(standing, ui)?;
            }
        }
    }
    match standing {
        Some(standing) if standing.has_definitions() == Some(false) => Err(Error::said(Kind::Cluster)),
        Some(standing) if standing.verdict().idle().is_some() => Err(Error::answered()),
        _ => Ok(()),
    }
}

fn print(standing: &Standing, ui: &mut Ui) -> Result<(), Error> {
    for (what, state) in standing::lines(standing, Timestamp::now()) {
        ui.line(format_args!("{what}: {state}"))?;
    }
    match standing.verdict().idle() {
        Some((_, remedy)) => ui.hint(remedy),
        None => Ok(()),
    }
}
