//! A matrix of requests that holds the embedded cluster to upstream's API server.
//!
//! Every row is a request with a sentence. `make conformance` sends them to upstream's kube-apiserver and compares with
//! what is recorded in `goldens/`; `make matrix-goldens` records. Everywhere else the embedded cluster is asked, and has to
//! give the recorded answers, but for what [`accepted`] lists.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a matrix that cannot be set up fails"
)]

mod accepted;
mod answers;
mod case;
mod compare;
mod golden;
mod mask;
#[cfg(feature = "mutants")]
mod mutants;
mod play;
mod request;
mod topics;
