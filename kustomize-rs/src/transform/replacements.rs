//! `replacements`: copies a field of one resource into fields of others. Pure.

use super::Result;
use super::select::Matcher;
use crate::error::Error;
use crate::fieldpath::{self, Found, Make};
use crate::id::ResourceId;
use crate::merge::strategic::fix_tag;
use crate::model::replacement::{FieldOptions, Replacement, SourceSelector, TargetSelector};
use crate::resource::Resource;
use crate::set::ResourceSet;
use crate::structured;
use crate::yaml::{Content, Node, Scalar, Style};

const DEFAULT_PATH: &str = "metadata.name";

pub(crate) fn transform(set: &mut ResourceSet, replacements: &[Replacement]) -> Result<()> {
    for replacement in replacements {
        let value = value_of(set, replacement)?;
        if replacement.targets.is_empty() {
            return Err(Error::kustomization(
                "a replacement must have at least one target",
            ));
        }
        for target in &replacement.targets {
            apply(set, &value, target)?;
        }
    }
    Ok(())
}

fn value_of(set: &ResourceSet, replacement: &Replacement) -> Result<Node> {
    match (&replacement.source, &replacement.source_value) {
        (Some(_), Some(_)) => Err(Error::kustomization(
            "a replacement has either a source or a sourceValue, not both",
        )),
        (None, Some(text)) => Ok(Node::plain(text)),
        (None, None) => Err(Error::kustomization("a replacement must have a source")),
        (Some(source), None) => {
            let resource = select_source(set, source)?;
            let path = if source.field_path.is_empty() {
                DEFAULT_PATH
            } else {
                &source.field_path
            };
            let address = fieldpath::lookup(&resource.node, &fieldpath::split(path))?;
            let node = address.and_then(|address| fieldpath::at(&resource.node, &address));
            let empty =
                |n: &&Node| crate::set::is_empty(n) || n.as_sequence().is_some_and(<[Node]>::is_empty);
            let Some(node) = node.filter(|n| !empty(n)) else {
                let message = format!(
                    "replacement: the field {path} is missing in the source {}",
                    resource.id
                );
                return Err(Error::resource(message).at(&resource.origin.path, None));
            };
            refine(node, source.options.as_ref())
        }
    }
}

fn is_selected(id: &ResourceId, selector: &ResourceId) -> bool {
    // Here kustomize forgets which kinds live outside of namespaces.
    fn namespace(id: &ResourceId) -> &str {
        if id.namespace.is_empty() {
            "default"
        } else {
            &id.namespace
        }
    }
    (selector.name.is_empty() || selector.name == id.name)
        && (selector.namespace.is_empty() || namespace(selector) == namespace(id))
        && id.gvk.is_selected_by(&selector.gvk)
}

fn all_ids(resource: &Resource) -> Vec<ResourceId> {
    std::iter::once(resource.id.clone())
        .chain(resource.previous_ids())
        .collect()
}

fn select_source<'a>(set: &'a ResourceSet, source: &SourceSelector) -> Result<&'a Resource> {
    let mut matches = set
        .as_slice()
        .iter()
        .filter(|r| all_ids(r).iter().any(|id| is_selected(id, &source.id)));
    match (matches.next(), matches.next()) {
        (Some(resource), None) => Ok(resource),
        (Some(_), Some(_)) => Err(Error::kustomization(format!(
            "replacement: several resources match the source {}",
            source.id
        ))),
        (None, _) => Err(Error::kustomization(format!(
            "replacement: no resource matches the source {}",
            source.id
        ))),
    }
}

/// Takes one part of a text, if a delimiter is given.
fn refine(node: &Node, options: Option<&FieldOptions>) -> Result<Node> {
    let Some(options) = options.filter(|o| !o.delimiter.is_empty()) else {
        return Ok(node.clone());
    };
    let Some(text) = node.as_text() else {
        return Err(Error::resource(
            "replacement: a delimiter can only be used with a scalar",
        ));
    };
    let part = usize::try_from(options.index)
        .ok()
        .and_then(|i| text.split(&options.delimiter).nth(i));
    let Some(part) = part else {
        return Err(Error::resource(format!(
            "replacement: options.index {} is out of bounds for {text:?}",
            options.index
        )));
    };
    let part = part.to_string();
    let mut node = node.clone();
    set_text_only(&mut node, part);
    Ok(node)
}

/// Changes the text of a scalar; its type and quotes stay what they were.
fn set_text_only(node: &mut Node, text: String) {
    fix_tag(node);
    if let Content::Scalar(scalar) = &mut node.content {
        scalar.text = text;
    }
}

