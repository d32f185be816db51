//! `git http-backend` as a CGI program behind hyper, with and without TLS, and with faults.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// How the server answers.
#[derive(Clone, Debug, Default)]
pub(crate) enum Behaviour {
    /// As `git http-backend` does, in version 2 of the protocol if asked.
    #[default]
    Serve,
    /// The same in version 0.
    OldProtocol,
    /// Cuts the connection after so many bytes of an answer to a POST that asks for a pack.
    CutPack { after: usize },
    /// The same, but leaves the connection open and says nothing more.
    StallPack { after: usize },
    /// Never answers a POST.
    Hang,
    /// Answers everything with this.
    Answer {
        status: u16,
        content_type: &'static str,
        body: Vec<u8>,
    },
    /// Answers every POST with this pack.
    Post { body: Vec<u8> },
    /// Sends requests for a path that begins so to the same path with another beginning.
    Moved { from: &'static str, to: &'static str },
    /// Sends all requests elsewhere; the rest of the URL is appended.
    Redirect { to: String },
}

/// What an `Authorization` header must be.
#[derive(Clone, Debug)]
pub(crate) struct Requirement(pub(crate) String);

/// A private CA, made for one test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client's certificate and its key, both in PEM.
    pub(crate) fn client_certificate(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(Vec::new())
            .unwrap()
            .signed_by(&key, &self.0)
            .unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn server_config(&self, name: &str, known_clients: bool) -> rustls::ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.0)
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if known_clients {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.0.der().clone()).unwrap();
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        builder
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap()
    }
}

struct State {
    root: PathBuf,
    behaviour: Mutex<Behaviour>,
    requirement: Mutex<Option<Requirement>>,
    requests: Mutex<Vec<String>>,
    connections: Mutex<usize>,
    stalled: Notify,
}

/// A running server; it ends with the runtime of the test.
pub(crate) struct GitServer {
    address: SocketAddr,
    scheme: &'static str,
    host: String,
    state: Arc<State>,
}

impl GitServer {
    /// Serves the repositories below a folder over HTTP.
    pub(crate) async fn http(root: &Path) -> Self {
        Self::start(root, None, "127.0.0.1").await
    }

    /// The same, under the name `localhost`.
    pub(crate) async fn http_at_localhost(root: &Path) -> Self {
        Self::start(root, None, "localhost").await
    }

    /// Serves over HTTPS with a certificate for `localhost`, to clients with a certificate of the same CA only.
    pub(crate) async fn https_for_known_clients(root: &Path, authority: &Authority) -> Self {
        Self::start(
            root,
            Some(authority.server_config("localhost", true)),
            "localhost",
        )
        .await
    }

    /// Serves over HTTPS with a certificate for `localhost`.
    pub(crate) async fn https(root: &Path, authority: &Authority) -> Self {
        Self::start(
            root,
            Some(authority.server_config("localhost", false)),
            "localhost",
        )
        .await
    }

    /// Serves over HTTPS at `localhost` with a certificate for another name.
    pub(crate) async fn https_for_another_name(root: &Path, authority: &Authority) -> Self {
        Self::start(
            root,
            Some(authority.server_config("example.org", false)),
            "localhost",
        )
        .await
    }

    async fn start(root: &Path, tls: Option<rustls::ServerConfig>, host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            root: root.to_owned(),
            behaviour: Mutex::default(),
            requirement: Mutex::default(),
            requests: Mutex::default(),
            connections: Mutex::default(),
            stalled: Notify::new(),
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let acceptor = tls.map(|config| tokio_rustls::TlsAcceptor::from(Arc::new(config)));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *shared.connections.lock().unwrap() += 1;
                let state = Arc::clone(&shared);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let state = Arc::clone(&state);
                        async move { answer(&state, request).await }
                    });
                    let builder = hyper::server::conn::http1::Builder::new();
                    // A connection that a test cuts is an error here and nothing else.
                    let _ = match acceptor {
                        None => builder.serve_connection(TokioIo::new(stream), service).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => builder.serve_connection(TokioIo::new(stream), service).await,
                            Err(_) => Ok(()),
                        },
                    };
                });
            }
        });
        Self {
            address,
            scheme,
            host: host.to_owned(),
            state,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}:{}/{path}", self.scheme, self.host, self.address.port())
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn require(&self, authorization: &str) {
        *self.state.requirement.lock().unwrap() = Some(Requirement(authorization.to_owned()));
    }

    /// The requests since the last call, as `METHOD path`.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.requests.lock().unwrap())
    }

    /// Waits until an answer has stalled.
    pub(crate) async fn stalled(&self) {
        self.state.stalled.notified().await;
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }
}

