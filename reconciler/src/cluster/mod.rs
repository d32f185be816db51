//! The edge to Kubernetes: requests with every answer accounted for, what kinds there are, and shared
//! watches that keep a small picture of what is live. Does I/O.

mod api;
mod discovery;
mod fingerprint;
mod index;
mod lease;
mod outcome;
mod permit;
mod watches;

pub use api::{Api, Applied, ApplyOptions, Identity, Preconditions};
pub use discovery::{Discovery, Kind};
pub use fingerprint::Fingerprint;
pub use index::{Index, Seen};
pub use lease::{
    FLUX_LEASES, Held, LEASE_DURATION, Lease, LeaseDecision, LeaseHold, Moment, evaluate as evaluate_lease,
    lease_duration,
};
pub use outcome::{ApiError, Status};
pub use permit::{Permit, Revoked};
pub use watches::{ObjectEvent, Watches};
