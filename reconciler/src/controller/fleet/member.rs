//! One Kustomization as the fleet keeps it. No I/O.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::super::contest::Contest;
use super::super::explain::Whys;
use super::super::memory::Memory;
use super::super::news::News;
use super::super::statuses::StatusWriter;
use super::super::step::State;
use super::revisions::Revisions;
use crate::api::{Kustomization, KustomizationStatus};
use crate::plan::{Inventory, Owner};

/// A Kustomization and all that is known of it.
pub(super) struct Member {
    /// Without its status, which is kept beside it.
    pub(super) kustomization: Arc<Kustomization>,
    pub(super) status: Arc<KustomizationStatus>,
    /// What the status lists.
    pub(super) inventory: Arc<Inventory>,
    pub(super) statuses: Arc<StatusWriter>,
    pub(super) news: Arc<News>,
    pub(super) state: State,
    pub(super) memory: Option<Arc<Memory>>,
    pub(super) cancel: CancellationToken,
    pub(super) number: u64,
    pub(super) started: Instant,
    pub(super) revisions: Revisions,
    pub(super) supersede: CancellationToken,
    pub(super) whys: Whys,
    pub(super) explaining: bool,
    pub(super) explain_again: bool,
    /// A look at the causes is due already.
    pub(super) explanation_due: bool,
    /// Objects that no watch shows are being looked at.
    pub(super) looking: bool,
    pub(super) waiting_reported: bool,
    pub(super) contest: Contest,
    pub(super) wake: Option<Timestamp>,
}

impl Member {
    /// One that was just seen, with its status taken out of it.
    pub(super) fn new(
        owner: &Arc<Owner>,
        kustomization: Arc<Kustomization>,
        status: KustomizationStatus,
        resource_version: String,
        now: Timestamp,
    ) -> Self {
        let uid = kustomization.metadata.uid.clone().unwrap_or_default();
        let status = Arc::new(status);
        let inventory = Arc::new(Inventory::from_status(status.inventory.as_ref()));
        let statuses = StatusWriter::new(
            owner.clone(),
            uid,
            status.clone(),
            inventory.clone(),
            resource_version,
        );
        Self {
            revisions: Revisions::since(&kustomization, &status),
            news: Arc::new(News::since(&status, now)),
            kustomization,
            status,
            inventory,
            statuses: Arc::new(statuses),
            state: State::new(now),
            memory: None,
            cancel: CancellationToken::new(),
            number: 0,
            started: Instant::now(),
            supersede: CancellationToken::new(),
            whys: Whys::new(),
            explaining: false,
            explain_again: false,
            explanation_due: false,
            looking: false,
            waiting_reported: false,
            contest: Contest::default(),
            wake: None,
        }
    }
}
