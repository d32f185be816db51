//! Prints a value to the byte as `sigs.k8s.io/yaml` (go-yaml v2) prints it. Pure.
//!
//! The state of go-yaml's emitter is kept (column, whether the line holds only indentation so far), because
//! line folding and compact nesting (`- - a: b`) follow from it.
//!
//! The file is long because all styles of scalars write through one emitter.

use super::node::Node;
use super::number::yaml_float;
use super::plain::{ConvertError, Plain};
use super::resolve::{Resolved, Schema, resolve};
use serde_json::Value;

const BEST_WIDTH: usize = 80;
const BEST_INDENT: usize = 2;
const MAX_SIMPLE_KEY: usize = 128;

/// Prints a JSON value as YAML.
///
/// # Examples
/// ```
/// let value = serde_json::json!({"b": [1, "yes"], "a": {}});
/// assert_eq!(kustomize_rs::yaml::emit(&value), "a: {}\nb:\n- 1\n- \"yes\"\n");
/// ```
#[must_use]
pub fn emit(value: &Value) -> String {
    print(&Plain::of_value(value), 256)
}

/// Prints a node tree as YAML, deciding the types of its scalars on the way.
///
/// # Errors
/// As [`super::to_value`].
pub(crate) fn emit_node(node: &Node, out: &mut String) -> Result<(), ConvertError> {
    let plain = Plain::of_node(node, Schema::GoYamlV3, true)?;
    let mut emitter = Emitter::new(std::mem::take(out));
    emitter.value(&plain, false);
    *out = emitter.finish();
    Ok(())
}

fn print(plain: &Plain<'_>, capacity: usize) -> String {
    let mut emitter = Emitter::new(String::with_capacity(capacity));
    emitter.value(plain, false);
    emitter.finish()
}

struct Emitter {
    out: String,
    column: usize,
    /// The indentation of the innermost collection; `None` outside of all.
    indent: Option<usize>,
    /// Whether the last character written is blank.
    whitespace: bool,
    /// Whether the line holds nothing but indentation and indicators.
    indention: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Quotes {
    Plain,
    Single,
    Double,
    Literal,
}

/// What a text allows and asks for.
#[derive(Default)]
struct Analysis {
    multiline: bool,
    plain: bool,
    single: bool,
    block: bool,
}

impl Emitter {
    fn new(out: String) -> Self {
        Self {
            out,
            column: 0,
            indent: None,
            whitespace: true,
            indention: true,
        }
    }

    fn finish(mut self) -> String {
        self.indent = None;
        self.write_indent();
        self.out
    }

    fn value(&mut self, plain: &Plain<'_>, in_mapping: bool) {
        match plain {
            Plain::Null => self.word("null"),
            Plain::Bool(true) => self.word("true"),
            Plain::Bool(false) => self.word("false"),
            Plain::Int(int) => self.word(&int.to_string()),
            Plain::Uint(int) => self.word(&int.to_string()),
            Plain::Float(float) => self.word(&yaml_float(*float)),
            Plain::Str(text) => self.string(text, false),
            Plain::Seq(items) if items.is_empty() => self.word("[]"),
            Plain::Map(entries) if entries.is_empty() => self.word("{}"),
            Plain::Seq(items) => self.sequence(items, in_mapping),
            Plain::Map(entries) => self.mapping(entries),
        }
    }

