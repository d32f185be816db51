//! Strategic merge patch.
//!
//! In: an object, a patch, the type. Out: the patched object. No I/O. The rules are those of
//! k8s.io/apimachinery's `strategicpatch`: lists with a merge key are merged by it, `$patch`, `$retainKeys`,
//! `$setElementOrder/...` and `$deleteFromPrimitiveList/...` are directives.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::answer::ApiError;
use crate::schema::{Patch, Type};

const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// Lays a strategic merge patch over an object.
pub(crate) fn patch(mut value: Value, patch: &Value, of: Type<'_>) -> Result<Value, ApiError> {
    if patch.is_null() {
        return Ok(value);
    }
    let Value::Object(changes) = patch else {
        return Err(ApiError::bad_request(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            crate::schema::json_kind(patch)
        )));
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
        Some(other) => {
            return Err(ApiError::unclassified(format!(
                "unknown patch type: {other} in map: map[$patch:{other}]"
            )));
        }
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
    // Lists as they were, for those whose order the patch sets.
    let before: BTreeMap<&str, Vec<Value>> = changes
        .keys()
        .filter_map(|name| name.strip_prefix(ORDER))
        .map(|list| {
            (
                list,
                fields
                    .get(list)
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default(),
            )
        })
        .collect();
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
            let order = order.as_array().map_or(&[][..], Vec::as_slice);
            let before = before.get(list).map_or(&[][..], Vec::as_slice);
            if let Some(items) = fields.get_mut(list).and_then(Value::as_array_mut) {
                reorder(items, before, order, merge_key);
            }
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
        Value::Array(changes) if rule.merge && !fields.contains_key(name) => {
            fields.insert(name.into(), whole_list(changes, below)?);
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

/// A list that was not there is taken as it is, also where it has a key twice.
fn whole_list(changes: &[Value], of: Option<Type<'_>>) -> Result<Value, ApiError> {
    let element = of.map(Type::element);
    let mut items = Vec::with_capacity(changes.len());
    for change in changes {
        match change {
            Value::Object(fields) if fields.contains_key("$patch") => {}
            Value::Object(fields) => {
                let mut item = Value::Object(Map::new());
                merge_map(&mut item, fields, element, true)?;
                items.push(item);
            }
            other => items.push(other.clone()),
        }
    }
    Ok(Value::Array(items))
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
    let before = items.clone();
    let Some(key) = rule.merge_key.as_deref() else {
        for change in changes {
            if !items.contains(change) {
                items.push(change.clone());
            }
        }
        reorder(items, &before, changes, None);
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
    reorder(items, &before, changes, Some(key));
    Ok(())
}

fn delete_values(fields: &mut Map<String, Value>, list: &str, values: &Value) {
    let Some(values) = values.as_array() else { return };
    if let Some(items) = fields.get_mut(list).and_then(Value::as_array_mut) {
        items.retain(|item| !values.contains(item));
    }
}

/// Sorts elements as `order` says. Those it does not name keep their own order, each before the first element
/// that came after it in `before` (`normalizeElementOrder`).
fn reorder(items: &mut Vec<Value>, before: &[Value], order: &[Value], key: Option<&str>) {
    let place = |list: &[Value], item: &Value| {
        list.iter().position(|other| match key {
            Some(key) => other.get(key) == item.get(key),
            None => other == item,
        })
    };
    let (mut named, mut others): (Vec<Value>, Vec<Value>) = std::mem::take(items)
        .into_iter()
        .partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    others.sort_by_key(|item| place(before, item));
    let mut named = named.into_iter().peekable();
    for other in others {
        let at = place(before, &other);
        let goes_first =
            |next: &Value| at.is_some() && place(before, next).is_some_and(|next| at < Some(next));
        while let Some(next) = named.next_if(|next| !goes_first(next)) {
            items.push(next);
        }
        items.push(other);
    }
    items.extend(named);
}

fn without_directives(changes: &Map<String, Value>) -> Map<String, Value> {
    changes
        .iter()
        .filter(|(name, _)| !name.starts_with('$'))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::schema::builtin;

    fn patched(value: Value, change: &Value) -> Value {
        let root = builtin("io.k8s.api.core.v1.PodSpec").expect("a built-in type");
        super::patch(value, change, root.view()).expect("a patch that fits")
    }

    fn names(spec: &Value) -> Vec<&str> {
        spec["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["name"].as_str())
            .collect()
    }

    #[test]
    fn containers_are_merged_by_name_in_the_order_of_the_patch() {
        let live = json!({"containers": [{"name": "y", "image": "1"}, {"name": "z"}]});
        let spec = patched(
            live,
            &json!({"containers": [{"name": "x"}, {"name": "y", "tty": true}]}),
        );
        assert_eq!(names(&spec), ["x", "y", "z"]);
        assert_eq!(
            spec["containers"][1],
            json!({"name": "y", "image": "1", "tty": true})
        );
    }

    #[test]
    fn directives_delete_replace_and_order() {
        let live = || json!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
        let deleted = patched(
            live(),
            &json!({"containers": [{"name": "b", "$patch": "delete"}]}),
        );
        assert_eq!(names(&deleted), ["a", "c"]);
        let replaced = patched(
            live(),
            &json!({"containers": [{"name": "d"}, {"$patch": "replace"}]}),
        );
        assert_eq!(names(&replaced), ["d"]);
        let ordered = patched(
            live(),
            &json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}),
        );
        assert_eq!(names(&ordered), ["b", "c", "a"]);
    }
}
