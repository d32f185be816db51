//! What a server adds to kinds that run nothing.

use serde_json::{Value, json};

use super::defaults::dry;
use super::shapes::{service, with};
use crate::case::{Case, case, row};
use crate::request::{core, group, merge, post, put};

pub(super) fn cases() -> Vec<Case> {
    vec![network(), others(), secrets()]
}

fn network() -> Case {
    let ingress = |spec: Value| json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "a" }, "spec": spec });
    let ingresses = || group("networking.k8s.io/v1", "ingresses");
    case(
        "what is on the network is completed",
        [
            row(
                "a plain Service",
                post(core("services"), &service("a", &json!([{ "port": 80 }]))),
            ),
            row(
                "a Service with a named port of its pods",
                post(
                    core("services"),
                    &service("b", &json!([{ "port": 80, "targetPort": "http" }])),
                ),
            ),
            row(
                "a Service with affinity",
                post(
                    core("services"),
                    &with(
                        service("c", &json!([{ "port": 80 }])),
                        "/spec/sessionAffinity",
                        json!("ClientIP"),
                    ),
                ),
            ),
            row(
                "a Service of a balancer",
                post(
                    core("services"),
                    &with(
                        service("d", &json!([{ "port": 80 }])),
                        "/spec/type",
                        json!("LoadBalancer"),
                    ),
                ),
            ),
            row(
                "a Service of two ports needs names",
                post(
                    core("services"),
                    &service("e", &json!([{ "port": 80 }, { "port": 81 }])),
                ),
            ),
            row(
                "the address of a Service stays",
                merge(
                    core("services/a"),
                    &json!({ "spec": { "clusterIP": "10.0.0.9" } }),
                ),
            ),
            row(
                "a Service keeps its address in an update that does not say it",
                put(core("services/a"), &service("a", &json!([{ "port": 81 }]))),
            ),
            row(
                "a Service becomes one of nodes",
                merge(core("services/a"), &json!({ "spec": { "type": "NodePort" } })),
            ),
            row(
                "a Service becomes one of the cluster again",
                merge(core("services/a"), &json!({ "spec": { "type": "ClusterIP" } })),
            ),
            row(
                "a Service becomes an external name",
                merge(
                    core("services/a"),
                    &json!({ "spec": { "type": "ExternalName", "externalName": "example.com", "clusterIP": "", "clusterIPs": null } }),
                ),
            ),
            row(
                "a plain Ingress",
                dry(
                    ingresses(),
                    &ingress(
                        json!({ "rules": [{ "host": "example.com", "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": { "service": { "name": "a", "port": { "number": 80 } } } }] } }] }),
                    ),
                ),
            ),
            row(
                "an Ingress without a path type is refused",
                dry(
                    ingresses(),
                    &ingress(
                        json!({ "rules": [{ "http": { "paths": [{ "path": "/", "backend": { "service": { "name": "a", "port": { "number": 80 } } } }] } }] }),
                    ),
                ),
            ),
            row(
                "an Ingress without anything is refused",
                dry(ingresses(), &ingress(json!({}))),
            ),
            row(
                "a plain NetworkPolicy",
                dry(
                    group("networking.k8s.io/v1", "networkpolicies"),
                    &json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "a" }, "spec": { "podSelector": {}, "ingress": [{ "ports": [{ "port": 80 }] }] } }),
                ),
            ),
            row(
                "a NetworkPolicy for leaving",
                dry(
                    group("networking.k8s.io/v1", "networkpolicies"),
                    &json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "a" }, "spec": { "podSelector": {}, "egress": [{}] } }),
                ),
            ),
        ],
    )
}

