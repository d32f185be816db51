//! Flux's finalizer: put on a Kustomization before anything is written, taken away from it and from a GitRepository at
//! their end. Does I/O.

use serde_json::{Value, json};

use super::context::Context;
use super::job::Job;
use super::run::{revoked, text};
use super::statuses::kustomization_kind;
use crate::api::{FINALIZER, KUSTOMIZATION_STATUS_MANAGER};
use crate::cluster::{Api, ApiError, Kind};
use crate::plan::ObjectId;
use crate::report::Failure;

/// How often a patch is tried when the object changes meanwhile.
const ATTEMPTS: usize = 5;

/// Rule 25: the finalizer is added by a patch that tests what it found.
pub(crate) async fn ensure(cx: &Context, job: &Job) -> Result<(), Failure> {
    let metadata = &job.kustomization.metadata;
    let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
    let mut version = metadata.resource_version.clone().unwrap_or_default();
    let id = ObjectId::from(&*job.owner);
    // Not canceled, which would begin anew at once: the watch has yet to show it.
    let gone = || Failure::Apply("the Kustomization is gone".into());
    let failed = |error: ApiError| Failure::Apply(format!("the finalizer could not be added: {error}"));
    for _ in 0..ATTEMPTS {
        if finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(());
        }
        job.permit.check().map_err(revoked)?;
        let patch = finalizer_patch(&finalizers, &version);
        let answer = cx
            .api
            .json_patch(&kustomization_kind(), &id, &patch, KUSTOMIZATION_STATUS_MANAGER)
            .await;
        match answer {
            Ok(object) => {
                job.statuses.saw(text(&object, "/metadata/resourceVersion")).await;
                return Ok(());
            }
            Err(error) if error.is_not_found() => return Err(gone()),
            Err(error) if error.is_conflict() || error.is_invalid() => {}
            Err(error) => return Err(failed(error)),
        }
        // The object is not as this run was given it: look, and try again on what it is.
        let live = cx
            .api
            .get_metadata(&kustomization_kind(), &id)
            .await
            .map_err(failed)?;
        let live = live.ok_or_else(gone)?;
        text(&live, "/metadata/resourceVersion").clone_into(&mut version);
        finalizers = finalizers_of(&live);
    }
    Err(Failure::Apply(
        "the object changed each time the finalizer was about to be added".to_owned(),
    ))
}

/// Takes our finalizer away from an object, by a patch that tests its place (rule 25). `seen` are its finalizers if a
/// watch showed it; else it is looked at first.
pub(crate) async fn remove(
    api: &Api,
    kind: &Kind,
    id: &ObjectId,
    manager: &str,
    seen: Option<Vec<String>>,
) -> Result<(), ApiError> {
    let mut seen = seen;
    for _ in 0..ATTEMPTS {
        let finalizers = match seen.take() {
            Some(finalizers) => finalizers,
            None => match api.get_metadata(kind, id).await? {
                Some(live) => finalizers_of(&live),
                None => return Ok(()),
            },
        };
        let Some(index) = finalizers.iter().position(|finalizer| finalizer == FINALIZER) else {
            return Ok(());
        };
        let path = format!("/metadata/finalizers/{index}");
        let patch = json!([
            {"op": "test", "path": path, "value": FINALIZER},
            {"op": "remove", "path": path},
        ]);
        match api.json_patch(kind, id, &patch, manager).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => return Ok(()),
            // They are not as they were seen.
            Err(error) if error.is_conflict() || error.is_invalid() => {}
            Err(error) => return Err(error),
        }
    }
    Err(ApiError::Overtaken {
        what: id.to_string(),
        deed: "our finalizer was about to be removed",
    })
}

fn finalizers_of(object: &Value) -> Vec<String> {
    let found = object
        .pointer("/metadata/finalizers")
        .cloned()
        .unwrap_or_default();
    serde_json::from_value(found).unwrap_or_default()
}

/// Adds our finalizer to what was found, by a patch that tests what that was.
fn finalizer_patch(found: &[String], version: &str) -> Value {
    if found.is_empty() {
        return json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]},
        ]);
    }
    json!([
        {"op": "test", "path": "/metadata/finalizers", "value": found},
        {"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER},
    ])
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::routing::get;
    use http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn an_object_that_changes_before_each_removal_of_the_finalizer_is_named_as_such() {
        let found = || async { Json(json!({"metadata": {"name": "app", "finalizers": [FINALIZER]}})) };
        let refusal = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Conflict", "code": 409,
            "message": "the object has been modified",
        });
        let refused = move || async move { (StatusCode::CONFLICT, Json(refusal)) };
        let server = axum::Router::new().route("/{*path}", get(found).patch(refused));
        let api = Api::new(kube::Client::new(server, "default"), 1);
        let id = ObjectId::new(
            "kustomize.toolkit.fluxcd.io",
            "Kustomization",
            "flux-system",
            "app",
        );
        let error = remove(&api, &kustomization_kind(), &id, "coracle", None)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "Kustomization/flux-system/app changed each time our finalizer was about to be removed: another program \
             writes it all the time"
        );
    }
}
