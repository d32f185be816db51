//! Bodies of requests, from any format that is read to values.
//!
//! In: bytes with their content type. Out: values of the kind that the path says. No I/O.

use serde_json::Value;

use crate::answer::ApiError;
use crate::protobuf::{self, Undecodable};
use crate::request::{Request, Verb};
use crate::resource::{Kind, Registry, api_version, split_api_version};

/// How much of a body that is no object is shown.
const SHOWN: usize = 30;

/// Turns a body in protobuf into JSON, so that nobody else has to know of it.
pub(crate) fn as_json(request: &Request, kind: &Kind) -> Result<Option<Request>, ApiError> {
    // Patches are read in formats of their own only, and custom kinds have no messages.
    let is_read = !matches!(request.verb, Verb::Patch) && kind.custom.is_none();
    if !is_read || !protobuf::is_media(&request.content_type) {
        return Ok(None);
    }
    let deletes = matches!(request.verb, Verb::Delete | Verb::DeleteCollection);
    if deletes && request.body.is_empty() {
        return Ok(None);
    }
    let (version, name) = if deletes {
        (kind.api_version(), "DeleteOptions")
    } else {
        expected(kind, &request.target.subresource)
    };
    let value = protobuf::to_json(&request.body, (&version, name)).map_err(|error| match error {
        Undecodable::Envelope(why) | Undecodable::Content { why, .. } if deletes => {
            ApiError::bad_request(why)
        }
        Undecodable::Envelope(why) => unrecognized(name, &why, &request.body),
        Undecodable::Content {
            api_version,
            kind,
            why,
        } => misfit(&api_version, &kind, name, &why),
    })?;
    Ok(Some(Request {
        content_type: "application/json".into(),
        body: super::render::bytes(&value).into(),
        ..request.clone()
    }))
}

/// Version and name of the kind that a path takes.
fn expected<'a>(kind: &'a Kind, subresource: &str) -> (String, &'a str) {
    match kind.subresource(subresource) {
        Some(sub) if !sub.kind.is_empty() && !sub.version.is_empty() => {
            (api_version(&sub.group, &sub.version), &sub.kind)
        }
        Some(sub) if !sub.kind.is_empty() => (kind.api_version(), &sub.kind),
        _ => (kind.api_version(), &kind.kind),
    }
}

/// A body of which not even the kind can be told.
fn unrecognized(expected: &str, why: &str, body: &[u8]) -> ApiError {
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {expected}): {why} ({})",
        summary(body)
    ))
}

/// A body that says its kind and cannot be read as the expected one.
fn misfit(api_version: &str, kind: &str, expected: &str, why: &str) -> ApiError {
    ApiError::bad_request(format!(
        "{kind} in version {:?} cannot be handled as a {expected}: {why}",
        split_api_version(api_version).1
    ))
}

/// The beginning of a body: as text if it looks like JSON, otherwise its bytes.
fn summary(body: &[u8]) -> String {
    use std::fmt::Write as _;
    let Some(first) = body.first() else {
        return "<empty>".into();
    };
    let shown = body.get(..SHOWN).unwrap_or(body);
    let mut out = String::new();
    if *first == b'{' {
        out.push_str(&String::from_utf8_lossy(shown));
    } else {
        for byte in shown {
            // Writing to a String does not fail.
            let _ = write!(out, "{byte:02x}");
        }
    }
    if shown.len() < body.len() {
        out.push_str(" ...");
    }
    out
}

/// A body, and what it says twice.
pub(crate) struct Body {
    pub(crate) value: Value,
    pub(crate) twice: Vec<String>,
}

/// Reads a body: JSON, or YAML where the content type says so.
pub(crate) fn parse_body(request: &Request, kind: &Kind) -> Result<Body, ApiError> {
    let applies = request.content_type.starts_with("application/apply-patch");
    match crate::json::parse(&request.body) {
        Ok((value, twice)) => Ok(Body { value, twice }),
        Err(_) if request.content_type.contains("yaml") => {
            let text = std::str::from_utf8(&request.body)
                .map_err(|error| ApiError::bad_request(error.to_string()))?;
            let refused = |error| {
                let context = if applies {
                    "error decoding YAML: error converting YAML to JSON: yaml: "
                } else {
                    "yaml: "
                };
                ApiError::bad_request(format!("{context}{error}"))
            };
            Ok(Body {
                value: crate::yaml::parse(text).map_err(refused)?,
                twice: Vec::new(),
            })
        }
        Err(error) if request.verb == Verb::Patch => {
            Err(ApiError::bad_request(format!("error decoding patch: {error}")))
        }
        Err(error) => {
            let error = if error.is_eof() {
                "unexpected end of JSON input".to_owned()
            } else {
                error.to_string()
            };
            let why = format!("couldn't get version/kind; json parse error: {error}");
            Err(unrecognized(
                expected(kind, &request.target.subresource).1,
                &why,
                &request.body,
            ))
        }
    }
}

/// Checks that a body is of the kind that its path says.
pub(crate) fn check_type(value: &Value, kind: &Kind) -> Result<(), ApiError> {
    let version = value
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let name = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    if !value.is_object() {
        return Err(ApiError::bad_request(
            "couldn't get version/kind; json parse error: the body is not an object",
        ));
    }
    if name.is_empty() && kind.custom.is_some() {
        return Err(ApiError::bad_request("Object 'Kind' is missing in the body"));
    }
    if kind.custom.is_some() && !version.is_empty() && version != kind.api_version() {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            kind.api_version()
        )));
    }
    let version = if version.is_empty() {
        kind.api_version()
    } else {
        version.into()
    };
    let name = if name.is_empty() { &kind.kind } else { name };
    if version == kind.api_version() && *name == kind.kind {
        return Ok(());
    }
    let (group, number) = split_api_version(&version);
    let why = if Registry::is_builtin(group, number, name) {
        format!(
            "converting ({number}.{name}) to ({}.{}): unknown conversion",
            kind.internal_group(),
            kind.kind
        )
    } else {
        format!(
            "no kind {name:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\""
        )
    };
    Err(misfit(&version, name, &kind.kind, &why))
}