fn others() -> Case {
    case(
        "other kinds are completed",
        [
            row(
                "a plain ServiceAccount",
                dry(
                    core("serviceaccounts"),
                    &json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "a" } }),
                ),
            ),
            row(
                "a plain Role",
                dry(
                    group("rbac.authorization.k8s.io/v1", "roles"),
                    &json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "a" } }),
                ),
            ),
            row(
                "a binding of a group",
                dry(
                    group("rbac.authorization.k8s.io/v1", "rolebindings"),
                    &json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "a" }, "subjects": [{ "kind": "Group", "name": "g" }], "roleRef": { "kind": "ClusterRole", "name": "view" } }),
                ),
            ),
            row(
                "a plain budget of disruptions",
                dry(
                    group("policy/v1", "poddisruptionbudgets"),
                    &json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "a" }, "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "a" } } } }),
                ),
            ),
            row(
                "a plain scaler",
                dry(
                    group("autoscaling/v2", "horizontalpodautoscalers"),
                    &json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "a" }, "spec": { "maxReplicas": 3, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "a" } } }),
                ),
            ),
            row(
                "a scaler with behaviour",
                dry(
                    group("autoscaling/v2", "horizontalpodautoscalers"),
                    &json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "a" }, "spec": { "maxReplicas": 3, "behavior": { "scaleDown": {} }, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "a" } } }),
                ),
            ),
            row(
                "a scaler without a maximum is refused",
                dry(
                    group("autoscaling/v2", "horizontalpodautoscalers"),
                    &json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "a" }, "spec": { "scaleTargetRef": { "kind": "Deployment", "name": "a" } } }),
                ),
            ),
            row(
                "a plain LimitRange",
                dry(
                    core("limitranges"),
                    &json!({ "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "a" }, "spec": { "limits": [{ "type": "Container", "default": { "cpu": "500m" } }] } }),
                ),
            ),
            row(
                "a plain StorageClass",
                dry(
                    "/apis/storage.k8s.io/v1/storageclasses".into(),
                    &json!({ "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": "m-a" }, "provisioner": "example.com/a" }),
                ),
            ),
            row(
                "a plain PriorityClass",
                dry(
                    "/apis/scheduling.k8s.io/v1/priorityclasses".into(),
                    &json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": "m-a" }, "value": 1000 }),
                ),
            ),
            row(
                "a plain IngressClass",
                dry(
                    "/apis/networking.k8s.io/v1/ingressclasses".into(),
                    &json!({ "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": { "name": "m-a" }, "spec": { "controller": "example.com/a" } }),
                ),
            ),
            row(
                "a plain ClusterRole",
                dry(
                    "/apis/rbac.authorization.k8s.io/v1/clusterroles".into(),
                    &json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "m-a" }, "rules": [{ "nonResourceURLs": ["/x"], "verbs": ["get"] }] }),
                ),
            ),
            row(
                "a plain EndpointSlice",
                dry(
                    group("discovery.k8s.io/v1", "endpointslices"),
                    &json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": { "name": "a" }, "addressType": "IPv4", "endpoints": [{ "addresses": ["10.0.0.1"] }], "ports": [{ "port": 80 }] }),
                ),
            ),
        ],
    )
}

fn secrets() -> Case {
    let secret = |more: Value| {
        let mut secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "a" } });
        for (name, value) in more.as_object().into_iter().flatten() {
            secret[name] = value.clone();
        }
        secret
    };
    let of_type = |name: &str| with(secret(json!({ "type": name })), "/metadata/name", json!("c"));
    let at = || core("secrets/a");
    case(
        "a Secret is written as text and kept as bytes",
        [
            row(
                "text becomes bytes",
                post(core("secrets"), &secret(json!({ "stringData": { "a": "b" } }))),
            ),
            row(
                "text is laid over bytes",
                merge(at(), &json!({ "stringData": { "c": "d" } })),
            ),
            row("bytes are checked", merge(at(), &json!({ "data": { "e": "!" } }))),
            row(
                "the type of a Secret stays",
                merge(at(), &json!({ "type": "example.com/other" })),
            ),
            row(
                "an apply of text owns the text",
                crate::request::apply(
                    core("secrets/b"),
                    "one",
                    &with(
                        secret(json!({ "stringData": { "a": "b" } })),
                        "/metadata/name",
                        json!("b"),
                    ),
                ),
            ),
            row(
                "the same apply of text again",
                crate::request::apply(
                    core("secrets/b"),
                    "one",
                    &with(
                        secret(json!({ "stringData": { "a": "b" } })),
                        "/metadata/name",
                        json!("b"),
                    ),
                ),
            ),
            row(
                "a Secret of TLS needs its keys",
                dry(core("secrets"), &of_type("kubernetes.io/tls")),
            ),
            row(
                "a Secret of a registry needs its key",
                dry(core("secrets"), &of_type("kubernetes.io/dockerconfigjson")),
            ),
            row(
                "a Secret of basic authentication needs a name or a word",
                dry(core("secrets"), &of_type("kubernetes.io/basic-auth")),
            ),
            row(
                "a Secret of a token needs an account",
                dry(core("secrets"), &of_type("kubernetes.io/service-account-token")),
            ),
            row(
                "a Secret becomes immutable",
                merge(at(), &json!({ "immutable": true })),
            ),
            row(
                "an immutable Secret stays as it is",
                merge(at(), &json!({ "stringData": { "a": "z" } })),
            ),
        ],
    )
}
