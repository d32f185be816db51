//! Everything that can go wrong while a source is fetched or read, in one enum. No I/O.
//!
//! A message names the cause, the object and the remedy, and never carries a credential: URLs are stored as
//! [`Remote`](super::Remote) shows them, without user information.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::excess::Excess;
use super::object_id::ObjectId;

/// An error as its cause, kept for the chain.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// The condition reasons of Flux's source-controller that a fetch can end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The credentials are unusable, or the server refused them.
    AuthenticationFailed,
    /// The server could not be reached, or did not deliver.
    GitOperationFailed,
    /// `spec.url` cannot be used.
    UrlInvalid,
    /// The CA, the client certificate or the proxy cannot be used.
    InvalidProviderConfiguration,
    /// The repository has no commit yet.
    EmptyGitRepository,
    /// The cache directory cannot be written.
    CacheOperationFailed,
    /// The artifact cannot be produced.
    ArchiveOperationFailed,
    /// The cached objects cannot be read.
    ReadOperationFailed,
}

impl Reason {
    /// The reason as it stands in a condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::GitOperationFailed => "GitOperationFailed",
            Self::UrlInvalid => "URLInvalid",
            Self::InvalidProviderConfiguration => "InvalidProviderConfiguration",
            Self::EmptyGitRepository => "EmptyGitRepository",
            Self::CacheOperationFailed => "CacheOperationFailed",
            Self::ArchiveOperationFailed => "ArchiveOperationFailed",
            Self::ReadOperationFailed => "ReadOperationFailed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a source could not be fetched or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The URL cannot be used.
    #[error("invalid Git URL '{url}': {problem}")]
    UrlInvalid {
        /// The URL without credentials.
        url: String,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// The reference in the object cannot be used.
    #[error("invalid Git reference: {problem}")]
    ReferenceInvalid {
        /// What is wrong and what is expected.
        problem: String,
    },
    /// The credentials cannot be used at all (nothing was sent to the server).
    #[error("unusable credentials for '{url}': {problem}")]
    CredentialsInvalid {
        /// The URL without credentials.
        url: String,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// The CA, client certificate or proxy cannot be used.
    #[error("unusable connection settings for '{url}': {problem}")]
    ConnectionSettingsInvalid {
        /// The URL without credentials.
        url: String,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// The server refused the credentials, or wants some.
    #[error("access to '{url}' was refused: {problem}")]
    AuthenticationFailed {
        /// The URL without credentials.
        url: String,
        /// What the server said and what to do.
        problem: String,
    },
    /// The SSH server's host key is in no line of `known_hosts`.
    #[error(
        "the host key of {host} is unknown: the server presents {algorithm} {fingerprint}; if that is its \
         key, add this line to 'known_hosts' in the Secret: {line}"
    )]
    HostKeyUnknown {
        /// Host as it stands in `known_hosts`.
        host: String,
        /// The key's algorithm.
        algorithm: String,
        /// The key's SHA-256 fingerprint.
        fingerprint: String,
        /// The line to add.
        line: String,
    },
    /// The SSH server's host key differs from the recorded one, or was revoked.
    #[error(
        "the host key of {host} is not the recorded one: {problem}; the server presents {algorithm} \
         {fingerprint}; somebody may be intercepting the connection, so compare it with the key that the \
         server's operator publishes before replacing the line"
    )]
    HostKeyMismatch {
        /// Host as it stands in `known_hosts`.
        host: String,
        /// Which line disagrees.
        problem: String,
        /// The key's algorithm.
        algorithm: String,
        /// The key's SHA-256 fingerprint.
        fingerprint: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {host}: {problem}; check the host, the port, DNS and network policies")]
    Unreachable {
        /// Host and port.
        host: String,
        /// The cause in short.
        problem: String,
        /// The cause.
        #[source]
        cause: Option<Cause>,
    },
    /// The TLS handshake failed, mostly because the certificate is not trusted.
    #[error(
        "the TLS certificate of {host} is not accepted: {problem}; if it is signed by a private CA, put that \
         CA's certificate in 'ca.crt' of the Secret"
    )]
    CertificateRefused {
        /// Host and port.
        host: String,
        /// The cause in short.
        problem: String,
    },
    /// There is no repository at that URL, or it is hidden from these credentials.
    #[error(
        "no repository at '{url}': {problem}; check the path, and, for a private repository, that the \
         credentials may read it (servers hide what they may not)"
    )]
    RepositoryNotFound {
        /// The URL without credentials.
        url: String,
        /// What the server said.
        problem: String,
    },
    /// What answers at that URL is not a Git server.
    #[error("'{url}' is not a Git repository: {problem}; use the URL that 'git clone' takes")]
    NotARepository {
        /// The URL without credentials.
        url: String,
        /// What came instead.
        problem: String,
    },
    /// The server redirects to a place that is not followed.
    #[error("'{from}' redirects to '{to}', which is not followed: {problem}")]
    RedirectRefused {
        /// The URL without credentials.
        from: String,
        /// The target without credentials.
        to: String,
        /// Why not, and what to do.
        problem: String,
    },
    /// The server answered with an HTTP error.
    #[error("'{url}' answered with HTTP status {status}{}", status_hint(*.status))]
    HttpStatus {
        /// The URL without credentials.
        url: String,
        /// The status line.
        status: http::StatusCode,
    },
    /// The repository has no commit.
    #[error("the repository '{url}' is empty: push a first commit")]
    EmptyRepository {
        /// The URL without credentials.
        url: String,
    },
    /// The branch, tag, reference or commit does not exist, or no tag is in the range.
    #[error("{what} in '{url}'{hint}")]
    ReferenceNotFound {
        /// The URL without credentials.
        url: String,
        /// What was looked for, as the beginning of the message.
        what: String,
        /// What there is instead, with its own punctuation; may be empty.
        hint: String,
    },
    /// The server reported an error of its own.
    #[error("the server of '{url}' reports: {message}")]
    Refused {
        /// The URL without credentials.
        url: String,
        /// The message, shortened, without control characters.
        message: String,
    },
    /// The server does not follow the protocol.
    #[error("unexpected answer from '{url}': {problem}")]
    Protocol {
        /// The URL without credentials.
        url: String,
        /// What was expected and what came.
        problem: String,
    },
    /// The connection ended before the answer did.
    #[error("the connection to '{url}' was cut {during} after {received} bytes; it is tried again")]
    Interrupted {
        /// The URL without credentials.
        url: String,
        /// What was being received.
        during: &'static str,
        /// Bytes received of it.
        received: u64,
        /// The cause, if the transport gave one.
        #[source]
        cause: Option<Cause>,
    },
    /// The fetch took longer than allowed.
    #[error("fetching '{url}' took longer than {}; raise spec.timeout if the server is slow", Seconds(*.after))]
    DeadlineExceeded {
        /// The URL without credentials.
        url: String,
        /// The time allowed.
        after: Duration,
    },
    /// The repository exceeds a bound.
    #[error("'{url}' exceeds a bound: {excess}")]
    TooLarge {
        /// The URL without credentials.
        url: String,
        /// The bound and by how much.
        excess: Excess,
    },
    /// The pack is damaged or incomplete.
    #[error("'{url}' sent a pack that cannot be used: {problem}")]
    PackInvalid {
        /// The URL without credentials.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The cache directory cannot be used.
    #[error("cannot {action} '{}': {}", .path.display(), storage_problem(.cause))]
    Storage {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// Objects that should be in the cache are missing or damaged; the next fetch gets them anew.
    #[error("the cached objects of '{url}' are damaged ({problem}); the next fetch gets them anew")]
    Damaged {
        /// The URL without credentials.
        url: String,
        /// What was found.
        problem: String,
    },
    /// A path in the tree cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A task of this process ended without an answer.
    #[error("the fetch of '{url}' was abandoned")]
    Abandoned {
        /// The URL without credentials.
        url: String,
    },
}

/// A duration in seconds, with a fraction only if it has one.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

fn status_hint(status: http::StatusCode) -> &'static str {
    if status == http::StatusCode::TOO_MANY_REQUESTS {
        "; raise spec.interval, or give credentials, which have higher limits"
    } else if status.is_server_error() {
        "; the server has a problem of its own; it is tried again"
    } else {
        "; check spec.url"
    }
}

