//! Parts of custom kinds: lists, subresources, fields to select by, rules.

use serde_json::{Value, json};

use super::custom::{define, defined, objects, thing};
use super::definitions::{definition, definitions_path, is_established};
use super::shapes::with;
use crate::case::{Case, Condition, Last, case, open, read, row, until};
use crate::request::{apply, get, json_patch, merge, post, put, watch};

pub(super) fn cases() -> Vec<Case> {
    vec![lists(), subresources(), selectable(), rules()]
}

/// Lists and maps of all kinds.
pub(super) fn list_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "map": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "zone"],
                "items": { "type": "object", "required": ["name"], "properties": {
                    "name": { "type": "string" }, "zone": { "type": "string", "default": "z" },
                    "value": { "type": "string" }, "more": { "type": "array", "items": { "type": "string" } },
                } },
            },
            "set": { "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "string" } },
            "plain": { "type": "array", "items": { "type": "object", "properties": { "a": { "type": "string" } } } },
            "atomic": { "type": "object", "x-kubernetes-map-type": "atomic", "properties": { "a": { "type": "string" }, "b": { "type": "string" } } },
            "granular": { "type": "object", "additionalProperties": { "type": "string" } },
        },
    })
}

fn lists() -> Case {
    let of = "listed";
    let at = || objects(of, "/a");
    let apply_as = |manager: &str, spec: Value| apply(at(), manager, &thing(of, &spec));
    case(
        "lists of a defined kind are merged as its schema says",
        [
            row("a definition of lists", define(of, &list_schema())),
            until(
                "a definition of lists is established",
                defined(of),
                is_established(),
            ),
            until(
                "a kind of lists is served",
                get(objects(of, "")),
                Condition::Code(200),
            ),
            row(
                "one applies an element of a map list",
                apply_as("one", json!({ "map": [{ "name": "a", "value": "1" }] })),
            ),
            row(
                "two applies another element of a map list",
                apply_as("two", json!({ "map": [{ "name": "b", "value": "2" }] })),
            ),
            row(
                "the same name in another zone is another element",
                apply_as(
                    "two",
                    json!({ "map": [{ "name": "b", "value": "2" }, { "name": "a", "zone": "y", "value": "3" }] }),
                ),
            ),
            row(
                "the default of a key names the same element",
                apply_as(
                    "two",
                    json!({ "map": [{ "name": "a", "zone": "z", "value": "1" }] }),
                ),
            ),
            row(
                "another value of an element conflicts",
                apply_as(
                    "two",
                    json!({ "map": [{ "name": "a", "zone": "z", "value": "9" }] }),
                ),
            ),
            row(
                "an element without a key fails an apply",
                apply_as("two", json!({ "map": [{ "value": "9" }] })),
            ),
            row(
                "an element twice fails an apply",
                apply_as(
                    "two",
                    json!({ "map": [{ "name": "a" }, { "name": "a", "zone": "z" }] }),
                ),
            ),
            row(
                "a list inside of an element is owned whole",
                apply_as(
                    "one",
                    json!({ "map": [{ "name": "a", "value": "1", "more": ["x", "y"] }] }),
                ),
            ),
            row("two drops its element", apply_as("two", json!({}))),
            row(
                "one applies a set",
                apply_as(
                    "one",
                    json!({ "map": [{ "name": "a", "value": "1" }], "set": ["a", "b"] }),
                ),
            ),
            row(
                "two applies to the set",
                apply_as("two", json!({ "set": ["c", "b"] })),
            ),
            row(
                "one drops from the set",
                apply_as(
                    "one",
                    json!({ "map": [{ "name": "a", "value": "1" }], "set": ["b"] }),
                ),
            ),
            row(
                "an element of a set twice fails an apply",
                apply_as("one", json!({ "set": ["b", "b"] })),
            ),
            row(
                "an element of a set twice fails an update",
                merge(at(), &json!({ "spec": { "set": ["b", "b"] } })),
            ),
            row(
                "a key of a map list twice fails an update",
                merge(
                    at(),
                    &json!({ "spec": { "map": [{ "name": "b" }, { "name": "b" }] } }),
                ),
            ),
            row(
                "one applies a plain list",
                apply_as("one", json!({ "plain": [{ "a": "1" }] })),
            ),
            row(
                "a plain list conflicts whole",
                apply_as("two", json!({ "plain": [{ "a": "2" }] })),
            ),
            row(
                "an equal plain list is shared",
                apply_as("two", json!({ "plain": [{ "a": "1" }] })),
            ),
            row(
                "one applies an atomic map",
                apply_as("one", json!({ "atomic": { "a": "1" } })),
            ),
            row(
                "an atomic map conflicts whole",
                apply_as("three", json!({ "atomic": { "b": "1" } })),
            ),
            row(
                "an atomic map is replaced by force",
                apply_as("three", json!({ "atomic": { "b": "1" } })).force(),
            ),
            row(
                "one applies a granular map",
                apply_as("one", json!({ "granular": { "a": "1" } })),
            ),
            row(
                "a granular map is merged",
                apply_as("three", json!({ "granular": { "b": "1" } })),
            ),
            row(
                "an element is taken out by an update",
                json_patch(at(), &json!([{ "op": "remove", "path": "/spec/granular/a" }])).by("editor"),
            ),
            row("all lists as they are in the end", get(at())),
        ],
    )
}

