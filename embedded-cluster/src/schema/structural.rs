//! Validation by a CRD's schema.
//!
//! In: an object and its type. Out: causes. No I/O. The words are those of
//! k8s.io/kube-openapi's validation errors. CEL rules (`x-kubernetes-validations`) are not evaluated.

use regex::Regex;
use serde_json::Value;

use super::{ListKind, MapShape, Scalar, Shape, Type};
use crate::answer::Cause;
use crate::apply::PathElement;

/// What a schema asks of a value beyond its type.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    one_of: Option<Vec<Value>>,
    pattern: Option<Pattern>,
    minimum: Option<Bound>,
    maximum: Option<Bound>,
    multiple_of: Option<f64>,
    length: Range,
    items: Range,
    properties: Range,
    unique_items: bool,
    format: Option<String>,
    /// `anyOf`, `oneOf`, `allOf`, `not`: only value checks are allowed there.
    any_of: Vec<Rules>,
    exactly_one_of: Vec<Rules>,
    all_of: Vec<Rules>,
    not: Option<Box<Rules>>,
    required: Vec<String>,
    fields: Vec<(String, Rules)>,
}

#[derive(Debug, Default)]
struct Range {
    least: Option<u64>,
    most: Option<u64>,
}

#[derive(Debug)]
struct Bound {
    value: f64,
    shown: String,
    exclusive: bool,
}

#[derive(Debug)]
struct Pattern {
    source: String,
    /// Nothing if Rust's regex cannot read what Go's can.
    compiled: Option<Regex>,
}

impl Rules {
    /// The rules of a schema; nothing if it has none.
    pub(crate) fn read(schema: &Value) -> Option<Self> {
        let rules = Self::of(schema);
        let none = rules.one_of.is_none()
            && rules.pattern.is_none()
            && rules.minimum.is_none()
            && rules.maximum.is_none()
            && rules.multiple_of.is_none()
            && rules.length.is_open()
            && rules.items.is_open()
            && rules.properties.is_open()
            && !rules.unique_items
            && rules.format.is_none()
            && rules.any_of.is_empty()
            && rules.exactly_one_of.is_empty()
            && rules.all_of.is_empty()
            && rules.not.is_none();
        (!none).then_some(rules)
    }

