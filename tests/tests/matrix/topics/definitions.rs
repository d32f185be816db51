//! Definitions of custom kinds: what they need, when they are served, how they go.

use serde_json::{Value, json};

use super::shapes::with;
use crate::case::{Case, Condition, case, row, until};
use crate::request::{apply, delete, get, group, merge, post, put};

pub(super) fn cases() -> Vec<Case> {
    vec![life(), refusals(), schemas(), versions()]
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A definition of `KINDs.GROUP` with this schema of `spec`.
pub(super) fn definition(group: &str, kind: &str, spec: &Value) -> Value {
    let singular = kind.to_lowercase();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{singular}s.{group}") },
        "spec": {
            "group": group, "scope": "Namespaced", "names": { "plural": format!("{singular}s"), "singular": singular, "kind": kind },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": spec } } },
            }],
        },
    })
}

/// The path of a definition.
pub(super) fn definition_path(name: &str) -> String {
    format!("{DEFINITIONS}/{name}")
}

/// The path of all definitions.
pub(super) fn definitions_path() -> String {
    DEFINITIONS.to_owned()
}

/// Whether the third condition, of three, says that it is served.
pub(super) fn is_established() -> Condition {
    Condition::Is("/status/conditions/1/status", json!("True"))
}

fn open_object() -> Value {
    json!({ "type": "object", "properties": { "size": { "type": "integer" } } })
}

fn life() -> Case {
    let name = "gadgets.life.example.com";
    let objects = || group("life.example.com/v1", "gadgets");
    let gadget = |name: &str| json!({ "apiVersion": "life.example.com/v1", "kind": "Gadget", "metadata": { "name": name }, "spec": { "size": 1 } });
    case(
        "a definition is served once it is established, until it goes",
        [
            row("a kind without its definition is not served", get(objects())),
            row(
                "a dry run of a definition defines nothing",
                post(
                    definitions_path(),
                    &definition("life.example.com", "Gadget", &open_object()),
                )
                .dry_run(),
            ),
            row(
                "a definition is created",
                post(
                    definitions_path(),
                    &definition("life.example.com", "Gadget", &open_object()),
                ),
            ),
            until(
                "a definition is established",
                get(definition_path(name)),
                is_established(),
            ),
            until("a defined kind is served", get(objects()), Condition::Code(200)),
            row(
                "an object of a defined kind is created",
                post(objects(), &gadget("a")),
            ),
            row(
                "an object of a defined kind is read",
                get(format!("{}/a", objects())),
            ),
            row("objects of a defined kind are listed", get(objects())),
            row(
                "an object of a defined kind needs a kind",
                post(
                    objects(),
                    &json!({ "apiVersion": "life.example.com/v1", "metadata": { "name": "b" } }),
                ),
            ),
            row(
                "an object of a defined kind needs a version",
                post(
                    objects(),
                    &json!({ "kind": "Gadget", "metadata": { "name": "b" } }),
                ),
            ),
            row(
                "an object of another kind is refused by a defined one",
                post(
                    objects(),
                    &json!({ "apiVersion": "life.example.com/v1", "kind": "Other", "metadata": { "name": "b" } }),
                ),
            ),
            row(
                "an object of another version is refused by a defined one",
                post(
                    objects(),
                    &json!({ "apiVersion": "life.example.com/v2", "kind": "Gadget", "metadata": { "name": "b" } }),
                ),
            ),
            row(
                "an object of a defined kind cannot be created twice",
                post(objects(), &gadget("a")),
            ),
            row(
                "an object of a defined kind has no status",
                get(format!("{}/a/status", objects())),
            ),
            row(
                "an object of a defined kind needs a resourceVersion to be updated",
                put(format!("{}/a", objects()), &gadget("a")),
            ),
            row(
                "a strategic merge is not for defined kinds",
                crate::request::strategic(format!("{}/a", objects()), &json!({})),
            ),
            row(
                "an object that is not there is not found by its defined kind",
                get(format!("{}/zzz", objects())),
            ),
            row("the definition is deleted", delete(definition_path(name))),
            until(
                "the definition is gone",
                get(definition_path(name)),
                Condition::Code(404),
            ),
            until(
                "the defined kind is not served any more",
                get(objects()),
                Condition::Code(404),
            ),
        ],
    )
}

fn refusals() -> Case {
    let base = || definition("refused.example.com", "Gadget", &open_object());
    let create = |body: &Value| post(definitions_path(), body);
    case(
        "a definition is refused for many reasons",
        [
            row(
                "the name is made of plural and group",
                create(&with(
                    base(),
                    "/metadata/name",
                    json!("other.refused.example.com"),
                )),
            ),
            row(
                "a group is needed",
                create(&with(base(), "/spec/group", json!(""))),
            ),
            row(
                "a scope is needed",
                create(&with(base(), "/spec/scope", json!(""))),
            ),
            row(
                "a scope is one of two",
                create(&with(base(), "/spec/scope", json!("Galaxy"))),
            ),
            row(
                "versions are needed",
                create(&with(base(), "/spec/versions", json!([]))),
            ),
            row(
                "one version is stored",
                create(&with(base(), "/spec/versions/0/storage", json!(false))),
            ),
            row(
                "a schema is needed",
                create(&with(base(), "/spec/versions/0/schema", json!({}))),
            ),
            row(
                "a kind is needed",
                create(&with(base(), "/spec/names/kind", json!(""))),
            ),
            row(
                "a plural is a label",
                create(&with(base(), "/spec/names/plural", json!("Gad gets"))),
            ),
            row(
                "the root is an object",
                create(&with(
                    base(),
                    "/spec/versions/0/schema/openAPIV3Schema",
                    json!({ "type": "string" }),
                )),
            ),
            row(
                "an unknown field of a definition is dropped with a warning",
                create(&with(base(), "/spec/zzz", json!(1))).dry_run(),
            ),
            row(
                "an unknown field of a definition is refused when that is asked for",
                create(&with(base(), "/spec/zzz", json!(1))).validation("Strict"),
            ),
            row(
                "a protected group needs an approval",
                create(&definition("refused.k8s.io", "Gadget", &open_object())),
            ),
        ],
    )
}

