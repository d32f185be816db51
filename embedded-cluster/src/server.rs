//! HTTPS on loopback: connections, headers, bodies.
//!
//! In: bytes from clients. Out: answers. Does I/O; decides nothing about objects.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::answer::ApiError;
use crate::api::{Answer, render};
use crate::discovery;
use crate::gate::{Cut, Gate};
use crate::openapi;
use crate::request::{Query, Request, Target, form};
use crate::requests::RequestKey;

/// Bodies above this are refused, as upstream does (3 MiB).
const MAX_BODY: usize = 3 * 1024 * 1024;

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) gate: Arc<Gate>,
    pub(crate) address: SocketAddr,
    /// What `/version` says.
    pub(crate) version: Arc<Mutex<String>>,
    pub(crate) stop: CancellationToken,
}

impl Server {
    /// Accepts connections until told to stop.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener, tls: TlsAcceptor) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, _)) = accepted else { continue };
            let _ = socket.set_nodelay(true);
            tokio::spawn(Arc::clone(&self).connection(socket, tls.clone()));
        }
    }

    async fn connection(self: Arc<Self>, socket: tokio::net::TcpStream, tls: TlsAcceptor) {
        let Ok(socket) = tls.accept(socket).await else {
            return;
        };
        let server = Arc::clone(&self);
        let service = hyper::service::service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { server.answer(request).await }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(socket), service);
        tokio::pin!(connection);
        tokio::select! {
            // A client that goes away is not an error of the server.
            _ = connection.as_mut() => {}
            () = self.stop.cancelled() => {}
        }
    }

    async fn answer(&self, request: http::Request<Incoming>) -> Result<Response<Body>, Cut> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if !self.is_authorised(&parts.headers)
            && !matches!(path, "/healthz" | "/livez" | "/readyz" | "/version")
        {
            return Ok(send(Answer::error(&ApiError::new(
                401,
                "Unauthorized",
                "Unauthorized",
            ))));
        }
        let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
            let error = ApiError::new(
                413,
                "RequestEntityTooLarge",
                format!("Request entity too large: limit is {MAX_BODY}"),
            );
            return Ok(send(Answer::error(&error)));
        };
        let answer = match self.discover(path, &parts.headers) {
            Some(answer) => {
                let resource = path.to_owned();
                let key = RequestKey {
                    user_agent: user_agent(&parts.headers).into(),
                    resource,
                    ..RequestKey::default()
                };
                self.gate.count(key, answer.code());
                answer
            }
            None => match read(&parts, body.to_bytes(), self.gate.api.clock.now()) {
                Ok(request) => self.gate.pass(request).await?,
                Err(error) => Answer::error(&error),
            },
        };
        Ok(match answer {
            Answer::Watch(watch) => stream(watch),
            other => send(other),
        })
    }

    fn is_authorised(&self, headers: &http::HeaderMap) -> bool {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let now = self.gate.api.clock.now().as_second();
        given
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|token| self.gate.api.tokens.accepts(token, now))
    }

    /// Everything that is not about objects.
    fn discover(&self, path: &str, headers: &http::HeaderMap) -> Option<Answer> {
        let accept = headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let aggregated = accept.contains("as=APIGroupDiscoveryList");
        let registry = || Arc::clone(&self.gate.api.store.lock().registry);
        let json = |value: serde_json::Value| Some(Answer::ok(render::bytes(&value)));
        let path = path.trim_end_matches('/');
        match path {
            "/healthz" | "/livez" | "/readyz" => Some(Answer::Text("ok".into())),
            "/version" => json(discovery::version(
                &self.version.lock().unwrap_or_else(PoisonError::into_inner),
            )),
            "/api" | "/apis" if aggregated => Some(Answer::Document {
                body: render::bytes(&discovery::aggregated(&registry(), path == "/api")),
                media: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            }),
            "/openapi/v3" => json(openapi::index(&registry())),
            "/api" => json(discovery::core_versions(&self.address.to_string())),
            "/apis" => json(discovery::groups(&registry())),
            _ => {
                if let Some(rest) = path.strip_prefix("/openapi/v3/") {
                    let (group, version) = rest
                        .split_once('/')?
                        .1
                        .split_once('/')
                        .unwrap_or(("", rest.split_once('/')?.1));
                    return json(openapi::document(&registry(), group, version)?);
                }
                let mut parts = path.trim_start_matches('/').split('/');
                match (parts.next(), parts.next(), parts.next(), parts.next()) {
                    (Some("api"), Some(version), None, None) => {
                        json(discovery::resources(&registry(), "", version)?)
                    }
                    (Some("apis"), Some(group), None, None) => json(discovery::group(&registry(), group)?),
                    (Some("apis"), Some(group), Some(version), None) => {
                        let registry = registry();
                        match discovery::resources(&registry, group, version) {
                            Some(resources) => json(resources),
                            None if registry.is_custom_only(group) => None,
                            // A group of upstream's own answers for all its versions.
                            None => Some(Answer::error(&ApiError::no_such_path())),
                        }
                    }
                    _ => None,
                }
            }
        }
    }
}

