//! The program's parts: arguments, output, exit codes. What they call is in the other packages.
//!
//! ```text
//! main --Cli--> run --> commands/<verb> --> Ui (the only place that prints)
//!                                      \--> Error{kind, hints} --> exit code
//! ```

pub mod cli;
pub mod commands;
pub mod connect;
pub mod demo;
pub mod error;
pub mod git_server;
pub mod objects;
pub mod parent;
pub mod preview;
pub mod standing;
pub mod ui;

use crate::cli::Cli;
use crate::ui::Ui;

/// Carries a command out and reports its error, if any. Returns the exit code.
#[must_use]
pub fn run(cli: Cli, mut ui: Ui) -> u8 {
    let outcome = commands::run(cli, &mut ui).and_then(|()| ui.flush());
    let Err(error) = outcome else { return 0 };
    if !error.is_said() {
        ui.error(&error);
    }
    error.kind().exit_code()
}
