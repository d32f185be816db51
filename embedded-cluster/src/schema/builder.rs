//! OpenAPI v3 schemas to types.
//!
//! In: JSON schemas, and for `$ref` a dictionary of named ones. Out: nodes of a [`Schema`]. No I/O.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::structural::Rules;
use super::{ListKind, ListShape, MapShape, Node, Patch, Scalar, Schema, Shape, Slot, Zero};

/// Schemas nested deeper than this are read as "anything".
const MAX_DEPTH: usize = 64;

/// Reads schemas into one graph.
pub(crate) struct Builder<'a> {
    named: Option<&'a Map<String, Value>>,
    done: HashMap<String, usize>,
    nodes: Vec<Node>,
    /// CRDs: read validation rules, mind `x-kubernetes-preserve-unknown-fields`.
    structural: bool,
}

impl<'a> Builder<'a> {
    /// Reads built-in types: `$ref` names an entry of the dictionary.
    pub(crate) fn with_names(named: &'a Map<String, Value>) -> Self {
        Self {
            named: Some(named),
            done: HashMap::new(),
            nodes: Vec::new(),
            structural: false,
        }
    }

    /// Reads a CRD's schema, with `metadata` described by the dictionary's ObjectMeta.
    pub(crate) fn structural(named: &'a Map<String, Value>) -> Self {
        Self {
            structural: true,
            ..Self::with_names(named)
        }
    }

    pub(crate) fn finish(self) -> Schema {
        Schema { nodes: self.nodes }
    }

    /// The number of the named type, read on first use.
    pub(crate) fn name(&mut self, name: &str) -> usize {
        if let Some(node) = self.done.get(name) {
            return *node;
        }
        let node = self.reserve();
        self.done.insert(name.into(), node);
        let structural = std::mem::replace(&mut self.structural, false);
        let shape = match name.rsplit('.').next() {
            Some("Quantity") => Shape::Scalar(Scalar::Quantity),
            Some("IntOrString") => Shape::Scalar(Scalar::IntOrString),
            Some("RawExtension") => Shape::Untyped,
            Some("Time" | "MicroTime") => Shape::Scalar(Scalar::Time),
            Some(
                "JSON"
                | "JSONSchemaPropsOrBool"
                | "JSONSchemaPropsOrArray"
                | "JSONSchemaPropsOrStringArray"
                | "FieldsV1",
            ) => Shape::Deduced,
            _ => match self.named.and_then(|named| named.get(name)) {
                Some(schema) => self.shape(schema, 0),
                None => Shape::Deduced,
            },
        };
        self.structural = structural;
        let short = name.rsplit('.').next().map(Box::from);
        self.set(
            node,
            Node {
                shape,
                name: short,
                rules: None,
            },
        );
        node
    }

    /// The number of an inline schema's type.
    pub(crate) fn inline(&mut self, schema: &Value, depth: usize) -> usize {
        let node = self.reserve();
        let shape = self.shape(schema, depth);
        let rules = if self.structural {
            Rules::read(schema).map(Arc::new)
        } else {
            None
        };
        self.set(
            node,
            Node {
                shape,
                name: None,
                rules,
            },
        );
        node
    }

    fn reserve(&mut self) -> usize {
        self.nodes.push(Node {
            shape: Shape::Deduced,
            name: None,
            rules: None,
        });
        self.nodes.len() - 1
    }

    fn set(&mut self, place: usize, node: Node) {
        if let Some(place) = self.nodes.get_mut(place) {
            *place = node;
        }
    }

    fn slot(&mut self, schema: &Value, depth: usize) -> Slot {
        let node = match schema.get("$ref").and_then(Value::as_str) {
            Some(name) => self.name(name),
            None => self.inline(schema, depth),
        };
        let node = self.overridden(node, schema);
        Slot {
            node,
            default: schema.get("default").cloned(),
            nullable: flag(schema, "nullable"),
            patch: patch(schema),
            zero: text(schema, "x-go").and_then(Zero::read),
        }
    }

    /// A reference may say that this use of a map is atomic.
    fn overridden(&mut self, node: usize, schema: &Value) -> usize {
        if schema.get("$ref").is_none() || schema.get("x-kubernetes-map-type").is_none() {
            return node;
        }
        let Some(Node {
            shape: Shape::Map(map),
            name,
            rules,
        }) = self.nodes.get(node).cloned()
        else {
            return node;
        };
        let atomic = text(schema, "x-kubernetes-map-type") == Some("atomic");
        self.nodes.push(Node {
            shape: Shape::Map(Box::new(MapShape { atomic, ..*map })),
            name,
            rules,
        });
        self.nodes.len() - 1
    }

