//! What managers want, at random: few names and few values, so that they meet. No I/O.

use serde_json::{Map, Value, json};

use crate::random::Random;

/// Kinds whose fields are merged in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    /// A map of texts.
    ConfigMap,
    /// Lists in lists, keyed, atomic and defaulted.
    Deployment,
    /// A list with two keys, one of which has a default.
    Service,
    /// Lists that are keyed by a name alone.
    ServiceAccount,
    /// A list that is owned whole.
    Role,
    /// A kind of a definition with lists and maps of all types.
    Thing,
}

impl Schema {
    pub(crate) const ALL: [Self; 6] = [
        Self::ConfigMap,
        Self::Deployment,
        Self::Service,
        Self::ServiceAccount,
        Self::Role,
        Self::Thing,
    ];

    /// Its version, its kind and its path.
    pub(crate) fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::ConfigMap => ("v1", "ConfigMap", "/api/v1/namespaces/differential/configmaps"),
            Self::Deployment => (
                "apps/v1",
                "Deployment",
                "/apis/apps/v1/namespaces/differential/deployments",
            ),
            Self::Service => ("v1", "Service", "/api/v1/namespaces/differential/services"),
            Self::ServiceAccount => (
                "v1",
                "ServiceAccount",
                "/api/v1/namespaces/differential/serviceaccounts",
            ),
            Self::Role => {
                let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/differential/roles";
                ("rbac.authorization.k8s.io/v1", "Role", path)
            }
            Self::Thing => {
                let path = "/apis/differential.example.com/v1/namespaces/differential/things";
                ("differential.example.com/v1", "Thing", path)
            }
        }
    }

    /// Everything of an object but what it is and its name. A complete one could be created.
    pub(crate) fn content(self, random: &mut Random, complete: bool) -> Value {
        let mut content = match self {
            Self::ConfigMap => config_map(random),
            Self::Deployment => deployment(random, complete),
            Self::Service => service(random, complete),
            Self::ServiceAccount => service_account(random),
            Self::Role => role(random),
            Self::Thing => thing(random),
        };
        if random.percent(30) {
            content["metadata"] = json!({ *random.one(&["labels", "annotations"]): labels(random) });
        }
        content
    }
}

/// The definition of things.
pub(crate) fn definition() -> Value {
    let text = || json!({ "type": "string" });
    let texts = || json!({ "type": "array", "items": text() });
    let element = json!({
        "type": "object", "required": ["name"],
        "properties": {
            "name": text(), "zone": { "type": "string", "default": "z" }, "value": text(), "more": texts(),
            "inner": { "type": "object", "properties": { "a": text(), "b": { "type": "string", "default": "d" } } },
        },
    });
    let spec = json!({
        "type": "object",
        "properties": {
            "size": { "type": "integer", "default": 3 },
            "map": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "zone"], "items": element },
            "set": { "type": "array", "x-kubernetes-list-type": "set", "items": text() },
            "plain": { "type": "array", "items": { "type": "object", "properties": { "a": text() } } },
            "atomic": { "type": "object", "x-kubernetes-map-type": "atomic", "properties": { "a": text(), "b": text() } },
            "granular": { "type": "object", "additionalProperties": text() },
            "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "things.differential.example.com" },
        "spec": {
            "group": "differential.example.com", "scope": "Namespaced", "names": { "plural": "things", "singular": "thing", "kind": "Thing" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": spec } } },
            }],
        },
    })
}

/// Adds a field now and then.
fn maybe(
    random: &mut Random,
    often: usize,
    to: &mut Map<String, Value>,
    name: &str,
    value: impl FnOnce(&mut Random) -> Value,
) {
    if random.percent(often) {
        let value = if random.percent(6) {
            Value::Null
        } else {
            value(random)
        };
        to.insert(name.to_owned(), value);
    }
}

fn text(random: &mut Random) -> Value {
    (*random.one(&["1", "2", "3"])).into()
}

