//! Masks secrets in everything that leaves the process (rule 27).
//!
//! In: secret values, as they become known, and texts or objects that are about to leave. Out: the same with `***` in
//! the place of every secret. No I/O.
//!
//! Two nets, one behind the other. Known values are masked wherever and however they are written: as they are, in
//! JSON or URL escapes, in base64 at any alignment, line by line, and cut short by a length limit. What only looks
//! like a secret (a bearer token, a password in a URL, a private key) is masked by its shape.
//!
//! What is not masked: values shorter than [`MIN_LENGTH`], numbers of less than ten digits and a few
//! ordinary words, since a Secret may well hold a port or a user name, and a message in which each `5432` or
//! `postgres` is masked says nothing any more. Passwords that short do not withstand guessing either.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use regex::{Captures, Regex};
use serde_json::Value;

/// What stands in the place of a secret.
pub const MASK: &str = "***";
/// Shortest value, in bytes, that is masked wherever it stands.
pub const MIN_LENGTH: usize = 6;
/// Longer values are known by pieces of this many bytes.
const PIECE: usize = 256;
/// Bytes of one value that are known; what follows is not. All forms of a value take about ten times its size.
const MAX_VALUE: usize = 64 * 1024;
/// Ends a text that was cut for its length.
const ELLIPSIS: &str = "…";
/// Generations of a source's values that are known: what was replaced is still in the memory, and in the logs, of
/// pods that have not been restarted.
const GENERATIONS: usize = 4;
/// Annotation in which `kubectl apply` keeps a copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Values that are ordinary words of configuration, whatever Secret they come from.
const ORDINARY: [&str; 14] = [
    "database",
    "default",
    "development",
    "disable",
    "disabled",
    "enabled",
    "localhost",
    "postgres",
    "prerelease",
    "production",
    "public",
    "require",
    "staging",
    "verify-full",
];

/// Knows the secrets of the process and masks them. Shared by cloning.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Known>>);

/// Values by who brought them, and an index over their first bytes.
#[derive(Default)]
struct Known {
    /// The newest generation last.
    sources: HashMap<String, VecDeque<Vec<Pattern>>>,
    /// Each pattern with the number of times it was brought, under its first [`MIN_LENGTH`] bytes.
    index: HashMap<[u8; MIN_LENGTH], Vec<(Pattern, usize)>>,
    beginnings: Beginnings,
}

/// The first two bytes of every pattern, one bit each: most places of a text are passed over by looking here. A bit
/// stays when its pattern goes, which costs a look into the index and nothing else.
#[derive(Default)]
struct Beginnings(Vec<u64>);

impl Beginnings {
    fn place(bytes: &[u8]) -> Option<(usize, u64)> {
        let number = usize::from(u16::from_be_bytes(*bytes.first_chunk()?));
        Some((number / 64, 1 << (number % 64)))
    }

    fn add(&mut self, pattern: &[u8]) {
        let Some((word, bit)) = Self::place(pattern) else {
            return;
        };
        self.0.resize(usize::from(u16::MAX) / 64 + 1, 0);
        self.0[word] |= bit;
    }

    fn may_begin(&self, text: &[u8]) -> bool {
        Self::place(text).is_some_and(|(word, bit)| self.0.get(word).is_some_and(|bits| bits & bit != 0))
    }
}

type Pattern = Arc<[u8]>;

/// Shows no values.
impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        write!(formatter, "Redactor({} sources)", known.sources.len())
    }
}

impl Redactor {
    /// Learns the secret values of a source (an object, a credential). Those it brought before stay known until they
    /// were replaced several times.
    pub fn learn<V: AsRef<[u8]>>(&self, source: &str, values: impl IntoIterator<Item = V>) {
        let mut patterns: Vec<Pattern> = values
            .into_iter()
            .flat_map(|value| forms(value.as_ref()))
            .collect();
        patterns.sort();
        patterns.dedup();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.add(source, patterns);
    }

