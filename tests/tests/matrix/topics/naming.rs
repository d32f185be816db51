//! Names and generations that a server gives, and what it would do.

use serde_json::json;

use super::defaults::dry;
use super::shapes::{config_map, deployment, one_container, service, with};
use crate::case::{Case, case, row};
use crate::request::{apps, core, get, group, merge, post, put};

pub(super) fn cases() -> Vec<Case> {
    vec![generated_names(), generations(), dry_runs()]
}

fn generated_names() -> Case {
    let generated = |prefix: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": prefix } });
    case(
        // A prefix that is no name is refused with the name that was made of it, which no two servers share.
        "a name is generated from a prefix",
        [
            row(
                "a prefix gets a suffix",
                post(core("configmaps"), &generated("app-")),
            )
            .keep("name", "/metadata/name"),
            row(
                "the generated name is the object's",
                get(core("configmaps/${name}")),
            ),
            row(
                "the same prefix gets another suffix",
                post(core("configmaps"), &generated("app-")),
            ),
            row(
                "a name is taken before a prefix",
                post(
                    core("configmaps"),
                    &with(generated("app-"), "/metadata/name", json!("given")),
                ),
            ),
            row(
                "a dry run generates too",
                post(core("configmaps"), &generated("app-")).dry_run(),
            ),
            row(
                "a long prefix is cut",
                post(core("configmaps"), &generated(&"a".repeat(70))),
            ),
        ],
    )
}

fn generations() -> Case {
    let at = || apps("deployments/a");
    case(
        "a generation counts changes of what is wanted",
        [
            row(
                "a Deployment begins with generation 1",
                post(apps("deployments"), &deployment("a", &one_container())),
            ),
            row(
                "a change of the specification is counted",
                merge(at(), &json!({ "spec": { "replicas": 2 } })),
            ),
            row(
                "a change of labels is not counted",
                merge(at(), &json!({ "metadata": { "labels": { "a": "b" } } })),
            ),
            row(
                "a change of annotations is counted for a Deployment",
                merge(at(), &json!({ "metadata": { "annotations": { "a": "b" } } })),
            ),
            row(
                "a change of the status is not counted",
                merge(
                    apps("deployments/a/status"),
                    &json!({ "status": { "replicas": 1, "observedGeneration": 2 } }),
                ),
            ),
            row(
                "a generation cannot be set",
                merge(at(), &json!({ "metadata": { "generation": 77 } })),
            ),
            row(
                "a status is not changed through the object",
                merge(at(), &json!({ "status": { "replicas": 9 } })),
            ),
            row(
                "a ConfigMap has no generation",
                post(core("configmaps"), &config_map("a", &json!({}))),
            ),
            row(
                "a NetworkPolicy has a generation",
                post(
                    group("networking.k8s.io/v1", "networkpolicies"),
                    &json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "a" }, "spec": { "podSelector": {} } }),
                ),
            ),
            row(
                "a changed NetworkPolicy is counted",
                merge(
                    group("networking.k8s.io/v1", "networkpolicies/a"),
                    &json!({ "spec": { "ingress": [{}] } }),
                ),
            ),
        ],
    )
}

fn dry_runs() -> Case {
    let at = || core("configmaps/a");
    case(
        "a dry run says what would be and does nothing",
        [
            row(
                "a dry run of a creation",
                post(core("configmaps"), &config_map("a", &json!({ "k": "1" }))).dry_run(),
            ),
            row("nothing is created by a dry run", get(at())),
            row(
                "a dry run of an apply that creates",
                crate::request::apply(at(), "one", &config_map("a", &json!({ "k": "1" }))).dry_run(),
            ),
            row("nothing is applied by a dry run", get(at())),
            row(
                "a ConfigMap after dry runs",
                post(core("configmaps"), &config_map("a", &json!({ "k": "1" }))),
            ),
            row(
                "a dry run of a second creation",
                post(core("configmaps"), &config_map("a", &json!({}))).dry_run(),
            ),
            row(
                "a dry run of an update",
                put(at(), &config_map("a", &json!({ "k": "2" }))).dry_run(),
            ),
            row(
                "a dry run of a patch",
                merge(at(), &json!({ "data": { "k": "3" } })).dry_run(),
            ),
            row(
                "a dry run of an apply",
                crate::request::apply(at(), "one", &config_map("a", &json!({ "l": "1" }))).dry_run(),
            ),
            row(
                "a dry run of something wrong",
                merge(at(), &json!({ "metadata": { "labels": { "a b": "" } } })).dry_run(),
            ),
            row(
                "a dry run of some is refused",
                merge(at(), &json!({})).query("dryRun", "Some"),
            ),
            row("everything is as before the dry runs", get(at())),
            row(
                "a dry run of a status",
                merge(apps("deployments/zzz/status"), &json!({})).dry_run(),
            ),
            row(
                "a dry run of a Service takes no address",
                dry(core("services"), &service("s", &json!([{ "port": 80 }]))),
            ),
        ],
    )
}
