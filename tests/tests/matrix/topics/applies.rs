//! Server-side apply: ownership, conflicts, force, removal.

use serde_json::{Value, json};

use super::shapes::{config_map, with};
use crate::case::{Case, case, row};
use crate::request::{apply, core, get, json_patch, merge, post, put, strategic};

pub(super) fn cases() -> Vec<Case> {
    vec![owners(), conflicts(), updates(), resets(), refusals(), folded()]
}

fn map(data: &Value) -> Value {
    config_map("a", data)
}

fn owners() -> Case {
    let at = || core("configmaps/a");
    case(
        "a field belongs to those who applied it",
        [
            row(
                "the first apply creates",
                apply(at(), "one", &map(&json!({ "k": "1", "l": "1" }))),
            ),
            row(
                "the same apply changes nothing",
                apply(at(), "one", &map(&json!({ "k": "1", "l": "1" }))),
            ),
            row(
                "an equal value is owned by both",
                apply(at(), "two", &map(&json!({ "k": "1" }))),
            ),
            row(
                "a field that one drops stays for the other",
                apply(at(), "one", &map(&json!({ "l": "1" }))),
            ),
            row(
                "a field that all drop is removed",
                apply(at(), "two", &map(&json!({}))),
            ),
            row(
                "a manager that applies nothing is gone",
                apply(
                    at(),
                    "two",
                    &json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } }),
                ),
            ),
            row(
                "the last field is removed with its map",
                apply(
                    at(),
                    "one",
                    &json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } }),
                ),
            ),
            row(
                "an empty map is owned as such",
                apply(at(), "one", &map(&json!({}))),
            ),
            row(
                "a label is owned by itself",
                apply(
                    at(),
                    "one",
                    &with(map(&json!({})), "/metadata/labels", json!({ "a/b": "c" })),
                ),
            ),
            row(
                "a null is applied as nothing",
                apply(at(), "one", &map(&json!({ "k": null }))),
            ),
            row("what was applied is read as it is", get(at())),
        ],
    )
}

fn conflicts() -> Case {
    let at = || core("configmaps/a");
    case(
        "an apply conflicts where values differ",
        [
            row(
                "one applies three fields",
                apply(at(), "one", &map(&json!({ "k": "1", "l": "1", "m": "1" }))),
            ),
            row(
                "one conflict is told with its manager",
                apply(at(), "two", &map(&json!({ "k": "2" }))),
            ),
            row(
                "two conflicts are told together",
                apply(at(), "two", &map(&json!({ "k": "2", "l": "2", "n": "2" }))),
            ),
            row(
                "a dry run conflicts too",
                apply(at(), "two", &map(&json!({ "k": "2" }))).dry_run(),
            ),
            row(
                "force takes the field away",
                apply(at(), "two", &map(&json!({ "k": "2" }))).force(),
            ),
            row(
                "who lost a field conflicts when it wants it back",
                apply(at(), "one", &map(&json!({ "k": "1", "l": "1", "m": "1" }))),
            ),
            row(
                "who lost a field may go on without it",
                apply(at(), "one", &map(&json!({ "l": "1", "m": "1" }))),
            ),
            row(
                "a field can be shared by giving in",
                apply(at(), "one", &map(&json!({ "k": "2", "l": "1" }))),
            ),
            row(
                "force by a third takes from both",
                apply(at(), "three", &map(&json!({ "k": "3" }))).force(),
            ),
            row(
                "force without a conflict is an apply",
                apply(at(), "three", &map(&json!({ "k": "3", "z": "1" }))).force(),
            ),
            row(
                "an updater that changes a field owns it",
                merge(at(), &json!({ "data": { "l": "9" } })).by("editor"),
            ),
            row(
                "a conflict with an updater names its version",
                apply(at(), "one", &map(&json!({ "k": "3", "l": "1" }))),
            ),
            row(
                "conflicts are grouped by manager",
                apply(at(), "four", &map(&json!({ "k": "0", "l": "0", "z": "0" }))),
            ),
            row(
                "a conflict in a label has its path",
                apply(
                    at(),
                    "one",
                    &with(map(&json!({})), "/metadata/labels", json!({ "a.b/c": "1" })),
                ),
            ),
            row(
                "a conflict in a label with dots and slashes",
                apply(
                    at(),
                    "two",
                    &with(map(&json!({})), "/metadata/labels", json!({ "a.b/c": "2" })),
                ),
            ),
        ],
    )
}