    fn shape(&mut self, schema: &Value, depth: usize) -> Shape {
        if depth > MAX_DEPTH {
            return Shape::Deduced;
        }
        if flag(schema, "x-kubernetes-int-or-string") {
            return Shape::Scalar(Scalar::IntOrString);
        }
        match text(schema, "type") {
            Some("object") => self.map(schema, depth),
            Some("array") => self.list(schema, depth),
            Some("string") => Shape::Scalar(match text(schema, "format") {
                Some("byte") => Scalar::Bytes,
                Some("date-time") if !self.structural => Scalar::Time,
                Some("int-or-string") => Scalar::IntOrString,
                _ => Scalar::Text,
            }),
            Some("integer") => Shape::Scalar(match text(schema, "format") {
                Some("int32") => Scalar::Integer32,
                Some("int64") => Scalar::Integer64,
                _ => Scalar::Integer,
            }),
            Some("number") => Shape::Scalar(Scalar::Number),
            Some("boolean") => Shape::Scalar(Scalar::Boolean),
            _ if schema.get("properties").is_some() => self.map(schema, depth),
            _ => Shape::Deduced,
        }
    }

    fn map(&mut self, schema: &Value, depth: usize) -> Shape {
        let properties = schema.get("properties").and_then(Value::as_object);
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        let mut shape = MapShape {
            atomic: text(schema, "x-kubernetes-map-type") == Some("atomic"),
            required: texts(schema, "required"),
            preserve_unknown: flag(schema, "x-kubernetes-preserve-unknown-fields"),
            ..MapShape::default()
        };
        for (name, field) in properties.into_iter().flatten() {
            let slot = self.slot(field, depth + 1);
            shape.fields.insert(name.clone(), slot);
        }
        if self.structural && embedded && depth > 0 {
            shape.required.extend(["apiVersion", "kind"].map(String::from));
        }
        if self.structural && (depth == 0 || embedded) {
            self.describe_type_and_metadata(&mut shape);
        }
        match schema.get("additionalProperties") {
            Some(Value::Bool(true)) => shape.preserve_unknown = true,
            Some(element @ Value::Object(_)) => shape.element = Some(self.slot(element, depth + 1)),
            _ if shape.fields.is_empty() && !self.structural => shape.preserve_unknown = true,
            _ => {}
        }
        Shape::Map(Box::new(shape))
    }

    /// Every object has these three, whatever its CRD says of them.
    fn describe_type_and_metadata(&mut self, shape: &mut MapShape) {
        let metadata = self.name("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
        shape.fields.insert(
            "metadata".into(),
            Slot {
                node: metadata,
                ..Slot::default()
            },
        );
        for name in ["apiVersion", "kind"] {
            let node = self.inline(&serde_json::json!({"type": "string"}), 1);
            shape.fields.insert(
                name.into(),
                Slot {
                    node,
                    ..Slot::default()
                },
            );
        }
    }

    fn list(&mut self, schema: &Value, depth: usize) -> Shape {
        let element = match schema.get("items") {
            Some(items) => self.slot(items, depth + 1),
            None => Slot {
                node: self.inline(&Value::Null, depth + 1),
                ..Slot::default()
            },
        };
        let kind = match text(schema, "x-kubernetes-list-type") {
            Some("set") => ListKind::Set,
            Some("map") => ListKind::Keyed(texts(schema, "x-kubernetes-list-map-keys")),
            _ => ListKind::Atomic,
        };
        Shape::List(Box::new(ListShape { element, kind }))
    }
}

fn patch(schema: &Value) -> Patch {
    let strategy = text(schema, "x-kubernetes-patch-strategy").unwrap_or_default();
    let has = |word| strategy.split(',').any(|part| part == word);
    Patch {
        merge: has("merge"),
        replace: has("replace"),
        merge_key: text(schema, "x-kubernetes-patch-merge-key").map(String::from),
    }
}

fn text<'v>(schema: &'v Value, key: &str) -> Option<&'v str> {
    schema.get(key).and_then(Value::as_str)
}

fn flag(schema: &Value, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool).unwrap_or(false)
}

pub(crate) fn texts(schema: &Value, key: &str) -> Vec<String> {
    let words = schema.get(key).and_then(Value::as_array);
    words
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(String::from)
        .collect()
}
