//! Deletion of namespaces and of what is in them.

use serde_json::json;

use super::deleting::held;
use super::shapes::config_map;
use crate::case::{Case, Condition, case, row, until};
use crate::request::{apply, delete, get, merge, post};

pub(super) fn cases() -> Vec<Case> {
    vec![namespaces(), stuck_namespace()]
}

fn namespaces() -> Case {
    case(
        "a namespace is emptied before it goes",
        [
            row(
                "a namespace to delete",
                post(
                    "/api/v1/namespaces",
                    &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "m-emptied" } }),
                ),
            ),
            row(
                "something in the namespace",
                post(
                    "/api/v1/namespaces/m-emptied/configmaps",
                    &config_map("a", &json!({})),
                ),
            ),
            row(
                "a dry run of a namespace's deletion",
                delete("/api/v1/namespaces/m-emptied").dry_run(),
            ),
            row("a namespace is deleted", delete("/api/v1/namespaces/m-emptied")),
            until(
                "a namespace is gone",
                get("/api/v1/namespaces/m-emptied"),
                Condition::Code(404),
            ),
            row(
                "what was in it is gone",
                get("/api/v1/namespaces/m-emptied/configmaps/a"),
            ),
            row(
                "the namespace default stays",
                delete("/api/v1/namespaces/default"),
            ),
            row(
                "the namespace of the system stays",
                delete("/api/v1/namespaces/kube-system"),
            ),
            row(
                "a namespace's name is a label",
                post(
                    "/api/v1/namespaces",
                    &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "a.b" } }),
                ),
            ),
            row(
                "a namespace has a label with its name",
                post(
                    "/api/v1/namespaces",
                    &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "m-labelled", "labels": { "kubernetes.io/metadata.name": "other" } } }),
                ),
            ),
            row(
                "the label of a namespace comes back",
                merge(
                    "/api/v1/namespaces/m-labelled",
                    &json!({ "metadata": { "labels": { "kubernetes.io/metadata.name": null } } }),
                ),
            ),
            row(
                "a namespace is applied",
                apply(
                    "/api/v1/namespaces/m-labelled",
                    "one",
                    &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "m-labelled", "labels": { "a": "b" } } }),
                ),
            ),
        ],
    )
}

fn stuck_namespace() -> Case {
    let inside = |path: &str| format!("/api/v1/namespaces/m-stuck/{path}");
    case(
        "a namespace that is stuck says why",
        [
            row(
                "a namespace to be stuck",
                post(
                    "/api/v1/namespaces",
                    &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "m-stuck" } }),
                ),
            ),
            row(
                "something that holds on in the namespace",
                post(inside("configmaps"), &held("a")),
            ),
            row(
                "a namespace is deleted that will be stuck",
                delete("/api/v1/namespaces/m-stuck"),
            ),
            until(
                "a namespace says what remains",
                get("/api/v1/namespaces/m-stuck"),
                Condition::Is("/status/conditions/4/status", json!("True")),
            ),
            row(
                "nothing is created in a terminating namespace",
                post(inside("configmaps"), &config_map("b", &json!({}))),
            ),
            row(
                "nothing is applied into a terminating namespace",
                apply(inside("configmaps/b"), "one", &config_map("b", &json!({}))),
            ),
            row(
                "what is in a terminating namespace can be changed",
                merge(inside("configmaps/a"), &json!({ "data": { "k": "1" } })),
            ),
            row(
                "what held on lets go",
                merge(
                    inside("configmaps/a"),
                    &json!({ "metadata": { "finalizers": null } }),
                ),
            ),
            until(
                "the stuck namespace goes",
                get("/api/v1/namespaces/m-stuck"),
                Condition::Code(404),
            ),
        ],
    )
}
