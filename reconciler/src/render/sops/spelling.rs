//! A decrypted YAML file in its own spelling: the text of the encrypted file and its plain values
//! in, what `sops decrypt` prints out. Pure.
//!
//! The file stays as it is; each cipher text is replaced by its value, spelled as sops' emitter
//! (go-yaml v3, indented by four) would, and the metadata is cut out. So a Secret that is generated
//! from such a file has the same bytes, and the same hash in its name, as under Flux.

use std::ops::Range;

use kustomize_rs::yaml::{Content, Node, Position, Resolved, Schema, resolve};

use super::cipher::{DataKey, Opened, PREFIX};
use super::tree::{Item, Value};

/// How far sops indents.
const INDENT: usize = 4;

/// Comments that are tried at every place in the tree; a file of more keeps the rest as they are.
const MAX_COMMENT_TRIALS: usize = 10_000;

/// Spells the file in plain text; `None` if it is not laid out as sops writes files.
pub(super) fn respell(text: &str, nodes: &[Node], documents: &[Value], key: &DataKey) -> Option<String> {
    let mut spelling = Spelling {
        text,
        lines: line_starts(text),
        edits: Vec::new(),
        path: Vec::new(),
        paths: Vec::new(),
    };
    for (node, document) in nodes.iter().zip(documents) {
        spelling.cut_metadata(node)?;
        spelling.value(node, document, 0)?;
    }
    spelling.comments(key);
    spelling.apply()
}

struct Spelling<'t> {
    text: &'t str,
    /// Byte offsets at which lines start.
    lines: Vec<usize>,
    edits: Vec<(Range<usize>, String)>,
    path: Vec<String>,
    /// What a comment may have been authenticated with: the path of each mapping.
    paths: Vec<String>,
}

