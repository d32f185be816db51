//! The paths of an object, and whether it fits its type. Counterparts: `typed/tofieldset.go`,
//! `typed/validate.go`. No I/O.

use serde_json::Value;

use super::element::PathElement;
use super::set::FieldSet;
use crate::schema::{ListKind, ListShape, Scalar, Shape, Type};

/// How a value is treated, given its type.
pub(crate) enum Kind<'a> {
    Scalar,
    /// A map or list that is owned as a whole.
    Atomic,
    Map,
    List(&'a ListShape),
}

/// Decides by type, and for free-form types by what is there (`deduceAtom`).
pub(crate) fn kind<'a>(of: Type<'a>, value: Option<&Value>) -> Kind<'a> {
    match (of.shape(), value) {
        (Shape::Scalar(_), _) => Kind::Scalar,
        (Shape::Map(map), _) if map.atomic => Kind::Atomic,
        (Shape::Map(_), _) => Kind::Map,
        (Shape::List(list), _) if list.kind == ListKind::Atomic => Kind::Atomic,
        (Shape::List(list), _) => Kind::List(list),
        (Shape::Deduced, Some(Value::Object(_)) | None) => Kind::Map,
        (Shape::Deduced | Shape::Untyped, Some(Value::Array(_) | Value::Object(_)) | None) => Kind::Atomic,
        (Shape::Deduced | Shape::Untyped, Some(_)) => Kind::Scalar,
    }
}

/// The paths that whoever writes this object would own (`ToFieldSet`).
pub(crate) fn field_set(value: &Value, of: Type<'_>) -> FieldSet {
    let mut set = FieldSet::default();
    if let Value::Object(entries) = value {
        for (name, entry) in entries {
            collect(
                PathElement::field(name),
                entry,
                of.entry(name),
                of.declares(name),
                &mut set,
            );
        }
        set.children.sort_by(|a, b| a.0.cmp(&b.0));
        set.members.sort();
    }
    set
}

/// Adds what is at `element`. Sorting is left to the caller.
fn collect(element: PathElement, value: &Value, of: Option<Type<'_>>, declared: bool, set: &mut FieldSet) {
    let Some(of) = of else {
        set.members.push(element);
        return;
    };
    let is_field = matches!(element, PathElement::Field(_));
    let whole = match kind(of, Some(value)) {
        Kind::Scalar | Kind::Atomic => true,
        Kind::Map | Kind::List(_) => false,
    };
    let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    if whole || !is_field || empty || !declared {
        set.members.push(element.clone());
    }
    if whole {
        return;
    }
    let mut child = FieldSet::default();
    match value {
        Value::Object(entries) => {
            for (name, entry) in entries {
                collect(
                    PathElement::field(name),
                    entry,
                    of.entry(name),
                    of.declares(name),
                    &mut child,
                );
            }
        }
        Value::Array(items) => {
            if let Kind::List(list) = kind(of, Some(value)) {
                collect_items(list, items, of, &mut child);
            }
        }
        _ => {}
    }
    child.members.sort();
    child.children.sort_by(|a, b| a.0.cmp(&b.0));
    if !child.is_empty() {
        set.children.push((element, child));
    }
}

fn collect_items(list: &ListShape, items: &[Value], of: Type<'_>, set: &mut FieldSet) {
    let elements: Vec<_> = items
        .iter()
        .map(|item| PathElement::of_item(list, of.element(), item).ok())
        .collect();
    for (index, (item, element)) in items.iter().zip(&elements).enumerate() {
        let Some(element) = element else { continue };
        let same = |other: &Option<PathElement>| other.as_ref() == Some(element);
        let earlier = elements
            .get(..index)
            .is_some_and(|before| before.iter().any(same));
        let later = elements
            .get(index + 1..)
            .is_some_and(|after| after.iter().any(same));
        match (earlier, later) {
            (false, false) => collect(element.clone(), item, Some(of.element()), true, set),
            // Duplicates are owned as one, without what is in them.
            (false, true) => set.members.push(element.clone()),
            (true, _) => {}
        }
    }
}

/// Where an applied object does not fit its type, in structured-merge-diff's words. Lists name each key once.
pub(crate) fn check(value: &Value, of: Type<'_>) -> Vec<String> {
    let mut errors = Vec::new();
    visit(value, of, &mut String::new(), &mut errors);
    errors
}

fn visit(value: &Value, of: Type<'_>, path: &mut String, errors: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    match (of.shape(), value) {
        (Shape::Deduced | Shape::Untyped, _) => {}
        (Shape::Scalar(scalar), _) => {
            if let Some(error) = scalar_error(*scalar, value) {
                errors.push(format!("{path}: {error}"));
            }
        }
        (Shape::Map(_), Value::Object(entries)) => {
            for (name, entry) in entries {
                let length = path.len();
                path.push('.');
                path.push_str(name);
                match of.entry(name) {
                    Some(of) => visit(entry, of, path, errors),
                    None => {
                        errors.push(format!("{path}: field not declared in schema"));
                        path.truncate(length);
                        return;
                    }
                }
                path.truncate(length);
            }
        }
        (Shape::List(list), Value::Array(items)) => visit_items(list, items, of, path, errors),
        (Shape::Map(_), other) => errors.push(format!("{path}: expected map, got &{{{}}}", plain(other))),
        (Shape::List(_), other) => errors.push(format!("{path}: expected list, got &{{{}}}", plain(other))),
    }
}

fn visit_items(list: &ListShape, items: &[Value], of: Type<'_>, path: &mut String, errors: &mut Vec<String>) {
    let mut seen: Vec<PathElement> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let element = if list.kind == ListKind::Atomic {
            PathElement::Index(index)
        } else {
            match PathElement::of_item(list, of.element(), item) {
                Ok(element) => element,
                Err(error) => {
                    errors.push(format!("{path}: element {index}: {error}"));
                    return;
                }
            }
        };
        if seen.contains(&element) {
            errors.push(format!("{path}: duplicate entries for key {element}"));
        }
        let length = path.len();
        path.push_str(&element.to_string());
        visit(item, of.element(), path, errors);
        path.truncate(length);
        seen.push(element);
    }
}

fn scalar_error(scalar: Scalar, value: &Value) -> Option<String> {
    let go_type = match value {
        Value::Object(_) => "map[string]interface {}",
        Value::Array(_) => "[]interface {}",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(_) | Value::Null => "int64",
    };
    match scalar {
        Scalar::Number | Scalar::Integer | Scalar::Integer32 | Scalar::Integer64 => {
            (!value.is_number()).then(|| format!("expected numeric (int or float), got {go_type}"))
        }
        Scalar::Text | Scalar::Bytes => (!value.is_string()).then(|| {
            format!(
                "expected string, got &value.valueUnstructured{{Value:{}}}",
                go_syntax(value)
            )
        }),
        Scalar::Boolean => {
            (!value.is_boolean()).then(|| format!("expected boolean, got &{{{}}}", plain(value)))
        }
        Scalar::Time | Scalar::IntOrString | Scalar::Quantity => (value.is_object() || value.is_array())
            .then(|| format!("expected any scalar, got &{{{}}}", plain(value))),
    }
}

/// Go's `%#v` of a decoded JSON value.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!(
                "[]interface {{}}{{{}}}",
                items.iter().map(go_syntax).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(name, entry)| format!("{name:?}:{}", go_syntax(entry)))
                .collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// Go's `%v` of a decoded JSON value.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(name, entry)| format!("{name}:{}", plain(entry)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
        other => other.to_string(),
    }
}
