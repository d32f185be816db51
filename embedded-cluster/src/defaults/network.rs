//! Defaults and allocations of Services, and of the networking group. No I/O.

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
    allocate_node_ports(value, state);
    object::put(value, &["status"], json!({"loadBalancer": {}}));
}

fn allocate_node_ports(value: &mut Value, state: &mut State) {
    let service_type = object::text(value, &["spec", "type"]);
    let allocate = object::at(value, &["spec", "allocateLoadBalancerNodePorts"])
        .and_then(Value::as_bool)
        .unwrap_or(true);
    if service_type != "NodePort" && !(service_type == "LoadBalancer" && allocate) {
        return;
    }
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
    if matches!(
        object::text(value, &["spec", "type"]),
        "NodePort" | "LoadBalancer"
    ) {
        let known = object::items(live, &["spec", "ports"]).to_vec();
        for port in items_mut(value, &["spec", "ports"]) {
            let same = |old: &&Value| {
                old.get("port") == port.get("port") && old.get("protocol") == port.get("protocol")
            };
            let node_port = known
                .iter()
                .find(same)
                .and_then(|old| object::number(old, &["nodePort"]));
            if let Some(number) = node_port {
                put_default(port, &["nodePort"], number);
            }
        }
    }
}
