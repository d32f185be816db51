//! Rules for the content of built-in kinds that run nothing. No I/O.

use serde_json::Value;

use crate::answer::Cause;
use crate::object;
use crate::resource::Kind;

pub(super) fn data_keys(value: &Value, causes: &mut Vec<Cause>) {
    const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
    let fits = |key: &str| {
        !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    for field in ["data", "binaryData"] {
        for key in object::entries(value, &[field]).keys().filter(|key| !fits(key)) {
            causes.push(Cause::invalid(
                format!("{field}[{key}]"),
                &key.as_str().into(),
                KEY,
            ));
        }
    }
    for key in object::entries(value, &["data"]).keys() {
        if object::at(value, &["binaryData", key]).is_some() {
            let why = "duplicate of key present in binaryData";
            causes.push(Cause::invalid(format!("data[{key}]"), &key.as_str().into(), why));
        }
    }
    let size: usize = ["data", "binaryData"]
        .iter()
        .flat_map(|field| object::entries(value, &[field]).values())
        .map(|value| value.as_str().map_or(0, str::len))
        .sum();
    if size > 1024 * 1024 {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: "Too long: may not be more than 1048576 bytes".into(),
            field: "[]".into(),
        });
    }
}

pub(super) fn claim(value: &Value, causes: &mut Vec<Cause>) {
    if object::items(value, &["spec", "accessModes"]).is_empty() {
        causes.push(Cause::required(
            "spec.accessModes",
            "at least 1 access mode is required",
        ));
    }
    if object::at(value, &["spec", "resources", "requests", "storage"]).is_none() {
        causes.push(Cause::required("spec.resources[storage]", ""));
    }
}

pub(super) fn ingress(value: &Value, causes: &mut Vec<Cause>) {
    if object::items(value, &["spec", "rules"]).is_empty()
        && object::at(value, &["spec", "defaultBackend"]).is_none()
    {
        causes.push(Cause::invalid(
            "spec",
            &Value::Null,
            "either `defaultBackend` or `rules` must be specified",
        ));
    }
    for (rule, value) in object::items(value, &["spec", "rules"]).iter().enumerate() {
        for (index, path) in object::items(value, &["http", "paths"]).iter().enumerate() {
            let at = format!("spec.rules[{rule}].http.paths[{index}]");
            if object::text(path, &["pathType"]).is_empty() {
                causes.push(Cause::required(
                    format!("{at}.pathType"),
                    "pathType must be specified",
                ));
            }
            if object::at(path, &["backend", "service"]).is_none()
                && object::at(path, &["backend", "resource"]).is_none()
            {
                causes.push(Cause::required(
                    format!("{at}.backend"),
                    "must specify exactly one of `service` or `resource`",
                ));
            }
        }
    }
}

/// What a Secret of a known type has to hold.
pub(super) fn secret(value: &Value, causes: &mut Vec<Cause>) {
    let has = |key: &&&str| object::at(value, &["data", key]).is_some();
    let keys: &[&str] = match object::text(value, &["type"]) {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/basic-auth" => &["username", "password"],
        "kubernetes.io/service-account-token" => {
            const ACCOUNT: &str = "kubernetes.io/service-account.name";
            if object::text(value, &["metadata", "annotations", ACCOUNT]).is_empty() {
                causes.push(Cause::required(format!("metadata.annotations[{ACCOUNT}]"), ""));
            }
            &[]
        }
        _ => &[],
    };
    let any_will_do = object::text(value, &["type"]) == "kubernetes.io/basic-auth";
    if any_will_do && keys.iter().any(|key| has(&key)) {
        return;
    }
    for key in keys.iter().filter(|key| !has(key)) {
        causes.push(Cause::required(format!("data[{key}]"), ""));
    }
}

pub(super) fn rules(value: &Value, causes: &mut Vec<Cause>) {
    for (index, rule) in object::items(value, &["rules"]).iter().enumerate() {
        if object::items(rule, &["verbs"]).is_empty() {
            let why = "verbs must contain at least one value";
            causes.push(Cause::required(format!("rules[{index}].verbs"), why));
        }
    }
}

pub(super) fn budget(value: &Value, causes: &mut Vec<Cause>) {
    let at = |field: &str| object::at(value, &["spec", field]).filter(|found| !found.is_null());
    if let (Some(least), Some(most)) = (at("minAvailable"), at("maxUnavailable")) {
        // As Go prints the struct.
        let message = format!(
            "Invalid value: {{\"MinAvailable\":{least},\"Selector\":{},\"MaxUnavailable\":{most},\"UnhealthyPodEvictionPolicy\":null}}: minAvailable and maxUnavailable cannot be both set",
            at("selector").unwrap_or(&Value::Null)
        );
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message,
            field: "spec".into(),
        });
    }
}

pub(super) fn scaler(value: &Value, kind: &Kind, causes: &mut Vec<Cause>) {
    let most = object::number(value, &["spec", "maxReplicas"]).unwrap_or(0);
    let least = object::number(value, &["spec", "minReplicas"]).unwrap_or(1);
    if most < 1 {
        causes.push(Cause::required(
            "spec.maxReplicas",
            "must be set and greater than 0",
        ));
    }
    if most < least {
        let why = "must be greater than or equal to `minReplicas`";
        causes.push(Cause::invalid("spec.maxReplicas", &most.into(), why));
    }
    let version = object::text(value, &["spec", "scaleTargetRef", "apiVersion"]);
    if kind.version == "v2" && version.is_empty() {
        let why = "apiVersion must specify API group";
        causes.push(Cause::invalid("spec.scaleTargetRef.apiVersion", &"".into(), why));
    }
}
