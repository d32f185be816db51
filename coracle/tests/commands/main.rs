//! The program as a person meets it: whole outputs, on an embedded cluster.

mod around_a_cluster;
mod help;
mod install;
mod terminal;
