//! Whether values can be read into the Go types of built-in kinds, in the words of Go's decoders.
//!
//! In: an object and its type. Out: the first value that cannot be read. No I/O. Bodies are read as JSON
//! (`encoding/json`); what an apply merged is read from maps (k8s.io/apimachinery's `FromUnstructured`), which
//! takes numbers that JSON does not.

use base64::Engine as _;
use jiff::civil::Date;
use serde_json::Value;

use super::{Scalar, Shape, Type};
use crate::quantity;

/// What `encoding/json` says of a body.
pub(crate) fn from_json(value: &Value, of: Type<'_>) -> Option<String> {
    let holder = of.node.name.as_deref().unwrap_or_default();
    misfit(value, of, holder, &mut String::new())
}

/// What `FromUnstructured` says of a merged object that fits its schema; numbers become what it makes of them.
pub(crate) fn from_unstructured(value: &mut Value, of: Type<'_>) -> Option<String> {
    match (of.shape(), value) {
        (_, Value::Null) | (Shape::Deduced | Shape::Untyped, _) => None,
        (Shape::Map(_), Value::Object(entries)) => entries.iter_mut().find_map(|(name, entry)| {
            let type_ = of.entry(name)?;
            // Go has no null among the texts of a map.
            if entry.is_null() && !of.declares(name) && matches!(type_.shape(), Shape::Scalar(Scalar::Text)) {
                *entry = "".into();
            }
            from_unstructured(entry, type_)
        }),
        (Shape::List(_), Value::Array(items)) => {
            let element = of.element();
            items.iter_mut().find_map(|item| from_unstructured(item, element))
        }
        (Shape::Scalar(Scalar::Bytes), Value::String(text)) => {
            bad_base64(text).map(|why| format!("error decoding from json: {why}"))
        }
        (Shape::Scalar(scalar @ (Scalar::Text | Scalar::Bytes | Scalar::Boolean)), Value::Number(number)) => {
            let from = if number.is_f64() { "float64" } else { "int64" };
            Some(format!("cannot convert {from} to {}", scalar.go_name()))
        }
        (Shape::Map(_), Value::Array(_)) => Some("cannot restore map from slice".into()),
        (Shape::Scalar(scalar), value) if scalar.is_integer() => whole(*scalar, value),
        (Shape::Scalar(scalar), value) => refused_by_type(*scalar, value),
        _ => None,
    }
}

/// Integers are cut to the size of the field, and floats without a fraction are taken.
fn whole(scalar: Scalar, value: &mut Value) -> Option<String> {
    let exact = value.as_f64().filter(|number| number.trunc() == *number);
    let Some(number) = value.as_i64().or(exact.map(|number| number as i64)) else {
        return Some(format!("cannot convert float64 to {}", scalar.go_name()));
    };
    *value = match scalar {
        Scalar::Integer32 => (number as i32).into(),
        _ => number.into(),
    };
    None
}

fn misfit(value: &Value, of: Type<'_>, holder: &str, path: &mut String) -> Option<String> {
    let expected = match (of.shape(), value) {
        (_, Value::Null) | (Shape::Deduced | Shape::Untyped, _) => return None,
        (Shape::Map(_), Value::Object(entries)) => {
            let holder = of.node.name.as_deref().unwrap_or(holder);
            return entries.iter().find_map(|(name, entry)| {
                let length = path.len();
                // Go names the map, not its entry.
                if of.declares(name) {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
                let found = misfit(entry, of.entry(name)?, holder, path);
                path.truncate(length);
                found
            });
        }
        (Shape::List(_), Value::Array(items)) => {
            return items
                .iter()
                .find_map(|item| misfit(item, of.element(), holder, path));
        }
        (Shape::Scalar(Scalar::Bytes), Value::String(text)) => return bad_base64(text),
        (Shape::Scalar(scalar), value) if scalar.reads_itself() => {
            // Go adds the field that it was reading.
            let field = format!("Go struct field {holder}.{path} of type");
            let refused = refused_by_type(*scalar, value);
            return refused.map(|why| why.replace("Go value of type", &field));
        }
        (Shape::Scalar(scalar), value) if scalar.accepts(value) => return None,
        (Shape::Map(map), _) if map.fields.is_empty() => "map[string]string".to_owned(),
        (Shape::Map(_), _) => format!("v1.{}", of.node.name.as_deref().unwrap_or_default()),
        (Shape::List(_), _) => match of.element().node.name.as_deref() {
            Some(name) => format!("[]v1.{name}"),
            None => "[]string".to_owned(),
        },
        (Shape::Scalar(scalar), _) => scalar.go_name().to_owned(),
    };
    let got = match (of.shape(), value) {
        (Shape::Scalar(scalar), Value::Number(number)) if scalar.is_integer() => format!("number {number}"),
        _ => json_kind(value).to_owned(),
    };
    Some(format!(
        "json: cannot unmarshal {got} into Go struct field {holder}.{path} of type {expected}"
    ))
}

/// What a type says that has a decoder of its own; it does not know the field it is read for.
fn refused_by_type(scalar: Scalar, value: &Value) -> Option<String> {
    let into = |got: &str, type_: &str| format!("json: cannot unmarshal {got} into Go value of type {type_}");
    match (scalar, value) {
        (Scalar::Quantity, _) => quantity::problem(value).map(ToOwned::to_owned),
        (Scalar::IntOrString, Value::Number(number)) => {
            (!Scalar::Integer32.accepts(value)).then(|| into(&format!("number {number}"), "int32"))
        }
        (Scalar::IntOrString, Value::String(_)) => None,
        (Scalar::IntOrString, _) => Some(into(json_kind(value), "int32")),
        (Scalar::Time, Value::String(text)) => bad_time(text),
        (Scalar::Time, _) => Some(into(json_kind(value), "string")),
        _ => None,
    }
}

/// What Go calls the type of a JSON value.
pub(crate) fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Array(_) => "array",
        Value::Object(_) | Value::Null => "object",
    }
}

