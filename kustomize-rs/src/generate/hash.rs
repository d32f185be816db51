//! The hash at the end of generated names. In: a resource; out: ten letters that follow from its content.
//! Pure.

use std::fmt::Write;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Result;
use crate::error::Error;
use crate::resource::Resource;
use crate::yaml::{self, Node, Schema};

/// Computes the hash of a ConfigMap or Secret, as it is after all transformers.
pub(crate) fn name_hash(resource: &Resource) -> Result<String> {
    let kind = resource.id.gvk.kind.as_str();
    let fields: &[(&str, bool)] = match kind {
        "ConfigMap" => &[("data", true), ("binaryData", false)],
        "Secret" => &[("data", true), ("stringData", false), ("type", true)],
        _ => {
            let message = format!(
                "{}: only ConfigMaps and Secrets can have a hash in their name",
                resource.id
            );
            return Err(Error::unsupported(message).at(&resource.origin.path, None));
        }
    };
    let mut hashed = Map::new();
    hashed.insert("kind".into(), kind.into());
    // kustomize looks for one key called `metadata/name`, so that the name never counts.
    hashed.insert("name".into(), "".into());
    for &(field, always) in fields {
        let value = field_value(resource.node.get(field), resource)?;
        if always || value.is_object() {
            hashed.insert(field.into(), value);
        }
    }
    let json = go_json(&Value::Object(hashed));
    let digest = Sha256::digest(json.as_bytes());
    let hex = digest.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    Ok(hex[..10].chars().map(spell).collect())
}

/// Keeps vowels and look-alikes out of names.
fn spell(c: char) -> char {
    match c {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        c => c,
    }
}

fn field_value(node: Option<&Node>, resource: &Resource) -> Result<Value> {
    let Some(node) = node else { return Ok("".into()) };
    if let Some(text) = node.as_text() {
        return Ok(text.into());
    }
    let nested = yaml::to_value(node, Schema::GoYamlV3);
    nested.map_err(|e| Error::syntax(e.message).at(&resource.origin.path, Some(e.position)))
}

/// Writes JSON as Go's `encoding/json` does, which escapes what HTML or JavaScript might take amiss.
fn go_json(value: &Value) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
