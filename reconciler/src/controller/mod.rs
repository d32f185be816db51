//! Decides when a run happens and carries it out.
//!
//! ```text
//! watches, sources, timers --> fleet (one task, owns all state) --step--> effects --> runs, status writes
//! ```
//!
//! [`step`] is pure; `fleet` keeps one state for each Kustomization and turns effects into tasks; `run` takes
//! one Kustomization from its files to the cluster; `sources` keeps GitRepositories fetched.

mod artifacts;
mod build;
mod claims;
mod clock;
mod config;
mod configs;
mod contest;
mod context;
mod doubts;
mod elsewhere;
mod events;
mod explain;
mod finalize;
mod finalizer;
mod fleet;
mod gone;
mod heirs;
mod job;
mod leadership;
mod memory;
mod metrics;
mod news;
mod places;
mod pods;
mod registry;
mod removal;
mod reports;
mod run;
mod served;
mod skip;
mod sources;
mod statuses;
pub mod step;
mod surroundings;
mod watching;

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Api, ApiError, Discovery, Index, Permit, Watches};
use crate::report::redact::Redactor;
use crate::source::{SourceError, Store};

pub use clock::Clock;
pub use config::Config;

/// Requests of the election that are under way at once.
const ELECTION_REQUESTS: usize = 2;
/// Messages that wait for the fleet.
const MESSAGES: usize = 4096;

/// Why the controller could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The cache directory cannot be used.
    #[error("the storage cannot be used")]
    Storage(#[source] SourceError),
    /// The API server could not be asked what it serves.
    #[error("the API server could not be asked what it serves")]
    Discovery(#[source] ApiError),
    /// Flux's kinds are not installed.
    #[error(
        "the cluster does not know {0}: install Coracle's definitions first: coracle install | kubectl apply --server-side -f -"
    )]
    NotInstalled(String),
    /// The task that decides what runs broke off by a defect; the log has the place.
    #[error("the controller broke off by a defect; its log has the place")]
    Broken,
    /// Leadership was lost: why.
    #[error("leadership was lost: {0}")]
    Deposed(String),
}

/// What the controller is given by the program.
pub struct Services {
    /// The client for the cluster.
    pub client: kube::Client,
    /// Masks secrets in everything that leaves.
    pub redactor: Redactor,
    /// Where numbers go.
    pub metrics: telemetry::metrics::Metrics,
    /// Says that the controller does its work.
    pub ready: telemetry::health::Check,
    /// Where artifacts are served.
    pub artifacts: telemetry::server::Server,
}

/// Runs until `stop`, then finishes or abandons runs under way and lets the leases go.
///
/// # Errors
/// [`ControllerError`]
pub async fn run(config: Config, services: Services, stop: CancellationToken) -> Result<(), ControllerError> {
    let leadership = CancellationToken::new();
    // The election waits in no queue: a slow API server must not cost leadership.
    let election = Api::new(services.client.clone(), ELECTION_REQUESTS);
    let api = Api::new(services.client, config.requests).under(Permit::of_leader(leadership.clone()));
    let storage = config.storage.clone();
    let limits = config.limits.clone();
    let store =
        tokio::task::block_in_place(|| Store::open(storage, limits)).map_err(ControllerError::Storage)?;
    let discovery = Arc::new(Discovery::default());
    watching::require_kinds(&api, &discovery).await?;

    let (messages, inbox) = mpsc::channel(MESSAGES);
    let index = Arc::new(Index::default());
    // Watches and tasks outlive `stop` until runs under way have ended.
    let tasks = CancellationToken::new();
    let (objects, seen) = mpsc::channel(MESSAGES);
    let watches = Watches::new(
        api.clone(),
        discovery.clone(),
        index.clone(),
        objects,
        tasks.clone(),
    );
    let recorder = events::Recorder::start(api.clone(), config.identity.clone());
    let cx = Arc::new(context::Context {
        configs: Arc::new(configs::Configs::new(
            api.client().clone(),
            messages.clone(),
            tasks.clone(),
        )),
        renders: Arc::new(Semaphore::new(2)),
        places: places::Places::new(config.concurrent),
        api,
        discovery,
        watches,
        index,
        registry: registry::Registry::default(),
        digests: memory::Digests::default(),
        recorder,
        messages,
        leadership: leadership.clone(),
        doubts: doubts::Doubts::new(config.late_write_bound, config.clock.clone()),
        redactor: Arc::new(services.redactor),
        metrics: services.metrics,
        config,
    });

    let checkouts = Arc::new(sources::Checkouts::default());
    let routes = artifacts::routes(checkouts.clone());
    tokio::spawn(services.artifacts.serve(routes, tasks.clone()));

    let (leads, leading) = watch::channel(false);
    let sources = sources::Sources::new(cx.clone(), store, checkouts, tasks.clone());
    tokio::spawn(watching::start_once_leading(
        cx.clone(),
        sources,
        seen,
        leading,
        tasks.clone(),
    ));
    let fleet = fleet::Fleet::new(cx.clone(), tasks.clone());
    let mut fleet = tokio::spawn(fleet.drive(inbox, stop.clone()));

    let election = leadership::Election::new(&cx, election);
    let ended = tokio::select! {
        deposed = election.lead(&services.ready, leads, stop.clone()) => {
            leadership.cancel();
            stop.cancel();
            if let Some(by) = &deposed {
                tracing::warn!("leadership is lost, and nothing is written any more: {by}");
            }
            outcome(fleet.await.is_ok(), deposed)
        }
        // It ends when it is told to, or by a defect: a process that leads and does nothing would be worse than none.
        fleet = &mut fleet => {
            leadership.cancel();
            outcome(fleet.is_ok(), None)
        }
    };
    stop.cancel();
    election.release().await;
    tasks.cancel();
    ended
}

/// What it came to; the log has the place of a panic.
fn outcome(fleet_is_sound: bool, deposed: Option<String>) -> Result<(), ControllerError> {
    match deposed {
        _ if !fleet_is_sound => Err(ControllerError::Broken),
        Some(by) => Err(ControllerError::Deposed(by)),
        None => Ok(()),
    }
}
