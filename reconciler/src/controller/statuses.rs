//! The one place that writes a Kustomization's status: in order, only when it changed. Does I/O.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::api::{KUSTOMIZATION_STATUS_MANAGER, KustomizationStatus};
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
    status: KustomizationStatus,
    resource_version: String,
    /// The run that wrote last: a report of an earlier one comes too late.
    run: u64,
    /// The inventory of a finished run, to be written with its outcome.
    staged: Option<Inventory>,
}

/// The status of one Kustomization.
#[derive(Debug)]
pub(crate) struct StatusWriter {
    owner: Arc<Owner>,
    cell: Mutex<Cell>,
}

impl StatusWriter {
    pub(crate) fn new(owner: Arc<Owner>, status: KustomizationStatus, resource_version: String) -> Self {
        Self {
            owner,
            cell: Mutex::new(Cell {
                status,
                resource_version,
                run: 0,
                staged: None,
            }),
        }
    }

    /// Takes in what a watch has seen of the object's version; the status is ours and is not read back.
    pub(crate) async fn saw(&self, resource_version: &str) {
        resource_version.clone_into(&mut self.cell.lock().await.resource_version);
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
    ) -> Result<Option<KustomizationStatus>, ApiError> {
        let mut cell = self.cell.lock().await;
        if run < cell.run {
            return Ok(None);
        }
        cell.run = run;
        let staged = cell.staged.clone();
        let patch = StatusPatch {
            inventory: patch.inventory.or(staged.as_ref()),
            ..patch.clone()
        };
        let next = next_status(&cell.status, &patch, Timestamp::now());
        if next == cell.status {
            return Ok(None);
        }
        let written = self.write(api, &mut cell, next, false).await?;
        cell.staged = None;
        Ok(Some(written))
    }

    /// Writes a report whose inventory must be in place before anything else happens: refused when somebody
    /// else changed the inventory since it was read (rule 1).
    pub(crate) async fn record(
        &self,
        api: &Api,
        run: u64,
        patch: &StatusPatch<'_>,
    ) -> Result<KustomizationStatus, ApiError> {
        let mut cell = self.cell.lock().await;
        cell.run = run;
        cell.staged = None;
        let next = next_status(&cell.status, patch, Timestamp::now());
        match self.write(api, &mut cell, next.clone(), true).await {
            Err(error) if error.is_conflict() => {
                let id = ObjectId::from(&*self.owner);
                let live = api.get(&kustomization_kind(), &id).await?;
                let unchanged = live
                    .as_ref()
                    .is_some_and(|live| inventory_of(live) == inventory_in(&cell.status));
                if !unchanged {
                    return Err(error);
                }
                if let Some(version) = live.as_ref().and_then(resource_version) {
                    version.clone_into(&mut cell.resource_version);
                }
                self.write(api, &mut cell, next, true).await
            }
            answer => answer,
        }
    }

    async fn write(
        &self,
        api: &Api,
        cell: &mut Cell,
        next: KustomizationStatus,
        guarded: bool,
    ) -> Result<KustomizationStatus, ApiError> {
        let version = guarded.then_some(cell.resource_version.as_str());
        let patch = status_patch(&next, version);
        let id = ObjectId::from(&*self.owner);
        let answer = api
            .merge_status(&kustomization_kind(), &id, &patch, KUSTOMIZATION_STATUS_MANAGER)
            .await?;
        if let Some(version) = resource_version(&answer) {
            version.clone_into(&mut cell.resource_version);
        }
        cell.status = next.clone();
        Ok(next)
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
