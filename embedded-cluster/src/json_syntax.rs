//! What is wrong with a text that is no JSON, in the words of Go's `encoding/json`.
//!
//! In: bytes that could not be read. Out: a message. No I/O, no recursion: a state for each byte, as Go's scanner.

/// Values nested deeper than this are refused by Go; what is refused here already is said the same way.
const MAX_DEPTH: usize = 10_000;

/// Where the scanner is.
#[derive(Clone, Copy)]
enum State {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    /// A value or key is over.
    After,
    Text,
    Escape,
    Hex(u8),
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
    /// Bytes of a word that were read.
    Word(&'static str, usize),
}

/// What a value is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Key,
    Field,
    Element,
}

/// The first thing that is wrong; `too_deep` if nothing is, since then it was refused for its depth.
pub(crate) fn problem(bytes: &[u8]) -> String {
    let mut scanner = Scanner {
        state: State::Value,
        within: Vec::new(),
    };
    // Go tells whether a number is over by a space.
    for byte in bytes.iter().chain(b" ") {
        if let Err(context) = scanner.step(*byte) {
            return format!("invalid character {} {context}", quoted(*byte));
        }
        if scanner.within.len() > MAX_DEPTH {
            return format!("invalid character {} exceeded max depth", quoted(*byte));
        }
    }
    if scanner.within.is_empty() && matches!(scanner.state, State::After) {
        return "exceeded max depth".into();
    }
    "unexpected end of JSON input".into()
}

struct Scanner {
    state: State,
    within: Vec<Within>,
}

impl Scanner {
    fn step(&mut self, byte: u8) -> Result<(), String> {
        let space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.state = match (self.state, byte) {
            (State::Value | State::ValueOrEnd | State::Key | State::KeyOrEnd | State::After, _) if space => {
                return Ok(());
            }
            (State::ValueOrEnd, b']') | (State::KeyOrEnd, b'}') => self.end(),
            (State::Value | State::ValueOrEnd, _) => self.value(byte)?,
            (State::Key | State::KeyOrEnd, b'"') => State::Text,
            (State::Key | State::KeyOrEnd, _) => {
                return Err("looking for beginning of object key string".into());
            }
            (State::After, _) => self.after(byte)?,
            (State::Text, b'"') => State::After,
            (State::Text, b'\\') => State::Escape,
            (State::Text, ..0x20) => return Err("in string literal".into()),
            (State::Text, _) => State::Text,
            (State::Escape, b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => State::Text,
            (State::Escape, b'u') => State::Hex(0),
            (State::Escape, _) => return Err("in string escape code".into()),
            (State::Hex(3), _) if byte.is_ascii_hexdigit() => State::Text,
            (State::Hex(read), _) if byte.is_ascii_hexdigit() => State::Hex(read + 1),
            (State::Hex(_), _) => return Err("in \\u hexadecimal character escape".into()),
            (State::Word(word, read), _) => match word.as_bytes().get(read) {
                Some(wanted) if *wanted == byte && read + 1 == word.len() => State::After,
                Some(wanted) if *wanted == byte => State::Word(word, read + 1),
                wanted => {
                    let wanted = quoted(wanted.copied().unwrap_or_default());
                    return Err(format!("in literal {word} (expecting {wanted})"));
                }
            },
            (state, _) => return self.number(state, byte),
        };
        Ok(())
    }

    fn value(&mut self, byte: u8) -> Result<State, String> {
        Ok(match byte {
            b'{' => {
                self.within.push(Within::Key);
                State::KeyOrEnd
            }
            b'[' => {
                self.within.push(Within::Element);
                State::ValueOrEnd
            }
            b'"' => State::Text,
            b'-' => State::Minus,
            b'0' => State::Zero,
            b'1'..=b'9' => State::Digits,
            b't' => State::Word("true", 1),
            b'f' => State::Word("false", 1),
            b'n' => State::Word("null", 1),
            _ => return Err("looking for beginning of value".into()),
        })
    }

    /// After a value: what it is part of goes on or ends.
    fn after(&mut self, byte: u8) -> Result<State, String> {
        let Some(within) = self.within.last_mut() else {
            return Err("after top-level value".into());
        };
        match (*within, byte) {
            (Within::Key, b':') => {
                *within = Within::Field;
                Ok(State::Value)
            }
            (Within::Field, b',') => {
                *within = Within::Key;
                Ok(State::Key)
            }
            (Within::Element, b',') => Ok(State::Value),
            (Within::Field, b'}') | (Within::Element, b']') => Ok(self.end()),
            (Within::Key, _) => Err("after object key".into()),
            (Within::Field, _) => Err("after object key:value pair".into()),
            (Within::Element, _) => Err("after array element".into()),
        }
    }

    fn end(&mut self) -> State {
        self.within.pop();
        State::After
    }

    fn number(&mut self, state: State, byte: u8) -> Result<(), String> {
        let digit = byte.is_ascii_digit();
        self.state = match (state, byte) {
            (State::Minus, b'0') => State::Zero,
            (State::Minus | State::Digits, _) if digit => State::Digits,
            (State::Minus, _) => return Err("in numeric literal".into()),
            (State::Zero | State::Digits, b'.') => State::Point,
            (State::Point | State::Fraction, _) if digit => State::Fraction,
            (State::Point, _) => return Err("after decimal point in numeric literal".into()),
            (State::Zero | State::Digits | State::Fraction, b'e' | b'E') => State::Exponent,
            (State::Exponent, b'+' | b'-') => State::ExponentSign,
            (State::Exponent | State::ExponentSign | State::ExponentDigits, _) if digit => {
                State::ExponentDigits
            }
            (State::Exponent | State::ExponentSign, _) => return Err("in exponent of numeric literal".into()),
            _ => {
                self.state = State::After;
                return self.step(byte);
            }
        };
        Ok(())
    }
}

/// A byte as Go quotes it.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".into(),
        b'"' => "'\"'".into(),
        b'\\' => "'\\\\'".into(),
        b'\n' => "'\\n'".into(),
        b'\r' => "'\\r'".into(),
        b'\t' => "'\\t'".into(),
        ..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..0xa0 => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::problem;

