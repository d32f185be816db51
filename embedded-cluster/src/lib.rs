//! A Kubernetes API in this process, over HTTPS on loopback: for demos, previews and fast tests.
//!
//! ```text
//! client --HTTPS--> server -> api (verbs) -> store --changes--> watch --> client
//!                                ^             |
//!                                |          touched
//!                                +-- controllers (collect, workloads) on a clock
//! ```
//!
//! Only `server` and `cluster` do I/O. RBAC, admission plugins, quota, aggregation, protobuf and conversion
//! between versions are left out; CEL rules of CRDs are not evaluated.

mod answer;
mod api;
mod apply;
mod clock;
mod cluster;
mod collect;
mod columns;
mod controllers;
mod convert;
mod crd;
mod defaults;
mod discovery;
mod faults;
mod gate;
mod json;
mod object;
mod openapi;
mod quantity;
mod request;
mod requests;
mod resource;
mod schema;
mod server;
mod store;
mod strategy;
mod tls;
mod validate;
mod watch;
mod workloads;
mod yaml;

pub use answer::{ApiError, Cause, Details};
pub use clock::Clock;
pub use cluster::{Cluster, Config, Error};
pub use faults::{Fault, Faults, Held, HoldAt, Holding, Match, RuleHandle};
pub use request::Verb;
pub use requests::{RequestKey, Requests, Snapshot};
pub use tls::TlsError;
pub use workloads::{Behaviour, PodFacts, Workloads};
