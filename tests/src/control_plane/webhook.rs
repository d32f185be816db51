//! An admission webhook that answers as a test says. Does I/O on loopback.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::{ControlPlane, free_port};

/// What a webhook says of a request.
pub enum Reviewed {
    /// It may pass.
    Allowed,
    /// It may pass, changed by a JSON patch.
    Changed(Value),
    /// It may not.
    Denied(String),
}

/// The address of a webhook, which may or may not listen.
pub struct Webhook {
    port: u16,
    authority: String,
    tls: Arc<rustls::ServerConfig>,
    listens: Option<JoinHandle<()>>,
}

impl Webhook {
    /// One that nobody serves yet.
    ///
    /// # Panics
    /// When its certificate cannot be used.
    #[must_use]
    pub fn down(control_plane: &ControlPlane) -> Self {
        let pair = control_plane.authority.server(&["127.0.0.1"]);
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self {
            port: free_port(),
            authority: control_plane.authority.certificate(),
            tls: Arc::new(tls),
            listens: None,
        }
    }

    /// Where it is, or will be.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What a configuration says of it: `clientConfig`.
    #[must_use]
    pub fn client_config(&self) -> Value {
        json!({
            "url": format!("https://{}/review", self.address()),
            "caBundle": STANDARD.encode(&self.authority),
        })
    }

    /// Serves it; `review` sees the request of each review.
    ///
    /// # Panics
    /// When its port was taken meanwhile.
    pub async fn serve(&mut self, review: impl Fn(&Value) -> Reviewed + Send + Sync + 'static) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let listener = TcpListener::bind(address).await.unwrap();
        let acceptor = TlsAcceptor::from(self.tls.clone());
        let review = Arc::new(review);
        self.listens = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, review) = (acceptor.clone(), review.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(|request| answer(request, &*review));
                    // The API server hung up.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        }));
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        if let Some(listens) = &self.listens {
            listens.abort();
        }
    }
}

async fn answer(
    request: http::Request<Incoming>,
    review: &impl Fn(&Value) -> Reviewed,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut response = json!({ "uid": asked["request"]["uid"], "allowed": true });
    match review(&asked["request"]) {
        Reviewed::Allowed => {}
        Reviewed::Changed(patch) => {
            response["patchType"] = "JSONPatch".into();
            response["patch"] = STANDARD.encode(patch.to_string()).into();
        }
        Reviewed::Denied(why) => {
            response["allowed"] = false.into();
            response["status"] = json!({ "code": 403, "message": why });
        }
    }
    let review =
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response });
    let mut response = http::Response::new(Full::from(review.to_string()));
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    Ok(response)
}
