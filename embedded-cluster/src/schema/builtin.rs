//! Upstream's own types, from the committed data (see `data/README.md` for its origin and licence).
//!
//! In: JSON compiled into the program. Out: one graph of all built-in types. No I/O.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use super::{Builder, Root, Schema};

static DOCUMENT: LazyLock<Map<String, Value>> =
    LazyLock::new(|| parse(include_str!("../../data/schemas.json")));
static PROSE: LazyLock<Map<String, Value>> =
    LazyLock::new(|| parse(include_str!("../../data/descriptions.json")));
static TYPES: LazyLock<(Arc<Schema>, HashMap<String, usize>)> = LazyLock::new(|| {
    let mut builder = Builder::with_names(&DOCUMENT);
    let names = DOCUMENT
        .keys()
        .map(|name| (name.clone(), builder.name(name)))
        .collect();
    (Arc::new(builder.finish()), names)
});

#[expect(
    clippy::expect_used,
    reason = "the text is part of the program; a unit test reads it"
)]
fn parse(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).expect("committed data is JSON")
}

/// The type with upstream's name, for example `io.k8s.api.apps.v1.Deployment`.
pub(crate) fn builtin(name: &str) -> Option<Root> {
    let (schema, names) = &*TYPES;
    names.get(name).map(|node| Root {
        schema: Arc::clone(schema),
        node: *node,
    })
}

/// All built-in schemas as OpenAPI, by name.
pub(crate) fn document() -> &'static Map<String, Value> {
    &DOCUMENT
}

/// Descriptions by type name, then by field name (the empty one is the type's own).
pub(crate) fn prose() -> &'static Map<String, Value> {
    &PROSE
}
