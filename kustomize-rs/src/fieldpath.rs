//! Paths as replacements and vars write them: `spec.containers.[name=web].image`, `metadata.annotations.[a.b]`,
//! `data.a\.b`. In: a path and a tree; out: the nodes that it leads to. Pure.

use crate::error::Error;
use crate::yaml::{Content, Node, Style, Tag};

type Result<T> = std::result::Result<T, Error>;

/// What to make of a field that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    Nothing,
    Scalar,
    Mapping,
    Sequence,
}

/// The way to a node: which entry of a mapping or item of a list, from the root.
pub(crate) type Address = Vec<usize>;

/// A node that a path leads to.
pub(crate) enum Found {
    At(Address),
    /// Inside of a text that is itself YAML: what is written there is lost, as in kustomize.
    Detached,
}

/// Splits a path; `\.` stands for a dot inside a name, `[a.b]` for one name, `[a=b]` for a list item.
pub(crate) fn split(path: &str) -> Vec<String> {
    let mut rough: Vec<String> = Vec::new();
    let path = if path.len() > 1 {
        path.strip_prefix('.').unwrap_or(path)
    } else {
        path
    };
    for part in path.split('.') {
        match rough.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push('.');
                last.push_str(part);
            }
            _ => rough.push(part.to_string()),
        }
    }
    let mut parts = Vec::new();
    let mut rough = rough.into_iter();
    while let Some(part) = rough.next() {
        if !part.starts_with('[') || part.ends_with(']') {
            parts.push(part);
            continue;
        }
        let mut joined = part;
        for next in rough.by_ref() {
            joined.push('.');
            joined.push_str(&next);
            if next.ends_with(']') {
                break;
            }
        }
        parts.push(if joined.contains('=') {
            joined
        } else {
            joined.trim_matches(['[', ']']).to_string()
        });
    }
    parts
}

fn is_item(part: &str) -> bool {
    part.starts_with('[') && part.ends_with(']')
}

fn index(part: &str) -> Option<usize> {
    part.strip_prefix('+').unwrap_or(part).parse().ok()
}

fn item_condition(part: &str) -> Result<(&str, &str)> {
    let inner = part.strip_suffix(']').unwrap_or(part);
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    inner.split_once('=').ok_or_else(|| {
        Error::kustomization(format!("the path element {part} must have the form [name=value]"))
    })
}

fn wrong_kind(node: &Node, wanted: &str) -> Error {
    Error::resource(format!("expected {wanted} at line {}", node.position.line))
}

/// Follows a path to the one node that it names; `Ok(None)` when there is nothing. A null is something.
pub(crate) fn lookup(root: &Node, parts: &[String]) -> Result<Option<Address>> {
    let mut address = Vec::new();
    let mut node = root;
    for part in parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty()) {
        if node.is_null() {
            return Ok(None);
        }
        let step = if let Ok(number) = part.parse::<i64>() {
            let Some(items) = node.as_sequence() else {
                return Err(wrong_kind(node, "a list"));
            };
            let Ok(at) = usize::try_from(number) else {
                return Err(Error::kustomization(format!(
                    "the index {part} cannot be negative"
                )));
            };
            (at < items.len()).then_some(at)
        } else if part == "-" {
            let Some(items) = node.as_sequence() else {
                return Err(wrong_kind(node, "a list"));
            };
            items.len().checked_sub(1)
        } else if part == "*" {
            return Err(Error::kustomization(
                "a wildcard cannot stand in a path that must lead to one field",
            ));
        } else if is_item(part) {
            let (name, value) = item_condition(part)?;
            let Some(items) = node.as_sequence() else {
                return Err(wrong_kind(node, "a list"));
            };
            items.iter().position(|item| match name {
                "" => item.as_text().unwrap_or_default() == value,
                name => item
                    .get(name)
                    .is_some_and(|n| n.as_text().unwrap_or_default() == value),
            })
        } else {
            let Some(mapping) = node.as_mapping() else {
                return Err(wrong_kind(node, "a mapping"));
            };
            mapping
                .entries
                .iter()
                .position(|(k, _)| k.as_text() == Some(part))
        };
        let Some(step) = step else { return Ok(None) };
        let Some(next) = child(node, step) else {
            return Ok(None);
        };
        address.push(step);
        node = next;
    }
    Ok(Some(address))
}

