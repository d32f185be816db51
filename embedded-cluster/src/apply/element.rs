//! One step of a path into an object. Counterpart: `fieldpath.PathElement`. No I/O.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

use crate::schema::{ListKind, ListShape, Type};

/// One step: a field, a list element by its keys or value, or by position.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PathElement {
    Field(Box<str>),
    /// Names and values of the key fields, sorted by name.
    Key(Box<[(Box<str>, Value)]>),
    Value(Box<Value>),
    Index(usize),
}

impl PathElement {
    pub(crate) fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }

    /// What identifies an element of a list that is not atomic (`listItemToPathElement`).
    pub(crate) fn of_item(list: &ListShape, element: Type<'_>, item: &Value) -> Result<Self, String> {
        match &list.kind {
            ListKind::Keyed(keys) => Self::keyed(keys, element, item),
            ListKind::Set => match item {
                Value::Object(_) => {
                    Err("associative list without keys has an element that's a map type".into())
                }
                Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
                Value::Null => {
                    Err("associative list without keys has an element that's an explicit null".into())
                }
                scalar => Ok(Self::Value(Box::new(scalar.clone()))),
            },
            ListKind::Atomic => Err("invalid indexing of non-associative list".into()),
        }
    }

    fn keyed(keys: &[String], element: Type<'_>, item: &Value) -> Result<Self, String> {
        let fields = match item {
            Value::Object(fields) => fields,
            Value::Null => return Err("associative list with keys may not have a null element".into()),
            _ => return Err("associative list with keys may not have non-map elements".into()),
        };
        let mut found: Vec<(Box<str>, Value)> = Vec::with_capacity(keys.len());
        for key in keys {
            let default = || element.field_slot(key).and_then(|slot| slot.default.clone());
            if let Some(value) = fields.get(key).cloned().or_else(default) {
                found.push((key.as_str().into(), value));
            }
        }
        if found.is_empty() && !keys.is_empty() {
            let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                keys.join(" ")
            ));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self::Key(found.into_boxed_slice()))
    }

    /// Reads the form used in `fieldsV1`, for example `f:spec` or `k:{"name":"web"}`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (sign, rest) = text.split_once(':')?;
        match sign {
            "f" => Some(Self::field(rest)),
            "v" => serde_json::from_str(rest)
                .ok()
                .map(|value| Self::Value(Box::new(value))),
            "i" => rest.parse().ok().map(Self::Index),
            "k" => {
                let keys: serde_json::Map<String, Value> = serde_json::from_str(rest).ok()?;
                Some(Self::Key(
                    keys.into_iter()
                        .map(|(name, value)| (name.into_boxed_str(), value))
                        .collect(),
                ))
            }
            _ => None,
        }
    }

    /// Writes the form used in `fieldsV1`.
    pub(crate) fn encoded(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
            Self::Key(keys) => {
                let keys: serde_json::Map<String, Value> = keys
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.clone()))
                    .collect();
                format!("k:{}", Value::Object(keys))
            }
        }
    }
}

impl Eq for PathElement {}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => {
                for (a, b) in a.iter().zip(b.iter()) {
                    let order = a.0.cmp(&b.0).then_with(|| compare_values(&a.1, &b.1));
                    if order.is_ne() {
                        return order;
                    }
                }
                a.len().cmp(&b.len())
            }
            (Self::Value(a), Self::Value(b)) => compare_values(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (index, (name, value)) in keys.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{name}={value}")?;
                }
                f.write_str("]")
            }
        }
    }
}

/// A total order over JSON values: numbers, strings, booleans, lists, maps, null (`value.Compare`).
pub(crate) fn compare_values(a: &Value, b: &Value) -> Ordering {
    fn rank(value: &Value) -> u8 {
        match value {
            Value::Number(_) => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            Value::Array(_) => 3,
            Value::Object(_) => 4,
            Value::Null => 5,
        }
    }
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a
                .as_f64()
                .unwrap_or(f64::NAN)
                .total_cmp(&b.as_f64().unwrap_or(f64::NAN)),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let first = a
                .iter()
                .zip(b)
                .map(|(a, b)| compare_values(a, b))
                .find(|order| order.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let pairs = a
                .iter()
                .zip(b)
                .map(|(a, b)| a.0.cmp(b.0).then_with(|| compare_values(a.1, b.1)));
            pairs
                .into_iter()
                .find(|order| order.is_ne())
                .unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}