fn subresources() -> Case {
    let of = "subresourced";
    let at = |rest: &str| objects(of, &format!("/a{rest}"));
    let spec = json!({ "type": "object", "properties": { "replicas": { "type": "integer" }, "size": { "type": "integer" } } });
    let status = json!({ "type": "object", "properties": { "replicas": { "type": "integer" }, "selector": { "type": "string" }, "ready": { "type": "boolean" } } });
    let mut body = definition("subresourced.example.com", "Thing", &spec);
    body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] = status;
    body["spec"]["versions"][0]["subresources"] = json!({ "status": {}, "scale": { "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector" } });
    let scale = |replicas: Value| json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "a", "namespace": "${ns}" }, "spec": { "replicas": replicas } });
    case(
        "a defined kind may have a status and a scale",
        [
            row("a definition with subresources", post(definitions_path(), &body)),
            until("a definition with subresources is established", defined(of), is_established()),
            until("a kind with subresources is served", get(objects(of, "")), Condition::Code(200)),
            row("a status is not created with its object", post(objects(of, ""), &with(thing(of, &json!({ "size": 1 })), "/status", json!({ "ready": true })))).keep("version", "/metadata/resourceVersion"),
            row("a scale without replicas is an error", get(at("/scale"))),
            row("a status is not changed with its object", merge(at(""), &json!({ "status": { "ready": true }, "spec": { "size": 2 } }))),
            row("a status is changed through its subresource alone", merge(at("/status"), &json!({ "status": { "ready": true, "replicas": 1, "selector": "app=a" }, "spec": { "size": 3 } }))).keep("version", "/metadata/resourceVersion"),
            row("a status that is wrong is refused", merge(at("/status"), &json!({ "status": { "ready": "yes" } }))),
            row("labels are not changed through the status", merge(at("/status"), &json!({ "metadata": { "labels": { "a": "b" } } }))),
            row("a status is applied to a custom object", apply(at("/status"), "one", &json!({ "apiVersion": "subresourced.example.com/v1", "kind": "Thing", "metadata": { "name": "a" }, "status": { "ready": true } }))).keep("version", "/metadata/resourceVersion"),
            row("a status is updated", put(at("/status"), &with(with(thing(of, &json!({ "size": 9 })), "/status", json!({ "ready": false, "replicas": 2, "selector": "app=a" })), "/metadata/resourceVersion", json!("${version}")))),
            row("a generation counts changes of the specification", merge(at(""), &json!({ "spec": { "replicas": 2 } }))),
            row("a generation does not count labels", merge(at(""), &json!({ "metadata": { "labels": { "a": "b" } } }))),
            row("a scale of a custom object", get(at("/scale"))),
            row("a scale is updated", put(at("/scale"), &scale(json!(3)))),
            row("a scale is patched", merge(at("/scale"), &json!({ "spec": { "replicas": 4 } })).by("scaler")),
            row("a scale below zero is refused", merge(at("/scale"), &json!({ "spec": { "replicas": -1 } }))),
            row("a scale of a wrong type is refused", merge(at("/scale"), &json!({ "spec": { "replicas": "many" } }))),
            row("a dry run of a scale", merge(at("/scale"), &json!({ "spec": { "replicas": 9 } })).dry_run()),
            row("a scale cannot be applied to a custom object", apply(at("/scale"), "autoscaler", &scale(json!(5))).force()),
            row("a scale of what is not there", get(objects(of, "/zzz/scale"))),
            row("a status of what is not there", merge(objects(of, "/zzz/status"), &json!({}))),
            row("all subresources leave their owners", get(at(""))),
        ],
    )
}

