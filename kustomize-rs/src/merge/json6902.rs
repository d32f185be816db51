//! JSON 6902 patches, as the library that kustomize uses applies them. In: a value and operations; out: the
//! value, changed. Pure.

use serde_json::{Map, Value};

use super::Result;
use crate::error::Error;

/// One operation of a patch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Operation {
    kind: Kind,
    path: String,
    from: Option<String>,
    value: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
    /// Refused only when it is applied.
    Unknown,
}

/// Reads the operations of a patch; an error when the value is not of that form at all.
pub(crate) fn operations(value: &Value) -> Result<Vec<Operation>> {
    let wrong = || Error::kustomization("a JSON patch must be a list of operations with op and path");
    let Value::Array(items) = value else {
        return Err(wrong());
    };
    let read = |item: &Value| {
        let Value::Object(item) = item else {
            return Err(wrong());
        };
        let text = |key: &str| item.get(key).and_then(Value::as_str).map(str::to_string);
        let kind = match text("op").as_deref() {
            Some("add") => Kind::Add,
            Some("remove") => Kind::Remove,
            Some("replace") => Kind::Replace,
            Some("move") => Kind::Move,
            Some("copy") => Kind::Copy,
            Some("test") => Kind::Test,
            _ => Kind::Unknown,
        };
        let Some(path) = text("path") else {
            return Ok(Operation {
                kind: Kind::Unknown,
                path: String::new(),
                from: None,
                value: None,
            });
        };
        Ok(Operation {
            kind,
            path,
            from: text("from"),
            value: item.get("value").cloned(),
        })
    };
    items.iter().map(read).collect()
}

/// Applies the operations in order.
pub(crate) fn apply(document: &mut Value, operations: &[Operation]) -> Result<()> {
    for operation in operations {
        apply_one(document, operation).map_err(|message| {
            Error::resource(format!(
                "JSON patch: {} {:?}: {message}",
                operation.kind.name(),
                operation.path
            ))
        })?;
    }
    Ok(())
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Replace => "replace",
            Self::Move => "move",
            Self::Copy => "copy",
            Self::Test => "test",
            Self::Unknown => "unknown operation",
        }
    }
}

type Step<T> = std::result::Result<T, String>;

fn apply_one(document: &mut Value, operation: &Operation) -> Step<()> {
    let value = || operation.value.clone().unwrap_or(Value::Null);
    let from = || {
        operation
            .from
            .as_deref()
            .ok_or_else(|| "from is missing".to_string())
    };
    match operation.kind {
        Kind::Add => add(document, &operation.path, value()),
        Kind::Remove => remove(document, &operation.path).map(drop),
        Kind::Replace => replace(document, &operation.path, value()),
        Kind::Move => {
            let from = from()?;
            find(document, from)?;
            let moved = remove(document, from)?;
            add(document, &operation.path, moved)
        }
        Kind::Copy => {
            let from = from()?;
            if from.is_empty() {
                return Err("the whole document cannot be copied".into());
            }
            // A missing key of a mapping counts as null.
            let copied = match find(document, from) {
                Ok(found) => found.clone(),
                Err(_) if parent_exists(document, from) => Value::Null,
                Err(message) => return Err(message),
            };
            add(document, &operation.path, copied)
        }
        Kind::Test => test(document, operation),
        Kind::Unknown => Err("expected add, remove, replace, move, copy or test, and a path".into()),
    }
}

/// The parent of what a pointer names, and the last key.
fn split(path: &str) -> Step<(Vec<String>, String)> {
    let mut parts: Vec<String> = path
        .split('/')
        .skip(1)
        .map(|p| p.replace("~1", "/").replace("~0", "~"))
        .collect();
    let last = parts.pop().ok_or("the path does not start with '/'")?;
    Ok((parts, last))
}

fn container<'a>(document: &'a mut Value, parts: &[String]) -> Step<&'a mut Value> {
    let mut at = document;
    for part in parts {
        at = match at {
            Value::Object(map) => map.get_mut(part),
            Value::Array(items) => {
                let index = existing(part, items.len())?;
                items.get_mut(index)
            }
            _ => None,
        }
        .ok_or_else(|| format!("there is nothing at {part:?}"))?;
    }
    match at {
        Value::Object(_) | Value::Array(_) => Ok(at),
        _ => Err("the parent of the path is neither a mapping nor a list".into()),
    }
}

