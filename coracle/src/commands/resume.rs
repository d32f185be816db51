//! `coracle resume`: goes on reconciling objects and waits for a run. Does I/O through the cluster's client.

use reconciler::api::GoDuration;

use crate::cli::Global;
use crate::connect::connect;
use crate::error::Error;
use crate::ui::Ui;

use super::reconcile::Waiting;
use super::suspend::{Selection, set};

/// Arguments of `resume`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Do not wait for a run
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the end
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    timeout: GoDuration,
}

/// Resumes the objects.
///
/// # Errors
/// An object does not exist, the cluster refuses, or a run failed or did not end in time.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let cluster = connect(global).await?;
    let targets = args.selection.targets(&cluster, global.namespace()).await?;
    for target in &targets {
        set(&cluster, global.namespace(), target, false).await?;
        ui.line(format_args!("{}: resumed", target.display()))?;
    }
    if args.no_wait {
        return Ok(());
    }
    let mut waiting = Waiting::new(&cluster, args.timeout, ui);
    for target in &targets {
        waiting.reconcile(target, global.namespace(), None).await?;
    }
    Ok(())
}
