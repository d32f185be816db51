//! Status, scale and eviction of built-in kinds.

use serde_json::{Value, json};

use super::shapes::{deployment, one_container, pod, with};
use crate::case::{Case, case, row};
use crate::request::{Ask, apps, core, get, merge, post, put, strategic};

pub(super) fn cases() -> Vec<Case> {
    vec![subresources()]
}

fn subresources() -> Case {
    let scale = |replicas: i64| json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "a", "namespace": "${ns}" }, "spec": { "replicas": replicas } });
    let status = |rest: Value| -> Ask { merge(apps("deployments/a/status"), &rest) };
    case(
        "a Deployment has a status and a scale",
        [
            row(
                "a Deployment with subresources",
                post(apps("deployments"), &deployment("a", &one_container())),
            ),
            row("a scale is read", get(apps("deployments/a/scale"))),
            row("a scale is written", put(apps("deployments/a/scale"), &scale(3))),
            row(
                "a scale is patched by merging",
                merge(apps("deployments/a/scale"), &json!({ "spec": { "replicas": 4 } })),
            ),
            row(
                "a scale is patched strategically",
                strategic(apps("deployments/a/scale"), &json!({ "spec": { "replicas": 5 } })),
            ),
            row(
                "a scale is patched by an operation",
                crate::request::json_patch(
                    apps("deployments/a/scale"),
                    &json!([{ "op": "replace", "path": "/spec/replicas", "value": 6 }]),
                ),
            ),
            row(
                "a negative scale is refused",
                put(apps("deployments/a/scale"), &scale(-1)),
            ),
            row(
                "a scale of another name is refused",
                put(
                    apps("deployments/a/scale"),
                    &with(scale(1), "/metadata/name", json!("b")),
                ),
            ),
            row(
                "a scale of another kind is refused",
                put(
                    apps("deployments/a/scale"),
                    &with(scale(1), "/kind", json!("Deployment")),
                ),
            ),
            row(
                "an old scale is a conflict",
                put(
                    apps("deployments/a/scale"),
                    &with(scale(1), "/metadata/resourceVersion", json!("1")),
                ),
            ),
            row(
                "a scale of a Deployment that is not there",
                get(apps("deployments/zzz/scale")),
            ),
            row("a status is read", get(apps("deployments/a/status"))),
            row(
                "a status is patched",
                status(json!({ "status": { "replicas": 1, "readyReplicas": 1 } })),
            ),
            row(
                "a negative status is refused",
                status(json!({ "status": { "replicas": -1 } })),
            ),
            row(
                "more ready than there are is refused",
                status(json!({ "status": { "replicas": 1, "readyReplicas": 2 } })),
            ),
            row(
                "a status patch changes no specification",
                status(json!({ "spec": { "replicas": 9 }, "metadata": { "labels": { "x": "y" } } })),
            ),
            row(
                "a scale of a StatefulSet that is not there",
                get(apps("statefulsets/zzz/scale")),
            ),
            row("a scale of a kind without one", get(apps("daemonsets/a/scale"))),
            row(
                "a Pod for an eviction",
                post(core("pods"), &pod("p", &one_container())),
            ),
            row(
                "a Pod is evicted",
                post(
                    core("pods/p/eviction"),
                    &json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "p" } }),
                ),
            ),
            row("an evicted Pod is gone", get(core("pods/p"))),
        ],
    )
}