fn storage_problem(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; free space or enlarge the cache volume".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            format!("{cause}; the cache directory must be writable")
        }
        _ => cause.to_string(),
    }
}

impl SourceError {
    pub(super) fn storage(action: &'static str, path: impl AsRef<Path>, cause: io::Error) -> Self {
        Self::Storage {
            action,
            path: path.as_ref().to_owned(),
            cause,
        }
    }

    /// The reason for the object's conditions and the metric label.
    pub fn reason(&self) -> Reason {
        match self {
            Self::UrlInvalid { .. } => Reason::UrlInvalid,
            Self::CredentialsInvalid { .. }
            | Self::AuthenticationFailed { .. }
            | Self::HostKeyUnknown { .. }
            | Self::HostKeyMismatch { .. } => Reason::AuthenticationFailed,
            Self::ConnectionSettingsInvalid { .. } => Reason::InvalidProviderConfiguration,
            Self::EmptyRepository { .. } => Reason::EmptyGitRepository,
            Self::Storage { .. } => Reason::CacheOperationFailed,
            Self::Damaged { .. } | Self::Tree(_) => Reason::ReadOperationFailed,
            Self::ReferenceInvalid { .. }
            | Self::Unreachable { .. }
            | Self::CertificateRefused { .. }
            | Self::RepositoryNotFound { .. }
            | Self::NotARepository { .. }
            | Self::RedirectRefused { .. }
            | Self::HttpStatus { .. }
            | Self::ReferenceNotFound { .. }
            | Self::Refused { .. }
            | Self::Protocol { .. }
            | Self::Interrupted { .. }
            | Self::DeadlineExceeded { .. }
            | Self::TooLarge { .. }
            | Self::PackInvalid { .. }
            | Self::Abandoned { .. } => Reason::GitOperationFailed,
        }
    }

