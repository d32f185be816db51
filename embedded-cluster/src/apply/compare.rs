//! What was added, changed and removed between two objects. Counterpart: `typed/compare.go`. No I/O.

use serde_json::Value;

use super::element::PathElement;
use super::set::FieldSet;
use super::walk::{Kind, kind};
use crate::schema::{ListShape, Type};

/// Paths by what happened to them.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) added: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) removed: FieldSet,
}

impl Comparison {
    /// Leaves out fields that a strategy resets.
    pub(crate) fn excluding(self, reset: &FieldSet) -> Self {
        if reset.is_empty() {
            return self;
        }
        Self {
            added: self.added.recursive_difference(reset),
            modified: self.modified.recursive_difference(reset),
            removed: self.removed.recursive_difference(reset),
        }
    }
}

/// Whether two values are the same; integers equal floats of the same value.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
        }
        _ => a == b,
    }
}

/// Compares two objects of one type.
pub(crate) fn compare(old: &Value, new: &Value, of: Type<'_>) -> Comparison {
    let mut walker = Walker {
        path: Vec::with_capacity(16),
        out: Comparison::default(),
    };
    walker.value(Some(old), Some(new), of);
    walker.out
}

struct Walker {
    path: Vec<PathElement>,
    out: Comparison,
}

impl Walker {
    fn value(&mut self, old: Option<&Value>, new: Option<&Value>, of: Type<'_>) {
        // Equal subtrees hold no difference; most subtrees are equal.
        if let (Some(old), Some(new)) = (old, new)
            && same(old, new)
        {
            return;
        }
        let (old_kind, new_kind) = (kind(of, old), kind(of, new));
        let leaf = match (old, new) {
            (_, None) => self.part(old, new, of, &old_kind),
            (None, _) => self.part(old, new, of, &new_kind),
            (Some(a), Some(b)) if std::mem::discriminant(a) == std::mem::discriminant(b) => {
                self.part(old, new, of, &new_kind)
            }
            // A free-form value that changed its JSON type, or an explicit null.
            _ => {
                let old_kind = if matches!(old, Some(Value::Null)) {
                    &new_kind
                } else {
                    &old_kind
                };
                self.part(old, new, of, old_kind)
            }
        };
        if leaf {
            return;
        }
        match (old, new) {
            (None, _) => self.out.added.insert(&self.path),
            (_, None) => self.out.removed.insert(&self.path),
            _ => {}
        }
    }

    /// Visits by kind; true if the value was recorded as a leaf.
    fn part(&mut self, old: Option<&Value>, new: Option<&Value>, of: Type<'_>, kind: &Kind<'_>) -> bool {
        let empty = |value: Option<&Value>| match value {
            None | Some(Value::Null) => true,
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(entries)) => entries.is_empty(),
            Some(_) => false,
        };
        match kind {
            Kind::Map if !(empty(old) && empty(new)) && fits_map(old) && fits_map(new) => {
                self.entries(old, new, of);
                false
            }
            Kind::List(list) if !(empty(old) && empty(new)) && fits_list(old) && fits_list(new) => {
                self.items(old, new, of, list);
                false
            }
            _ => {
                self.leaf(old, new);
                true
            }
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, Some(_)) => self.out.added.insert(&self.path),
            (Some(_), None) => self.out.removed.insert(&self.path),
            (Some(old), Some(new)) if !same(old, new) => self.out.modified.insert(&self.path),
            _ => {}
        }
    }

    fn descend(
        &mut self,
        element: PathElement,
        old: Option<&Value>,
        new: Option<&Value>,
        of: Option<Type<'_>>,
    ) {
        self.path.push(element);
        match of {
            Some(of) => self.value(old, new, of),
            None => self.leaf(old, new),
        }
        self.path.pop();
    }

    fn entries(&mut self, old: Option<&Value>, new: Option<&Value>, of: Type<'_>) {
        let old = old.and_then(Value::as_object);
        let new = new.and_then(Value::as_object);
        for (name, entry) in old.into_iter().flatten() {
            let other = new.and_then(|new| new.get(name));
            self.descend(PathElement::field(name), Some(entry), other, of.entry(name));
        }
        for (name, entry) in new.into_iter().flatten() {
            if old.is_none_or(|old| !old.contains_key(name)) {
                self.descend(PathElement::field(name), None, Some(entry), of.entry(name));
            }
        }
    }

    fn items(&mut self, old: Option<&Value>, new: Option<&Value>, of: Type<'_>, list: &ListShape) {
        let groups = |value: Option<&'_ Value>| -> Vec<(PathElement, Vec<Value>)> {
            let mut groups: Vec<(PathElement, Vec<Value>)> = Vec::new();
            for item in value.and_then(Value::as_array).into_iter().flatten() {
                let Ok(element) = PathElement::of_item(list, of.element(), item) else {
                    continue;
                };
                match groups.iter_mut().find(|(known, _)| *known == element) {
                    Some((_, items)) => items.push(item.clone()),
                    None => groups.push((element, vec![item.clone()])),
                }
            }
            groups
        };
        let (old, mut new) = (groups(old), groups(new));
        for (element, before) in old {
            let place = new.iter().position(|(known, _)| *known == element);
            let after = place.map(|place| new.swap_remove(place).1).unwrap_or_default();
            self.group(element, &before, &after, of);
        }
        for (element, after) in new {
            self.group(element, &[], &after, of);
        }
    }

    /// Compares all elements with one key; more than one is compared as a whole.
    fn group(&mut self, element: PathElement, before: &[Value], after: &[Value], of: Type<'_>) {
        let below = Some(of.element());
        match (before.len(), after.len()) {
            (0 | 1, 0 | 1) => self.descend(element, before.first(), after.first(), below),
            (0 | 1, _) => {
                if let Some(before) = before.first() {
                    self.descend(element.clone(), Some(before), None, below);
                }
                self.mark(element, |out| &mut out.added);
            }
            (_, 0 | 1) => {
                if let Some(after) = after.first() {
                    self.descend(element.clone(), None, Some(after), below);
                }
                self.mark(element, |out| &mut out.removed);
            }
            _ if before.len() == after.len() && before.iter().zip(after).all(|(a, b)| same(a, b)) => {}
            _ => self.mark(element, |out| &mut out.modified),
        }
    }

    fn mark(&mut self, element: PathElement, into: fn(&mut Comparison) -> &mut FieldSet) {
        self.path.push(element);
        into(&mut self.out).insert(&self.path);
        self.path.pop();
    }
}

fn fits_map(value: Option<&Value>) -> bool {
    matches!(value, None | Some(Value::Null | Value::Object(_)))
}

fn fits_list(value: Option<&Value>) -> bool {
    matches!(value, None | Some(Value::Null | Value::Array(_)))
}