fn bad_base64(text: &str) -> Option<String> {
    // Go reads over line ends, and counts them.
    let refused = base64::engine::general_purpose::STANDARD
        .decode(text.replace(['\r', '\n'], ""))
        .err()?;
    let at = match refused {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
        _ => text.len() / 4 * 4,
    };
    Some(format!("illegal base64 data at input byte {at}"))
}

/// What `time.Parse` says of a text that is not RFC 3339.
fn bad_time(text: &str) -> Option<String> {
    let refused = |what: &str| Some(format!("parsing time {text:?}{what}"));
    let cannot = |rest: &str, part: &str| {
        refused(&format!(
            " as \"2006-01-02T15:04:05Z07:00\": cannot parse {rest:?} as {part:?}"
        ))
    };
    let mut rest = text;
    let mut numbers = [0_i16; 6];
    let parts = [
        ("", "2006"),
        ("-", "01"),
        ("-", "02"),
        ("T", "15"),
        (":", "04"),
        (":", "05"),
    ];
    for (number, (sign, part)) in numbers.iter_mut().zip(parts) {
        let Some(after) = rest.strip_prefix(sign) else {
            return cannot(rest, sign);
        };
        rest = after;
        let digits = rest
            .get(..part.len())
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(read) = digits.and_then(|digits| digits.parse().ok()) else {
            return cannot(rest, part);
        };
        *number = read;
        rest = rest.get(part.len()..).unwrap_or_default();
    }
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    if rest != "Z" && !is_offset(rest) {
        return cannot(rest, "Z07:00");
    }
    let [year, month, day, hour, minute, second] = numbers;
    let small = |number: i16| i8::try_from(number).unwrap_or(-1);
    match () {
        () if !(1..=12).contains(&month) => refused(": month out of range"),
        () if hour > 23 => refused(": hour out of range"),
        () if minute > 59 => refused(": minute out of range"),
        () if second > 59 => refused(": second out of range"),
        () if Date::new(year, small(month), small(day)).is_err() => refused(": day out of range"),
        () => None,
    }
}

/// `+01:00`
fn is_offset(text: &str) -> bool {
    let digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    text.len() == 6
        && text.starts_with(['+', '-'])
        && text.get(3..4) == Some(":")
        && [1, 2, 4, 5].into_iter().all(digit)
}

impl Scalar {
    /// Whether a JSON value can be read as this type.
    pub(crate) fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Text | Self::Bytes | Self::Time => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer32 => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            Self::Integer64 | Self::Integer => value.is_i64(),
            Self::Boolean => value.is_boolean(),
            Self::IntOrString | Self::Quantity => value.is_string() || value.is_number(),
        }
    }

    fn is_integer(self) -> bool {
        matches!(self, Self::Integer32 | Self::Integer64 | Self::Integer)
    }

    /// Whether its Go type has a decoder of its own.
    fn reads_itself(self) -> bool {
        matches!(self, Self::Time | Self::IntOrString | Self::Quantity)
    }

    fn go_name(self) -> &'static str {
        match self {
            Self::Text | Self::Bytes | Self::Quantity => "string",
            Self::Integer32 => "int32",
            Self::Integer64 | Self::Integer => "int64",
            Self::Number => "float64",
            Self::Boolean => "bool",
            Self::Time => "v1.Time",
            Self::IntOrString => "intstr.IntOrString",
        }
    }
}
