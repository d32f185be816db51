//! The `replacements` field as types. In: its tree. Out: sources and targets. Pure.

use super::decode::Fields;
use super::{Result, Selector, gvk, selector};
use crate::id::{Gvk, ResourceId};

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Replacement {
    pub(crate) source: Option<SourceSelector>,
    pub(crate) source_value: Option<String>,
    pub(crate) targets: Vec<TargetSelector>,
}

/// The one field that a value is taken from.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct SourceSelector {
    pub(crate) id: ResourceId,
    pub(crate) field_path: String,
    pub(crate) options: Option<FieldOptions>,
}

/// The fields that a value is written to.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct TargetSelector {
    pub(crate) select: Option<Selector>,
    pub(crate) reject: Vec<Selector>,
    pub(crate) field_paths: Vec<String>,
    pub(crate) options: Option<FieldOptions>,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct FieldOptions {
    pub(crate) delimiter: String,
    pub(crate) index: i64,
    pub(crate) encoding: String,
    pub(crate) create: bool,
}

pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Replacement> {
    Ok(Replacement {
        source: fields.object("source", source)?,
        source_value: fields.optional_string("sourceValue")?,
        targets: fields.list("targets", target)?,
    })
}

fn source(fields: &mut Fields<'_>) -> Result<SourceSelector> {
    let gvk: Gvk = gvk(fields)?;
    let id = ResourceId {
        gvk,
        name: fields.string("name")?,
        namespace: fields.string("namespace")?,
    };
    Ok(SourceSelector {
        id,
        field_path: fields.string("fieldPath")?,
        options: fields.object("options", field_options)?,
    })
}

fn target(fields: &mut Fields<'_>) -> Result<TargetSelector> {
    Ok(TargetSelector {
        select: fields.object("select", selector)?,
        reject: fields.list("reject", selector)?,
        field_paths: fields.strings("fieldPaths")?,
        options: fields.object("options", field_options)?,
    })
}

fn field_options(fields: &mut Fields<'_>) -> Result<FieldOptions> {
    Ok(FieldOptions {
        delimiter: fields.string("delimiter")?,
        index: fields.int("index")?,
        encoding: fields.string("encoding")?,
        create: fields.bool("create")?,
    })
}

/// Reads a file with one replacement or a list of them.
pub(crate) fn read_file(text: &str, path: &std::path::Path) -> Result<Vec<Replacement>> {
    let node = crate::yaml::load_v2(text).map_err(|e| crate::error::Error::load(path, e))?;
    let source = super::decode::Source {
        file: path,
        strict: false,
    };
    let one = |node| {
        let mut fields = source.fields(node, "")?;
        read(&mut fields)
    };
    match node.as_sequence() {
        Some(items) => items.iter().map(one).collect(),
        None => Ok(vec![one(&node)?]),
    }
}
