//! Which files of a repository are left out: `.sourceignore` files and `spec.ignore`, with the meaning that
//! Flux gives them (go-git's reading of gitignore: the last pattern that matches decides, and a file can come
//! back although its folder is excluded). Pure.

/// Always left out.
const VERSION_CONTROL: [&str; 4] = [".git/", ".gitignore", ".gitmodules", ".gitattributes"];

/// Left out unless the repository or the object gives rules of its own.
const DEFAULTS: [&str; 20] = [
    "*.jpg",
    "*.jpeg",
    "*.gif",
    "*.png",
    "*.wmv",
    "*.flv",
    "*.tar.gz",
    "*.zip",
    ".github/",
    ".circleci/",
    ".travis.yml",
    ".gitlab-ci.yml",
    "appveyor.yml",
    ".drone.yml",
    "cloudbuild.yaml",
    "codeship-services.yml",
    "codeship-steps.yml",
    "**/.goreleaser.yml",
    "**/.sops.yaml",
    "**/.flux.yaml",
];

/// The name of the files that hold rules.
pub(super) const IGNORE_FILE: &str = ".sourceignore";

/// The rules of one checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IgnoreRules {
    /// In the order of rising priority.
    patterns: Vec<Pattern>,
}

impl IgnoreRules {
    /// Puts the rules together: those of version control; the defaults, if nobody gives a rule; the files', in
    /// the order of their directories; `spec.ignore`.
    pub(super) fn new<'a>(
        files: impl IntoIterator<Item = (&'a [String], &'a str)>,
        spec: Option<&str>,
    ) -> Self {
        let mut given: Vec<Pattern> = Vec::new();
        for (directory, text) in files {
            given.extend(lines(text).map(|line| Pattern::parse(line, directory)));
        }
        given.extend(lines(spec.unwrap_or_default()).map(|line| Pattern::parse(line, &[])));
        let mut patterns: Vec<Pattern> = VERSION_CONTROL
            .iter()
            .map(|line| Pattern::parse(line, &[]))
            .collect();
        if given.is_empty() {
            patterns.extend(DEFAULTS.iter().map(|line| Pattern::parse(line, &[])));
        }
        patterns.extend(given);
        Self { patterns }
    }

    /// Whether a path, given by its parts from the root of the repository, is left out.
    pub(super) fn excludes(&self, path: &[&str], is_directory: bool) -> bool {
        self.patterns
            .iter()
            .rev()
            .find(|pattern| pattern.matches(path, is_directory))
            .is_some_and(|pattern| !pattern.includes)
    }

    /// Whether something inside an excluded directory can come back.
    pub(super) fn can_include(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.includes)
    }
}

/// The lines that are rules.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// The directory of the file that it stands in.
    domain: Vec<String>,
    parts: Vec<Part>,
    /// Begins with `!`.
    includes: bool,
    /// Ends with `/`.
    directories_only: bool,
    /// Has a `/` within, so that it is held against the path from its domain on, not against any name.
    anchored: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Before a leading `/`, or between two.
    Empty,
    /// `**`
    AnyDirectories,
    /// Holds for no name: `**` inside a name.
    Never,
    Name(Glob),
}

impl Pattern {
    fn parse(line: &str, domain: &[String]) -> Self {
        let (includes, mut text) = match line.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        if !text.ends_with("\\ ") {
            text = text.trim_end_matches(' ');
        }
        let directories_only = text.ends_with('/');
        let text = text.strip_suffix('/').unwrap_or(text);
        let anchored = text.contains('/');
        let parts = text
            .split('/')
            .map(|part| match part {
                "" if anchored => Part::Empty,
                "**" if anchored => Part::AnyDirectories,
                part if anchored && part.contains("**") => Part::Never,
                part => Part::Name(Glob::parse(part)),
            })
            .collect();
        Self {
            domain: domain.to_vec(),
            parts,
            includes,
            directories_only,
            anchored,
        }
    }

    fn matches(&self, path: &[&str], is_directory: bool) -> bool {
        let in_domain = path.len() > self.domain.len() && self.domain.iter().zip(path).all(|(a, b)| a == b);
        if !in_domain {
            return false;
        }
        let path = &path[self.domain.len()..];
        if self.anchored {
            self.matches_path(path, is_directory)
        } else {
            self.matches_name(path, is_directory)
        }
    }

    /// Any part of the path may be it: a directory's rule holds for all that is in it.
    fn matches_name(&self, path: &[&str], is_directory: bool) -> bool {
        let Some(Part::Name(glob)) = self.parts.first() else {
            return false;
        };
        match path.iter().position(|name| glob.matches(name)) {
            Some(at) => !self.directories_only || is_directory || at + 1 < path.len(),
            None => false,
        }
    }