    fn of(schema: &Value) -> Self {
        let number = |key: &str| schema.get(key).and_then(Value::as_u64);
        let range = |least: &str, most: &str| Range {
            least: number(least),
            most: number(most),
        };
        let bound = |key: &str, exclusive: &str| {
            let value = schema.get(key)?;
            let exclusive = schema.get(exclusive).and_then(Value::as_bool).unwrap_or(false);
            Some(Bound {
                value: value.as_f64()?,
                shown: value.to_string(),
                exclusive,
            })
        };
        let many = |key: &str| -> Vec<Self> {
            schema
                .get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(Self::of)
                .collect()
        };
        let text = |key: &str| schema.get(key).and_then(Value::as_str);
        Self {
            one_of: schema.get("enum").and_then(Value::as_array).cloned(),
            pattern: text("pattern").map(|source| Pattern {
                source: source.into(),
                compiled: Regex::new(source).ok(),
            }),
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: schema.get("multipleOf").and_then(Value::as_f64),
            length: range("minLength", "maxLength"),
            items: range("minItems", "maxItems"),
            properties: range("minProperties", "maxProperties"),
            unique_items: schema
                .get("uniqueItems")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            format: text("format").map(String::from),
            any_of: many("anyOf"),
            exactly_one_of: many("oneOf"),
            all_of: many("allOf"),
            not: schema.get("not").map(|not| Box::new(Self::of(not))),
            required: super::builder::texts(schema, "required"),
            fields: schema
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(name, field)| (name.clone(), Self::of(field)))
                .collect(),
        }
    }

    fn check(&self, value: &Value, path: &str, out: &mut Vec<Cause>) {
        if let Some(allowed) = &self.one_of
            && !allowed.contains(value)
        {
            let allowed: Vec<String> = allowed
                .iter()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), String::from))
                .collect();
            out.push(Cause::unsupported(
                path,
                value,
                &allowed.iter().map(String::as_str).collect::<Vec<_>>(),
            ));
        }
        match value {
            Value::String(text) => self.check_text(text, value, path, out),
            Value::Number(_) => self.check_number(value, path, out),
            Value::Array(items) => self.check_items(items, value, path, out),
            Value::Object(fields) => self.check_fields(fields, value, path, out),
            Value::Bool(_) | Value::Null => {}
        }
        self.check_combined(value, path, out);
    }

    fn check_text(&self, text: &str, value: &Value, path: &str, out: &mut Vec<Cause>) {
        let length = text.chars().count() as u64;
        if let Some(most) = self.length.most.filter(|most| length > *most) {
            out.push(Cause::too_long(path, usize::try_from(most).unwrap_or(usize::MAX)));
        } else if let Some(least) = self.length.least.filter(|least| length < *least) {
            let why = format!("{path} in body should be at least {least} chars long");
            out.push(Cause::invalid(path, value, &why));
        } else if let Some(pattern) = &self.pattern
            && pattern
                .compiled
                .as_ref()
                .is_some_and(|compiled| !compiled.is_match(text))
        {
            let why = format!("{path} in body should match '{}'", pattern.source);
            out.push(Cause::invalid(path, value, &why));
        }
        if let Some(format) = self.format.as_deref()
            && !fits_format(format, text)
        {
            out.push(Cause::wrong_type(
                path,
                value,
                &format!("{path} in body must be of type {format}: {text:?}"),
            ));
        }
    }

    fn check_number(&self, value: &Value, path: &str, out: &mut Vec<Cause>) {
        let Some(number) = value.as_f64() else { return };
        let mut refuse = |what: String| {
            out.push(Cause::invalid(
                path,
                value,
                &format!("{path} in body should be {what}"),
            ));
        };
        if let Some(bound) = &self.minimum {
            if bound.exclusive && number <= bound.value {
                refuse(format!("greater than {}", bound.shown));
            } else if number < bound.value {
                refuse(format!("greater than or equal to {}", bound.shown));
            }
        }
        if let Some(bound) = &self.maximum {
            if bound.exclusive && number >= bound.value {
                refuse(format!("less than {}", bound.shown));
            } else if number > bound.value {
                refuse(format!("less than or equal to {}", bound.shown));
            }
        }
        if let Some(factor) = self.multiple_of.filter(|factor| *factor > 0.0)
            && (number / factor).fract() != 0.0
        {
            refuse(format!("a multiple of {factor}"));
        }
    }

    fn check_items(&self, items: &[Value], value: &Value, path: &str, out: &mut Vec<Cause>) {
        let length = items.len() as u64;
        if let Some(most) = self.items.most.filter(|most| length > *most) {
            out.push(too_many(path, length, most));
        }
        if let Some(least) = self.items.least.filter(|least| length < *least) {
            out.push(Cause::invalid(
                path,
                &length.into(),
                &format!("{path} in body should have at least {least} items"),
            ));
        }
        if self.unique_items
            && items
                .iter()
                .enumerate()
                .any(|(at, item)| items.iter().take(at).any(|other| other == item))
        {
            out.push(Cause::invalid(
                path,
                value,
                &format!("{path} in body shouldn't contain duplicates"),
            ));
        }
    }

    fn check_fields(
        &self,
        fields: &serde_json::Map<String, Value>,
        value: &Value,
        path: &str,
        out: &mut Vec<Cause>,
    ) {
        let length = fields.len() as u64;
        if let Some(most) = self.properties.most.filter(|most| length > *most) {
            out.push(too_many(path, length, most));
        }
        if let Some(least) = self.properties.least.filter(|least| length < *least) {
            out.push(Cause::invalid(
                path,
                value,
                &format!("{path} in body should have at least {least} properties"),
            ));
        }
    }

    fn check_combined(&self, value: &Value, path: &str, out: &mut Vec<Cause>) {
        let mut refuse = |what: &str| {
            out.push(Cause::invalid(
                path,
                value,
                &format!(
                    "{:?} must validate {what}",
                    if path.is_empty() { "" } else { path }
                ),
            ));
        };
        if !self.any_of.is_empty() && !self.any_of.iter().any(|rules| rules.holds(value)) {
            refuse("at least one schema (anyOf)");
        }
        if !self.exactly_one_of.is_empty() {
            match self
                .exactly_one_of
                .iter()
                .filter(|rules| rules.holds(value))
                .count()
            {
                1 => {}
                0 => refuse("one and only one schema (oneOf). Found none valid"),
                found => refuse(&format!(
                    "one and only one schema (oneOf). Found {found} valid alternatives"
                )),
            }
        }
        if !self.all_of.is_empty() && !self.all_of.iter().all(|rules| rules.holds(value)) {
            refuse("all the schemas (allOf)");
        }
        if self.not.as_ref().is_some_and(|rules| rules.holds(value)) {
            out.push(Cause::invalid(
                path,
                value,
                &format!("{path:?} must not validate the schema (not)"),
            ));
        }
    }

    /// Whether a value fits one branch of a combination.
    fn holds(&self, value: &Value) -> bool {
        let mut out = Vec::new();
        self.check(value, "", &mut out);
        let has_required = self.required.iter().all(|name| value.get(name).is_some());
        let fields = self
            .fields
            .iter()
            .all(|(name, rules)| value.get(name).is_none_or(|value| rules.holds(value)));
        out.is_empty() && has_required && fields
    }
}

