//! `namePrefix` and `nameSuffix`. Pure.

use super::Result;
use crate::fieldspec::{Create, FieldSpecs};
use crate::id::Gvk;
use crate::set::ResourceSet;

/// On which end of a name a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Prefix,
    Suffix,
}

pub(crate) fn transform(set: &mut ResourceSet, end: End, text: &str, specs: &FieldSpecs) -> Result<()> {
    for resource in set.as_mut_slice() {
        let original = resource.original_id().gvk;
        if keeps_name(&original) {
            continue;
        }
        for spec in specs.of(&original) {
            if spec.path == "metadata/name" && !text.is_empty() {
                let ends = if end == End::Prefix {
                    &mut resource.prefixes
                } else {
                    &mut resource.suffixes
                };
                ends.push(text.to_string());
                resource.store_previous_id();
            }
            if !resource.id.gvk.is_selected_by(&spec.gvk) {
                continue;
            }
            let applied = spec.apply(&mut resource.node, Create::Scalar, &mut |node| {
                let old = node.as_text().unwrap_or_default();
                let new = if end == End::Prefix {
                    format!("{text}{old}")
                } else {
                    format!("{old}{text}")
                };
                super::metadata::set_scalar(node, new)
            });
            applied.map_err(|e| e.at(&resource.origin.path, None))?;
            resource.refresh();
        }
    }
    Ok(())
}

/// Kinds whose names mean something outside of the kustomization.
fn keeps_name(gvk: &Gvk) -> bool {
    match gvk.kind.as_str() {
        "CustomResourceDefinition" | "Namespace" => true,
        "APIService" => gvk.group == "apiregistration.k8s.io",
        _ => false,
    }
}

/// Adds the hash of its content to the name of each generated resource that wants one.
pub(crate) fn add_hashes(set: &mut ResourceSet) -> Result<()> {
    for resource in set.as_mut_slice().iter_mut().filter(|r| r.needs_hash) {
        let hash = crate::generate::name_hash(resource)?;
        resource.store_previous_id();
        let name = format!("{}-{hash}", resource.id.name);
        if let Some(node) = resource.node.get_mut("metadata").and_then(|m| m.get_mut("name")) {
            node.set_text(name);
        }
        resource.refresh();
    }
    Ok(())
}
