//! What is complained about in a body that can be read: fields that are not known, fields given twice.
//!
//! In: a value with notes on its text. Out: complaints in upstream's words and order. No I/O.

use serde_json::Value;

use super::body::Notes;
use crate::json;
use crate::resource::Kind;
use crate::schema::find_unknown;

/// Complaints about a body of this kind.
pub(crate) fn of(value: &Value, notes: &Notes, kind: &Kind) -> Vec<String> {
    let unknown = find_unknown(value, kind.root.view());
    // Go's decoder of built-in types goes through the text once, and skips a field that it does not know whole.
    let skipped =
        |path: &str| kind.custom.is_none() && unknown.iter().any(|skipped| is_at_or_below(path, skipped));
    let twice = notes.twice.iter().filter(|path| !skipped(path));
    let mut found: Vec<(&str, &str)> = twice.map(|path| (path.as_str(), "duplicate")).collect();
    found.extend(unknown.iter().map(|path| (path.as_str(), "unknown")));
    if kind.custom.is_none() && found.len() > 1 && !notes.text.is_empty() {
        let order = json::order(&notes.text);
        found.sort_by_key(|(path, _)| order.iter().position(|known| known == path));
    }
    let lines = found
        .into_iter()
        .map(|(path, what)| format!("{what} field {path:?}"));
    notes.in_yaml.iter().cloned().chain(lines).collect()
}

/// The same in the one message of a strict decoder.
pub(crate) fn joined(complaints: &[String], notes: &Notes) -> String {
    let mut joined = complaints.join(", ");
    if notes.in_yaml.is_some() {
        joined.insert_str(0, "yaml: unmarshal errors:\n  ");
    }
    joined
}

fn is_at_or_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
