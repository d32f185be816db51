//! Scenarios across packages: a real Git repository, a Kubernetes API and the controller, together.
//!
//! [`World`] holds the three. The scenarios themselves are under `tests/`, one file for each promise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a scenario that cannot be set up fails"
)]

pub mod cluster;
pub mod control_plane;
pub mod flux;
mod logs;
pub mod node;
pub mod observe;
pub mod process;
pub mod world;

pub use logs::Log;
pub use world::World;
