//! What the steps of a write need to know of it. No I/O.

use jiff::Timestamp;
use serde_json::Value;

use crate::answer::ApiError;
use crate::request::Request;
use crate::resource::Kind;

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

/// `fieldValidation`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validation {
    Ignore,
    Warn,
    Strict,
}

impl Context {
    pub(crate) fn of(request: &Request, now: Timestamp) -> Result<Self, ApiError> {
        let validation = match request.query.get("fieldValidation") {
            Some("Strict") => Validation::Strict,
            Some("Ignore") => Validation::Ignore,
            None | Some("Warn") => Validation::Warn,
            Some(other) => {
                return Err(ApiError::new(
                    422,
                    "Invalid",
                    format!(
                        "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
                    ),
                ));
            }
        };
        Ok(Self {
            now,
            namespace: request.target.namespace.clone(),
            name: request.target.name.clone(),
            subresource: request.target.subresource.clone(),
            manager: request.manager(),
            dry_run: request.dry_run()?,
            validation,
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

/// Reads a body: JSON, or YAML where the content type says so.
pub(crate) fn parse_body(request: &Request) -> Result<Value, ApiError> {
    if request.content_type.contains("protobuf") || request.content_type.contains("cbor") {
        return Err(ApiError::unsupported_media(
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml",
        ));
    }
    let is_yaml = request.content_type.contains("yaml");
    let parsed: Result<Value, String> = match serde_json::from_slice(&request.body) {
        Ok(value) => Ok(value),
        Err(_) if is_yaml => {
            let text = std::str::from_utf8(&request.body)
                .map_err(|error| ApiError::bad_request(error.to_string()))?;
            crate::yaml::parse(text)
        }
        Err(error) => Err(error.to_string()),
    };
    parsed.map_err(|error| ApiError::bad_request(format!("error decoding: {error}")))
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
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            kind.api_version()
        )));
    }
    if !name.is_empty() && name != kind.kind {
        return Err(ApiError::bad_request(format!(
            "{name} in version {:?} cannot be handled as a {}: converting ({name}) to ({}): unknown conversion",
            kind.version, kind.kind, kind.kind
        )));
    }
    Ok(())
}