/// Some texts by name; at least one, since upstream stores an empty map of labels of a defined kind without showing it.
fn labels(random: &mut Random) -> Value {
    let texts = texts(random);
    if texts == json!({}) {
        json!({ "a": "1" })
    } else {
        texts
    }
}

fn texts(random: &mut Random) -> Value {
    random
        .some(&["a", "b", "c"])
        .into_iter()
        .map(|name| (name.to_owned(), text(random)))
        .collect::<Map<_, _>>()
        .into()
}

/// Objects of these names, each filled in; now and then one of them twice.
fn named(random: &mut Random, names: &[&str], fill: impl Fn(&mut Random, &mut Map<String, Value>)) -> Value {
    let mut names = random.some(names);
    if random.percent(2) {
        names.extend(names.first().copied());
    }
    let elements = names.into_iter().map(|name| {
        let mut element = Map::from_iter([("name".to_owned(), name.into())]);
        fill(random, &mut element);
        Value::Object(element)
    });
    elements.collect()
}

fn config_map(random: &mut Random) -> Value {
    let mut out = Map::new();
    maybe(random, 85, &mut out, "data", texts);
    maybe(random, 10, &mut out, "binaryData", |_| json!({ "x": "YQ==" }));
    out.into()
}

fn deployment(random: &mut Random, complete: bool) -> Value {
    let container = |random: &mut Random, out: &mut Map<String, Value>| {
        if complete || random.percent(60) {
            out.insert(
                "image".to_owned(),
                (*random.one(&["example.com/a:1", "example.com/a:2"])).into(),
            );
        }
        maybe(random, 30, out, "env", |random| {
            named(random, &["A", "B"], |random, out| {
                out.insert("value".to_owned(), text(random));
            })
        });
        maybe(random, 20, out, "args", |random| random.some(&["x", "y"]).into());
        maybe(random, 20, out, "ports", |random| {
            let ports = random.some(&[80, 81]).into_iter();
            ports
                .map(|port| json!({ "containerPort": port, "name": format!("p{port}") }))
                .collect()
        });
        maybe(
            random,
            20,
            out,
            "resources",
            |random| json!({ "limits": { "cpu": *random.one(&["1", "1000m", "2"]), "memory": *random.one(&["1Gi", "1024Mi"]) } }),
        );
    };
    let mut pod = Map::new();
    let mut containers = named(random, &["main", "side"], container);
    if complete && containers == json!([]) {
        containers = json!([{ "name": "main", "image": "example.com/a:1" }]);
    }
    pod.insert("containers".to_owned(), containers);
    maybe(random, 20, &mut pod, "volumes", |random| {
        named(random, &["v", "w"], |random, out| {
            let source = *random.one(&["emptyDir", "configMap"]);
            let content = if source == "configMap" {
                json!({ "name": "c" })
            } else {
                json!({})
            };
            out.insert(source.to_owned(), content);
        })
    });
    maybe(random, 15, &mut pod, "tolerations", |random| {
        let keys = random.some(&["a", "b"]).into_iter();
        keys.map(|key| json!({ "key": key, "operator": "Exists" }))
            .collect()
    });
    maybe(random, 15, &mut pod, "nodeSelector", texts);
    maybe(
        random,
        10,
        &mut pod,
        "securityContext",
        |random| json!({ "runAsUser": *random.one(&[1, 2]) }),
    );
    let mut spec = Map::new();
    if complete || random.percent(70) {
        spec.insert("selector".to_owned(), json!({ "matchLabels": { "app": "a" } }));
    }
    spec.insert(
        "template".to_owned(),
        json!({ "metadata": { "labels": { "app": "a" } }, "spec": pod }),
    );
    maybe(random, 35, &mut spec, "replicas", |random| {
        (*random.one(&[0, 1, 2])).into()
    });
    maybe(random, 15, &mut spec, "paused", |random| {
        (*random.one(&[true, false])).into()
    });
    maybe(random, 15, &mut spec, "strategy", |random| {
        random
            .one(&[
                json!({ "type": "Recreate" }),
                json!({ "rollingUpdate": { "maxSurge": 1 } }),
                json!({ "type": "RollingUpdate" }),
            ])
            .clone()
    });
    json!({ "spec": spec })
}

