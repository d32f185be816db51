//! What a server serves: resources, groups, tables, reviews.

use serde_json::json;

use super::shapes::{config_map, deployment, one_container, pod, service};
use crate::case::{Case, case, row};
use crate::request::{apps, core, get, group, post};

pub(super) fn cases() -> Vec<Case> {
    vec![resources(), tables(), reviews()]
}

fn resources() -> Case {
    case(
        "a server tells what it serves",
        [
            row("the core group has a version", get("/api/v1")),
            row("the group apps has a version", get("/apis/apps/v1")),
            row("the group batch has a version", get("/apis/batch/v1")),
            row(
                "the group rbac has a version",
                get("/apis/rbac.authorization.k8s.io/v1"),
            ),
            row(
                "the group networking has a version",
                get("/apis/networking.k8s.io/v1"),
            ),
            row(
                "the group of definitions has a version",
                get("/apis/apiextensions.k8s.io/v1"),
            ),
            row(
                "everything of the core group is served in one document",
                get("/api").aggregated(),
            ),
            row("a group tells its versions", get("/apis/apps")),
            row("a group of several versions tells them", get("/apis/autoscaling")),
            row("a group that is not there", get("/apis/nowhere.example.com")),
            row("a version that is not there", get("/apis/apps/v9")),
            row("a server is alive", get("/livez")),
            row("a server is ready", get("/readyz")),
        ],
    )
}

fn tables() -> Case {
    case(
        "a table has a row for each object",
        [
            row(
                "a ConfigMap for tables",
                post(
                    core("configmaps"),
                    &config_map("a", &json!({ "k": "1", "l": "2" })),
                ),
            ),
            row("a table of ConfigMaps", get(core("configmaps")).table()),
            row("a table of one ConfigMap", get(core("configmaps/a")).table()),
            row(
                "a table with whole objects",
                get(core("configmaps")).table().query("includeObject", "Object"),
            ),
            row(
                "a table with no objects",
                get(core("configmaps")).table().query("includeObject", "None"),
            ),
            row(
                "a table with some other thing",
                get(core("configmaps")).table().query("includeObject", "Other"),
            ),
            row(
                "a Service for tables",
                post(
                    core("services"),
                    &service(
                        "a",
                        &json!([{ "name": "http", "port": 80 }, { "name": "dns", "port": 53, "protocol": "UDP" }]),
                    ),
                ),
            ),
            row("a table of Services", get(core("services")).table()),
            row(
                "a Deployment for tables",
                post(apps("deployments"), &deployment("a", &one_container())),
            ),
            row("a table of Deployments", get(apps("deployments")).table()),
            row(
                "a Pod for tables",
                post(core("pods"), &pod("a", &one_container())),
            ),
            row("a table of Pods", get(core("pods")).table()),
            row("a table of no StatefulSets", get(apps("statefulsets")).table()),
            row("a table of no Jobs", get(group("batch/v1", "jobs")).table()),
            row("a table of no Secrets", get(core("secrets")).table()),
            row(
                "a table of no Ingresses",
                get(group("networking.k8s.io/v1", "ingresses")).table(),
            ),
            row("a table of no Events", get(core("events")).table()),
            row(
                "a table of what is not there",
                get(core("configmaps/zzz")).table(),
            ),
        ],
    )
}

fn reviews() -> Case {
    case(
        "a server answers questions about rights",
        [row(
            "a right of one's own",
            post(
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                &json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": { "resourceAttributes": { "verb": "get", "resource": "pods" } } }),
            ),
        )],
    )
}
