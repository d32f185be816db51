//! SOPS trees as JSON, in the order of the text, and back as `sops` prints it. Pure.

use std::fmt;
use std::fmt::Write as _;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::SopsError;
use super::tree::{Item, Value};

/// Reads a JSON document whose top is an object.
pub(super) fn load(text: &str) -> Result<Value, SopsError> {
    let value: Value = serde_json::from_str(text).map_err(|error| SopsError::Syntax {
        format: "JSON",
        // The message of serde_json may quote the text, which can be a value that nobody encrypted.
        message: format!("{}:{}: not valid JSON", error.line(), error.column()),
    })?;
    match value {
        Value::Map(_) => Ok(value),
        _ => Err(SopsError::Syntax {
            format: "JSON",
            message: "the top has to be an object".to_owned(),
        }),
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Ordered)
    }
}

/// Keeps the order of keys, which the MAC covers; depth is bounded by serde_json.
struct Ordered;

impl<'de> Visitor<'de> for Ordered {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "as Go reads an integer beyond 64 bits with sign"
        )]
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some((key, value)) = access.next_entry()? {
            items.push(Item::Entry(key, value));
        }
        Ok(Value::Map(items))
    }
}

/// Prints a document as `sops` does: indented by tabs, with a newline at the end.
pub(super) fn emit(value: &Value) -> Result<String, SopsError> {
    let mut text = String::new();
    write_value(&mut text, value, Some(0))?;
    text.push('\n');
    Ok(text)
}

/// Prints a document on one line.
pub(super) fn emit_line(value: &Value) -> Result<String, SopsError> {
    let mut text = String::new();
    write_value(&mut text, value, None)?;
    Ok(text)
}

/// `depth` is the indentation, or `None` for everything on one line.
fn write_value(text: &mut String, value: &Value, depth: Option<usize>) -> Result<(), SopsError> {
    match value {
        Value::Null | Value::Comment(_) => text.push_str("null"),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        // Writing to a string cannot fail.
        Value::Int(number) => drop(write!(text, "{number}")),
        Value::Float(number) => text.push_str(&float(*number)),
        Value::Time(string) | Value::Text(string) => write_string(text, string),
        Value::Bytes(_) => return Err(SopsError::NotText),
        Value::Map(items) => {
            let entries = items.iter().filter_map(|item| match item {
                Item::Entry(key, value) => Some((Some(key.as_str()), value)),
                Item::Comment(_) => None,
            });
            write_block(text, ('{', '}'), entries, depth)?;
        }
        Value::List(items) => {
            let values = items.iter().filter(|item| !matches!(item, Value::Comment(_)));
            write_block(text, ('[', ']'), values.map(|value| (None, value)), depth)?;
        }
    }
    Ok(())
}

fn write_block<'a>(
    text: &mut String,
    (open, close): (char, char),
    entries: impl Iterator<Item = (Option<&'a str>, &'a Value)>,
    depth: Option<usize>,
) -> Result<(), SopsError> {
    let indented = |text: &mut String, levels: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n('\t', levels));
    };
    text.push(open);
    let mut empty = true;
    for (key, value) in entries {
        if !empty {
            text.push(',');
        }
        empty = false;
        if let Some(depth) = depth {
            indented(text, depth + 1);
        }
        if let Some(key) = key {
            write_string(text, key);
            text.push_str(": ");
        }
        write_value(text, value, depth.map(|depth| depth + 1))?;
    }
    if let Some(depth) = depth
        && !empty
    {
        indented(text, depth);
    }
    text.push(close);
    Ok(())
}

/// As Go's `encoding/json`: the five characters that HTML or JavaScript could trip over are escaped.
fn write_string(text: &mut String, string: &str) {
    let quoted = serde_json::Value::from(string).to_string();
    for c in quoted.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => drop(write!(text, "\\u{:04x}", u32::from(c))),
            other => text.push(other),
        }
    }
}

/// As Go's `encoding/json`: an exponent only for what is very small or very large.
fn float(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}
