//! Text to [`Node`] trees. In: the text of a file. Out: one tree a document, with positions, aliases
//! expanded and merge keys merged. Pure; depth, aliases and size are bounded.
//!
//! The file is long because each kind of collection has its grammar here, side by side.

use std::collections::HashMap;

use super::node::{Content, Mapping, Node, Position, Scalar, Style, Tag};
use super::scan::{Comment, MAX_DEPTH, Mark, Scanner, Token};

/// No YAML file is sensibly larger.
const MAX_TEXT: usize = 256 << 20;
/// How many nodes aliases may add to a document.
const MAX_ALIASED: usize = 1_000_000;

/// A text that is not YAML, or too much of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The text breaks the rules of YAML.
    #[error("{position}: {message}")]
    Syntax {
        /// Where.
        position: Position,
        /// What is wrong, and what was expected.
        message: String,
    },
    /// The bytes are no UTF-8.
    #[error("not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// Offset of the first wrong byte.
        offset: usize,
    },
    /// The text is larger than this loader takes.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

impl LoadError {
    /// Where in the text the error is, if it is in one place.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax { position, .. } => Some(*position),
            _ => None,
        }
    }

    pub(super) fn moved_down(self, lines: u32) -> Self {
        match self {
            Self::Syntax {
                mut position,
                message,
            } => {
                position.line += lines;
                Self::Syntax { position, message }
            }
            other => other,
        }
    }
}

type Result<T> = std::result::Result<T, LoadError>;

/// Loads the first document of a text; an empty text gives a null.
///
/// # Errors
/// When the text is no YAML; the error says where.
///
/// # Examples
/// ```
/// let node = kustomize_rs::yaml::load("a: &x {b: 1}\nc: *x\n").unwrap();
/// assert_eq!(node.at(&["c", "b"]).unwrap().as_text(), Some("1"));
/// let error = kustomize_rs::yaml::load("a: [").unwrap_err();
/// assert_eq!(error.position().unwrap().line, 1);
/// ```
pub fn load(text: &str) -> Result<Node> {
    let mut loader = Loader::new(text)?;
    loader.scanner.look_ahead();
    Ok(loader.document()?.unwrap_or_default())
}

/// Loads the first document of a text, and its comments.
pub(super) fn load_commented(text: &str) -> Result<(Node, Vec<Comment<'_>>)> {
    let mut loader = Loader::new(text)?;
    loader.scanner.look_ahead();
    let node = loader.document()?.unwrap_or_default();
    Ok((node, loader.scanner.comments))
}

/// Loads the first document as go-yaml v2 does, which does not look at what comes after it.
pub(crate) fn load_v2(text: &str) -> Result<Node> {
    let mut loader = Loader::new(text)?;
    loader.scanner.joins_comments = false;
    Ok(loader.document()?.unwrap_or_default())
}

/// Loads every document of a text, as the YAML standard separates them; empty documents are nulls.
///
/// # Errors
/// When the text is no YAML; the error says where.
pub fn load_all(text: &str) -> Result<Vec<Node>> {
    let mut loader = Loader::new(text)?;
    let mut documents = Vec::new();
    while let Some(document) = loader.document()? {
        documents.push(document);
    }
    Ok(documents)
}

/// Checks that bytes are a text that YAML allows.
///
/// # Errors
/// When they are no UTF-8.
pub fn text_of(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|e| LoadError::NotUtf8 {
        offset: e.valid_up_to(),
    })
}

struct Loader<'a> {
    scanner: Scanner<'a>,
    anchors: HashMap<&'a str, Node>,
    open_anchors: Vec<&'a str>,
    tag_handles: HashMap<&'a str, String>,
    aliased: usize,
    depth: usize,
    started: bool,
}

impl<'a> Loader<'a> {
    fn new(text: &'a str) -> Result<Self> {
        if text.len() > MAX_TEXT {
            return Err(LoadError::TooLarge { limit: MAX_TEXT });
        }
        refuse_control_characters(text)?;
        Ok(Self {
            scanner: Scanner::new(text),
            anchors: HashMap::new(),
            open_anchors: Vec::new(),
            tag_handles: HashMap::new(),
            aliased: 0,
            depth: 0,
            started: false,
        })
    }

