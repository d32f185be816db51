//! Sends a request and reads its whole answer. Does I/O.
//!
//! Requests that fail for a passing reason are tried again, a bounded number of times: all of them are safe to repeat.
//! What writes asks its permit each time before it is sent.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};

use super::super::{ApiError, Permit, Status};
use super::Api;
use crate::causes::chain;

const MAX_ANSWER: usize = 64 << 20;
/// How long an answer is waited for: kube-apiserver gives a write up after 34 s itself.
const MAX_WAIT: Duration = Duration::from_secs(40);

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    pub(super) repeated: bool,
}

impl Api {
    pub(super) async fn bytes(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<Answer, ApiError> {
        let writes = method != Method::GET;
        let permit = self.permit.as_ref().filter(|_| writes);
        let mut attempt = 0;
        let mut lost = None;
        loop {
            attempt += 1;
            // Not part of the wait for an answer: what was not sent cannot have been carried out.
            let place = self
                .gate
                .acquire()
                .await
                .map_err(|_| ApiError::Unreachable("the controller is stopping".to_owned()))?;
            if let Err(revoked) = permit.map_or(Ok(()), Permit::check) {
                // What may have been carried out is more than that it is not sent again.
                return Err(lost.unwrap_or(revoked.into()));
            }
            let asked = self.attempt(method.clone(), path, accept, body.clone());
            let answer = tokio::time::timeout(MAX_WAIT, asked).await;
            let answer =
                answer.unwrap_or_else(|_| Err(ApiError::Ambiguous(format!("no answer within {MAX_WAIT:?}"))));
            drop(place);
            match answer {
                Ok((status, body)) => {
                    return Ok(Answer {
                        status,
                        body,
                        repeated: lost.is_some(),
                    });
                }
                Err(error) if error.is_transient() && attempt < error.attempts() => {
                    let pause = match error.retry_after() {
                        Some(pause) => spread(pause, path, attempt),
                        None => Duration::from_millis(50 << (2 * attempt)),
                    };
                    tracing::debug!(%method, path, attempt, %error, "request is tried again");
                    if error.is_ambiguous() {
                        lost = Some(error);
                    } else if writes && error.may_have_been_carried_out() {
                        lost = Some(ApiError::Ambiguous(error.to_string()));
                    }
                    let pause = tokio::time::sleep(pause);
                    match permit {
                        None => pause.await,
                        // Whether it was revoked is asked before the request is sent again.
                        Some(permit) => drop(permit.race(pause).await),
                    }
                }
                // What may have been carried out is more than that it could not be sent again.
                Err(error) if error.status().is_none() => return Err(lost.unwrap_or(error)),
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<(StatusCode, Bytes), ApiError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept);
        if let Some(user) = &self.impersonate {
            request = request.header("Impersonate-User", user.as_ref());
        }
        let body = match body {
            Some((content_type, bytes)) => {
                request = request.header(header::CONTENT_TYPE, content_type);
                Body::from(bytes)
            }
            None => Body::empty(),
        };
        let request = request
            .body(body)
            .map_err(|error| ApiError::Unreadable(error.to_string()))?;
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| connection_error(&error))?;
        let (parts, body) = response.into_parts();
        let bytes = read_whole(body).await?;
        if parts.status.is_success() {
            return Ok((parts.status, bytes));
        }
        let mut status: Status = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.code == 0 {
            status.code = parts.status.as_u16();
            status.message = String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned();
        }
        if status.details.get("retryAfterSeconds").is_none()
            && let Some(seconds) = parts
                .headers
                .get(header::RETRY_AFTER)
                .and_then(|v| v.to_str().ok()?.parse::<u64>().ok())
        {
            if !status.details.is_object() {
                status.details = json!({});
            }
            status.details["retryAfterSeconds"] = seconds.into();
        }
        Err(ApiError::Refused(Box::new(status)))
    }
}

/// Reads a body into one buffer, so that a large one is never held twice.
async fn read_whole(mut body: Body) -> Result<Bytes, ApiError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut whole = Vec::with_capacity(announced.min(MAX_ANSWER));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::Ambiguous(chain(&error)))?;
        // What is not data is trailers, which say nothing.
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > MAX_ANSWER {
            return Err(ApiError::TooLarge { limit: MAX_ANSWER });
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

fn connection_error(error: &kube::Error) -> ApiError {
    if let kube::Error::Api(status) = error {
        return ApiError::Refused(Box::new(Status {
            code: status.code,
            reason: status.reason.clone(),
            message: status.message.clone(),
            details: Value::Null,
        }));
    }
    let text = chain(error);
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(hyper) = cause.downcast_ref::<hyper_util::client::legacy::Error>()
            && hyper.is_connect()
        {
            return ApiError::Unreachable(text);
        }
        source = cause.source();
    }
    ApiError::Ambiguous(text)
}

/// A pause that is up to half as long again, by what is asked for: those who were sent away together do not come back
/// together.
fn spread(pause: Duration, path: &str, attempt: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (path, attempt).hash(&mut hasher);
    // A remainder below 512 fits.
    let share = u32::try_from(hasher.finish() % 512).unwrap_or_default();
    pause + pause * share / 1024
}