fn updates() -> Case {
    let at = || core("configmaps/a");
    case(
        "an update owns what it changes",
        [
            row(
                "an apply before updates",
                apply(at(), "one", &map(&json!({ "k": "1", "l": "1" }))),
            ),
            row(
                "an update owns the changed field and the new one",
                put(at(), &map(&json!({ "k": "2", "l": "1", "m": "1" }))).by("editor"),
            ),
            row(
                "an update that takes a field away takes it from its owner",
                put(at(), &map(&json!({ "k": "2", "m": "1" }))).by("editor"),
            ),
            row(
                "a merge patch by another owns what it adds",
                merge(at(), &json!({ "data": { "n": "1" } })).by("patcher"),
            ),
            row(
                "a JSON patch owns what it adds",
                json_patch(at(), &json!([{ "op": "add", "path": "/data/o", "value": "1" }])).by("operator"),
            ),
            row(
                "a strategic merge owns what it adds",
                strategic(at(), &json!({ "data": { "p": "1" } })).by("strategist"),
            ),
            row(
                "an update by an applier is another entry",
                merge(at(), &json!({ "data": { "q": "1" } })).by("one"),
            ),
            row(
                "a field that was set and set back is no longer the applier's",
                merge(at(), &json!({ "data": { "k": "1" } })).by("editor"),
            ),
            row(
                "an apply of the value as it is owns it again",
                apply(at(), "one", &map(&json!({ "k": "1" }))),
            ),
            row(
                "the agent's name is the manager if none is given",
                merge(at(), &json!({ "data": { "r": "1" } })),
            ),
            row(
                "a manager's name is not too long",
                merge(at(), &json!({})).by(&"x".repeat(129)),
            ),
            row(
                "a manager's name is printable",
                merge(at(), &json!({})).by("a\nb"),
            ),
            row(
                "a create has a manager",
                post(core("configmaps"), &config_map("b", &json!({ "k": "1" }))).by("creator"),
            ),
            row(
                "an apply to what was created conflicts",
                apply(
                    core("configmaps/b"),
                    "one",
                    &config_map("b", &json!({ "k": "2" })),
                ),
            ),
            row(
                "an apply to what was created shares",
                apply(
                    core("configmaps/b"),
                    "one",
                    &config_map("b", &json!({ "k": "1" })),
                ),
            ),
            row(
                "a field that an updater owns too stays",
                apply(core("configmaps/b"), "one", &config_map("b", &json!({}))),
            ),
        ],
    )
}