    fn error(&self, mark: Mark, message: &str) -> LoadError {
        self.scanner.error(mark, message)
    }

    /// Whether the next token is one of these kinds.
    fn next_is(&mut self, kinds: fn(&Token<'a>) -> bool) -> Result<bool> {
        Ok(kinds(&self.scanner.peek()?.0))
    }

    fn take_if(&mut self, kinds: fn(&Token<'a>) -> bool) -> Result<bool> {
        let found = self.next_is(kinds)?;
        if found {
            self.scanner.take()?;
        }
        Ok(found)
    }

    fn document(&mut self) -> Result<Option<Node>> {
        if self.started {
            while self.take_if(|t| *t == Token::DocumentEnd)? {}
        }
        let (token, mark) = self.scanner.peek()?;
        let mark = *mark;
        if *token == Token::StreamEnd {
            return Ok(None);
        }
        let explicit = matches!(
            token,
            Token::VersionDirective { .. } | Token::TagDirective { .. } | Token::DocumentStart
        );
        if !explicit && self.started {
            return Err(self.error(mark, "did not find expected <document start>"));
        }
        self.tag_handles.clear();
        self.anchors.clear();
        let mut content = true;
        if explicit {
            self.directives()?;
            content = !self.next_is(|t| {
                matches!(
                    t,
                    Token::VersionDirective { .. }
                        | Token::TagDirective { .. }
                        | Token::DocumentStart
                        | Token::DocumentEnd
                        | Token::StreamEnd
                )
            })?;
        }
        let mut node = if content {
            self.node(true, false)?
        } else {
            self.empty()?
        };
        self.started = true;
        self.take_if(|t| *t == Token::DocumentEnd)?;
        if self.scanner.ends_in_comment && self.scanner.joins_comments {
            add_break_before_comment(&mut node);
        }
        Ok(Some(node))
    }

    fn directives(&mut self) -> Result<()> {
        let mut versioned = false;
        loop {
            let (token, mark) = self.scanner.take()?;
            match token {
                Token::VersionDirective { .. } if versioned => {
                    return Err(self.error(mark, "found duplicate %YAML directive"));
                }
                Token::VersionDirective { major: 1, minor: 1 } => versioned = true,
                Token::VersionDirective { .. } => {
                    return Err(self.error(mark, "found incompatible YAML document: only %YAML 1.1 is read"));
                }
                Token::TagDirective { handle, prefix } => {
                    if self.tag_handles.insert(handle, prefix).is_some() {
                        return Err(self.error(mark, "found duplicate %TAG directive"));
                    }
                }
                Token::DocumentStart => return Ok(()),
                _ => return Err(self.error(mark, "did not find expected <document start>")),
            }
        }
    }

    fn empty(&mut self) -> Result<Node> {
        let position = self.scanner.peek()?.1.position();
        Ok(Node {
            position,
            ..Node::default()
        })
    }

    fn node(&mut self, block: bool, indentless: bool) -> Result<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let mark = self.scanner.peek()?.1;
            return Err(self.error(mark, "nested too deep"));
        }
        let node = self.node_at_depth(block, indentless);
        self.depth -= 1;
        node
    }

    fn node_at_depth(&mut self, block: bool, indentless: bool) -> Result<Node> {
        let start = self.scanner.peek()?.1;
        let mut anchor = None;
        let mut tag = None;
        loop {
            match &self.scanner.peek()?.0 {
                Token::Alias(_) if anchor.is_none() && tag.is_none() => return self.alias(),
                Token::Anchor(name) if anchor.is_none() => {
                    anchor = Some(*name);
                    self.scanner.take()?;
                }
                Token::Tag { .. } if tag.is_none() => {
                    let (token, mark) = self.scanner.take()?;
                    tag = Some(self.resolve_tag(token, mark)?);
                }
                _ => break,
            }
        }
        if let Some(name) = anchor {
            self.open_anchors.push(name);
        }
        let mut node = self.content(block, indentless, anchor.is_some() || tag.is_some(), start)?;
        node.position = start.position();
        if let Some(tag) = tag.filter(|t| *t != Tag::Implicit) {
            node.tag = tag;
            node.tagged = true;
        }
        if let Some(name) = anchor {
            self.open_anchors.pop();
            self.anchors.insert(name, node.clone());
        }
        Ok(node)
    }

