//! `ValueAddTransformer`: puts one value into fields, or as a part into the file paths that they hold. Pure.

use super::Result;
use super::namespace;
use super::select::Matcher;
use crate::fieldpath::{self, Found, Make};
use crate::fieldspec::{FieldSpecs, split_path};
use crate::model::Selector;
use crate::resource::Resource;
use crate::set::ResourceSet;

/// A value and where it goes.
pub(crate) struct AddedValue {
    pub(crate) value: String,
    pub(crate) targets: Vec<ValueTarget>,
}

pub(crate) struct ValueTarget {
    pub(crate) selector: Option<Selector>,
    /// The field, its parts separated by `/`.
    pub(crate) path: String,
    /// Before which part of the path in the field the value goes, from one; zero replaces the field.
    pub(crate) position: i64,
}

impl AddedValue {
    pub(crate) fn apply(&self, set: &mut ResourceSet) -> Result<()> {
        for target in &self.targets {
            let matcher = target.selector.as_ref().map(Matcher::new).transpose()?;
            for resource in set.as_mut_slice() {
                if matcher.as_ref().is_none_or(|m| m.selects(resource)) {
                    self.set(resource, target)
                        .map_err(|e| e.context(format!("{}: adding a value", resource.id)))?;
                    resource.refresh();
                }
            }
        }
        Ok(())
    }

    fn set(&self, resource: &mut Resource, target: &ValueTarget) -> Result<()> {
        if target.path == "metadata/namespace" {
            let specs = FieldSpecs::default();
            let transform = namespace::Transform {
                namespace: &self.value,
                specs: &specs,
                subjects: namespace::Subjects::Default,
                unset_only: false,
            };
            return transform.change(resource);
        }
        let parts = split_path(&target.path);
        for found in fieldpath::find(&mut resource.node, &parts, Make::Scalar)? {
            let Found::At(address) = found else { continue };
            let Some(node) = fieldpath::at_mut(&mut resource.node, &address) else {
                continue;
            };
            let old = node.as_text().unwrap_or_default();
            let new = match usize::try_from(target.position)
                .unwrap_or_default()
                .checked_sub(1)
            {
                Some(position) => insert_part(old, position, &self.value),
                None => self.value.clone(),
            };
            super::metadata::set_scalar(node, new)?;
        }
        Ok(())
    }
}

/// Puts a part into a path; a slash in front stays in front.
fn insert_part(path: &str, position: usize, part: &str) -> String {
    let (root, rest) = match path.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => ("", path),
    };
    let mut parts: Vec<&str> = rest.split('/').filter(|p| !p.is_empty()).collect();
    parts.insert(position.min(parts.len()), part);
    format!("{root}{}", parts.join("/"))
}