    fn sequence(&mut self, items: &[Plain<'_>], in_mapping: bool) {
        let outer = self.indent;
        let indentless = in_mapping && !self.indention;
        if !(indentless && outer.is_some()) {
            self.indent = Some(outer.map_or(0, |i| i + BEST_INDENT));
        }
        for item in items {
            self.write_indent();
            self.indicator("-", true);
            self.value(item, false);
        }
        self.indent = outer;
    }

    fn mapping(&mut self, entries: &[(std::borrow::Cow<'_, str>, Plain<'_>)]) {
        let outer = self.indent;
        self.indent = Some(outer.map_or(0, |i| i + BEST_INDENT));
        for (key, value) in entries {
            self.write_indent();
            let simple = key.len() <= MAX_SIMPLE_KEY && !has_break(key);
            if simple {
                self.string(key, true);
                self.put(":");
                self.whitespace = false;
                self.indention = false;
            } else {
                self.indicator("?", true);
                self.string(key, false);
                self.write_indent();
                self.indicator(":", true);
            }
            self.value(value, true);
        }
        self.indent = outer;
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.len();
    }

    fn put_char(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn line_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.line_break();
        }
        while self.column < indent {
            self.put(" ");
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn indicator(&mut self, indicator: &str, is_indention: bool) {
        if !self.whitespace {
            self.put(" ");
        }
        self.put(indicator);
        self.whitespace = false;
        self.indention = self.indention && is_indention;
    }

    fn word(&mut self, word: &str) {
        if !self.whitespace {
            self.put(" ");
        }
        self.put(word);
        self.whitespace = false;
        self.indention = false;
    }

    fn string(&mut self, text: &str, key: bool) {
        let resolves = resolve(Schema::GoYamlV2, text) != Resolved::Str;
        if !resolves && text.len() + self.column < BEST_WIDTH && is_plain_word(text) {
            return self.word(text);
        }
        let quotes = choose_quotes(text, key, resolves);
        let outer = self.indent;
        self.indent = Some(outer.map_or(BEST_INDENT, |i| i + BEST_INDENT));
        match quotes {
            Quotes::Plain => self.plain(text, !key),
            Quotes::Single => self.single_quoted(text, !key),
            Quotes::Double => self.double_quoted(text, !key),
            Quotes::Literal => self.literal(text),
        }
        self.indent = outer;
    }

    fn plain(&mut self, text: &str, breaks: bool) {
        if !self.whitespace {
            self.put(" ");
        }
        self.folded(text, breaks, Self::put_char, 0);
        self.whitespace = false;
        self.indention = false;
    }

    fn single_quoted(&mut self, text: &str, breaks: bool) {
        self.indicator("'", false);
        self.folded(
            text,
            breaks,
            |e, c| {
                if c == '\'' {
                    e.put("'");
                }
                e.put_char(c);
            },
            1,
        );
        self.put("'");
        self.whitespace = false;
        self.indention = false;
    }

    /// Writes text that folds at single spaces; `margin` characters at both ends never fold.
    fn folded(&mut self, text: &str, breaks: bool, write: fn(&mut Self, char), margin: usize) {
        let bytes = text.as_bytes();
        let mut spaces = false;
        let mut in_breaks = false;
        for (i, c) in text.char_indices() {
            if c == ' ' {
                let inside = i >= margin && i + margin < bytes.len();
                if breaks && !spaces && self.column > BEST_WIDTH && inside && bytes.get(i + 1) != Some(&b' ')
                {
                    self.write_indent();
                } else {
                    self.put(" ");
                }
                spaces = true;
            } else if is_break(c) {
                if !in_breaks && c == '\n' {
                    self.line_break();
                }
                self.write_break(c);
                self.indention = true;
                in_breaks = true;
            } else {
                if in_breaks {
                    self.write_indent();
                }
                write(self, c);
                self.indention = false;
                spaces = false;
                in_breaks = false;
            }
        }
    }

    fn write_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }

    fn double_quoted(&mut self, text: &str, breaks: bool) {
        self.indicator("\"", false);
        let bytes = text.as_bytes();
        // go-yaml looks for a byte order mark at the start of the text, whichever character it is at.
        let escape_all = text.starts_with('\u{feff}');
        let mut spaces = false;
        for (i, c) in text.char_indices() {
            if escape_all || !is_printable(c) || is_break(c) || c == '"' || c == '\\' {
                self.escape(c);
                spaces = false;
            } else if c == ' ' {
                if breaks && !spaces && self.column > BEST_WIDTH && i > 0 && i + 1 < bytes.len() {
                    self.write_indent();
                    if bytes[i + 1] == b' ' {
                        self.put("\\");
                    }
                } else {
                    self.put(" ");
                }
                spaces = true;
            } else {
                self.put_char(c);
                spaces = false;
            }
        }
        self.put("\"");
        self.whitespace = false;
        self.indention = false;
    }

    fn escape(&mut self, c: char) {
        let short = match c {
            '\0' => "\\0",
            '\x07' => "\\a",
            '\x08' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\x0B' => "\\v",
            '\x0C' => "\\f",
            '\r' => "\\r",
            '\x1B' => "\\e",
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{85}' => "\\N",
            '\u{A0}' => "\\_",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            _ => "",
        };
        let code = u32::from(c);
        match code {
            _ if !short.is_empty() => self.put(short),
            0..=0xFF => self.put(&format!("\\x{code:02X}")),
            0x100..=0xFFFF => self.put(&format!("\\u{code:04X}")),
            _ => self.put(&format!("\\U{code:08X}")),
        }
    }

    fn literal(&mut self, text: &str) {
        self.indicator("|", false);
        if text.starts_with(' ') || text.starts_with(is_break) {
            self.put("2");
        }
        let mut ends = text.chars().rev().map(is_break);
        match (ends.next(), ends.next()) {
            (Some(false) | None, _) => self.put("-"),
            (Some(true), None | Some(true)) => self.put("+"),
            (Some(true), Some(false)) => {}
        }
        self.line_break();
        self.indention = true;
        self.whitespace = true;
        let mut in_breaks = true;
        for line in text.split_inclusive(is_break) {
            let content = line.trim_end_matches(is_break);
            if !content.is_empty() {
                if in_breaks {
                    self.write_indent();
                }
                self.put(content);
                self.indention = false;
                in_breaks = false;
            }
            if let Some(c) = line[content.len()..].chars().next() {
                self.write_break(c);
                self.indention = true;
                in_breaks = true;
            }
        }
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn has_break(text: &str) -> bool {
    text.chars().any(is_break)
}

/// Whether the emitter writes a character without an escape. Characters beyond U+FFFF count as special.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{A0}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}') && c != '\u{FEFF}'
}

/// The most common texts: words that no rule below concerns.
fn is_plain_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'/' | b'_'))
}

