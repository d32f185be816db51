//! Coracle installed into upstream's own Kubernetes, as a person installs it. `make conformance` runs this.

#![expect(clippy::unwrap_used, reason = "the functions that tests share fail the test")]

mod admission;
mod definitions;
mod demo;
mod disruptions;
mod installation;
mod kubectl;
mod namespaces;
mod parent;
mod shared;
mod team;
mod tenants;
mod webhooks;
mod workloads;
