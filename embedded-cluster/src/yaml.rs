//! YAML bodies, as kubectl sends them with server-side apply.
//!
//! In: YAML. Out: JSON. No I/O.

use serde_json::Value;

/// Reads one document.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let shown = error.to_string();
        let first = shown.lines().next().unwrap_or_default();
        // `error: line 1 column 5: what is wrong`
        first.splitn(3, ": ").nth(2).unwrap_or(first).to_owned()
    })
}