/// The index of an item that must exist; negative ones count from the end.
fn existing(part: &str, len: usize) -> Step<usize> {
    let index: i64 = part
        .parse()
        .map_err(|_| format!("{part:?} is no index of a list"))?;
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let index = if index < 0 { index + len } else { index };
    if index < 0 || index >= len {
        return Err(format!("the list has {len} items, no item {part}"));
    }
    Ok(usize::try_from(index).unwrap_or(usize::MAX))
}

fn add(document: &mut Value, path: &str, value: Value) -> Step<()> {
    let (parts, last) = split(path)?;
    match container(document, &parts)? {
        Value::Object(map) => {
            map.insert(last, value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let index: i64 = last
                .parse()
                .map_err(|_| format!("{last:?} is no index of a list"))?;
            let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
            // A new item may go behind the last one, so that -1 means the end.
            let index = if index < 0 { index + len + 1 } else { index };
            if index < 0 || index > len {
                return Err(format!("the list has {len} items, cannot add at {last}"));
            }
            items.insert(usize::try_from(index).unwrap_or(usize::MAX), value);
        }
        _ => return Err("the parent of the path is neither a mapping nor a list".into()),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str) -> Step<Value> {
    let (parts, last) = split(path)?;
    match container(document, &parts)? {
        Value::Object(map) => map
            .remove(&last)
            .ok_or_else(|| "there is nothing to remove".to_string()),
        Value::Array(items) => {
            let index = existing(&last, items.len())?;
            Ok(items.remove(index))
        }
        _ => Err("there is nothing to remove".into()),
    }
}

fn replace(document: &mut Value, path: &str, value: Value) -> Step<()> {
    if path.is_empty() {
        if !(value.is_object() || value.is_array()) {
            return Err("the whole document can only become a mapping or a list".into());
        }
        *document = value;
        return Ok(());
    }
    let (parts, last) = split(path)?;
    match container(document, &parts)? {
        Value::Object(map) => {
            // The library replaces what is not there, too.
            map.insert(last, value);
        }
        Value::Array(items) => {
            let index = existing(&last, items.len())?;
            items[index] = value;
        }
        _ => return Err("there is nothing to replace".into()),
    }
    Ok(())
}

fn find<'a>(document: &'a Value, path: &str) -> Step<&'a Value> {
    if path.is_empty() {
        return Ok(document);
    }
    let (parts, last) = split(path)?;
    let mut at = document;
    for part in parts.iter().chain([&last]) {
        at = match at {
            Value::Object(map) => map.get(part),
            Value::Array(items) => items.get(existing(part, items.len())?),
            _ => None,
        }
        .ok_or_else(|| format!("there is nothing at {part:?}"))?;
    }
    Ok(at)
}

fn test(document: &Value, operation: &Operation) -> Step<()> {
    let wanted = operation.value.as_ref().unwrap_or(&Value::Null);
    let found = find(document, &operation.path);
    match found {
        Ok(found) if same(found, wanted) => Ok(()),
        // What is missing equals null, if its parent is there.
        Err(_) if wanted.is_null() && parent_exists(document, &operation.path) => Ok(()),
        Ok(_) => Err("the value is not the expected one".into()),
        Err(message) => Err(message),
    }
}

fn parent_exists(document: &Value, path: &str) -> bool {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    find(document, parent).is_ok_and(Value::is_object)
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => same_map(a, b),
        (a, b) => a == b,
    }
}

fn same_map(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
}

/// Gives numbers the precision that Go's decoder leaves them: that of a float.
pub(crate) fn lose_precision(value: &mut Value) {
    match value {
        Value::Number(n) => {
            if let Some(float) = n.as_f64()
                && let Some(number) = serde_json::Number::from_f64(float)
            {
                *n = number;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(lose_precision),
        Value::Object(map) => map.values_mut().for_each(lose_precision),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
