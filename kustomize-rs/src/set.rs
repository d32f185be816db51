//! The resources of a layer in their order, found by identity through an index. Pure.

use std::collections::HashMap;

use crate::error::Error;
use crate::id::ResourceId;
use crate::resource::{Behavior, Resource};
use crate::yaml::Node;

type Result<T> = std::result::Result<T, Error>;

/// Resources in order. No two have the same current identity when they are added.
#[derive(Debug, Default)]
pub(crate) struct ResourceSet {
    resources: Vec<Resource>,
    /// Made when it is needed, dropped when resources may have changed their identity.
    index: Option<Index>,
}

#[derive(Debug, Default)]
struct Index {
    current: HashMap<ResourceId, usize>,
    /// Previous identities too.
    any: HashMap<ResourceId, Vec<usize>>,
}

impl Index {
    fn add(&mut self, at: usize, resource: &Resource) {
        let current = resource.id.key();
        for id in resource.previous_ids() {
            let places = self.any.entry(id.key()).or_default();
            if places.last() != Some(&at) {
                places.push(at);
            }
        }
        let places = self.any.entry(current.clone()).or_default();
        if places.last() != Some(&at) {
            places.push(at);
        }
        self.current.insert(current, at);
    }
}

impl ResourceSet {
    pub(crate) fn as_slice(&self) -> &[Resource] {
        &self.resources
    }

    /// The resources to change; whatever is found by identity afterwards is looked up anew.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [Resource] {
        self.index = None;
        &mut self.resources
    }

    pub(crate) fn into_resources(self) -> Vec<Resource> {
        self.resources
    }

    fn index(&mut self) -> &mut Index {
        let resources = &self.resources;
        self.index.get_or_insert_with(|| {
            let mut index = Index::default();
            for (at, resource) in resources.iter().enumerate() {
                index.add(at, resource);
            }
            index
        })
    }

    /// Adds a resource at the end.
    pub(crate) fn append(&mut self, resource: Resource) -> Result<()> {
        let at = self.resources.len();
        let key = resource.id.key();
        if let Some(&first) = self.index().current.get(&key) {
            let other = &self.resources[first].origin;
            let message = format!(
                "may not add resource with an already registered id: {}; the first one is in {}, line {}",
                resource.id,
                other.path.display(),
                other.line
            );
            return Err(Error::resource(message).at(&resource.origin.path, position(&resource)));
        }
        self.index().add(at, &resource);
        self.resources.push(resource);
        Ok(())
    }

    pub(crate) fn append_all(&mut self, resources: impl IntoIterator<Item = Resource>) -> Result<()> {
        resources
            .into_iter()
            .try_for_each(|resource| self.append(resource))
    }

    /// Finds the resources that have or had an identity.
    pub(crate) fn with_any_id(&mut self, id: &ResourceId) -> Vec<usize> {
        self.index().any.get(&id.key()).cloned().unwrap_or_default()
    }

    /// Adds a generated resource, or merges it into the one that it names.
    pub(crate) fn absorb(&mut self, mut resource: Resource) -> Result<()> {
        let matches = self.with_any_id(&resource.id);
        let wrong =
            |message: String| Err(Error::resource(message).at(&resource.origin.path, position(&resource)));
        match (matches.as_slice(), resource.behavior) {
            ([], Behavior::Merge | Behavior::Replace) => wrong(format!(
                "id {} does not exist; cannot merge or replace",
                resource.id
            )),
            ([], _) => self.append(resource),
            (&[at], Behavior::Merge | Behavior::Replace) => {
                let old = &self.resources[at];
                inherit(&mut resource, old);
                if resource.behavior == Behavior::Merge {
                    let origin = old.node.at(&["metadata", "annotations", crate::origin::ORIGIN]);
                    if let Some(origin) = origin.cloned() {
                        metadata_map(&mut resource.node, "annotations").insert(crate::origin::ORIGIN, origin);
                    }
                    merge_data(&mut resource.node, &old.node, "data");
                    merge_data(&mut resource.node, &old.node, "binaryData");
                }
                resource.behavior = old.behavior;
                resource.generated = old.generated;
                self.index = None;
                self.resources[at] = resource;
                Ok(())
            }
            ([_], _) => wrong(format!(
                "id {} exists already: set behavior to merge or replace, or choose another name",
                resource.id
            )),
            (_, _) => wrong(format!(
                "found multiple resources that could accept the merge of {}",
                resource.id
            )),
        }
    }

    /// Drops resources that a transformer emptied.
    pub(crate) fn drop_empty(&mut self) {
        if self.resources.iter().any(|r| is_empty(&r.node)) {
            self.index = None;
            self.resources.retain(|r| !is_empty(&r.node));
        }
    }

    /// Keeps only the resources for which `keep` holds.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Resource) -> bool) {
        self.index = None;
        self.resources.retain(keep);
    }

    /// Checks that no two resources have become the same object.
    pub(crate) fn refuse_duplicates(&mut self) -> Result<()> {
        let resources = std::mem::take(&mut self.resources);
        self.index = None;
        self.append_all(resources)
    }
}

