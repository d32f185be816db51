//! HTTPS on loopback: connections, headers, bodies.
//!
//! In: bytes from clients. Out: answers. Does I/O; decides nothing about objects.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::answer::ApiError;
use crate::api::{Answer, Api};
use crate::discovery;
use crate::request::{Query, Request, Target, form};

/// Bodies above this are refused, as upstream does (3 MiB).
const MAX_BODY: usize = 3 * 1024 * 1024;

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) api: Api,
    pub(crate) token: String,
    pub(crate) address: SocketAddr,
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

    async fn answer(&self, request: http::Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if !self.is_authorised(&parts.headers)
            && !matches!(path, "/healthz" | "/livez" | "/readyz" | "/version")
        {
            return Ok(self.send(&Answer::error(&ApiError::new(
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
            return Ok(self.send(&Answer::error(&error)));
        };
        let answer = match self.discover(path, &parts.headers) {
            Some(answer) => answer,
            None => self
                .objects(&parts, body.to_bytes())
                .unwrap_or_else(|error| Answer::error(&error)),
        };
        Ok(match answer {
            Answer::Watch(watch) => self.stream(watch),
            other => self.send(&other),
        })
    }

    fn is_authorised(&self, headers: &http::HeaderMap) -> bool {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        given
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|token| token == self.token)
    }

    fn objects(&self, parts: &http::request::Parts, body: Bytes) -> Result<Answer, ApiError> {
        let target = Target::parse(parts.uri.path()).ok_or_else(ApiError::no_such_path)?;
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let verb = Request::verb_of(&parts.method, &target, &query)?;
        let text = |name: header::HeaderName| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let request = Request {
            verb,
            target,
            query,
            form: form(text(header::ACCEPT)),
            content_type: text(header::CONTENT_TYPE).into(),
            user_agent: text(header::USER_AGENT).into(),
            impersonated: parts
                .headers
                .get("impersonate-user")
                .and_then(|value| value.to_str().ok())
                .map(String::from),
            body,
        };
        let answer = self.api.handle(&request);
        let code = answer.as_ref().map_or_else(|error| error.code, Answer::code);
        tracing::debug!(verb = verb.name(), path = parts.uri.path(), code, "request");
        answer
    }

    /// Everything that is not about objects.
    fn discover(&self, path: &str, headers: &http::HeaderMap) -> Option<Answer> {
        let accept = headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let aggregated = accept.contains("as=APIGroupDiscoveryList");
        let registry = || Arc::clone(&self.api.store.lock().registry);
        let json = |value: serde_json::Value| Some(Answer::ok(crate::api::render::bytes(&value)));
        let path = path.trim_end_matches('/');
        match path {
            "/healthz" | "/livez" | "/readyz" => Some(Answer::Text("ok".into())),
            "/version" => json(discovery::version()),
            "/api" if aggregated => json(discovery::aggregated(&registry(), true)),
            "/apis" if aggregated => json(discovery::aggregated(&registry(), false)),
            "/api" => json(discovery::core_versions(&self.address.to_string())),
            "/apis" => json(discovery::groups(&registry())),
            _ => {
                let mut parts = path.trim_start_matches('/').split('/');
                match (parts.next(), parts.next(), parts.next(), parts.next()) {
                    (Some("api"), Some(version), None, None) => {
                        json(discovery::resources(&registry(), "", version)?)
                    }
                    (Some("apis"), Some(group), None, None) => json(discovery::group(&registry(), group)?),
                    (Some("apis"), Some(group), Some(version), None) => {
                        json(discovery::resources(&registry(), group, version)?)
                    }
                    _ => None,
                }
            }
        }
    }

    fn send(&self, answer: &Answer) -> Response<Body> {
        let (code, body, media) = match answer {
            Answer::Body { code, body, .. } => (*code, Bytes::from(body.clone()), "application/json"),
            Answer::Text(text) => (200, Bytes::from(text.clone()), "text/plain; charset=utf-8"),
            Answer::Watch(_) => (500, Bytes::new(), "application/json"),
        };
        let mut response = Response::new(Full::new(body).boxed_unsync());
        *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        if let Answer::Body { warnings, .. } = answer {
            for warning in warnings {
                let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
                if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                    response.headers_mut().append(header::WARNING, value);
                }
            }
        }
        response
    }

    fn stream(&self, watch: Box<crate::watch::Watch>) -> Response<Body> {
        let lines = futures::stream::unfold(watch, |mut watch| async move {
            let line = watch.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(line)), watch))
        });
        let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(lines)));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
