//! Errors as the program reports them: what went wrong, what to do, and the exit code. No I/O.

use std::error::Error as StdError;
use std::fmt;

/// Kinds of errors; each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command did its work and the answer is no: there are differences, a reconciliation failed, no controller
    /// works.
    Negative,
    /// The command line says something that cannot be done.
    Usage,
    /// An object, namespace or file that was named does not exist.
    NotFound,
    /// The cluster cannot be reached, refuses, or lacks Coracle's definitions.
    Cluster,
    /// Files that were read are wrong.
    Input,
    /// What was waited for did not happen in time.
    Timeout,
    /// The machine does not let it: an address is taken, a file or directory cannot be written.
    Machine,
    /// Whoever reads the output stopped reading; this is no failure.
    BrokenPipe,
    /// A part of the program failed in a way that no other kind describes.
    Internal,
}

impl Kind {
    /// Every kind that has an exit code of its own, for the documentation.
    pub const ALL: [Self; 9] = [
        Self::BrokenPipe,
        Self::Negative,
        Self::Usage,
        Self::NotFound,
        Self::Cluster,
        Self::Input,
        Self::Timeout,
        Self::Machine,
        Self::Internal,
    ];

    /// The exit code. `diff` promises 0 for none, 1 for changes, more for errors.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Negative => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Cluster => 4,
            Self::Input => 5,
            Self::Timeout => 6,
            Self::Machine => 7,
            Self::Internal => 70,
        }
    }

    /// When a command ends with this code, in a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::BrokenPipe => "The command did what it was asked to do.",
            Self::Negative => {
                "It worked, and the answer is no: there are differences, a reconciliation failed, or no controller works."
            }
            Self::Usage => "The command line is wrong.",
            Self::NotFound => "An object or file that was named does not exist.",
            Self::Cluster => "The cluster cannot be reached, refuses, or Coracle is not installed in it.",
            Self::Input => "Files that were read are wrong.",
            Self::Timeout => "What was waited for did not happen in time.",
            Self::Machine => {
                "This machine does not let it: an address is taken, or a file or directory cannot be written."
            }
            Self::Internal => "A part of Coracle failed; this is a bug.",
        }
    }
}

/// An error with its kind and what to do about it.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind. The message is a lower-case fragment.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
            source: None,
        }
    }

    /// The answer is no, and the output said so already.
    #[must_use]
    pub fn answered() -> Self {
        Self::said(Kind::Negative)
    }

    /// The output said already what it is.
    #[must_use]
    pub fn said(kind: Kind) -> Self {
        Self::new(kind, "")
    }

    /// Whether there is nothing more to say about it.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.kind == Kind::BrokenPipe || self.message.is_empty()
    }

    /// Adds what to do about it: a sentence.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Makes it the cause of this error; what to do stays.
    #[must_use]
    pub fn at_last(self, kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: self.hints.clone(),
            source: Some(Box::new(self)),
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do about it.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::new(Kind::BrokenPipe, "nobody reads the output");
        }
        Self::new(Kind::Machine, "cannot write the output").caused_by(error)
    }
}

/// The name among `known` that `wanted` was probably meant to be.
#[must_use]
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = wanted.chars().count().div_ceil(3).max(1);
    known
        .into_iter()
        .map(|name| (distance(wanted, name), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance: insertions, deletions and replacements of characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_recognised_and_a_different_one_is_not() {
        let known = ["apps", "infrastructure", "monitoring"];
        assert_eq!(nearest("app", known), Some("apps"));
        assert_eq!(nearest("infrastucture", known), Some("infrastructure"));
        assert_eq!(nearest("database", known), None);
    }

    #[test]
    fn exit_codes_do_not_collide() {
        let codes: std::collections::BTreeSet<u8> = Kind::ALL.iter().map(|kind| kind.exit_code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
    }
}
