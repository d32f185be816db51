//! What Kubernetes knows about the shape of its objects, from upstream's OpenAPI or from a CRD.
//!
//! In: OpenAPI v3 schemas as JSON. Out: a graph of types that the other modules walk. No I/O.
//!
//! Both sources are read by one parser ([`Builder`]); `apply` sees lists and maps as
//! structured-merge-diff does (k8s.io/kube-openapi's `schemaconv`).

mod builder;
mod builtin;
mod check;
mod conform;
mod decode;
pub(crate) mod defaulting;
pub(crate) mod structural;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

pub(crate) use builder::Builder;
pub(crate) use builtin::{builtin, document as builtin_document, prose as builtin_prose};
pub(crate) use check::{drop_unknown, find_unknown};

/// A closed set of types that refer to each other by number.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub(crate) nodes: Vec<Node>,
}

/// One type.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) shape: Shape,
    /// Upstream's name of the type, for messages; only built-in types have one.
    pub(crate) name: Option<Box<str>>,
    /// Rules of a CRD's schema; built-in types are validated in code.
    pub(crate) rules: Option<Arc<structural::Rules>>,
}

/// How a type is built.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Scalar(Scalar),
    Map(Box<MapShape>),
    List(Box<ListShape>),
    /// Maps are merged, lists are atomic: whatever is found.
    Deduced,
    /// Whatever is found, replaced as a whole.
    Untyped,
}

/// Types of leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Text,
    Bytes,
    Time,
    Number,
    Integer32,
    Integer64,
    Integer,
    Boolean,
    IntOrString,
    Quantity,
}

/// A struct, a map, or both.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapShape {
    pub(crate) fields: BTreeMap<String, Slot>,
    pub(crate) element: Option<Slot>,
    pub(crate) atomic: bool,
    pub(crate) required: Vec<String>,
    /// `x-kubernetes-preserve-unknown-fields`
    pub(crate) preserve_unknown: bool,
}

/// An array.
#[derive(Clone, Debug)]
pub(crate) struct ListShape {
    pub(crate) element: Slot,
    pub(crate) kind: ListKind,
}

/// How the elements of a list are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListKind {
    Atomic,
    Set,
    Keyed(Vec<String>),
}

/// The use of a type in a field or as an element.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    pub(crate) node: usize,
    pub(crate) default: Option<Value>,
    pub(crate) nullable: bool,
    pub(crate) patch: Patch,
    /// What becomes of the field when it is zero; nothing if only null is left out.
    pub(crate) zero: Option<Zero>,
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patch {
    pub(crate) merge: bool,
    pub(crate) replace: bool,
    pub(crate) merge_key: Option<String>,
}

pub(crate) use conform::{Zero, conform, settle};
pub(crate) use decode::{from_json, from_unstructured, json_kind};

/// A type within its schema.
#[derive(Clone, Copy)]
pub(crate) struct Type<'a> {
    schema: &'a Schema,
    pub(crate) node: &'a Node,
}

static DEDUCED: Node = Node {
    shape: Shape::Deduced,
    name: None,
    rules: None,
};
static UNTYPED: Node = Node {
    shape: Shape::Untyped,
    name: None,
    rules: None,
};

impl<'a> Type<'a> {
    pub(crate) fn at(schema: &'a Schema, node: usize) -> Self {
        // A number outside the graph cannot be made by the builder; "anything" is a safe answer to it.
        Self {
            schema,
            node: schema.nodes.get(node).unwrap_or(&DEDUCED),
        }
    }

    fn with(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }

    pub(crate) fn slot(self, slot: &Slot) -> Self {
        Self::at(self.schema, slot.node)
    }

    pub(crate) fn shape(self) -> &'a Shape {
        &self.node.shape
    }

    /// The slot of a named field, if the type is a struct that has it.
    pub(crate) fn field_slot(self, name: &str) -> Option<&'a Slot> {
        match &self.node.shape {
            Shape::Map(map) => map.fields.get(name),
            _ => None,
        }
    }

    /// The type of a map's entry or struct's field; nothing if the schema does not allow it.
    pub(crate) fn entry(self, name: &str) -> Option<Self> {
        match &self.node.shape {
            Shape::Map(map) => match map.fields.get(name).or(map.element.as_ref()) {
                Some(slot) => Some(self.slot(slot)),
                None if map.preserve_unknown => Some(self.with(&DEDUCED)),
                None => None,
            },
            Shape::Deduced => Some(self.with(&DEDUCED)),
            Shape::Untyped => Some(self.with(&UNTYPED)),
            Shape::Scalar(_) | Shape::List(_) => None,
        }
    }

    /// Whether the name is a declared field, as opposed to a map's key.
    pub(crate) fn declares(self, name: &str) -> bool {
        self.field_slot(name).is_some()
    }

    /// The type of a list's elements.
    pub(crate) fn element(self) -> Self {
        match &self.node.shape {
            Shape::List(list) => self.slot(&list.element),
            _ => self.with(&UNTYPED),
        }
    }
}

/// A root type and its schema, shared.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) schema: Arc<Schema>,
    pub(crate) node: usize,
}

impl Root {
    pub(crate) fn view(&self) -> Type<'_> {
        Type::at(&self.schema, self.node)
    }
}