    /// Forgets what a source brought.
    pub fn forget(&self, source: &str) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .forget(source);
    }

    /// Returns the text with every secret masked.
    #[must_use]
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let masked = {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            known.mask(text)
        };
        match masked {
            None => mask_shapes(text),
            Some(masked) => Cow::Owned(mask_shapes(&masked).into_owned()),
        }
    }

    /// Whether anything in a text is masked.
    #[must_use]
    pub fn masks(&self, text: &str) -> bool {
        matches!(self.mask(text), Cow::Owned(_))
    }

    /// Masks an object that is about to be shown: all values of a Secret, the copy that `kubectl apply` keeps, and
    /// every known secret in any other text. Names of keys stay.
    pub fn mask_object(&self, object: &mut Value) {
        for item in object
            .get_mut("items")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            self.mask_object(item);
        }
        if object["kind"] == "Secret" {
            for section in ["data", "stringData"] {
                let values = object.get_mut(section).and_then(Value::as_object_mut);
                values
                    .into_iter()
                    .flatten()
                    .for_each(|(_, value)| *value = MASK.into());
            }
        }
        if let Some(copy) = object
            .pointer_mut("/metadata/annotations")
            .and_then(|all| all.get_mut(LAST_APPLIED))
        {
            *copy = MASK.into();
        }
        self.mask_texts(object);
    }

    fn mask_texts(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.mask(text) {
                    *text = masked;
                }
            }
            Value::Array(entries) => entries.iter_mut().for_each(|entry| self.mask_texts(entry)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.mask_texts(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl From<Redactor> for telemetry::Redaction {
    fn from(redactor: Redactor) -> Self {
        Self::new(move |text| redactor.mask(text))
    }
}

/// The values that a Secret holds, decoded.
#[must_use]
pub fn values_of_secret(secret: &Value) -> Vec<Vec<u8>> {
    let texts = |section: &str| {
        let fields = secret[section].as_object().into_iter().flatten();
        fields
            .filter_map(|(_, value)| value.as_str())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let decoded = texts("data")
        .into_iter()
        .filter_map(|text| STANDARD.decode(text).ok());
    decoded
        .chain(texts("stringData").into_iter().map(String::into_bytes))
        .collect()
}

impl Known {
    fn add(&mut self, source: &str, patterns: Vec<Pattern>) {
        let newest = self.sources.get(source).and_then(VecDeque::back);
        if patterns.is_empty() || newest == Some(&patterns) {
            return;
        }
        for pattern in &patterns {
            let Some(key) = pattern.first_chunk() else {
                continue;
            };
            self.beginnings.add(pattern);
            let bucket = self.index.entry(*key).or_insert_with(|| Vec::with_capacity(1));
            match bucket.iter_mut().find(|(known, _)| known == pattern) {
                Some((_, times)) => *times += 1,
                None => bucket.push((pattern.clone(), 1)),
            }
        }
        let generations = self.sources.entry(source.to_owned()).or_default();
        generations.push_back(patterns);
        if generations.len() > GENERATIONS {
            let oldest = generations.pop_front().unwrap_or_default();
            self.remove(oldest);
        }
    }

    fn forget(&mut self, source: &str) {
        for generation in self.sources.remove(source).unwrap_or_default() {
            self.remove(generation);
        }
    }

    fn remove(&mut self, patterns: Vec<Pattern>) {
        for pattern in patterns {
            let Some(key) = pattern.first_chunk() else {
                continue;
            };
            let Some(bucket) = self.index.get_mut(key) else {
                continue;
            };
            bucket
                .iter_mut()
                .filter(|(known, _)| *known == pattern)
                .for_each(|(_, times)| *times -= 1);
            bucket.retain(|(_, times)| *times > 0);
            if bucket.is_empty() {
                self.index.remove(key);
            }
        }
    }

    /// The text with every known value masked, or `None` when there is none in it.
    fn mask(&self, text: &str) -> Option<String> {
        if self.index.is_empty() {
            return None;
        }
        let mut masked = String::new();
        let mut kept_from = 0;
        for secret in self.find(text.as_bytes()) {
            // A piece of a value may begin or end within a character.
            let start = text.floor_char_boundary(secret.start);
            let end = text.ceil_char_boundary(secret.end);
            masked.push_str(&text[kept_from..start]);
            masked.push_str(MASK);
            kept_from = end;
        }
        if kept_from == 0 {
            return None;
        }
        masked.push_str(&text[kept_from..]);
        Some(masked)
    }

    /// Where known values stand, in order; those that overlap or touch are one.
    fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for start in 0..text.len().saturating_sub(MIN_LENGTH - 1) {
            let rest = &text[start..];
            if !self.beginnings.may_begin(rest) {
                continue;
            }
            let candidates = rest.first_chunk().and_then(|key| self.index.get(key));
            let longest = candidates
                .into_iter()
                .flatten()
                .filter_map(|(pattern, _)| matched(pattern, rest))
                .max();
            let Some(length) = longest else { continue };
            let end = start + length;
            match found.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(end),
                _ => found.push(start..end),
            }
        }
        found
    }
}

/// How many bytes at the start of `rest` are the pattern, or the part of it that a length limit has left.
fn matched(pattern: &[u8], rest: &[u8]) -> Option<usize> {
    if rest.starts_with(pattern) {
        return Some(pattern.len());
    }
    let same = pattern
        .iter()
        .zip(rest)
        .take_while(|(one, other)| one == other)
        .count();
    let cut = same == rest.len() || rest[same..].starts_with(ELLIPSIS.as_bytes());
    cut.then_some(same)
}

/// All the ways in which a value may be written, those that are too ordinary left out.
fn forms(value: &[u8]) -> Vec<Pattern> {
    let value = &value[..value.len().min(MAX_VALUE)];
    let mut lines: Vec<&[u8]> = value
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .map(<[u8]>::trim_ascii)
        .collect();
    lines.retain(|line| !is_armour(line));
    let mut forms = Vec::new();
    for line in lines {
        for piece in pieces(line).filter(|piece| is_telling(piece)) {
            forms.extend(forms_of_piece(piece));
        }
    }
    // The base64 of several lines is not that of each.
    for piece in pieces(value).filter(|piece| is_telling(piece)) {
        forms.extend(base64_forms(piece));
        forms.push(STANDARD.encode(piece).into_bytes());
    }
    forms.retain(|form| form.len() >= MIN_LENGTH);
    forms.into_iter().map(Arc::from).collect()
}

/// Cuts a long value into pieces; the last overlaps the one before it, so that none is too short to be known.
fn pieces(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = (0..value.len()).step_by(PIECE);
    starts
        .map(|start| start.min(value.len().saturating_sub(PIECE)))
        .map(|start| &value[start..value.len().min(start + PIECE)])
}

fn forms_of_piece(piece: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![piece.to_vec()];
    forms.extend(base64_forms(piece));
    forms.push(percent_encoded(piece, "%20"));
    forms.push(percent_encoded(piece, "+"));
    if let Ok(text) = std::str::from_utf8(piece) {
        // Rust's and Go's quoted forms differ from JSON's only in characters that a secret hardly has.
        let quoted = Value::from(text).to_string();
        forms.push(quoted.as_bytes()[1..quoted.len() - 1].to_vec());
        forms.push(text.escape_debug().to_string().into_bytes());
    }
    forms
}

/// The base64 of any text that contains the piece holds one of these three.
fn base64_forms(piece: &[u8]) -> Vec<Vec<u8>> {
    /// Shorter ones would be found by chance.
    const TELLING: usize = 8;

    let mut forms = vec![STANDARD_NO_PAD.encode(piece).into_bytes()];
    for before in 0..3 {
        let padded = [&[0; 2][..before], piece].concat();
        // The first characters carry bits of what is before, the last ones of what comes after.
        let skipped = (before * 8).div_ceil(6);
        let whole = padded.len() * 8 / 6;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&padded).into_bytes();
            let inner = encoded.get(skipped..whole).unwrap_or_default();
            if inner.len() >= TELLING {
                forms.push(inner.to_vec());
            }
        }
    }
    forms
}

