//! The document tree: what the loader makes, transformers change and the emitter prints. Pure.
//!
//! A scalar stays as it was written (text, style, tag) until it is printed or turned into JSON: a
//! transformer that changes its text keeps its quotes, and only then its type is decided.

use std::fmt;

use super::resolve::{Resolved, Schema, resolve};

/// Where something starts in its text: both count from one, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line; zero for a node that does not come from a file.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Without quotes: the text decides the type.
    #[default]
    Plain,
    /// `'single quotes'`.
    SingleQuoted,
    /// `"double quotes"`.
    DoubleQuoted,
    /// A block scalar that keeps its lines (`|`).
    Literal,
    /// A block scalar that joins its lines (`>`).
    Folded,
}

/// The type of a node, as far as it is decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tag {
    /// Follows from the content: by the text if plain, a string if quoted.
    #[default]
    Implicit,
    /// `!!str`
    Str,
    /// `!!int`
    Int,
    /// `!!float`
    Float,
    /// `!!bool`
    Bool,
    /// `!!null`
    Null,
    /// `!!timestamp`
    Timestamp,
    /// `!!binary`
    Binary,
    /// `!!merge`
    Merge,
    /// Any other tag; it has no influence on the value.
    Other(Box<str>),
}

/// One node of a document.
///
/// # Examples
/// ```
/// use kustomize_rs::yaml::{Content, Node, load};
///
/// let node = load("a: [1, \"2\"]").unwrap();
/// let list = node.get("a").unwrap().as_sequence().unwrap();
/// assert_eq!(list[1].as_text(), Some("2"));
/// assert_eq!(list[1].position.column, 8);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// What it holds.
    pub content: Content,
    /// Its tag.
    pub tag: Tag,
    /// Whether the tag is written in the text (`!!str 1`), and not only decided for it.
    pub tagged: bool,
    /// Whether a transformer set the text without a type, so that the text decides it however often it changes.
    pub undecided: bool,
    /// Whether it is a mapping or sequence in brackets.
    pub flow: bool,
    /// Zero, or which scalars of the same resource kustomize keeps as one: what changes one changes all.
    pub(crate) group: u32,
    /// Where it starts.
    pub position: Position,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// A scalar.
    Scalar(Scalar),
    /// A mapping, in the order of the text.
    Mapping(Mapping),
    /// A sequence.
    Sequence(Vec<Node>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Scalar(Scalar {
            text: String::new(),
            style: Style::Plain,
        })
    }
}

/// A scalar as it is written, without its quotes and escapes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scalar {
    /// The text.
    pub text: String,
    /// The style.
    pub style: Style,
}

/// Keys and values in the order of the text; keys are compared by their text.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    /// The entries. A key that stands twice is an error only when the mapping is printed, as in kustomize.
    pub entries: Vec<(Node, Node)>,
}

impl Mapping {
    /// Finds the first value with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries
            .iter()
            .find(|(k, _)| k.as_text() == Some(key))
            .map(|(_, v)| v)
    }

    /// Finds the first value with this key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries
            .iter_mut()
            .find(|(k, _)| k.as_text() == Some(key))
            .map(|(_, v)| v)
    }

    /// Replaces the value of a key, or adds the key at the end.
    pub fn insert(&mut self, key: &str, value: Node) {
        match self.get_mut(key) {
            Some(old) => *old = value,
            None => self.entries.push((Node::plain(key), value)),
        }
    }

    /// Removes a key wherever it stands and gives its first value.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let mut found = None;
        self.entries.retain_mut(|(k, v)| {
            if k.as_text() != Some(key) {
                return true;
            }
            if found.is_none() {
                found = Some(std::mem::take(v));
            }
            false
        });
        found
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives the value of a key, adding an empty mapping if the key is missing.
    pub fn entry_or_mapping(&mut self, key: &str) -> &mut Node {
        let at = self
            .entries
            .iter()
            .position(|(k, _)| k.as_text() == Some(key))
            .unwrap_or_else(|| {
                self.entries.push((Node::plain(key), Node::mapping()));
                self.entries.len() - 1
            });
        &mut self.entries[at].1
    }

    /// Goes through the entries whose key is a scalar.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.entries.iter().filter_map(|(k, v)| Some((k.as_text()?, v)))
    }
}