impl Range {
    fn is_open(&self) -> bool {
        self.least.is_none() && self.most.is_none()
    }
}

fn too_many(path: &str, actual: u64, most: u64) -> Cause {
    let message = format!(
        "Too many: {actual}: must have at most {most} {}",
        if most == 1 { "item" } else { "items" }
    );
    Cause {
        reason: "FieldValueTooMany",
        message,
        field: path.into(),
    }
}

fn fits_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "byte" => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        _ => true,
    }
}

/// Everything that is wrong with an object under its CRD's schema.
pub(crate) fn validate(value: &Value, of: Type<'_>) -> Vec<Cause> {
    let mut out = Vec::new();
    visit(value, of, false, &mut String::new(), &mut out);
    out
}

/// What is wrong with a default under the schema that has it.
pub(crate) fn check_default(schema: &Value, default: &Value, at: &str) -> Vec<Cause> {
    let mut builder = super::Builder::structural(super::builtin_document());
    let node = builder.inline(schema, 1);
    let schema = builder.finish();
    let mut causes = validate(default, Type::at(&schema, node));
    for cause in &mut causes {
        // A default at the root of its schema has no path.
        cause.field = if cause.field == "<nil>" {
            at.to_owned()
        } else {
            format!("{at}.{}", cause.field)
        };
    }
    causes
}

fn visit(value: &Value, of: Type<'_>, nullable: bool, path: &mut String, out: &mut Vec<Cause>) {
    if value.is_null() && nullable {
        return;
    }
    let shown = if path.is_empty() {
        "<nil>".to_owned()
    } else {
        path.clone()
    };
    if let Some(expected) = wrong_type(value, of) {
        let got = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        out.push(Cause::wrong_type(
            shown,
            &got.into(),
            &format!("{path} in body must be of type {expected}: {got:?}"),
        ));
        return;
    }
    if let Some(rules) = &of.node.rules {
        rules.check(value, path, out);
    }
    match (value, of.shape()) {
        (Value::Object(fields), Shape::Map(map)) => {
            visit_fields(fields, map, of, path, out);
        }
        (Value::Array(items), Shape::List(list)) => {
            let mut seen = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let length = path.len();
                path.push_str(&format!("[{index}]"));
                if list.kind != ListKind::Atomic
                    && let Ok(element) = PathElement::of_item(list, of.element(), item)
                {
                    if seen.contains(&element) {
                        out.push(duplicate(path, &element, item));
                    }
                    seen.push(element);
                }
                visit(item, of.element(), list.element.nullable, path, out);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn duplicate(path: &str, element: &PathElement, item: &Value) -> Cause {
    match element {
        PathElement::Key(keys) => {
            let keys: serde_json::Map<String, Value> = keys
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect();
            Cause::duplicate(path, &Value::Object(keys))
        }
        _ => Cause::duplicate(path, item),
    }
}

fn visit_fields(
    fields: &serde_json::Map<String, Value>,
    map: &MapShape,
    of: Type<'_>,
    path: &mut String,
    out: &mut Vec<Cause>,
) {
    for name in &map.required {
        if !fields.contains_key(name) {
            let dot = if path.is_empty() { "" } else { "." };
            out.push(Cause::required(format!("{path}{dot}{name}"), ""));
        }
    }
    let top = path.is_empty();
    for (name, entry) in fields {
        // Metadata is checked by the rules of all objects.
        if top && name == "metadata" {
            continue;
        }
        let Some(below) = of.entry(name) else { continue };
        let nullable = map
            .fields
            .get(name)
            .or(map.element.as_ref())
            .is_none_or(|slot| slot.nullable);
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        visit(entry, below, nullable, path, out);
        path.truncate(length);
    }
}

fn wrong_type(value: &Value, of: Type<'_>) -> Option<&'static str> {
    match (of.shape(), value) {
        (Shape::Deduced | Shape::Untyped, _)
        | (Shape::Map(_), Value::Object(_))
        | (Shape::List(_), Value::Array(_)) => None,
        (Shape::Map(_), _) => Some("object"),
        (Shape::List(_), _) => Some("array"),
        (Shape::Scalar(scalar), value) => match scalar {
            Scalar::Integer | Scalar::Integer32 | Scalar::Integer64 => {
                let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
                (!whole).then_some("integer")
            }
            other => (!other.accepts(value)).then_some(match other {
                Scalar::Boolean => "boolean",
                Scalar::Number => "number",
                Scalar::IntOrString => "integer,string",
                _ => "string",
            }),
        },
    }
}