fn selectable() -> Case {
    let of = "selectable";
    let mut body = definition(
        "selectable.example.com",
        "Thing",
        &json!({ "type": "object", "properties": { "color": { "type": "string" }, "size": { "type": "integer" } } }),
    );
    body["spec"]["versions"][0]["selectableFields"] = json!([{ "jsonPath": ".spec.color" }]);
    body["spec"]["versions"][0]["additionalPrinterColumns"] = json!([
        { "name": "Color", "type": "string", "jsonPath": ".spec.color" },
        { "name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1, "description": "how large" },
        { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
    ]);
    body["spec"]["names"]["shortNames"] = json!(["th"]);
    body["spec"]["names"]["categories"] = json!(["all"]);
    let select = |selector: &str| get(objects(of, "")).query("fieldSelector", selector);
    case(
        "a defined kind may have fields to select by and columns",
        [
            row(
                "a definition with fields to select by",
                post(definitions_path(), &body),
            ),
            until(
                "a definition with fields to select by is established",
                defined(of),
                is_established(),
            ),
            until(
                "a kind with fields to select by is served",
                get(objects(of, "")),
                Condition::Code(200),
            ),
            row(
                "a red one",
                post(objects(of, ""), &thing(of, &json!({ "color": "red", "size": 1 }))),
            ),
            row(
                "a blue one",
                post(
                    objects(of, ""),
                    &with(
                        thing(of, &json!({ "color": "blue" })),
                        "/metadata/name",
                        json!("b"),
                    ),
                ),
            ),
            row("the red one is selected", select("spec.color=red")),
            row("all but the red one are selected", select("spec.color!=red")),
            row("a field that is not selectable is refused", select("spec.size=1")),
            row(
                "a custom object is selected by its name",
                select("metadata.name=b"),
            ),
            // The history of a defined kind begins with its definition, that of others with the cluster.
            open(
                "a watch from a version long gone is answered",
                "old",
                watch(objects(of, "")).query("resourceVersion", "1"),
            ),
            read(
                "a watch from a version long gone is told that it is gone",
                "old",
                Last::End,
            ),
            open(
                "a watch of a field",
                "red",
                watch(objects(of, "")).query("fieldSelector", "spec.color=red"),
            ),
            row(
                "the red one becomes blue",
                merge(objects(of, "/a"), &json!({ "spec": { "color": "blue" } })),
            ),
            row(
                "the blue one becomes red",
                merge(objects(of, "/b"), &json!({ "spec": { "color": "red" } })),
            ),
            read("one enters and one leaves the field", "red", Last::Named("b")),
            row("columns of a defined kind", get(objects(of, "")).table()),
            row(
                "the resources of its group",
                get("/apis/selectable.example.com/v1"),
            ),
        ],
    )
}

fn rules() -> Case {
    let of = "ruled";
    let spec = json!({
        "type": "object",
        "properties": { "size": { "type": "integer" }, "fixed": { "type": "string", "x-kubernetes-validations": [{ "rule": "self == oldSelf", "message": "it is fixed" }] } },
        "x-kubernetes-validations": [{ "rule": "self.size < 10", "message": "it is too large" }],
    });
    case(
        "rules of a definition are kept",
        [
            row("a definition with rules", define(of, &spec)),
            until(
                "a definition with rules is established",
                defined(of),
                is_established(),
            ),
            until(
                "a kind with rules is served",
                get(objects(of, "")),
                Condition::Code(200),
            ),
            row(
                "an object that keeps the rules",
                post(objects(of, ""), &thing(of, &json!({ "size": 1, "fixed": "a" }))),
            ),
            row(
                "an object that breaks a rule",
                merge(objects(of, "/a"), &json!({ "spec": { "size": 10 } })).dry_run(),
            ),
            row(
                "a rule that cannot be read",
                post(
                    definitions_path(),
                    &definition(
                        "unreadable.example.com",
                        "Thing",
                        &json!({ "type": "object", "x-kubernetes-validations": [{ "rule": "self." }] }),
                    ),
                )
                .dry_run(),
            ),
        ],
    )
}