fn schemas() -> Case {
    let create = |spec: &Value| {
        post(
            definitions_path(),
            &definition("schemas.example.com", "Gadget", spec),
        )
        .dry_run()
    };
    let of = |field: Value| json!({ "type": "object", "properties": { "a": field } });
    case(
        "the schema of a definition has to be structural",
        [
            row("a type is needed", create(&of(json!({})))),
            row("a type is a known one", create(&of(json!({ "type": "galaxy" })))),
            row(
                "a default has to fit",
                create(&of(json!({ "type": "integer", "default": "x" }))),
            ),
            row(
                "a default is kept",
                create(&of(json!({ "type": "integer", "default": 3 }))),
            ),
            row(
                "items are needed for a list",
                create(&of(json!({ "type": "array" }))),
            ),
            row(
                "properties and additional properties exclude each other",
                create(&of(
                    json!({ "type": "object", "properties": { "b": { "type": "string" } }, "additionalProperties": { "type": "string" } }),
                )),
            ),
            row(
                "a map list needs keys",
                create(&of(
                    json!({ "type": "array", "x-kubernetes-list-type": "map", "items": { "type": "object", "properties": { "n": { "type": "string" } } } }),
                )),
            ),
            row(
                "a key of a map list is required or has a default",
                create(&of(
                    json!({ "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": { "type": "object", "properties": { "n": { "type": "string" } } } }),
                )),
            ),
            row(
                "a set is of scalars or atomics",
                create(&of(
                    json!({ "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "object", "properties": { "n": { "type": "string" } } } }),
                )),
            ),
            row(
                "a pattern has to be read",
                create(&of(json!({ "type": "string", "pattern": "(" }))),
            ),
            row(
                "a list type is a known one",
                create(&of(
                    json!({ "type": "array", "x-kubernetes-list-type": "galaxy", "items": { "type": "string" } }),
                )),
            ),
            row(
                "int or string is not also a type",
                create(&of(
                    json!({ "type": "string", "x-kubernetes-int-or-string": true }),
                )),
            ),
        ],
    )
}

fn versions() -> Case {
    let name = "gadgets.versions.example.com";
    let path = |version: &str, rest: &str| {
        group(
            &format!("versions.example.com/{version}"),
            &format!("gadgets{rest}"),
        )
    };
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage,
            "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": open_object() } } },
        })
    };
    let body = with(
        definition("versions.example.com", "Gadget", &open_object()),
        "/spec/versions",
        json!([
            version("v1", true),
            with(version("v1beta1", false), "/deprecated", json!(true))
        ]),
    );
    let gadget = |version: &str, size: i64| json!({ "apiVersion": format!("versions.example.com/{version}"), "kind": "Gadget", "metadata": { "name": "a" }, "spec": { "size": size } });
    case(
        "a definition may have several versions",
        [
            row("a definition of two versions", post(definitions_path(), &body)),
            until(
                "two versions are established",
                get(definition_path(name)),
                is_established(),
            ),
            until(
                "the first version is served",
                get(path("v1", "")),
                Condition::Code(200),
            ),
            until(
                "the second version is served",
                get(path("v1beta1", "")),
                Condition::Code(200),
            ),
            row(
                "an object is applied in the first version",
                apply(path("v1", "/a"), "one", &gadget("v1", 1)),
            ),
            row(
                "an object is read in the deprecated version",
                get(path("v1beta1", "/a")),
            ),
            row(
                "the same is applied in the other version",
                apply(path("v1beta1", "/a"), "one", &gadget("v1beta1", 1)),
            ),
            row(
                "another value conflicts across versions",
                apply(path("v1beta1", "/a"), "two", &gadget("v1beta1", 2)),
            ),
            row(
                "an update in the other version is its own entry",
                merge(path("v1beta1", "/a"), &json!({ "spec": { "size": 3 } })).by("editor"),
            ),
            row("the first version shows all owners", get(path("v1", "/a"))),
            row(
                "a version that is not served any more",
                merge(
                    definition_path(name),
                    &json!({ "spec": { "versions": [version("v1", true), with(version("v1beta1", false), "/served", json!(false))] } }),
                ),
            ),
            until(
                "a version that is not served is not found",
                get(path("v1beta1", "/a")),
                Condition::Code(404),
            ),
            row(
                "a stored version cannot be taken out",
                merge(
                    definition_path(name),
                    &json!({ "spec": { "versions": [version("v2", true)] } }),
                ),
            ),
            row(
                "the definition of two versions goes",
                delete(definition_path(name)),
            ),
            until(
                "the definition of two versions is gone",
                get(definition_path(name)),
                Condition::Code(404),
            ),
        ],
    )
}
