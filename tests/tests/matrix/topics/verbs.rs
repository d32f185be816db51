//! Every verb on one object, and the errors that each can meet.

use serde_json::json;

use super::shapes::{config_map, with};
use crate::case::{Case, case, row};
use crate::request::{core, delete, get, merge, post, put};

pub(super) fn cases() -> Vec<Case> {
    vec![one_object(), creating(), updating(), reading(), paths()]
}

fn one_object() -> Case {
    case(
        "an object is made, read, changed and deleted",
        [
            row(
                "a created object has a uid, a version and a time",
                post(core("configmaps"), &config_map("a", &json!({ "k": "1" }))),
            ),
            row("an object is read as it was written", get(core("configmaps/a"))),
            row(
                "an update replaces the whole object",
                put(core("configmaps/a"), &config_map("a", &json!({ "l": "2" }))),
            ),
            row(
                "an update that changes nothing keeps the version",
                put(core("configmaps/a"), &config_map("a", &json!({ "l": "2" }))),
            ),
            row(
                "a merge patch changes what it says",
                merge(core("configmaps/a"), &json!({ "data": { "m": "3" } })),
            ),
            row("a deletion answers with success", delete(core("configmaps/a"))),
            row("a deleted object is not found", get(core("configmaps/a"))),
            row(
                "a deleted object cannot be deleted again",
                delete(core("configmaps/a")),
            ),
            row(
                "a deleted object cannot be updated",
                put(core("configmaps/a"), &config_map("a", &json!({}))),
            ),
            row(
                "a deleted object cannot be patched",
                merge(core("configmaps/a"), &json!({})),
            ),
        ],
    )
}

fn creating() -> Case {
    let named = |name: &str| config_map(name, &json!({}));
    case(
        "a creation is refused for many reasons",
        [
            row(
                "the first of a name is created",
                post(core("configmaps"), &named("a")),
            ),
            row(
                "the second of a name exists already",
                post(core("configmaps"), &named("a")),
            ),
            row(
                "a name is needed",
                post(
                    core("configmaps"),
                    &json!({ "apiVersion": "v1", "kind": "ConfigMap" }),
                ),
            ),
            row("a name is a subdomain", post(core("configmaps"), &named("A_b"))),
            row(
                "a name is not longer than 253 characters",
                post(core("configmaps"), &named(&"a".repeat(254))),
            ),
            row(
                "another namespace than the path's is refused",
                post(
                    core("configmaps"),
                    &with(named("b"), "/metadata/namespace", json!("other")),
                ),
            ),
            row(
                "a namespace that is not there is not found",
                post("/api/v1/namespaces/m-nowhere/configmaps", &named("b")),
            ),
            row(
                "a resourceVersion cannot be given",
                post(
                    core("configmaps"),
                    &with(named("b"), "/metadata/resourceVersion", json!("1")),
                ),
            ),
            row(
                "a uid that is given is not taken",
                post(
                    core("configmaps"),
                    &with(
                        named("c"),
                        "/metadata/uid",
                        json!("00000000-0000-4000-8000-000000000001"),
                    ),
                ),
            ),
            row(
                "another kind is refused",
                post(
                    core("configmaps"),
                    &json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "b" } }),
                ),
            ),
            row(
                "another version is refused",
                post(
                    core("configmaps"),
                    &json!({ "apiVersion": "v2", "kind": "ConfigMap", "metadata": { "name": "b" } }),
                ),
            ),
            row(
                "kind and version may be left out",
                post(core("configmaps"), &json!({ "metadata": { "name": "d" } })),
            ),
            row(
                "labels are checked",
                post(
                    core("configmaps"),
                    &with(named("e"), "/metadata/labels", json!({ "a b": "c d" })),
                ),
            ),
            row(
                "annotations are checked",
                post(
                    core("configmaps"),
                    &with(named("e"), "/metadata/annotations", json!({ "a b": "c d" })),
                ),
            ),
            row(
                "finalizers are checked",
                post(
                    core("configmaps"),
                    &with(named("e"), "/metadata/finalizers", json!(["a b"])),
                ),
            ),
            row(
                "owners are checked",
                post(
                    core("configmaps"),
                    &with(
                        named("e"),
                        "/metadata/ownerReferences",
                        json!([{ "apiVersion": "v1", "kind": "", "name": "", "uid": "" }]),
                    ),
                ),
            ),
            row(
                "the server's own metadata is not taken",
                post(
                    core("configmaps"),
                    &with(
                        with(named("f"), "/metadata/generation", json!(7)),
                        "/metadata/selfLink",
                        json!("/x"),
                    ),
                ),
            ),
            row(
                "a time of creation is not taken",
                post(
                    core("configmaps"),
                    &with(
                        named("g"),
                        "/metadata/creationTimestamp",
                        json!("2001-01-01T00:00:00Z"),
                    ),
                ),
            ),
        ],
    )
}

