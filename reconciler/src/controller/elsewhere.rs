//! Objects that the watches of owned kinds do not show: health checks elsewhere are watched by name (rule 20), and what
//! cannot be watched is looked at. Does I/O.

use std::sync::Arc;

use jiff::Timestamp;

use crate::assess::reduce::Observed;
use crate::cluster::{Fingerprint, Seen};
use crate::plan::{self, ObjectId, Owner, Ownership};

use super::context::Context;
use super::job::Job;

/// Makes sure that an object is watched for a Kustomization.
pub(crate) fn watch(cx: &Arc<Context>, owner: &Arc<Owner>, object: &ObjectId) {
    let (cx, owner, id) = (cx.clone(), owner.clone(), object.clone());
    tokio::spawn(async move {
        let gvk = id.gvk("v1");
        match cx.discovery.resolve_any_version(&cx.api, &gvk).await {
            Ok(kind) => {
                // It may have been forgotten meanwhile.
                let is_known = || cx.registry.get(&owner).is_some();
                cx.watches.ensure_object(&kind, &id, &owner, is_known);
            }
            Err(error) => tracing::warn!(object = %id, %error, "a health check names what cannot be watched"),
        }
    });
}

/// Looks at an object as the account of a run, and puts it where watches put what they see.
pub(crate) async fn look(cx: &Context, job: &Job, id: &ObjectId) {
    let gvk = id.gvk("v1");
    let Ok(kind) = cx.discovery.resolve_any_version(&cx.api, &gvk).await else {
        return;
    };
    let before = cx.index.get(id);
    match job.api(cx).get(&kind, id).await {
        Ok(Some(live)) => {
            let owner = match plan::owner_of(&live, &job.owner) {
                Ownership::Ours => Some(job.owner.clone()),
                Ownership::Other(owner) => Some(Arc::new(owner)),
                Ownership::Nobody => None,
            };
            let seen = Seen {
                observed: Observed::reduce(&live, Timestamp::now()),
                fingerprint: Fingerprint::of(&live),
                owner,
            };
            cx.index.put_if_unchanged(id, before.as_ref(), seen);
        }
        Ok(None) => cx.index.remove_if_unchanged(id, before.as_ref()),
        Err(error) => tracing::debug!(object = %id, %error, "it could not be looked at"),
    }
}
