//! What a run is given, and what it comes to. No I/O.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::api::Kustomization;
use crate::apply::Permit;
use crate::cluster::{Api, Identity};
use crate::plan::{ObjectId, Owner};
use crate::report::{Failure, Outcome, StatusPatch};
use crate::source::Checkout;

use super::context::Context;
use super::memory::Memory;
use super::news::News;
use super::statuses::StatusWriter;
use super::step::Scope;

/// All that a run is given.
pub(crate) struct Job {
    pub(crate) owner: Arc<Owner>,
    pub(crate) kustomization: Arc<Kustomization>,
    /// What it is about: what a report says was tried.
    pub(crate) stand: Stand,
    pub(crate) checkout: Option<Checkout>,
    pub(crate) memory: Option<Arc<Memory>>,
    pub(crate) scope: Scope,
    pub(crate) statuses: Arc<StatusWriter>,
    pub(crate) news: Arc<News>,
    pub(crate) permit: Permit,
    /// Number of this run: later ones have larger numbers.
    pub(crate) number: u64,
    /// Place of its reports among all reports: one that was decided earlier is not written later.
    pub(crate) ticket: u64,
    pub(crate) timeout: Duration,
    pub(crate) contested: BTreeSet<ObjectId>,
}

/// A generation of a Kustomization at a revision of its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) generation: i64,
    pub(crate) revision: Option<String>,
}

/// What a run came to.
pub(crate) struct Done {
    pub(crate) result: Result<Applied, Failure>,
    /// What to remember; nothing when the run did not get through.
    pub(crate) memory: Option<Arc<Memory>>,
    /// The revision that was run for.
    pub(crate) revision: Option<String>,
    /// Objects that were put back, with who had changed what.
    pub(crate) corrections: Vec<Correction>,
    /// When it got its place and began.
    pub(crate) began: Instant,
}

/// Everything is applied.
pub(crate) struct Applied {
    /// Whether health is to be waited for.
    pub(crate) wait: bool,
    /// Whether the status says that something is under way, so that the end has to be said as well.
    pub(crate) told: bool,
    /// When entries that stay in the inventory until a late write can no longer arrive are to be looked at.
    pub(crate) recheck: Option<Timestamp>,
}

/// A field that was put back.
#[derive(Clone, Debug)]
pub(crate) struct Correction {
    pub(crate) id: ObjectId,
    pub(crate) manager: String,
    pub(crate) path: String,
}

impl Job {
    /// A status that follows from an outcome of this job, and says nothing of inventory, request or history.
    pub(crate) fn patch<'a>(&self, outcome: &'a Outcome, revision: Option<&'a str>) -> StatusPatch<'a> {
        StatusPatch {
            outcome,
            generation: self.generation(),
            revision,
            inventory: None,
            handled: None,
            built: None,
            timeout: self.timeout,
        }
    }

    pub(crate) fn revision(&self) -> Option<String> {
        self.stand.revision.clone()
    }

    pub(crate) fn generation(&self) -> i64 {
        self.stand.generation
    }

    /// The `requestedAt` that this run handles.
    pub(crate) fn requested(&self) -> Option<&str> {
        annotation(&self.kustomization, crate::api::REQUESTED_AT)
    }

    /// Whether this very revision's prune was confirmed.
    pub(crate) fn is_confirmed(&self) -> bool {
        let revision = self.revision().unwrap_or_default();
        annotation(&self.kustomization, crate::api::PRUNE_CONFIRM) == Some(&*revision)
    }

    /// The account that stands for this Kustomization; the controller itself when there is none.
    pub(crate) fn identity(&self, cx: &Context) -> Option<Identity> {
        let named = self.kustomization.spec.service_account_name.clone();
        let service_account = named.or_else(|| cx.config.default_service_account.clone())?;
        Some(Identity {
            namespace: self.owner.namespace.clone(),
            service_account,
        })
    }

    /// The account that every call of this run is made as, under the run's permit.
    pub(crate) fn api(&self, cx: &Context) -> Api {
        cx.api
            .impersonating(self.identity(cx).as_ref())
            .under(self.permit.clone())
    }
}

pub(crate) fn annotation<'a>(object: &'a Kustomization, key: &str) -> Option<&'a str> {
    object.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}
