//! Server-side apply of Deployments: defaults, lists in lists, subresources.

use serde_json::{Value, json};

use super::shapes::{deployment, one_container, with};
use crate::case::{Case, case, row};
use crate::request::{apply, apps, get, merge};

pub(super) fn cases() -> Vec<Case> {
    vec![defaults(), deployments(), status_and_scale()]
}

fn defaults() -> Case {
    let at = || apps("deployments/a");
    let scaled = |replicas: i64| {
        with(
            deployment("a", &one_container()),
            "/spec/replicas",
            json!(replicas),
        )
    };
    case(
        "what is defaulted belongs to nobody",
        [
            row(
                "an apply of a Deployment is defaulted",
                apply(at(), "one", &deployment("a", &one_container())),
            ),
            row(
                "a default that is applied is owned",
                apply(at(), "one", &scaled(1)),
            ),
            row(
                "a value that is dropped becomes the default",
                apply(at(), "one", &deployment("a", &one_container())),
            ),
            row("replicas are applied", apply(at(), "one", &scaled(3))),
            row(
                "replicas that are dropped become 1",
                apply(at(), "one", &deployment("a", &one_container())),
            ),
            row(
                "replicas that an updater set stay",
                merge(at(), &json!({ "spec": { "replicas": 4 } })).by("scaler"),
            ),
            row(
                "an apply without replicas leaves them to the updater",
                apply(at(), "one", &deployment("a", &one_container())),
            ),
            row(
                "an apply of other replicas conflicts with the updater",
                apply(at(), "one", &scaled(2)),
            ),
            row(
                "a quantity is the same in another notation",
                apply(
                    at(),
                    "two",
                    &with(
                        deployment(
                            "a",
                            &json!({ "containers": [{ "name": "main", "resources": { "limits": { "memory": "1024Mi", "cpu": "1000m" } } }] }),
                        ),
                        "/spec/replicas",
                        json!(4),
                    ),
                ),
            ),
            row("a quantity is kept in its canonical form", get(at())),
        ],
    )
}

fn deployments() -> Case {
    let at = || apps("deployments/a");
    let containers = |list: Value| deployment("a", &json!({ "containers": list }));
    case(
        "containers are merged by name when applied",
        [
            row(
                "one applies a container",
                apply(
                    at(),
                    "one",
                    &containers(
                        json!([{ "name": "main", "image": "example.com/app:1", "env": [{ "name": "A", "value": "1" }] }]),
                    ),
                ),
            ),
            row(
                "two adds a container",
                apply(
                    at(),
                    "two",
                    &containers(json!([{ "name": "side", "image": "example.com/side:1" }])),
                ),
            ),
            row(
                "two adds a variable to the container of one",
                apply(
                    at(),
                    "two",
                    &containers(
                        json!([{ "name": "side", "image": "example.com/side:1" }, { "name": "main", "env": [{ "name": "B", "value": "2" }] }]),
                    ),
                ),
            ),
            row(
                "a variable of one conflicts with two's other value",
                apply(
                    at(),
                    "two",
                    &containers(json!([{ "name": "main", "env": [{ "name": "A", "value": "2" }] }])),
                ),
            ),
            row(
                "two drops everything of one's container",
                apply(
                    at(),
                    "two",
                    &containers(json!([{ "name": "side", "image": "example.com/side:1" }])),
                ),
            ),
            row(
                "arguments are owned whole",
                apply(
                    at(),
                    "one",
                    &containers(
                        json!([{ "name": "main", "image": "example.com/app:1", "args": ["a", "b"] }]),
                    ),
                ),
            ),
            row(
                "arguments conflict whole",
                apply(
                    at(),
                    "two",
                    &containers(
                        json!([{ "name": "side", "image": "example.com/side:1" }, { "name": "main", "args": ["b"] }]),
                    ),
                ),
            ),
            row(
                "an order of containers is applied",
                apply(
                    at(),
                    "one",
                    &containers(
                        json!([{ "name": "first", "image": "example.com/first:1" }, { "name": "main", "image": "example.com/app:1" }]),
                    ),
                ),
            ),
            row(
                "a container twice fails an apply",
                apply(
                    at(),
                    "one",
                    &containers(
                        json!([{ "name": "main", "image": "example.com/app:1" }, { "name": "main", "image": "example.com/app:2" }]),
                    ),
                ),
            ),
            row(
                "a container without a name fails an apply",
                apply(
                    at(),
                    "one",
                    &containers(json!([{ "image": "example.com/app:1" }])),
                ),
            ),
            row(
                "a container that is dropped by all is gone",
                apply(at(), "two", &containers(json!([]))),
            ),
            row(
                "a volume is applied",
                apply(
                    at(),
                    "one",
                    &deployment(
                        "a",
                        &json!({ "containers": [{ "name": "main", "image": "example.com/app:1", "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }], "volumes": [{ "name": "v", "emptyDir": {} }] }),
                    ),
                ),
            ),
            row(
                "a selector cannot be changed by an apply",
                apply(
                    at(),
                    "one",
                    &with(
                        with(
                            containers(json!([{ "name": "main", "image": "example.com/app:1" }])),
                            "/spec/selector",
                            json!({ "matchLabels": { "app": "b" } }),
                        ),
                        "/spec/template/metadata/labels",
                        json!({ "app": "b" }),
                    ),
                )
                .force(),
            ),
        ],
    )
}

fn status_and_scale() -> Case {
    let at = || apps("deployments/a");
    case(
        "subresources have owners of their own",
        [
            row("a Deployment with an applied scale to be", apply(at(), "one", &with(deployment("a", &one_container()), "/spec/replicas", json!(2)))),
            row("a status that is applied through the object is not taken", apply(at(), "one", &with(with(deployment("a", &one_container()), "/spec/replicas", json!(2)), "/status", json!({ "replicas": 7 })))),
            row("a status is applied through its subresource", apply(apps("deployments/a/status"), "kubelet", &json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "a" }, "status": { "replicas": 2, "conditions": [{ "type": "Available", "status": "True", "reason": "X", "message": "y", "lastUpdateTime": "2001-01-01T00:00:00Z", "lastTransitionTime": "2001-01-01T00:00:00Z" }] } }))),
            row("a specification that is applied through the status is not taken", apply(apps("deployments/a/status"), "kubelet", &with(with(deployment("a", &one_container()), "/spec/replicas", json!(9)), "/status", json!({ "replicas": 3 })))),
            row("another status of the same field conflicts", apply(apps("deployments/a/status"), "other", &json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "a" }, "status": { "replicas": 5 } }))),
            row("a scale of owned replicas is tracked", merge(apps("deployments/a/scale"), &json!({ "spec": { "replicas": 5 } })).by("scaler")),
            row("an apply conflicts with the scale", apply(at(), "one", &with(deployment("a", &one_container()), "/spec/replicas", json!(2)))),
            row("a scale is applied", apply(apps("deployments/a/scale"), "autoscaler", &json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "a" }, "spec": { "replicas": 6 } }))),
            row("a scale is applied by force", apply(apps("deployments/a/scale"), "autoscaler", &json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "a" }, "spec": { "replicas": 6 } })).force()),
            row("the owners of the scale are told on the object", get(at())),
        ],
    )
}