impl Spelling<'_> {
    fn offset(&self, position: Position) -> Option<usize> {
        let start = *self
            .lines
            .get(usize::try_from(position.line).ok()?.checked_sub(1)?)?;
        let column = usize::try_from(position.column).ok()?.checked_sub(1)?;
        let (offset, _) = self.text[start..].char_indices().nth(column)?;
        Some(start + offset)
    }

    fn cut_metadata(&mut self, document: &Node) -> Option<()> {
        let Some(mapping) = document.as_mapping() else {
            return Some(());
        };
        for (index, (key, _)) in mapping.entries.iter().enumerate() {
            if key.as_text() != Some("sops") {
                continue;
            }
            let start = self.offset(key.position)?;
            let end = match mapping.entries.get(index + 1) {
                Some((next, _)) => self.offset(next.position)?,
                None => self.text[start..]
                    .find("\n---\n")
                    .map_or(self.text.len(), |end| start + end + 1),
            };
            self.edits.push((start..end, String::new()));
        }
        Some(())
    }

    /// `indent` is where the lines of a block scalar start.
    fn value(&mut self, node: &Node, value: &Value, indent: usize) -> Option<()> {
        match (&node.content, value) {
            (Content::Mapping(mapping), Value::Map(items)) => {
                self.paths.push(format!("{}:", self.path.join(":")));
                let is_metadata = |(key, value): &&(Node, Node)| {
                    self.path.is_empty() && key.as_text() == Some("sops") && value.as_mapping().is_some()
                };
                let entries: Vec<_> = mapping
                    .entries
                    .iter()
                    .filter(|entry| !is_metadata(entry))
                    .collect();
                if entries.len() != items.len() {
                    return None;
                }
                for ((key, node), item) in entries.into_iter().zip(items) {
                    let Item::Entry(name, value) = item else {
                        return None;
                    };
                    let column = usize::try_from(key.position.column).ok()?.checked_sub(1)?;
                    self.path.push(name.clone());
                    self.value(node, value, (column / INDENT + 1) * INDENT)?;
                    self.path.pop();
                }
                Some(())
            }
            (Content::Sequence(nodes), Value::List(values)) if nodes.len() == values.len() => {
                for (node, value) in nodes.iter().zip(values) {
                    let column = usize::try_from(node.position.column).ok()?.checked_sub(1)?;
                    self.value(node, value, column)?;
                }
                Some(())
            }
            (Content::Scalar(scalar), value) if scalar.text.starts_with(PREFIX) => {
                let start = self.offset(node.position)?;
                let end = start + scalar.text.len();
                if self.text.get(start..end) != Some(scalar.text.as_str()) {
                    return None;
                }
                let plain = spell(value, indent)?;
                let ends_line = self.text[end..].starts_with('\n') || end == self.text.len();
                if plain.contains('\n') && !ends_line {
                    return None;
                }
                self.edits.push((start..end, plain));
                Some(())
            }
            (Content::Scalar(_), _) => Some(()),
            _ => None,
        }
    }

    /// Encrypted comments do not say where in the tree they belong, but are authenticated with it.
    fn comments(&mut self, key: &DataKey) {
        self.paths.dedup();
        let mut trials = MAX_COMMENT_TRIALS;
        let marker = format!("#{PREFIX}");
        let found: Vec<usize> = self
            .text
            .match_indices(&marker)
            .map(|(start, _)| start + 1)
            .collect();
        for start in found {
            let end = self.text[start..]
                .find('\n')
                .map_or(self.text.len(), |end| start + end);
            let comment = &self.text[start..end];
            let opened = self
                .paths
                .iter()
                .take(trials)
                .find_map(|path| match key.open(comment, path) {
                    Ok(Opened::Comment(plain)) => Some(plain),
                    _ => None,
                });
            trials = trials.saturating_sub(self.paths.len());
            if let Some(plain) = opened {
                self.comment(start..end, plain);
            }
        }
    }

    /// sops forgets that a comment stood behind a value, and puts it in front of its line.
    fn comment(&mut self, range: Range<usize>, plain: String) {
        let line = self.text[..range.start].rfind('\n').map_or(0, |end| end + 1);
        let before = self.text[line..range.start].trim_end_matches('#').trim_end();
        if before.is_empty() {
            self.edits.push((range, plain));
            return;
        }
        let indent = &before[..before.len() - before.trim_start().len()];
        self.edits.push((line..line, format!("{indent}#{plain}\n")));
        self.edits.push((line + before.len()..range.end, String::new()));
    }

    fn apply(mut self) -> Option<String> {
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut spelled = String::with_capacity(self.text.len());
        let mut copied = 0;
        for (range, plain) in self.edits {
            // Metadata that is cut out as a whole may hold comments.
            if range.start < copied {
                continue;
            }
            spelled.push_str(&self.text[copied..range.start]);
            spelled.push_str(&plain);
            copied = range.end;
        }
        spelled.push_str(&self.text[copied..]);
        Some(spelled)
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0)
        .chain(text.match_indices('\n').map(|(end, _)| end + 1))
        .collect()
}

fn spell(value: &Value, indent: usize) -> Option<String> {
    match value {
        Value::Text(text) => Some(spell_text(text, indent)),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(spell_float(*number)),
        Value::Time(time) => Some(time.clone()),
        Value::Null | Value::Bytes(_) | Value::Comment(_) | Value::Map(_) | Value::List(_) => None,
    }
}

