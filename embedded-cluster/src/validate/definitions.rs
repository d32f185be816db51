//! Rules for CustomResourceDefinitions (`apiextensions/validation`), in upstream's order. No I/O.

use serde_json::Value;

use super::names;
use crate::answer::Cause;
use crate::object;
use crate::schema::structural;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const DNS_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const APPROVAL: &str = "api-approved.kubernetes.io";

/// What makes a definition unusable.
pub(super) fn check(crd: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let text = |path: &[&str]| object::text(crd, path);
    let (group, plural) = (text(&["spec", "group"]), text(&["spec", "names", "plural"]));
    let name = object::meta(crd, "name");
    if name != format!("{plural}.{group}") {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &name.into(), why));
    }
    let versions = object::items(crd, &["spec", "versions"]);
    for (index, version) in versions.iter().enumerate() {
        if object::at(version, &["schema", "openAPIV3Schema"]).is_none() {
            let field = format!("spec.versions[{index}].schema.openAPIV3Schema");
            causes.push(Cause::required(field, ""));
        }
    }
    if group.is_empty() {
        causes.push(Cause::required("spec.group", ""));
    }
    match text(&["spec", "scope"]) {
        "" => causes.push(Cause::required("spec.scope", "")),
        "Namespaced" | "Cluster" => {}
        other => {
            let known = ["Cluster", "Namespaced"];
            causes.push(Cause::unsupported("spec.scope", &other.into(), &known));
        }
    }
    let stored = versions
        .iter()
        .filter(|version| version.get("storage").and_then(Value::as_bool) == Some(true))
        .count();
    if stored != 1 {
        let shown: Vec<String> = versions.iter().map(as_go_prints).collect();
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message: format!(
                "Invalid value: [{}]: must have exactly one version marked as storage version",
                shown.join(",")
            ),
            field: "spec.versions".into(),
        });
    }
    check_names(crd, &mut causes);
    schemas(versions, &mut causes);
    if stored == 0 {
        let why = "must have at least one stored version";
        causes.push(Cause::invalid("status.storedVersions", &Value::Null, why));
    }
    let is_protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    if is_protected && object::text(crd, &["metadata", "annotations", APPROVAL]).is_empty() {
        let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111";
        causes.push(Cause::required(format!("metadata.annotations[{APPROVAL}]"), why));
    }
    causes
}

/// A version as Go prints the struct, without its schema, which is moved out before it is printed.
fn as_go_prints(version: &Value) -> String {
    let flag = |name: &str| version.get(name).and_then(Value::as_bool).unwrap_or(false);
    format!(
        "{{\"Name\":{:?},\"Served\":{},\"Storage\":{},\"Deprecated\":{},\"DeprecationWarning\":null,\"Schema\":null,\"Subresources\":null,\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}}",
        object::text(version, &["name"]),
        flag("served"),
        flag("storage"),
        flag("deprecated"),
    )
}

fn check_names(crd: &Value, causes: &mut Vec<Cause>) {
    for field in ["plural", "singular", "kind", "listKind"] {
        let name = object::text(crd, &["spec", "names", field]);
        let at = format!("spec.names.{field}");
        if name.is_empty() {
            if field != "singular" {
                causes.push(Cause::required(at, ""));
            }
        } else if !is_dns_label(&name.to_lowercase()) || (field == "plural" && name.to_lowercase() != name) {
            causes.push(Cause::invalid(at, &name.into(), DNS_LABEL));
        }
    }
}

