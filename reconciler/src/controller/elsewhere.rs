//! Watches single objects that do not carry our label: health checks elsewhere (rule 20). Does I/O.

use std::sync::Arc;

use crate::plan::{Gvk, ObjectId, Owner};

use super::context::Context;

/// Makes sure that an object is watched for a Kustomization.
pub(crate) fn watch(cx: &Arc<Context>, owner: &Arc<Owner>, object: &ObjectId) {
    let (cx, owner, id) = (cx.clone(), owner.clone(), object.clone());
    tokio::spawn(async move {
        let gvk = Gvk {
            group: id.group.clone(),
            version: "v1".to_owned(),
            kind: id.kind.clone(),
        };
        match cx.discovery.resolve_any_version(&cx.api, &gvk).await {
            Ok(kind) => cx.watches.ensure_object(&kind, &id, &owner),
            Err(error) => tracing::warn!(object = %id, %error, "a health check names what cannot be watched"),
        }
    });
}
