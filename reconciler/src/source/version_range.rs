//! Ranges of semantic versions in the notation of Masterminds/semver, which Flux uses for `spec.ref.semver`:
//! comparisons joined by space or comma (and) and by `||` (or), wildcards, `~`, `^` and `1.2 - 1.4`. Pure.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use semver::{BuildMetadata, Prerelease, Version};

/// A range of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange {
    text: String,
    alternatives: Vec<Vec<Comparison>>,
}

/// Why a text is not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{part}' is not a comparison; write for example '>=1.0.0 <2.0.0', '1.x', '~1.2' or '^1'")]
pub struct InvalidRange {
    part: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    /// Also no operator at all: equal, or `~` if parts are left open.
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

/// The first part of a version that is left open (absent or a wildcard).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Open {
    Major,
    Minor,
    Patch,
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    /// Open parts are zero.
    version: Version,
    open: Open,
}

/// Longest first, so that none hides a longer one.
const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

impl FromStr for VersionRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let alternatives = text
            .split("||")
            .map(parse_alternative)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            alternatives,
        })
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl VersionRange {
    /// Whether the version is in the range. A pre-release is only if one of the comparisons it is held against
    /// names a pre-release itself.
    pub fn contains(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|comparisons| {
            let pre_releases = comparisons
                .iter()
                .any(|comparison| !comparison.version.pre.is_empty());
            (pre_releases || version.pre.is_empty())
                && comparisons.iter().all(|comparison| comparison.holds(version))
        })
    }
}

fn parse_alternative(text: &str) -> Result<Vec<Comparison>, InvalidRange> {
    let invalid = || InvalidRange {
        part: text.trim().to_owned(),
    };
    let mut comparisons = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let (operator, after) = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((Some(*operator), rest.strip_prefix(sign)?)))
            .unwrap_or((None, rest));
        let (version, after) = split_version(after.trim_start());
        let hyphen = after
            .trim_start()
            .strip_prefix('-')
            .filter(|upper| operator.is_none() && upper.starts_with(char::is_whitespace));
        rest = match hyphen {
            Some(upper) => {
                let (upper, after) = split_version(upper.trim_start());
                comparisons.push(parse_comparison(Operator::GreaterOrEqual, version).ok_or_else(invalid)?);
                comparisons.push(parse_comparison(Operator::LessOrEqual, upper).ok_or_else(invalid)?);
                after
            }
            None => {
                let operator = operator.unwrap_or(Operator::Equal);
                comparisons.push(parse_comparison(operator, version).ok_or_else(invalid)?);
                after
            }
        };
        let next = rest.trim_start();
        if next.is_empty() {
            return Ok(comparisons);
        }
        rest = next.strip_prefix(',').unwrap_or(next).trim_start();
    }
}

fn split_version(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| c == ',' || c.is_whitespace())
            .unwrap_or(text.len()),
    )
}

fn parse_comparison(operator: Operator, text: &str) -> Option<Comparison> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, build) = match text.split_once('+') {
        Some((text, build)) => (text, BuildMetadata::new(build).ok()?),
        None => (text, BuildMetadata::EMPTY),
    };
    let (numbers, pre) = match text.split_once('-') {
        Some((numbers, pre)) if !pre.is_empty() => (numbers, Prerelease::new(pre).ok()?),
        Some(_) => return None,
        None => (text, Prerelease::EMPTY),
    };
    let mut parts = numbers.split('.');
    let major = part(parts.next()?)?;
    let minor = parts.next().map_or(Some(None), part)?;
    let patch = parts.next().map_or(Some(None), part)?;
    if parts.next().is_some() {
        return None;
    }
    let (open, major, minor, patch) = match (major, minor, patch) {
        (None, _, _) => (Open::Major, 0, 0, 0),
        (Some(major), None, _) => (Open::Minor, major, 0, 0),
        (Some(major), Some(minor), None) => (Open::Patch, major, minor, 0),
        (Some(major), Some(minor), Some(patch)) => (Open::Nothing, major, minor, patch),
    };
    Some(Comparison {
        operator,
        version: Version {
            major,
            minor,
            patch,
            pre,
            build,
        },
        open,
    })
}

