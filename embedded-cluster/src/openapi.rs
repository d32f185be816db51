//! The OpenAPI v3 documents that kubectl asks for.
//!
//! In: the registry, upstream's schemas and prose. Out: JSON. No I/O.
//!
//! Paths are described as far as kubectl reads them: kinds by path, and which parameters a patch takes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::resource::{Kind, Registry, api_version};
use crate::schema::{builtin_document, builtin_prose};

const PREFIX: &str = "#/components/schemas/";

/// `/openapi/v3`
pub(crate) fn index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    for group in &registry.groups {
        for version in &group.versions {
            let path = path(&group.name, &version.name);
            let url = format!("/openapi/v3/{path}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

fn path(group: &str, version: &str) -> String {
    let root = if group.is_empty() { "api" } else { "apis" };
    format!("{root}/{}", api_version(group, version))
}

/// `/openapi/v3/apis/GROUP/VERSION`
pub(crate) fn document(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let found = registry.version(group, version)?;
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for kind in &found.kinds {
        describe_paths(kind, &mut paths);
        describe_schema(kind, &mut schemas);
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.3"},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

fn describe_paths(kind: &Kind, paths: &mut Map<String, Value>) {
    let root = path(&kind.group, &kind.version);
    let space = if kind.namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    let collection = format!("/{root}/{space}{}", kind.plural);
    let gvk = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let operation = |action: &str| {
        json!({
            "description": format!("{action} {}", kind.kind),
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk,
            "responses": {"200": {"content": {"application/json": {"schema": {"$ref": format!("{PREFIX}{}", kind.schema_name)}}}}},
            "parameters": parameters(),
        })
    };
    let has = |verb: &str| kind.verbs.iter().any(|known| known == verb);
    let operations = |pairs: &[(&str, &str, &str)]| -> Map<String, Value> {
        pairs
            .iter()
            .filter(|(_, verb, _)| has(verb))
            .map(|(method, _, action)| ((*method).into(), operation(action)))
            .collect()
    };
    let many = operations(&[
        ("get", "list", "list"),
        ("post", "create", "post"),
        ("delete", "deletecollection", "deletecollection"),
    ]);
    let one = operations(&[
        ("get", "get", "get"),
        ("put", "update", "put"),
        ("patch", "patch", "patch"),
        ("delete", "delete", "delete"),
    ]);
    if kind.namespaced {
        let all = operations(&[("get", "list", "list")]);
        paths.insert(format!("/{root}/{}", kind.plural), Value::Object(all));
    }
    paths.insert(format!("{collection}/{{name}}"), Value::Object(one));
    paths.insert(collection, Value::Object(many));
}

fn parameters() -> Value {
    let text =
        |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let flag = json!({"name": "force", "in": "query", "schema": {"type": "boolean", "uniqueItems": true}});
    json!([
        text("dryRun"),
        text("fieldManager"),
        text("fieldValidation"),
        flag
    ])
}

fn describe_schema(kind: &Kind, schemas: &mut Map<String, Value>) {
    let gvk = json!([{"group": kind.group, "version": kind.version, "kind": kind.kind}]);
    let mut wanted = BTreeSet::new();
    match &kind.custom {
        None => {
            wanted.insert(kind.schema_name.clone());
        }
        Some(custom) => {
            let mut schema = custom.schema.clone();
            let fields = crate::object::map_at(&mut schema, &["properties"]);
            const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
            fields.insert(
                "metadata".into(),
                json!({"allOf": [{"$ref": format!("{PREFIX}{META}")}]}),
            );
            for name in ["apiVersion", "kind"] {
                fields.insert(name.into(), json!({"type": "string"}));
            }
            for name in ["apiVersion", "kind", "metadata"] {
                if let (Some(field), Some(text)) = (fields.get_mut(name), prose_of_any_object(name)) {
                    crate::object::put(field, &["description"], text.clone());
                }
            }
            schemas.insert(kind.schema_name.clone(), schema);
            wanted.insert(META.into());
        }
    }
    while let Some(name) = wanted.pop_first() {
        if schemas.contains_key(&name) {
            continue;
        }
        let Some(source) = builtin_document().get(&name) else {
            continue;
        };
        let mut schema = served(source, &mut wanted);
        explain(&mut schema, &name);
        schemas.insert(name, schema);
    }
    if let Some(Value::Object(schema)) = schemas.get_mut(&kind.schema_name) {
        schema.insert("x-kubernetes-group-version-kind".into(), gvk);
    }
}

/// What upstream says of a field that every object has.
fn prose_of_any_object(field: &str) -> Option<&'static Value> {
    builtin_prose().get("io.k8s.api.core.v1.ConfigMap")?.get(field)
}

/// A committed schema in the form that is served; names that it refers to are collected.
fn served(source: &Value, wanted: &mut BTreeSet<String>) -> Value {
    match source {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                wanted.insert(name.into());
                let mut out: Map<String, Value> = fields
                    .iter()
                    .filter(|(key, _)| !matches!(key.as_str(), "$ref" | "x-go"))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                out.insert("allOf".into(), json!([{"$ref": format!("{PREFIX}{name}")}]));
                return Value::Object(out);
            }
            fields
                .iter()
                .filter(|(key, _)| *key != "x-go")
                .map(|(key, value)| (key.clone(), served(value, wanted)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(|item| served(item, wanted)).collect(),
        other => other.clone(),
    }
}

/// Puts upstream's prose into a schema.
fn explain(schema: &mut Value, name: &str) {
    let Some(prose) = builtin_prose().get(name).and_then(Value::as_object) else {
        return;
    };
    for (field, text) in prose {
        let path: &[&str] = if field.is_empty() {
            &[]
        } else {
            &["properties", field]
        };
        if crate::object::at(schema, path).is_some() {
            crate::object::map_at(schema, path).insert("description".into(), text.clone());
        }
    }
}
