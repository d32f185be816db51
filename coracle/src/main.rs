//! The program: takes the command line and the environment, gives an exit code.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser as _};
use coracle::cli::Cli;
use coracle::ui::Ui;

/// Gives memory back at once; see the workspace's manifest for why.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // A second provider cannot have been installed before the first line of `main`.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::try_parse().unwrap_or_else(|error| without_hidden(error).exit());
    let ui = Ui::standard(cli.global.color.into());
    ExitCode::from(coracle::run(cli, ui))
}

/// The error without suggestions of commands that the help does not name.
fn without_hidden(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::Strings(mut names)) = error.remove(ContextKind::SuggestedSubcommand) {
        let program = Cli::command();
        names.retain(|name| program.find_subcommand(name).is_none_or(|it| !it.is_hide_set()));
        if !names.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(names));
        }
    }
    error
}
