//! Serves `/metrics`, `/healthz` and `/readyz`.
//!
//! In: [`Metrics`], [`Readiness`], a [`Redaction`]. Out: HTTP. Does I/O: listens on one address until told to stop.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Redaction;
use crate::health::Readiness;
use crate::metrics::Metrics;

/// Media type of the Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why the endpoints are not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: is another process using it?")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The listener failed while serving.
    #[error("the listener failed")]
    Serve(#[source] io::Error),
}

/// What the endpoints show.
#[derive(Clone)]
pub struct Endpoints {
    /// Families for `/metrics`.
    pub metrics: Metrics,
    /// Checks for `/readyz`.
    pub readiness: Readiness,
    /// What every answer passes through.
    pub redaction: Redaction,
}

impl Endpoints {
    /// Routes of the endpoints, for a service that adds its own.
    pub fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(async || "ok"))
            .route("/readyz", get(ready))
            .with_state(self)
    }
}

/// A listener that is bound and not served yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds the address; port 0 takes a free port, which [`Server::address`] tells.
    ///
    /// # Errors
    /// [`ServeError::Bind`] when the address cannot be listened on.
    pub async fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then finishes the answers that have begun.
    ///
    /// # Errors
    /// [`ServeError::Serve`] when the listener fails.
    pub async fn serve(self, routes: Router, stop: CancellationToken) -> Result<(), ServeError> {
        axum::serve(self.listener, routes)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
            .map_err(ServeError::Serve)
    }
}

async fn metrics(State(endpoints): State<Endpoints>) -> impl IntoResponse {
    match endpoints.metrics.encode() {
        Ok(text) => {
            let text = endpoints.redaction.apply_to(text);
            (StatusCode::OK, [(header::CONTENT_TYPE, METRICS_TYPE)], text)
        }
        Err(error) => {
            let text = endpoints.redaction.apply_to(error.to_string());
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                [(header::CONTENT_TYPE, "text/plain")],
                text,
            )
        }
    }
}

async fn ready(State(endpoints): State<Endpoints>) -> impl IntoResponse {
    let report = endpoints.readiness.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, endpoints.redaction.apply_to(report.text))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::metrics::{Ready, ResourceInfo, ResourceKey};

    async fn body_of(address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    #[tokio::test]
    async fn the_endpoints_answer_redacted_and_stop_when_told() {
        let metrics = Metrics::new().unwrap();
        metrics.set_resource(
            ResourceKey {
                kind: "GitRepository".into(),
                namespace: "flux-system".into(),
                name: "apps".into(),
            },
            ResourceInfo {
                group: "source.toolkit.fluxcd.io",
                version: "v1",
                ready: Ready::False,
                suspended: false,
                details: vec![("url", "https://user:hunter2@git.example".into())],
            },
        );
        let readiness = Readiness::default();
        let lease = readiness.check("lease");
        lease.not_ready("token hunter2 was refused");
        let redaction = Redaction::new(|text| Cow::Owned(text.replace("hunter2", "***")));

        let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = server.address();
        let stop = CancellationToken::new();
        let routes = Endpoints {
            metrics,
            readiness,
            redaction,
        }
        .router();
        let serving = tokio::spawn(server.serve(routes, stop.clone()));

        assert_eq!(body_of(address, "/healthz").await, (200, "ok".into()));
        assert_eq!(
            body_of(address, "/readyz").await,
            (503, "[-]lease token *** was refused\n".into())
        );
        lease.ready();
        assert_eq!(body_of(address, "/readyz").await, (200, "[+]lease ok\n".into()));
        let (status, text) = body_of(address, "/metrics").await;
        assert_eq!(status, 200);
        assert!(
            text.contains("url=\"https://user:***@git.example\"") && !text.contains("hunter2"),
            "{text}"
        );

        stop.cancel();
        serving.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let first = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let error = Server::bind(first.address()).await.err().unwrap();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on {}: is another process using it?",
                first.address()
            )
        );
    }
}
