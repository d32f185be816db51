//! What can go wrong in a build, said so that a person can mend it. Pure.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::fs::FsError;
use crate::yaml::{LoadError, Position};

/// A build that failed: what failed, where, and why.
///
/// The message is one line that names the file and, where known, line, column and field; the causes
/// follow by [`std::error::Error::source`]. [`Error::chain`] prints all of them.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    location: Option<Location>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub path: PathBuf,
    /// The place in it, if known.
    pub position: Option<Position>,
}

/// The kinds of failure, for programs that act on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file or directory is missing or cannot be read.
    File,
    /// A text is not YAML, or not of the form that is needed.
    Syntax,
    /// A kustomization file asks for something that does not exist or contradicts itself.
    Kustomization,
    /// A file outside of the directory that a kustomization may read from.
    LoadRestriction,
    /// Something on another machine could not be fetched.
    Remote,
    /// A field, or a use of one, that this version does not do.
    Unsupported,
    /// The resources contradict each other or what is done with them.
    Resource,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            location: None,
            source: None,
        }
    }

    pub(crate) fn kustomization(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Kustomization, message)
    }

    pub(crate) fn resource(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Resource, message)
    }

    pub(crate) fn syntax(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Syntax, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Something on another machine could not be fetched; for implementations of [`Remote`](crate::Remote).
    ///
    /// # Examples
    /// ```
    /// use kustomize_rs::{Error, ErrorKind};
    /// assert_eq!(Error::remote("github.com/org/repo: not found").kind(), ErrorKind::Remote);
    /// ```
    pub fn remote(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Remote, message)
    }

    /// Wraps a text that could not be loaded with the file that it stands in.
    #[expect(clippy::needless_pass_by_value, reason = "it is made for `map_err`")]
    pub(crate) fn load(path: &Path, error: LoadError) -> Self {
        let position = error.position();
        let message = match &error {
            LoadError::Syntax { message, .. } => message.clone(),
            other => other.to_string(),
        };
        Self::syntax(message).at(path, position)
    }

    /// Says where the error is, unless that is known already.
    pub(crate) fn at(mut self, path: &Path, position: Option<Position>) -> Self {
        let position = position.filter(|p| p.line > 0);
        if self.location.is_none() {
            self.location = Some(Location {
                path: path.to_path_buf(),
                position,
            });
        }
        self
    }

    /// Puts a sentence in front: what was being done.
    pub(crate) fn context(self, message: impl Into<String>) -> Self {
        Self {
            kind: self.kind,
            message: message.into(),
            location: None,
            source: Some(Box::new(self)),
        }
    }

    /// Whether it already names this place.
    pub(crate) fn is_at(&self, path: &Path, position: Position) -> bool {
        self.location
            .as_ref()
            .is_some_and(|location| location.path == path && location.position == Some(position))
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The most precise place that is known, through all causes.
    #[must_use]
    pub fn location(&self) -> Option<&Location> {
        let inner = self
            .source
            .as_ref()
            .and_then(|s| s.downcast_ref::<Self>())
            .and_then(Self::location);
        inner.or(self.location.as_ref())
    }

    /// Prints the message and all of its causes on one line, from the outermost to the root.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{}", location.path.display())?;
            if let Some(position) = location.position {
                write!(f, ":{position}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_ref()
            .map(|s| s.as_ref() as &(dyn std::error::Error + 'static))
    }
}

impl From<FsError> for Error {
    fn from(error: FsError) -> Self {
        Self {
            kind: ErrorKind::File,
            message: error.to_string(),
            location: None,
            source: None,
        }
    }
}

/// Finds the known name that a misspelt one is closest to, for a hint.
pub(crate) fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + name.len() / 5;
    let scored = known
        .into_iter()
        .map(|k| (distance(&name.to_lowercase(), &k.to_lowercase()), k));
    scored
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// How many letters must be added, removed or replaced to get from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