fn choose_quotes(text: &str, key: bool, resolves: bool) -> Quotes {
    let analysis = analyze(text);
    let wanted = if text.contains('\n') {
        Quotes::Literal
    } else if resolves || is_base60(text) {
        Quotes::Double
    } else {
        Quotes::Plain
    };
    match wanted {
        _ if key && analysis.multiline => Quotes::Double,
        Quotes::Literal if !analysis.block || key => Quotes::Double,
        Quotes::Plain if !analysis.plain && analysis.single => Quotes::Single,
        Quotes::Plain if !analysis.plain => Quotes::Double,
        wanted => wanted,
    }
}

/// Looks for everything that forbids a style.
fn analyze(text: &str) -> Analysis {
    if text.is_empty() {
        return Analysis {
            multiline: false,
            plain: true,
            single: true,
            block: false,
        };
    }
    let mut indicators = text.starts_with("---") || text.starts_with("...");
    let (mut line_breaks, mut special, mut break_space, mut space_break) = (false, false, false, false);
    let (mut previous_space, mut previous_break) = (false, false);
    let mut after_blank = true;
    let mut chars = text.chars().enumerate().peekable();
    while let Some((i, c)) = chars.next() {
        let before_blank = chars.peek().is_none_or(|(_, next)| matches!(next, ' ' | '\t'));
        indicators |= match c {
            '#' if i > 0 => after_blank,
            ':' => before_blank,
            '?' | '-' if i == 0 => before_blank,
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`' => i == 0,
            _ => false,
        };
        special |= !is_printable(c);
        let (space, line_break) = (c == ' ', is_break(c));
        line_breaks |= line_break;
        break_space |= space && previous_break;
        space_break |= line_break && previous_space;
        previous_space = space;
        previous_break = line_break;
        after_blank = matches!(c, ' ' | '\t') || line_break;
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
    let open = edge(text.chars().next()) || edge(text.chars().next_back());
    Analysis {
        multiline: line_breaks,
        plain: !(open || break_space || space_break || special || line_breaks || indicators),
        single: !(break_space || space_break || special),
        block: !(text.ends_with(' ') || space_break || special),
    }
}

/// Whether a text is a number of base 60 in YAML 1.1: `^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$`.
fn is_base60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = text.split(':');
    let whole = parts.next().unwrap_or_default();
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    if !whole.as_bytes().first().is_some_and(u8::is_ascii_digit) || !digits(whole) {
        return false;
    }
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else {
        return false;
    };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    let sixtieth = |t: &str| match t.as_bytes() {
        [d] => d.is_ascii_digit(),
        [t, d] => matches!(t, b'0'..=b'5') && d.is_ascii_digit(),
        _ => false,
    };
    middle.iter().all(|part| sixtieth(part)) && sixtieth(last) && digits(fraction)
}

/// A text without folding, in quotes only if it needs some to stay a scalar.
pub(super) fn plain_or_quoted(text: &str, in_flow: bool) -> String {
    let indicators = in_flow && (text.is_empty() || text.contains([',', '[', ']', '{', '}', '?', ':']));
    let analysis = analyze(text);
    match (analysis.plain && !indicators, analysis.single) {
        (true, _) => text.to_string(),
        (false, true) => format!("'{}'", text.replace('\'', "''")),
        (false, false) => double_quoted(text),
    }
}

/// A text in double quotes, without folding.
pub(super) fn double_quoted(text: &str) -> String {
    let mut emitter = Emitter::new(String::new());
    emitter.double_quoted(text, false);
    emitter.out
}

/// A string as go-yaml v3 writes it where it wants no quotes.
pub(crate) fn as_plain_scalar(text: &str) -> String {
    if resolve(Schema::GoYamlV2, text) != Resolved::Str || is_base60(text) {
        return double_quoted(text);
    }
    plain_or_quoted(text, false)
}

/// Whether a text can be written as a block scalar.
pub(super) fn allows_block(text: &str) -> bool {
    let mut spaced = false;
    let space_break = text
        .chars()
        .any(|c| std::mem::replace(&mut spaced, c == ' ') && is_break(c));
    let special = text.chars().any(|c| !is_printable(c) && c != '\t');
    !(text.is_empty() || text.ends_with(' ') || space_break || special)
}