/// As Go's `%g` with the shortest digits: an exponent below -4 and from 21 on.
fn spell_float(number: f64) -> String {
    let text = format!("{number:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if number == 0.0 || (-4..21).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

pub(super) fn spell_text(text: &str, indent: usize) -> String {
    let shape = Shape::of(text);
    if text.contains('\n') {
        return if shape.block_allowed {
            literal(text, indent)
        } else {
            double_quoted(text)
        };
    }
    if text == "<<" {
        // An oddity of the emitter.
        return format!("!!merge {text}");
    }
    match resolve(Schema::GoYamlV3, text) {
        Resolved::Str if !is_base_60(text) && !is_old_boolean(text) => {
            if shape.plain_allowed {
                text.to_owned()
            } else if shape.single_quoted_allowed {
                format!("'{}'", text.replace('\'', "''"))
            } else {
                double_quoted(text)
            }
        }
        _ => double_quoted(text),
    }
}

/// What styles a text can be written in.
struct Shape {
    plain_allowed: bool,
    single_quoted_allowed: bool,
    block_allowed: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let is_break = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let is_blank_or_end = |c: Option<&char>| c.is_none_or(|c| matches!(c, ' ' | '\t') || is_break(*c));
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let mut special = false;
        let mut space_break = false;
        let mut break_space = false;
        for (index, c) in characters.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|before| characters.get(before));
            let after = characters.get(index + 1);
            indicators |= match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                | '`'
                    if index == 0 =>
                {
                    true
                }
                '?' | '-' if index == 0 => after.is_none_or(|c| matches!(c, ' ' | '\t')),
                ':' => after.is_none_or(|c| matches!(c, ' ' | '\t')),
                '#' => is_blank_or_end(before),
                _ => false,
            };
            special |= *c != '\t' && !is_printable(*c);
            space_break |= is_break(*c) && before == Some(&' ');
            break_space |= *c == ' ' && before.is_some_and(|c| is_break(*c));
        }
        let edge = |c: Option<&char>| c.is_some_and(|c| *c == ' ' || is_break(*c));
        let edges = edge(characters.first()) || edge(characters.last());
        let breaks = characters.iter().any(|c| is_break(*c));
        let quotable = !break_space && !space_break && !special && !text.contains('\t');
        Self {
            plain_allowed: quotable && !edges && !breaks && !indicators,
            single_quoted_allowed: quotable,
            block_allowed: !space_break && !special && !text.ends_with(' '),
        }
    }
}

/// Not what YAML says but what the emitter does: nothing beyond the basic plane.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

fn literal(text: &str, indent: usize) -> String {
    let hint = if text.starts_with([' ', '\n']) { "4" } else { "" };
    let chomping = match text.strip_suffix('\n') {
        None => "-",
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => "+",
        Some(_) => "",
    };
    let mut spelled = format!("|{hint}{chomping}\n");
    // The line break behind the cipher text ends the last line.
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            spelled.push('\n');
        }
        if !line.is_empty() {
            spelled.extend(std::iter::repeat_n(' ', indent));
            spelled.push_str(line);
        }
    }
    spelled
}

fn double_quoted(text: &str) -> String {
    let escape_all = text.starts_with('\u{feff}');
    let mut spelled = String::from("\"");
    for c in text.chars() {
        if !escape_all
            && c != '\n'
            && c != '"'
            && c != '\\'
            && is_printable(c)
            && !matches!(c, '\u{2028}' | '\u{2029}')
        {
            spelled.push(c);
            continue;
        }
        match c {
            '\0' => spelled.push_str("\\0"),
            '\u{7}' => spelled.push_str("\\a"),
            '\u{8}' => spelled.push_str("\\b"),
            '\t' => spelled.push_str("\\t"),
            '\n' => spelled.push_str("\\n"),
            '\u{b}' => spelled.push_str("\\v"),
            '\u{c}' => spelled.push_str("\\f"),
            '\r' => spelled.push_str("\\r"),
            '\u{1b}' => spelled.push_str("\\e"),
            '"' => spelled.push_str("\\\""),
            '\\' => spelled.push_str("\\\\"),
            '\u{85}' => spelled.push_str("\\N"),
            '\u{a0}' => spelled.push_str("\\_"),
            '\u{2028}' => spelled.push_str("\\L"),
            '\u{2029}' => spelled.push_str("\\P"),
            c if u32::from(c) <= 0xff => spelled.push_str(&format!("\\x{:02X}", u32::from(c))),
            c if u32::from(c) <= 0xffff => spelled.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => spelled.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    spelled.push('"');
    spelled
}

/// `1:30` is a number in YAML 1.1: `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`.
fn is_base_60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_fraction = |c: char| c.is_ascii_digit() || c == '_';
    let whole = match unsigned.split_once('.') {
        Some((whole, fraction)) if fraction.chars().all(is_fraction) => whole,
        Some(_) => return false,
        None => unsigned,
    };
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let is_sixtieth = |part: &&str| match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [b'0'..=b'5', digit] => digit.is_ascii_digit(),
        _ => false,
    };
    first.starts_with(|c: char| c.is_ascii_digit())
        && first.chars().all(is_fraction)
        && !rest.is_empty()
        && rest.iter().all(is_sixtieth)
}

fn is_old_boolean(text: &str) -> bool {
    let words = [
        "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF",
    ];
    words.contains(&text)
}
