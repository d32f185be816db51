//! Fetches Git repositories and reads their files.
//!
//! Comes in: a [`Source`] (URL, credentials, reference, ignore rules) as plain values. Goes out: a [`Checkout`],
//! whose [`Tree`] reads files straight from the object database and whose archive is Flux's artifact. Does
//! network and disk I/O; nothing is ever checked out to disk.
//!
//! ```text
//! Source --store--> wire (what moved?) --pack--> repository (objects) --survey--> Checkout --> Tree, Artifact
//! ```
//!
//! libgit2 keeps and reads objects, nothing else: what crosses the network is spoken by `wire`, so that bytes,
//! objects and time are bounded, one TLS stack serves all, and no program is needed.

mod artifact;
mod credentials;
mod error;
mod excess;
mod ignore;
mod limits;
mod object_id;
mod objects;
mod pack;
mod reference;
mod remote;
mod repository;
mod store;
mod survey;
mod tree;
mod version_range;
mod wire;

pub use artifact::{Artifact, ArtifactBody};
pub use credentials::{Auth, ClientCertificate, Proxy, Secret, SecretData};
pub use error::{Cause, Reason, SourceError, TreeError};
pub use excess::Excess;
pub use limits::Limits;
pub use object_id::ObjectId;
pub use reference::{Reference, ReferenceFields, Revision};
pub use remote::Remote;
pub use store::{Fetched, Source, Store};
pub use tree::{Checkout, Tree};
pub use version_range::{InvalidRange, VersionRange};
