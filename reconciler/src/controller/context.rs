//! What all runs share. No logic.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::configs::Configs;
use super::doubts::Doubts;
use super::events::Recorder;
use super::fleet::Message;
use super::memory::Digests;
use super::places::Places;
use super::registry::Registry;
use crate::cluster::{Api, Discovery, Index, Watches};
use crate::report::redact::Redactor;

/// Shared by all runs.
pub(crate) struct Context {
    pub(crate) config: Config,
    /// Acts as the controller itself; writes only while it leads.
    pub(crate) api: Api,
    pub(crate) discovery: Arc<Discovery>,
    pub(crate) watches: Watches,
    pub(crate) configs: Arc<Configs>,
    pub(crate) index: Arc<Index>,
    pub(crate) registry: Registry,
    /// By which what is wanted is compared with what was.
    pub(crate) digests: Digests,
    /// Bounds renders: each takes a core and the memory of one application.
    pub(crate) renders: Arc<Semaphore>,
    /// Bounds runs under way.
    pub(crate) places: Places,
    /// Sends Events.
    pub(crate) recorder: Recorder,
    /// To the fleet.
    pub(crate) messages: mpsc::Sender<Message>,
    /// Cancelled when leadership is lost.
    pub(crate) leadership: CancellationToken,
    /// Writes of an earlier process, and those without an answer, may still arrive for a while.
    pub(crate) doubts: Doubts,
    pub(crate) redactor: Arc<Redactor>,
    pub(crate) metrics: telemetry::metrics::Metrics,
}
