//! Scenarios across packages: a real Git repository, a Kubernetes API and the controller, together.
//!
//! [`World`] holds the three. The scenarios themselves are under `tests/`, one file for each promise.

pub mod observe;
pub mod world;

pub use world::World;
