//! A Kubernetes API in this process, over HTTPS on loopback: for demos, previews and fast tests.
//!
//! ```text
//! client --HTTPS--> server -> api (verbs) -> store --changes--> watch --> client
//!                                ^             |
//!                                |          touched
//!                                +-- controllers (collect, workloads) on a clock
//! ```
//!
//! Only `server` and `cluster` do I/O.
//!
//! # Known differences from kube-apiserver 1.36
//! Left out: RBAC, webhooks and other admission, quota, priority and fairness, aggregation, answers in protobuf
//! (bodies are read in it), exec, attach, proxy and port-forward, dual-stack Services, conversion
//! between versions of a CRD (other than `None`). CEL rules of CRDs are counted in the log and not evaluated.
//! Bodies may nest 128 deep, not 10,000. `managedFields` of Events sent through `events.k8s.io` name the core
//! version's fields. In messages, structs are printed as JSON with sorted fields, causes come in a fixed order
//! where Go's maps have none, numbers are written in their shortest form, and what is wrong with YAML is said in
//! other words. Column descriptions of tables and warnings about
//! discouraged values are not sent, and the names of two definitions are not compared. The matrix of requests
//! (`tests/tests/matrix`) holds everything else to upstream's answers; `accepted.rs` there lists what may differ.

#[macro_use]
mod mutants;

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
mod json_syntax;
mod jsonpath;
mod object;
mod openapi;
mod protection;
mod protobuf;
mod quantity;
mod request;
mod requests;
mod resource;
mod schema;
mod server;
mod store;
mod strategy;
mod tls;
mod tokens;
mod validate;
mod watch;
mod workloads;
mod yaml;

pub use answer::{ApiError, Cause, Details};
pub use clock::Clock;
pub use cluster::{Cluster, Config, Error};
pub use faults::{Fault, Faults, Held, HoldAt, Holding, Match, RuleHandle};
#[cfg(feature = "mutants")]
pub use mutants::Mutant;
pub use request::Verb;
pub use requests::{RequestKey, Requests, Snapshot};
pub use tls::TlsError;
pub use workloads::{Behaviour, PodFacts, Workloads};
