//! The `${...}` language of Flux's envsubst: text in, a parsed template out. No I/O.
//!
//! A port of the grammar that `github.com/fluxcd/pkg/envsubst` accepts, oddities included,
//! because manifests depend on them: `$x` is plain text, `$${` is an escaped `${`, `${v-d}` is
//! an error, and a replacement's pattern may contain `}`.

use super::SyntaxError;

/// Nested `${...}` are parsed at most this deep.
const MAX_DEPTH: usize = 64;

/// One piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Text that stands for itself, escapes resolved.
    Text(String),
    /// A reference to a variable, with what is done to its value.
    Call(Call),
}

/// `${variable<operator>arguments}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) variable: String,
    pub(super) operator: Operator,
    pub(super) arguments: Vec<Node>,
}

/// What a reference does with the value of its variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `${v}`
    Value,
    /// `${#v}`, in bytes
    Length,
    /// `${v^}`
    UpperFirst,
    /// `${v^^}`
    Upper,
    /// `${v,}`
    LowerFirst,
    /// `${v,,}`
    Lower,
    /// `${v:position}` and `${v:position:length}`, in bytes
    Substring,
    /// `${v#pattern}`
    TrimShortestPrefix,
    /// `${v##pattern}`
    TrimLongestPrefix,
    /// `${v%pattern}`
    TrimShortestSuffix,
    /// `${v%%pattern}`
    TrimLongestSuffix,
    /// `${v/old/new}`
    ReplaceFirst,
    /// `${v//old/new}`
    ReplaceAll,
    /// `${v/#old/new}`
    ReplacePrefix,
    /// `${v/%old/new}`
    ReplaceSuffix,
    /// `${v=d}`, `${v:=d}`, `${v:-d}`, and `${v:?d}`, `${v:+d}`, which Flux treats alike
    Default,
}

impl Operator {
    /// Whether the operator is meant for variables that are not set.
    pub(super) fn provides_default(self) -> bool {
        self == Operator::Default
    }
}

