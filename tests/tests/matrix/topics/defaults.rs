//! What a server adds to built-in kinds: defaults, names, generations, canonical forms.

use serde_json::{Value, json};

use super::shapes::{deployment, one_container, pod, with};
use crate::case::{Case, case, row};
use crate::request::{Ask, apps, core, group, merge, post};

pub(super) fn cases() -> Vec<Case> {
    vec![pods(), workloads(), batch()]
}

pub(super) fn dry(path: String, body: &Value) -> Ask {
    post(path, body).dry_run()
}

fn pods() -> Case {
    let with_container = |container: Value| pod("a", &json!({ "containers": [container] }));
    let base = || json!({ "name": "main", "image": "example.com/app:1" });
    let create = |body: &Value| dry(core("pods"), body);
    case(
        "a Pod is completed",
        [
            row("a plain Pod", create(&pod("a", &one_container()))),
            row(
                "an image without a tag is always pulled",
                create(&with_container(
                    json!({ "name": "main", "image": "example.com/app" }),
                )),
            ),
            row(
                "an image with the tag latest is always pulled",
                create(&with_container(
                    json!({ "name": "main", "image": "example.com/app:latest" }),
                )),
            ),
            row(
                "an image with a digest is pulled once",
                create(&with_container(
                    json!({ "name": "main", "image": "example.com/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }),
                )),
            ),
            row(
                "ports get a protocol",
                create(&with_container(with(
                    base(),
                    "/ports",
                    json!([{ "containerPort": 80 }]),
                ))),
            ),
            row(
                "probes get their numbers",
                create(&with_container(with(
                    base(),
                    "/readinessProbe",
                    json!({ "httpGet": { "port": 80 } }),
                ))),
            ),
            row(
                "a probe by command",
                create(&with_container(with(
                    base(),
                    "/livenessProbe",
                    json!({ "exec": { "command": ["true"] } }),
                ))),
            ),
            row(
                "a probe by grpc",
                create(&with_container(with(
                    base(),
                    "/livenessProbe",
                    json!({ "grpc": { "port": 80 } }),
                ))),
            ),
            row(
                "a hook before stopping",
                create(&with_container(with(
                    base(),
                    "/lifecycle",
                    json!({ "preStop": { "httpGet": { "port": 80 } } }),
                ))),
            ),
            row(
                "limits are requests too",
                create(&with_container(with(
                    base(),
                    "/resources",
                    json!({ "limits": { "cpu": "1", "memory": "1Gi" } }),
                ))),
            ),
            row(
                "quantities are canonical",
                create(&with_container(with(
                    base(),
                    "/resources",
                    json!({ "requests": { "cpu": "0.5", "memory": "1024Ki", "ephemeral-storage": "1e3" }, "limits": { "cpu": 2, "memory": "2048Mi" } }),
                ))),
            ),
            row(
                "variables refer to fields",
                create(&with_container(with(
                    base(),
                    "/env",
                    json!([{ "name": "A", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }, { "name": "B", "value": "" }]),
                ))),
            ),
            row(
                "volumes get their modes",
                create(&pod(
                    "a",
                    &json!({ "containers": [base()], "volumes": [
                { "name": "a", "configMap": { "name": "c" } }, { "name": "b", "secret": { "secretName": "s" } }, { "name": "c", "emptyDir": {} }, { "name": "d" },
                { "name": "e", "projected": { "sources": [{ "serviceAccountToken": { "path": "t" } }] } },
                { "name": "f", "downwardAPI": { "items": [{ "path": "l", "fieldRef": { "fieldPath": "metadata.labels" } }] } },
                { "name": "g", "hostPath": { "path": "/x" } },
            ] }),
                )),
            ),
            row(
                "a host's network takes its ports",
                create(&pod(
                    "a",
                    &json!({ "hostNetwork": true, "containers": [with(base(), "/ports", json!([{ "containerPort": 80 }]))] }),
                )),
            ),
            row(
                "a security context",
                create(&pod(
                    "a",
                    &json!({ "securityContext": { "runAsNonRoot": true, "fsGroup": 1 }, "containers": [with(base(), "/securityContext", json!({ "capabilities": { "drop": ["ALL"] } }))] }),
                )),
            ),
            row(
                "init containers that stay",
                create(&pod(
                    "a",
                    &json!({ "initContainers": [{ "name": "init", "image": "example.com/init:1", "restartPolicy": "Always" }], "containers": [base()] }),
                )),
            ),
            row(
                "a spread over zones",
                create(&pod(
                    "a",
                    &json!({ "containers": [base()], "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "a": "b" } } }] }),
                )),
            ),
            row(
                "a Pod that talks to the server gets a token",
                create(&pod(
                    "a",
                    &with(one_container(), "/automountServiceAccountToken", json!(null)),
                )),
            ),
            row(
                "a priority class that is not there is refused",
                create(&pod(
                    "a",
                    &with(one_container(), "/priorityClassName", json!("nowhere")),
                )),
            ),
            row(
                "a priority of the system",
                create(&pod(
                    "a",
                    &with(
                        one_container(),
                        "/priorityClassName",
                        json!("system-node-critical"),
                    ),
                )),
            ),
        ],
    )
}

fn workloads() -> Case {
    let labels = || json!({ "matchLabels": { "app": "a" } });
    let template = || json!({ "metadata": { "labels": { "app": "a" } }, "spec": one_container() });
    let of = |kind: &str, spec: Value| json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": "a" }, "spec": spec });
    case(
        "workloads are completed",
        [
            row(
                "a plain Deployment",
                dry(apps("deployments"), &deployment("a", &one_container())),
            ),
            row(
                "a Deployment that is recreated",
                dry(
                    apps("deployments"),
                    &with(
                        deployment("a", &one_container()),
                        "/spec/strategy",
                        json!({ "type": "Recreate" }),
                    ),
                ),
            ),
            row(
                "a Deployment that rolls",
                dry(
                    apps("deployments"),
                    &with(
                        deployment("a", &one_container()),
                        "/spec/strategy",
                        json!({ "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } }),
                    ),
                ),
            ),
            row(
                "a Deployment of no replicas",
                dry(
                    apps("deployments"),
                    &with(deployment("a", &one_container()), "/spec/replicas", json!(0)),
                ),
            ),
            row(
                "a plain StatefulSet",
                dry(
                    apps("statefulsets"),
                    &of(
                        "StatefulSet",
                        json!({ "serviceName": "a", "selector": labels(), "template": template() }),
                    ),
                ),
            ),
            row(
                "a StatefulSet with claims",
                dry(
                    apps("statefulsets"),
                    &of(
                        "StatefulSet",
                        json!({ "serviceName": "a", "selector": labels(), "template": template(), "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1024Mi" } } } }] }),
                    ),
                ),
            ),
            row(
                "a StatefulSet that is updated by hand",
                dry(
                    apps("statefulsets"),
                    &of(
                        "StatefulSet",
                        json!({ "serviceName": "a", "selector": labels(), "template": template(), "updateStrategy": { "type": "OnDelete" } }),
                    ),
                ),
            ),
            row(
                "a StatefulSet with a partition",
                dry(
                    apps("statefulsets"),
                    &of(
                        "StatefulSet",
                        json!({ "serviceName": "a", "selector": labels(), "template": template(), "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } } }),
                    ),
                ),
            ),
            row(
                "a plain DaemonSet",
                dry(
                    apps("daemonsets"),
                    &of(
                        "DaemonSet",
                        json!({ "selector": labels(), "template": template() }),
                    ),
                ),
            ),
            row(
                "a DaemonSet with a strategy",
                dry(
                    apps("daemonsets"),
                    &of(
                        "DaemonSet",
                        json!({ "selector": labels(), "template": template(), "updateStrategy": { "rollingUpdate": { "maxUnavailable": "10%" } } }),
                    ),
                ),
            ),
            row(
                "a plain ReplicaSet",
                dry(
                    apps("replicasets"),
                    &of(
                        "ReplicaSet",
                        json!({ "selector": labels(), "template": template() }),
                    ),
                ),
            ),
            row(
                "a plain ReplicationController",
                dry(
                    core("replicationcontrollers"),
                    &json!({ "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "a" }, "spec": { "template": template() } }),
                ),
            ),
        ],
    )
}

fn batch() -> Case {
    let spec = || with(one_container(), "/restartPolicy", json!("Never"));
    let job = |more: Value| {
        let mut job = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "a" }, "spec": { "template": { "spec": spec() } } });
        for (name, value) in more.as_object().into_iter().flatten() {
            job["spec"][name] = value.clone();
        }
        job
    };
    let jobs = || group("batch/v1", "jobs");
    case(
        "jobs are completed",
        [
            row("a plain Job", post(jobs(), &job(json!({})))),
            row(
                "a Job with completions",
                dry(
                    jobs(),
                    &with(
                        job(json!({ "completions": 3, "parallelism": 2 })),
                        "/metadata/name",
                        json!("b"),
                    ),
                ),
            ),
            row(
                "a Job that is suspended",
                dry(
                    jobs(),
                    &with(
                        job(json!({ "suspend": true, "ttlSecondsAfterFinished": 10 })),
                        "/metadata/name",
                        json!("b"),
                    ),
                ),
            ),
            row(
                "a Job with an index",
                dry(
                    jobs(),
                    &with(
                        job(
                            json!({ "completions": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 1 }),
                        ),
                        "/metadata/name",
                        json!("b"),
                    ),
                ),
            ),
            row(
                "a Job that always restarts is refused",
                dry(
                    jobs(),
                    &with(
                        with(job(json!({})), "/metadata/name", json!("b")),
                        "/spec/template/spec/restartPolicy",
                        json!("Always"),
                    ),
                ),
            ),
            row(
                "the template of a Job cannot be changed",
                merge(
                    group("batch/v1", "jobs/a"),
                    &json!({ "spec": { "template": { "spec": { "restartPolicy": "OnFailure" } } } }),
                ),
            ),
            row(
                "a Job may be suspended later",
                merge(
                    group("batch/v1", "jobs/a"),
                    &json!({ "spec": { "suspend": true } }),
                ),
            ),
            row(
                "a plain CronJob",
                dry(
                    group("batch/v1", "cronjobs"),
                    &json!({ "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "a" }, "spec": { "schedule": "0 3 * * *", "jobTemplate": { "spec": { "template": { "spec": spec() } } } } }),
                ),
            ),
            row(
                "a CronJob with a schedule that cannot be read",
                dry(
                    group("batch/v1", "cronjobs"),
                    &json!({ "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "a" }, "spec": { "schedule": "every night", "jobTemplate": { "spec": { "template": { "spec": spec() } } } } }),
                ),
            ),
            row(
                "a CronJob with a time zone that is not known",
                dry(
                    group("batch/v1", "cronjobs"),
                    &json!({ "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "a" }, "spec": { "schedule": "0 3 * * *", "timeZone": "Nowhere/Land", "jobTemplate": { "spec": { "template": { "spec": spec() } } } } }),
                ),
            ),
        ],
    )
}