/// Percent-encodes all but the unreserved characters (RFC 3986, 2.3); a space as asked for.
fn percent_encoded(piece: &[u8], space: &str) -> Vec<u8> {
    let mut encoded = String::new();
    for byte in piece {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(*byte));
            }
            b' ' => encoded.push_str(space),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded.into_bytes()
}

/// Whether a value says enough to be masked wherever it stands.
fn is_telling(piece: &[u8]) -> bool {
    let short_number = piece.len() < 10 && piece.iter().all(u8::is_ascii_digit);
    let ordinary = ORDINARY
        .iter()
        .any(|word| piece.eq_ignore_ascii_case(word.as_bytes()));
    let blank = piece
        .iter()
        .all(|byte| byte.is_ascii_whitespace() || byte.is_ascii_punctuation());
    piece.len() >= MIN_LENGTH && !short_number && !ordinary && !blank
}

/// Whether a line only says what comes between it and its counterpart.
fn is_armour(line: &[u8]) -> bool {
    line.starts_with(b"-----BEGIN ") || line.starts_with(b"-----END ")
}

/// A shape that secrets have, and how to mask it.
struct Shape {
    pattern: Regex,
    masked: fn(&Captures<'_>) -> String,
}

/// The pattern is written so that in a line of JSON no match runs over the end of a string.
static SHAPES: LazyLock<[Shape; 6]> = LazyLock::new(|| {
    [
        // Private keys, as far as the armoured text goes.
        shape(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[A-Za-z0-9+/=\s\\:,-]*",
            |_| MASK.into(),
        ),
        // Userinfo in URLs: the password after a name, or all of it where it may be a token.
        shape(
            r#"(?i)\b([a-z][a-z0-9+.-]*://)([^\s/@:"'<>\\]*):([^\s/@"'<>\\]+)@"#,
            |found| format!("{}{}:{MASK}@", &found[1], &found[2]),
        ),
        shape(r#"(?i)\b(https?://)([^\s/@:"'<>\\]+)@"#, |found| {
            format!("{}{MASK}@", &found[1])
        }),
        // Tokens that begin with the name of their maker, keys of age, and JSON web tokens.
        shape(
            concat!(
                r"\b(?:AGE-SECRET-KEY-1[A-Z0-9]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}\b|gh[pousr]_[A-Za-z0-9]{20,}",
                r"|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}",
                r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)",
            ),
            |_| MASK.into(),
        ),
        shape(r"(?i)\b(bearer|basic)(\s+)([A-Za-z0-9._~+/=-]{8,})", |found| {
            // "Bearer authentication failed" is no token.
            let is_token =
                found[3].len() >= 24 || found[3].contains(|letter: char| !letter.is_ascii_lowercase());
            if is_token {
                format!("{}{}{MASK}", &found[1], &found[2])
            } else {
                found[0].to_owned()
            }
        }),
        shape(
            r#"(?i)((?:pass(?:word|wd|phrase)?|token|client_secret|api[_-]?key|access[_-]?key)=)([^\s&"',;\\]+)"#,
            |found| format!("{}{MASK}", &found[1]),
        ),
    ]
});

#[expect(
    clippy::expect_used,
    reason = "the patterns are constants, and every test of this module compiles them"
)]
fn shape(pattern: &str, masked: fn(&Captures<'_>) -> String) -> Shape {
    Shape {
        pattern: Regex::new(pattern).expect("a constant pattern"),
        masked,
    }
}

fn mask_shapes(text: &str) -> Cow<'_, str> {
    SHAPES.iter().fold(Cow::Borrowed(text), |text, shape| {
        match shape.pattern.replace_all(&text, shape.masked) {
            Cow::Owned(masked) => Cow::Owned(masked),
            Cow::Borrowed(_) => text,
        }
    })
}

#[cfg(test)]
mod tests;
