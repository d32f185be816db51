//! The one place that writes a Kustomization's status: in order, only when it changed. Does I/O.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::api::{KUSTOMIZATION_STATUS_MANAGER, KustomizationStatus, Reason};
use crate::cluster::{Api, ApiError, Kind};
use crate::plan::{Inventory, ObjectId, Owner};
use crate::report::{StatusPatch, next_status, status_patch};

/// The kind whose statuses are written.
pub(crate) fn kustomization_kind() -> Kind {
    Kind::fixed(
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        "kustomizations",
        true,
    )
}

/// A status as it was last read or written.
#[derive(Debug)]
struct Cell {
    status: Arc<KustomizationStatus>,
    resource_version: String,
    /// Ticket of the report that was written last: an earlier one comes too late.
    run: u64,
    /// The answer to the last write was lost: the server may hold it, or what stood before.
    unsure: bool,
    /// The inventory of a finished run, to be written with its outcome.
    staged: Option<Inventory>,
    /// The last versions that came of our own writes: a watch shows them late.
    ours: VecDeque<String>,
}

/// The status of one Kustomization.
#[derive(Debug)]
pub(crate) struct StatusWriter {
    owner: Arc<Owner>,
    /// The object's uid: another one of the same name has a status of its own.
    uid: String,
    /// What was in the inventory when the object was first seen: earlier processes may have written it.
    inherited: Arc<Inventory>,
    cell: Mutex<Cell>,
}

/// Versions of our own writes that are remembered.
const OURS: usize = 8;
/// How often a write is tried again when the object was changed meanwhile.
const ATTEMPTS: usize = 4;

impl StatusWriter {
    /// Of an object that was just seen, with this status, which lists this inventory.
    pub(crate) fn new(
        owner: Arc<Owner>,
        uid: String,
        status: Arc<KustomizationStatus>,
        inherited: Arc<Inventory>,
        resource_version: String,
    ) -> Self {
        let cell = Cell {
            status,
            resource_version,
            run: 0,
            unsure: false,
            staged: None,
            ours: VecDeque::new(),
        };
        Self {
            owner,
            uid,
            inherited,
            cell: Mutex::new(cell),
        }
    }

    /// Takes in what a watch has seen of the object's version; the status is ours and is not read back.
    pub(crate) async fn saw(&self, resource_version: &str) {
        let mut cell = self.cell.lock().await;
        if !cell.ours.iter().any(|version| version == resource_version) {
            resource_version.clone_into(&mut cell.resource_version);
        }
    }

    /// Whether an object was in the inventory when this process first saw it.
    pub(crate) fn is_inherited(&self, id: &ObjectId) -> bool {
        self.inherited.contains(id)
    }

    /// Whether a run that changed nothing is worth a mention: it built something else than the last one, or somebody
    /// asked for it and was not answered yet.
    pub(crate) async fn is_news(&self, built: Option<&str>, requested: Option<&str>) -> bool {
        let cell = self.cell.lock().await;
        let status = &cell.status;
        let succeeded = Reason::ReconciliationSucceeded.as_str();
        let last = status.history.first();
        let last = last.filter(|snapshot| snapshot.last_reconciled_status == succeeded);
        let last = last.map(|snapshot| snapshot.digest.as_str());
        let asked = requested.is_some() && requested != status.last_handled_reconcile_at.as_deref();
        asked || built != last
    }

    /// The inventory as it stands.
    pub(crate) async fn inventory(&self) -> Inventory {
        let cell = self.cell.lock().await;
        cell.staged.clone().unwrap_or_else(|| inventory_in(&cell.status))
    }

    /// Takes an inventory in that is written with the next report.
    pub(crate) async fn stage_inventory(&self, inventory: &Inventory) {
        self.cell.lock().await.staged = Some(inventory.clone());
    }

    /// Writes the status that follows from a report; gives it back when it was written, nothing when it was
    /// already so or the report comes too late.
    pub(crate) async fn report(
        &self,
        api: &Api,
        run: u64,
        patch: &StatusPatch<'_>,
    ) -> Result<Option<Arc<KustomizationStatus>>, ApiError> {
        let mut cell = self.cell.lock().await;
        if run < cell.run {
            return Ok(None);
        }
        cell.run = run;
        for _ in 0..ATTEMPTS {
            let staged = cell.staged.clone();
            let patch = StatusPatch {
                inventory: patch.inventory.or(staged.as_ref()),
                ..patch.clone()
            };
            let next = next_status(&cell.status, &patch, Timestamp::now());
            if next == *cell.status && !cell.unsure {
                return Ok(None);
            }
            match self.write(api, &mut cell, next).await {
                Err(error) if error.is_conflict() => self.catch_up(api, &mut cell).await?,
                answer => {
                    let written = answer?;
                    cell.staged = None;
                    return Ok(Some(written));
                }
            }
        }
        Err(self.contested())
    }