    /// Whether only a change of the object itself can help (Flux: `Stalled`), so that trying again is useless.
    /// Everything that a Secret, the server or the repository can mend is worth another try.
    pub fn is_stalled(&self) -> bool {
        matches!(self, Self::UrlInvalid { .. } | Self::ReferenceInvalid { .. })
    }
}

/// Why a path in a tree could not be read. Paths are relative to the root of the repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// Nothing is at that path, or an ignore rule hides it.
    #[error("'{path}' does not exist")]
    NotFound {
        /// The path as asked for.
        path: String,
    },
    /// A directory where a file was expected.
    #[error("'{path}' is a directory, not a file")]
    IsADirectory {
        /// The path as asked for.
        path: String,
    },
    /// A file where a directory was expected.
    #[error("'{path}' is not a directory")]
    NotADirectory {
        /// The path as asked for.
        path: String,
    },
    /// The path, or a symbolic link on it, leads out of the repository.
    #[error("'{path}' leads out of the repository")]
    OutsideTree {
        /// The path as asked for.
        path: String,
    },
    /// Symbolic links that lead to each other, or too many of them.
    #[error("'{path}' passes through too many symbolic links")]
    TooManyLinks {
        /// The path as asked for.
        path: String,
    },
    /// A file larger than the bound.
    #[error("'{path}': {excess}")]
    TooLarge {
        /// The path as asked for.
        path: String,
        /// The bound.
        excess: Excess,
    },
    /// An object is missing or damaged in the cache; the next fetch gets it anew.
    #[error("object {id} of '{path}' is damaged in the cache ({problem}); the next fetch gets it anew")]
    Damaged {
        /// The path as asked for.
        path: String,
        /// The object.
        id: ObjectId,
        /// What libgit2 says.
        problem: String,
    },
}

/// The text of a chain of errors, the outermost left out when the next says the same.
pub(super) fn chain_text(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        if !text.contains(&message) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&message);
        }
        next = error.source();
    }
    text
}

/// The most characters of a server's words that are passed on.
const MOST_SHOWN: usize = 300;

/// A server's words, fit for a condition: one line, no control characters, bounded.
pub(super) fn printable(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut shown: String = text.trim().chars().take(MOST_SHOWN).collect();
    if text.trim().chars().nth(MOST_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
