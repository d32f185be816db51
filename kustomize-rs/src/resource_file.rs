//! Resource files. In: a text of several documents. Out: resources, lists expanded. Pure.

use std::path::Path;

use crate::error::Error;
use crate::notes;
use crate::resource::{Origin, Resource};
use crate::yaml::{self, Content, Node, Schema};

type Result<T> = std::result::Result<T, Error>;

/// Reads the bytes of a resource file.
pub(crate) fn parse_bytes(bytes: &[u8], path: &Path) -> Result<Vec<Resource>> {
    let text = yaml::text_of(bytes).map_err(|e| Error::load(path, e))?;
    parse(text, path)
}

/// Reads the text of a resource file.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Vec<Resource>> {
    let mut queue = std::collections::VecDeque::from(documents(text, path)?);
    let mut resources = Vec::new();
    while let Some(node) = queue.pop_front() {
        let kind = node.get("kind").and_then(Node::as_text).unwrap_or_default();
        if kind.ends_with("List") && node.get("items").is_some() {
            queue.extend(items(&node, path)?);
            continue;
        }
        let origin = Origin {
            path: path.to_path_buf(),
            line: node.position.line,
        };
        let mut resource = Resource::new(node, origin);
        notes::take_if_any(&mut resource)?;
        resources.push(resource);
    }
    Ok(resources)
}

/// Reads the documents and checks that each is an object.
fn documents(text: &str, path: &Path) -> Result<Vec<Node>> {
    let unix;
    let text = if text.contains('\r') {
        unix = text.replace("\r\n", "\n");
        &unix
    } else {
        text
    };
    let chunks = yaml::split_documents(text).map_err(|e| Error::load(path, e))?;
    let single = chunks.len() == 1;
    let mut nodes = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let node = chunk.load().map_err(|e| Error::load(path, e))?;
        if node.is_null() {
            continue;
        }
        let kind = node.get("kind").and_then(Node::as_text).unwrap_or_default();
        let listed = single && matches!(kind, "List" | "ResourceList");
        match node.content {
            Content::Mapping(mut mapping)
                if listed && (mapping.get("items").is_some() || mapping.get("functionConfig").is_some()) =>
            {
                if let Some(Content::Sequence(items)) = mapping.remove("items").map(|n| n.content) {
                    nodes.extend(items);
                }
            }
            content => nodes.push(Node { content, ..node }),
        }
    }
    nodes.retain(|node| !is_nothing(node));
    nodes.iter().try_for_each(|node| check(node, path))?;
    Ok(nodes)
}

fn is_nothing(node: &Node) -> bool {
    node.is_null()
        || match &node.content {
            Content::Mapping(mapping) => mapping.is_empty(),
            Content::Sequence(items) => items.is_empty(),
            Content::Scalar(_) => false,
        }
}

fn check(node: &Node, path: &Path) -> Result<()> {
    let wrong = |message: String| Err(Error::syntax(message).at(path, Some(node.position)));
    if node.as_mapping().is_none() {
        return wrong(
            "not a Kubernetes object: expected a mapping with apiVersion, kind and metadata".into(),
        );
    }
    let present = |path: &[&str]| {
        node.at(path)
            .filter(|n| !n.is_null())
            .and_then(Node::as_text)
            .filter(|t| !t.is_empty())
    };
    let Some(kind) = present(&["kind"]) else {
        return wrong("missing kind in object".into());
    };
    if !kind.ends_with("List") && present(&["metadata", "name"]).is_none() {
        return wrong(format!("missing metadata.name in object of kind {kind}"));
    }
    Ok(())
}

/// Takes the items out of a list of a certain kind, which kustomize does by way of JSON.
fn items(list: &Node, path: &Path) -> Result<Vec<Node>> {
    let convert = |node: &Node| {
        yaml::to_value(node, Schema::GoYamlV3)
            .map_err(|e| Error::syntax(e.message).at(path, Some(e.position)))
    };
    convert(list)?;
    let Some(items) = list.get("items").filter(|n| !n.is_null()) else {
        return Ok(Vec::new());
    };
    let Some(items) = items.as_sequence() else {
        return Err(Error::syntax("the items of a list must be a list").at(path, Some(items.position)));
    };
    let mut nodes = Vec::with_capacity(items.len());
    for item in items {
        let node = Node {
            position: item.position,
            ..Node::from_value(&convert(item)?)
        };
        if is_nothing(&node) {
            continue;
        }
        let kind = node.get("kind").and_then(Node::as_text).unwrap_or_default();
        if matches!(kind, "List" | "ResourceList") && node.get("items").is_some() {
            nodes.extend(
                node.get("items")
                    .and_then(Node::as_sequence)
                    .unwrap_or_default()
                    .iter()
                    .cloned(),
            );
        } else {
            nodes.push(node);
        }
    }
    nodes.retain(|node| !is_nothing(node));
    nodes.iter().try_for_each(|node| check(node, path))?;
    Ok(nodes)
}
