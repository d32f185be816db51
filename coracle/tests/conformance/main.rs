//! Coracle installed into upstream's own Kubernetes, as a person installs it. `make conformance` runs this.

#![expect(clippy::unwrap_used, reason = "the functions that tests share fail the test")]

mod demo;
mod installation;
mod kubectl;
mod parent;
mod tenants;
