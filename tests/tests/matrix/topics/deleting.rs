//! Deletion: preconditions, finalizers, dependents, grace, dry runs, namespaces.

use serde_json::{Value, json};

use super::shapes::{config_map, one_container, pod, with};
use crate::case::{Case, Condition, case, row, until};
use crate::request::{apply, core, delete, delete_with, get, json_patch, merge, post, put};

pub(super) fn cases() -> Vec<Case> {
    vec![
        preconditions(),
        finalizers(),
        dependents(),
        orphans(),
        foreground(),
        grace(),
        options(),
    ]
}

pub(super) fn held(name: &str) -> Value {
    with(
        config_map(name, &json!({})),
        "/metadata/finalizers",
        json!(["example.com/hold"]),
    )
}

fn preconditions() -> Case {
    let at = || core("configmaps/a");
    case(
        "a deletion holds to its preconditions",
        [
            row(
                "an object with preconditions",
                post(core("configmaps"), &config_map("a", &json!({}))),
            )
            .keep("uid", "/metadata/uid")
            .keep("old", "/metadata/resourceVersion"),
            row(
                "an object with preconditions is changed",
                merge(at(), &json!({ "data": { "k": "1" } })),
            )
            .keep("version", "/metadata/resourceVersion"),
            row(
                "another uid is not deleted",
                delete_with(
                    at(),
                    &json!({ "preconditions": { "uid": "00000000-0000-4000-8000-000000000001" } }),
                ),
            ),
            row(
                "an old version is not deleted",
                delete_with(at(), &json!({ "preconditions": { "resourceVersion": "1" } })),
            ),
            row(
                "a uid that fits with a version that does not",
                delete_with(
                    at(),
                    &json!({ "preconditions": { "uid": "${uid}", "resourceVersion": "1" } }),
                ),
            ),
            row("a dry run of a deletion deletes nothing", delete(at()).dry_run()),
            row(
                "a dry run of a deletion in its body deletes nothing",
                delete_with(at(), &json!({ "dryRun": ["All"] })),
            ),
            row("an object is there after dry runs", get(at())),
            row(
                "the right uid and version are deleted",
                delete_with(
                    at(),
                    &json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": "${uid}", "resourceVersion": "${version}" } }),
                ),
            ),
            row("it is gone with its preconditions", get(at())),
        ],
    )
}

fn finalizers() -> Case {
    let at = || core("configmaps/a");
    case(
        "a finalizer holds an object until it is taken away",
        [
            row("an object with a finalizer", post(core("configmaps"), &held("a")))
                .keep("uid", "/metadata/uid"),
            row("a dry run of a deletion that is held", delete(at()).dry_run()),
            row("a deletion is held", delete(at())),
            row("a second deletion changes nothing", delete(at())),
            row("what is held can be read", get(at())),
            row(
                "what is held can be changed",
                merge(at(), &json!({ "data": { "k": "1" } })),
            ),
            row(
                "a new finalizer is refused",
                merge(
                    at(),
                    &json!({ "metadata": { "finalizers": ["example.com/hold", "example.com/other"] } }),
                ),
            ),
            row(
                "an apply to what is held is taken",
                apply(at(), "one", &config_map("a", &json!({ "l": "1" }))),
            ),
            row(
                "the same name cannot be created meanwhile",
                post(core("configmaps"), &config_map("a", &json!({}))),
            ),
            row(
                "the time of deletion cannot be taken back",
                merge(at(), &json!({ "metadata": { "deletionTimestamp": null } })),
            ),
            row(
                "the last finalizer takes the object with it",
                merge(at(), &json!({ "metadata": { "finalizers": null } })),
            ),
            row("it is gone with its finalizer", get(at())),
            row("an object for an update", post(core("configmaps"), &held("b"))),
            row("its deletion is held", delete(core("configmaps/b"))),
            row(
                "an update takes the last finalizer away",
                put(core("configmaps/b"), &config_map("b", &json!({}))),
            ),
            row("it is gone with the update", get(core("configmaps/b"))),
            row(
                "an object for two finalizers",
                post(
                    core("configmaps"),
                    &with(
                        config_map("c", &json!({})),
                        "/metadata/finalizers",
                        json!(["example.com/a", "example.com/b"]),
                    ),
                ),
            ),
            row("its deletion is held twice", delete(core("configmaps/c"))),
            row(
                "the first of two finalizers goes",
                json_patch(
                    core("configmaps/c"),
                    &json!([{ "op": "remove", "path": "/metadata/finalizers/0" }]),
                ),
            ),
            row(
                "the second of two finalizers goes",
                json_patch(
                    core("configmaps/c"),
                    &json!([{ "op": "remove", "path": "/metadata/finalizers/0" }]),
                ),
            ),
            row("it is gone with its second finalizer", get(core("configmaps/c"))),
        ],
    )
}

fn owned(name: &str, owner: &Value) -> Value {
    with(
        config_map(name, &json!({})),
        "/metadata/ownerReferences",
        json!([owner]),
    )
}

fn reference() -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "${uid}" })
}

