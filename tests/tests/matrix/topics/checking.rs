//! What a server finds wrong with built-in kinds, and what cannot be changed.

use serde_json::{Value, json};

use super::shapes::{config_map, deployment, one_container, pod, service, with};
use crate::case::{Case, case, row};
use crate::request::{apps, core, group, merge, post, strategic};

pub(super) fn cases() -> Vec<Case> {
    vec![pods(), workloads(), services(), immutables(), metadata()]
}

fn pods() -> Case {
    let create = |spec: Value| post(core("pods"), &pod("a", &spec)).dry_run();
    let container = |more: Value| {
        let mut container = json!({ "name": "main", "image": "example.com/app:1" });
        for (name, value) in more.as_object().into_iter().flatten() {
            container[name] = value.clone();
        }
        json!({ "containers": [container] })
    };
    case(
        "a Pod is checked",
        [
            row("a Pod without containers", create(json!({ "containers": [] }))),
            row(
                "a Pod without anything",
                post(
                    core("pods"),
                    &json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a" } }),
                )
                .dry_run(),
            ),
            row(
                "a container without a name and an image",
                create(json!({ "containers": [{}] })),
            ),
            row(
                "two containers of a name",
                create(
                    json!({ "containers": [{ "name": "main", "image": "a" }, { "name": "main", "image": "b" }] }),
                ),
            ),
            row(
                "a container with a wrong name",
                create(json!({ "containers": [{ "name": "Main_1", "image": "a" }] })),
            ),
            row(
                "a port out of range",
                create(container(json!({ "ports": [{ "containerPort": 70000 }] }))),
            ),
            row(
                "a protocol that is not known",
                create(container(
                    json!({ "ports": [{ "containerPort": 80, "protocol": "HTTP" }] }),
                )),
            ),
            row(
                "a pull policy that is not known",
                create(container(json!({ "imagePullPolicy": "Sometimes" }))),
            ),
            row(
                "a restart policy that is not known",
                create(with(one_container(), "/restartPolicy", json!("Sometimes"))),
            ),
            row(
                "a mount without a volume",
                create(container(
                    json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }),
                )),
            ),
            row(
                "a request above its limit",
                create(container(
                    json!({ "resources": { "requests": { "cpu": "2" }, "limits": { "cpu": "1" } } }),
                )),
            ),
            row(
                "a variable with a wrong name",
                create(container(json!({ "env": [{ "name": "", "value": "x" }] }))),
            ),
            row(
                "a volume of two sources",
                create(
                    json!({ "containers": [{ "name": "main", "image": "a" }], "volumes": [{ "name": "v", "emptyDir": {}, "hostPath": { "path": "/x" } }] }),
                ),
            ),
            row(
                "two volumes of a name",
                create(
                    json!({ "containers": [{ "name": "main", "image": "a" }], "volumes": [{ "name": "v", "emptyDir": {} }, { "name": "v", "emptyDir": {} }] }),
                ),
            ),
            row(
                "a probe that does nothing",
                create(container(json!({ "readinessProbe": {} }))),
            ),
            row(
                "a probe with a negative delay",
                create(container(
                    json!({ "readinessProbe": { "initialDelaySeconds": -1, "tcpSocket": { "port": 80 } } }),
                )),
            ),
            row(
                "a DNS policy that is not known",
                create(with(one_container(), "/dnsPolicy", json!("Other"))),
            ),
        ],
    )
}

