//! Fields inside of texts that are themselves YAML or JSON. In: a path that goes on below a scalar; out: the
//! scalar with its text changed. Pure.

use serde_json::Value;

use crate::error::Error;
use crate::fieldpath::{self, Found, Make};
use crate::merge::strategic::fix_tag;
use crate::yaml::{self, Content, Node, Schema};

type Result<T> = std::result::Result<T, Error>;

/// Sets a value inside of a text. False when the path does not lead into one, or to nothing in it.
pub(crate) fn set(root: &mut Node, parts: &[String], value: &Node, make: Make) -> Result<bool> {
    if parts.len() < 2 {
        return Ok(false);
    }
    let Some((address, rest)) = text_on_path(root, parts) else {
        return Ok(false);
    };
    let Some(text) = fieldpath::at(root, &address).and_then(Node::as_text) else {
        return Ok(false);
    };
    let Ok(mut inner) = yaml::load(text) else {
        return Ok(false);
    };
    if text.trim().is_empty() {
        return Ok(false);
    }
    let Ok(found) = fieldpath::find(&mut inner, rest, make) else {
        return Ok(false);
    };
    if found.is_empty() {
        return Ok(false);
    }
    for found in found {
        let Found::At(address) = found else { continue };
        let Some(node) = fieldpath::at_mut(&mut inner, &address) else {
            continue;
        };
        if node.as_scalar().is_some() {
            let text = value.as_text().unwrap_or_default().to_string();
            if node.position.line > 0 {
                fix_tag(node);
            } else {
                node.tag = yaml::Tag::Implicit;
            }
            if let Content::Scalar(scalar) = &mut node.content {
                scalar.text = text;
            }
        } else {
            *node = value.clone();
            forget_lines(node);
        }
    }
    let Some(new) = print(&inner, text)? else {
        return Ok(false);
    };
    let Some(node) = fieldpath::at_mut(root, &address) else {
        return Ok(false);
    };
    fix_tag(node);
    if let Content::Scalar(scalar) = &mut node.content {
        scalar.text = new;
    }
    Ok(true)
}

/// A node that comes from another text has no place in this one.
fn forget_lines(node: &mut Node) {
    node.position = yaml::Position::default();
    match &mut node.content {
        Content::Scalar(_) => {}
        Content::Sequence(items) => items.iter_mut().for_each(forget_lines),
        Content::Mapping(mapping) => {
            for (key, value) in &mut mapping.entries {
                forget_lines(key);
                forget_lines(value);
            }
        }
    }
}

/// The first scalar on a path that goes on behind it.
fn text_on_path<'p>(root: &Node, parts: &'p [String]) -> Option<(fieldpath::Address, &'p [String])> {
    for i in 1..parts.len() {
        let Ok(Some(address)) = fieldpath::lookup(root, &parts[..i]) else {
            continue;
        };
        let Some(text) = fieldpath::at(root, &address).and_then(Node::as_text) else {
            continue;
        };
        if yaml::load(text).is_ok() {
            return Some((address, &parts[i..]));
        }
    }
    None
}

/// Prints the changed tree in the form of the old text: JSON, over several lines if it was, or YAML.
fn print(node: &Node, old: &str) -> Result<Option<String>> {
    if !old.trim_start().starts_with(['{', '[']) {
        return yaml::print_as_written(node, old).map(Some);
    }
    let Ok(value) = yaml::to_value(node, Schema::GoYamlV3) else {
        return Ok(None);
    };
    let pretty = old.contains('\n') && old.contains("  ");
    Ok(Some(go_json(&value, pretty)))
}

fn go_json(value: &Value, pretty: bool) -> String {
    let text = if pretty {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    let mut out = String::new();
    for c in text.unwrap_or_default().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
