//! Coracle as a pod: its own image on a whole cluster of one node, with real containers, Services and names.
//! `make node-test` runs this.

#![expect(clippy::unwrap_used, reason = "the functions that tests share fail the test")]

mod applications;
mod confinement;
mod faults;
mod installation;
mod recovery;
