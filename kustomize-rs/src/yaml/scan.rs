//! The tokens of a YAML text, as go-yaml (libyaml) finds them. Pure.
//!
//! A scanner of our own, because output must agree with go-yaml also where it departs from the YAML 1.2
//! that other parsers implement: tabs between tokens, `?` inside plain scalars, line breaks of YAML 1.1,
//! keys recognised only within 1024 characters, and which malformed texts are refused.
//!
//! The file is long because its many small steps share one state.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::load::LoadError;
use super::node::{Position, Style};

/// How deep flow collections and indents may nest. go-yaml allows 10,000, which no object needs.
pub(super) const MAX_DEPTH: usize = 200;
const MAX_SIMPLE_KEY: usize = 1024;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    StreamEnd,
    VersionDirective { major: u8, minor: u8 },
    TagDirective { handle: &'a str, prefix: String },
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'a str),
    Anchor(&'a str),
    Tag { handle: String, suffix: String },
    Scalar { text: Cow<'a, str>, style: Style },
}

/// A place in the text: `index` counts characters from the start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    pub(super) index: usize,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Mark {
    pub(super) fn position(self) -> Position {
        let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        Position {
            line: count(self.line),
            column: count(self.column),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct SimpleKey {
    possible: bool,
    required: bool,
    token: usize,
    mark: Mark,
}

/// A comment, with its place in the text.
pub(super) struct Comment<'a> {
    pub(super) mark: Mark,
    pub(super) text: &'a str,
}

pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) line: usize,
    /// Byte offset of the start of the current line.
    pub(super) line_start: usize,
    /// Continuation bytes of UTF-8 on this line and in all, to count characters.
    pub(super) wide_line: usize,
    wide_before: usize,
    pub(super) indent: isize,
    indents: Vec<isize>,
    pub(super) flow_level: usize,
    pub(super) simple_key_allowed: bool,
    simple_keys: Vec<SimpleKey>,
    tokens: VecDeque<(Token<'a>, Mark)>,
    parsed: usize,
    ended: bool,
    /// How many tokens must be known before the first is given.
    lookahead: usize,
    /// Whether comments on lines of their own are read together, as go-yaml v3 does, which does not mind tabs between them.
    pub(super) joins_comments: bool,
    after_entry: bool,
    /// All comments so far.
    pub(super) comments: Vec<Comment<'a>>,
    /// Whether a comment on a line of its own came after all content so far.
    pub(super) ends_in_comment: bool,
}

/// How far go-yaml looks for the next comment.
const COMMENT_DISTANCE: usize = 512;

type Result<T = ()> = std::result::Result<T, LoadError>;

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            line: 0,
            line_start: 0,
            wide_line: 0,
            wide_before: 0,
            indent: -1,
            indents: Vec::new(),
            flow_level: 0,
            simple_key_allowed: true,
            simple_keys: vec![SimpleKey::default()],
            tokens: VecDeque::new(),
            joins_comments: true,
            after_entry: false,
            comments: Vec::new(),
            ends_in_comment: false,
            parsed: 0,
            ended: false,
            lookahead: 1,
        }
    }

    /// Scans as far ahead as go-yaml v3 does, which finds errors that stand behind a document.
    pub(super) fn look_ahead(&mut self) {
        self.lookahead = 3;
    }

    /// Gives the next token without taking it.
    pub(super) fn peek(&mut self) -> Result<&(Token<'a>, Mark)> {
        while self.needs_more()? {
            self.fetch()?;
        }
        // After the end of the stream, its token is kept.
        match self.tokens.front() {
            Some(token) => Ok(token),
            None => unreachable!("needs_more leaves a token in the queue"),
        }
    }

    /// Takes the token that `peek` showed.
    pub(super) fn take(&mut self) -> Result<(Token<'a>, Mark)> {
        self.peek()?;
        if self.tokens.front().is_some_and(|(t, _)| *t == Token::StreamEnd) {
            return Ok((Token::StreamEnd, self.mark()));
        }
        self.parsed += 1;
        Ok(self
            .tokens
            .pop_front()
            .unwrap_or((Token::StreamEnd, Mark::default())))
    }

    /// A token that may turn out to be a key can only be given once that is known.
    fn needs_more(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.tokens.len() < self.lookahead {
            return Ok(true);
        }
        let Some(level) = self
            .simple_keys
            .iter()
            .position(|k| k.possible && k.token == self.parsed)
        else {
            return Ok(false);
        };
        self.simple_key_is_valid(level)
    }

    pub(super) fn mark(&self) -> Mark {
        let column = self.at - self.line_start - self.wide_line;
        Mark {
            index: self.at - self.wide_before - self.wide_line,
            line: self.line,
            column,
        }
    }

    pub(super) fn column(&self) -> usize {
        self.at - self.line_start - self.wide_line
    }

    /// The byte `ahead` of the current one, zero past the end.
    pub(super) fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.byte(ahead), b' ' | b'\t')
    }

    /// The length in bytes of the line break at an offset, zero if there is none.
    pub(super) fn break_len(&self, ahead: usize) -> usize {
        match self.byte(ahead) {
            b'\n' => 1,
            b'\r' => 1 + usize::from(self.byte(ahead + 1) == b'\n'),
            0xC2 if self.byte(ahead + 1) == 0x85 => 2,
            0xE2 if self.byte(ahead + 1) == 0x80 && matches!(self.byte(ahead + 2), 0xA8 | 0xA9) => 3,
            _ => 0,
        }
    }

    pub(super) fn is_break(&self) -> bool {
        self.break_len(0) > 0
    }

    pub(super) fn is_blank_or_end(&self, ahead: usize) -> bool {
        self.at + ahead >= self.bytes.len() || self.is_blank(ahead) || self.break_len(ahead) > 0
    }

    pub(super) fn is_break_or_end(&self) -> bool {
        self.at_end() || self.is_break()
    }

    /// Goes over one character that is no line break.
    pub(super) fn skip(&mut self) {
        let first = self.byte(0);
        let len = match first {
            0..=0x7F => 1,
            0x80..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
        };
        self.at += len;
        self.wide_line += len - 1;
    }

    /// Goes over a line break and gives the character that it stands for.
    pub(super) fn skip_break(&mut self) -> &'static str {
        let len = self.break_len(0);
        let meaning = match (len, self.byte(2)) {
            (0, _) => return "",
            (3, 0xA8) => "\u{2028}",
            (3, _) => "\u{2029}",
            _ => "\n",
        };
        // CR LF counts as two characters, NEL as one of two bytes.
        self.wide_before += self.wide_line + if self.byte(0) >= 0x80 { len - 1 } else { 0 };
        self.at += len;
        self.line += 1;
        self.line_start = self.at;
        self.wide_line = 0;
        meaning
    }

    pub(super) fn error(&self, mark: Mark, message: &str) -> LoadError {
        let _ = self;
        LoadError::Syntax {
            position: mark.position(),
            message: message.to_string(),
        }
    }

    fn push(&mut self, token: Token<'a>, mark: Mark) {
        self.after_entry = matches!(token, Token::BlockEntry);
        self.ends_in_comment &= matches!(
            token,
            Token::BlockEnd | Token::StreamEnd | Token::DocumentEnd | Token::DocumentStart
        );
        self.tokens.push_back((token, mark));
    }

    fn next_number(&self) -> usize {
        self.parsed + self.tokens.len()
    }

    fn fetch(&mut self) -> Result {
        self.skip_to_token()?;
        let column = isize::try_from(self.column()).unwrap_or(isize::MAX);
        self.unroll_indent(column);
        if self.at_end() {
            return self.fetch_stream_end();
        }
        let first = self.byte(0);
        if column == 0 {
            if first == b'%' {
                return self.fetch_directive();
            }
            if self.is_document_indicator() {
                return self.fetch_document_indicator();
            }
        }
        match first {
            b'[' => self.fetch_flow_start(Token::FlowSequenceStart),
            b'{' => self.fetch_flow_start(Token::FlowMappingStart),
            b']' => self.fetch_flow_end(Token::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(Token::FlowMappingEnd),
            b',' => self.fetch_flow_entry(),
            b'-' if self.is_blank_or_end(1) => self.fetch_block_entry(),
            b'?' if self.flow_level > 0 || self.is_blank_or_end(1) => self.fetch_key(),
            b':' if self.flow_level > 0 || self.is_blank_or_end(1) => self.fetch_value(),
            b'*' | b'&' => self.fetch_anchor(),
            b'!' => self.fetch_tag(),
            b'|' | b'>' if self.flow_level == 0 => self.fetch_block_scalar(),
            b'\'' | b'"' => self.fetch_flow_scalar(),
            b'#' | b'|' | b'>' | b'%' | b'@' | b'`' | b'?' | b':' if !self.starts_plain() => {
                Err(self.cannot_start())
            }
            b'\t' => Err(self.cannot_start()),
            _ => self.fetch_plain_scalar(),
        }
    }

    fn starts_plain(&self) -> bool {
        matches!(self.byte(0), b'?' | b':') && self.flow_level == 0 && !self.is_blank_or_end(1)
    }

    fn cannot_start(&self) -> LoadError {
        let message = match self.byte(0) {
            b'\t' => "found a tab where indentation must be made of spaces",
            _ => "found character that cannot start any token; put the text in quotes",
        };
        self.error(self.mark(), message)
    }

    pub(super) fn is_document_indicator(&self) -> bool {
        let marker = self.bytes.get(self.at..self.at + 3);
        (marker == Some(b"---") || marker == Some(b"...")) && self.is_blank_or_end(3)
    }

    fn skip_to_token(&mut self) -> Result {
        let before = &self.bytes[self.line_start..self.at];
        let mut own_line = self.after_entry || before.iter().all(|b| *b == b' ');
        loop {
            if self.at == self.line_start && self.text[self.at..].starts_with('\u{feff}') {
                self.skip();
            }
            let tabs = self.flow_level > 0 || !self.simple_key_allowed;
            while self.byte(0) == b' ' || (tabs && self.byte(0) == b'\t') {
                self.at += 1;
            }
            if self.byte(0) == b'#' {
                self.skip_comment();
                self.ends_in_comment |= own_line;
                while own_line && self.joins_comments && self.next_comment() {
                    self.skip_comment();
                }
            }
            if !self.is_break() {
                return Ok(());
            }
            self.skip_break();
            own_line = true;
            if self.flow_level == 0 {
                self.simple_key_allowed = true;
            }
        }
    }

    /// Goes on to the comment that follows after white space, if one does.
    fn next_comment(&mut self) -> bool {
        let rest = &self.bytes[self.at..];
        let rest = &rest[..rest.len().min(COMMENT_DISTANCE)];
        let blank = rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
        let end = self.at + blank.count();
        if self.bytes.get(end) != Some(&b'#') || end >= self.at + COMMENT_DISTANCE {
            return false;
        }
        while self.at < end {
            if self.is_break() {
                self.skip_break();
            } else {
                self.skip();
            }
        }
        true
    }

    pub(super) fn skip_comment(&mut self) {
        let (start, mark) = (self.at, self.mark());
        while !self.is_break_or_end() {
            self.skip();
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        self.comments.push(Comment { mark, text });
    }

    fn simple_key_is_valid(&mut self, level: usize) -> Result<bool> {
        let key = self.simple_keys[level];
        if !key.possible {
            return Ok(false);
        }
        let mark = self.mark();
        if key.mark.line < mark.line || key.mark.index + MAX_SIMPLE_KEY < mark.index {
            if key.required {
                return Err(self.error(key.mark, "could not find expected ':'"));
            }
            self.simple_keys[level].possible = false;
            return Ok(false);
        }
        Ok(true)
    }

    fn save_simple_key(&mut self) -> Result {
        if !self.simple_key_allowed {
            return Ok(());
        }
        let mark = self.mark();
        let required = self.flow_level == 0 && usize::try_from(self.indent) == Ok(mark.column);
        self.remove_simple_key()?;
        let key = SimpleKey {
            possible: true,
            required,
            token: self.next_number(),
            mark,
        };
        if let Some(last) = self.simple_keys.last_mut() {
            *last = key;
        }
        Ok(())
    }

    fn remove_simple_key(&mut self) -> Result {
        let Some(key) = self.simple_keys.last_mut() else {
            return Ok(());
        };
        if key.possible && key.required {
            let mark = key.mark;
            return Err(self.error(mark, "could not find expected ':'"));
        }
        key.possible = false;
        Ok(())
    }

    fn roll_indent(&mut self, column: usize, number: Option<usize>, token: Token<'a>, mark: Mark) -> Result {
        let column = isize::try_from(column).unwrap_or(isize::MAX);
        if self.flow_level > 0 || self.indent >= column {
            return Ok(());
        }
        self.indents.push(self.indent);
        self.indent = column;
        if self.indents.len() > MAX_DEPTH {
            return Err(self.error(mark, "nested too deep"));
        }
        match number {
            Some(number) => self.tokens.insert(number - self.parsed, (token, mark)),
            None => self.push(token, mark),
        }
        Ok(())
    }

    fn unroll_indent(&mut self, column: isize) {
        if self.flow_level > 0 {
            return;
        }
        while self.indent > column {
            self.push(Token::BlockEnd, self.mark());
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn fetch_stream_end(&mut self) -> Result {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.push(Token::StreamEnd, self.mark());
        self.ended = true;
        Ok(())
    }

    fn fetch_directive(&mut self) -> Result {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark();
        let token = self.scan_directive()?;
        self.push(token, mark);
        Ok(())
    }

    fn fetch_document_indicator(&mut self) -> Result {
        self.unroll_indent(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark();
        let token = if self.byte(0) == b'-' {
            Token::DocumentStart
        } else {
            Token::DocumentEnd
        };
        self.at += 3;
        self.push(token, mark);
        Ok(())
    }

    fn fetch_flow_start(&mut self, token: Token<'a>) -> Result {
        self.save_simple_key()?;
        let mark = self.mark();
        self.simple_keys.push(SimpleKey::default());
        self.flow_level += 1;
        if self.flow_level > MAX_DEPTH {
            return Err(self.error(mark, "nested too deep"));
        }
        self.simple_key_allowed = true;
        self.at += 1;
        self.push(token, mark);
        Ok(())
    }

    fn fetch_flow_end(&mut self, token: Token<'a>) -> Result {
        self.remove_simple_key()?;
        if self.flow_level > 0 {
            self.flow_level -= 1;
            self.simple_keys.pop();
        }
        self.simple_key_allowed = false;
        let mark = self.mark();
        self.at += 1;
        self.push(token, mark);
        Ok(())
    }

    fn fetch_flow_entry(&mut self) -> Result {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        let mark = self.mark();
        self.at += 1;
        self.push(Token::FlowEntry, mark);
        Ok(())
    }

    fn fetch_block_entry(&mut self) -> Result {
        let mark = self.mark();
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return Err(self.error(mark, "block sequence entries are not allowed in this context"));
            }
            self.roll_indent(mark.column, None, Token::BlockSequenceStart, mark)?;
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.at += 1;
        self.push(Token::BlockEntry, mark);
        Ok(())
    }

    fn fetch_key(&mut self) -> Result {
        let mark = self.mark();
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return Err(self.error(mark, "mapping keys are not allowed in this context"));
            }
            self.roll_indent(mark.column, None, Token::BlockMappingStart, mark)?;
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = self.flow_level == 0;
        self.at += 1;
        self.push(Token::Key, mark);
        Ok(())
    }

    fn fetch_value(&mut self) -> Result {
        let level = self.simple_keys.len() - 1;
        let mark = self.mark();
        if self.simple_key_is_valid(level)? {
            let key = self.simple_keys[level];
            self.tokens
                .insert(key.token - self.parsed, (Token::Key, key.mark));
            self.roll_indent(
                key.mark.column,
                Some(key.token),
                Token::BlockMappingStart,
                key.mark,
            )?;
            self.simple_keys[level].possible = false;
            self.simple_key_allowed = false;
        } else {
            if self.flow_level == 0 {
                if !self.simple_key_allowed {
                    return Err(self.error(mark, "mapping values are not allowed in this context"));
                }
                self.roll_indent(mark.column, None, Token::BlockMappingStart, mark)?;
            }
            self.simple_key_allowed = self.flow_level == 0;
        }
        self.at += 1;
        self.push(Token::Value, mark);
        Ok(())
    }

    fn fetch_anchor(&mut self) -> Result {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark();
        let token = self.scan_anchor()?;
        self.push(token, mark);
        Ok(())
    }

    fn fetch_tag(&mut self) -> Result {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark();
        let token = self.scan_tag()?;
        self.push(token, mark);
        Ok(())
    }

    fn fetch_block_scalar(&mut self) -> Result {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        let mark = self.mark();
        let token = self.scan_block_scalar()?;
        self.push(token, mark);
        Ok(())
    }

    fn fetch_flow_scalar(&mut self) -> Result {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark();
        let token = self.scan_flow_scalar()?;
        self.push(token, mark);
        Ok(())
    }

    fn fetch_plain_scalar(&mut self) -> Result {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.mark();
        let token = self.scan_plain_scalar()?;
        self.push(token, mark);
        Ok(())
    }
}
