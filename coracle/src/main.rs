//! The program: takes the command line and the environment, gives an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use coracle::cli::Cli;
use coracle::ui::Ui;

/// Gives memory back at once; see the workspace's manifest for why.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // A second provider cannot have been installed before the first line of `main`.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let ui = Ui::standard(cli.global.color.into());
    ExitCode::from(coracle::run(cli, ui))
}
