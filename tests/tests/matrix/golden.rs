//! Recorded answers of upstream's API server: one file for each topic. Does I/O (files).

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::play::Answer;

/// Values that fit into this are written on one line.
const WIDTH: usize = 110;

fn path(topic: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/matrix/goldens")
        .join(format!("{topic}.json"))
}

/// Writes the answers of a topic, case by case.
pub(crate) fn write(topic: &str, cases: &[(&str, Vec<Answer>)]) {
    let cases: Vec<String> = cases
        .iter()
        .map(|(name, answers)| written(name, answers))
        .collect();
    std::fs::create_dir_all(path(topic).parent().unwrap()).unwrap();
    std::fs::write(path(topic), format!("[\n{}\n]\n", cases.join(",\n"))).unwrap();
}

/// A case, with the sentence before what it says.
fn written(name: &str, answers: &[Answer]) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let rows: Vec<String> = answers
        .iter()
        .map(|answer| {
            let (row, request) = (text(&answer.row), text(&answer.request));
            let mut out = format!("  {{\"row\": {row},\n   \"request\": {request},\n   \"answer\": ");
            pretty(&answer.answer, 2, &mut out);
            out.push('}');
            out
        })
        .collect();
    format!(
        "{{\"case\": {}, \"rows\": [\n{}\n]}}",
        text(name),
        rows.join(",\n")
    )
}

/// The recorded answers of a case; none if it was not recorded.
pub(crate) fn read(topic: &str) -> Map<String, Value> {
    let Ok(text) = std::fs::read_to_string(path(topic)) else {
        return Map::new();
    };
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    cases
        .into_iter()
        .map(|case| {
            (
                case["case"].as_str().unwrap_or_default().to_owned(),
                case["rows"].clone(),
            )
        })
        .collect()
}

/// Writes JSON so that a change is a short difference, and an object a few lines.
fn pretty(value: &Value, depth: usize, out: &mut String) {
    let short = value.to_string();
    if short.len() + 2 * depth <= WIDTH || !(value.is_array() || value.is_object()) {
        out.push_str(&short);
        return;
    }
    let indent = "  ".repeat(depth + 1);
    let mut first = true;
    let mut next = |out: &mut String| {
        out.push_str(if first { "\n" } else { ",\n" });
        out.push_str(&indent);
        first = false;
    };
    match value {
        Value::Array(items) => {
            out.push('[');
            for item in items {
                next(out);
                pretty(item, depth + 1, out);
            }
        }
        Value::Object(fields) => {
            out.push('{');
            for (name, field) in fields {
                next(out);
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push_str(": ");
                pretty(field, depth + 1, out);
            }
        }
        _ => {}
    }
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
    out.push(if value.is_array() { ']' } else { '}' });
}
