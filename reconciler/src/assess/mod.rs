//! Judges health from what the cluster says.
//!
//! In: objects as values, what was applied, and the time. Out: a [`verdict::Verdict`], with a [`why::Why`] for each
//! workload that is not healthy. Pure: what has to be fetched is told ([`why::needs`]), never fetched.
//!
//! ```text
//! object on a watch --reduce--> Observed --freshness--> counts? --verdict--> Healthy | Waiting | Failed
//! workload, pods, events, log tails -----------why----> one sentence on the cause --^
//! ```

pub mod freshness;
pub mod holds;
pub mod reduce;
pub mod status;
pub mod targets;
pub mod verdict;
pub mod why;