fn updating() -> Case {
    let named = |data: &serde_json::Value| config_map("a", data);
    case(
        "an update is refused for many reasons",
        [
            row(
                "an object for updates",
                post(core("configmaps"), &named(&json!({ "k": "1" }))),
            )
            .keep("version", "/metadata/resourceVersion")
            .keep("uid", "/metadata/uid"),
            row(
                "the current resourceVersion is taken",
                put(
                    core("configmaps/a"),
                    &with(
                        named(&json!({ "k": "2" })),
                        "/metadata/resourceVersion",
                        json!("${version}"),
                    ),
                ),
            ),
            row(
                "an old resourceVersion is a conflict",
                put(
                    core("configmaps/a"),
                    &with(
                        named(&json!({ "k": "3" })),
                        "/metadata/resourceVersion",
                        json!("${version}"),
                    ),
                ),
            ),
            row(
                "an old resourceVersion is a conflict in a patch too",
                merge(
                    core("configmaps/a"),
                    &json!({ "metadata": { "resourceVersion": "${version}" }, "data": { "k": "3" } }),
                ),
            ),
            row(
                "no resourceVersion is taken for unconditional",
                put(core("configmaps/a"), &named(&json!({ "k": "4" }))),
            ),
            row(
                "a resourceVersion is a number",
                put(
                    core("configmaps/a"),
                    &with(
                        named(&json!({ "k": "4" })),
                        "/metadata/resourceVersion",
                        json!("x"),
                    ),
                ),
            ),
            row(
                "the object's own uid is taken",
                put(
                    core("configmaps/a"),
                    &with(named(&json!({ "k": "5" })), "/metadata/uid", json!("${uid}")),
                ),
            ),
            row(
                "another uid is a conflict",
                put(
                    core("configmaps/a"),
                    &with(
                        named(&json!({ "k": "6" })),
                        "/metadata/uid",
                        json!("00000000-0000-4000-8000-000000000001"),
                    ),
                ),
            ),
            row(
                "another uid is a conflict in a patch too",
                merge(
                    core("configmaps/a"),
                    &json!({ "metadata": { "uid": "00000000-0000-4000-8000-000000000001" } }),
                ),
            ),
            row(
                "another name than the path's is refused",
                put(core("configmaps/a"), &config_map("b", &json!({}))),
            ),
            row(
                "another name than the path's is refused in a patch",
                merge(core("configmaps/a"), &json!({ "metadata": { "name": "b" } })),
            ),
            row(
                "another namespace than the path's is refused in an update",
                put(
                    core("configmaps/a"),
                    &with(named(&json!({})), "/metadata/namespace", json!("other")),
                ),
            ),
            row(
                "an update creates no ConfigMap",
                put(core("configmaps/b"), &config_map("b", &json!({}))),
            ),
            row(
                "an update creates a Lease",
                put(
                    crate::request::group("coordination.k8s.io/v1", "leases/a"),
                    &json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "a" } }),
                ),
            ),
            row(
                "a Lease needs a resourceVersion to be updated",
                put(
                    crate::request::group("coordination.k8s.io/v1", "leases/a"),
                    &json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "a" } }),
                ),
            ),
            row(
                "the time of creation cannot be changed",
                merge(
                    core("configmaps/a"),
                    &json!({ "metadata": { "creationTimestamp": "2001-01-01T00:00:00Z" } }),
                ),
            ),
            row(
                "an immutable ConfigMap is made",
                merge(core("configmaps/a"), &json!({ "immutable": true })),
            ),
            row(
                "an immutable ConfigMap stays as it is",
                merge(core("configmaps/a"), &json!({ "data": { "k": "9" } })),
            ),
            row(
                "an immutable ConfigMap stays immutable",
                merge(core("configmaps/a"), &json!({ "immutable": false })),
            ),
            row(
                "an immutable ConfigMap may get labels",
                merge(
                    core("configmaps/a"),
                    &json!({ "metadata": { "labels": { "a": "b" } } }),
                ),
            ),
        ],
    )
}

