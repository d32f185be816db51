//! Objects of custom kinds: validation, defaults, pruning, lists, status and scale.

use serde_json::{Value, json};

use super::definitions::{definition, definition_path, definitions_path, is_established};
use super::shapes::with;
use crate::case::{Case, Condition, case, row, until};
use crate::request::{Ask, apply, get, group, merge, post, put};

pub(super) fn cases() -> Vec<Case> {
    vec![validation(), pruning(), defaults()]
}

pub(super) fn objects(of: &str, name: &str) -> String {
    group(&format!("{of}.example.com/v1"), &format!("things{name}"))
}

pub(super) fn thing(of: &str, spec: &Value) -> Value {
    json!({ "apiVersion": format!("{of}.example.com/v1"), "kind": "Thing", "metadata": { "name": "a" }, "spec": spec })
}

pub(super) fn define(of: &str, spec: &Value) -> Ask {
    post(
        definitions_path(),
        &definition(&format!("{of}.example.com"), "Thing", spec),
    )
}

pub(super) fn defined(of: &str) -> Ask {
    get(definition_path(&format!("things.{of}.example.com")))
}

fn validation() -> Case {
    let of = "validated";
    let spec = json!({
        "type": "object", "required": ["size"],
        "properties": {
            "size": { "type": "integer", "minimum": 1, "maximum": 9 },
            "step": { "type": "integer", "multipleOf": 5 },
            "above": { "type": "number", "minimum": 0, "exclusiveMinimum": true },
            "name": { "type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]*$" },
            "mode": { "type": "string", "enum": ["on", "off"] },
            "when": { "type": "string", "format": "date-time" },
            "address": { "type": "string", "format": "ipv4" },
            "flag": { "type": "boolean" },
            "tags": { "type": "array", "minItems": 1, "maxItems": 2, "items": { "type": "string" } },
            "labels": { "type": "object", "maxProperties": 1, "additionalProperties": { "type": "string" } },
            "either": { "x-kubernetes-int-or-string": true },
            "maybe": { "type": "string", "nullable": true },
            "inner": { "type": "object", "required": ["a", "b"], "properties": { "a": { "type": "string" }, "b": { "type": "string" } } },
        },
    });
    let create = |spec: Value| post(objects(of, ""), &thing(of, &spec)).dry_run();
    case(
        "an object of a defined kind is validated",
        [
            row("a definition that validates", define(of, &spec)),
            until(
                "a definition that validates is established",
                defined(of),
                is_established(),
            ),
            until(
                "a kind that validates is served",
                get(objects(of, "")),
                Condition::Code(200),
            ),
            row("a required field is missing", create(json!({}))),
            row("a value is too small", create(json!({ "size": 0 }))),
            row("a value is too large", create(json!({ "size": 10 }))),
            row("a value is no multiple", create(json!({ "size": 1, "step": 7 }))),
            row("a value is not above", create(json!({ "size": 1, "above": 0 }))),
            row("a value is of the wrong type", create(json!({ "size": "1" }))),
            row("a fraction is no integer", create(json!({ "size": 1.5 }))),
            row("a text is too short", create(json!({ "size": 1, "name": "a" }))),
            row(
                "a text is too long",
                create(json!({ "size": 1, "name": "abcde" })),
            ),
            row(
                "a text does not match",
                create(json!({ "size": 1, "name": "A1" })),
            ),
            row(
                "a value is none of some",
                create(json!({ "size": 1, "mode": "maybe" })),
            ),
            row(
                "a time is no time",
                create(json!({ "size": 1, "when": "yesterday" })),
            ),
            row(
                "an address is no address",
                create(json!({ "size": 1, "address": "example" })),
            ),
            row("a truth is no truth", create(json!({ "size": 1, "flag": "yes" }))),
            row("a list is too short", create(json!({ "size": 1, "tags": [] }))),
            row(
                "a list is too long",
                create(json!({ "size": 1, "tags": ["a", "b", "c"] })),
            ),
            row(
                "an element is of the wrong type",
                create(json!({ "size": 1, "tags": [1] })),
            ),
            row(
                "a map has too many entries",
                create(json!({ "size": 1, "labels": { "a": "1", "b": "2" } })),
            ),
            row(
                "an entry is of the wrong type",
                create(json!({ "size": 1, "labels": { "a": 1 } })),
            ),
            row("either is a number", create(json!({ "size": 1, "either": 1 }))),
            row("either is a text", create(json!({ "size": 1, "either": "1" }))),
            row("either is no list", create(json!({ "size": 1, "either": [] }))),
            row(
                "a nullable field keeps its null",
                create(json!({ "size": 1, "maybe": null })),
            ),
            row(
                "a field that is not nullable loses its null",
                create(json!({ "size": 1, "flag": null })),
            ),
            row(
                "two required fields are missing",
                create(json!({ "size": 1, "inner": {} })),
            ),
            row("the specification is of the wrong type", create(json!([]))),
            row(
                "the name of a custom object is checked",
                post(
                    objects(of, ""),
                    &with(thing(of, &json!({ "size": 1 })), "/metadata/name", json!("A_b")),
                ),
            ),
            row(
                "an apply is validated too",
                apply(objects(of, "/a"), "one", &thing(of, &json!({ "size": 0 }))),
            ),
            row(
                "an apply of a wrong type is refused by its schema",
                apply(objects(of, "/a"), "one", &thing(of, &json!({ "size": "1" }))),
            ),
            row(
                "a valid one is created",
                post(objects(of, ""), &thing(of, &json!({ "size": 1 }))),
            ),
            row(
                "a patch is validated too",
                merge(objects(of, "/a"), &json!({ "spec": { "size": 0 } })),
            ),
            row(
                "metadata of the wrong type is refused",
                post(
                    objects(of, ""),
                    &with(
                        thing(of, &json!({ "size": 1 })),
                        "/metadata/labels",
                        json!({ "a": 1 }),
                    ),
                ),
            ),
        ],
    )
}