fn child(node: &Node, step: usize) -> Option<&Node> {
    match &node.content {
        Content::Mapping(mapping) => mapping.entries.get(step).map(|(_, v)| v),
        Content::Sequence(items) => items.get(step),
        Content::Scalar(_) => None,
    }
}

/// The node at an address.
pub(crate) fn at<'a>(root: &'a Node, address: &[usize]) -> Option<&'a Node> {
    address.iter().try_fold(root, |node, step| child(node, *step))
}

/// The node at an address, to change it.
pub(crate) fn at_mut<'a>(root: &'a mut Node, address: &[usize]) -> Option<&'a mut Node> {
    address
        .iter()
        .try_fold(root, |node, step| match &mut node.content {
            Content::Mapping(mapping) => mapping.entries.get_mut(*step).map(|(_, v)| v),
            Content::Sequence(items) => items.get_mut(*step),
            Content::Scalar(_) => None,
        })
}

/// Finds every node that a path leads to: `*` and conditions may match several. Makes what is missing.
pub(crate) fn find(root: &mut Node, parts: &[String], make: Make) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    walk(root, parts, make, &mut Vec::new(), &mut found)?;
    Ok(found)
}

fn walk(
    node: &mut Node,
    parts: &[String],
    make: Make,
    address: &mut Address,
    found: &mut Vec<Found>,
) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else {
        found.push(Found::At(address.clone()));
        return Ok(());
    };
    if let Some(at) = index(part) {
        return walk_index(node, at, rest, make, address, found);
    }
    if is_item(part) {
        return walk_items(node, part, rest, make, address, found);
    }
    if part == "*" {
        return each(node, address, |item, address| {
            walk(item, rest, make, address, found)
        });
    }
    walk_field(node, part, rest, make, address, found)
}

fn each(
    node: &mut Node,
    address: &mut Address,
    mut visit: impl FnMut(&mut Node, &mut Address) -> Result<()>,
) -> Result<()> {
    if node.is_null() {
        return Ok(());
    }
    let Content::Sequence(items) = &mut node.content else {
        return Err(wrong_kind(node, "a list"));
    };
    for (i, item) in items.iter_mut().enumerate() {
        address.push(i);
        visit(item, address)?;
        address.pop();
    }
    Ok(())
}

/// An empty node that what comes next in a path can be put into.
fn made(next: Option<&String>, make: Make) -> Node {
    match next {
        Some(next) if is_item(next) || index(next).is_some() => Node::sequence(Vec::new()),
        None if make == Make::Scalar => Node {
            tag: Tag::Str,
            ..Node::plain("")
        },
        None if make == Make::Sequence => Node::sequence(Vec::new()),
        _ => Node::mapping(),
    }
}

fn walk_index(
    node: &mut Node,
    at: usize,
    rest: &[String],
    make: Make,
    address: &mut Address,
    found: &mut Vec<Found>,
) -> Result<()> {
    if !node.is_null() && node.as_sequence().is_none() {
        return Err(wrong_kind(node, "a list"));
    }
    let Some(items) = node.as_sequence_mut() else {
        return Err(Error::resource(format!(
            "index {at} specified but only 0 elements found"
        )));
    };
    if items.len() == at && make != Make::Nothing {
        items.push(made(rest.first(), make));
    }
    let len = items.len();
    let Some(item) = items.get_mut(at) else {
        return Err(Error::resource(format!(
            "index {at} specified but only {len} elements found"
        )));
    };
    address.push(at);
    walk(item, rest, make, address, found)?;
    address.pop();
    Ok(())
}

