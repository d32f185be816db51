//! Kubernetes' error answers: `Status` objects with reason, causes and code.
//!
//! In: what went wrong. Out: a body. No I/O. The words are those of k8s.io/apimachinery's `api/errors`.

use serde_json::{Map, Value, json};

/// A refused request, as a client will read it.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// The HTTP status code.
    pub code: u16,
    /// Kubernetes' reason, a CamelCase word; empty if it has none.
    pub reason: &'static str,
    /// The whole message.
    pub message: String,
    /// `details` of the Status, if any.
    pub details: Option<Box<Details>>,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for ApiError {}

/// The `details` of a Status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// The API group.
    pub group: String,
    /// The kind or the plural name, as upstream fills it in.
    pub kind: String,
    /// The object's uid.
    pub uid: String,
    /// What exactly is wrong.
    pub causes: Vec<Cause>,
    /// After how many seconds a client may try again.
    pub retry_after_seconds: u32,
    /// Where a list may go on that could not be continued; it is told in the Status' metadata, and nothing else is.
    pub next: String,
}

/// One reason among several why an object is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cause {
    /// For example `FieldValueRequired`.
    pub reason: &'static str,
    /// Message without the field.
    pub message: String,
    /// Path of the field, for example `spec.replicas`.
    pub field: String,
}

impl Cause {
    /// The one-line form that is joined into a Status' message.
    fn line(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }

    /// A field that has to be given and is not. `more` may be empty.
    pub(crate) fn required(field: impl Into<String>, more: &str) -> Self {
        let message = if more.is_empty() {
            "Required value".into()
        } else {
            format!("Required value: {more}")
        };
        Self {
            reason: "FieldValueRequired",
            message,
            field: field.into(),
        }
    }

    /// A value that is not allowed.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        let message = format!("Invalid value: {}: {why}", shown(value));
        Self {
            reason: "FieldValueInvalid",
            message,
            field: field.into(),
        }
    }

    /// A value outside a closed list.
    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, allowed: &[&str]) -> Self {
        let allowed: Vec<String> = allowed.iter().map(|word| format!("{word:?}")).collect();
        let message = format!(
            "Unsupported value: {}: supported values: {}",
            shown(value),
            allowed.join(", ")
        );
        Self {
            reason: "FieldValueNotSupported",
            message,
            field: field.into(),
        }
    }

    /// A text or list of more than `most` bytes.
    pub(crate) fn too_long(field: impl Into<String>, most: usize) -> Self {
        let message = format!("Too long: may not be more than {most} bytes");
        Self {
            reason: "FieldValueTooLong",
            message,
            field: field.into(),
        }
    }

    /// A field that may not be set in this place.
    pub(crate) fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            message: format!("Forbidden: {why}"),
            field: field.into(),
        }
    }

    /// An element that occurs twice.
    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            message: format!("Duplicate value: {}", shown(value)),
            field: field.into(),
        }
    }

    /// A reference to something that is not there.
    pub(crate) fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueNotFound",
            message: format!("Not found: {}", shown(value)),
            field: field.into(),
        }
    }

    /// A value of the wrong type (CRDs).
    pub(crate) fn wrong_type(field: impl Into<String>, value: &Value, why: &str) -> Self {
        let message = format!("Invalid value: {}: {why}", shown(value));
        Self {
            reason: "FieldValueTypeInvalid",
            message,
            field: field.into(),
        }
    }
}

/// A value as Go's `field.Error` prints it: scalars as they are, everything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Null => "null".into(),
        other => other.to_string(),
    }
}

/// What an error is about: group, kind or plural name, object name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) group: &'a str,
    pub(crate) plural: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
}

