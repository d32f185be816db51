//! Access to the parts that all Kubernetes objects share, over plain JSON. No I/O.

use serde_json::{Map, Value};

static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

/// The value at a path of field names.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// The text at a path, empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The integer at a path.
pub(crate) fn number(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path).and_then(Value::as_i64)
}

/// The elements of the list at a path; none if there is no list.
pub(crate) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The entries of the map at a path; none if there is no map.
pub(crate) fn entries<'a>(value: &'a Value, path: &[&str]) -> &'a Map<String, Value> {
    at(value, path).and_then(Value::as_object).unwrap_or(&EMPTY)
}

/// A text field of `metadata`, empty if it is not set.
pub(crate) fn meta<'a>(value: &'a Value, field: &str) -> &'a str {
    text(value, &["metadata", field])
}

/// `metadata`, made if it is not there.
pub(crate) fn meta_mut(value: &mut Value) -> &mut Map<String, Value> {
    map_at(value, &["metadata"])
}

/// The map at a path; what is not a map on the way is replaced by one.
pub(crate) fn map_at<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut at = as_map(value);
    for name in path {
        at = as_map(at.entry(*name).or_insert(Value::Null));
    }
    at
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made a map just above"),
    }
}

/// Sets the value at a path.
pub(crate) fn put(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    if let [way @ .., last] = path {
        map_at(value, way).insert((*last).into(), new.into());
    }
}

/// Sets the value at a path if nothing is there.
pub(crate) fn put_default(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    if let [way @ .., last] = path {
        let map = map_at(value, way);
        if map.get(*last).is_none_or(|old| old.is_null() || old == "") {
            map.insert((*last).into(), new.into());
        }
    }
}

/// Takes away what is at a path.
pub(crate) fn take(value: &mut Value, path: &[&str]) -> Option<Value> {
    let [way @ .., last] = path else { return None };
    let holder = way.iter().try_fold(value, |value, name| value.get_mut(name))?;
    holder.as_object_mut()?.remove(*last)
}

/// Makes the value at a path of `target` what it is in `source`, absence included.
pub(crate) fn copy(target: &mut Value, source: &Value, path: &[&str]) {
    match at(source, path) {
        Some(value) => put(target, path, value.clone()),
        None => {
            take(target, path);
        }
    }
}

/// The list at a path, to be changed in place.
pub(crate) fn items_mut<'a>(value: &'a mut Value, path: &[&str]) -> impl Iterator<Item = &'a mut Value> {
    let list = path
        .iter()
        .try_fold(value, |value, name| value.get_mut(name))
        .and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

/// `metadata.finalizers`
pub(crate) fn finalizers(value: &Value) -> impl Iterator<Item = &str> {
    items(value, &["metadata", "finalizers"])
        .iter()
        .filter_map(Value::as_str)
}

/// Whether deletion has been asked for.
pub(crate) fn is_terminating(value: &Value) -> bool {
    at(value, &["metadata", "deletionTimestamp"]).is_some_and(|time| !time.is_null())
}

/// Copies one field of a map to another name.
pub(crate) fn copy_field(value: &mut Value, from: &str, to: &str) {
    if let Some(found) = value.get(from).cloned() {
        put(value, &[to], found);
    }
}
