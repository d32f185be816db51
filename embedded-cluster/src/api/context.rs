//! What the steps of a write need to know of it. No I/O.

use jiff::Timestamp;
use serde_json::Value;

use super::options::{self, Validation};
use crate::answer::ApiError;
use crate::request::Request;
use crate::resource::{Kind, split_api_version};

/// A write, apart from its content.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) now: Timestamp,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    pub(crate) manager: String,
    pub(crate) dry_run: bool,
    pub(crate) validation: Validation,
}

impl Context {
    pub(crate) fn of(request: &Request, now: Timestamp) -> Result<Self, ApiError> {
        options::check(request)?;
        Ok(Self {
            now,
            namespace: request.target.namespace.clone(),
            name: request.target.name.clone(),
            subresource: request.target.subresource.clone(),
            manager: request.manager(),
            dry_run: request.query.get("dryRun") == Some("All"),
            validation: options::validation(request),
        })
    }

    /// A write of a controller inside the cluster.
    pub(crate) fn internal(
        manager: &str,
        subresource: &str,
        namespace: &str,
        name: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            now,
            namespace: namespace.into(),
            name: name.into(),
            subresource: subresource.into(),
            manager: manager.into(),
            dry_run: false,
            validation: Validation::Ignore,
        }
    }
}

/// A body, and what it says twice.
pub(crate) struct Body {
    pub(crate) value: Value,
    pub(crate) twice: Vec<String>,
}

/// Reads a body: JSON, or YAML where the content type says so.
pub(crate) fn parse_body(request: &Request, kind: &Kind) -> Result<Body, ApiError> {
    if request.content_type.contains("protobuf") || request.content_type.contains("cbor") {
        return Err(ApiError::unsupported_media(
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml",
        ));
    }
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
        Err(error) if request.verb == crate::request::Verb::Patch => {
            Err(ApiError::bad_request(format!("error decoding patch: {error}")))
        }
        Err(error) => {
            let text = String::from_utf8_lossy(&request.body);
            let shown: String = if text.is_empty() {
                "<empty>".into()
            } else {
                text.chars().take(30).collect()
            };
            let more = if text.chars().count() > 30 { " ..." } else { "" };
            let error = if error.is_eof() {
                "unexpected end of JSON input".to_owned()
            } else {
                error.to_string()
            };
            Err(ApiError::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {error} ({shown}{more})",
                kind.kind
            )))
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
    if !version.is_empty() && version != kind.api_version() {
        let shown = if name.is_empty() { &kind.kind } else { name };
        return Err(ApiError::bad_request(if kind.custom.is_some() {
            format!(
                "the API version in the data ({version}) does not match the expected API version ({})",
                kind.api_version()
            )
        } else {
            format!(
                "{shown} in version {:?} cannot be handled as a {}: no kind {shown:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\"",
                split_api_version(version).1,
                kind.kind
            )
        }));
    }
    if !name.is_empty() && name != kind.kind {
        return Err(ApiError::bad_request(format!(
            "{name} in version {:?} cannot be handled as a {}: converting ({}.{name}) to ({}.{}): unknown conversion",
            kind.version,
            kind.kind,
            kind.version,
            kind.internal_group(),
            kind.kind
        )));
    }
    Ok(())
}
