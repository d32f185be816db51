//! Strategic merge of a patch into a resource, as kyaml's `merge2` does it. Pure.
//!
//! A patch that adds a whole tree is merged with itself: that is how nulls and directives inside of it take
//! effect. Directives that kyaml does not know (`$setElementOrder`, `$retainKeys`) are ordinary fields.

use std::collections::BTreeSet;

use super::Result;
use super::openapi::{Definitions, Schemas};
use super::schema::{Field, MergeList};
use crate::error::Error;
use crate::yaml::{Content, Mapping, Node, Resolved, Schema, Tag};

const DIRECTIVE: &str = "$patch";

/// What a `$patch` directive asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Merges a patch into a resource; `None` when the patch deletes it.
pub(crate) fn merge_resource(target: Node, patch: &Node, schemas: &Schemas) -> Result<Option<Node>> {
    let definitions = schemas.definitions()?;
    // kustomize merges the patch with itself then, and forgets what comes out.
    let replaces = patch.get(DIRECTIVE).and_then(Node::as_text) == Some("replace");
    let unchanged = replaces.then(|| target.clone());
    let merged = Merge {
        definitions: &definitions,
        with_itself: false,
    }
    .merge(Some(target), Some(patch), None)?;
    Ok(merged.map(|merged| unchanged.unwrap_or(merged)))
}

/// A merge, and what is known of kinds while it goes on.
#[derive(Clone, Copy)]
pub(super) struct Merge<'s> {
    definitions: &'s Definitions,
    /// Whether target and patch are the same tree, so that a directive is taken out of both.
    pub(super) with_itself: bool,
}

impl<'s> Merge<'s> {
    /// Merges one node of a patch into one of the target; either may be missing.
    pub(super) fn merge(
        self,
        target: Option<Node>,
        patch: Option<&Node>,
        schema: Option<Field<'s>>,
    ) -> Result<Option<Node>> {
        let given = |node: Option<&Node>| node.filter(|n| !n.is_null()).map(kind);
        let (left, right) = (given(target.as_ref()), given(patch));
        if let (Some(wanted), Some(found)) = (left, right)
            && wanted != found
        {
            let line = target.as_ref().map_or(0, |n| n.position.line);
            let message = format!(
                "wrong node kind: expected {wanted} (line {line} of the target) but the patch has {found}"
            );
            let position = patch.map(|n| n.position);
            return Err(Error::resource(match position {
                Some(position) => format!("{message} at line {}", position.line),
                None => message,
            }));
        }
        // An object inside of another one is known by what it says that it is.
        let of_node = |node: Option<&Node>| {
            let node = node.filter(|n| n.as_mapping().is_some())?;
            self.definitions.of_node(node)
        };
        let schema = schema.or_else(|| of_node(target.as_ref()).or_else(|| of_node(patch)));
        match left.or(right) {
            Some("a scalar") => Ok(patch.cloned().or(target)),
            Some("a list") => self.merge_list_node(target, patch, schema),
            _ => self.merge_mapping(target, patch, schema),
        }
    }

    fn merge_list_node(
        self,
        target: Option<Node>,
        patch: Option<&Node>,
        schema: Option<Field<'s>>,
    ) -> Result<Option<Node>> {
        let Some(MergeList { keys, items }) = schema.and_then(Field::merge_list) else {
            return Ok(patch.cloned().or(target));
        };
        let keys = keys.as_slice();
        let Some(target) = target.filter(|n| !n.is_null()) else {
            let Some(patch) = patch else { return Ok(None) };
            return self.alone().merge_list(patch.clone(), Some(patch), keys, items);
        };
        let Some(patch) = patch else {
            return self.merge_list(target, None, keys, items);
        };
        if patch.is_null() {
            return Ok(None);
        }
        let (directive, patch) = list_directive(patch)?;
        match directive {
            Directive::Delete => Ok(None),
            Directive::Replace => self.alone().merge_list(patch.clone(), Some(&patch), keys, items),
            Directive::Merge if self.with_itself => self.merge_list(patch.clone(), Some(&patch), keys, items),
            Directive::Merge => self.merge_list(target, Some(&patch), keys, items),
        }
    }

