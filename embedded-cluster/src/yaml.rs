//! YAML bodies, as kubectl sends them with server-side apply.
//!
//! In: YAML. Out: JSON. No I/O.

use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, from_str_with_options, options};

/// Reads one document. Of a key that is given twice the last value holds, and the second value is a note as
/// go-yaml writes it.
pub(crate) fn parse(text: &str) -> Result<(Value, Option<String>), String> {
    match serde_saphyr::from_str(text) {
        Ok(value) => Ok((value, None)),
        Err(error) => match second_key(error.without_snippet()) {
            Some(note) => {
                let options = options! { duplicate_keys: DuplicateKeyPolicy::LastWins };
                let value = from_str_with_options(text, options).map_err(|error| problem(&error))?;
                Ok((value, Some(note)))
            }
            None => Err(problem(&error)),
        },
    }
}

/// Where a key is given a second time, if that is all that is wrong.
fn second_key(error: &Error) -> Option<String> {
    let Error::DuplicateMappingKey { key, location } = error else {
        return None;
    };
    let key = key.as_deref().unwrap_or_default();
    Some(format!(
        "line {}: key {key:?} already set in map",
        location.line()
    ))
}

fn problem(error: &Error) -> String {
    let shown = error.to_string();
    let first = shown.lines().next().unwrap_or_default();
    // `error: line 1 column 5: what is wrong`
    first.splitn(3, ": ").nth(2).unwrap_or(first).to_owned()
}
