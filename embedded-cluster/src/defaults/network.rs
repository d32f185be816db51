//! Defaults and allocations of Services, and of the networking group. No I/O.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::object::{self, items_mut, put_default};
use crate::resource::Kind;
use crate::store::State;

/// Kinds of the core group.
pub(crate) fn core(value: &mut Value, kind: &Kind) {
    if kind.plural != "services" || value.get("spec").is_none() {
        return;
    }
    put_default(value, &["spec", "sessionAffinity"], "None");
    put_default(value, &["spec", "type"], "ClusterIP");
    let kind = object::text(value, &["spec", "type"]).to_owned();
    for port in items_mut(value, &["spec", "ports"]) {
        put_default(port, &["protocol"], "TCP");
        let target = port.get("targetPort").cloned().unwrap_or_default();
        if target.is_null() || target == json!("") || target == json!(0) {
            object::copy_field(port, "port", "targetPort");
        }
    }
    if object::text(value, &["spec", "sessionAffinity"]) == "ClientIP" {
        put_default(
            value,
            &["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"],
            10800,
        );
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        put_default(value, &["spec", "externalTrafficPolicy"], "Cluster");
    }
    if kind == "LoadBalancer" {
        put_default(value, &["spec", "allocateLoadBalancerNodePorts"], true);
    }
    if kind != "ExternalName" {
        put_default(value, &["spec", "internalTrafficPolicy"], "Cluster");
    }
}

/// Kinds of networking.k8s.io.
pub(crate) fn set(value: &mut Value, kind: &Kind) {
    match kind.plural.as_str() {
        "networkpolicies" => {
            let egress = object::at(value, &["spec", "egress"]).is_some();
            let types = if egress {
                json!(["Ingress", "Egress"])
            } else {
                json!(["Ingress"])
            };
            put_default(value, &["spec", "policyTypes"], types);
            for direction in ["ingress", "egress"] {
                for rule in items_mut(value, &["spec", direction]) {
                    for port in items_mut(rule, &["ports"]) {
                        put_default(port, &["protocol"], "TCP");
                    }
                }
            }
        }
        "ingressclasses" if object::at(value, &["spec", "parameters"]).is_some() => {
            put_default(value, &["spec", "parameters", "scope"], "Cluster");
        }
        _ => {}
    }
}

/// Gives a new Service its addresses and node ports.
pub(crate) fn on_create(value: &mut Value, kind: &Kind, state: &mut State) {
    if !kind.is("", "services") {
        return;
    }
    let service_type = object::text(value, &["spec", "type"]).to_owned();
    if service_type != "ExternalName" {
        let address = object::text(value, &["spec", "clusterIP"]).to_owned();
        let address = if address.is_empty() {
            state.next_address()
        } else {
            address
        };
        object::put(value, &["spec", "clusterIP"], address.as_str());
        object::put(value, &["spec", "clusterIPs"], json!([address]));
        let has_selector = !object::entries(value, &["spec", "selector"]).is_empty();
        let dual = address == "None" && !has_selector;
        put_default(
            value,
            &["spec", "ipFamilyPolicy"],
            if dual { "RequireDualStack" } else { "SingleStack" },
        );
        put_default(
            value,
            &["spec", "ipFamilies"],
            if dual {
                json!(["IPv4", "IPv6"])
            } else {
                json!(["IPv4"])
            },
        );
    }
    if has_node_ports(value) {
        allocate_shared(value, state);
    }
    object::put(value, &["status"], json!({"loadBalancer": {}}));
}

fn has_node_ports(value: &Value) -> bool {
    let service_type = object::text(value, &["spec", "type"]);
    let allocate = object::at(value, &["spec", "allocateLoadBalancerNodePorts"])
        .and_then(Value::as_bool)
        .unwrap_or(true);
    service_type == "NodePort" || (service_type == "LoadBalancer" && allocate)
}

