//! `patches`, `patchesStrategicMerge` and `patchesJson6902`. In: the text of a patch; out: resources,
//! changed. Pure; patch files are read before.

use std::path::Path;

use super::Result;
use super::select::Matcher;
use crate::error::Error;
use crate::merge::json6902::{self, Operation};
use crate::merge::openapi::Schemas;
use crate::merge::strategic;
use crate::model::Selector;
use crate::notes;
use crate::resource::Resource;
use crate::set::{ResourceSet, is_empty};
use crate::yaml::{self, Content, Mapping, Node, Schema};

/// A patch that is ready to be applied.
pub(crate) struct LoadedPatch {
    /// What the patch is called in messages: its file, or that it stands in the kustomization file.
    pub(crate) name: String,
    pub(crate) target: Option<Selector>,
    pub(crate) body: PatchBody,
}

pub(crate) enum PatchBody {
    StrategicMerge(Vec<Resource>),
    Json(Vec<Operation>),
}

/// Reads the text of a `patches` entry, which is of either form.
pub(crate) fn parse(text: &str, path: &Path, name: &str) -> Result<PatchBody> {
    let resources = crate::resource_file::parse(text, path);
    let operations = parse_operations(text, path);
    match (resources, operations) {
        (Ok(resources), Ok(operations)) if !resources.is_empty() && !operations.is_empty() => Err(
            Error::kustomization(format!("the {name} is both a strategic merge and a JSON patch")),
        ),
        (Ok(resources), _) => Ok(PatchBody::StrategicMerge(resources)),
        (Err(_), Ok(operations)) => Ok(PatchBody::Json(operations)),
        (Err(error), Err(_)) => Err(error.context(format!(
            "the {name} is neither a strategic merge nor a JSON patch"
        ))),
    }
}

/// Reads the text of a JSON patch, in JSON or YAML.
pub(crate) fn parse_operations(text: &str, path: &Path) -> Result<Vec<Operation>> {
    if text.is_empty() {
        return Err(Error::kustomization("the JSON patch is empty"));
    }
    let value = if text.starts_with('[') {
        serde_json::from_str(text)
            .map_err(|e| Error::syntax(format!("the JSON patch is no JSON: {e}")).at(path, None))?
    } else {
        let node = yaml::load_v2(text).map_err(|e| Error::load(path, e))?;
        yaml::to_value(&node, Schema::GoYamlV2)
            .map_err(|e| Error::syntax(e.message).at(path, Some(e.position)))?
    };
    if value.is_null() {
        return Ok(Vec::new());
    }
    json6902::operations(&value)
}

impl LoadedPatch {
    /// Applies an entry of `patches`.
    pub(crate) fn apply(&self, set: &mut ResourceSet, schemas: &Schemas) -> Result<()> {
        match &self.body {
            PatchBody::StrategicMerge(patches) if patches.is_empty() => Ok(()),
            PatchBody::StrategicMerge(patches) => self.apply_strategic(set, patches, schemas),
            PatchBody::Json(operations) if operations.is_empty() => Ok(()),
            PatchBody::Json(operations) => {
                let Some(target) = &self.target else {
                    let message = format!("the {} is a JSON patch and must have a target", self.name);
                    return Err(Error::kustomization(message));
                };
                apply_json(set, target, operations, true)
                    .map_err(|e| e.context(format!("applying the {}", self.name)))
            }
        }
    }

    fn apply_strategic(&self, set: &mut ResourceSet, patches: &[Resource], schemas: &Schemas) -> Result<()> {
        let context = |e: Error| e.context(format!("applying the {}", self.name));
        let Some(target) = &self.target else {
            for patch in patches {
                let at = unique_target(set, patch).map_err(context)?;
                apply_one(&mut set.as_mut_slice()[at], patch, schemas).map_err(context)?;
            }
            return Ok(());
        };
        let [patch] = patches else {
            let message = format!(
                "the {} has a target, so that it must hold exactly one patch",
                self.name
            );
            return Err(Error::kustomization(message));
        };
        let matcher = Matcher::new(target).map_err(context)?;
        let selected: Vec<bool> = set.as_slice().iter().map(|r| matcher.selects(r)).collect();
        for (resource, _) in set
            .as_mut_slice()
            .iter_mut()
            .zip(selected)
            .filter(|(_, selected)| *selected)
        {
            apply_to_selected(resource, patch, schemas).map_err(context)?;
        }
        set.drop_empty();
        set.refuse_duplicates().map_err(context)
    }
}