fn workloads() -> Case {
    let create = |body: &Value| post(apps("deployments"), body).dry_run();
    let base = || deployment("a", &one_container());
    let stateful = |spec: Value| {
        post(apps("statefulsets"), &json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "a" }, "spec": spec })).dry_run()
    };
    case(
        "workloads are checked",
        [
            row("a selector that does not fit its template", create(&with(base(), "/spec/selector/matchLabels", json!({ "app": "b" })))),
            row("a selector is needed", create(&with(base(), "/spec/selector", json!(null)))),
            row("an empty selector is refused", create(&with(base(), "/spec/selector", json!({})))),
            row("negative replicas", create(&with(base(), "/spec/replicas", json!(-1)))),
            row("a Deployment without anything", create(&json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "a" } }))),
            row("a strategy that is not known", create(&with(base(), "/spec/strategy", json!({ "type": "Other" })))),
            row("a strategy of nothing at all", create(&with(base(), "/spec/strategy", json!({ "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 0 } })))),
            row("a surge that is no share", create(&with(base(), "/spec/strategy", json!({ "rollingUpdate": { "maxSurge": "much" } })))),
            row("a recreation with numbers", create(&with(base(), "/spec/strategy", json!({ "type": "Recreate", "rollingUpdate": { "maxSurge": 1 } })))),
            row("a template that never restarts", create(&with(base(), "/spec/template/spec/restartPolicy", json!("Never")))),
            row("a template with a wrong label", create(&with(base(), "/spec/template/metadata/labels", json!({ "app": "a", "b c": "d" })))),
            row("a history that is negative", create(&with(base(), "/spec/revisionHistoryLimit", json!(-1)))),
            row("a StatefulSet without anything", stateful(json!({}))),
            row("a StatefulSet with a wrong policy", stateful(json!({ "podManagementPolicy": "Other", "selector": { "matchLabels": { "app": "a" } }, "template": { "metadata": { "labels": { "app": "a" } }, "spec": one_container() } }))),
            row("a DaemonSet without anything", post(apps("daemonsets"), &json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "a" } })).dry_run()),
            row("a Job without anything", post(group("batch/v1", "jobs"), &json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "a" } })).dry_run()),
            row("a budget with both numbers", post(group("policy/v1", "poddisruptionbudgets"), &json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "a" }, "spec": { "minAvailable": 1, "maxUnavailable": 1 } })).dry_run()),
        ],
    )
}

fn services() -> Case {
    let create = |spec: Value| {
        post(
            core("services"),
            &json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "a" }, "spec": spec }),
        )
        .dry_run()
    };
    case(
        "a Service is checked",
        [
            row("a Service without ports", create(json!({}))),
            row(
                "a Service with a port out of range",
                create(json!({ "ports": [{ "port": 70000 }] })),
            ),
            row(
                "a Service with a wrong protocol",
                create(json!({ "ports": [{ "port": 80, "protocol": "HTTP" }] })),
            ),
            row(
                "a Service with a wrong type",
                create(json!({ "type": "Other", "ports": [{ "port": 80 }] })),
            ),
            row(
                "a Service with a wrong selector",
                create(json!({ "selector": { "a b": "c" }, "ports": [{ "port": 80 }] })),
            ),
            row(
                "a Service with a wrong name of a port",
                create(json!({ "ports": [{ "port": 80, "name": "Web_1" }] })),
            ),
            row(
                "an external name that is none",
                create(json!({ "type": "ExternalName", "externalName": "a b" })),
            ),
            row(
                "a Service whose name begins with a digit",
                post(core("services"), &service("1a", &json!([{ "port": 80 }]))).dry_run(),
            ),
            row(
                "a Service with an address that is none",
                create(json!({ "clusterIP": "x", "ports": [{ "port": 80 }] })),
            ),
            row(
                "a Service with a port of its pods out of range",
                create(json!({ "ports": [{ "port": 80, "targetPort": 70000 }] })),
            ),
            row(
                "a Service with a port of its nodes beside a cluster's address",
                create(json!({ "ports": [{ "port": 80, "nodePort": 30080 }] })),
            ),
        ],
    )
}

fn claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "a" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    })
}

