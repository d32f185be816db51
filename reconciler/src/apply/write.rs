//! Writes one object of a recorded plan. Does I/O; the only place that creates or changes objects.

use serde_json::Value;

use crate::api::APPLY_MANAGER;
use crate::cluster::{Api, ApiError, ApplyOptions, Kind, Preconditions};
use crate::plan::{Action, Wanted};

use super::{Permit, Preview, Revoked};

/// Proof that the intent is in the inventory: nothing can be written without it.
///
/// It is made only by the code that has read back the answer to the status patch, or found that the inventory
/// already holds every object of the plan.
#[derive(Debug)]
pub struct Recorded(pub(crate) ());

/// What a write came to.
#[derive(Debug)]
pub struct Written {
    /// What was done.
    pub action: Action,
    /// The object as it is stored now.
    pub object: Value,
    /// An earlier attempt to create it got no answer, and may still be carried out.
    pub repeated: bool,
}

/// Why an object was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The permit was revoked.
    #[error(transparent)]
    Revoked(#[from] Revoked),
    /// The server refused, or was not heard.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl WriteError {
    /// Whether the write may have been carried out, or may yet be.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Api(ApiError::Ambiguous(_)))
    }
}

/// Applies one object as it was previewed.
///
/// # Errors
/// [`WriteError`]; the object's entry stays in the inventory whatever it is.
pub async fn write(
    _recorded: &Recorded,
    permit: &Permit,
    api: &Api,
    kind: &Kind,
    wanted: &Wanted,
    preview: &Preview,
) -> Result<Written, WriteError> {
    let mut uid = preview.uid.clone();
    if preview.action == Action::Recreated {
        recreate(permit, api, kind, wanted, uid.as_deref()).await?;
        uid = None;
    }
    if let Some(patch) = &preview.takeover {
        permit.check()?;
        api.json_patch(kind, &wanted.id, patch, APPLY_MANAGER).await?;
    }
    permit.check()?;
    let options = ApplyOptions {
        dry_run: false,
        force: true,
        manager: APPLY_MANAGER,
        metadata_only: !kind.has_status(),
    };
    let applied = match with_uid(&wanted.value, uid.as_deref()) {
        Some(object) => api.apply(kind, &wanted.id, &object, options).await?,
        None => api.apply(kind, &wanted.id, &wanted.value, options).await?,
    };
    let action = match preview.action {
        Action::Recreated => Action::Recreated,
        _ if applied.created => Action::Created,
        _ => Action::Configured,
    };
    Ok(Written {
        action,
        object: applied.object,
        repeated: applied.repeated && uid.is_none(),
    })
}

/// Rule 4: with the uid an object that is gone answers 409 and is not created by accident.
fn with_uid(object: &Value, uid: Option<&str>) -> Option<Value> {
    let uid = uid?;
    let mut object = object.clone();
    object["metadata"]["uid"] = uid.into();
    Some(object)
}

/// Deletes an object whose replacement is known to be valid (rule 18).
async fn recreate(
    permit: &Permit,
    api: &Api,
    kind: &Kind,
    wanted: &Wanted,
    uid: Option<&str>,
) -> Result<(), WriteError> {
    permit.check()?;
    let preconditions = Preconditions {
        uid: uid.map(ToOwned::to_owned),
        resource_version: None,
    };
    api.delete(kind, &wanted.id, &preconditions).await?;
    permit.race(until_gone(api, kind, wanted, uid)).await??;
    Ok(())
}

async fn until_gone(api: &Api, kind: &Kind, wanted: &Wanted, uid: Option<&str>) -> Result<(), ApiError> {
    let mut pause = std::time::Duration::from_millis(20);
    loop {
        let live = api.get_metadata(kind, &wanted.id).await?;
        let same = live
            .as_ref()
            .and_then(|live| live.pointer("/metadata/uid"))
            .and_then(Value::as_str)
            == uid;
        if live.is_none() || !same {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(std::time::Duration::from_secs(2));
    }
}
