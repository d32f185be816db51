//! Node trees to typed values. In: raw scalars; out: JSON values, or the same borrowed for printing. Pure.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine;
use serde_json::{Map, Number, Value};

use super::node::{Content, Mapping, Node, Position, Scalar, Style, Tag};
use super::order::sort_entries;
use super::resolve::{Resolved, Schema, resolve};

/// A node that has no JSON value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {message}")]
pub struct ConvertError {
    /// Where the node starts in its text.
    pub position: Position,
    /// What is wrong.
    pub message: String,
}

type Result<T> = std::result::Result<T, ConvertError>;

fn error<T>(node: &Node, message: impl Into<String>) -> Result<T> {
    Err(ConvertError {
        position: node.position,
        message: message.into(),
    })
}

/// A typed value that borrows its strings; the entries of mappings are sorted for printing.
pub(super) enum Plain<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Str(Cow<'a, str>),
    Seq(Vec<Plain<'a>>),
    Map(Vec<(Cow<'a, str>, Plain<'a>)>),
}

impl<'a> Plain<'a> {
    pub(super) fn of_value(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(int), _) => Self::Int(int),
                (None, Some(int)) => Self::Uint(int),
                _ => Self::Float(n.as_f64().unwrap_or_default()),
            },
            Value::String(s) => Self::Str(Cow::Borrowed(s)),
            Value::Array(items) => Self::Seq(items.iter().map(Self::of_value).collect()),
            Value::Object(map) => {
                let mut entries: Vec<_> = map
                    .iter()
                    .map(|(k, v)| (Cow::Borrowed(k.as_str()), Self::of_value(v)))
                    .collect();
                sort_entries(&mut entries, |(key, _)| key.as_ref());
                Self::Map(entries)
            }
        }
    }

    pub(super) fn of_node(node: &'a Node, schema: Schema, root: bool) -> Result<Self> {
        Self::inside(node, schema, root, false)
    }

    /// `flow`: whether the node stands inside of brackets, where kustomize turns an implied null into an empty
    /// string when it prints the tree for the first time.
    fn inside(node: &'a Node, schema: Schema, root: bool, flow: bool) -> Result<Self> {
        if let (Content::Scalar(scalar), Schema::GoYamlV3, false) = (&node.content, schema, flow)
            && let Some(text) = reread_block(node, scalar)?
        {
            return Ok(Self::Str(Cow::Owned(text)));
        }
        let flow = flow || (node.flow && schema == Schema::GoYamlV3);
        match &node.content {
            Content::Scalar(scalar) if flow && scalar.text.is_empty() && may_be_implied(node) => {
                Ok(Self::Str(Cow::Borrowed("")))
            }
            Content::Scalar(scalar) => of_scalar(node, scalar, schema),
            Content::Sequence(items) => Ok(Self::Seq(
                items
                    .iter()
                    .map(|item| Self::inside(item, schema, false, flow))
                    .collect::<Result<_>>()?,
            )),
            Content::Mapping(mapping) => of_mapping(mapping, schema, root, flow),
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Int(int) => int.into(),
            Self::Uint(int) => int.into(),
            Self::Float(float) => {
                whole(float).unwrap_or_else(|| Number::from_f64(float).map_or(Value::Null, Value::Number))
            }
            Self::Str(text) => Value::String(text.into_owned()),
            Self::Seq(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Self::Map(entries) => Value::Object(
                entries
                    .into_iter()
                    .map(|(k, v)| (k.into_owned(), v.into_value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

/// Whether a scalar without text says nothing of its type.
fn may_be_implied(node: &Node) -> bool {
    !node.tagged && matches!(node.tag, Tag::Implicit | Tag::Null | Tag::Str)
}

/// JSON knows one kind of number: `1.0` is the integer 1 once Go has written it.
fn whole(float: f64) -> Option<Value> {
    if float.fract() != 0.0 || float.abs() >= 1e19 {
        return None;
    }
    super::number::yaml_float(float)
        .parse::<i64>()
        .ok()
        .map(Value::from)
}

/// Turns a node into a JSON value by the rules of one go-yaml.
///
/// # Errors
/// When a key stands twice (v3) or is no string, a number is not finite, or a tag does not fit its text.
///
/// # Examples
/// ```
/// use kustomize_rs::yaml::{Schema, load, to_value};
///
/// let node = load("enabled: yes\nmode: 0644\n").unwrap();
/// let v2 = to_value(&node, Schema::GoYamlV2).unwrap();
/// let v3 = to_value(&node, Schema::GoYamlV3).unwrap();
/// assert_eq!(v2, serde_json::json!({"enabled": true, "mode": 420}));
/// assert_eq!(v3, serde_json::json!({"enabled": "yes", "mode": 420}));
/// ```
pub fn to_value(node: &Node, schema: Schema) -> Result<Value> {
    Ok(Plain::of_node(node, schema, true)?.into_value())
}

fn of_mapping<'a>(mapping: &'a Mapping, schema: Schema, root: bool, flow: bool) -> Result<Plain<'a>> {
    let mut entries = Vec::with_capacity(mapping.entries.len());
    for (key, value) in &mapping.entries {
        let key = match schema {
            Schema::GoYamlV2 => key_v2(key)?,
            Schema::GoYamlV3 => key_v3(key, root)?,
        };
        entries.push((key, Plain::inside(value, schema, false, flow)?));
    }
    match schema {
        Schema::GoYamlV3 => refuse_duplicates(mapping)?,
        Schema::GoYamlV2 => {
            // The last one of equal keys wins.
            let mut seen = HashSet::new();
            entries.reverse();
            entries.retain(|(key, _)| seen.insert(key.clone()));
        }
    }
    sort_entries(&mut entries, |(key, _)| key.as_ref());
    Ok(Plain::Map(entries))
}

fn refuse_duplicates(mapping: &Mapping) -> Result<()> {
    let duplicate = |key: &Node, first: &Node| {
        let text = key.as_text().unwrap_or_default();
        error(
            key,
            format!(
                "mapping key {text:?} already defined at line {}",
                first.position.line
            ),
        )
    };
    if mapping.entries.len() < 16 {
        for (i, (key, _)) in mapping.entries.iter().enumerate() {
            let Some(text) = key.as_text() else { continue };
            if let Some((first, _)) = mapping.entries[..i]
                .iter()
                .find(|(k, _)| k.as_text() == Some(text))
            {
                return duplicate(key, first);
            }
        }
        return Ok(());
    }
    let mut seen = std::collections::HashMap::new();
    for (key, _) in &mapping.entries {
        let Some(text) = key.as_text() else { continue };
        if let Some(first) = seen.insert(text, key) {
            return duplicate(key, first);
        }
    }
    Ok(())
}

fn key_v3(key: &Node, root: bool) -> Result<Cow<'_, str>> {
    let Some(text) = key.as_text() else {
        return error(key, "a mapping key must be a string");
    };
    // A key without text comes out of go-yaml in quotes, and is a string when it is read again.
    let empty = text.is_empty() && !key.tagged;
    if !root && !empty && !matches!(key.resolved(Schema::GoYamlV3), Some(Resolved::Str)) {
        return error(
            key,
            format!("the mapping key `{text}` is no string; put it in quotes"),
        );
    }
    printable(key, Cow::Borrowed(text))
}

fn key_v2(key: &Node) -> Result<Cow<'_, str>> {
    Ok(match of_node_v2(key)? {
        Plain::Str(text) => text,
        Plain::Bool(b) => Cow::Borrowed(if b { "true" } else { "false" }),
        Plain::Int(int) => Cow::Owned(int.to_string()),
        Plain::Uint(int) => Cow::Owned(int.to_string()),
        Plain::Float(float) => Cow::Owned(super::number::yaml_float(float)),
        Plain::Null | Plain::Seq(_) | Plain::Map(_) => return error(key, "a mapping key must be a string"),
    })
}

fn of_node_v2(node: &Node) -> Result<Plain<'_>> {
    Plain::of_node(node, Schema::GoYamlV2, false)
}

fn of_scalar<'a>(node: &'a Node, scalar: &'a Scalar, schema: Schema) -> Result<Plain<'a>> {
    let text = scalar.text.as_str();
    let resolved = match &node.tag {
        Tag::Implicit if scalar.style == Style::Plain => resolve(schema, text),
        Tag::Implicit | Tag::Str | Tag::Other(_) => Resolved::Str,
        Tag::Binary => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(text.replace(['\n', '\r'], ""));
            let Some(text) = decoded
                .ok()
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            else {
                return error(node, "!!binary value contains invalid base64 data");
            };
            return Ok(Plain::Str(Cow::Owned(text)));
        }
        // A type that was decided for the text, and that still fits it, leaves no trace in print.
        tag if !node.tagged && same_type(tag, &resolve(schema, text)) => match scalar.style {
            Style::Plain => resolve(schema, text),
            _ => Resolved::Str,
        },
        tag => tagged(node, tag, resolve(schema, text))?,
    };
    Ok(match resolved {
        Resolved::Null => Plain::Null,
        Resolved::Bool(b) => Plain::Bool(b),
        Resolved::Int(int) => Plain::Int(int),
        Resolved::Uint(int) => Plain::Uint(int),
        Resolved::Float(float) if float.is_finite() => Plain::Float(float),
        Resolved::Float(_) => return error(node, format!("the number {text} has no JSON form")),
        Resolved::Timestamp(time) if schema == Schema::GoYamlV3 => Plain::Str(Cow::Owned(time)),
        Resolved::Timestamp(_) | Resolved::Str => Plain::Str(printable(node, Cow::Borrowed(text))?),
    })
}