pub(crate) fn is_empty(node: &Node) -> bool {
    node.is_null() || node.as_mapping().is_some_and(crate::yaml::Mapping::is_empty)
}

fn position(resource: &Resource) -> Option<crate::yaml::Position> {
    Some(crate::yaml::Position {
        line: resource.origin.line,
        column: 1,
    })
}

/// Gives a generated resource the name, history, labels and annotations of the one that it takes over.
fn inherit(resource: &mut Resource, old: &Resource) {
    for field in ["labels", "annotations"] {
        let mut merged = string_map(old.node.at(&["metadata", field]), true);
        merged.extend(string_map(resource.node.at(&["metadata", field]), true));
        let metadata = metadata_mut(&mut resource.node);
        metadata.remove(field);
        if !merged.is_empty() {
            metadata.insert(field, mapping_of(merged));
        }
    }
    let metadata = metadata_mut(&mut resource.node);
    metadata.insert("name", Node::plain(&old.id.name));
    metadata.remove("namespace");
    if !old.id.namespace.is_empty() {
        metadata.insert("namespace", Node::plain(&old.id.namespace));
    }
    resource.needs_hash &= old.needs_hash;
    resource.previous.clone_from(&old.previous);
    resource.prefixes.clone_from(&old.prefixes);
    resource.suffixes.clone_from(&old.suffixes);
    resource.var_names.clone_from(&old.var_names);
    resource.refresh();
}

fn metadata_mut(node: &mut Node) -> &mut crate::yaml::Mapping {
    if node.as_mapping().is_none() {
        *node = Node::mapping();
    }
    let crate::yaml::Content::Mapping(mapping) = &mut node.content else {
        unreachable!("made a mapping above")
    };
    let metadata = mapping.entry_or_mapping("metadata");
    if metadata.as_mapping().is_none() {
        *metadata = Node::mapping();
    }
    let crate::yaml::Content::Mapping(metadata) = &mut metadata.content else {
        unreachable!("made a mapping above")
    };
    metadata
}

/// A mapping inside of the metadata, made if it is missing.
pub(crate) fn metadata_map<'a>(node: &'a mut Node, field: &str) -> &'a mut crate::yaml::Mapping {
    let slot = metadata_mut(node).entry_or_mapping(field);
    if slot.as_mapping().is_none() {
        *slot = Node::mapping();
    }
    let crate::yaml::Content::Mapping(mapping) = &mut slot.content else {
        unreachable!("made a mapping above")
    };
    mapping
}

/// Turns labels and annotations into strings, whatever their text looks like.
pub(crate) fn stringify_metadata(node: &mut Node) {
    stringify(node, &["labels", "annotations"]);
}

/// Where kustomize reads a list as labels or annotations, it takes the items for keys and values by turns.
pub(crate) fn pair_up(node: &mut Node) {
    let Some(items) = node.as_sequence_mut().filter(|items| items.len() % 2 == 0) else {
        return;
    };
    let mut items = std::mem::take(items).into_iter();
    let mut entries = Vec::new();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        entries.push((key, value));
    }
    node.content = crate::yaml::Content::Mapping(crate::yaml::Mapping { entries });
}

/// Turns the values of mappings in the metadata into strings.
pub(crate) fn stringify(node: &mut Node, fields: &[&str]) {
    let Some(metadata) = node.get_mut("metadata").and_then(Node::as_mapping_mut) else {
        return;
    };
    for &field in fields {
        let Some(mut mapping) = metadata.remove(field) else {
            continue;
        };
        pair_up(&mut mapping);
        let text = |node: &Node| node.as_text().unwrap_or_default().to_string();
        let entries = mapping
            .as_mapping()
            .into_iter()
            .flat_map(crate::yaml::Mapping::iter);
        let map: std::collections::BTreeMap<_, _> = entries.map(|(k, v)| (k.to_string(), text(v))).collect();
        if !map.is_empty() {
            metadata.insert(field, mapping_of(map));
        }
    }
}

fn merge_data(node: &mut Node, old: &Node, field: &str) {
    let mut merged = string_map(old.get(field), false);
    merged.extend(string_map(node.get(field), false));
    let Some(mapping) = node.as_mapping_mut() else {
        return;
    };
    mapping.remove(field);
    if !merged.is_empty() {
        mapping.insert(field, mapping_of(merged));
    }
}

/// The texts of a mapping; in data, unlike in metadata, a null is an empty one.
fn string_map(node: Option<&Node>, keep_null: bool) -> std::collections::BTreeMap<String, String> {
    let entries = node
        .and_then(Node::as_mapping)
        .into_iter()
        .flat_map(crate::yaml::Mapping::iter);
    entries
        .map(|(k, v)| {
            let text = if v.is_null() && !keep_null {
                ""
            } else {
                v.as_text().unwrap_or_default()
            };
            (k.to_string(), text.to_string())
        })
        .collect()
}

fn mapping_of(map: std::collections::BTreeMap<String, String>) -> Node {
    let entries = map
        .into_iter()
        .map(|(k, v)| (Node::plain(k), Node::string(v)))
        .collect();
    Node {
        content: crate::yaml::Content::Mapping(crate::yaml::Mapping { entries }),
        ..Node::default()
    }
}
