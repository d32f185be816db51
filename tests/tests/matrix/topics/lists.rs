//! Lists that are merged by keys, sets and atomics of built-in kinds, by apply.

use serde_json::{Value, json};

use super::shapes::service;
use crate::case::{Case, case, row};
use crate::request::{apply, core, get, group, json_patch, put};

pub(super) fn cases() -> Vec<Case> {
    vec![
        ports(),
        duplicates(),
        finalizers(),
        owner_references(),
        rules(),
        accounts(),
        tolerations(),
    ]
}

fn ports() -> Case {
    let at = || core("services/a");
    let with_ports = |ports: Value| service("a", &ports);
    case(
        "ports of a Service are keyed by port and protocol",
        [
            row(
                "one applies a port",
                apply(at(), "one", &with_ports(json!([{ "name": "http", "port": 80 }]))),
            ),
            row(
                "two applies another port",
                apply(at(), "two", &with_ports(json!([{ "name": "more", "port": 81 }]))),
            ),
            row(
                "the same number with another protocol is another port",
                apply(
                    at(),
                    "two",
                    &with_ports(
                        json!([{ "name": "more", "port": 81 }, { "name": "udp", "port": 80, "protocol": "UDP" }]),
                    ),
                ),
            ),
            row(
                "a protocol that is left out is TCP",
                apply(
                    at(),
                    "two",
                    &with_ports(
                        json!([{ "name": "http", "port": 80, "protocol": "TCP" }, { "name": "more", "port": 81 }]),
                    ),
                ),
            ),
            row(
                "a name that differs is a conflict",
                apply(at(), "two", &with_ports(json!([{ "name": "web", "port": 80 }]))),
            ),
            row(
                "a port that one drops stays for the other that has it",
                apply(at(), "one", &with_ports(json!([]))),
            ),
            row(
                "a port that all drop is removed",
                apply(at(), "two", &with_ports(json!([{ "name": "more", "port": 81 }]))),
            ),
            row(
                "the order is that of the applier",
                apply(
                    at(),
                    "two",
                    &with_ports(json!([{ "name": "zero", "port": 79 }, { "name": "more", "port": 81 }])),
                ),
            ),
            row(
                "a port without a number fails an apply",
                apply(at(), "two", &with_ports(json!([{ "name": "none" }]))),
            ),
            row("the address of the Service is nobody's", get(at())),
            row(
                "an external name takes the address away",
                apply(
                    core("services/b"),
                    "one",
                    &json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "b" }, "spec": { "type": "ExternalName", "externalName": "example.com" } }),
                ),
            ),
            row(
                "a Service of nodes has a port there",
                apply(
                    core("services/c"),
                    "one",
                    &json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "c" }, "spec": { "type": "NodePort", "ports": [{ "port": 80 }] } }),
                ),
            ),
            row(
                "a Service without an address has none",
                apply(
                    core("services/d"),
                    "one",
                    &json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "d" }, "spec": { "clusterIP": "None", "ports": [{ "port": 80 }] } }),
                ),
            ),
        ],
    )
}

fn duplicates() -> Case {
    let at = || core("services/a");
    case(
        "a key twice is refused when applied",
        [
            row(
                "a port twice fails an apply",
                apply(
                    at(),
                    "one",
                    &service(
                        "a",
                        &json!([{ "name": "a", "port": 80 }, { "name": "b", "port": 80, "protocol": "TCP" }]),
                    ),
                ),
            ),
            row(
                "a port once is applied",
                apply(at(), "one", &service("a", &json!([{ "name": "a", "port": 80 }]))),
            ),
            row(
                "a port twice fails an update too",
                put(
                    at(),
                    &service(
                        "a",
                        &json!([{ "name": "a", "port": 80 }, { "name": "b", "port": 80 }]),
                    ),
                ),
            ),
            row(
                "a name twice is refused",
                put(
                    at(),
                    &service(
                        "a",
                        &json!([{ "name": "a", "port": 80 }, { "name": "a", "port": 81 }]),
                    ),
                ),
            ),
        ],
    )
}

fn finalizers() -> Case {
    let at = || core("configmaps/a");
    let with_finalizers = |names: Value| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a", "finalizers": names } });
    case(
        "finalizers are a set when applied",
        [
            row(
                "one applies a finalizer",
                apply(at(), "one", &with_finalizers(json!(["example.com/a"]))),
            ),
            row(
                "two applies another finalizer",
                apply(at(), "two", &with_finalizers(json!(["example.com/b"]))),
            ),
            row(
                "two applies the finalizer of one too",
                apply(
                    at(),
                    "two",
                    &with_finalizers(json!(["example.com/b", "example.com/a"])),
                ),
            ),
            row(
                "one drops a finalizer that two has too",
                apply(at(), "one", &with_finalizers(json!([]))),
            ),
            row(
                "two drops a finalizer",
                apply(at(), "two", &with_finalizers(json!(["example.com/b"]))),
            ),
            row(
                "a finalizer twice fails an apply",
                apply(
                    at(),
                    "two",
                    &with_finalizers(json!(["example.com/b", "example.com/b"])),
                ),
            ),
            row(
                "a finalizer twice is kept once by a patch",
                json_patch(
                    at(),
                    &json!([{ "op": "add", "path": "/metadata/finalizers/-", "value": "example.com/b" }]),
                ),
            ),
            row(
                "two drops its last finalizer",
                apply(at(), "two", &with_finalizers(json!([]))),
            ),
        ],
    )
}

