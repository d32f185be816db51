//! Fields that a schema does not know, and values of the wrong type.
//!
//! In: an object and its type. Out: findings with paths, or the object without what is unknown. No I/O.

use serde_json::Value;

use super::{MapShape, Scalar, Shape, Type};

/// Paths of fields that the type does not declare, in the order of the walk.
pub(crate) fn find_unknown(value: &Value, of: Type<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut path = String::new();
    unknown(value, of, &mut path, &mut found);
    found
}

fn unknown(value: &Value, of: Type<'_>, path: &mut String, found: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (name, entry) in entries {
                let length = path.len();
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                match of.entry(name) {
                    Some(of) => unknown(entry, of, path, found),
                    None if matches!(of.shape(), Shape::Map(_)) => found.push(path.clone()),
                    None => {}
                }
                path.truncate(length);
            }
        }
        Value::Array(items) if matches!(of.shape(), Shape::List(_)) => {
            for (index, item) in items.iter().enumerate() {
                let length = path.len();
                path.push_str(&format!("[{index}]"));
                unknown(item, of.element(), path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// Removes fields that the type does not declare (pruning).
pub(crate) fn drop_unknown(value: &mut Value, of: Type<'_>) {
    match value {
        Value::Object(entries) => {
            if let Shape::Map(map) = of.shape() {
                entries.retain(|name, _| keeps(map, name));
            }
            for (name, entry) in entries.iter_mut() {
                if let Some(of) = of.entry(name) {
                    drop_unknown(entry, of);
                }
            }
        }
        Value::Array(items) if matches!(of.shape(), Shape::List(_)) => {
            for item in items {
                drop_unknown(item, of.element());
            }
        }
        _ => {}
    }
}

fn keeps(map: &MapShape, name: &str) -> bool {
    map.preserve_unknown || map.element.is_some() || map.fields.contains_key(name)
}

/// The first value whose JSON type does not fit, in the words of Go's decoder.
pub(crate) fn wrong_types(value: &Value, of: Type<'_>) -> Option<String> {
    mismatch(
        value,
        of,
        of.node.name.as_deref().unwrap_or_default(),
        &mut String::new(),
    )
}

fn mismatch(value: &Value, of: Type<'_>, holder: &str, path: &mut String) -> Option<String> {
    let expected = match (of.shape(), value) {
        (_, Value::Null) | (Shape::Deduced | Shape::Untyped, _) => return None,
        (Shape::Map(_), Value::Object(entries)) => {
            let holder = of.node.name.as_deref().unwrap_or(holder);
            let declares = |name: &str| of.declares(name);
            return entries.iter().find_map(|(name, entry)| {
                let of = of.entry(name)?;
                let length = path.len();
                // Go names the map, not its entry.
                if declares(name) {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
                let found = mismatch(entry, of, holder, path);
                path.truncate(length);
                found
            });
        }
        (Shape::List(_), Value::Array(items)) => {
            return items
                .iter()
                .find_map(|item| mismatch(item, of.element(), holder, path));
        }
        (Shape::Scalar(Scalar::Quantity), Value::String(_)) => {
            return crate::quantity::canonical(value).is_none().then(|| {
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                    .to_owned()
            });
        }
        (Shape::Scalar(Scalar::Bytes), Value::String(text)) => return bad_base64(text),
        (Shape::Scalar(scalar), value) if scalar.accepts(value) => return None,
        (Shape::Map(map), _) if map.fields.is_empty() => "map[string]string".to_owned(),
        (Shape::Map(_), _) => format!("v1.{}", of.node.name.as_deref().unwrap_or_default()),
        (Shape::List(_), _) => match of.element().node.name.as_deref() {
            Some(name) => format!("[]v1.{name}"),
            None => "[]string".to_owned(),
        },
        (Shape::Scalar(scalar), _) => scalar.go_name().to_owned(),
    };
    let got = match value {
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Array(_) => "array",
        Value::Object(_) | Value::Null => "object",
    };
    Some(format!(
        "json: cannot unmarshal {got} into Go struct field {holder}.{path} of type {expected}"
    ))
}

/// Go's words for a text that is not base64.
fn bad_base64(text: &str) -> Option<String> {
    use base64::Engine;
    let refused = base64::engine::general_purpose::STANDARD.decode(text).err()?;
    let at = match refused {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
        _ => text.len() / 4 * 4,
    };
    Some(format!("illegal base64 data at input byte {at}"))
}

impl Scalar {
    /// Whether a JSON value can be read as this type.
    pub(crate) fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Text | Self::Bytes | Self::Time => value.is_string(),
            Self::Number | Self::Integer32 | Self::Integer64 | Self::Integer => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::IntOrString | Self::Quantity => value.is_string() || value.is_number(),
        }
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
