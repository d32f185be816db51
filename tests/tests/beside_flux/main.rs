//! Coracle beside Flux: the same scenarios, played with either, leave the same behind.
//!
//! The scenarios are data in `tests/flux/scenarios`. `make flux-goldens` plays them with Flux's own controllers and
//! writes what they leave into `tests/flux/goldens`. Coracle plays those that are here on the embedded cluster in
//! `make test`, and on upstream's own in `make conformance`, and what it leaves is compared. What differs has to be
//! listed in `tests/flux/differences.yaml`, with the number in `docs/flux-differences.md`; that a cluster is embedded
//! excuses nothing. What takes more than a Kubernetes is in `upstream.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a scenario that cannot be set up fails"
)]

#[path = "../../../reconciler/tests/source/git_server/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the fetch tests use more of it")]
mod git_server;

mod differences;
#[macro_use]
mod holding;
#[allow(dead_code, reason = "a handover uses more of it")]
mod player;
mod recording;
mod records;
mod scenario;

use scenario::Needs;

scenarios! {
    Needs::Kubernetes =>
    a_build_that_fails
    a_field_that_cannot_change
    a_first_apply
    a_refusal
    a_suspended_dependency
    a_takeover
    an_edit
    an_object_that_moves
    an_overlay_in_the_spec
    an_unknown_kind
    annotations
    decryption
    definitions_and_their_objects
    deletion
    dependencies
    health
    health_checks
    references_across_namespaces
    sources
    sources_that_fail
    suspension
    variables
}
