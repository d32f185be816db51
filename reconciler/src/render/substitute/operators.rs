//! What the operators of `${...}` do to a value: bytes in, bytes out. No I/O.
//!
//! Values are bytes because offsets and lengths count bytes and may cut a character in half, as
//! they do in `github.com/fluxcd/pkg/envsubst`.

use super::glob;
use super::template::Operator;
use super::{MAX_EXPANSION, SyntaxError};

/// Trimming by pattern takes time in the square of the value's length.
const MAX_TRIMMED: usize = 16 * 1024;

/// Applies `operator` with its evaluated `arguments` to `value`.
pub(super) fn apply(operator: Operator, value: &[u8], arguments: &[Vec<u8>]) -> Result<Vec<u8>, SyntaxError> {
    match operator {
        Operator::Value => Ok(value.to_vec()),
        Operator::Length => Ok(value.len().to_string().into_bytes()),
        Operator::UpperFirst => Ok(map_first(value, upper)),
        Operator::Upper => Ok(map_all(value, upper)),
        Operator::LowerFirst => Ok(map_first(value, lower)),
        Operator::Lower => Ok(map_all(value, lower)),
        Operator::Substring => Ok(substring(value, arguments).to_vec()),
        Operator::TrimShortestPrefix => trim(value, &arguments[0], shortest_prefix),
        Operator::TrimLongestPrefix => trim(value, &arguments[0], longest_prefix),
        Operator::TrimShortestSuffix => trim_suffix(value, &arguments[0], shortest_prefix),
        Operator::TrimLongestSuffix => trim_suffix(value, &arguments[0], longest_prefix),
        Operator::ReplaceFirst => replace(value, arguments, 1),
        Operator::ReplaceAll => replace(value, arguments, usize::MAX),
        Operator::ReplacePrefix => replace_prefix(value, arguments),
        Operator::ReplaceSuffix => Ok(replace_suffix(value, arguments)),
        Operator::Default if value.is_empty() => Ok(arguments.concat()),
        Operator::Default => Ok(value.to_vec()),
    }
}

fn upper(c: char) -> char {
    single(c.to_uppercase(), c)
}

fn lower(c: char) -> char {
    // Go maps by single characters; this is the one whose full lower case is two of them.
    if c == 'İ' {
        'i'
    } else {
        single(c.to_lowercase(), c)
    }
}

/// The mapping if it is one character, as Go's simple case mapping is.
fn single(mut mapped: impl Iterator<Item = char>, original: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(c), None) => c,
        _ => original,
    }
}

fn map_all(value: &[u8], map: fn(char) -> char) -> Vec<u8> {
    String::from_utf8_lossy(value)
        .chars()
        .map(map)
        .collect::<String>()
        .into_bytes()
}

fn map_first(value: &[u8], map: fn(char) -> char) -> Vec<u8> {
    if value.is_empty() {
        return Vec::new();
    }
    let (c, width) = glob::decode(value);
    let mut mapped = map(c).to_string().into_bytes();
    mapped.extend_from_slice(&value[width..]);
    mapped
}

/// `value[position..][..length]`; a negative position or length counts from the end, and a
/// number that cannot be read leaves the value as it is.
fn substring<'v>(value: &'v [u8], arguments: &[Vec<u8>]) -> &'v [u8] {
    let Some(position) = integer(&arguments[0]) else {
        return value;
    };
    let size = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let start = if position < 0 {
        size.saturating_add(position).max(0)
    } else {
        position
    };
    let end = match arguments.get(1).map(|length| integer(length)) {
        None => size,
        Some(None) => return value,
        Some(Some(length)) if length < 0 => size.saturating_add(length),
        Some(Some(length)) => start.saturating_add(length).min(size),
    };
    if start >= end {
        return &[];
    }
    let index = |offset: i64| usize::try_from(offset).unwrap_or(0).min(value.len());
    &value[index(start)..index(end)]
}

fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

type Prefix = fn(&[u8], &[u8]) -> Option<usize>;

fn trim(value: &[u8], pattern: &[u8], prefix: Prefix) -> Result<Vec<u8>, SyntaxError> {
    if value.len() > MAX_TRIMMED {
        return Err(SyntaxError::TooLong { limit: MAX_TRIMMED });
    }
    Ok(value[prefix(value, pattern).unwrap_or(0)..].to_vec())
}

fn trim_suffix(value: &[u8], pattern: &[u8], prefix: Prefix) -> Result<Vec<u8>, SyntaxError> {
    trim(&reversed(value), &reversed(pattern), prefix).map(|rest| reversed(&rest))
}

/// Length of the longest non-empty prefix that matches.
fn longest_prefix(value: &[u8], pattern: &[u8]) -> Option<usize> {
    for length in (1..=value.len()).rev() {
        match glob::matches(pattern, &value[..length]) {
            Ok(true) => return Some(length),
            Ok(false) => {}
            Err(glob::BadPattern) => return None,
        }
    }
    None
}

/// Length of the shortest non-empty prefix that matches. The reference looks from the longest
/// down, so a pattern that is found bad on the way leaves the value as it is.
fn shortest_prefix(value: &[u8], pattern: &[u8]) -> Option<usize> {
    let mut shortest = None;
    for length in (1..=value.len()).rev() {
        match glob::matches(pattern, &value[..length]) {
            Ok(true) => shortest = Some(length),
            Ok(false) => {}
            Err(glob::BadPattern) => return None,
        }
    }
    shortest
}

fn reversed(value: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(value)
        .chars()
        .rev()
        .collect::<String>()
        .into_bytes()
}

fn replace(value: &[u8], arguments: &[Vec<u8>], limit: usize) -> Result<Vec<u8>, SyntaxError> {
    let old = &arguments[0];
    let new = arguments.get(1).map_or(&[][..], Vec::as_slice);
    let starts = occurrences(value, old, limit);
    let size = value.len() + starts.len().saturating_mul(new.len());
    if size > MAX_EXPANSION {
        return Err(SyntaxError::TooLong { limit: MAX_EXPANSION });
    }
    let mut replaced = Vec::with_capacity(size);
    let mut copied = 0;
    for start in starts {
        replaced.extend_from_slice(&value[copied..start]);
        replaced.extend_from_slice(new);
        copied = start + old.len();
    }
    replaced.extend_from_slice(&value[copied..]);
    Ok(replaced)
}

/// Where `old` occurs; an empty `old` occurs before each character and at the end, as in Go.
fn occurrences(value: &[u8], old: &[u8], limit: usize) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut position = 0;
    while starts.len() < limit && position + old.len() <= value.len() {
        if value[position..].starts_with(old) {
            starts.push(position);
        }
        position += match () {
            () if old.is_empty() && position < value.len() => glob::decode(&value[position..]).1,
            () if !old.is_empty() && value[position..].starts_with(old) => old.len(),
            () => 1,
        };
    }
    starts
}

fn replace_prefix(value: &[u8], arguments: &[Vec<u8>]) -> Result<Vec<u8>, SyntaxError> {
    match arguments {
        [old, _] if value.starts_with(old) => replace(value, arguments, 1),
        _ => Ok(value.to_vec()),
    }
}

fn replace_suffix(value: &[u8], arguments: &[Vec<u8>]) -> Vec<u8> {
    match arguments {
        [old, new] if value.ends_with(old) => [&value[..value.len() - old.len()], new].concat(),
        _ => value.to_vec(),
    }
}
