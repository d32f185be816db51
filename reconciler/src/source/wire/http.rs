//! Git's smart HTTP protocol (gitprotocol-http) over hyper and rustls. Does network I/O.
//!
//! Connections are kept between polls. Redirects are followed on discovery only, and only to the same host: to
//! another one neither credentials nor requests are sent.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use url::Url;

use super::super::SourceError;
use super::super::credentials::Auth;
use super::super::error::{Cause, chain_text};
use super::super::remote::{ConnectionId, Remote, without_user};
use super::trust;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
const IDLE_PER_HOST: usize = 2;
const MOST_REDIRECTS: usize = 5;
/// Some servers answer in Git's protocol only to programs that call themselves git.
const AGENT: &str = concat!("git/coracle-", env!("CARGO_PKG_VERSION"));
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
const RESULT: &str = "application/x-git-upload-pack-result";

/// The HTTP clients of this process, one for each set of trusted certificates, own certificate and proxy. Remotes
/// that agree on these share connections; credentials go with each request.
#[derive(Default)]
pub(in super::super) struct HttpClients {
    clients: Mutex<HashMap<ConnectionId, HttpClient>>,
    roots: std::sync::OnceLock<RootCertStore>,
}

#[derive(Clone)]
enum HttpClient {
    Direct(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
    Proxied(Client<HttpsConnector<Tunnel<HttpConnector>>, Full<Bytes>>),
}

/// Clients kept at most; beyond it all are dropped, which costs new connections and nothing else.
const MOST_CLIENTS: usize = 4096;

impl HttpClients {
    fn client(&self, remote: &Remote) -> Result<HttpClient, SourceError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&remote.connection()) {
            return Ok(client.clone());
        }
        let client = self.build(remote)?;
        if clients.len() >= MOST_CLIENTS {
            clients.clear();
        }
        clients.insert(remote.connection(), client.clone());
        Ok(client)
    }

    fn build(&self, remote: &Remote) -> Result<HttpClient, SourceError> {
        let tls = trust::client_config(remote, self.roots.get_or_init(trust::system_roots))?;
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST);

        let Some(proxy) = remote.proxy() else {
            return Ok(HttpClient::Direct(builder.build(https.wrap_connector(tcp))));
        };
        let invalid = |problem: &str| SourceError::ConnectionSettingsInvalid {
            url: remote.to_string(),
            problem: format!("proxy address: {problem}, expected http://host:port"),
        };
        let address: Uri = proxy.address.parse().map_err(|_| invalid("not a URL"))?;
        if address.scheme_str() != Some("http") {
            return Err(invalid("unsupported scheme"));
        }
        let mut tunnel = Tunnel::new(address, tcp);
        if let Some((user, password)) = &proxy.credentials {
            let header = basic(user, password.expose()).ok_or_else(|| invalid("unusable credentials"))?;
            tunnel = tunnel.with_auth(header);
        }
        Ok(HttpClient::Proxied(builder.build(https.wrap_connector(tunnel))))
    }
}

impl HttpClient {
    async fn request(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        match self {
            Self::Direct(client) => client.request(request).await,
            Self::Proxied(client) => client.request(request).await,
        }
    }
}

/// A repository behind HTTP(S).
pub(super) struct HttpEndpoint {
    client: HttpClient,
    /// The repository's URL as asked for, to be shown.
    url: String,
    /// Where requests go; differs after a redirect. Without a final slash.
    base: Url,
    authorization: Option<HeaderValue>,
}