fn service(random: &mut Random, complete: bool) -> Value {
    let mut spec = Map::new();
    let mut numbers = random.some(&[(80, None), (80, Some("UDP")), (81, Some("TCP")), (82, None)]);
    if complete && numbers.is_empty() {
        numbers.push((80, None));
    }
    let ports = numbers.into_iter().map(|(number, protocol)| {
        let mut port = json!({ "port": number });
        if random.percent(90) {
            port["name"] = format!("{}-{number}", protocol.unwrap_or("TCP").to_lowercase()).into();
        }
        if let Some(protocol) = protocol {
            port["protocol"] = protocol.into();
        }
        if random.percent(30) {
            port["targetPort"] = random.one(&[json!(8080), json!("http")]).clone();
        }
        port
    });
    spec.insert("ports".to_owned(), ports.collect());
    maybe(random, 50, &mut spec, "selector", texts);
    maybe(random, 15, &mut spec, "sessionAffinity", |random| {
        (*random.one(&["ClientIP", "None"])).into()
    });
    maybe(random, 10, &mut spec, "type", |random| {
        (*random.one(&["ClusterIP", "NodePort"])).into()
    });
    json!({ "spec": spec })
}

fn service_account(random: &mut Random) -> Value {
    let mut out = Map::new();
    maybe(random, 60, &mut out, "imagePullSecrets", |random| {
        named(random, &["a", "b", "c"], |_, _| {})
    });
    maybe(random, 40, &mut out, "secrets", |random| {
        named(random, &["a", "b"], |_, _| {})
    });
    maybe(random, 30, &mut out, "automountServiceAccountToken", |random| {
        (*random.one(&[true, false])).into()
    });
    out.into()
}

fn role(random: &mut Random) -> Value {
    let mut out = Map::new();
    maybe(random, 85, &mut out, "rules", |random| {
        let resources = random.some(&["pods", "services"]).into_iter();
        let rule = |resource: &str| json!({ "apiGroups": [""], "resources": [resource], "verbs": ["get"] });
        resources.map(rule).collect()
    });
    out.into()
}

fn thing(random: &mut Random) -> Value {
    let mut spec = Map::new();
    maybe(random, 30, &mut spec, "size", |random| {
        (*random.one(&[1, 2, 3])).into()
    });
    maybe(random, 50, &mut spec, "map", |random| {
        named(random, &["a", "b"], |random, out| {
            maybe(random, 40, out, "zone", |random| {
                (*random.one(&["y", "z"])).into()
            });
            maybe(random, 60, out, "value", text);
            maybe(random, 25, out, "more", |random| random.some(&["x", "y"]).into());
            maybe(random, 25, out, "inner", |random| texts_of(random, &["a", "b"]));
        })
    });
    maybe(random, 40, &mut spec, "set", |random| {
        random.some(&["a", "b", "c"]).into()
    });
    maybe(random, 30, &mut spec, "plain", |random| {
        random
            .some(&["1", "2"])
            .into_iter()
            .map(|text| json!({ "a": text }))
            .collect()
    });
    maybe(random, 30, &mut spec, "atomic", |random| {
        texts_of(random, &["a", "b"])
    });
    maybe(random, 40, &mut spec, "granular", texts);
    maybe(
        random,
        25,
        &mut spec,
        "free",
        |random| json!({ "x": texts(random), "l": random.some(&[1, 2]) }),
    );
    json!({ "spec": spec })
}

fn texts_of(random: &mut Random, names: &[&str]) -> Value {
    random
        .some(names)
        .into_iter()
        .map(|name| (name.to_owned(), text(random)))
        .collect::<Map<_, _>>()
        .into()
}