fn reading() -> Case {
    case(
        "an object is read in several forms",
        [
            row(
                "a ConfigMap to read",
                post(core("configmaps"), &config_map("a", &json!({ "k": "1" }))),
            )
            .keep("version", "/metadata/resourceVersion"),
            row("one object is listed", get(core("configmaps"))),
            row("only metadata is read", get(core("configmaps/a")).metadata()),
            row("only metadata is listed", get(core("configmaps")).metadata_list()),
            row(
                "version 0 is any version",
                get(core("configmaps/a")).query("resourceVersion", "0"),
            ),
            row(
                "a known version is not too new",
                get(core("configmaps/a")).query("resourceVersion", "${version}"),
            ),
            row(
                "a version is a number",
                get(core("configmaps/a")).query("resourceVersion", "x"),
            ),
            row(
                "an exact version needs a version",
                get(core("configmaps")).query("resourceVersionMatch", "Exact"),
            ),
            row(
                "an exact version is listed",
                get(core("configmaps"))
                    .query("resourceVersionMatch", "Exact")
                    .query("resourceVersion", "${version}"),
            ),
            row(
                "another match is refused",
                get(core("configmaps"))
                    .query("resourceVersionMatch", "Other")
                    .query("resourceVersion", "${version}"),
            ),
            row(
                "not older than a version",
                get(core("configmaps"))
                    .query("resourceVersionMatch", "NotOlderThan")
                    .query("resourceVersion", "${version}"),
            ),
            row("a limit is a number", get(core("configmaps")).query("limit", "x")),
            row(
                "nothing else than JSON, YAML and the like is to be had",
                get(core("configmaps/a")).accept("text/html"),
            ),
            row(
                "an unknown parameter is not looked at",
                get(core("configmaps/a"))
                    .query("pretty", "false")
                    .query("other", "1"),
            ),
        ],
    )
}

fn paths() -> Case {
    case(
        "a path that is not served is not found",
        [
            row("no such resource", get(core("widgets"))),
            row(
                "no such group",
                get("/apis/nowhere.example.com/v1/namespaces/default/widgets"),
            ),
            row(
                "no such version",
                get("/apis/apps/v9/namespaces/default/deployments"),
            ),
            row(
                "no such version of the core group",
                get("/api/v9/namespaces/default/pods"),
            ),
            row("no such subresource", get(core("configmaps/a/status"))),
            row("no such path", get("/nowhere")),
            row(
                "nothing is created at an object's path",
                post(core("configmaps/a"), &config_map("a", &json!({}))),
            ),
            row(
                "nothing is updated at a collection's path",
                put(core("configmaps"), &config_map("a", &json!({}))),
            ),
            row(
                "a component status cannot be created",
                post(
                    "/api/v1/componentstatuses",
                    &json!({ "apiVersion": "v1", "kind": "ComponentStatus" }),
                ),
            ),
            row(
                "a cluster-scoped kind is not served in a namespace",
                get(core("nodes")),
            ),
            row(
                "a namespaced kind is created in a namespace only",
                post("/api/v1/configmaps", &config_map("a", &json!({}))),
            ),
            row(
                "an object of a namespaced kind is read in a namespace only",
                get("/api/v1/configmaps/a"),
            ),
        ],
    )
}
