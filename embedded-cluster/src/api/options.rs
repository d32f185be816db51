//! The options in a write's query: field manager, dry run, field validation, force.
//!
//! In: a request. Out: checked options. No I/O. The checks are those of `metav1/validation`.

use serde_json::{Value, json};

use crate::answer::{About, ApiError, Cause};
use crate::request::{Request, Verb};

/// A field manager's name may be this long.
const MAX_MANAGER: usize = 128;

/// `fieldValidation`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validation {
    Ignore,
    Warn,
    Strict,
}

/// What is wrong with options of this kind (`CreateOptions`, ...).
pub(crate) fn refused(kind: &str, causes: Vec<Cause>) -> ApiError {
    ApiError::invalid(
        About {
            group: "meta.k8s.io",
            plural: "",
            kind,
            name: "",
        },
        causes,
    )
}

/// Checks the options of a write.
pub(crate) fn check(request: &Request) -> Result<(), ApiError> {
    let applies = request.content_type.starts_with("application/apply-patch");
    let kind = match request.verb {
        Verb::Create => "CreateOptions",
        Verb::Update => "UpdateOptions",
        Verb::Patch => "PatchOptions",
        _ => "DeleteOptions",
    };
    let mut causes = Vec::new();
    let manager = request.query.get("fieldManager").unwrap_or_default();
    if request.verb == Verb::Patch && applies && manager.is_empty() {
        causes.push(Cause::required("fieldManager", "is required for apply patch"));
    }
    if request.verb == Verb::Patch && !applies && request.query.get("force").is_some() {
        causes.push(Cause::forbidden(
            "force",
            "may not be specified for non-apply patch",
        ));
    }
    if manager.len() > MAX_MANAGER {
        causes.push(Cause::too_long("fieldManager", MAX_MANAGER));
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| c.is_control()) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        causes.push(Cause::invalid("fieldManager", &manager.into(), &why));
    }
    if let Some(dry_run) = request.query.get("dryRun").filter(|dry_run| *dry_run != "All") {
        causes.push(Cause::unsupported("dryRun", &json!([dry_run]), &["All"]));
    }
    if kind != "DeleteOptions"
        && let Some(other) = request.query.get("fieldValidation")
        && !matches!(other, "Ignore" | "Warn" | "Strict")
    {
        let value = Value::from(other);
        causes.push(Cause::unsupported(
            "fieldValidation",
            &value,
            &["", "Ignore", "Strict", "Warn"],
        ));
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(refused(kind, causes))
    }
}

/// How unknown fields are treated; a warning, if nothing is said.
pub(crate) fn validation(request: &Request) -> Validation {
    match request.query.get("fieldValidation") {
        Some("Strict") => Validation::Strict,
        Some("Ignore") => Validation::Ignore,
        _ => Validation::Warn,
    }
}
