//! JSON patches, merge patches and strategic merge patches.

use serde_json::json;

use super::shapes::{config_map, deployment, one_container, service, with};
use crate::case::{Case, case, row};
use crate::request::{apps, core, get, json_patch, merge, patch, post, strategic};

pub(super) fn cases() -> Vec<Case> {
    vec![
        operations(),
        merges(),
        strategic_lists(),
        directives(),
        primitive_lists(),
        media_types(),
    ]
}

fn operations() -> Case {
    let at = || core("configmaps/a");
    case(
        "a JSON patch is carried out operation by operation",
        [
            row(
                "a ConfigMap for operations",
                post(
                    core("configmaps"),
                    &config_map("a", &json!({ "k": "1", "l": "2" })),
                ),
            ),
            row(
                "an operation adds",
                json_patch(at(), &json!([{ "op": "add", "path": "/data/m", "value": "3" }])),
            ),
            row(
                "an operation replaces",
                json_patch(
                    at(),
                    &json!([{ "op": "replace", "path": "/data/m", "value": "4" }]),
                ),
            ),
            row(
                "an operation removes",
                json_patch(at(), &json!([{ "op": "remove", "path": "/data/m" }])),
            ),
            row(
                "an operation moves",
                json_patch(
                    at(),
                    &json!([{ "op": "move", "from": "/data/l", "path": "/data/n" }]),
                ),
            ),
            row(
                "an operation copies",
                json_patch(
                    at(),
                    &json!([{ "op": "copy", "from": "/data/n", "path": "/data/o" }]),
                ),
            ),
            row(
                "a test that holds lets the rest happen",
                json_patch(
                    at(),
                    &json!([{ "op": "test", "path": "/data/k", "value": "1" }, { "op": "add", "path": "/data/p", "value": "5" }]),
                ),
            ),
            row(
                "a test that fails stops all of it",
                json_patch(
                    at(),
                    &json!([{ "op": "add", "path": "/data/q", "value": "6" }, { "op": "test", "path": "/data/k", "value": "9" }]),
                ),
            ),
            row(
                "a value that is not there cannot be removed",
                json_patch(at(), &json!([{ "op": "remove", "path": "/data/zzz" }])),
            ),
            row(
                "a value that is not there cannot be replaced",
                json_patch(
                    at(),
                    &json!([{ "op": "replace", "path": "/data/zzz", "value": "1" }]),
                ),
            ),
            row(
                "a parent that is not there cannot be added to",
                json_patch(
                    at(),
                    &json!([{ "op": "add", "path": "/binaryData/zzz", "value": "1" }]),
                ),
            ),
            row(
                "an operation that is not known is refused",
                json_patch(at(), &json!([{ "op": "twist", "path": "/data/k" }])),
            ),
            row(
                "a JSON patch is a list",
                json_patch(at(), &json!({ "op": "add" })),
            ),
            row(
                "a slash in a key is escaped",
                json_patch(
                    at(),
                    &json!([{ "op": "add", "path": "/metadata/annotations", "value": {} }, { "op": "add", "path": "/metadata/annotations/example.com~1a", "value": "1" }]),
                ),
            ),
            row(
                "a JSON patch that changes nothing keeps the version",
                json_patch(
                    at(),
                    &json!([{ "op": "replace", "path": "/data/k", "value": "1" }]),
                ),
            ),
            row(
                "an empty JSON patch keeps the version",
                json_patch(at(), &json!([])),
            ),
            row(
                "a value of the wrong type is refused in a JSON patch",
                json_patch(at(), &json!([{ "op": "replace", "path": "/data/k", "value": 1 }])),
            ),
        ],
    )
}