type Body = BoxBody<Bytes, std::io::Error>;

fn full(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(
            Full::new(body.into())
                .map_err(|never: Infallible| match never {})
                .boxed(),
        )
        .unwrap()
}

async fn answer(state: &Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    state
        .requests
        .lock()
        .unwrap()
        .push(format!("{} {path}", parts.method));
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let requirement = state.requirement.lock().unwrap().clone();
    if let Some(Requirement(expected)) = requirement {
        match parts.headers.get("authorization") {
            Some(given) if given == expected.as_str() => {}
            Some(_) => return Ok(full(403, "text/plain", "forbidden")),
            None => return Ok(full(401, "text/plain", "who are you?")),
        }
    }
    let behaviour = state.behaviour.lock().unwrap().clone();
    let is_post = parts.method == http::Method::POST;
    let mut version = parts
        .headers
        .get("git-protocol")
        .map(|value| value.to_str().unwrap().to_owned());
    match &behaviour {
        Behaviour::Hang if is_post => std::future::pending().await,
        Behaviour::Answer {
            status,
            content_type,
            body,
        } => {
            return Ok(full(*status, content_type, body.clone()));
        }
        Behaviour::Post { body } if is_post => {
            return Ok(full(200, "application/x-git-upload-pack-result", body.clone()));
        }
        Behaviour::Redirect { to } => {
            let rest = parts.uri.path_and_query().unwrap().as_str();
            let mut response = full(301, "text/plain", "");
            response
                .headers_mut()
                .insert("location", format!("{to}{rest}").parse().unwrap());
            return Ok(response);
        }
        Behaviour::Moved { from, to } => {
            let asked = parts.uri.path_and_query().unwrap().as_str();
            if let Some(rest) = asked.strip_prefix(from) {
                let mut response = full(302, "text/plain", "");
                response
                    .headers_mut()
                    .insert("location", format!("{to}{rest}").parse().unwrap());
                return Ok(response);
            }
        }
        Behaviour::OldProtocol => version = None,
        _ => {}
    }
    let response = backend(&state.root, &parts, &body, version).await;
    match behaviour {
        Behaviour::CutPack { after } | Behaviour::StallPack { after }
            if is_post && body.windows(5).any(|part| part == b"want ") =>
        {
            let stalls = matches!(behaviour, Behaviour::StallPack { .. });
            let (head, body) = response.into_parts();
            let whole = body.collect().await?.to_bytes();
            let part = whole.slice(..after.min(whole.len()));
            let state = Arc::clone(state);
            let end = async move {
                // What was sent must have left before the connection is cut.
                tokio::task::yield_now().await;
                if stalls {
                    state.stalled.notify_one();
                    std::future::pending::<()>().await;
                }
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
            };
            let frames = futures::stream::iter([Ok(Frame::data(part))]).chain(futures::stream::once(end));
            let body = StreamBody::new(frames);
            Ok(Response::from_parts(head, BodyExt::boxed(body)))
        }
        _ => Ok(response),
    }
}

/// Runs `git http-backend` for one request.
async fn backend(
    root: &Path,
    parts: &http::request::Parts,
    body: &[u8],
    version: Option<String>,
) -> Response<Body> {
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    let mut command = tokio::process::Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env_remove("GIT_PROTOCOL")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Some(version) = version {
        command.env("GIT_PROTOCOL", version);
    }
    let mut child = command.spawn().expect("git is installed");
    let mut input = child.stdin.take().unwrap();
    let body = body.to_vec();
    tokio::spawn(async move {
        // A server that answers before it has read everything is within its rights.
        let _ = input.write_all(&body).await;
    });
    let output = child.wait_with_output().await.unwrap().stdout;
    let end = output
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .expect("the CGI answer has headers");
    let mut response = Response::builder().status(StatusCode::OK);
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap().parse::<u16>().unwrap()),
            name => response.header(name, value),
        };
    }
    let body = Bytes::from(output).slice(end + 4..);
    response
        .body(
            Full::new(body)
                .map_err(|never: Infallible| match never {})
                .boxed(),
        )
        .unwrap()
}
