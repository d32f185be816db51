//! Fields that a schema does not know.
//!
//! In: an object and its type. Out: their paths, or the object without them. No I/O.

use serde_json::Value;

use super::{MapShape, Shape, Type};

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
