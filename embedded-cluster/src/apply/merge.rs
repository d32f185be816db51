//! An applied object laid over a live one. Counterpart: `typed/merge.go`. No I/O.

use serde_json::{Map, Value};

use super::element::PathElement;
use super::walk::{Kind, kind};
use crate::schema::{ListShape, Type};

/// The live object with what is applied laid over it. Nothing is removed.
pub(crate) fn merge(live: &Value, applied: &Value, of: Type<'_>) -> Value {
    both(Some(live), Some(applied), Some(of)).unwrap_or(Value::Null)
}

fn both(live: Option<&Value>, applied: Option<&Value>, of: Option<Type<'_>>) -> Option<Value> {
    let (Some(applied), Some(live)) = (applied, live) else {
        return applied.or(live).cloned();
    };
    let Some(of) = of else {
        return Some(applied.clone());
    };
    match (kind(of, Some(applied)), live, applied) {
        (Kind::Map, Value::Object(live), Value::Object(applied))
            if !(live.is_empty() && applied.is_empty()) =>
        {
            Some(entries(live, applied, of))
        }
        (Kind::List(list), Value::Array(live), Value::Array(applied))
            if !(mutated!(ListKeyIgnored) || live.is_empty() && applied.is_empty()) =>
        {
            Some(Value::Array(items(live, applied, of, list)))
        }
        // An explicit null or empty value does not take away what is there below.
        (Kind::Map, Value::Object(entries), Value::Null) if !entries.is_empty() => Some(live.clone()),
        (Kind::List(_), Value::Array(items), Value::Null) if !items.is_empty() => Some(live.clone()),
        _ => Some(applied.clone()),
    }
}

fn entries(live: &Map<String, Value>, applied: &Map<String, Value>, of: Type<'_>) -> Value {
    let mut out = Map::new();
    for (name, entry) in live {
        let merged = both(Some(entry), applied.get(name), of.entry(name));
        out.extend(merged.map(|merged| (name.clone(), merged)));
    }
    for (name, entry) in applied {
        if !live.contains_key(name) {
            out.insert(name.clone(), entry.clone());
        }
    }
    Value::Object(out)
}

/// Merges element by element. Elements of both keep the order in which they are applied; live ones stay
/// where they are relative to those (`visitListItems`).
fn items(live: &[Value], applied: &[Value], of: Type<'_>, list: &ListShape) -> Vec<Value> {
    let index = |items: &[Value]| -> Vec<(PathElement, Value)> {
        let keyed = items
            .iter()
            .filter_map(|item| Some((PathElement::of_item(list, of.element(), item).ok()?, item.clone())));
        keyed.collect()
    };
    let (left, right) = (index(live), index(applied));
    let in_right = |element: &PathElement| right.iter().any(|(known, _)| known == element);
    // A key that occurs twice in the live list is not merged, its elements are replaced.
    let live_item = |element: &PathElement| {
        let mut found = left.iter().filter(|(known, _)| known == element);
        let first = found.next();
        if found.next().is_some() {
            None
        } else {
            first.map(|(_, item)| item)
        }
    };
    let is_live = |element: &PathElement| left.iter().any(|(known, _)| known == element);
    let mut shared = right
        .iter()
        .map(|(element, _)| element)
        .filter(|element| is_live(element));
    let mut next_shared = shared.next();
    let mut merged: Vec<&PathElement> = Vec::with_capacity(right.len());
    let mut out = Vec::with_capacity(left.len().max(right.len()));
    let (mut l, mut r) = (0, 0);
    loop {
        let (from_left, from_right) = (left.get(l), right.get(r));
        if let (Some((a, _)), Some((b, applied))) = (from_left, from_right) {
            if a == b {
                merged.push(b);
                out.extend(both(live_item(a), Some(applied), Some(of.element())));
                (l, r) = (l + 1, r + 1);
                next_shared = shared.next();
                continue;
            }
            if in_right(a) && next_shared.is_some_and(|next| next != a) {
                l += 1;
                continue;
            }
        }
        if let Some((a, item)) = from_left {
            if !in_right(a) {
                out.push(item.clone());
                l += 1;
                continue;
            }
            if merged.contains(&a) {
                l += 1;
            }
        }
        if let Some((b, applied)) = from_right {
            merged.push(b);
            out.extend(both(live_item(b), Some(applied), Some(of.element())));
            r += 1;
            if next_shared == Some(b) {
                next_shared = shared.next();
            }
        } else if from_left.is_none() {
            return out;
        }
    }
}
