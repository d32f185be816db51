//! Prints a tree as kyaml (go-yaml v3) prints it: keys in their order, scalars in their style, brackets where
//! they were. In: a tree; out: text. Pure.

use super::comments::Comments;
use super::node::{Content, Node, Scalar, Style, Tag};
use super::resolve::{Resolved, Schema, resolve};
use crate::error::Error;

/// Prints a tree that was loaded from `old` and changed since. Comments stay where they are; nodes that are new have the
/// line zero.
pub(crate) fn print_as_written(node: &Node, old: &str) -> Result<String, Error> {
    let refused = || {
        Error::unsupported(
            "replacing a field inside of a YAML text with a comment at such a place is not supported: \
             put comments above keys, or at the ends of lines",
        )
    };
    let comments = Comments::of(old).ok_or_else(refused)?;
    let mut out = String::new();
    for line in &comments.top {
        out.push_str(line);
        out.push('\n');
    }
    if !comments.top.is_empty() {
        out.push('\n');
    }
    block(node, 0, false, &comments, &mut out);
    let (blank, end) = &comments.end;
    if *blank && !end.is_empty() {
        out.push('\n');
    }
    for line in end {
        out.push_str(line);
        out.push('\n');
    }
    if !comments.are_printed() {
        return Err(refused());
    }
    Ok(out.trim().to_string())
}

fn block(node: &Node, indent: usize, inline: bool, comments: &Comments<'_>, out: &mut String) {
    let pad = " ".repeat(indent);
    match &node.content {
        Content::Mapping(mapping) if !node.flow && !mapping.is_empty() => {
            for (i, (key, value)) in mapping.entries.iter().enumerate() {
                if i > 0 || !inline {
                    above(key, &pad, comments, out);
                    out.push_str(&pad);
                }
                out.push_str(&scalar(key, indent, false));
                out.push(':');
                nested(value, indent, true, comments, out);
            }
        }
        Content::Sequence(items) if !node.flow && !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 || !inline {
                    above(item, &pad, comments, out);
                    out.push_str(&pad);
                }
                out.push('-');
                if is_block(item) {
                    out.push(' ');
                    block(item, indent + 2, true, comments, out);
                } else {
                    nested(item, indent, false, comments, out);
                }
            }
        }
        _ => {
            out.push_str(&flow(node, indent));
            out.push('\n');
        }
    }
}

/// Prints the comments above a key or an item.
fn above(node: &Node, pad: &str, comments: &Comments<'_>, out: &mut String) {
    for line in comments.above(node.position) {
        out.push_str(pad);
        out.push_str(line);
        out.push('\n');
    }
}

fn is_block(node: &Node) -> bool {
    match &node.content {
        Content::Mapping(mapping) => !node.flow && !mapping.is_empty(),
        Content::Sequence(items) => !node.flow && !items.is_empty(),
        Content::Scalar(_) => false,
    }
}

fn nested(value: &Node, indent: usize, in_mapping: bool, comments: &Comments<'_>, out: &mut String) {
    if is_block(value) {
        out.push('\n');
        let compact = in_mapping && value.as_sequence().is_some();
        let indent = if compact { indent } else { indent + 2 };
        block(value, indent, false, comments, out);
        return;
    }
    let text = flow(value, indent);
    if !text.is_empty() {
        out.push(' ');
        out.push_str(&text);
    }
    if !text.ends_with('\n') {
        if let Some(comment) = comments.behind(value.position) {
            out.push(' ');
            out.push_str(comment);
        }
        out.push('\n');
    }
}

fn flow(node: &Node, indent: usize) -> String {
    match &node.content {
        Content::Scalar(_) => scalar(node, indent, false),
        Content::Mapping(mapping) => {
            let entries = mapping.entries.iter();
            let entries: Vec<_> = entries
                .map(|(k, v)| format!("{}: {}", inside(k), inside(v)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Content::Sequence(items) => format!("[{}]", items.iter().map(inside).collect::<Vec<_>>().join(", ")),
    }
}

fn inside(node: &Node) -> String {
    if node.as_scalar().is_some() {
        scalar(node, 0, true)
    } else {
        flow(node, 0)
    }
}

fn scalar(node: &Node, indent: usize, in_flow: bool) -> String {
    let Some(Scalar { text, style }) = node.as_scalar() else {
        return flow(node, indent);
    };
    let literal = |header: char| {
        let chomp = if text.ends_with("\n\n") || text == "\n" {
            "+"
        } else if text.ends_with('\n') {
            ""
        } else {
            "-"
        };
        let pad = " ".repeat(indent + 2);
        let lines: Vec<_> = text
            .lines()
            .map(|l| {
                if l.is_empty() {
                    String::new()
                } else {
                    format!("{pad}{l}")
                }
            })
            .collect();
        format!("{header}{chomp}\n{}\n", lines.join("\n"))
    };
    let forced = node.tag == Tag::Str && resolve(Schema::GoYamlV3, text) != Resolved::Str;
    match style {
        Style::Literal | Style::Folded if !in_flow && !text.is_empty() => literal('|'),
        Style::SingleQuoted => format!("'{}'", text.replace('\'', "''")),
        Style::Plain if text.contains('\n') && !in_flow => literal('|'),
        Style::Plain if !forced => format!(
            "{}{}",
            tag_before(node, text),
            super::emit::plain_or_quoted(text, in_flow)
        ),
        _ => super::emit::double_quoted(text),
    }
}

/// A type that was decided for an old text and does not follow from the new one is spelt out.
fn tag_before(node: &Node, text: &str) -> &'static str {
    let resolved = resolve(Schema::GoYamlV3, text);
    match (&node.tag, resolved) {
        (Tag::Int, r) if !matches!(r, Resolved::Int(_) | Resolved::Uint(_)) => "!!int ",
        (Tag::Float, r) if !matches!(r, Resolved::Float(_)) => "!!float ",
        (Tag::Bool, r) if !matches!(r, Resolved::Bool(_)) => "!!bool ",
        (Tag::Null, r) if r != Resolved::Null => "!!null ",
        (Tag::Timestamp, r) if !matches!(r, Resolved::Timestamp(_)) => "!!timestamp ",
        _ => "",
    }
}