    fn content(&mut self, block: bool, indentless: bool, decorated: bool, start: Mark) -> Result<Node> {
        let flow = matches!(
            self.scanner.peek()?.0,
            Token::FlowSequenceStart | Token::FlowMappingStart
        );
        let content = match &self.scanner.peek()?.0 {
            Token::BlockEntry if indentless => Content::Sequence(self.indentless_sequence()?),
            Token::Scalar { .. } => match self.scanner.take()?.0 {
                Token::Scalar { text, style } => Content::Scalar(Scalar {
                    text: text.into_owned(),
                    style,
                }),
                _ => return Err(self.error(start, "did not find expected node content")),
            },
            Token::FlowSequenceStart => Content::Sequence(self.flow_sequence()?),
            Token::FlowMappingStart => Content::Mapping(self.flow_mapping()?),
            Token::BlockSequenceStart if block => Content::Sequence(self.block_sequence()?),
            Token::BlockMappingStart if block => Content::Mapping(self.block_mapping()?),
            _ if decorated => Content::default(),
            _ => {
                let mark = self.scanner.peek()?.1;
                return Err(self.error(mark, "did not find expected node content"));
            }
        };
        Ok(Node {
            content,
            flow,
            ..Node::default()
        })
    }

    fn alias(&mut self) -> Result<Node> {
        let (token, mark) = self.scanner.take()?;
        let Token::Alias(name) = token else {
            return Err(self.error(mark, "did not find expected alias"));
        };
        if self.open_anchors.contains(&name) {
            return Err(self.error(mark, &format!("anchor '{name}' value contains itself")));
        }
        let Some(node) = self.anchors.get(name) else {
            return Err(self.error(mark, &format!("unknown anchor '{name}' referenced")));
        };
        let node = node.clone();
        self.aliased += count_nodes(&node);
        if self.aliased > MAX_ALIASED {
            return Err(self.error(mark, "document contains excessive aliasing"));
        }
        Ok(node)
    }

    fn resolve_tag(&mut self, token: Token<'a>, mark: Mark) -> Result<Tag> {
        let Token::Tag { handle, suffix } = token else {
            return Ok(Tag::Implicit);
        };
        let full = match (handle.as_str(), self.tag_handles.get(handle.as_str())) {
            ("", _) => suffix,
            (_, Some(prefix)) => format!("{prefix}{suffix}"),
            ("!", None) => format!("!{suffix}"),
            ("!!", None) => format!("tag:yaml.org,2002:{suffix}"),
            _ => return Err(self.error(mark, "found undefined tag handle")),
        };
        let short = full
            .strip_prefix("tag:yaml.org,2002:")
            .or_else(|| full.strip_prefix("!!"));
        Ok(match (short, full.as_str()) {
            (_, "!" | "") => Tag::Implicit,
            (Some("str"), _) => Tag::Str,
            (Some("int"), _) => Tag::Int,
            (Some("float"), _) => Tag::Float,
            (Some("bool"), _) => Tag::Bool,
            (Some("null"), _) => Tag::Null,
            (Some("timestamp"), _) => Tag::Timestamp,
            (Some("binary"), _) => Tag::Binary,
            (Some("merge"), _) => Tag::Merge,
            _ => Tag::Other(full.into()),
        })
    }

    fn block_sequence(&mut self) -> Result<Vec<Node>> {
        let start = self.scanner.take()?.1;
        let mut items = Vec::new();
        loop {
            let (token, mark) = self.scanner.take()?;
            match token {
                Token::BlockEntry => {}
                Token::BlockEnd => return Ok(items),
                _ => {
                    let message = format!(
                        "did not find expected '-' indicator of the list that starts at {}",
                        start.position()
                    );
                    return Err(self.error(mark, &message));
                }
            }
            let empty = self.next_is(|t| matches!(t, Token::BlockEntry | Token::BlockEnd))?;
            items.push(if empty {
                self.empty()?
            } else {
                self.node(true, false)?
            });
        }
    }

