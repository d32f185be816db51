//! `coracle completion`: scripts for shells. Does I/O through [`Ui`] only.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::Error;
use crate::ui::Ui;

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  coracle completion bash > /etc/bash_completion.d/coracle")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// The output cannot be written.
pub fn run(args: &Args, ui: &mut Ui) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "coracle", &mut script);
    ui.text(&String::from_utf8_lossy(&script))
}
