//! Rules for pods and pod templates (`pkg/apis/core/validation`), in upstream's order. No I/O.

use serde_json::Value;

use super::names;
use crate::answer::Cause;
use crate::object;
use crate::quantity;

/// Causes in the pod spec at `path` of an object; `at` is that path as text.
pub(super) fn spec(value: &Value, at: &str, path: &[&str], causes: &mut Vec<Cause>) {
    let spec = object::at(value, path).unwrap_or(&Value::Null);
    let mut volumes: Vec<&str> = Vec::new();
    for (index, volume) in object::items(spec, &["volumes"]).iter().enumerate() {
        check_volume(volume, &format!("{at}.volumes[{index}]"), causes);
        let name = object::text(volume, &["name"]);
        if volumes.contains(&name) {
            causes.push(Cause::duplicate(
                format!("{at}.volumes[{index}].name"),
                &name.into(),
            ));
        }
        volumes.push(name);
    }
    let named = |list: &'static [&'static str], of: &'_ Value| -> Vec<String> {
        let name = |item: &Value| {
            let plain = object::text(item, &["name"]);
            if plain.is_empty() {
                object::meta(item, "name").to_owned()
            } else {
                plain.to_owned()
            }
        };
        object::items(of, list).iter().map(name).collect()
    };
    let mut mountable = named(&["volumes"], spec);
    mountable.extend(named(&["spec", "volumeClaimTemplates"], value));
    if object::items(spec, &["containers"]).is_empty() {
        causes.push(Cause::required(format!("{at}.containers"), ""));
    }
    let mut seen: Vec<&str> = Vec::new();
    for list in ["containers", "initContainers"] {
        for (index, container) in object::items(spec, &[list]).iter().enumerate() {
            let at = format!("{at}.{list}[{index}]");
            check_name(container, &at, &mut seen, causes);
            check_container(container, &at, &mountable, causes);
        }
    }
    for (field, known) in [
        ("restartPolicy", &["Always", "OnFailure", "Never"][..]),
        (
            "dnsPolicy",
            &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
        ),
    ] {
        let policy = object::text(spec, &[field]);
        if !policy.is_empty() && !known.contains(&policy) {
            causes.push(Cause::unsupported(format!("{at}.{field}"), &policy.into(), known));
        }
    }
}

/// How a probe asks.
const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];
/// Numbers of a probe that are not negative.
const PROBE_NUMBERS: [&str; 6] = [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "terminationGracePeriodSeconds",
];

fn check_probe(probe: &Value, at: &str, causes: &mut Vec<Cause>) {
    if !HANDLERS
        .iter()
        .any(|handler| probe.get(handler).is_some_and(Value::is_object))
    {
        causes.push(Cause::required(at, "must specify a handler type"));
    }
    for field in PROBE_NUMBERS {
        if let Some(number) = object::number(probe, &[field]).filter(|number| *number < 0) {
            let why = "must be greater than or equal to 0";
            causes.push(Cause::invalid(format!("{at}.{field}"), &number.into(), why));
        }
    }
}

/// The kinds of volumes in the order in which upstream looks at them; those left out come last.
const VOLUMES: [&str; 8] = [
    "emptyDir",
    "hostPath",
    "secret",
    "nfs",
    "persistentVolumeClaim",
    "downwardAPI",
    "configMap",
    "projected",
];

fn check_volume(volume: &Value, at: &str, causes: &mut Vec<Cause>) {
    let name = object::text(volume, &["name"]);
    if name.is_empty() {
        causes.push(Cause::required(format!("{at}.name"), ""));
    } else {
        let complaints = names::label(name).into_iter();
        causes.extend(
            complaints.map(|complaint| Cause::invalid(format!("{at}.name"), &name.into(), &complaint)),
        );
    }
    let mut sources: Vec<&String> = object::entries(volume, &[])
        .keys()
        .filter(|key| *key != "name")
        .collect();
    sources.sort_by_key(|source| {
        VOLUMES
            .iter()
            .position(|known| known == source)
            .unwrap_or(VOLUMES.len())
    });
    for source in sources.into_iter().skip(1) {
        causes.push(Cause::forbidden(
            format!("{at}.{source}"),
            "may not specify more than 1 volume type",
        ));
    }
}

