//! A set of paths into an object. Counterpart: `fieldpath.Set`. No I/O.
//!
//! Sorted vectors, not trees: sets are small, many, and combined far more often than changed.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::element::PathElement;
use crate::schema::{Shape, Type};

/// `fieldsV1` nested deeper than this is not read.
const MAX_DEPTH: usize = 128;

/// Paths: those that end here, and those that go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    pub(crate) members: Vec<PathElement>,
    pub(crate) children: Vec<(PathElement, FieldSet)>,
}

impl FieldSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.iter().all(|(_, child)| child.is_empty())
    }

    pub(crate) fn insert(&mut self, path: &[PathElement]) {
        match path {
            [] => {}
            [last] => {
                if let Err(place) = self.members.binary_search(last) {
                    self.members.insert(place, last.clone());
                }
            }
            [first, rest @ ..] => {
                let place = match self.children.binary_search_by(|(at, _)| at.cmp(first)) {
                    Ok(place) => place,
                    Err(place) => {
                        self.children.insert(place, (first.clone(), Self::default()));
                        place
                    }
                };
                if let Some((_, child)) = self.children.get_mut(place) {
                    child.insert(rest);
                }
            }
        }
    }

    /// The set of one path of field names.
    pub(crate) fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let path: Vec<PathElement> = path.iter().map(|name| PathElement::field(name)).collect();
            set.insert(&path);
        }
        set
    }

    pub(crate) fn has(&self, element: &PathElement) -> bool {
        self.members.binary_search(element).is_ok()
    }

    pub(crate) fn child(&self, element: &PathElement) -> Option<&Self> {
        let place = self.children.binary_search_by(|(at, _)| at.cmp(element)).ok()?;
        self.children
            .get(place)
            .map(|(_, child)| child)
            .filter(|child| !child.is_empty())
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut members = Vec::with_capacity(self.members.len().max(other.members.len()));
        zip(&self.members, &other.members, PathElement::cmp, |a, b| {
            members.extend(a.or(b).cloned());
        });
        let mut children = Vec::with_capacity(self.children.len().max(other.children.len()));
        zip(&self.children, &other.children, by_element, |a, b| match (a, b) {
            (Some(a), Some(b)) => children.push((a.0.clone(), a.1.union(&b.1))),
            (one, None) | (None, one) => children.extend(one.cloned()),
        });
        Self { members, children }
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let mut out = Self::default();
        zip(&self.members, &other.members, PathElement::cmp, |a, b| {
            if b.is_some() {
                out.members.extend(a.cloned());
            }
        });
        zip(&self.children, &other.children, by_element, |a, b| {
            if let (Some(a), Some(b)) = (a, b) {
                out.push_child(&a.0, a.1.intersection(&b.1));
            }
        });
        out
    }

    /// What is in this set and not, as the same path, in the other.
    pub(crate) fn difference(&self, other: &Self) -> Self {
        self.without(other, false)
    }

    /// Like [`Self::difference`], and a member of the other also takes all paths below it.
    pub(crate) fn recursive_difference(&self, other: &Self) -> Self {
        self.without(other, true)
    }

    fn without(&self, other: &Self, recursive: bool) -> Self {
        let mut out = Self::default();
        zip(&self.members, &other.members, PathElement::cmp, |a, b| {
            if b.is_none() {
                out.members.extend(a.cloned());
            }
        });
        zip(&self.children, &other.children, by_element, |a, b| {
            let Some((element, child)) = a else { return };
            if recursive && other.has(element) {
                return;
            }
            match b {
                Some((_, b)) => out.push_child(element, child.without(b, recursive)),
                None => out.children.push((element.clone(), child.clone())),
            }
        });
        out
    }

    fn push_child(&mut self, element: &PathElement, child: Self) {
        if !child.is_empty() {
            self.children.push((element.clone(), child));
        }
    }

    /// Adds declared fields on the way to a member as members (`EnsureNamedFieldsAreMembers`).
    pub(crate) fn with_named_fields(&self, of: Option<Type<'_>>) -> Self {
        let mut out = Self {
            members: self.members.clone(),
            children: Vec::with_capacity(self.children.len()),
        };
        for (element, child) in &self.children {
            let below = match (element, of) {
                (PathElement::Field(name), Some(of)) => {
                    if of.declares(name)
                        && let Err(place) = out.members.binary_search(element)
                    {
                        out.members.insert(place, element.clone());
                    }
                    of.entry(name)
                }
                (PathElement::Key(_), Some(of)) if matches!(of.shape(), Shape::List(_)) => Some(of.element()),
                _ => None,
            };
            out.children
                .push((element.clone(), child.with_named_fields(below)));
        }
        out
    }

    /// Every path of the set, in order: members of a level before what is below.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect(&mut String::new(), &mut out);
        out
    }

    fn collect(&self, prefix: &mut String, out: &mut Vec<String>) {
        for member in &self.members {
            out.push(format!("{prefix}{member}"));
        }
        for (element, child) in &self.children {
            let length = prefix.len();
            prefix.push_str(&element.to_string());
            child.collect(prefix, out);
            prefix.truncate(length);
        }
    }

    /// Reads `fieldsV1`. Keys that cannot be read are left out.
    pub(crate) fn decode(fields: &Value) -> Self {
        Self::decode_at(fields, 0)
    }

    fn decode_at(fields: &Value, depth: usize) -> Self {
        let mut out = Self::default();
        let Some(entries) = fields.as_object() else {
            return out;
        };
        if depth > MAX_DEPTH {
            return out;
        }
        for (key, below) in entries {
            let Some(element) = PathElement::parse(key) else {
                continue;
            };
            let below_is_empty = below.as_object().is_none_or(Map::is_empty);
            if below_is_empty || below.get(".").is_some() {
                out.members.push(element.clone());
            }
            let child = Self::decode_at(below, depth + 1);
            if !child.is_empty() {
                out.children.push((element, child));
            }
        }
        out.members.sort();
        out.children.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }
}

fn by_element(a: &(PathElement, FieldSet), b: &(PathElement, FieldSet)) -> Ordering {
    a.0.cmp(&b.0)
}

/// Walks two sorted slices in step.
fn zip<'a, T>(
    a: &'a [T],
    b: &'a [T],
    order: impl Fn(&T, &T) -> Ordering,
    mut visit: impl FnMut(Option<&'a T>, Option<&'a T>),
) {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let step = match (a.peek(), b.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => order(left, right),
        };
        match step {
            Ordering::Less => visit(a.next(), None),
            Ordering::Greater => visit(None, b.next()),
            Ordering::Equal => visit(a.next(), b.next()),
        }
    }
}