    fn matches_path(&self, mut path: &[&str], is_directory: bool) -> bool {
        let mut matched = false;
        let mut skips_directories = false;
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Empty => skips_directories = false,
                Part::AnyDirectories if at + 1 == self.parts.len() => break,
                Part::AnyDirectories => skips_directories = true,
                Part::Never => return false,
                Part::Name(_) if path.is_empty() => return false,
                Part::Name(glob) if skips_directories => {
                    skips_directories = false;
                    let found = path.iter().position(|name| glob.matches(name));
                    matched = found.is_some();
                    path = found.map_or(&[], |found| &path[found + 1..]);
                }
                Part::Name(glob) => {
                    if !glob.matches(path[0]) {
                        return false;
                    }
                    matched = true;
                    path = &path[1..];
                }
            }
        }
        matched && !(self.directories_only && !is_directory && path.is_empty())
    }
}

/// A name with `*`, `?`, `[a-z]`, `[^a-z]` and `\`, as Go's `filepath.Match` reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Glob {
    /// `None` for a pattern that cannot be read: it matches nothing.
    tokens: Option<Vec<Token>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Literal(char),
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    fn parse(text: &str) -> Self {
        Self {
            tokens: parse_glob(text),
        }
    }

    fn matches(&self, name: &str) -> bool {
        let Some(tokens) = &self.tokens else {
            return false;
        };
        let name: Vec<char> = name.chars().collect();
        // The last `*` seen, and how much of the name it has taken: enough to go back to, as a later `*` can
        // take whatever an earlier one could.
        let (mut token, mut at) = (0, 0);
        let mut star = None;
        loop {
            if tokens.get(token) == Some(&Token::Any) {
                star = Some((token, at));
                token += 1;
            } else if at < name.len() && tokens.get(token).is_some_and(|token| token.takes(name[at])) {
                token += 1;
                at += 1;
            } else if at == name.len() && token == tokens.len() {
                return true;
            } else {
                match star {
                    Some((star_token, taken)) if taken < name.len() => {
                        star = Some((star_token, taken + 1));
                        token = star_token + 1;
                        at = taken + 1;
                    }
                    _ => return false,
                }
            }
        }
    }
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Literal(literal) => *literal == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn parse_glob(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => Token::Literal(chars.next()?),
            '[' => {
                let negated = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                loop {
                    if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
                        break;
                    }
                    let low = class_member(&mut chars)?;
                    let high = match chars.next_if_eq(&'-') {
                        Some(_) => class_member(&mut chars)?,
                        None => low,
                    };
                    ranges.push((low, high));
                }
                Token::Class { negated, ranges }
            }
            c => Token::Literal(c),
        });
    }
    Some(tokens)
}

fn class_member(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '\\' => chars.next(),
        '-' | ']' => None,
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(files: &[(&str, &str)], spec: Option<&str>, paths: &[&str]) -> Vec<String> {
        let files: Vec<(Vec<String>, &str)> = files
            .iter()
            .map(|(directory, text)| {
                (
                    directory
                        .split('/')
                        .filter(|part| !part.is_empty())
                        .map(str::to_owned)
                        .collect(),
                    *text,
                )
            })
            .collect();
        let rules = IgnoreRules::new(
            files
                .iter()
                .map(|(directory, text)| (directory.as_slice(), *text)),
            spec,
        );
        paths
            .iter()
            .filter(|path| {
                let is_directory = path.ends_with('/');
                let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
                rules.excludes(&parts, is_directory)
            })
            .map(|path| (*path).to_owned())
            .collect()
    }

    /// What Flux itself leaves out, one case a line. Made by `testdata/ignore_rules.go`.
    const EXPECTED: &str = include_str!("testdata/ignore_rules.jsonl");

    #[derive(serde::Deserialize)]
    struct Case {
        /// Directory and content of each `.sourceignore`.
        files: Vec<(String, String)>,
        spec: String,
        kept: Vec<String>,
        excluded: Vec<String>,
    }

    #[test]
    fn rules_leave_out_what_flux_leaves_out() {
        for line in EXPECTED.lines() {
            let case: Case = serde_json::from_str(line).unwrap();
            let files: Vec<(&str, &str)> = case
                .files
                .iter()
                .map(|(directory, text)| (directory.as_str(), text.as_str()))
                .collect();
            let kept: Vec<&str> = case.kept.iter().map(String::as_str).collect();
            let excluded: Vec<&str> = case.excluded.iter().map(String::as_str).collect();
            let shown = format!("{:?} {:?}", case.files, case.spec);
            assert_eq!(hidden(&files, Some(&case.spec), &kept), [""; 0], "{shown}");
            assert_eq!(hidden(&files, Some(&case.spec), &excluded), excluded, "{shown}");
        }
    }

    #[test]
    fn globs_are_read_as_go_reads_them() {
        let matches = |pattern: &str, name: &str| Glob::parse(pattern).matches(name);
        assert!(matches("*.tar.gz", "a.tar.tar.gz"));
        assert!(matches("a?c", "abc") && !matches("a?c", "ac"));
        assert!(matches("[a-c]x", "bx") && !matches("[^a-c]x", "bx"));
        assert!(matches("\\*", "*") && !matches("\\*", "a"));
        assert!(!matches("[a", "a") && !matches("[]a]", "]"));
        assert!(matches("*", "") && matches("**", "abc"));
    }
}