fn merges() -> Case {
    let at = || core("configmaps/a");
    case(
        "a merge patch merges maps and replaces the rest",
        [
            row(
                "a ConfigMap for merges",
                post(
                    core("configmaps"),
                    &config_map("a", &json!({ "k": "1", "l": "2" })),
                ),
            ),
            row("a null removes", merge(at(), &json!({ "data": { "k": null } }))),
            row(
                "a null for what is not there does nothing",
                merge(at(), &json!({ "data": { "zzz": null } })),
            ),
            row(
                "a null removes a whole map",
                merge(at(), &json!({ "data": null })),
            ),
            row("a map comes back", merge(at(), &json!({ "data": { "n": "1" } }))),
            row(
                "a list is replaced",
                merge(
                    at(),
                    &json!({ "metadata": { "finalizers": ["example.com/a", "example.com/b"] } }),
                ),
            ),
            row(
                "a list is replaced again",
                merge(at(), &json!({ "metadata": { "finalizers": ["example.com/c"] } })),
            ),
            row(
                "finalizers are removed",
                merge(at(), &json!({ "metadata": { "finalizers": null } })),
            ),
            row(
                "a value of the wrong type is refused in a merge patch",
                merge(at(), &json!({ "data": { "n": 1 } })),
            ),
            row("a merge patch is an object", merge(at(), &json!([]))),
            row(
                "kind and version cannot be changed by a patch",
                merge(at(), &json!({ "kind": "Secret" })),
            ),
            row("force is for applies only", merge(at(), &json!({})).force()),
        ],
    )
}