    fn merge_mapping(
        self,
        target: Option<Node>,
        patch: Option<&Node>,
        schema: Option<Field<'s>>,
    ) -> Result<Option<Node>> {
        let Some(mut target) = target.filter(|n| !n.is_null()) else {
            let Some(patch) = patch else { return Ok(None) };
            // A directive that is not known does not count here.
            let (directive, patch) =
                mapping_directive(patch).unwrap_or_else(|_| (Directive::Merge, patch.clone()));
            if directive == Directive::Delete {
                return Ok(None);
            }
            return self.merge_with_itself(patch, schema).map(Some);
        };
        let Some(patch) = patch else {
            self.merge_fields(&mut target, None, schema)?;
            return Ok(Some(target));
        };
        if patch.is_null() {
            return Ok(None);
        }
        let (directive, patch) = mapping_directive(patch)?;
        match directive {
            Directive::Delete => Ok(None),
            Directive::Replace => self.merge_with_itself(patch, schema).map(Some),
            Directive::Merge if self.with_itself => self.merge_with_itself(patch, schema).map(Some),
            Directive::Merge => {
                self.merge_fields(&mut target, Some(&patch), schema)?;
                Ok(Some(target))
            }
        }
    }

    fn merge_with_itself(self, patch: Node, schema: Option<Field<'s>>) -> Result<Node> {
        if patch.as_mapping().is_none() {
            return Ok(patch);
        }
        let mut target = patch.clone();
        self.alone().merge_fields(&mut target, Some(&patch), schema)?;
        Ok(target)
    }

    /// The merge of a tree with itself.
    fn alone(self) -> Self {
        Self {
            with_itself: true,
            ..self
        }
    }

    fn merge_fields(self, target: &mut Node, patch: Option<&Node>, schema: Option<Field<'s>>) -> Result<()> {
        let Content::Mapping(mapping) = &mut target.content else {
            return Ok(());
        };
        let patch = patch.and_then(Node::as_mapping);
        // kyaml visits the fields of both sides. Those that only the target has stay as they are, unless they
        // lead to lists that are merged, or something inside of them is empty.
        let mut names: BTreeSet<String> = patch
            .into_iter()
            .flat_map(Mapping::iter)
            .map(|(k, _)| k.to_string())
            .collect();
        let visited = |name: &str, value: &Node| {
            needs_visit_node(value) || schema.is_some_and(|s| s.field(name).is_some())
        };
        names.extend(
            mapping
                .iter()
                .filter(|(k, v)| visited(k, v))
                .map(|(k, _)| k.to_string()),
        );
        for name in names {
            let field = schema.and_then(|s| s.field(&name));
            let new = patch.and_then(|p| p.get(&name));
            let is_new = new.is_some() && mapping.get(&name).is_none();
            self.merge_field(mapping, &name, new, field)?;
            if is_new
                && let Some((added, _)) = mapping
                    .entries
                    .last_mut()
                    .filter(|(k, _)| k.as_text() == Some(&name))
            {
                keep_quotes(added, patch);
            }
        }
        Ok(())
    }

    fn merge_field(
        self,
        mapping: &mut Mapping,
        name: &str,
        patch: Option<&Node>,
        field: Option<Field<'s>>,
    ) -> Result<()> {
        let slot = mapping.get_mut(name);
        let is_new = slot.is_none();
        let old = slot.map(std::mem::take);
        let nothing_new = patch.is_none();
        if nothing_new && let Some(old) = old.as_ref().filter(|n| n.is_null()) {
            // A null that is spelt out stays, one that is only implied goes.
            if old.as_text().is_some_and(|t| !t.is_empty()) {
                if let Some(slot) = mapping.get_mut(name) {
                    *slot = old.clone();
                }
            } else {
                mapping.remove(name);
            }
            return Ok(());
        }
        let style = old.as_ref().and_then(Node::as_scalar).map(|s| s.style);
        let tagged = old.as_ref().is_some_and(|n| n.tagged);
        let group = old.as_ref().map_or(0, |n| n.group);
        let merged = self
            .merge(old, patch, field)
            .map_err(|e| e.context(format!("merging the field {name}")))?;
        let Some(mut merged) = merged.filter(|n| !n.is_null()) else {
            mapping.remove(name);
            return Ok(());
        };
        if !is_new && let Content::Scalar(scalar) = &merged.content {
            // The new text takes the quotes of the old one, but its type stays decided.
            merged.group = group;
            let style = style.unwrap_or(scalar.style);
            if style != scalar.style || tagged != merged.tagged {
                fix_tag(&mut merged);
                merged.tagged = tagged;
                if let Content::Scalar(scalar) = &mut merged.content {
                    scalar.style = style;
                }
            }
        }
        match mapping.get_mut(name) {
            Some(slot) => *slot = merged,
            None => {
                mapping.entries.push((Node::plain(name), merged));
            }
        }
        Ok(())
    }
}

