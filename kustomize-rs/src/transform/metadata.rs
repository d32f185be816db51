//! `labels`, `commonLabels` and `commonAnnotations`, and the ways to set a field that all transformers
//! share. Pure.

use std::collections::BTreeMap;

use super::Result;
use crate::error::Error;
use crate::fieldspec::{Create, FieldSpecs};
use crate::set::ResourceSet;
use crate::yaml::{Content, Node};

/// Sets entries of string maps in every field that the specs name.
pub(crate) fn transform(
    set: &mut ResourceSet,
    entries: &BTreeMap<String, String>,
    specs: &FieldSpecs,
) -> Result<()> {
    for resource in set.as_mut_slice() {
        let gvk = resource.id.gvk.clone();
        let groups = resource.note_groups();
        let first = resource.groups + 1;
        let applied = specs.apply(&gvk, &mut resource.node, Create::Mapping, &mut |node| {
            let mut entries = (first..).zip(entries);
            entries.try_for_each(|(group, (key, value))| set_grouped_entry(node, key, value, group))
        });
        applied.map_err(|e| e.context(format!("{}: setting labels or annotations", resource.id)))?;
        resource.share_changes(&groups);
        resource.groups += u32::try_from(entries.len()).unwrap_or(u32::MAX);
        resource.refresh();
    }
    Ok(())
}

/// Sets one string in a mapping; an old value's quotes stay.
pub(crate) fn set_entry(node: &mut Node, key: &str, value: &str) -> Result<()> {
    set_grouped_entry(node, key, value, 0)
}

/// The same, where new entries are one scalar to kustomize wherever they are added in a resource: a later
/// change of one of them shows in all, so that a label on pods only can change a selector.
fn set_grouped_entry(node: &mut Node, key: &str, value: &str, group: u32) -> Result<()> {
    let position = node.position;
    if node.is_null() {
        return Ok(());
    }
    let Content::Mapping(mapping) = &mut node.content else {
        return Err(Error::resource(format!(
            "expected a mapping to set {key} in, at line {}",
            position.line
        )));
    };
    match mapping.get_mut(key) {
        Some(old) => old.set_string(value),
        None => mapping.insert(
            key,
            Node {
                group,
                ..Node::string(value)
            },
        ),
    }
    Ok(())
}

/// Sets a scalar whose new text decides its type, unless it is quoted.
pub(crate) fn set_scalar(node: &mut Node, text: String) -> Result<()> {
    refuse_collection(node)?;
    node.set_text(text);
    Ok(())
}

/// Sets a scalar to a string.
pub(crate) fn set_string(node: &mut Node, text: &str) -> Result<()> {
    refuse_collection(node)?;
    node.set_string(text);
    Ok(())
}

pub(crate) fn refuse_collection(node: &Node) -> Result<()> {
    if node.as_scalar().is_some() {
        return Ok(());
    }
    Err(Error::resource(format!(
        "expected a scalar at line {}, but found a mapping or a list",
        node.position.line
    )))
}
