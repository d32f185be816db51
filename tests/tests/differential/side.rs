//! One of the two servers. Does I/O.

use std::time::Duration;

use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::content::definition;

const NAMESPACE: &str = "differential";
/// A definition is served after a moment.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(25);

/// A server with the namespace and the definition that sequences need.
pub(crate) struct Side(Client);

impl Side {
    /// Prepares a server.
    pub(crate) async fn new(client: Client) -> Self {
        let side = Self(client);
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        for (path, body) in [("/api/v1/namespaces", namespace), (definitions, definition())] {
            let (code, body) = side.ask("POST", path, "application/json", &body).await;
            assert_eq!(code, 201, "{body}");
        }
        let deadline = Instant::now() + PATIENCE;
        let (_, _, things) = crate::content::Schema::Thing.names();
        while side.ask("GET", things, "", &Value::Null).await.0 != 200 {
            assert!(Instant::now() < deadline, "the definition is not served");
            tokio::time::sleep(POLL).await;
        }
        side
    }

    /// Sends a request; the answer's code and body.
    pub(crate) async fn ask(&self, method: &str, uri: &str, media: &str, body: &Value) -> (u16, Value) {
        let mut request = http::Request::builder().method(method).uri(uri);
        let mut bytes = Vec::new();
        if !media.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, media);
            bytes = body.to_string().into_bytes();
        }
        let response = self
            .0
            .send(request.body(Body::from(bytes)).unwrap())
            .await
            .unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}