fn resets() -> Case {
    let at = || core("configmaps/a");
    case(
        "managed fields can be reset, and not be faked",
        [
            row("an apply before a reset", apply(at(), "one", &map(&json!({ "k": "1" })))),
            row("managed fields are reset by an empty entry", merge(at(), &json!({ "metadata": { "managedFields": [{}] } })).by("editor")),
            row("what nobody owns is owned by before-first-apply", apply(at(), "two", &map(&json!({ "l": "1" })))),
            row("before-first-apply conflicts as an updater", apply(at(), "two", &map(&json!({ "k": "2" })))),
            row("managed fields are reset by an empty list", json_patch(at(), &json!([{ "op": "replace", "path": "/metadata/managedFields", "value": [] }])).by("editor")),
            row("managed fields cannot be applied", apply(at(), "one", &with(map(&json!({})), "/metadata/managedFields", json!([{ "manager": "x" }])))),
            row("an empty list of managed fields cannot be applied either", apply(at(), "one", &with(map(&json!({})), "/metadata/managedFields", json!([])))),
            row("managed fields can be written", merge(at(), &json!({ "metadata": { "managedFields": [{ "manager": "fake", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": { "f:data": { "f:k": {} } } }] } })).by("editor")),
            row("an operation that is not known is refused in managed fields", merge(at(), &json!({ "metadata": { "managedFields": [{ "manager": "fake", "operation": "Twist", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {} }] } })).by("editor")),
            row("a type of fields that is not known is refused", merge(at(), &json!({ "metadata": { "managedFields": [{ "manager": "fake", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV2", "fieldsV1": {} }] } })).by("editor")),
        ],
    )
}

fn refusals() -> Case {
    let at = || core("configmaps/a");
    case(
        "an apply is refused for many reasons",
        [
            row(
                "an apply needs a manager",
                crate::request::patch(
                    at(),
                    "application/apply-patch+yaml",
                    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#,
                ),
            ),
            row(
                "an apply needs a kind",
                apply(
                    at(),
                    "one",
                    &json!({ "apiVersion": "v1", "metadata": { "name": "a" } }),
                ),
            ),
            row(
                "an apply needs a version",
                apply(
                    at(),
                    "one",
                    &json!({ "kind": "ConfigMap", "metadata": { "name": "a" } }),
                ),
            ),
            row(
                "an apply of another kind is refused",
                apply(
                    at(),
                    "one",
                    &json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "a" } }),
                ),
            ),
            row(
                "an apply without a name takes that of its path",
                apply(at(), "one", &json!({ "apiVersion": "v1", "kind": "ConfigMap" })),
            ),
            row(
                "an apply of another name is refused",
                apply(at(), "one", &config_map("b", &json!({}))),
            ),
            row(
                "an apply into another namespace is refused",
                apply(
                    at(),
                    "one",
                    &with(map(&json!({})), "/metadata/namespace", json!("other")),
                ),
            ),
            row(
                "an unknown field fails an apply",
                apply(at(), "one", &with(map(&json!({})), "/dta", json!({ "k": "1" }))),
            ),
            row(
                "a value of the wrong type fails an apply",
                apply(at(), "one", &map(&json!({ "k": 1 }))),
            ),
            row(
                "a list for a map fails an apply",
                apply(at(), "one", &with(map(&json!({})), "/data", json!([]))),
            ),
            row(
                "a uid makes an apply a change only",
                apply(
                    at(),
                    "one",
                    &with(
                        map(&json!({})),
                        "/metadata/uid",
                        json!("00000000-0000-4000-8000-000000000001"),
                    ),
                ),
            ),
            row(
                "a resourceVersion fails an apply that creates",
                apply(
                    at(),
                    "one",
                    &with(map(&json!({})), "/metadata/resourceVersion", json!("1")),
                ),
            ),
            row(
                "an apply is checked as any write",
                apply(core("configmaps/A_b"), "one", &config_map("A_b", &json!({}))),
            ),
            row(
                "a key of data is checked",
                apply(at(), "one", &map(&json!({ "a b": "1" }))),
            ),
            row(
                "an apply into a namespace that is not there is not found",
                apply(
                    "/api/v1/namespaces/m-nowhere/configmaps/a",
                    "one",
                    &map(&json!({})),
                ),
            ),
            row(
                "an apply creates at last",
                apply(at(), "one", &map(&json!({ "k": "1" }))),
            ),
            row(
                "an old resourceVersion fails an apply",
                apply(
                    at(),
                    "one",
                    &with(map(&json!({ "k": "2" })), "/metadata/resourceVersion", json!("1")),
                ),
            ),
            row(
                "another uid fails an apply",
                apply(
                    at(),
                    "one",
                    &with(
                        map(&json!({ "k": "2" })),
                        "/metadata/uid",
                        json!("00000000-0000-4000-8000-000000000001"),
                    ),
                ),
            ),
            row(
                "validation of an apply may be asked for",
                apply(at(), "one", &with(map(&json!({})), "/dta", json!({}))).validation("Ignore"),
            ),
        ],
    )
}

fn folded() -> Case {
    let at = || core("configmaps/a");
    let edit = |name: &'static str, number: usize| {
        row(
            name,
            merge(at(), &json!({ "data": { format!("k{number:02}"): "1" } })).by(&format!("u{number:02}")),
        )
    };
    case(
        "more than ten updaters are folded together",
        [
            row(
                "an apply before many updaters",
                apply(at(), "one", &map(&json!({}))),
            ),
            edit("updater 1", 1),
            edit("updater 2", 2),
            edit("updater 3", 3),
            edit("updater 4", 4),
            edit("updater 5", 5),
            edit("updater 6", 6),
            edit("updater 7", 7),
            edit("updater 8", 8),
            edit("updater 9", 9),
            edit("updater 10", 10),
        ],
    )
}
