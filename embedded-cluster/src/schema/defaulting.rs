//! Defaults of a CRD's schema, and nulls that decoding drops.
//!
//! In: an object and its type. Out: the object. No I/O.

use serde_json::Value;

use super::{Shape, Slot, Type};

/// Fills in what the schema defaults, and drops nulls where a default stands and null is not allowed.
pub(crate) fn set_defaults(value: &mut Value, of: Type<'_>) {
    match (value, of.shape()) {
        (Value::Object(fields), Shape::Map(map)) => {
            for (name, slot) in &map.fields {
                let Some(default) = &slot.default else { continue };
                match fields.get(name) {
                    None => {
                        fields.insert(name.clone(), default.clone());
                    }
                    Some(Value::Null) if !slot.nullable => {
                        fields.insert(name.clone(), default.clone());
                    }
                    Some(_) => {}
                }
            }
            for (name, entry) in fields {
                if let Some(of) = of.entry(name) {
                    set_defaults(entry, of);
                }
            }
        }
        (Value::Array(items), Shape::List(_)) => {
            for item in items {
                set_defaults(item, of.element());
            }
        }
        _ => {}
    }
}

/// Drops nulls where null is not allowed and no default stands, as decoding does.
pub(crate) fn drop_nulls(value: &mut Value, of: Type<'_>) {
    match (value, of.shape()) {
        (Value::Object(fields), Shape::Map(map)) => {
            fields.retain(|name, value| {
                let bare = |slot: &Slot| !slot.nullable && slot.default.is_none();
                !(value.is_null() && map.fields.get(name).is_some_and(bare))
            });
            for (name, entry) in fields {
                if let Some(of) = of.entry(name) {
                    drop_nulls(entry, of);
                }
            }
        }
        (Value::Array(items), Shape::List(_)) => {
            for item in items {
                drop_nulls(item, of.element());
            }
        }
        _ => {}
    }
}
