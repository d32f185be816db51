//! Built-in objects as Go's encoder writes them: some fields vanish when they are zero, some never do.
//!
//! In: an object and its type. Out: the object in that form. No I/O. The marks come from the tags of the Go
//! types (`x-go` in the committed data).

use serde_json::{Map, Value};

use super::{MapShape, Scalar, Shape, Slot, Type};

/// What Go's encoder does with a field whose value is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zero {
    /// It is left out.
    Drop,
    /// It is written.
    Keep,
    /// It is written as null.
    Null,
}

impl Zero {
    pub(super) fn read(word: &str) -> Option<Self> {
        match word {
            "drop" => Some(Self::Drop),
            "zero" => Some(Self::Keep),
            "null" => Some(Self::Null),
            _ => None,
        }
    }
}

/// Brings an object of a built-in type into the form in which it is stored and served.
pub(crate) fn conform(value: &mut Value, of: Type<'_>) {
    match (value, of.shape()) {
        (Value::Object(fields), Shape::Map(map)) => {
            conform_fields(fields, map, of);
        }
        (Value::Array(items), Shape::List(_)) => {
            let element = of.element();
            for item in items {
                conform(item, element);
            }
        }
        _ => {}
    }
}

fn conform_fields(fields: &mut Map<String, Value>, map: &MapShape, of: Type<'_>) {
    for (name, slot) in &map.fields {
        match slot.zero {
            Some(Zero::Keep) if fields.get(name).is_none_or(Value::is_null) => {
                fields.insert(name.clone(), zero(of.slot(slot)));
            }
            Some(Zero::Null) if !fields.contains_key(name) => {
                fields.insert(name.clone(), Value::Null);
            }
            _ => {}
        }
    }
    for (name, value) in fields.iter_mut() {
        if let Some(of) = of.entry(name) {
            conform(value, of);
        }
    }
    fields.retain(|name, value| keeps(map.fields.get(name), value));
}

fn keeps(slot: Option<&Slot>, value: &Value) -> bool {
    match slot {
        // The entry of a map.
        None => true,
        Some(slot) => match slot.zero {
            Some(Zero::Keep | Zero::Null) => true,
            Some(Zero::Drop) => !is_zero(value),
            None => !value.is_null(),
        },
    }
}

/// Makes null of empty lists and maps that are always written: storage does not tell them from none.
pub(crate) fn settle(value: &mut Value, of: Type<'_>) {
    match (value, of.shape()) {
        (Value::Object(fields), Shape::Map(map)) => {
            for (name, value) in fields {
                let Some(below) = of.entry(name) else { continue };
                let marked = map
                    .fields
                    .get(name)
                    .is_some_and(|slot| slot.zero == Some(Zero::Null));
                if marked && is_empty_container(value) {
                    *value = Value::Null;
                } else {
                    settle(value, below);
                }
            }
        }
        (Value::Array(items), Shape::List(_)) => {
            let element = of.element();
            for item in items {
                settle(item, element);
            }
        }
        _ => {}
    }
}

fn is_empty_container(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn zero(of: Type<'_>) -> Value {
    match of.shape() {
        Shape::Map(map) if map.element.is_none() => {
            let mut value = Value::Object(Map::new());
            conform(&mut value, of);
            value
        }
        Shape::Scalar(Scalar::Text) => "".into(),
        Shape::Scalar(Scalar::Boolean) => false.into(),
        Shape::Scalar(Scalar::Quantity) => "0".into(),
        Shape::Scalar(
            Scalar::Number | Scalar::Integer | Scalar::Integer32 | Scalar::Integer64 | Scalar::IntOrString,
        ) => 0.into(),
        _ => Value::Null,
    }
}