fn walk_items(
    node: &mut Node,
    part: &str,
    rest: &[String],
    make: Make,
    address: &mut Address,
    found: &mut Vec<Found>,
) -> Result<()> {
    let (name, value) = item_condition(part)?;
    let pattern = crate::regular::compile(value)
        .map_err(|e| Error::kustomization(format!("{value:?} in a path is no regular expression: {e}")))?;
    let before = found.len();
    for attempt in 0..2 {
        each(node, address, |item, address| {
            let tested = if name.is_empty() {
                Some(&*item)
            } else {
                item.get(name)
            };
            let Some(tested) = tested else { return Ok(()) };
            if !pattern.is_match(&source_text(tested)) {
                return Ok(());
            }
            if name.is_empty() {
                found.push(Found::At(address.clone()));
                return Ok(());
            }
            walk(item, rest, make, address, found)
        })?;
        if found.len() > before || make == Make::Nothing || attempt == 1 {
            return Ok(());
        }
        let new = match name {
            "" => Node::plain(value),
            name => {
                let mut item = crate::yaml::Mapping::default();
                item.insert(name, Node::plain(value));
                Node {
                    content: Content::Mapping(item),
                    ..Node::default()
                }
            }
        };
        match node.as_sequence_mut() {
            Some(items) => items.push(new),
            None => return Err(wrong_kind(node, "a list")),
        }
    }
    Ok(())
}

fn walk_field(
    node: &mut Node,
    part: &str,
    rest: &[String],
    make: Make,
    address: &mut Address,
    found: &mut Vec<Found>,
) -> Result<()> {
    if node.is_null() {
        if make != Make::Nothing {
            // kustomize makes the field, but a null has no place for it.
            let mut lost = made(rest.first(), make);
            let inside = find(&mut lost, rest, make)?;
            found.extend(inside.into_iter().map(|_| Found::Detached));
        }
        return Ok(());
    }
    let position = node.position;
    if part.is_empty() {
        return Err(wrong_kind(node, "a scalar"));
    }
    let Content::Mapping(mapping) = &mut node.content else {
        return Err(Error::resource(format!(
            "expected a mapping to find {part} in, at line {}",
            position.line
        )));
    };
    let at = mapping
        .entries
        .iter()
        .position(|(k, _)| k.as_text() == Some(part));
    let at = match at {
        Some(at) => at,
        None if make == Make::Nothing => return Ok(()),
        None => {
            mapping
                .entries
                .push((Node::plain(part), made(rest.first(), make)));
            mapping.entries.len() - 1
        }
    };
    let field = &mut mapping.entries[at].1;
    if field.as_scalar().is_some() && !rest.is_empty() {
        let Ok(mut inner) = crate::yaml::load(field.as_text().unwrap_or_default()) else {
            return Err(Error::resource(format!(
                "the text of {part} at line {} is no YAML",
                field.position.line
            )));
        };
        let inside = find(&mut inner, rest, make)?;
        found.extend(inside.into_iter().map(|_| Found::Detached));
        return Ok(());
    }
    address.push(at);
    walk(field, rest, make, address, found)?;
    address.pop();
    Ok(())
}

/// A scalar as it stands in a file, quotes included: that is what conditions are matched against.
fn source_text(node: &Node) -> String {
    let Some(scalar) = node.as_scalar() else {
        let mut text = String::new();
        return crate::yaml::emit_node(node, &mut text)
            .map(|()| text.trim().to_string())
            .unwrap_or_default();
    };
    match scalar.style {
        Style::SingleQuoted => format!("'{}'", scalar.text.replace('\'', "''")),
        Style::DoubleQuoted => format!("\"{}\"", scalar.text.replace('\\', "\\\\").replace('"', "\\\"")),
        Style::Plain
            if node.tag == Tag::Str
                && !matches!(
                    crate::yaml::resolve(crate::yaml::Schema::GoYamlV3, &scalar.text),
                    crate::yaml::Resolved::Str
                ) =>
        {
            format!("\"{}\"", scalar.text)
        }
        _ => scalar.text.trim().to_string(),
    }
}