fn user_agent(headers: &http::HeaderMap) -> &str {
    headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Reads a request on objects.
fn read(parts: &http::request::Parts, body: Bytes, now: Timestamp) -> Result<Request, ApiError> {
    let target = Target::parse(parts.uri.path()).ok_or_else(ApiError::not_a_page)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let verb = Request::verb_of(&parts.method, &target, &query)?;
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let include = Query::parse(parts.uri.query().unwrap_or_default());
    if text("accept").is_some_and(|accept| accept.contains("as=Table"))
        && let Some(other) = include.get("includeObject")
        && !matches!(other, "None" | "Metadata" | "Object")
    {
        return Err(ApiError::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
        )));
    }
    if !is_acceptable(text("accept").unwrap_or_default()) {
        let why = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf";
        return Err(ApiError {
            details: Some(Box::default()),
            ..ApiError::new(406, "NotAcceptable", why)
        });
    }
    Ok(Request {
        verb,
        target,
        form: form(text("accept").unwrap_or_default(), &query, now),
        query,
        content_type: text("content-type").unwrap_or_default().into(),
        user_agent: user_agent(&parts.headers).into(),
        impersonated: text("impersonate-user").map(String::from),
        body,
    })
}

/// Whether a client takes anything that objects are served as; logs are text, whatever it takes.
fn is_acceptable(accept: &str) -> bool {
    let mut parts = accept
        .split(',')
        .map(|part| part.split(';').next().unwrap_or_default().trim());
    accept.is_empty()
        || parts.any(|part| part.starts_with("application/") || matches!(part, "*/*" | "text/plain"))
}

fn send(answer: Answer) -> Response<Body> {
    let code = answer.code();
    let (body, media, warnings) = match answer {
        Answer::Body { body, warnings, .. } => (Bytes::from(body), "application/json", warnings),
        Answer::Document { body, media } => (Bytes::from(body), media, Vec::new()),
        Answer::Text(text) => (Bytes::from(text), "text/plain; charset=utf-8", Vec::new()),
        Answer::NoPage => (
            Bytes::from_static(b"404 page not found\n"),
            "text/plain; charset=utf-8",
            Vec::new(),
        ),
        Answer::Watch(watch) => return stream(watch),
    };
    let retry_after = retry_after(code, &body);
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            headers.append(header::WARNING, value);
        }
    }
    response
}

/// What an error body says about trying again is said in a header too.
fn retry_after(code: u16, body: &[u8]) -> Option<u64> {
    if !matches!(code, 429 | 500..=599) {
        return None;
    }
    let status: serde_json::Value = serde_json::from_slice(body).ok()?;
    status.get("details")?.get("retryAfterSeconds")?.as_u64()
}

fn stream(watch: Box<crate::watch::Watch>) -> Response<Body> {
    let lines = futures::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Frame::data(line)), watch))
    });
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(lines)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
