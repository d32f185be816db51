//! How the controller is set up: values only.

use std::path::PathBuf;
use std::time::Duration;

use super::clock::Clock;
use crate::cluster::LEASE_DURATION;
use crate::plan::Guard;
use crate::source::Limits;

/// What `coracle controller` was asked for.
#[derive(Clone, Debug)]
pub struct Config {
    /// Namespace of the controller: leases, and Flux's Deployments that exclude it.
    pub namespace: String,
    /// Name of this process in leases and events.
    pub identity: String,
    /// Only this namespace's objects are looked at; all when nothing.
    pub watch_namespace: Option<String>,
    /// Where repositories are kept; lost without harm.
    pub storage: PathBuf,
    /// Host and port under which others reach the artifacts.
    pub artifact_host: String,
    /// The ServiceAccount of Kustomizations that name none.
    pub default_service_account: Option<String>,
    /// References may not leave the namespace.
    pub no_cross_namespace_refs: bool,
    /// Kustomizations may not fetch bases by URL.
    pub no_remote_bases: bool,
    /// Variables that are used and not set fail a build.
    pub strict_substitutions: bool,
    /// Runs under way at once.
    pub concurrent: usize,
    /// Requests under way at once.
    pub requests: usize,
    /// How much may be pruned without asking.
    pub prune_guard: Guard,
    /// The last log line of a failed container is quoted.
    pub log_excerpts: bool,
    /// How long a crash or a refused image may last before it counts as a failure.
    pub failure_grace: Duration,
    /// How long a burst of changes lasts at least before it is acted on: of definitions and admission, and of objects
    /// whose generation moves.
    pub debounce: Duration,
    /// Flux's leases are held.
    pub leases: bool,
    /// How long a lease lasts without being renewed; it is renewed three times in that time, and the
    /// server asked for its version.
    pub lease_duration: Duration,
    /// How long a write of an earlier process may still arrive (rule 2).
    pub late_write_bound: Duration,
    /// The time by which the fleet decides.
    pub clock: Clock,
    /// Bounds of a fetch.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            namespace: "flux-system".to_owned(),
            identity: "coracle".to_owned(),
            watch_namespace: None,
            storage: PathBuf::from("/data"),
            artifact_host: "coracle.flux-system.svc.cluster.local.:9090".to_owned(),
            default_service_account: None,
            no_cross_namespace_refs: false,
            no_remote_bases: false,
            strict_substitutions: true,
            concurrent: 8,
            requests: 16,
            prune_guard: Guard::default(),
            log_excerpts: true,
            failure_grace: Duration::from_secs(60),
            debounce: Duration::from_secs(15),
            leases: true,
            lease_duration: LEASE_DURATION,
            late_write_bound: Duration::from_secs(60),
            clock: Clock::default(),
            limits: Limits::default(),
        }
    }
}
