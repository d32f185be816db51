//! The rarer tokens of a YAML text: directives, anchors, aliases and tags. Pure.

use super::load::LoadError;
use super::scan::{Mark, Scanner, Token};

type Result<T> = std::result::Result<T, LoadError>;

impl<'a> Scanner<'a> {
    pub(super) fn scan_anchor(&mut self) -> Result<Token<'a>> {
        let mark = self.mark();
        let alias = self.byte(0) == b'*';
        self.at += 1;
        let start = self.at;
        self.skip_word();
        let name = &self.text[start..self.at];
        let ended = self.is_blank_or_end(0)
            || matches!(
                self.byte(0),
                b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`'
            );
        if name.is_empty() || !ended {
            return Err(self.error(
                mark,
                "did not find expected alphabetic or numeric character in an anchor or alias",
            ));
        }
        Ok(if alias {
            Token::Alias(name)
        } else {
            Token::Anchor(name)
        })
    }

    fn skip_word(&mut self) {
        while matches!(self.byte(0), b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'-') {
            self.at += 1;
        }
    }

    fn skip_blanks(&mut self) {
        while self.is_blank(0) {
            self.at += 1;
        }
    }

    pub(super) fn scan_tag(&mut self) -> Result<Token<'a>> {
        let mark = self.mark();
        let (handle, suffix) = if self.byte(1) == b'<' {
            self.at += 2;
            let suffix = self.scan_tag_uri("", mark)?;
            if self.byte(0) != b'>' {
                return Err(self.error(mark, "did not find the expected '>' of a tag"));
            }
            self.at += 1;
            (String::new(), suffix)
        } else {
            let handle = self.scan_tag_handle(false, mark)?;
            if handle.len() > 1 && handle.ends_with('!') {
                (handle.to_string(), self.scan_tag_uri("", mark)?)
            } else {
                match self.scan_tag_uri(handle, mark)? {
                    suffix if suffix.is_empty() => (String::new(), "!".to_string()),
                    suffix => ("!".to_string(), suffix),
                }
            }
        };
        if !self.is_blank_or_end(0) {
            return Err(self.error(mark, "did not find expected whitespace or line break after a tag"));
        }
        Ok(Token::Tag { handle, suffix })
    }

    fn scan_tag_handle(&mut self, directive: bool, mark: Mark) -> Result<&'a str> {
        if self.byte(0) != b'!' {
            return Err(self.error(mark, "did not find expected '!' of a tag"));
        }
        let start = self.at;
        self.at += 1;
        self.skip_word();
        if self.byte(0) == b'!' {
            self.at += 1;
        } else if directive && self.at > start + 1 {
            return Err(self.error(mark, "did not find expected '!' at the end of a tag handle"));
        }
        Ok(&self.text[start..self.at])
    }

    fn scan_tag_uri(&mut self, head: &str, mark: Mark) -> Result<String> {
        let mut uri = head.get(1..).unwrap_or("").as_bytes().to_vec();
        let mut found = !head.is_empty();
        loop {
            match self.byte(0) {
                b'%' => uri.push(self.scan_uri_escape(mark)?),
                byte if byte.is_ascii_alphanumeric() || b"_-;/?:@&=+$,.!~*'()[]".contains(&byte) => {
                    uri.push(byte);
                    self.at += 1;
                }
                _ => break,
            }
            found = true;
        }
        if !found {
            return Err(self.error(mark, "did not find expected tag URI"));
        }
        String::from_utf8(uri).map_err(|_| self.error(mark, "found an incorrect UTF-8 octet in a tag"))
    }

    fn scan_uri_escape(&mut self, mark: Mark) -> Result<u8> {
        let hex = self
            .text
            .get(self.at + 1..self.at + 3)
            .filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(octet) = hex.and_then(|h| u8::from_str_radix(h, 16).ok()) else {
            return Err(self.error(mark, "did not find URI escaped octet in a tag"));
        };
        self.at += 3;
        Ok(octet)
    }

    pub(super) fn scan_directive(&mut self) -> Result<Token<'a>> {
        let mark = self.mark();
        self.at += 1;
        let start = self.at;
        self.skip_word();
        let name = &self.text[start..self.at];
        if name.is_empty() || !self.is_blank_or_end(0) {
            return Err(self.error(mark, "could not find expected directive name"));
        }
        self.skip_blanks();
        let token = match name {
            "YAML" => {
                let major = self.scan_version_number(mark)?;
                if self.byte(0) != b'.' {
                    return Err(self.error(
                        mark,
                        "did not find expected digit or '.' character in a %YAML directive",
                    ));
                }
                self.at += 1;
                Token::VersionDirective {
                    major,
                    minor: self.scan_version_number(mark)?,
                }
            }
            "TAG" => {
                let handle = self.scan_tag_handle(true, mark)?;
                if !self.is_blank(0) {
                    return Err(self.error(mark, "did not find expected whitespace in a %TAG directive"));
                }
                self.skip_blanks();
                let prefix = self.scan_tag_uri("", mark)?;
                if !self.is_blank_or_end(0) {
                    return Err(self.error(
                        mark,
                        "did not find expected whitespace or line break in a %TAG directive",
                    ));
                }
                Token::TagDirective { handle, prefix }
            }
            _ => return Err(self.error(mark, "found unknown directive name")),
        };
        self.skip_blanks();
        if self.byte(0) == b'#' {
            self.skip_comment();
        }
        if !self.is_break_or_end() {
            return Err(self.error(
                mark,
                "did not find expected comment or line break after a directive",
            ));
        }
        self.skip_break();
        Ok(token)
    }

    fn scan_version_number(&mut self, mark: Mark) -> Result<u8> {
        let digits = self.bytes[self.at..]
            .iter()
            .take(3)
            .take_while(|b| b.is_ascii_digit())
            .count();
        let number = self
            .text
            .get(self.at..self.at + digits)
            .and_then(|d| d.parse().ok());
        self.at += digits;
        number
            .filter(|_| digits <= 2)
            .ok_or_else(|| self.error(mark, "did not find expected version number"))
    }
}