impl HttpEndpoint {
    pub(super) fn new(remote: &Remote, clients: &HttpClients) -> Result<Self, SourceError> {
        let authorization = match remote.auth() {
            Auth::None | Auth::Ssh { .. } => None,
            Auth::Basic { username, password } => Some(basic(username, password.expose())),
            Auth::Bearer { token } => Some(bearer(token.expose())),
        };
        let authorization = match authorization {
            Some(None) => {
                return Err(SourceError::CredentialsInvalid {
                    url: remote.to_string(),
                    problem: "the token has characters that HTTP does not allow (a line break?)".to_owned(),
                });
            }
            Some(header) => header,
            None => None,
        };
        Ok(Self {
            client: clients.client(remote)?,
            url: remote.to_string(),
            base: without_final_slash(remote.url().clone()),
            authorization,
        })
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// The base as the beginning of a request's URL; a URL without a path ends with a slash all the same.
    fn base_text(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    pub(super) fn set_base(&mut self, base: Url) {
        self.base = base;
    }

    /// Asks what the server has: the answer is an advertisement.
    pub(super) async fn discover(&mut self) -> Result<Incoming, SourceError> {
        for _ in 0..MOST_REDIRECTS {
            let uri = format!("{}/info/refs?service=git-upload-pack", self.base_text());
            let request = self.builder(Method::GET, &uri, Some(2)).header(ACCEPT, "*/*");
            let response = self.send(request, Bytes::new()).await?;
            if response.status().is_redirection() {
                self.base = self.redirected(&response, &uri)?;
                continue;
            }
            return self.checked(response, ADVERTISEMENT);
        }
        Err(SourceError::RedirectRefused {
            from: self.url.clone(),
            to: self.base.to_string(),
            problem: format!("more than {MOST_REDIRECTS} redirects follow each other"),
        })
    }

    /// Sends a request to `git-upload-pack`.
    pub(super) async fn post(
        &mut self,
        message: Bytes,
        version: Option<u8>,
    ) -> Result<Incoming, SourceError> {
        let uri = format!("{}/git-upload-pack", self.base_text());
        let request = self
            .builder(Method::POST, &uri, version)
            .header(ACCEPT, RESULT)
            .header(CONTENT_TYPE, "application/x-git-upload-pack-request");
        let response = self.send(request, message).await?;
        if response.status().is_redirection() {
            self.redirected(&response, &uri)?;
            return Err(SourceError::HttpStatus {
                url: self.url.clone(),
                status: response.status(),
            });
        }
        self.checked(response, RESULT)
    }

    fn builder(&self, method: Method, uri: &str, version: Option<u8>) -> http::request::Builder {
        let mut builder = Request::builder()
            .method(method)
            .uri(uri)
            .header(USER_AGENT, AGENT);
        if let Some(version) = version {
            builder = builder.header("Git-Protocol", format!("version={version}"));
        }
        if let Some(authorization) = &self.authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        builder
    }

    async fn send(
        &self,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Response<Incoming>, SourceError> {
        let request = request
            .body(Full::new(body))
            .map_err(|error| SourceError::UrlInvalid {
                url: self.url.clone(),
                problem: error.to_string(),
            })?;
        self.client
            .request(request)
            .await
            .map_err(|error| self.failure(error))
    }

    fn failure(&self, error: hyper_util::client::legacy::Error) -> SourceError {
        let host = host_and_port(&self.base);
        if let Some(tls) = tls_error(&error) {
            return SourceError::CertificateRefused {
                host,
                problem: tls_problem(tls),
            };
        }
        if error.is_connect() {
            let problem = connect_problem(&error);
            return SourceError::Unreachable {
                host,
                problem,
                cause: Some(Box::new(error)),
            };
        }
        let cause: Cause = Box::new(error);
        SourceError::Interrupted {
            url: self.url.clone(),
            during: "before it answered",
            received: 0,
            cause: Some(cause),
        }
    }

    /// The base that a redirect leads to, if it may be followed.
    fn redirected(&self, response: &Response<Incoming>, asked: &str) -> Result<Url, SourceError> {
        let target = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| Url::parse(asked).ok()?.join(location).ok());
        let Some(mut target) = target else {
            return Err(SourceError::HttpStatus {
                url: self.url.clone(),
                status: response.status(),
            });
        };
        let refused = |to: &Url, problem: String| SourceError::RedirectRefused {
            from: self.url.clone(),
            to: without_query(to),
            problem,
        };
        if target.host_str() != self.base.host_str() {
            return Err(refused(
                &target,
                "it is another host, and credentials are sent to the one in spec.url only; \
                 if that host is right, put it into spec.url"
                    .to_owned(),
            ));
        }
        let same = target.scheme() == self.base.scheme()
            && target.port_or_known_default() == self.base.port_or_known_default();
        let upgraded = self.base.scheme() == "http" && target.scheme() == "https";
        if !same && !upgraded {
            return Err(refused(
                &target,
                "it leaves the scheme or port of spec.url".to_owned(),
            ));
        }
        let Some(path) = target.path().strip_suffix("/info/refs").map(str::to_owned) else {
            return Err(SourceError::NotARepository {
                url: self.url.clone(),
                problem: format!(
                    "it redirects to '{}', perhaps a page to sign in",
                    without_query(&target)
                ),
            });
        };
        target.set_path(&path);
        target.set_query(None);
        target.set_fragment(None);
        let _ = target.set_username("");
        let _ = target.set_password(None);
        Ok(target)
    }

    fn checked(&self, response: Response<Incoming>, expected: &str) -> Result<Incoming, SourceError> {
        let url = self.url.clone();
        let status = response.status();
        match (status, &self.authorization) {
            (StatusCode::OK, _) => {}
            (StatusCode::UNAUTHORIZED, None) => {
                return Err(SourceError::AuthenticationFailed {
                    url,
                    problem:
                        "the server asks for credentials (HTTP 401); put them into a Secret and name it in \
                              spec.secretRef; some servers answer so too when the repository does not exist"
                            .to_owned(),
                });
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                return Err(SourceError::AuthenticationFailed {
                    url,
                    problem: format!(
                        "the server does not accept the credentials (HTTP {}); check user name and password or \
                         token, and that they may read the repository",
                        status.as_u16()
                    ),
                });
            }
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => {
                return Err(SourceError::RepositoryNotFound {
                    url,
                    problem: format!("the server says so (HTTP {})", status.as_u16()),
                });
            }
            _ => return Err(SourceError::HttpStatus { url, status }),
        }
        let kind = response
            .headers()
            .get(CONTENT_TYPE)
            .map(|kind| kind.to_str().unwrap_or_default());
        let kind = kind
            .unwrap_or("no content type")
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        if kind == expected {
            return Ok(response.into_body());
        }
        let problem = match kind.as_str() {
            "text/html" => "it is an HTML page".to_owned(),
            "text/plain" => {
                "it answers with plain text, as servers without Git's smart protocol do".to_owned()
            }
            other => format!(
                "it answers with '{}'",
                super::super::error::printable(other.as_bytes())
            ),
        };
        Err(SourceError::NotARepository { url, problem })
    }
}

fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    sensitive(format!("Basic {}", BASE64.encode(format!("{user}:{password}"))))
}

fn bearer(token: &str) -> Option<HeaderValue> {
    sensitive(format!("Bearer {}", token.trim()))
}

fn sensitive(text: String) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn without_final_slash(mut url: Url) -> Url {
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    url
}

fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    without_user(&url)
}

fn host_and_port(url: &Url) -> String {
    format!(
        "{}:{}",
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default()
    )
}

/// Finds the TLS error in a chain. An I/O error hides the error it was made of from `source`.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn tls_problem(error: &rustls::Error) -> String {
    use rustls::CertificateError;
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its issuer is not trusted".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "it is for another name".to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "it has expired".to_owned(),
        other => other.to_string(),
    }
}

fn connect_problem(error: &(dyn StdError + 'static)) -> String {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                io::ErrorKind::TimedOut => "no answer in time".to_owned(),
                _ => error.to_string(),
            };
        }
        next = error.source();
    }
    error.source().map_or_else(|| error.to_string(), chain_text)
}
