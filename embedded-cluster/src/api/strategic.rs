//! Strategic merge patch.
//!
//! In: an object, a patch, the type. Out: the patched object. No I/O. The rules are those of
//! k8s.io/apimachinery's `strategicpatch`: lists with a merge key are merged by it, `$patch`, `$retainKeys`,
//! `$setElementOrder/...` and `$deleteFromPrimitiveList/...` are directives.

use serde_json::{Map, Value};

use crate::answer::ApiError;
use crate::schema::{Patch, Type};

const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// Lays a strategic merge patch over an object.
pub(crate) fn patch(mut value: Value, patch: &Value, of: Type<'_>) -> Result<Value, ApiError> {
    let Value::Object(changes) = patch else {
        return Err(ApiError::bad_request(
            "error decoding patch: the body is not an object",
        ));
    };
    merge_map(&mut value, changes, Some(of), false)?;
    Ok(value)
}

fn merge_map(
    value: &mut Value,
    changes: &Map<String, Value>,
    of: Option<Type<'_>>,
    fresh: bool,
) -> Result<(), ApiError> {
    match changes.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            *value = Value::Object(without_directives(changes));
            return Ok(());
        }
        Some("delete") => {
            *value = Value::Object(Map::new());
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(ApiError::bad_request(format!("unknown patch type: {other}"))),
    }
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Value::Object(fields) = value else {
        return Ok(());
    };
    if let Some(keep) = changes.get("$retainKeys").and_then(Value::as_array) {
        fields.retain(|name, _| keep.iter().any(|kept| kept.as_str() == Some(name)));
    }
    for (name, change) in changes {
        if let Some(list) = name.strip_prefix(DELETE) {
            delete_values(fields, list, change);
        } else if !name.starts_with('$') {
            merge_field(fields, name, change, of, fresh)?;
        }
    }
    for (name, order) in changes {
        if let Some(list) = name.strip_prefix(ORDER) {
            let slot = of.and_then(|of| of.field_slot(list));
            let merge_key = slot.and_then(|slot| slot.patch.merge_key.as_deref());
            set_order(fields, list, order, merge_key, changes.get(list));
        }
    }
    Ok(())
}

fn merge_field(
    fields: &mut Map<String, Value>,
    name: &str,
    change: &Value,
    of: Option<Type<'_>>,
    fresh: bool,
) -> Result<(), ApiError> {
    if change.is_null() {
        if fresh {
            return Ok(());
        }
        fields.remove(name);
        return Ok(());
    }
    let below = of.and_then(|of| of.entry(name));
    let none = Patch::default();
    let rule = of
        .and_then(|of| of.field_slot(name))
        .map_or(&none, |slot| &slot.patch);
    match change {
        Value::Object(changes) if rule.replace => {
            fields.insert(name.into(), Value::Object(without_directives(changes)));
        }
        Value::Object(changes) => {
            let existed = fields.contains_key(name);
            if changes.get("$patch").and_then(Value::as_str) == Some("delete") {
                fields.remove(name);
                return Ok(());
            }
            let entry = fields.entry(name).or_insert_with(|| Value::Object(Map::new()));
            merge_map(entry, changes, below, !existed)?;
        }
        Value::Array(changes) if rule.merge => {
            let entry = fields.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            merge_list(entry, changes, rule, below, name)?;
        }
        other => {
            fields.insert(name.into(), other.clone());
        }
    }
    Ok(())
}

fn merge_list(
    list: &mut Value,
    changes: &[Value],
    rule: &Patch,
    of: Option<Type<'_>>,
    name: &str,
) -> Result<(), ApiError> {
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    let Value::Array(items) = list else { return Ok(()) };
    let Some(key) = rule.merge_key.as_deref() else {
        for change in changes {
            if !items.contains(change) {
                items.push(change.clone());
            }
        }
        return Ok(());
    };
    let is_replace = |change: &&Value| change.get("$patch").and_then(Value::as_str) == Some("replace");
    if changes.iter().any(|change| is_replace(&change)) {
        *items = changes
            .iter()
            .filter(|change| !is_replace(change))
            .cloned()
            .collect();
        return Ok(());
    }
    let element = of.map(Type::element);
    for change in changes {
        let Value::Object(fields) = change else {
            return Err(ApiError::bad_request(format!(
                "expected a map in the list {name:?}"
            )));
        };
        let Some(id) = fields.get(key) else {
            return Err(ApiError::unclassified(format!(
                "map: {} does not contain declared merge key: {key}",
                crate::apply::plain(change)
            )));
        };
        if fields.get("$patch").and_then(Value::as_str) == Some("delete") {
            items.retain(|item| item.get(key) != Some(id));
            continue;
        }
        match items.iter_mut().find(|item| item.get(key) == Some(id)) {
            Some(item) => merge_map(item, fields, element, false)?,
            None => {
                let mut item = Value::Object(Map::new());
                merge_map(&mut item, fields, element, true)?;
                items.push(item);
            }
        }
    }
    Ok(())
}

fn delete_values(fields: &mut Map<String, Value>, list: &str, values: &Value) {
    let Some(values) = values.as_array() else { return };
    if let Some(items) = fields.get_mut(list).and_then(Value::as_array_mut) {
        items.retain(|item| !values.contains(item));
    }
}

/// Sorts elements as the patch says; those it does not name keep their place before or after.
fn set_order(
    fields: &mut Map<String, Value>,
    list: &str,
    order: &Value,
    key: Option<&str>,
    _patched: Option<&Value>,
) {
    let Some(order) = order.as_array() else { return };
    let Some(items) = fields.get_mut(list).and_then(Value::as_array_mut) else {
        return;
    };
    let rank = |item: &Value| {
        order.iter().position(|wanted| match key {
            Some(key) => wanted.get(key) == item.get(key),
            None => wanted == item,
        })
    };
    let mut named: Vec<Value> = items
        .iter()
        .filter(|item| rank(item).is_some())
        .cloned()
        .collect();
    named.sort_by_key(|item| rank(item));
    let mut named = named.into_iter();
    for item in items.iter_mut() {
        if rank(item).is_some()
            && let Some(next) = named.next()
        {
            *item = next;
        }
    }
}

fn without_directives(changes: &Map<String, Value>) -> Map<String, Value> {
    changes
        .iter()
        .filter(|(name, _)| !name.starts_with('$'))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