    /// Writes a report whose inventory must be in place before anything else happens: refused when somebody
    /// else changed the inventory since it was read (rule 1).
    pub(crate) async fn record(
        &self,
        api: &Api,
        run: u64,
        patch: &StatusPatch<'_>,
    ) -> Result<Arc<KustomizationStatus>, ApiError> {
        let mut cell = self.cell.lock().await;
        cell.run = run;
        cell.staged = None;
        let planned_on = inventory_in(&cell.status);
        for _ in 0..ATTEMPTS {
            let next = next_status(&cell.status, patch, Timestamp::now());
            let planned = inventory_in(&next);
            match self.write(api, &mut cell, next).await {
                Err(error) if error.is_conflict() => {
                    self.catch_up(api, &mut cell).await?;
                    // Ours may have been carried out though its answer was lost.
                    let found = inventory_in(&cell.status);
                    if found != planned_on && found != planned {
                        return Err(error);
                    }
                }
                answer => return answer,
            }
        }
        Err(self.contested())
    }

    /// Reads the object's version. Every write names it, so that one of an earlier process that arrives late
    /// cannot put an old inventory back. Entries of the inventory that we do not know are taken in, from
    /// whomever they are: what is in it is looked at, what is not is forgotten.
    async fn catch_up(&self, api: &Api, cell: &mut Cell) -> Result<(), ApiError> {
        let id = ObjectId::from(&*self.owner);
        let Some(live) = api.get(&kustomization_kind(), &id).await? else {
            return Ok(());
        };
        if live.pointer("/metadata/uid").and_then(Value::as_str) != Some(&*self.uid) {
            return Err(ApiError::Replaced(id));
        }
        if let Some(version) = resource_version(&live) {
            version.clone_into(&mut cell.resource_version);
        }
        let known = inventory_in(&cell.status);
        for (id, version) in inventory_of(&live).minus(&known) {
            let mut inventory = inventory_in(&cell.status);
            inventory.insert(id.clone(), version.clone());
            Arc::make_mut(&mut cell.status).inventory = Some(inventory.to_status());
            if let Some(staged) = &mut cell.staged {
                staged.insert(id, version);
            }
        }
        Ok(())
    }

    async fn write(
        &self,
        api: &Api,
        cell: &mut Cell,
        next: KustomizationStatus,
    ) -> Result<Arc<KustomizationStatus>, ApiError> {
        let patch = status_patch(&next, Some(&cell.resource_version));
        let id = ObjectId::from(&*self.owner);
        // Stays so when the answer is lost, or nobody waits for it any more.
        let before = std::mem::replace(&mut cell.unsure, true);
        let answer = api
            .merge_status(&kustomization_kind(), &id, &patch, KUSTOMIZATION_STATUS_MANAGER)
            .await;
        match &answer {
            Ok(_) => cell.unsure = false,
            Err(error) if error.is_conflict() => cell.unsure = before,
            Err(_) => {}
        }
        let answer = answer?;
        if let Some(version) = resource_version(&answer) {
            version.clone_into(&mut cell.resource_version);
            cell.ours.push_back(version.to_owned());
            while cell.ours.len() > OURS {
                cell.ours.pop_front();
            }
        }
        cell.status = Arc::new(next);
        Ok(cell.status.clone())
    }

    fn contested(&self) -> ApiError {
        ApiError::Overtaken {
            what: format!("Kustomization {}", self.owner),
            deed: "its status was about to be written",
        }
    }
}

fn resource_version(object: &Value) -> Option<&str> {
    object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
}

fn inventory_of(object: &Value) -> Inventory {
    let status = object.pointer("/status/inventory").cloned();
    let parsed = status.and_then(|value| serde_json::from_value(value).ok());
    Inventory::from_status(parsed.as_ref())
}

fn inventory_in(status: &KustomizationStatus) -> Inventory {
    Inventory::from_status(status.inventory.as_ref())
}