fn owner_references() -> Case {
    let at = || core("configmaps/a");
    let owner =
        |name: &str, uid: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid });
    let owned = |owners: Value| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a", "ownerReferences": owners } });
    case(
        "owner references are keyed by uid",
        [
            row(
                "an owner for references",
                apply(
                    core("configmaps/owner"),
                    "one",
                    &json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "owner" } }),
                ),
            )
            .keep("uid", "/metadata/uid"),
            row(
                "another owner for references",
                apply(
                    core("configmaps/other"),
                    "one",
                    &json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "other" } }),
                ),
            )
            .keep("other", "/metadata/uid"),
            row(
                "one applies an owner",
                apply(at(), "one", &owned(json!([owner("owner", "${uid}")]))),
            ),
            row(
                "two applies another owner",
                apply(at(), "two", &owned(json!([owner("other", "${other}")]))),
            ),
            row(
                "an owner cannot control beside another",
                apply(
                    at(),
                    "two",
                    &owned(json!([
                        crate::topics::shapes::with(owner("other", "${other}"), "/controller", json!(true)),
                        crate::topics::shapes::with(owner("owner", "${uid}"), "/controller", json!(true))
                    ])),
                ),
            ),
            row("one drops its owner", apply(at(), "one", &owned(json!([])))),
        ],
    )
}

fn rules() -> Case {
    let at = || group("rbac.authorization.k8s.io/v1", "roles/a");
    let role = |rules: Value| json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "a" }, "rules": rules });
    let rule = |resource: &str| json!({ "apiGroups": [""], "resources": [resource], "verbs": ["get"] });
    case(
        "rules of a Role are owned whole",
        [
            row(
                "one applies a rule",
                apply(at(), "one", &role(json!([rule("pods")]))),
            ),
            row(
                "two's rules conflict whole",
                apply(at(), "two", &role(json!([rule("services")]))),
            ),
            row(
                "two's rules replace all by force",
                apply(at(), "two", &role(json!([rule("services")]))).force(),
            ),
            row(
                "rules that are dropped are gone",
                apply(
                    at(),
                    "two",
                    &json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "a" } }),
                ),
            ),
            row(
                "a rule without verbs is refused",
                put(
                    at(),
                    &role(json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": [] }])),
                ),
            ),
            row(
                "a binding needs a reference",
                apply(
                    group("rbac.authorization.k8s.io/v1", "rolebindings/a"),
                    "one",
                    &json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "a" }, "subjects": [{ "kind": "ServiceAccount", "name": "default" }], "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a" } }),
                ),
            ),
            row(
                "a binding is made with its subjects' namespaces",
                apply(
                    group("rbac.authorization.k8s.io/v1", "rolebindings/a"),
                    "one",
                    &json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "a" }, "subjects": [{ "kind": "ServiceAccount", "name": "default", "namespace": "default" }], "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a" } }),
                ),
            ),
            row(
                "the role of a binding cannot be changed",
                apply(
                    group("rbac.authorization.k8s.io/v1", "rolebindings/a"),
                    "one",
                    &json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "a" }, "subjects": [], "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "b" } }),
                ),
            ),
        ],
    )
}

fn accounts() -> Case {
    let at = || core("serviceaccounts/a");
    let account = |secrets: Value| json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "a" }, "imagePullSecrets": secrets });
    case(
        "pull secrets of a ServiceAccount are keyed by name",
        [
            row(
                "one applies a pull secret",
                apply(at(), "one", &account(json!([{ "name": "a" }]))),
            ),
            row(
                "two applies another pull secret",
                apply(at(), "two", &account(json!([{ "name": "b" }]))),
            ),
            row(
                "one drops its pull secret",
                apply(at(), "one", &account(json!([]))),
            ),
            row(
                "a pull secret without a name has the empty one",
                apply(at(), "one", &account(json!([{}]))),
            ),
        ],
    )
}

fn tolerations() -> Case {
    let at = || core("pods/a");
    let pod = |name: &str| json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a" }, "spec": { "automountServiceAccountToken": false, "tolerations": [{ "key": name, "operator": "Exists" }], "containers": [{ "name": "main", "image": "example.com/app:1" }] } });
    case(
        "tolerations of a Pod are owned whole",
        [
            row("one applies a toleration", apply(at(), "one", &pod("a"))),
            row("two's tolerations conflict whole", apply(at(), "two", &pod("b"))),
            row(
                "a Pod's image may be changed",
                apply(
                    at(),
                    "one",
                    &crate::topics::shapes::with(
                        pod("a"),
                        "/spec/containers/0/image",
                        json!("example.com/app:2"),
                    ),
                ),
            ),
            row(
                "a Pod's name of a container may not be changed",
                put(
                    at(),
                    &json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a" }, "spec": { "automountServiceAccountToken": false, "containers": [{ "name": "other", "image": "example.com/app:1" }] } }),
                ),
            ),
        ],
    )
}
