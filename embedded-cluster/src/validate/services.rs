//! Rules for Services. No I/O.

use serde_json::Value;

use super::{names, pods};
use crate::answer::Cause;
use crate::object;

/// Causes in a Service.
pub(super) fn check(value: &Value, causes: &mut Vec<Cause>) {
    let ports = object::items(value, &["spec", "ports"]);
    let kind = object::text(value, &["spec", "type"]);
    if ports.is_empty() && kind != "ExternalName" && object::text(value, &["spec", "clusterIP"]) != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    let out_of_range = |port: &Value, field: &str| {
        object::number(port, &[field]).is_some_and(|number| !(1..=65535).contains(&number))
    };
    for (index, port) in ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        let name = object::text(port, &["name"]);
        let earlier = ports.iter().take(index);
        for complaint in names::label(name).into_iter().filter(|_| !name.is_empty()) {
            causes.push(Cause::invalid(format!("{at}.name"), &name.into(), &complaint));
        }
        let has_node_port = object::number(port, &["nodePort"]).unwrap_or(0) != 0;
        if has_node_port && kind == "ClusterIP" {
            let why = "may not be used when `type` is 'ClusterIP'";
            causes.push(Cause::forbidden(format!("{at}.nodePort"), why));
        }
        if ports.len() > 1 && name.is_empty() {
            causes.push(Cause::required(format!("{at}.name"), ""));
        } else if !name.is_empty()
            && earlier
                .clone()
                .any(|other| object::text(other, &["name"]) == name)
        {
            causes.push(Cause::duplicate(format!("{at}.name"), &name.into()));
        }
        for field in ["port", "targetPort"] {
            if out_of_range(port, field) {
                let shown = port.get(field).cloned().unwrap_or_default();
                causes.push(Cause::invalid(
                    format!("{at}.{field}"),
                    &shown,
                    "must be between 1 and 65535, inclusive",
                ));
            }
        }
        pods::check_protocol(port, &at, causes);
        let same = |other: &Value| {
            other.get("port") == port.get("port") && other.get("protocol") == port.get("protocol")
        };
        if earlier.clone().any(same) {
            // As Go prints the struct.
            let message = format!(
                "Duplicate value: {{\"Name\":\"\",\"Protocol\":{:?},\"AppProtocol\":null,\"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
                object::text(port, &["protocol"]),
                object::number(port, &["port"]).unwrap_or(0),
            );
            causes.push(Cause {
                reason: "FieldValueDuplicate",
                message,
                field: at,
            });
        }
    }
    for key in object::entries(value, &["spec", "selector"]).keys() {
        for complaint in names::qualified(key, "valid label key") {
            causes.push(Cause::invalid("spec.selector", &key.as_str().into(), &complaint));
        }
    }
    let address = object::text(value, &["spec", "clusterIP"]);
    if !matches!(address, "" | "None") && address.parse::<std::net::IpAddr>().is_err() {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        causes.push(Cause::invalid("spec.clusterIPs[0]", &address.into(), why));
    }
    let external = object::text(value, &["spec", "externalName"]).trim_end_matches('.');
    for complaint in names::subdomain(external)
        .into_iter()
        .filter(|_| kind == "ExternalName")
    {
        causes.push(Cause::invalid("spec.externalName", &external.into(), &complaint));
    }
    if !matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName") {
        let allowed = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
        causes.push(Cause::unsupported("spec.type", &kind.into(), &allowed));
    }
}