fn check_name<'a>(container: &'a Value, at: &str, seen: &mut Vec<&'a str>, causes: &mut Vec<Cause>) {
    let name = object::text(container, &["name"]);
    let field = format!("{at}.name");
    if name.is_empty() {
        causes.push(Cause::required(field, ""));
    } else if seen.contains(&name) {
        causes.push(Cause::duplicate(field, &name.into()));
    } else {
        let complaints = names::label(name).into_iter();
        causes.extend(complaints.map(|complaint| Cause::invalid(field.clone(), &name.into(), &complaint)));
    }
    seen.push(name);
}

fn check_container(container: &Value, at: &str, mountable: &[String], causes: &mut Vec<Cause>) {
    if object::text(container, &["image"]).is_empty() {
        causes.push(Cause::required(format!("{at}.image"), ""));
    }
    for (index, port) in object::items(container, &["ports"]).iter().enumerate() {
        check_port(port, &format!("{at}.ports[{index}]"), causes);
    }
    for (index, variable) in object::items(container, &["env"]).iter().enumerate() {
        if object::text(variable, &["name"]).is_empty() {
            causes.push(Cause::required(format!("{at}.env[{index}].name"), ""));
        }
    }
    for (index, mount) in object::items(container, &["volumeMounts"]).iter().enumerate() {
        let name = object::text(mount, &["name"]);
        if name.is_empty() {
            causes.push(Cause::required(format!("{at}.volumeMounts[{index}].name"), ""));
        } else if !mountable.iter().any(|known| known == name) {
            causes.push(Cause::not_found(
                format!("{at}.volumeMounts[{index}].name"),
                &name.into(),
            ));
        }
        if object::text(mount, &["mountPath"]).is_empty() {
            causes.push(Cause::required(
                format!("{at}.volumeMounts[{index}].mountPath"),
                "",
            ));
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get(name).filter(|probe| probe.is_object()) {
            check_probe(probe, &format!("{at}.{name}"), causes);
        }
    }
    let policy = object::text(container, &["imagePullPolicy"]);
    if !matches!(policy, "" | "Always" | "IfNotPresent" | "Never") {
        let allowed = ["Always", "IfNotPresent", "Never"];
        causes.push(Cause::unsupported(
            format!("{at}.imagePullPolicy"),
            &policy.into(),
            &allowed,
        ));
    }
    check_resources(container, at, causes);
}

fn check_port(port: &Value, at: &str, causes: &mut Vec<Cause>) {
    match object::number(port, &["containerPort"]) {
        None | Some(0) => causes.push(Cause::required(format!("{at}.containerPort"), "")),
        Some(number) if !(1..=65535).contains(&number) => {
            let why = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(format!("{at}.containerPort"), &number.into(), why));
        }
        Some(_) => {}
    }
    check_protocol(port, at, causes);
}

/// Only three protocols are known.
pub(super) fn check_protocol(port: &Value, at: &str, causes: &mut Vec<Cause>) {
    let protocol = object::text(port, &["protocol"]);
    if !matches!(protocol, "" | "TCP" | "UDP" | "SCTP") {
        causes.push(Cause::unsupported(
            format!("{at}.protocol"),
            &protocol.into(),
            &["SCTP", "TCP", "UDP"],
        ));
    }
}

fn check_resources(container: &Value, at: &str, causes: &mut Vec<Cause>) {
    let limits = object::entries(container, &["resources", "limits"]);
    for (name, request) in object::entries(container, &["resources", "requests"]) {
        let Some(limit) = limits.get(name) else { continue };
        let nanos = |quantity: &Value| quantity::nanos(quantity.as_str().unwrap_or_default());
        if nanos(request) > nanos(limit) {
            let why = format!(
                "must be less than or equal to {name} limit of {}",
                limit.as_str().unwrap_or_default()
            );
            causes.push(Cause::invalid(format!("{at}.resources.requests"), request, &why));
        }
    }
}