fn apply(set: &mut ResourceSet, value: &Node, target: &TargetSelector) -> Result<()> {
    let Some(select) = &target.select else {
        return Err(Error::kustomization(
            "a replacement's target must select resources",
        ));
    };
    let matcher = Matcher::new(select)?;
    let rejected = target
        .reject
        .iter()
        .map(|r| Ok((Matcher::new(r)?, r)))
        .collect::<Result<Vec<_>>>()?;
    let default_path = [DEFAULT_PATH.to_string()];
    let paths = if target.field_paths.is_empty() {
        &default_path[..]
    } else {
        &target.field_paths
    };
    for resource in set.as_mut_slice() {
        if !matcher.selects_metadata(resource) {
            continue;
        }
        let by_metadata = rejected.iter().any(|(m, r)| {
            let given = !r.label_selector.is_empty() || !r.annotation_selector.is_empty();
            given && m.selects_metadata(resource)
        });
        let ids = all_ids(resource);
        let is_meant = |m: &Matcher, id: &ResourceId| {
            m.selects_gvk(&id.gvk) && m.selects_name(&id.name) && m.selects_namespace(&id.namespace)
        };
        let by_id = rejected.iter().any(|(m, r)| {
            let given = r.gvk != crate::id::Gvk::default() || !r.name.is_empty() || !r.namespace.is_empty();
            given && ids.iter().any(|id| is_meant(m, id))
        });
        if by_metadata || by_id || !ids.iter().any(|id| is_meant(&matcher, id)) {
            continue;
        }
        let groups = resource.note_groups();
        for path in paths {
            copy_to(resource, value, path, target.options.as_ref()).map_err(|e| {
                e.context(format!("replacement: setting {path} in {}", resource.id))
                    .at(&resource.origin.path, None)
            })?;
        }
        resource.share_changes(&groups);
        resource.refresh();
    }
    Ok(())
}

fn copy_to(resource: &mut Resource, value: &Node, path: &str, options: Option<&FieldOptions>) -> Result<()> {
    let create = options.is_some_and(|o| o.create);
    let make = match (create, &value.content) {
        (false, _) => Make::Nothing,
        (true, Content::Scalar(_)) => Make::Scalar,
        (true, Content::Mapping(_)) => Make::Mapping,
        (true, Content::Sequence(_)) => Make::Sequence,
    };
    let parts = fieldpath::split(path);
    if structured::set(&mut resource.node, &parts, value, make)? {
        return Ok(());
    }
    let found = fieldpath::find(&mut resource.node, &parts, make)?;
    if found.is_empty() {
        let known: Vec<&str> = parent_keys(&resource.node, &parts);
        let hint = parts.last().and_then(|last| crate::error::suggest(last, known));
        let hint = hint
            .map(|name| format!("; did you mean {name:?}?"))
            .unwrap_or_default();
        return Err(Error::resource(format!(
            "unable to find field {path:?} in replacement target{hint}"
        )));
    }
    for found in found {
        let Found::At(address) = found else { continue };
        if let Some(node) = fieldpath::at_mut(&mut resource.node, &address) {
            set_field(node, value, options)?;
        }
    }
    Ok(())
}

/// The names next to a field that was not found.
fn parent_keys<'a>(root: &'a Node, parts: &[String]) -> Vec<&'a str> {
    let Some((_, parent)) = parts.split_last() else {
        return Vec::new();
    };
    let address = fieldpath::lookup(root, parent).ok().flatten();
    let mapping = address
        .and_then(|a| fieldpath::at(root, &a))
        .and_then(Node::as_mapping);
    mapping
        .into_iter()
        .flat_map(crate::yaml::Mapping::iter)
        .map(|(k, _)| k)
        .collect()
}

fn set_field(node: &mut Node, value: &Node, options: Option<&FieldOptions>) -> Result<()> {
    let mut text = value.as_text().unwrap_or_default().to_string();
    let delimited = options.filter(|o| !o.delimiter.is_empty());
    if let Some(options) = delimited {
        let Some(old) = node.as_text() else {
            return Err(Error::resource("a delimiter can only be used with a scalar"));
        };
        if value.is_null() {
            text.clear();
        }
        let mut parts: Vec<&str> = old.split(&options.delimiter).collect();
        match usize::try_from(options.index) {
            Err(_) => parts.insert(0, &text),
            Ok(at) if at >= parts.len() => parts.push(&text),
            Ok(at) => parts[at] = &text,
        }
        text = parts.join(&options.delimiter);
    }
    match &node.content {
        // A field that was just made has no type yet: its text decides.
        Content::Scalar(Scalar {
            text: old,
            style: Style::Plain,
        }) if old.is_empty() && node.position.line == 0 => {
            node.set_text(text);
        }
        Content::Scalar(_) => set_text_only(node, text),
        Content::Mapping(_) | Content::Sequence(_) => {
            let mut value = value.clone();
            if delimited.is_some() {
                set_text_only(&mut value, text);
            }
            *node = value;
        }
    }
    Ok(())
}
