//! An object without the paths of a set. Counterpart: `typed/remove.go`. No I/O.

use serde_json::{Map, Value};

use super::element::PathElement;
use super::set::FieldSet;
use super::walk::{Kind, kind};
use crate::schema::{ListShape, Type};

/// The object without everything that the set names.
pub(crate) fn remove(value: &Value, set: &FieldSet, of: Type<'_>) -> Value {
    without(value, set, Some(of)).unwrap_or_else(|| Value::Object(Map::new()))
}

fn without(value: &Value, set: &FieldSet, of: Option<Type<'_>>) -> Option<Value> {
    let Some(of) = of else { return Some(value.clone()) };
    match (kind(of, Some(value)), value) {
        (Kind::Scalar, _) => Some(value.clone()),
        (Kind::Atomic, _) => None,
        (Kind::Map, Value::Object(entries)) => remove_entries(entries, set, of),
        (Kind::List(list), Value::Array(items)) => remove_items(items, set, of, list),
        _ => None,
    }
}

/// A container that loses everything in it becomes null, as in structured-merge-diff 6.3.3.
fn remove_entries(entries: &Map<String, Value>, set: &FieldSet, of: Type<'_>) -> Option<Value> {
    let mut out = Map::new();
    for (name, entry) in entries {
        let element = PathElement::field(name);
        if set.has(&element) {
            continue;
        }
        let kept = match set.child(&element) {
            None => entry.clone(),
            Some(below) => without(entry, below, of.entry(name)).unwrap_or(Value::Null),
        };
        out.insert(name.clone(), kept);
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

fn remove_items(items: &[Value], set: &FieldSet, of: Type<'_>, list: &ListShape) -> Option<Value> {
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let Ok(element) = PathElement::of_item(list, of.element(), item) else {
            out.push(item.clone());
            continue;
        };
        if set.has(&element) {
            continue;
        }
        out.push(match set.child(&element) {
            None => item.clone(),
            Some(below) => without(item, below, Some(of.element())).unwrap_or(Value::Null),
        });
    }
    (!out.is_empty()).then_some(Value::Array(out))
}
