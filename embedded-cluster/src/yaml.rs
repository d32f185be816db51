//! YAML bodies, as kubectl sends them with server-side apply.
//!
//! In: YAML. Out: JSON. No I/O.

use serde_json::Value;

/// Reads one document.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}
