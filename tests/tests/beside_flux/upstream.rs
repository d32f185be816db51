//! Coracle beside Flux where the embedded cluster does not do: scenarios that need Flux's command line or what only a
//! real API server has, and clusters that go from one to the other. `make conformance` plays them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a scenario that cannot be set up fails"
)]

#[path = "../../../reconciler/tests/source/git_server/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the fetch tests use more of it")]
mod git_server;

mod differences;
mod handover;
#[macro_use]
mod holding;
mod player;
mod recording;
mod records;
mod scenario;

use scenario::Needs;

scenarios! {
    Needs::Authorization | Needs::CommandLine =>
    an_account
    the_command_line
}
