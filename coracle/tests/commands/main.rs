//! The program as a person meets it: whole outputs, on an embedded cluster.

#![expect(clippy::unwrap_used, reason = "the functions that tests share fail the test")]

mod around_a_cluster;
mod controller;
mod demo;
mod embedded_cluster;
mod git_server;
mod help;
mod install;
mod machine;
mod preview;
mod secrets;
mod terminal;
mod uninstalling;
mod watching;
mod who_works;