/// A number, or `Some(None)` for a wildcard.
fn part(text: &str) -> Option<Option<u64>> {
    match text {
        "x" | "X" | "*" => Some(None),
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok().map(Some),
        _ => None,
    }
}

impl Comparison {
    fn holds(&self, version: &Version) -> bool {
        let order = version.cmp_precedence(&self.version);
        match self.operator {
            Operator::Equal if self.open == Open::Nothing => order == Ordering::Equal,
            Operator::Equal | Operator::Tilde => self.tilde(version, order),
            Operator::NotEqual => self.differs(version, order),
            Operator::Greater => self.greater(version, order),
            Operator::Less => order == Ordering::Less,
            Operator::GreaterOrEqual => order != Ordering::Less,
            Operator::LessOrEqual => self.less_or_equal(version, order),
            Operator::Caret => self.caret(version, order),
        }
    }

    fn differs(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        match self.open {
            Open::Nothing => order != Ordering::Equal,
            _ if wanted.major != version.major => true,
            Open::Minor => false,
            _ if wanted.minor != version.minor => true,
            // `!=*`, taken literally by Masterminds/semver: only 0.0.0 is excluded.
            Open::Major => wanted.patch != version.patch || order != Ordering::Equal,
            Open::Patch => wanted.pre != version.pre,
        }
    }

    fn greater(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        match self.open {
            Open::Nothing => order == Ordering::Greater,
            _ if version.major != wanted.major => version.major > wanted.major,
            Open::Minor => false,
            Open::Patch => version.minor > wanted.minor,
            Open::Major => order == Ordering::Greater,
        }
    }

    fn less_or_equal(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        match self.open {
            Open::Nothing => order != Ordering::Greater,
            _ if version.major > wanted.major => false,
            Open::Minor => true,
            _ => version.major < wanted.major || version.minor <= wanted.minor,
        }
    }

    /// Patches are free; so is the minor version if it is left open; everything is for `~*` and `~0.0.0`.
    fn tilde(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        if order == Ordering::Less {
            return false;
        }
        let zero = (wanted.major, wanted.minor, wanted.patch) == (0, 0, 0);
        if zero && matches!(self.open, Open::Major | Open::Nothing) {
            return true;
        }
        version.major == wanted.major && (version.minor == wanted.minor || self.open == Open::Minor)
    }

    /// Everything right of the first number that is not zero is free.
    fn caret(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        if order == Ordering::Less {
            return false;
        }
        if wanted.major > 0 || self.open == Open::Minor {
            return version.major == wanted.major;
        }
        if version.major > 0 {
            return false;
        }
        if wanted.minor > 0 || self.open == Open::Patch {
            return version.minor == wanted.minor;
        }
        version.minor == 0 && version.patch == wanted.patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every range against every version, as Masterminds/semver answers: one line a range, `1` for each
    /// version that is contained. Made by `testdata/version_ranges.go`.
    const EXPECTED: &str = include_str!("testdata/version_ranges.txt");

    #[test]
    fn ranges_contain_what_masterminds_semver_says() {
        let mut lines = EXPECTED.lines();
        let versions: Vec<Version> = lines
            .next()
            .unwrap()
            .split(' ')
            .map(|version| version.parse().unwrap())
            .collect();
        let mut checked = 0;
        for line in lines {
            let (range, expected) = line.split_once('\t').unwrap();
            let answer = match range.parse::<VersionRange>() {
                Err(_) => "invalid".to_owned(),
                Ok(range) => versions
                    .iter()
                    .map(|version| if range.contains(version) { '1' } else { '0' })
                    .collect(),
            };
            assert_eq!(answer, expected, "{range}");
            checked += 1;
        }
        assert!(checked > 100, "only {checked} ranges");
    }

    #[test]
    fn an_invalid_range_shows_how_to_write_one() {
        assert_eq!(
            ">=1.0.0 <two".parse::<VersionRange>().unwrap_err().to_string(),
            "'>=1.0.0 <two' is not a comparison; write for example '>=1.0.0 <2.0.0', '1.x', '~1.2' or '^1'"
        );
    }
}