    fn indentless_sequence(&mut self) -> Result<Vec<Node>> {
        let mut items = Vec::new();
        while self.take_if(|t| *t == Token::BlockEntry)? {
            let empty = self
                .next_is(|t| matches!(t, Token::BlockEntry | Token::Key | Token::Value | Token::BlockEnd))?;
            items.push(if empty {
                self.empty()?
            } else {
                self.node(true, false)?
            });
        }
        Ok(items)
    }

    fn block_mapping(&mut self) -> Result<Mapping> {
        let start = self.scanner.take()?.1;
        let mut entries = Vec::new();
        let ends = |t: &Token<'_>| matches!(t, Token::Key | Token::Value | Token::BlockEnd);
        loop {
            let mark = self.scanner.peek()?.1;
            if self.take_if(|t| *t == Token::BlockEnd)? {
                return merge_keys(self, entries, start);
            }
            if !self.take_if(|t| *t == Token::Key)? {
                let message = format!(
                    "did not find expected key of the mapping that starts at {}",
                    start.position()
                );
                return Err(self.error(mark, &message));
            }
            let key = if self.next_is(ends)? {
                self.empty()?
            } else {
                self.node(true, true)?
            };
            let value = if self.take_if(|t| *t == Token::Value)? && !self.next_is(ends)? {
                self.node(true, true)?
            } else {
                self.empty()?
            };
            entries.push((key, value));
        }
    }

    fn flow_sequence(&mut self) -> Result<Vec<Node>> {
        self.scanner.take()?;
        let mut items = Vec::new();
        loop {
            if self.take_if(|t| *t == Token::FlowSequenceEnd)? {
                return Ok(items);
            }
            if !items.is_empty() {
                let mark = self.scanner.peek()?.1;
                if !self.take_if(|t| *t == Token::FlowEntry)? {
                    return Err(self.error(mark, "did not find expected ',' or ']'"));
                }
            }
            if self.take_if(|t| *t == Token::Key)? {
                items.push(self.flow_pair()?);
            } else if !self.next_is(|t| *t == Token::FlowSequenceEnd)? {
                items.push(self.node(false, false)?);
            }
        }
    }

    /// A mapping of one pair without braces, inside a flow sequence.
    fn flow_pair(&mut self) -> Result<Node> {
        let start = self.scanner.peek()?.1;
        let ends = |t: &Token<'_>| matches!(t, Token::FlowEntry | Token::FlowSequenceEnd);
        let no_key =
            self.next_is(|t| matches!(t, Token::Value | Token::FlowEntry | Token::FlowSequenceEnd))?;
        let key = if no_key {
            self.empty()?
        } else {
            self.node(false, false)?
        };
        let value = if self.take_if(|t| *t == Token::Value)? && !self.next_is(ends)? {
            self.node(false, false)?
        } else {
            self.empty()?
        };
        let mapping = merge_keys(self, vec![(key, value)], start)?;
        Ok(Node {
            content: Content::Mapping(mapping),
            flow: true,
            position: start.position(),
            ..Node::default()
        })
    }

    fn flow_mapping(&mut self) -> Result<Mapping> {
        let start = self.scanner.take()?.1;
        let mut entries = Vec::new();
        let ends = |t: &Token<'_>| matches!(t, Token::FlowEntry | Token::FlowMappingEnd);
        loop {
            if self.take_if(|t| *t == Token::FlowMappingEnd)? {
                return merge_keys(self, entries, start);
            }
            if !entries.is_empty() {
                let mark = self.scanner.peek()?.1;
                if !self.take_if(|t| *t == Token::FlowEntry)? {
                    return Err(self.error(mark, "did not find expected ',' or '}'"));
                }
            }
            if self.take_if(|t| *t == Token::Key)? {
                let no_key =
                    self.next_is(|t| matches!(t, Token::Value | Token::FlowEntry | Token::FlowMappingEnd))?;
                let key = if no_key {
                    self.empty()?
                } else {
                    self.node(false, false)?
                };
                let value = if self.take_if(|t| *t == Token::Value)? && !self.next_is(ends)? {
                    self.node(false, false)?
                } else {
                    self.empty()?
                };
                entries.push((key, value));
            } else if !self.next_is(|t| *t == Token::FlowMappingEnd)? {
                let key = self.node(false, false)?;
                let value = self.empty()?;
                entries.push((key, value));
            }
        }
    }
}