    /// The messages are those of kube-apiserver 1.36.3.
    #[test]
    fn a_text_that_is_no_json_is_refused_in_the_words_of_go() {
        for (text, message) in [
            ("", "unexpected end of JSON input"),
            ("{\"a\":", "unexpected end of JSON input"),
            (
                "not json",
                "invalid character 'o' in literal null (expecting 'u')",
            ),
            ("nul", "invalid character ' ' in literal null (expecting 'l')"),
            (
                "{\"a\":falsx}",
                "invalid character 'x' in literal false (expecting 'e')",
            ),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("{}x", "invalid character 'x' after top-level value"),
            (
                "{\"a\":1,}",
                "invalid character '}' looking for beginning of object key string",
            ),
            (
                "{'a':1}",
                "invalid character '\\'' looking for beginning of object key string",
            ),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            (
                "{\"a\":1 \"b\":2}",
                "invalid character '\"' after object key:value pair",
            ),
            ("{\"a\":[1 2]}", "invalid character '2' after array element"),
            ("{\"a\":01}", "invalid character '1' after object key:value pair"),
            ("{\"a\":-x}", "invalid character 'x' in numeric literal"),
            (
                "{\"a\":1.x}",
                "invalid character 'x' after decimal point in numeric literal",
            ),
            (
                "{\"a\":1ex}",
                "invalid character 'x' in exponent of numeric literal",
            ),
            (
                "{\"a\":1e+x}",
                "invalid character 'x' in exponent of numeric literal",
            ),
            (
                "{\"a\":\"\\u12x4\"}",
                "invalid character 'x' in \\u hexadecimal character escape",
            ),
            ("{\"a\":\"\\x\"}", "invalid character 'x' in string escape code"),
            ("{\"a\":\"\n\"}", "invalid character '\\n' in string literal"),
            (
                "{\"a\":\u{e9}}",
                "invalid character '\u{c3}' looking for beginning of value",
            ),
        ] {
            assert_eq!(problem(text.as_bytes()), message, "{text}");
        }
        let deep = "[".repeat(20_000);
        assert_eq!(
            problem(deep.as_bytes()),
            "invalid character '[' exceeded max depth"
        );
    }
}