fn strategic_lists() -> Case {
    let at = || apps("deployments/a");
    let containers =
        |list: serde_json::Value| json!({ "spec": { "template": { "spec": { "containers": list } } } });
    case(
        "a strategic merge patch merges lists by their keys",
        [
            row(
                "a Deployment for strategic merges",
                post(apps("deployments"), &deployment("a", &one_container())),
            ),
            row(
                "a container is changed by its name",
                strategic(
                    at(),
                    &containers(json!([{ "name": "main", "image": "example.com/app:2" }])),
                ),
            ),
            row(
                "a container is added by its name",
                strategic(
                    at(),
                    &containers(json!([{ "name": "side", "image": "example.com/side:1" }])),
                ),
            ),
            row(
                "ports are merged by their number",
                strategic(
                    at(),
                    &containers(
                        json!([{ "name": "main", "ports": [{ "containerPort": 80, "name": "http" }] }]),
                    ),
                ),
            ),
            row(
                "a port of another number is added",
                strategic(
                    at(),
                    &containers(
                        json!([{ "name": "main", "ports": [{ "containerPort": 81, "name": "more" }] }]),
                    ),
                ),
            ),
            row(
                "variables are merged by their name",
                strategic(
                    at(),
                    &containers(
                        json!([{ "name": "main", "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }] }]),
                    ),
                ),
            ),
            row(
                "one variable is changed",
                strategic(
                    at(),
                    &containers(json!([{ "name": "main", "env": [{ "name": "B", "value": "3" }] }])),
                ),
            ),
            row(
                "a variable is removed by a directive",
                strategic(
                    at(),
                    &containers(json!([{ "name": "main", "env": [{ "$patch": "delete", "name": "A" }] }])),
                ),
            ),
            row(
                "arguments are replaced",
                strategic(at(), &containers(json!([{ "name": "main", "args": ["a", "b"] }]))),
            ),
            row(
                "arguments are replaced again",
                strategic(at(), &containers(json!([{ "name": "main", "args": ["c"] }]))),
            ),
            row(
                "a container is removed by a directive",
                strategic(at(), &containers(json!([{ "$patch": "delete", "name": "side" }]))),
            ),
            row(
                "an element without its key is refused",
                strategic(at(), &containers(json!([{ "image": "example.com/none:1" }]))),
            ),
            row(
                "tolerations are replaced",
                strategic(
                    at(),
                    &json!({ "spec": { "template": { "spec": { "tolerations": [{ "key": "a", "operator": "Exists" }] } } } }),
                ),
            ),
            row(
                "volumes are merged by name",
                strategic(
                    at(),
                    &json!({ "spec": { "template": { "spec": { "volumes": [{ "name": "v", "emptyDir": {} }] } } } }),
                ),
            ),
            row(
                "a volume keeps its source unless that is replaced",
                strategic(
                    at(),
                    &json!({ "spec": { "template": { "spec": { "volumes": [{ "name": "v", "configMap": { "name": "c" } }] } } } }),
                ),
            ),
            row(
                "a map is merged by strategic merge too",
                strategic(at(), &json!({ "metadata": { "annotations": { "a": "1" } } })),
            ),
            row(
                "a null removes in a strategic merge too",
                strategic(at(), &json!({ "metadata": { "annotations": { "a": null } } })),
            ),
            row(
                "a strategic merge that changes nothing keeps the version",
                strategic(at(), &containers(json!([{ "name": "main", "args": ["c"] }]))),
            ),
        ],
    )
}

fn directives() -> Case {
    let at = || apps("deployments/a");
    let base = with(
        deployment("a", &one_container()),
        "/spec/strategy",
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 2, "maxUnavailable": 0 } }),
    );
    case(
        "directives of a strategic merge patch replace and delete",
        [
            row("a Deployment for directives", post(apps("deployments"), &base)),
            row(
                "a map is replaced by a directive",
                strategic(
                    at(),
                    &json!({ "spec": { "strategy": { "$patch": "replace", "type": "Recreate" } } }),
                ),
            ),
            row(
                "keys are retained by a directive",
                strategic(
                    at(),
                    &json!({ "spec": { "strategy": { "$retainKeys": ["type", "rollingUpdate"], "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1 } } } }),
                ),
            ),
            row(
                "a map is deleted by a directive",
                strategic(at(), &json!({ "spec": { "strategy": { "$patch": "delete" } } })),
            ),
            row(
                "a list is replaced by a directive",
                strategic(
                    at(),
                    &json!({ "spec": { "template": { "spec": { "containers": [{ "$patch": "replace" }, { "name": "only", "image": "example.com/only:1" }] } } } }),
                ),
            ),
            row(
                "an order is set by a directive",
                strategic(
                    at(),
                    &json!({ "spec": { "template": { "spec": { "$setElementOrder/containers": [{ "name": "new" }, { "name": "only" }], "containers": [{ "name": "new", "image": "example.com/new:1" }] } } } }),
                ),
            ),
            row(
                "a directive that is not known is refused",
                strategic(at(), &json!({ "spec": { "strategy": { "$patch": "twist" } } })),
            ),
        ],
    )
}

fn primitive_lists() -> Case {
    let at = || core("configmaps/a");
    case(
        "finalizers are a set for strategic merges",
        [
            row(
                "a ConfigMap with finalizers",
                post(
                    core("configmaps"),
                    &with(
                        config_map("a", &json!({})),
                        "/metadata/finalizers",
                        json!(["example.com/a"]),
                    ),
                ),
            ),
            row(
                "a finalizer is added by strategic merge",
                strategic(at(), &json!({ "metadata": { "finalizers": ["example.com/b"] } })),
            ),
            row(
                "a finalizer is not added twice",
                strategic(at(), &json!({ "metadata": { "finalizers": ["example.com/b"] } })),
            ),
            row(
                "a finalizer is deleted from the list",
                strategic(
                    at(),
                    &json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["example.com/a"] } }),
                ),
            ),
            row(
                "the last finalizer is deleted from the list",
                strategic(
                    at(),
                    &json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["example.com/b"] } }),
                ),
            ),
            row(
                "a Service for strategic merges",
                post(
                    core("services"),
                    &service("s", &json!([{ "name": "http", "port": 80 }])),
                ),
            ),
            row(
                "ports of a Service are merged by number",
                strategic(
                    core("services/s"),
                    &json!({ "spec": { "ports": [{ "name": "more", "port": 81 }] } }),
                ),
            ),
            row(
                "a port of a Service is renamed",
                strategic(
                    core("services/s"),
                    &json!({ "spec": { "ports": [{ "name": "web", "port": 80 }] } }),
                ),
            ),
            row(
                "a port of a Service is deleted",
                strategic(
                    core("services/s"),
                    &json!({ "spec": { "ports": [{ "$patch": "delete", "port": 81 }] } }),
                ),
            ),
            row("the Service is as it was patched", get(core("services/s"))),
        ],
    )
}

fn media_types() -> Case {
    let at = || core("configmaps/a");
    case(
        "a patch says what it is",
        [
            row(
                "a ConfigMap for media types",
                post(core("configmaps"), &config_map("a", &json!({ "k": "1" }))),
            ),
            row("plain JSON is no patch", patch(at(), "application/json", "{}")),
            row("plain text is no patch", patch(at(), "text/plain", "{}")),
            row(
                "a charset does not matter",
                patch(
                    at(),
                    "application/merge-patch+json; charset=utf-8",
                    r#"{"data":{"l":"2"}}"#,
                ),
            ),
            row(
                "an object may be created as YAML",
                post(core("configmaps"), &json!({})).text(
                    "application/yaml",
                    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\ndata:\n  a: b\n",
                ),
            ),
            row(
                "an object in plain text is refused",
                post(core("configmaps"), &json!({})).text("text/plain", "a"),
            ),
        ],
    )
}