/// Ports of one number share a port of the nodes when a Service is created, whatever their protocols.
fn allocate_shared(value: &mut Value, state: &mut State) {
    let asked: Vec<(i64, i64)> = object::items(value, &["spec", "ports"])
        .iter()
        .filter_map(|port| {
            Some((
                object::number(port, &["port"])?,
                object::number(port, &["nodePort"])?,
            ))
        })
        .filter(|(_, node_port)| *node_port != 0)
        .collect();
    let mut allocated: BTreeMap<i64, i64> = asked.into_iter().collect();
    for port in items_mut(value, &["spec", "ports"]) {
        if object::number(port, &["nodePort"]).unwrap_or(0) != 0 {
            continue;
        }
        let number = object::number(port, &["port"]).unwrap_or(0);
        let node_port = allocated
            .entry(number)
            .or_insert_with(|| state.next_node_port().into());
        object::put(port, &["nodePort"], *node_port);
    }
}

fn allocate_node_ports(value: &mut Value, state: &mut State) {
    for port in items_mut(value, &["spec", "ports"]) {
        if object::number(port, &["nodePort"]).unwrap_or(0) == 0 {
            object::put(port, &["nodePort"], state.next_node_port());
        }
    }
}

/// An update that leaves out what was allocated keeps it.
pub(crate) fn on_update(value: &mut Value, live: &Value, kind: &Kind) {
    if !kind.is("", "services") {
        return;
    }
    let given = |value: &Value, field: &str| {
        object::at(value, &["spec", field]).is_some_and(|value| !value.is_null() && value != "")
    };
    if object::text(value, &["spec", "type"]) == "ExternalName" {
        return;
    }
    if object::text(value, &["spec", "sessionAffinity"]) == "None" {
        object::take(value, &["spec", "sessionAffinityConfig"]);
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !given(value, field) {
            object::copy(value, live, &["spec", field]);
        }
    }
}

/// A port without a port of the nodes gets that of the port that had its name.
fn keep_node_ports(value: &mut Value, live: &Value) {
    let node_port = |port: &Value| object::number(port, &["nodePort"]).unwrap_or(0);
    let known = object::items(live, &["spec", "ports"]);
    let asked: Vec<i64> = object::items(value, &["spec", "ports"])
        .iter()
        .map(node_port)
        .collect();
    for port in items_mut(value, &["spec", "ports"]) {
        let name = object::text(port, &["name"]);
        // Of several of a name, the last is remembered.
        let before = known
            .iter()
            .rev()
            .find(|old| object::text(old, &["name"]) == name)
            .map_or(0, node_port);
        if node_port(port) == 0 && before != 0 && !asked.contains(&before) {
            object::put(port, &["nodePort"], before);
        }
    }
}

/// A Service of another type has other fields, and other ports.
pub(crate) fn after_update(value: &mut Value, live: &Value, kind: &Kind, state: &mut State) {
    if kind.is("", "services") {
        drop_foreign(value, live);
        if has_node_ports(value) {
            if has_node_ports(live) {
                keep_node_ports(value, live);
            }
            allocate_node_ports(value, state);
        }
    }
}

/// Fields of another type of Service go with it, unless they are changed at the same time.
fn drop_foreign(value: &mut Value, live: &Value) {
    let service_type = object::text(value, &["spec", "type"]).to_owned();
    if service_type == object::text(live, &["spec", "type"]) {
        return;
    }
    let mut foreign = Vec::new();
    if !matches!(service_type.as_str(), "NodePort" | "LoadBalancer") {
        foreign.push("externalTrafficPolicy");
    }
    if service_type == "ExternalName" {
        foreign.extend([
            "internalTrafficPolicy",
            "ipFamilies",
            "ipFamilyPolicy",
            "clusterIP",
            "clusterIPs",
        ]);
    }
    for field in foreign {
        if object::at(value, &["spec", field]) == object::at(live, &["spec", field]) {
            object::take(value, &["spec", field]);
        }
    }
    if service_type == "ClusterIP" {
        let known = object::items(live, &["spec", "ports"]).to_vec();
        for port in items_mut(value, &["spec", "ports"]) {
            if known
                .iter()
                .any(|old| old.get("nodePort") == port.get("nodePort"))
            {
                object::take(port, &["nodePort"]);
            }
        }
    }
}
