//! What random sequences found: see the test `differential`.

use serde_json::json;

use super::shapes::{deployment, one_container, service, with};
use crate::case::{Case, case, row};
use crate::request::{apply, apps, core, merge, post, strategic};

pub(super) fn cases() -> Vec<Case> {
    vec![node_ports(), twice()]
}

fn twice() -> Case {
    let container =
        |more: serde_json::Value| json!({ "spec": { "template": { "spec": { "containers": [more] } } } });
    let variables = json!([{ "name": "A", "value": "1" }, { "name": "A", "value": "2" }]);
    case(
        "a strategic merge takes a list that was not there as it is",
        [
            row(
                "a Deployment without variables",
                post(apps("deployments"), &deployment("a", &one_container())),
            ),
            row(
                "a variable twice is kept twice in a container that had none",
                strategic(
                    apps("deployments/a"),
                    &container(json!({ "name": "main", "env": variables })),
                ),
            ),
            row(
                "a variable twice is kept twice in a new container",
                strategic(
                    apps("deployments/a"),
                    &container(json!({ "name": "side", "image": "example.com/side:1", "env": variables })),
                ),
            ),
        ],
    )
}

fn node_ports() -> Case {
    let ports = |list: serde_json::Value| with(service("a", &list), "/spec/type", json!("NodePort"));
    case(
        "ports of one number share a port of the nodes",
        [
            row(
                "two protocols of a new Service share a port of the nodes",
                apply(
                    core("services/a"),
                    "one",
                    &ports(
                        json!([{ "name": "tcp", "port": 80 }, { "name": "more", "port": 81 }, { "name": "udp", "port": 80, "protocol": "UDP" }]),
                    ),
                ),
            ),
            row(
                "a port keeps the port of the nodes that its name had",
                merge(
                    core("services/a"),
                    &json!({ "spec": { "ports": [{ "name": "udp", "port": 82 }] } }),
                ),
            ),
            row(
                "a protocol that comes later gets a port of its own",
                apply(
                    core("services/a"),
                    "one",
                    &ports(
                        json!([{ "name": "tcp", "port": 80 }, { "name": "more", "port": 81 }, { "name": "udp", "port": 81, "protocol": "UDP" }]),
                    ),
                ),
            ),
        ],
    )
}