fn is_dns_label(text: &str) -> bool {
    names::label(text).is_empty() && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Every version that was stored once has to stay.
pub(super) fn check_stored(crd: &Value) -> Vec<Cause> {
    let versions = object::items(crd, &["spec", "versions"]);
    let is_there = |stored: &str| {
        versions
            .iter()
            .any(|version| object::text(version, &["name"]) == stored)
    };
    let mut causes = Vec::new();
    for (index, stored) in object::items(crd, &["status", "storedVersions"])
        .iter()
        .enumerate()
    {
        let name = stored.as_str().unwrap_or_default();
        if !is_there(name) {
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            causes.push(Cause::invalid(
                format!("status.storedVersions[{index}]"),
                stored,
                &why,
            ));
        }
    }
    causes
}

/// Where all versions say the same, upstream names the one schema they share.
fn schemas(versions: &[Value], causes: &mut Vec<Cause>) {
    let schema = |version: &Value| object::at(version, &["schema", "openAPIV3Schema"]).cloned();
    let shared = versions
        .iter()
        .all(|version| schema(version) == versions.first().and_then(schema));
    for (index, version) in versions.iter().enumerate() {
        let Some(schema) = schema(version) else { continue };
        let at = if shared {
            "spec.validation.openAPIV3Schema".to_owned()
        } else {
            format!("spec.versions[{index}].schema.openAPIV3Schema")
        };
        let root = object::text(&schema, &["type"]);
        if !root.is_empty() && root != "object" {
            let why = "must be object at the root";
            causes.push(Cause::invalid(format!("{at}.type"), &root.into(), why));
        }
        structure(&schema, &at, causes);
        if shared {
            return;
        }
    }
}

/// What makes a schema not structural, and a few more things that are always wrong.
fn structure(schema: &Value, at: &str, causes: &mut Vec<Cause>) {
    let has = |name: &str| schema.get(name).is_some_and(|value| !value.is_null());
    let flag = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
    let kind = object::text(schema, &["type"]);
    let any_type = flag("x-kubernetes-int-or-string") || flag("x-kubernetes-preserve-unknown-fields");
    if kind.is_empty() && !any_type {
        let why = "must not be empty for specified object fields";
        causes.push(Cause::required(format!("{at}.type"), why));
    } else if !kind.is_empty() && !TYPES.contains(&kind) {
        causes.push(Cause::unsupported(format!("{at}.type"), &kind.into(), &TYPES));
    }
    if kind == "array" && !has("items") {
        causes.push(Cause::required(format!("{at}.items"), "must be specified"));
    }
    if has("properties") && has("additionalProperties") {
        let why = "additionalProperties and properties are mutual exclusive";
        causes.push(Cause::forbidden(format!("{at}.additionalProperties"), why));
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && let Err(error) = regex::Regex::new(pattern)
    {
        let why = format!(
            "must be a valid regular expression, but isn't: {}",
            go_regex_error(pattern, &error)
        );
        causes.push(Cause::invalid(format!("{at}.pattern"), &pattern.into(), &why));
    }
    list(schema, at, causes);
    if let Some(default) = schema.get("default") {
        causes.extend(structural::check_default(
            schema,
            default,
            &format!("{at}.default"),
        ));
    }
    for (name, field) in object::entries(schema, &["properties"]) {
        structure(field, &format!("{at}.properties[{name}]"), causes);
    }
    for below in ["items", "additionalProperties"] {
        if let Some(field) = schema.get(below).filter(|field| field.is_object()) {
            structure(field, &format!("{at}.{below}"), causes);
        }
    }
}

/// The one error that people make, in Go's words.
fn go_regex_error(pattern: &str, error: &regex::Error) -> String {
    if pattern.matches('(').count() > pattern.matches(')').count() {
        return format!("error parsing regexp: missing closing ): `{pattern}`");
    }
    error.to_string()
}

fn list(schema: &Value, at: &str, causes: &mut Vec<Cause>) {
    let items = schema.get("items").unwrap_or(&Value::Null);
    match object::text(schema, &["x-kubernetes-list-type"]) {
        "" | "atomic" => {}
        "set" => {
            let kind = object::text(items, &["type"]);
            let is_atomic = |field: &str| object::text(items, &[field]) == "atomic";
            if kind == "object" && !is_atomic("x-kubernetes-map-type") {
                let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
                let shown = items.get("x-kubernetes-map-type").unwrap_or(&Value::Null);
                causes.push(Cause::invalid(
                    format!("{at}.items.x-kubernetes-map-type"),
                    shown,
                    why,
                ));
            }
        }
        "map" => {
            let keys = object::items(schema, &["x-kubernetes-list-map-keys"]);
            if keys.is_empty() {
                let why = "must not be empty if x-kubernetes-list-type is map";
                causes.push(Cause::required(format!("{at}.x-kubernetes-list-map-keys"), why));
            }
            for key in keys.iter().filter_map(Value::as_str) {
                let required = object::items(items, &["required"])
                    .iter()
                    .any(|name| name.as_str() == Some(key));
                let has_default = object::at(items, &["properties", key, "default"]).is_some();
                if !required && !has_default {
                    let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                    causes.push(Cause::required(
                        format!("{at}.items.properties[{key}].default"),
                        why,
                    ));
                }
            }
        }
        other => {
            let field = format!("{at}.x-kubernetes-list-type");
            causes.push(Cause::unsupported(
                field,
                &other.into(),
                &["atomic", "set", "map"],
            ));
        }
    }
}