/// Parses `text` as a template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut parser = Parser {
        text,
        position: 0,
        depth: 0,
    };
    let mut nodes = Vec::new();
    loop {
        if parser.eat_opening() {
            nodes.push(Node::Call(parser.call()?));
        } else if parser.peek().is_none() {
            return Ok(nodes);
        } else {
            nodes.push(Node::Text(parser.plain_text()));
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
    depth: usize,
}

/// Which escapes a run of text knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    None,
    /// `$$`, `\/` and `\\`
    All,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    /// The next character; the reference takes a NUL for the end of the text.
    fn peek(&self) -> Option<char> {
        self.rest().chars().next().filter(|c| *c != '\0')
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, expected: char) -> bool {
        let found = self.peek() == Some(expected);
        if found {
            self.position += expected.len_utf8();
        }
        found
    }

    fn eat_opening(&mut self) -> bool {
        let found = self.rest().starts_with("${");
        if found {
            self.position += 2;
        }
        found
    }

    fn close(&mut self) -> Result<(), SyntaxError> {
        if self.eat('}') {
            Ok(())
        } else {
            Err(SyntaxError::BadSubstitution)
        }
    }

    /// Text up to the next `${` or the end; `$$` stands for `$`.
    fn plain_text(&mut self) -> String {
        let mut text = String::new();
        while let Some(c) = self.peek() {
            if self.rest().starts_with("${") {
                break;
            }
            self.position += c.len_utf8();
            text.push(c);
            if c == '$' {
                self.eat('$');
            }
        }
        text
    }

    /// What follows a `${`.
    fn call(&mut self) -> Result<Call, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError::TooDeep { limit: MAX_DEPTH });
        }
        let call = if self.peek() == Some('#') {
            self.length()
        } else {
            self.operation()
        };
        self.depth -= 1;
        call
    }

    fn length(&mut self) -> Result<Call, SyntaxError> {
        self.eat('#');
        let variable = self.identifier().ok_or(SyntaxError::BadSubstitution)?;
        self.close()?;
        Ok(Call {
            variable,
            operator: Operator::Length,
            arguments: Vec::new(),
        })
    }

    fn operation(&mut self) -> Result<Call, SyntaxError> {
        let variable = self.identifier().ok_or(SyntaxError::VariableName)?;
        let (operator, arguments) = match self.peek() {
            Some(':') => self.default_or_substring()?,
            Some('=') => {
                self.eat('=');
                (Operator::Default, self.default_arguments()?)
            }
            Some(',' | '^') => (self.casing()?, Vec::new()),
            Some('/') => self.replacement()?,
            Some(c @ ('#' | '%')) => self.trimming(c)?,
            _ if self.eat('}') => (Operator::Value, Vec::new()),
            _ => return Err(SyntaxError::MissingClosingBrace { variable }),
        };
        Ok(Call {
            variable,
            operator,
            arguments,
        })
    }

    fn identifier(&mut self) -> Option<String> {
        let start = self.position;
        while self.peek().is_some_and(is_identifier) {
            self.next();
        }
        (self.position > start).then(|| self.text[start..self.position].to_owned())
    }

    fn default_or_substring(&mut self) -> Result<(Operator, Vec<Node>), SyntaxError> {
        self.eat(':');
        match self.peek() {
            Some('=' | '-' | '?' | '+') => {
                self.next();
                Ok((Operator::Default, self.default_arguments()?))
            }
            // The reference steps back by the width of what follows, and so accepts ASCII only.
            Some(c) if c.is_ascii() => Ok((Operator::Substring, self.substring_arguments()?)),
            _ => Err(SyntaxError::BadSubstitution),
        }
    }

    fn default_arguments(&mut self) -> Result<Vec<Node>, SyntaxError> {
        let mut arguments = Vec::new();
        while !self.eat('}') {
            arguments.push(self.argument(|c| c != '}', Escapes::None)?);
        }
        Ok(arguments)
    }

    fn substring_arguments(&mut self) -> Result<Vec<Node>, SyntaxError> {
        let mut arguments = vec![self.argument(|c| c != ':' && c != '}', Escapes::None)?];
        if self.eat('}') {
            return Ok(arguments);
        }
        if !self.eat_all(':') {
            return Err(SyntaxError::BadSubstitution);
        }
        arguments.push(self.argument(|c| c != '}', Escapes::None)?);
        self.close()?;
        Ok(arguments)
    }

    fn casing(&mut self) -> Result<Operator, SyntaxError> {
        let start = self.position;
        while self.position - start < 2 && matches!(self.peek(), Some(',' | '^')) {
            self.next();
        }
        let operator = match &self.text[start..self.position] {
            "," => Operator::LowerFirst,
            ",," => Operator::Lower,
            "^" => Operator::UpperFirst,
            "^^" => Operator::Upper,
            _ => Operator::Value,
        };
        self.close()?;
        Ok(operator)
    }

    fn trimming(&mut self, sign: char) -> Result<(Operator, Vec<Node>), SyntaxError> {
        self.eat(sign);
        let operator = match (sign, self.eat(sign)) {
            ('#', false) => Operator::TrimShortestPrefix,
            ('#', true) => Operator::TrimLongestPrefix,
            (_, false) => Operator::TrimShortestSuffix,
            (_, true) => Operator::TrimLongestSuffix,
        };
        let pattern = self.argument(|c| c != '}', Escapes::None)?;
        self.close()?;
        Ok((operator, vec![pattern]))
    }

    fn replacement(&mut self) -> Result<(Operator, Vec<Node>), SyntaxError> {
        self.eat('/');
        let operator = if self.eat('/') {
            Operator::ReplaceAll
        } else if self.eat('#') {
            Operator::ReplacePrefix
        } else if self.eat('%') {
            Operator::ReplaceSuffix
        } else {
            Operator::ReplaceFirst
        };
        let mut arguments = vec![self.argument(|c| c != '/', Escapes::All)?];
        if !self.eat_all('/') {
            return Err(SyntaxError::BadSubstitution);
        }
        if self.eat('}') {
            return Ok((operator, arguments));
        }
        arguments.push(self.argument(|c| c != '}', Escapes::All)?);
        self.close()?;
        Ok((operator, arguments))
    }

    fn eat_all(&mut self, expected: char) -> bool {
        let start = self.position;
        while self.eat(expected) {}
        self.position > start
    }

    /// One argument: a nested reference, or text whose characters `accepts` takes.
    fn argument(&mut self, accepts: fn(char) -> bool, escapes: Escapes) -> Result<Node, SyntaxError> {
        if self.eat_opening() {
            return Ok(Node::Call(self.call()?));
        }
        let mut text = String::new();
        while let Some(c) = self.peek() {
            if self.rest().starts_with("${") {
                break;
            }
            if escapes == Escapes::All && ["$$", "\\/", "\\\\"].iter().any(|e| self.rest().starts_with(e)) {
                text.push(char::from(self.rest().as_bytes()[1]));
                self.position += 2;
                continue;
            }
            if !accepts(c) {
                break;
            }
            text.push(c);
            self.next();
        }
        if text.is_empty() {
            Err(SyntaxError::Argument)
        } else {
            Ok(Node::Text(text))
        }
    }
}

/// Letters, decimal digits and `_`, as Go's `unicode` package knows them.
fn is_identifier(c: char) -> bool {
    use std::sync::LazyLock;

    #[expect(clippy::expect_used, reason = "a constant pattern, compiled by the tests")]
    static NON_ASCII: LazyLock<regex::Regex> =
        LazyLock::new(|| regex::Regex::new(r"^[\p{L}\p{Nd}]$").expect("the pattern is valid"));

    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    NON_ASCII.is_match(c.encode_utf8(&mut [0; 4]))
}
