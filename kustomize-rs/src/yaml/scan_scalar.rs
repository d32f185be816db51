//! The scalars of a YAML text: plain, quoted and block. Pure.

use std::borrow::Cow;

use super::load::LoadError;
use super::node::Style;
use super::scan::{Mark, Scanner, Token};

type Result<T> = std::result::Result<T, LoadError>;

/// Line breaks met inside a scalar, which fold into a space or stay.
#[derive(Default)]
struct Breaks {
    leading: &'static str,
    trailing: String,
}

impl Breaks {
    fn fold_into(&mut self, text: &mut String) {
        if self.leading == "\n" {
            if self.trailing.is_empty() {
                text.push(' ');
            }
        } else {
            text.push_str(self.leading);
        }
        text.push_str(&self.trailing);
        self.leading = "";
        self.trailing.clear();
    }
}

impl<'a> Scanner<'a> {
    pub(super) fn scan_plain_scalar(&mut self) -> Result<Token<'a>> {
        let start = self.at;
        let mark = self.mark();
        let indent = self.indent + 1;
        // Until a second line shows up the text is a slice of the source.
        let mut owned: Option<String> = None;
        let mut end = self.at;
        let mut breaks = Breaks::default();
        let mut leading_blanks = false;
        loop {
            if self.at == self.line_start && self.is_document_indicator() {
                break;
            }
            if self.byte(0) == b'#' {
                break;
            }
            let run = self.at;
            self.skip_plain_run();
            if self.at > run {
                match &mut owned {
                    None if leading_blanks => {
                        let mut text = self.text[start..end].to_string();
                        breaks.fold_into(&mut text);
                        text.push_str(&self.text[run..self.at]);
                        owned = Some(text);
                    }
                    None => {}
                    Some(text) => {
                        if leading_blanks {
                            breaks.fold_into(text);
                        } else {
                            text.push_str(&self.text[end..run]);
                        }
                        text.push_str(&self.text[run..self.at]);
                    }
                }
                leading_blanks = false;
                end = self.at;
            }
            if !(self.is_blank(0) || self.is_break()) {
                break;
            }
            while self.is_blank(0) || self.is_break() {
                if self.is_blank(0) {
                    let inside = isize::try_from(self.column()).is_ok_and(|c| c < indent);
                    if leading_blanks && inside && self.byte(0) == b'\t' {
                        return Err(self.error(mark, "found a tab character that violates indentation"));
                    }
                    self.at += 1;
                } else if leading_blanks {
                    let line_break = self.skip_break();
                    breaks.trailing.push_str(line_break);
                } else {
                    breaks.leading = self.skip_break();
                    leading_blanks = true;
                }
            }
            if self.flow_level == 0 && isize::try_from(self.column()).is_ok_and(|c| c < indent) {
                break;
            }
        }
        if leading_blanks {
            self.simple_key_allowed = true;
        }
        let text = owned.map_or_else(|| Cow::Borrowed(&self.text[start..end]), Cow::Owned);
        Ok(Token::Scalar {
            text,
            style: Style::Plain,
        })
    }

    /// Goes to the next blank, break or indicator that ends a plain scalar.
    fn skip_plain_run(&mut self) {
        loop {
            match self.byte(0) {
                b' ' | b'\t' | b'\n' | b'\r' => return,
                0 if self.at_end() => return,
                b':' if self.is_blank_or_end(1) => return,
                b',' | b'?' | b'[' | b']' | b'{' | b'}' if self.flow_level > 0 => return,
                0..=0x7F => self.at += 1,
                _ if self.is_break() => return,
                _ => self.skip(),
            }
        }
    }

    pub(super) fn scan_flow_scalar(&mut self) -> Result<Token<'a>> {
        let mark = self.mark();
        let quote = self.byte(0);
        let style = if quote == b'\'' {
            Style::SingleQuoted
        } else {
            Style::DoubleQuoted
        };
        self.at += 1;
        if let Some(text) = self.scan_simple_quoted(quote) {
            return Ok(Token::Scalar {
                text: Cow::Borrowed(text),
                style,
            });
        }
        let mut text = String::new();
        let mut breaks = Breaks::default();
        loop {
            if self.at == self.line_start && self.is_document_indicator() {
                return Err(self.error(mark, "found unexpected document indicator inside a quoted scalar"));
            }
            if self.at_end() {
                return Err(self.error(mark, "found unexpected end of stream: the quote is not closed"));
            }
            let mut leading_blanks = false;
            while !self.is_blank_or_end(0) {
                let byte = self.byte(0);
                if byte == quote {
                    if quote == b'\'' && self.byte(1) == b'\'' {
                        text.push('\'');
                        self.at += 2;
                        continue;
                    }
                    break;
                }
                if byte == b'\\' && quote == b'"' {
                    if self.break_len(1) > 0 {
                        self.at += 1;
                        self.skip_break();
                        leading_blanks = true;
                        break;
                    }
                    self.scan_escape(&mut text, mark)?;
                    continue;
                }
                let start = self.at;
                self.skip();
                text.push_str(&self.text[start..self.at]);
            }
            if self.byte(0) == quote {
                self.at += 1;
                return Ok(Token::Scalar {
                    text: Cow::Owned(text),
                    style,
                });
            }
            let blanks = self.at;
            let mut blanks_end = self.at;
            while self.is_blank(0) || self.is_break() {
                if self.is_blank(0) {
                    self.at += 1;
                    if !leading_blanks {
                        blanks_end = self.at;
                    }
                } else if leading_blanks {
                    let line_break = self.skip_break();
                    breaks.trailing.push_str(line_break);
                } else {
                    breaks.leading = self.skip_break();
                    leading_blanks = true;
                }
            }
            if leading_blanks {
                breaks.fold_into(&mut text);
            } else {
                text.push_str(&self.text[blanks..blanks_end]);
            }
        }
    }

    /// The common case, a quoted scalar on one line without escapes, is a slice of the source.
    fn scan_simple_quoted(&mut self, quote: u8) -> Option<&'a str> {
        let rest = &self.bytes[self.at..];
        let len = rest
            .iter()
            .position(|&b| b == quote || b == b'\\' || b == b'\n' || b == b'\r' || b >= 0x80)?;
        let escaped = quote == b'\'' && rest.get(len + 1) == Some(&b'\'');
        if rest[len] != quote || escaped {
            return None;
        }
        let text = &self.text[self.at..self.at + len];
        self.at += len + 1;
        Some(text)
    }

    fn scan_escape(&mut self, text: &mut String, mark: Mark) -> Result<()> {
        let digits = match self.byte(1) {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            let start = self.at + 2;
            let hex = self
                .text
                .get(start..start + digits)
                .filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
            let Some(code) = hex.and_then(|h| u32::from_str_radix(h, 16).ok()) else {
                return Err(self.error(mark, "did not find expected hexadecimal number after the escape"));
            };
            let Some(c) = char::from_u32(code) else {
                return Err(self.error(mark, "found invalid Unicode character escape code"));
            };
            text.push(c);
            self.at += 2 + digits;
            return Ok(());
        }
        text.push(match self.byte(1) {
            b'0' => '\0',
            b'a' => '\x07',
            b'b' => '\x08',
            b't' | b'\t' => '\t',
            b'n' => '\n',
            b'v' => '\x0B',
            b'f' => '\x0C',
            b'r' => '\r',
            b'e' => '\x1B',
            b' ' => ' ',
            b'"' => '"',
            b'\'' => '\'',
            b'\\' => '\\',
            b'N' => '\u{85}',
            b'_' => '\u{A0}',
            b'L' => '\u{2028}',
            b'P' => '\u{2029}',
            _ => {
                return Err(self.error(
                    self.mark(),
                    "found unknown escape character; use single quotes for a literal \\",
                ));
            }
        });
        self.at += 2;
        Ok(())
    }

    pub(super) fn scan_block_scalar(&mut self) -> Result<Token<'a>> {
        let mark = self.mark();
        let literal = self.byte(0) == b'|';
        self.at += 1;
        let (chomping, increment) = self.scan_block_header(mark)?;
        let mut indent = match (increment, usize::try_from(self.indent)) {
            (0, _) => 0,
            (n, Ok(current)) => current + n,
            (n, Err(_)) => n,
        };
        let mut text = String::new();
        let mut leading_break = "";
        let mut trailing = String::new();
        let mut leading_blank = false;
        self.scan_block_breaks(&mut indent, &mut trailing, mark)?;
        while self.column() == indent && !self.at_end() {
            let trailing_blank = self.is_blank(0);
            if !literal && !leading_blank && !trailing_blank && leading_break == "\n" {
                if trailing.is_empty() {
                    text.push(' ');
                }
            } else {
                text.push_str(leading_break);
            }
            text.push_str(&trailing);
            trailing.clear();
            leading_blank = trailing_blank;
            let start = self.at;
            self.skip_comment();
            text.push_str(&self.text[start..self.at]);
            leading_break = self.skip_break();
            self.scan_block_breaks(&mut indent, &mut trailing, mark)?;
        }
        if chomping != Chomping::Strip {
            text.push_str(leading_break);
        }
        if chomping == Chomping::Keep {
            text.push_str(&trailing);
        }
        let style = if literal { Style::Literal } else { Style::Folded };
        Ok(Token::Scalar {
            text: Cow::Owned(text),
            style,
        })
    }

    fn scan_block_header(&mut self, mark: Mark) -> Result<(Chomping, usize)> {
        let mut chomping = Chomping::Clip;
        let mut increment = 0;
        let mut seen = (false, false);
        loop {
            match self.byte(0) {
                sign @ (b'+' | b'-') if !seen.0 => {
                    chomping = if sign == b'+' {
                        Chomping::Keep
                    } else {
                        Chomping::Strip
                    };
                    seen.0 = true;
                }
                b'0' if !seen.1 => {
                    return Err(self.error(mark, "found an indentation indicator equal to 0"));
                }
                digit @ b'1'..=b'9' if !seen.1 => {
                    increment = usize::from(digit - b'0');
                    seen.1 = true;
                }
                _ => break,
            }
            self.at += 1;
        }
        while self.is_blank(0) {
            self.at += 1;
        }
        if self.byte(0) == b'#' {
            self.skip_comment();
        }
        if !self.is_break_or_end() {
            return Err(self.error(
                mark,
                "did not find expected comment or line break after the block scalar's header",
            ));
        }
        self.skip_break();
        Ok((chomping, increment))
    }

    /// Goes over indentation and empty lines, and finds the indentation if the header has none.
    fn scan_block_breaks(&mut self, indent: &mut usize, breaks: &mut String, mark: Mark) -> Result<()> {
        let mut max_indent = 0;
        loop {
            while (*indent == 0 || self.column() < *indent) && self.byte(0) == b' ' {
                self.at += 1;
            }
            max_indent = max_indent.max(self.column());
            if (*indent == 0 || self.column() < *indent) && self.byte(0) == b'\t' {
                return Err(self.error(
                    mark,
                    "found a tab character where an indentation space is expected",
                ));
            }
            if !self.is_break() {
                break;
            }
            let line_break = self.skip_break();
            breaks.push_str(line_break);
        }
        if *indent == 0 {
            let least = usize::try_from(self.indent + 1).unwrap_or(0).max(1);
            *indent = max_indent.max(least);
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chomping {
    Strip,
    Clip,
    Keep,
}
