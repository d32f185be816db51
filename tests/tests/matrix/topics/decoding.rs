//! What cannot be read into a built-in kind: unknown fields, wrong types.

use serde_json::{Value, json};

use super::shapes::{config_map, deployment, one_container, pod, service, with};
use crate::case::{Case, case, row};
use crate::request::{apply, apps, core, merge, post, put, strategic};

pub(super) fn cases() -> Vec<Case> {
    vec![fields(), types()]
}

fn fields() -> Case {
    let unknown = |name: &str| {
        with(
            with(config_map(name, &json!({})), "/dta", json!({})),
            "/metadata/lables",
            json!({}),
        )
    };
    let twice =
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"twice"},"data":{"a":"1","a":"2"}}"#;
    let deep = |name: &str| {
        with(
            deployment(name, &one_container()),
            "/spec/template/spec/containers/0/imagePullPolcy",
            json!("Always"),
        )
    };
    case(
        "unknown fields are warned of, refused or dropped",
        [
            row(
                "unknown fields are dropped with a warning",
                post(core("configmaps"), &unknown("a")),
            ),
            row(
                "unknown fields are warned of when that is asked for",
                post(core("configmaps"), &unknown("b")).validation("Warn"),
            ),
            row(
                "unknown fields are dropped without a word",
                post(core("configmaps"), &unknown("c")).validation("Ignore"),
            ),
            row(
                "unknown fields are refused",
                post(core("configmaps"), &unknown("d")).validation("Strict"),
            ),
            row(
                "another way of validation is refused",
                post(core("configmaps"), &unknown("d")).validation("Other"),
            ),
            row(
                "a field twice is warned of by a built-in kind",
                post(core("configmaps"), &json!({})).text("application/json", twice),
            ),
            row(
                "a field twice is refused by a built-in kind",
                post(core("configmaps"), &json!({}))
                    .text("application/json", twice)
                    .validation("Strict"),
            ),
            row(
                "an unknown field is told with its path",
                post(apps("deployments"), &deep("a")),
            ),
            row(
                "an unknown field is refused with its path",
                post(apps("deployments"), &deep("b")).validation("Strict"),
            ),
            row(
                "an unknown field of a merge patch is warned of",
                merge(apps("deployments/a"), &json!({ "spec": { "replica": 2 } })),
            ),
            row(
                "an unknown field of a merge patch is refused",
                merge(apps("deployments/a"), &json!({ "spec": { "replica": 2 } })).validation("Strict"),
            ),
            row(
                "an unknown field of a strategic merge is warned of",
                strategic(apps("deployments/a"), &json!({ "spec": { "replica": 2 } })),
            ),
            row(
                "an unknown field of an update is warned of",
                put(apps("deployments/a"), &deep("a")),
            ),
            row(
                "an unknown field of an apply fails it with its path",
                apply(apps("deployments/a"), "one", &deep("a")),
            ),
            row(
                "a name in another case is unknown",
                post(
                    core("configmaps"),
                    &with(config_map("case", &json!({})), "/Data", json!({ "a": "1" })),
                ),
            ),
        ],
    )
}

fn types() -> Case {
    let create = |path: String, body: &Value| post(path, body).dry_run();
    case(
        "a value of the wrong type is refused",
        [
            row(
                "a number for a text",
                create(core("configmaps"), &config_map("a", &json!({ "k": 1 }))),
            ),
            row(
                "a list for a map",
                create(
                    core("configmaps"),
                    &with(config_map("a", &json!({})), "/data", json!([])),
                ),
            ),
            row(
                "a text for a number",
                create(
                    apps("deployments"),
                    &with(deployment("a", &one_container()), "/spec/replicas", json!("two")),
                ),
            ),
            row(
                "a fraction for a number",
                create(
                    apps("deployments"),
                    &with(deployment("a", &one_container()), "/spec/replicas", json!(1.5)),
                ),
            ),
            row(
                "a map for a list",
                create(
                    apps("deployments"),
                    &deployment("a", &json!({ "containers": {} })),
                ),
            ),
            row(
                "a text for a truth",
                create(
                    core("pods"),
                    &pod("a", &with(one_container(), "/hostNetwork", json!("yes"))),
                ),
            ),
            row(
                "a quantity that cannot be read",
                create(
                    core("pods"),
                    &pod(
                        "a",
                        &json!({ "containers": [{ "name": "main", "image": "i", "resources": { "limits": { "cpu": "much" } } }] }),
                    ),
                ),
            ),
            row(
                "a time that cannot be read",
                create(
                    core("configmaps"),
                    &with(
                        config_map("a", &json!({})),
                        "/metadata/creationTimestamp",
                        json!("yesterday"),
                    ),
                ),
            ),
            row(
                "metadata of a wrong type",
                create(
                    core("configmaps"),
                    &json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": [] }),
                ),
            ),
            row("a list for an object", create(core("configmaps"), &json!([]))),
            row("a text for an object", create(core("configmaps"), &json!("a"))),
            row("a null for an object", create(core("configmaps"), &json!(null))),
            row(
                "a fraction for a port",
                create(
                    core("services"),
                    &service("a", &json!([{ "port": 80, "targetPort": 80.5 }])),
                ),
            ),
            row(
                "a port that is no port",
                create(
                    core("services"),
                    &service("a", &json!([{ "port": 80, "targetPort": true }])),
                ),
            ),
        ],
    )
}