/// Gives a key that a patch adds the quotes that it has there: `"8080"` must not become a number.
fn keep_quotes(key: &mut Node, patch: Option<&Mapping>) {
    let entries = patch.into_iter().flat_map(|patch| &patch.entries);
    let quoted = entries
        .map(|(given, _)| given)
        .find(|given| given.as_text() == key.as_text())
        .and_then(Node::as_scalar);
    if let (Content::Scalar(scalar), Some(given)) = (&mut key.content, quoted) {
        scalar.style = given.style;
    }
}

fn kind(node: &Node) -> &'static str {
    match node.content {
        Content::Scalar(_) => "a scalar",
        Content::Mapping(_) => "a mapping",
        Content::Sequence(_) => "a list",
    }
}

/// Decides the type of a scalar by its text before its style changes.
pub(crate) fn fix_tag(node: &mut Node) {
    if node.tag != Tag::Implicit || node.undecided {
        return;
    }
    node.tag = match node.resolved(Schema::GoYamlV3) {
        Some(Resolved::Null) => Tag::Null,
        Some(Resolved::Bool(_)) => Tag::Bool,
        Some(Resolved::Int(_) | Resolved::Uint(_)) => Tag::Int,
        Some(Resolved::Float(_)) => Tag::Float,
        Some(Resolved::Timestamp(_)) => Tag::Timestamp,
        Some(Resolved::Str) => Tag::Str,
        None => Tag::Implicit,
    };
}

/// Whether a merge without a patch may change anything in a mapping: implied nulls in it go, and the lists of an object
/// whose kind is known are put together anew.
fn needs_visit(mapping: &Mapping) -> bool {
    (mapping.get("kind").is_some() && mapping.get("apiVersion").is_some())
        || mapping.iter().any(|(_, v)| needs_visit_node(v))
}

fn needs_visit_node(node: &Node) -> bool {
    match &node.content {
        Content::Scalar(scalar) => scalar.text.is_empty() && node.is_null(),
        Content::Mapping(mapping) => needs_visit(mapping),
        Content::Sequence(_) => false,
    }
}

fn directive(node: &Node) -> Result<Directive> {
    match node.as_text().unwrap_or_default() {
        "delete" => Ok(Directive::Delete),
        "replace" => Ok(Directive::Replace),
        "merge" => Ok(Directive::Merge),
        other => Err(Error::resource(format!(
            "unknown patch strategy '{other}' at line {}: expected delete, replace or merge",
            node.position.line
        ))),
    }
}

/// Takes the directive out of a mapping.
fn mapping_directive(patch: &Node) -> Result<(Directive, Node)> {
    let Some(mapping) = patch.as_mapping() else {
        return Ok((Directive::Merge, patch.clone()));
    };
    let Some(node) = mapping.get(DIRECTIVE) else {
        return Ok((Directive::Merge, patch.clone()));
    };
    let directive = directive(node)?;
    let mut patch = patch.clone();
    if let Some(mapping) = patch.as_mapping_mut() {
        mapping.remove(DIRECTIVE);
    }
    Ok((directive, patch))
}

/// Takes the directive out of a list: an item that holds nothing else.
fn list_directive(patch: &Node) -> Result<(Directive, Node)> {
    let items = patch.as_sequence().unwrap_or_default();
    let first = items
        .iter()
        .filter_map(Node::as_mapping)
        .find(|m| m.get(DIRECTIVE).is_some());
    let Some(node) = first
        .filter(|m| m.entries.len() == 1)
        .and_then(|m| m.get(DIRECTIVE))
    else {
        return Ok((Directive::Merge, patch.clone()));
    };
    let directive = directive(node)?;
    let value = node.as_text().unwrap_or_default().to_string();
    let mut patch = patch.clone();
    if let Some(items) = patch.as_sequence_mut() {
        // With it, kyaml takes out what is empty.
        items.retain(|item| {
            !crate::set::is_empty(item) && item.get(DIRECTIVE).is_none_or(|n| n.as_text() != Some(&value))
        });
    }
    Ok((directive, patch))
}
