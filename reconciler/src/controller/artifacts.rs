//! Serves artifacts: `/gitrepository/<namespace>/<name>/<commit>.tar.gz`, streamed from the object database.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::sources::Checkouts;

/// The routes.
pub(crate) fn routes(checkouts: Arc<Checkouts>) -> Router {
    Router::new()
        .route("/gitrepository/{namespace}/{name}/{file}", get(artifact))
        .with_state(checkouts)
}

async fn artifact(
    State(checkouts): State<Arc<Checkouts>>,
    Path((namespace, name, file)): Path<(String, String, String)>,
) -> Response {
    let key = (namespace, name);
    let Some(checkout) = checkouts.get(&key) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let path = checkout.artifact_path(&key.0, &key.1);
    if path.rsplit('/').next() != Some(&file) {
        return StatusCode::NOT_FOUND.into_response();
    }
    (
        [(header::CONTENT_TYPE, "application/gzip")],
        Body::from_stream(checkout.artifact_body()),
    )
        .into_response()
}
