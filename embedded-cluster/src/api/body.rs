//! Bodies of requests, from any format that is read to values.
//!
//! In: bytes with their content type. Out: values of the kind that the path says. No I/O. What cannot be read is
//! refused in the words of k8s.io/apiserver and of the decoders below it.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::answer::{About, ApiError, Cause};
use crate::protobuf::{self, Undecodable};
use crate::request::{Request, Verb};
use crate::resource::{Kind, Registry, api_version, split_api_version};
use crate::schema::{builtin, from_json, json_kind};
use crate::{json, object, yaml};

/// How much of a body that is no object is shown.
const SHOWN: usize = 30;
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
/// What Go reads version and kind into.
const TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// A body, and what its text tells besides the value.
pub(crate) struct Body {
    pub(crate) value: Value,
    pub(crate) notes: Notes,
}

/// What the text of a body tells of its fields.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The paths of fields that JSON gives twice.
    pub(crate) twice: Vec<String>,
    /// A key that YAML gives twice: `line 6: key "a" already set in map`.
    pub(crate) in_yaml: Option<String>,
    /// JSON in whose order fields are complained about.
    pub(crate) text: Bytes,
}

/// Refuses a body in a format that is not read, and turns one in protobuf into JSON, so that nobody else has to know
/// of it.
pub(crate) fn as_json(request: &Request, kind: &Kind) -> Result<Option<Request>, ApiError> {
    let deletes = matches!(request.verb, Verb::Delete | Verb::DeleteCollection);
    let is_read =
        matches!(request.verb, Verb::Create | Verb::Update) || (deletes && !request.body.is_empty());
    if !is_read {
        // Patches have formats of their own.
        return Ok(None);
    }
    match media(&request.content_type).as_str() {
        "" | "application/json" | "application/yaml" => Ok(None),
        // Custom kinds have no messages.
        protobuf::MEDIA if kind.custom.is_none() => from_protobuf(request, kind, deletes).map(Some),
        _ => Err(ApiError::unsupported_media(
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

/// A content type without its parameters.
fn media(content_type: &str) -> String {
    let media = content_type.split(';').next().unwrap_or_default();
    media.trim().to_ascii_lowercase()
}

fn from_protobuf(request: &Request, kind: &Kind, deletes: bool) -> Result<Request, ApiError> {
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
    Ok(Request {
        content_type: "application/json".into(),
        body: super::render::bytes(&value).into(),
        ..request.clone()
    })
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

/// Reads the body of a create or an update: JSON, or YAML where the content type says so.
pub(crate) fn parse_body(request: &Request, kind: &Kind) -> Result<Body, ApiError> {
    let (_, expected) = expected(kind, &request.target.subresource);
    let refused = |why: &str| unrecognized(expected, why, &request.body);
    let mut body = read(request).map_err(|why| refused(&why.of_an_object()))?;
    let missing = || {
        let text = String::from_utf8_lossy(&request.body);
        refused(&format!("Object 'Kind' is missing in '{text}'"))
    };
    if body.value.is_null() {
        if kind.custom.is_some() {
            return Err(missing());
        }
        body.value = Value::Object(Map::new());
    }
    if let Some(why) = type_problem(&body.value) {
        return Err(refused(&why));
    }
    if kind.custom.is_some() && object::text(&body.value, &["kind"]).is_empty() {
        return Err(missing());
    }
    Ok(body)
}

/// Reads the options of a deletion; null if there is no body.
pub(crate) fn parse_options(request: &Request) -> Result<Value, ApiError> {
    if request.body.is_empty() {
        return Ok(Value::Null);
    }
    let body = read(request).map_err(|why| ApiError::bad_request(why.of_an_object()))?;
    let value = body.value;
    if value.is_null() {
        return Ok(value);
    }
    if let Some(why) = type_problem(&value) {
        return Err(ApiError::bad_request(why));
    }
    let name = object::text(&value, &["kind"]);
    if !name.is_empty() && name != "DeleteOptions" {
        let version = object::text(&value, &["apiVersion"]);
        return Err(ApiError::bad_request(not_registered(name, version)));
    }
    match builtin(DELETE_OPTIONS).and_then(|root| from_json(&value, root.view())) {
        Some(why) => Err(ApiError::bad_request(why)),
        None => Ok(value),
    }
}

/// Reads the body of a patch. What is wrong is told after the context.
pub(crate) fn parse_patch(request: &Request, context: &str) -> Result<Body, ApiError> {
    let (value, twice) =
        json::parse(&request.body).map_err(|why| ApiError::bad_request(format!("{context}{why}")))?;
    let notes = Notes {
        twice,
        ..Notes::default()
    };
    Ok(Body { value, notes })
}

/// Reads an applied configuration, which is YAML or JSON.
pub(crate) fn parse_applied(request: &Request) -> Result<Body, ApiError> {
    let mut body = read_yaml(&request.body).map_err(|why| {
        ApiError::bad_request(format!(
            "error decoding YAML: error converting YAML to JSON: yaml: {why}"
        ))
    })?;
    if body.value.is_null() {
        body.value = Value::Object(Map::new());
    }
    match json_kind(&body.value) {
        "object" => Ok(body),
        got => Err(ApiError::bad_request(format!(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {got} into Go value of type map[string]interface {{}}"
        ))),
    }
}

/// Why a text is no value.
enum Unreadable {
    Json(String),
    Yaml(String),
}

impl Unreadable {
    fn of_an_object(self) -> String {
        match self {
            Self::Json(why) => format!("couldn't get version/kind; json parse error: {why}"),
            Self::Yaml(why) => format!("yaml: {why}"),
        }
    }
}

fn read(request: &Request) -> Result<Body, Unreadable> {
    if media(&request.content_type) == "application/yaml" {
        return read_yaml(&request.body).map_err(Unreadable::Yaml);
    }
    let (value, twice) = json::parse(&request.body).map_err(Unreadable::Json)?;
    let notes = Notes {
        twice,
        text: request.body.clone(),
        ..Notes::default()
    };
    Ok(Body { value, notes })
}

/// Reads YAML; JSON, which is YAML too, is read faster as what it is.
fn read_yaml(body: &[u8]) -> Result<Body, String> {
    if let Ok((value, twice)) = json::parse(body)
        && twice.is_empty()
    {
        let notes = Notes::default();
        return Ok(Body { value, notes });
    }
    let text = String::from_utf8_lossy(body);
    let (value, in_yaml) = match text.trim() {
        "" => (Value::Null, None),
        _ => yaml::parse(&text)?,
    };
    let notes = Notes {
        in_yaml,
        ..Notes::default()
    };
    Ok(Body { value, notes })
}

/// Why version and kind cannot be told.
fn type_problem(value: &Value) -> Option<String> {
    let parse_error = |why: &str| {
        Some(format!(
            "couldn't get version/kind; json parse error: json: {why}"
        ))
    };
    if !value.is_object() {
        let got = json_kind(value);
        return parse_error(&format!(
            "cannot unmarshal {got} into Go value of type {TYPE_META}"
        ));
    }
    for field in ["apiVersion", "kind"] {
        match value.get(field) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => {
                let got = json_kind(other);
                return parse_error(&format!(
                    "cannot unmarshal {got} into Go struct field .{field} of type string"
                ));
            }
        }
    }
    let version = object::text(value, &["apiVersion"]);
    (version.matches('/').count() > 1).then(|| format!("unexpected GroupVersion string: {version}"))
}

fn not_registered(name: &str, version: &str) -> String {
    format!("no kind {name:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\"")
}

/// Checks that a body is of the kind that its path says. Those of built-in kinds may leave out what they are.
pub(crate) fn check_type(value: &Value, kind: &Kind) -> Result<(), ApiError> {
    let (version, name) = (
        object::text(value, &["apiVersion"]),
        object::text(value, &["kind"]),
    );
    if kind.custom.is_some() {
        return check_custom(value, version, name, kind);
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
        not_registered(name, &version)
    };
    Err(misfit(&version, name, &kind.kind, &why))
}

fn check_custom(value: &Value, version: &str, name: &str, kind: &Kind) -> Result<(), ApiError> {
    if version != kind.api_version() {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            kind.api_version()
        )));
    }
    if name == kind.kind {
        return Ok(());
    }
    let cause = Cause::invalid("kind", &name.into(), &format!("must be {}", kind.kind));
    let about = About {
        kind: name,
        ..kind.about(object::meta(value, "name"))
    };
    Err(ApiError::invalid(about, vec![cause]))
}
