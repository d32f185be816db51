//! What type a plain scalar has, as go-yaml decides it. In: text. Out: a typed value. Pure.

/// Which go-yaml reads the text. Kustomization files are read by v2, resources and patches by v3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// YAML 1.1: `yes`, `on`, `y` and their like are booleans; dates stay strings.
    GoYamlV2,
    /// YAML 1.2 with remains of 1.1: `0777` is octal; dates become time stamps.
    GoYamlV3,
}

/// The type and value of a scalar.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolved {
    /// A null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer that fits 64 bits with sign.
    Int(i64),
    /// A larger integer.
    Uint(u64),
    /// A floating-point number; not a number and infinities included.
    Float(f64),
    /// A time, as RFC 3339 text with as many decimals as needed.
    Timestamp(String),
    /// A string: the text as it stands.
    Str,
}

/// Decides the type of a plain scalar without a tag.
#[must_use]
pub fn resolve(schema: Schema, text: &str) -> Resolved {
    let Some(&first) = text.as_bytes().first() else {
        return Resolved::Null;
    };
    match first {
        b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'y' | b'Y' | b'o' | b'O' => word(schema, text),
        b'.' => match text {
            ".nan" | ".NaN" | ".NAN" => Resolved::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" => Resolved::Float(f64::INFINITY),
            _ => float(text).map_or(Resolved::Str, Resolved::Float),
        },
        b'+' | b'-' | b'0'..=b'9' => number(schema, text),
        _ => Resolved::Str,
    }
}

fn word(schema: Schema, text: &str) -> Resolved {
    match text {
        "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "true" | "True" | "TRUE" => return Resolved::Bool(true),
        "false" | "False" | "FALSE" => return Resolved::Bool(false),
        _ => {}
    }
    if schema == Schema::GoYamlV3 {
        return Resolved::Str;
    }
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Resolved::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Resolved::Bool(false),
        _ => Resolved::Str,
    }
}

fn number(schema: Schema, text: &str) -> Resolved {
    match text {
        "+.inf" | "+.Inf" | "+.INF" => return Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if let Some(time) = timestamp(text) {
        return Resolved::Timestamp(time);
    }
    let plain = text.replace('_', "");
    if let Some(int) = integer(schema, &plain) {
        return int;
    }
    float(&plain).map_or(Resolved::Str, Resolved::Float)
}

/// Reads an integer as Go's `ParseInt` with base 0 does, and the signs go-yaml adds to that.
fn integer(schema: Schema, text: &str) -> Option<Resolved> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let signed = digits.len() != text.len();
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // Rust's parser would take a second sign.
    let unsigned = digits.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if let Some(magnitude) = unsigned
        .then(|| u64::from_str_radix(digits, radix).ok())
        .flatten()
    {
        if let Ok(value) = i64::try_from(i128::from(magnitude) * sign) {
            return Some(Resolved::Int(value));
        }
        return (!signed).then_some(Resolved::Uint(magnitude));
    }
    // `0b-1` and `0o-1`: go-yaml strips the prefix and lets a second sign pass.
    let prefixed = text.strip_prefix("0b").map(|d| (2, d));
    let prefixed = prefixed.or_else(|| {
        text.strip_prefix("0o")
            .filter(|_| schema == Schema::GoYamlV3)
            .map(|d| (8, d))
    });
    prefixed
        .and_then(|(radix, d)| i64::from_str_radix(d, radix).ok())
        .map(Resolved::Int)
}

/// Reads a decimal floating-point number; one that overflows is not a number to go-yaml.
fn float(text: &str) -> Option<f64> {
    let bytes = text.strip_prefix(['+', '-']).unwrap_or(text).as_bytes();
    let whole = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = whole;
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        let decimals = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        if whole + decimals == 0 {
            return None;
        }
        at += decimals;
    } else if whole == 0 {
        return None;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        let digits = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        at += digits;
    }
    if at != bytes.len() {
        return None;
    }
    text.parse::<f64>().ok().filter(|f| f.is_finite())
}

/// Reads the four layouts of time that go-yaml accepts and writes the time as RFC 3339.
fn timestamp(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return None;
    }
    let mut rest = Digits { rest: &text[5..] };
    let year: u32 = text[..4].parse().ok()?;
    let month = rest.one_or_two()?;
    rest.literal('-')?;
    let day = rest.one_or_two()?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    if rest.rest.is_empty() {
        return Some(format!("{date}T00:00:00Z"));
    }
    let separator = rest.rest.chars().next()?;
    rest.rest = &rest.rest[separator.len_utf8()..];
    if !matches!(separator, 'T' | 't' | ' ') {
        return None;
    }
    // Go's parser takes more than one blank where the layout has one.
    if separator == ' ' {
        rest.rest = rest.rest.trim_start_matches(' ');
    }
    let hour = rest.one_or_two()?;
    rest.literal(':')?;
    let minute = rest.one_or_two()?;
    rest.literal(':')?;
    let second = rest.one_or_two()?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = rest.fraction();
    let zone = if separator == ' ' {
        rest.rest.is_empty().then(|| "Z".to_string())?
    } else {
        zone(rest.rest)?
    };
    Some(format!(
        "{date}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"
    ))
}

fn zone(text: &str) -> Option<String> {
    if text == "Z" {
        return Some("Z".into());
    }
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 6
        && matches!(bytes[0], b'+' | b'-')
        && bytes[3] == b':'
        && [1, 2, 4, 5].iter().all(|&i| bytes[i].is_ascii_digit());
    if !shaped || text[1..3].parse::<u8>().ok()? > 24 || text[4..6].parse::<u8>().ok()? > 60 {
        return None;
    }
    Some(if &text[1..] == "00:00" {
        "Z".into()
    } else {
        text.to_string()
    })
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

struct Digits<'a> {
    rest: &'a str,
}

impl Digits<'_> {
    fn one_or_two(&mut self) -> Option<u32> {
        let len = self.rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        digits.parse().ok()
    }

    fn literal(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    /// Takes the decimals of a second, of which a time keeps nine, without the zeros at the end.
    fn fraction(&mut self) -> String {
        let Some(rest) = self.rest.strip_prefix(['.', ',']) else {
            return String::new();
        };
        let len = rest.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 {
            return String::new();
        }
        let (digits, rest) = rest.split_at(len);
        self.rest = rest;
        let kept = digits[..len.min(9)].trim_end_matches('0');
        if kept.is_empty() {
            String::new()
        } else {
            format!(".{kept}")
        }
    }
}