impl Node {
    /// Makes a plain scalar: its text decides its type.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            content: Content::Scalar(Scalar {
                text: text.into(),
                style: Style::Plain,
            }),
            ..Self::default()
        }
    }

    /// Makes a string, whatever its text looks like.
    #[must_use]
    pub fn string(text: impl Into<String>) -> Self {
        Self {
            tag: Tag::Str,
            ..Self::plain(text)
        }
    }

    /// Makes an empty mapping.
    #[must_use]
    pub fn mapping() -> Self {
        Self {
            content: Content::Mapping(Mapping::default()),
            ..Self::default()
        }
    }

    /// Makes a sequence.
    #[must_use]
    pub fn sequence(items: Vec<Node>) -> Self {
        Self {
            content: Content::Sequence(items),
            ..Self::default()
        }
    }

    /// Makes a null.
    #[must_use]
    pub fn null() -> Self {
        Self {
            tag: Tag::Null,
            ..Self::plain("null")
        }
    }

    /// Makes the tree for a JSON value.
    #[must_use]
    pub fn from_value(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::null(),
            Value::Bool(b) => Self::plain(if *b { "true" } else { "false" }),
            Value::Number(n) => Self::plain(super::number::json_number(n)),
            Value::String(s) => Self::encoded(s),
            Value::Array(items) => Self::sequence(items.iter().map(Self::from_value).collect()),
            Value::Object(map) => {
                let entries = map
                    .iter()
                    .map(|(k, v)| (Self::string(k.as_str()), Self::from_value(v)))
                    .collect();
                Self {
                    content: Content::Mapping(Mapping { entries }),
                    ..Self::default()
                }
            }
        }
    }

    /// A string as kustomize has it after it went through YAML: in quotes if it needs them.
    fn encoded(text: &str) -> Self {
        let mut node = Self::string(text);
        let is_string = |schema| matches!(resolve(schema, text), Resolved::Str);
        if let Content::Scalar(scalar) = &mut node.content {
            if text.contains('\n') {
                scalar.style = Style::Literal;
            } else if text.is_empty() || !is_string(Schema::GoYamlV3) || !is_string(Schema::GoYamlV2) {
                scalar.style = Style::DoubleQuoted;
            }
        }
        node
    }

    /// The text of a scalar, as written.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The scalar, if it is one.
    #[must_use]
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.content {
            Content::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    #[must_use]
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.content {
            Content::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The mapping to change, if it is one.
    pub fn as_mapping_mut(&mut self) -> Option<&mut Mapping> {
        match &mut self.content {
            Content::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The items of a sequence, if it is one.
    #[must_use]
    pub fn as_sequence(&self) -> Option<&[Node]> {
        match &self.content {
            Content::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The items of a sequence to change, if it is one.
    pub fn as_sequence_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.content {
            Content::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// Finds the value of a key, if this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping()?.get(key)
    }

    /// Finds the value of a key to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.as_mapping_mut()?.get_mut(key)
    }

    /// Follows keys through mappings.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Decides the type of a scalar without an explicit tag by its text; `None` for other nodes.
    #[must_use]
    pub fn resolved(&self, schema: Schema) -> Option<Resolved> {
        let scalar = self.as_scalar()?;
        Some(match self.tag {
            Tag::Implicit if scalar.style == Style::Plain => resolve(schema, &scalar.text),
            Tag::Null => Resolved::Null,
            Tag::Implicit | Tag::Str | Tag::Other(_) => Resolved::Str,
            Tag::Int | Tag::Float | Tag::Bool | Tag::Timestamp | Tag::Binary | Tag::Merge => {
                resolve(schema, &scalar.text)
            }
        })
    }

    /// Whether it is a null, written or implied.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match &self.content {
            Content::Scalar(scalar) => match self.tag {
                Tag::Implicit => {
                    scalar.style == Style::Plain
                        && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
                }
                Tag::Null => true,
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether it is a string by the rules of YAML 1.2 as go-yaml v3 applies them.
    #[must_use]
    pub fn is_string(&self) -> bool {
        self.resolved(Schema::GoYamlV3) == Some(Resolved::Str)
    }

    /// Sets the text of a scalar and keeps its quotes; without quotes the new text decides the type.
    pub fn set_text(&mut self, text: impl Into<String>) {
        let style = self.as_scalar().map_or(Style::Plain, |s| s.style);
        self.content = Content::Scalar(Scalar {
            text: text.into(),
            style,
        });
        self.tag = Tag::Implicit;
        self.tagged = false;
        self.undecided = true;
    }

    /// Sets a scalar to a string and keeps its quotes.
    pub fn set_string(&mut self, text: impl Into<String>) {
        self.set_text(text);
        self.tag = Tag::Str;
        self.undecided = false;
    }
}