fn immutables() -> Case {
    let stateful = json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "a" }, "spec": { "serviceName": "a", "selector": { "matchLabels": { "app": "a" } }, "template": { "metadata": { "labels": { "app": "a" } }, "spec": one_container() } } });
    case(
        "some fields cannot be changed",
        [
            row(
                "a Deployment that stays",
                post(apps("deployments"), &deployment("a", &one_container())),
            ),
            row(
                "the selector of a Deployment",
                merge(
                    apps("deployments/a"),
                    &json!({ "spec": { "selector": { "matchLabels": { "app": "b" } }, "template": { "metadata": { "labels": { "app": "b" } } } } }),
                ),
            ),
            row("a StatefulSet that stays", post(apps("statefulsets"), &stateful)),
            row(
                "the service of a StatefulSet",
                merge(apps("statefulsets/a"), &json!({ "spec": { "serviceName": "b" } })),
            ),
            row(
                "the replicas of a StatefulSet",
                merge(apps("statefulsets/a"), &json!({ "spec": { "replicas": 3 } })),
            ),
            row(
                "a DaemonSet that stays",
                post(
                    apps("daemonsets"),
                    &json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "a" }, "spec": { "selector": { "matchLabels": { "app": "a" } }, "template": { "metadata": { "labels": { "app": "a" } }, "spec": one_container() } } }),
                ),
            ),
            row(
                "the selector of a DaemonSet",
                merge(
                    apps("daemonsets/a"),
                    &json!({ "spec": { "selector": { "matchLabels": { "app": "b" } }, "template": { "metadata": { "labels": { "app": "b" } } } } }),
                ),
            ),
            row(
                "a Pod that stays",
                post(core("pods"), &pod("a", &one_container())),
            ),
            row(
                "the policy of a Pod",
                merge(core("pods/a"), &json!({ "spec": { "restartPolicy": "Never" } })),
            ),
            row(
                "the image of a Pod",
                strategic(
                    core("pods/a"),
                    &json!({ "spec": { "containers": [{ "name": "main", "image": "example.com/app:2" }] } }),
                ),
            ),
            row(
                "a claim that stays",
                post(core("persistentvolumeclaims"), &claim()).dry_run(),
            ),
            row(
                "a StorageClass that stays",
                post(
                    "/apis/storage.k8s.io/v1/storageclasses",
                    &json!({ "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": "m-stays" }, "provisioner": "example.com/a" }),
                ),
            ),
            row(
                "the provisioner of a StorageClass",
                merge(
                    "/apis/storage.k8s.io/v1/storageclasses/m-stays",
                    &json!({ "provisioner": "example.com/b" }),
                ),
            ),
            row(
                "a PriorityClass that stays",
                post(
                    "/apis/scheduling.k8s.io/v1/priorityclasses",
                    &json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": "m-stays" }, "value": 1 }),
                ),
            ),
            row(
                "the value of a PriorityClass",
                merge(
                    "/apis/scheduling.k8s.io/v1/priorityclasses/m-stays",
                    &json!({ "value": 2 }),
                ),
            ),
        ],
    )
}

fn metadata() -> Case {
    let create = |metadata: Value| {
        post(
            core("configmaps"),
            &json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata }),
        )
        .dry_run()
    };
    case(
        "metadata is checked",
        [
            row(
                "a label's value is not too long",
                create(json!({ "name": "a", "labels": { "a": "b".repeat(64) } })),
            ),
            row(
                "a label's value is of some letters",
                create(json!({ "name": "a", "labels": { "a": "b/c" } })),
            ),
            row(
                "a label's key has one slash",
                create(json!({ "name": "a", "labels": { "a/b/c": "d" } })),
            ),
            row(
                "a label's prefix is a subdomain",
                create(json!({ "name": "a", "labels": { "A_B/c": "d" } })),
            ),
            row(
                "annotations together are not too large",
                create(json!({ "name": "a", "annotations": { "a": "b".repeat(262_145) } })),
            ),
            row(
                "a finalizer has a prefix",
                create(json!({ "name": "a", "finalizers": ["hold"] })),
            ),
            row(
                "an owner needs all its fields",
                create(
                    json!({ "name": "a", "ownerReferences": [{ "apiVersion": "", "kind": "A", "name": "b", "uid": "c" }] }),
                ),
            ),
            row(
                "an owner is no Event",
                create(
                    json!({ "name": "a", "ownerReferences": [{ "apiVersion": "v1", "kind": "Event", "name": "b", "uid": "c" }] }),
                ),
            ),
            row(
                "there is one controller",
                create(
                    json!({ "name": "a", "ownerReferences": [{ "apiVersion": "v1", "kind": "A", "name": "b", "uid": "c", "controller": true }, { "apiVersion": "v1", "kind": "A", "name": "d", "uid": "e", "controller": true }] }),
                ),
            ),
            row(
                "a key of data has some letters",
                post(core("configmaps"), &config_map("a", &json!({ "a/b": "c" }))).dry_run(),
            ),
            row(
                "a key is in data or in bytes",
                post(
                    core("configmaps"),
                    &with(
                        config_map("a", &json!({ "a": "c" })),
                        "/binaryData",
                        json!({ "a": "YQ==" }),
                    ),
                )
                .dry_run(),
            ),
        ],
    )
}