fn same_type(tag: &Tag, resolved: &Resolved) -> bool {
    matches!(
        (tag, resolved),
        (Tag::Int, Resolved::Int(_) | Resolved::Uint(_))
            | (Tag::Float, Resolved::Float(_))
            | (Tag::Bool, Resolved::Bool(_))
            | (Tag::Null, Resolved::Null)
            | (Tag::Timestamp, Resolved::Timestamp(_))
    )
}

/// Checks that a text is of the type that its tag says.
fn tagged(node: &Node, tag: &Tag, resolved: Resolved) -> Result<Resolved> {
    Ok(match (tag, resolved) {
        (Tag::Float, Resolved::Int(int)) => Resolved::Float(int as f64),
        (Tag::Int, r @ (Resolved::Int(_) | Resolved::Uint(_)))
        | (Tag::Float, r @ Resolved::Float(_))
        | (Tag::Bool, r @ Resolved::Bool(_))
        | (Tag::Null, r @ Resolved::Null)
        | (Tag::Timestamp, r @ Resolved::Timestamp(_)) => r,
        (Tag::Merge, _) => Resolved::Str,
        _ => {
            let text = node.as_text().unwrap_or_default();
            return error(node, format!("cannot decode `{text}` as {}", tag_name(tag)));
        }
    })
}

