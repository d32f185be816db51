//! Writes one object of a recorded plan. Does I/O; the only place that creates or changes objects.

use serde_json::Value;

use crate::api::APPLY_MANAGER;
use crate::cluster::{Api, ApiError, ApplyOptions, Kind, Preconditions};
use crate::plan::{Action, ObjectId, Wanted};

use super::{Permit, Preview};

/// Proof that the intent is in the inventory: nothing can be written without it.
///
/// It is made only by the code that has read back the answer to the status patch, or found that the inventory
/// already holds every object of the plan.
#[derive(Debug)]
pub struct Recorded(());

impl Recorded {
    /// To be called by those only who know that the inventory of the Kustomization's status lists every object that is
    /// about to be written or deleted.
    pub(crate) fn in_inventory() -> Self {
        Self(())
    }
}

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

/// Applies one object as it was previewed.
///
/// # Errors
/// [`ApiError`]; the object's entry stays in the inventory whatever it is.
pub async fn write(
    _recorded: &Recorded,
    permit: &Permit,
    api: &Api,
    kind: &Kind,
    wanted: &Wanted,
    preview: &Preview,
) -> Result<Written, ApiError> {
    let uid = preview.uid.as_deref();
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
    let applied = match with_uid(&wanted.value, uid) {
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

/// Deletes an object whose replacement is known to be valid (rule 18). It is created by [`write()`] once it is gone.
///
/// # Errors
/// [`ApiError`]; the object's entry stays in the inventory whatever it is.
pub async fn make_room(
    _recorded: &Recorded,
    permit: &Permit,
    api: &Api,
    kind: &Kind,
    id: &ObjectId,
    uid: Option<&str>,
) -> Result<(), ApiError> {
    permit.check()?;
    let preconditions = Preconditions {
        uid: uid.map(ToOwned::to_owned),
        resource_version: None,
    };
    api.delete(kind, id, &preconditions).await?;
    Ok(())
}
