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

/// A whole number in the query, as Go reads it.
pub(crate) fn whole_number(request: &Request, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = request.query.get(name) else {
        return Ok(None);
    };
    let refused = |_| ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
    text.parse().map(Some).map_err(refused)
}

/// Checks the options of a list or of a watch (`ValidateListOptions`).
pub(crate) fn check_list(request: &Request) -> Result<(), ApiError> {
    const MATCH: &str = "resourceVersionMatch";
    let option = |name: &str| request.query.get(name);
    let watches = request.verb == Verb::Watch;
    let initial = option("sendInitialEvents").is_some();
    let wanted = option(MATCH);
    let mut causes = Vec::new();
    let mut forbid = |field: &str, why: &str| causes.push(Cause::forbidden(field, why));
    if watches && initial && wanted != Some("NotOlderThan") {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        forbid(MATCH, why);
    }
    if watches && wanted.is_some() && !initial {
        let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        forbid(MATCH, why);
    }
    if !watches && wanted.is_some() && option("resourceVersion").is_none() {
        forbid(
            MATCH,
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        );
    }
    if wanted.is_some() && option("continue").is_some() {
        forbid(
            MATCH,
            "resourceVersionMatch is forbidden when continue is provided",
        );
    }
    if !watches && wanted == Some("Exact") && option("resourceVersion") == Some("0") {
        forbid(
            MATCH,
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        );
    }
    if !watches && initial {
        forbid("sendInitialEvents", "sendInitialEvents is forbidden for list");
    }
    let known: &[&str] = if watches {
        &["NotOlderThan"]
    } else {
        &["Exact", "NotOlderThan", ""]
    };
    if let Some(other) = wanted.filter(|wanted| !known.contains(wanted)) {
        causes.push(Cause::unsupported(MATCH, &other.into(), known));
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(refused("ListOptions", causes))
}