/// Applies patches of `patchesStrategicMerge`, each to the one resource that it names.
pub(crate) fn apply_by_name(set: &mut ResourceSet, patches: &[Resource], schemas: &Schemas) -> Result<()> {
    for patch in patches {
        let at = unique_target(set, patch)?;
        apply_to_selected(&mut set.as_mut_slice()[at], patch, schemas)?;
        set.drop_empty();
        set.refuse_duplicates()?;
    }
    Ok(())
}

fn unique_target(set: &mut ResourceSet, patch: &Resource) -> Result<usize> {
    let wrong = |message: String| {
        let position = yaml::Position {
            line: patch.origin.line,
            column: 1,
        };
        Err(Error::resource(message).at(&patch.origin.path, Some(position)))
    };
    match set.with_any_id(&patch.id).as_slice() {
        [at] if !is_empty(&set.as_slice()[*at].node) => Ok(*at),
        [] | [_] => {
            let known = set
                .as_slice()
                .iter()
                .filter(|r| r.id.gvk.kind == patch.id.gvk.kind)
                .map(|r| r.id.name.as_str());
            let hint = crate::error::suggest(&patch.id.name, known).map(|n| format!("; did you mean {n:?}?"));
            wrong(format!(
                "no resource matches the strategic merge patch for {}{}",
                patch.id,
                hint.unwrap_or_default()
            ))
        }
        _ => wrong(format!(
            "multiple resources match the strategic merge patch for {}",
            patch.id
        )),
    }
}

/// Applies a patch to a resource that was selected: the resource keeps its kind.
fn apply_to_selected(resource: &mut Resource, patch: &Resource, schemas: &Schemas) -> Result<()> {
    let mut patch = patch.clone();
    if let Some(mapping) = patch.node.as_mapping_mut() {
        mapping.insert("apiVersion", Node::plain(resource.id.gvk.api_version()));
        if resource.id.gvk.api_version().is_empty() {
            mapping.remove("apiVersion");
        }
    }
    // On this way kustomize reads the patch's labels and annotations as strings: a null removes nothing.
    crate::set::stringify_metadata(&mut patch.node);
    apply_one(resource, &patch, schemas)
}

fn apply_one(resource: &mut Resource, patch: &Resource, schemas: &Schemas) -> Result<()> {
    let before = resource.id.clone();
    if patch.allow_name_change || patch.allow_kind_change {
        resource.store_previous_id();
    }
    let groups = resource.note_groups();
    let target = std::mem::take(&mut resource.node);
    let merged = strategic::merge_resource(target, &patch.node, schemas)
        .map_err(|e| e.context(format!("patching {before}")))?;
    let Some(node) = merged.filter(|n| !is_empty(n)) else {
        resource.node = Node::null();
        return Ok(());
    };
    resource.node = node;
    let Content::Mapping(root) = &mut resource.node.content else {
        return Err(Error::resource(format!(
            "patching {before}: the result is no object"
        )));
    };
    if !patch.allow_kind_change {
        set_plain(root, "kind", &before.gvk.kind);
    }
    let metadata = root.entry_or_mapping("metadata");
    if let Some(metadata) = metadata.as_mapping_mut() {
        if !patch.allow_name_change {
            set_plain(metadata, "name", &before.name);
        }
        if before.namespace.is_empty() {
            metadata.remove("namespace");
        } else {
            set_plain(metadata, "namespace", &before.namespace);
        }
    }
    resource.share_changes(&groups);
    resource.refresh();
    Ok(())
}

fn set_plain(mapping: &mut Mapping, key: &str, text: &str) {
    match mapping.get_mut(key) {
        Some(node) if node.as_scalar().is_some() => node.set_text(text),
        _ => mapping.insert(key, Node::plain(text)),
    }
}

/// Applies a JSON patch to every resource that a selector names.
pub(crate) fn apply_json(
    set: &mut ResourceSet,
    target: &Selector,
    operations: &[Operation],
    renames: bool,
) -> Result<()> {
    let matcher = Matcher::new(target)?;
    for resource in set.as_mut_slice() {
        if !matcher.selects(resource) {
            continue;
        }
        if renames {
            resource.store_previous_id();
        }
        patch_json(resource, operations).map_err(|e| e.context(format!("patching {}", resource.id)))?;
    }
    set.drop_empty();
    Ok(())
}

/// A patch sees kustomize's notes, but what it does to them is undone.
fn patch_json(resource: &mut Resource, operations: &[Operation]) -> Result<()> {
    let mut value = resource.to_value()?;
    notes::write(resource, &mut value);
    json6902::apply(&mut value, operations)?;
    json6902::lose_precision(&mut value);
    if !value.is_object() {
        return Err(Error::resource("the patched resource is no object"));
    }
    resource.node = Node {
        position: resource.node.position,
        ..Node::from_value(&value)
    };
    notes::remove_all(&mut resource.node);
    resource.refresh();
    Ok(())
}