fn pruning() -> Case {
    let of = "pruned";
    let spec = json!({
        "type": "object",
        "properties": {
            "size": { "type": "integer" },
            "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            "inner": { "type": "object", "properties": { "a": { "type": "string" } } },
            "list": { "type": "array", "items": { "type": "object", "properties": { "a": { "type": "string" } } } },
            "embedded": { "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true },
        },
    });
    case(
        "an unknown field of a defined kind is pruned",
        [
            row("a definition that prunes", define(of, &spec)),
            until("a definition that prunes is established", defined(of), is_established()),
            until("a kind that prunes is served", get(objects(of, "")), Condition::Code(200)),
            row("unknown fields are pruned with a warning", post(objects(of, ""), &thing(of, &json!({ "size": 1, "zzz": 1, "inner": { "a": "1", "b": "2" }, "list": [{ "a": "1", "b": "2" }] })))).keep("version", "/metadata/resourceVersion"),
            row("unknown fields are refused when that is asked for", post(objects(of, ""), &thing(of, &json!({ "zzz": 1 }))).validation("Strict")),
            row("unknown fields are pruned without a word when that is asked for", put(objects(of, "/a"), &with(thing(of, &json!({ "zzz": 1 })), "/metadata/resourceVersion", json!("${version}"))).validation("Ignore")),
            row("unknown fields are kept where a schema says so", merge(objects(of, "/a"), &json!({ "spec": { "free": { "x": { "y": [1, "2", null] } } } }))),
            row("unknown fields of a patch are pruned", merge(objects(of, "/a"), &json!({ "spec": { "zzz": 1 }, "zzz": 2 }))),
            row("unknown fields fail an apply", apply(objects(of, "/a"), "one", &thing(of, &json!({ "zzz": 1 })))),
            row("an embedded object needs a kind", merge(objects(of, "/a"), &json!({ "spec": { "embedded": { "a": 1 } } }))),
            row("an embedded object keeps what it is", merge(objects(of, "/a"), &json!({ "spec": { "embedded": { "apiVersion": "v1", "kind": "X", "metadata": { "name": "a", "zzz": 1 }, "a": 1 } } }))),
            row("a field twice is warned of", crate::request::post(objects(of, ""), &json!({})).text("application/json", r#"{"apiVersion":"pruned.example.com/v1","kind":"Thing","metadata":{"name":"twice"},"spec":{"size":1,"size":2}}"#)),
        ],
    )
}

fn defaults() -> Case {
    let of = "defaulted";
    let spec = json!({
        "type": "object", "default": {},
        "properties": {
            "size": { "type": "integer", "default": 3 },
            "mode": { "type": "string" },
            "inner": { "type": "object", "properties": { "a": { "type": "string", "default": "x" } } },
            "list": { "type": "array", "items": { "type": "object", "properties": { "a": { "type": "string", "default": "y" }, "b": { "type": "string" } } } },
            "map": { "type": "object", "additionalProperties": { "type": "object", "properties": { "a": { "type": "string", "default": "z" } } } },
        },
    });
    case(
        "a field of a defined kind is defaulted",
        [
            row("a definition that defaults", define(of, &spec)),
            until(
                "a definition that defaults is established",
                defined(of),
                is_established(),
            ),
            until(
                "a kind that defaults is served",
                get(objects(of, "")),
                Condition::Code(200),
            ),
            row(
                "defaults are set where an object says nothing",
                post(
                    objects(of, ""),
                    &json!({ "apiVersion": "defaulted.example.com/v1", "kind": "Thing", "metadata": { "name": "a" } }),
                ),
            ),
            row(
                "defaults are set inside of what an object says",
                merge(
                    objects(of, "/a"),
                    &json!({ "spec": { "inner": {}, "list": [{ "b": "1" }], "map": { "k": {} } } }),
                ),
            ),
            row(
                "a null is defaulted",
                merge(objects(of, "/a"), &json!({ "spec": { "size": null } })),
            ),
            row(
                "an apply owns what it says and not the defaults",
                apply(
                    objects(of, "/b"),
                    "one",
                    &with(thing(of, &json!({ "mode": "m" })), "/metadata/name", json!("b")),
                ),
            ),
            row(
                "a default can be applied",
                apply(
                    objects(of, "/b"),
                    "one",
                    &with(
                        thing(of, &json!({ "mode": "m", "size": 4 })),
                        "/metadata/name",
                        json!("b"),
                    ),
                ),
            ),
            row(
                "a value that is dropped is defaulted again",
                apply(
                    objects(of, "/b"),
                    "one",
                    &with(thing(of, &json!({ "mode": "m" })), "/metadata/name", json!("b")),
                ),
            ),
        ],
    )
}