impl About<'_> {
    /// `deployments.apps`, or `pods` in the core group.
    fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.into()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    fn kind_group(&self) -> String {
        if self.group.is_empty() {
            self.kind.into()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    fn details(&self) -> Details {
        Details {
            name: self.name.into(),
            group: self.group.into(),
            kind: self.plural.into(),
            ..Details::default()
        }
    }
}

/// Marks an error that is answered without a Status.
const NOT_A_PAGE: &str = "PageNotFound";

impl ApiError {
    /// An error without details.
    #[must_use]
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
        }
    }

    /// The same with a token to go on with.
    pub(crate) fn with_continue(self, token: String) -> Self {
        let details = Details {
            next: token,
            ..Details::default()
        };
        Self {
            details: Some(Box::new(details)),
            ..self
        }
    }

    /// 400: the request cannot be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 500 without a reason: an error upstream does not classify.
    pub(crate) fn unclassified(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// 500: something the server itself cannot do.
    pub(crate) fn internal(what: &str) -> Self {
        let cause = Cause {
            reason: "",
            message: what.into(),
            field: String::new(),
        };
        let details = Details {
            causes: vec![cause],
            ..Details::default()
        };
        let message = format!("Internal error occurred: {what}");
        Self {
            details: Some(Box::new(details)),
            ..Self::new(500, "InternalError", message)
        }
    }

    /// 404 for an object.
    pub(crate) fn not_found(about: About<'_>) -> Self {
        let message = format!("{} {:?} not found", about.resource(), about.name);
        Self {
            details: Some(Box::new(about.details())),
            ..Self::new(404, "NotFound", message)
        }
    }

    /// 404 for a path that no resource serves.
    pub(crate) fn no_such_path() -> Self {
        let details = Details::default();
        let message = "the server could not find the requested resource";
        Self {
            details: Some(Box::new(details)),
            ..Self::new(404, "NotFound", message)
        }
    }

    /// 404 in plain text, for paths outside all served groups.
    pub(crate) fn not_a_page() -> Self {
        Self::new(404, NOT_A_PAGE, "404 page not found")
    }

    /// Whether it is answered in plain text, without a Status.
    pub(crate) fn is_plain(&self) -> bool {
        self.reason == NOT_A_PAGE
    }

    /// 405: a verb that this resource does not have.
    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self {
            details: Some(Box::default()),
            ..Self::new(405, "MethodNotAllowed", message)
        }
    }

    /// 409: the object is there already.
    pub(crate) fn already_exists(about: About<'_>) -> Self {
        let message = format!("{} {:?} already exists", about.resource(), about.name);
        Self {
            details: Some(Box::new(about.details())),
            ..Self::new(409, "AlreadyExists", message)
        }
    }

    /// 409: something changed in between.
    pub(crate) fn conflict(about: About<'_>, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {:?}: {why}",
            about.resource(),
            about.name
        );
        Self {
            details: Some(Box::new(about.details())),
            ..Self::new(409, "Conflict", message)
        }
    }

    /// 409 of an update with an old resourceVersion.
    pub(crate) fn stale(about: About<'_>) -> Self {
        Self::conflict(
            about,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 422: the object breaks rules.
    pub(crate) fn invalid(about: About<'_>, causes: Vec<Cause>) -> Self {
        let mut lines: Vec<String> = Vec::with_capacity(causes.len());
        for cause in &causes {
            let line = cause.line();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let joined = match lines.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {:?} is invalid: {joined}", about.kind_group(), about.name);
        let details = Details {
            kind: about.kind.into(),
            causes: if mutated!(CausesMissing) {
                Vec::new()
            } else {
                causes
            },
            ..about.details()
        };
        Self {
            details: Some(Box::new(details)),
            ..Self::new(422, "Invalid", message)
        }
    }

    /// 403 with upstream's wording.
    pub(crate) fn forbidden(about: About<'_>, why: &str) -> Self {
        let message = format!("{} {:?} is forbidden: {why}", about.resource(), about.name);
        Self {
            details: Some(Box::new(about.details())),
            ..Self::new(403, "Forbidden", message)
        }
    }

    /// 409 of a server-side apply.
    pub(crate) fn apply_conflict(message: String, causes: Vec<Cause>) -> Self {
        let details = Details {
            causes,
            ..Details::default()
        };
        Self {
            details: Some(Box::new(details)),
            ..Self::new(409, "Conflict", message)
        }
    }

    /// 410: a resourceVersion or continue token from before the history.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 415: a body in a format that is not read.
    pub(crate) fn unsupported_media(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// The Status object.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        let Some(fields) = status.as_object_mut() else {
            return status;
        };
        if !self.reason.is_empty() {
            fields.insert("reason".into(), self.reason.into());
        }
        if let Some(details) = self.details.as_ref().filter(|details| !details.next.is_empty()) {
            fields.insert("metadata".into(), json!({"continue": details.next}));
        } else if let Some(details) = &self.details {
            fields.insert("details".into(), Value::Object(details.body()));
        }
        status
    }
}

impl Details {
    fn body(&self) -> Map<String, Value> {
        let mut out = Map::new();
        let texts = [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.kind),
            ("uid", &self.uid),
        ];
        for (key, text) in texts {
            if !text.is_empty() {
                out.insert(key.into(), text.as_str().into());
            }
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(|cause| {
                let mut one = Map::new();
                if !cause.reason.is_empty() {
                    one.insert("reason".into(), cause.reason.into());
                }
                one.insert("message".into(), cause.message.as_str().into());
                if !cause.field.is_empty() {
                    one.insert("field".into(), cause.field.as_str().into());
                }
                Value::Object(one)
            });
            out.insert("causes".into(), causes.collect());
        }
        if self.retry_after_seconds > 0 {
            out.insert("retryAfterSeconds".into(), self.retry_after_seconds.into());
        }
        out
    }
}