/// Applies `<<`: keys of the mapping itself win, then those of earlier merged mappings.
fn merge_keys(loader: &Loader<'_>, entries: Vec<(Node, Node)>, start: Mark) -> Result<Mapping> {
    let is_merge = |key: &Node| match key.tag {
        Tag::Merge => true,
        Tag::Implicit => key
            .as_scalar()
            .is_some_and(|s| s.style == Style::Plain && s.text == "<<"),
        _ => false,
    };
    if !entries.iter().any(|(key, _)| is_merge(key)) {
        let mut mapping = Mapping { entries };
        // kyaml clears the key by its text once the merge is done, quoted or not.
        if let Some(quoted) = mapping
            .entries
            .iter()
            .position(|(key, _)| key.as_text() == Some("<<"))
        {
            mapping.entries.remove(quoted);
        }
        return Ok(mapping);
    }
    let wrong = |message| loader.error(start, message);
    let mut own = Vec::with_capacity(entries.len());
    let mut merged = None;
    for (key, value) in entries {
        if !is_merge(&key) {
            own.push((key, value));
        } else if merged.replace(value).is_some() {
            return Err(wrong("duplicate merge key"));
        }
    }
    let sources = match merged.map(|node| node.content) {
        Some(Content::Mapping(mapping)) => vec![mapping],
        Some(Content::Sequence(items)) => {
            let mappings = items.into_iter().map(|item| match item.content {
                Content::Mapping(mapping) => Ok(mapping),
                Content::Scalar(_) | Content::Sequence(_) => {
                    Err(wrong("map merge requires map or sequence of maps as the value"))
                }
            });
            mappings.collect::<Result<_>>()?
        }
        _ => return Err(wrong("map merge requires map or sequence of maps as the value")),
    };
    let mut mapping = Mapping { entries: own };
    for (key, value) in sources.into_iter().flat_map(|source| source.entries) {
        let known = key.as_text().is_some_and(|text| mapping.get(text).is_some());
        if !known {
            mapping.entries.push((key, value));
        }
    }
    Ok(mapping)
}

fn count_nodes(node: &Node) -> usize {
    1 + match &node.content {
        Content::Scalar(_) => 0,
        Content::Sequence(items) => items.iter().map(count_nodes).sum(),
        Content::Mapping(mapping) => mapping
            .entries
            .iter()
            .map(|(k, v)| count_nodes(k) + count_nodes(v))
            .sum(),
    }
}

fn refuse_control_characters(text: &str) -> Result<()> {
    let right = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{A0}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}');
    // Almost every text is free of the bytes that could be one.
    let suspicious =
        |b: u8| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || matches!(b, 0x7F | 0xC2 | 0xEF);
    if !text.bytes().any(suspicious) {
        return Ok(());
    }
    let Some((at, _)) = text.char_indices().find(|(_, c)| !right(*c)) else {
        return Ok(());
    };
    let line_start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
    let position = Position {
        line: count(text[..at].matches('\n').count()),
        column: count(text[line_start..at].chars().count()),
    };
    Err(LoadError::Syntax {
        position,
        message: "control characters are not allowed".into(),
    })
}

/// kustomize prints a comment at the end of a document and reads it again: an empty line before it becomes part of a block
/// scalar that keeps such lines.
fn add_break_before_comment(node: &mut Node) {
    match &mut node.content {
        Content::Mapping(mapping) => {
            if let Some((_, value)) = mapping.entries.last_mut() {
                add_break_before_comment(value);
            }
        }
        Content::Sequence(items) => {
            if let Some(item) = items.last_mut() {
                add_break_before_comment(item);
            }
        }
        Content::Scalar(scalar) => {
            let is_block = matches!(scalar.style, Style::Literal | Style::Folded);
            if is_block && (scalar.text.ends_with("\n\n") || scalar.text == "\n") {
                scalar.text.push('\n');
            }
        }
    }
}