fn dependents() -> Case {
    case(
        "dependents go after their owner",
        [
            row(
                "an owner in the background",
                post(core("configmaps"), &config_map("owner", &json!({}))),
            )
            .keep("uid", "/metadata/uid"),
            row(
                "a dependent in the background",
                post(core("configmaps"), &owned("dependent", &reference())),
            ),
            row(
                "the owner goes at once",
                delete(core("configmaps/owner")).query("propagationPolicy", "Background"),
            ),
            until(
                "the dependent goes after it",
                get(core("configmaps/dependent")),
                Condition::Code(404),
            ),
            row(
                "a dependent of nobody",
                post(
                    core("configmaps"),
                    &owned(
                        "lost",
                        &with(reference(), "/uid", json!("00000000-0000-4000-8000-000000000001")),
                    ),
                ),
            ),
            until(
                "a dependent of nobody goes",
                get(core("configmaps/lost")),
                Condition::Code(404),
            ),
        ],
    )
}

fn orphans() -> Case {
    case(
        "dependents are left when that is asked for",
        [
            row(
                "an owner that leaves orphans",
                post(core("configmaps"), &config_map("owner", &json!({}))),
            )
            .keep("uid", "/metadata/uid"),
            row(
                "a dependent that will be an orphan",
                post(core("configmaps"), &owned("dependent", &reference())),
            ),
            row(
                "the owner waits for its orphans",
                delete(core("configmaps/owner")).query("propagationPolicy", "Orphan"),
            ),
            until(
                "the owner of orphans goes",
                get(core("configmaps/owner")),
                Condition::Code(404),
            ),
            row("the orphan has no owner", get(core("configmaps/dependent"))),
        ],
    )
}

fn foreground() -> Case {
    let blocking = || with(reference(), "/blockOwnerDeletion", json!(true));
    case(
        "an owner in the foreground goes after its dependents",
        [
            row(
                "an owner in the foreground",
                post(core("configmaps"), &config_map("owner", &json!({}))),
            )
            .keep("uid", "/metadata/uid"),
            row(
                "a dependent that holds on",
                post(
                    core("configmaps"),
                    &with(
                        owned("dependent", &blocking()),
                        "/metadata/finalizers",
                        json!(["example.com/hold"]),
                    ),
                ),
            ),
            row(
                "the owner waits for its dependents",
                delete(core("configmaps/owner")).query("propagationPolicy", "Foreground"),
            ),
            until(
                "the dependent is being deleted",
                get(core("configmaps/dependent")),
                Condition::Has("/metadata/deletionTimestamp"),
            ),
            row("the owner is there still", get(core("configmaps/owner"))),
            row(
                "the dependent lets go",
                merge(
                    core("configmaps/dependent"),
                    &json!({ "metadata": { "finalizers": null } }),
                ),
            ),
            until(
                "the owner goes at last",
                get(core("configmaps/owner")),
                Condition::Code(404),
            ),
        ],
    )
}

fn grace() -> Case {
    case(
        "a Pod is given time to stop",
        [
            row(
                "a Pod without a node",
                post(core("pods"), &pod("a", &one_container())),
            ),
            row("a Pod without a node goes at once", delete(core("pods/a"))),
            row(
                "a Pod with a node",
                post(
                    core("pods"),
                    &pod("b", &with(one_container(), "/nodeName", json!("nowhere"))),
                ),
            ),
            row(
                "a dry run of a deletion with grace",
                delete(core("pods/b")).dry_run(),
            ),
            row("a Pod with a node has 30 seconds", delete(core("pods/b"))),
            row(
                "the time cannot be made longer",
                delete(core("pods/b")).query("gracePeriodSeconds", "60"),
            ),
            row(
                "the time can be made shorter",
                delete(core("pods/b")).query("gracePeriodSeconds", "5"),
            ),
            row(
                "no time at all",
                delete_with(core("pods/b"), &json!({ "gracePeriodSeconds": 0 })),
            ),
            row("it is gone without time", get(core("pods/b"))),
            row(
                "a grace for a ConfigMap's deletion",
                post(core("configmaps"), &config_map("c", &json!({}))),
            ),
            row(
                "a ConfigMap needs no grace",
                delete(core("configmaps/c")).query("gracePeriodSeconds", "60"),
            ),
        ],
    )
}

fn options() -> Case {
    let at = || core("configmaps/a");
    case(
        "options of a deletion are checked",
        [
            row(
                "an object for options",
                post(core("configmaps"), &config_map("a", &json!({}))),
            ),
            row(
                "a policy that is not known is refused",
                delete(at()).query("propagationPolicy", "Other"),
            ),
            row(
                "a policy that is not known is refused in a body",
                delete_with(at(), &json!({ "propagationPolicy": "Other" })),
            ),
            row(
                "two policies are refused",
                delete_with(
                    at(),
                    &json!({ "propagationPolicy": "Orphan", "orphanDependents": true }),
                ),
            ),
            row("a dry run is of all", delete(at()).query("dryRun", "Some")),
            row(
                "a grace is a number",
                delete(at()).query("gracePeriodSeconds", "x"),
            ),
            row(
                "a grace is not negative",
                delete(at()).query("gracePeriodSeconds", "-5"),
            ),
        ],
    )
}
