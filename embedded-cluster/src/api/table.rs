//! Tables, as `kubectl get` prints them.
//!
//! In: objects. Out: rows. No I/O.

use serde_json::{Value, json};

use super::render;
use crate::object;
use crate::request::{Include, TableForm};
use crate::resource::Kind;
use crate::store::Stored;

/// A `meta.k8s.io/v1` Table.
pub(crate) fn table(kind: &Kind, items: &[&Stored], meta: Option<Value>, form: TableForm) -> Value {
    let columns = crate::columns::of(kind);
    let rows: Vec<Value> = items
        .iter()
        .map(|stored| {
            let cells: Vec<Value> = columns.iter().map(|column| column.cell(&stored.value, form.now)).collect();
            let mut row = json!({"cells": cells});
            match form.include {
                Include::None => object::put(&mut row, &["object"], Value::Null),
                Include::Metadata => {
                    let whole = render::value(stored, kind);
                    object::put(
                        &mut row,
                        &["object"],
                        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": whole.get("metadata")}),
                    );
                }
                Include::Object => object::put(&mut row, &["object"], render::value(stored, kind)),
            }
            row
        })
        .collect();
    let meta = meta.unwrap_or_else(|| match items {
        [one] => json!({"resourceVersion": one.revision.to_string()}),
        _ => json!({}),
    });
    let definitions: Vec<Value> = columns.iter().map(crate::columns::Column::definition).collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": definitions, "rows": rows})
}