fn tag_name(tag: &Tag) -> &str {
    match tag {
        Tag::Implicit => "the type of its text",
        Tag::Str => "!!str",
        Tag::Int => "!!int",
        Tag::Float => "!!float",
        Tag::Bool => "!!bool",
        Tag::Null => "!!null",
        Tag::Timestamp => "!!timestamp",
        Tag::Binary => "!!binary",
        Tag::Merge => "!!merge",
        Tag::Other(name) => name,
    }
}

/// Applies what happens to a string on its way through JSON and back into go-yaml v2: NEL is read as a
/// line break, other control characters are refused.
fn printable<'a>(node: &Node, text: Cow<'a, str>) -> Result<Cow<'a, str>> {
    if !text.bytes().any(|b| matches!(b, 0x7F | 0xC2 | 0xEF)) {
        return Ok(text);
    }
    if text
        .chars()
        .any(|c| matches!(c, '\u{7F}'..='\u{84}' | '\u{86}'..='\u{9F}' | '\u{FFFE}' | '\u{FFFF}'))
    {
        return error(
            node,
            "the text contains a control character, which cannot be printed",
        );
    }
    if !text.contains('\u{85}') {
        return Ok(text);
    }
    let json = serde_json::to_string(&text).unwrap_or_default();
    let json = json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    let reread = super::load::load(&json)
        .ok()
        .and_then(|n| n.as_text().map(str::to_string));
    Ok(reread.map_or(text, Cow::Owned))
}

/// Block scalars that change when kustomize prints the tree for the first time and reads it again: go-yaml
/// v3 adds a line break before lines of folded text that start with a blank, and forgets the indentation of
/// text that starts with a tab.
fn reread_block(node: &Node, scalar: &Scalar) -> Result<Option<String>> {
    let text = scalar.text.as_str();
    let folded = scalar.style == Style::Folded;
    let block =
        folded || scalar.style == Style::Literal || (scalar.style == Style::Plain && text.contains('\n'));
    let blank = |line: &str| line.starts_with([' ', '\t', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
    let risky = block
        && (text.starts_with('\t') || (folded && (text.ends_with("\n\n") || text.split('\n').any(blank))));
    if !risky || !super::emit::allows_block(text) {
        return Ok(None);
    }
    let first = text.trim_start_matches('\n').chars().next();
    let first_is_blank = first.is_none_or(|c| matches!(c, ' ' | '\t' | '\r'));
    let mut printed = String::from(if folded { "k: >" } else { "k: |" });
    if text.starts_with([' ', '\n']) {
        printed.push('2');
    }
    printed.push_str(match text {
        "\n" => "+",
        text if text.ends_with("\n\n") => "+",
        text if text.ends_with('\n') => "",
        _ => "-",
    });
    printed.push('\n');
    for line in text.split_inclusive('\n') {
        let (content, ended) = line
            .strip_suffix('\n')
            .map_or((line, false), |content| (content, true));
        if !content.is_empty() {
            printed.push_str("  ");
            printed.push_str(content);
            if folded && ended && !content.starts_with([' ', '\t']) && !first_is_blank {
                printed.push('\n');
            }
        }
        if ended {
            printed.push('\n');
        }
    }
    let reread = super::load::load(&printed).map_err(|e| ConvertError {
        position: node.position,
        message: format!("kustomize cannot read this text again once it has printed it: {e}"),
    })?;
    Ok(reread.get("k").and_then(|n| n.as_text()).map(str::to_string))
}
