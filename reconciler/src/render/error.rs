//! Why a render failed, said so that a person can mend it. Holds no secret value.

use std::path::PathBuf;

use kustomize_rs::fs::{Fs, FsError};

use super::object::Origin;
use super::overlay::{Effective, LineOf};
use super::relative::{self, shown};
use super::secrets::SecretValues;
use super::sops::{MAX_FILE, SopsError};
use super::substitute::SubstituteError;

/// Why a render failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// `spec.path` is not in the tree.
    #[error("spec.path {} does not exist: the nearest folder that does is {}{}", shown(.path), shown(.nearest), hint(.similar))]
    NoSuchPath {
        /// The path.
        path: PathBuf,
        /// The deepest parent of it that exists.
        nearest: PathBuf,
        /// Names in that parent that look alike.
        similar: Vec<String>,
    },
    /// `spec.path` is a file.
    #[error("spec.path {} is a file: name the folder that holds it", shown(.path))]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// A folder without a kustomization file has too many files.
    #[error("{}: more than {limit} files and folders below a folder without a kustomization file; add one that names what to build", shown(.path))]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// One of `spec.components` is not a path in the tree.
    #[error("spec.components: `{component}` has to be a path in the same source, relative to spec.path")]
    RemoteComponent {
        /// The component.
        component: String,
    },
    /// The tree cannot be read.
    #[error("{}", tree_error(.0))]
    Tree(FsError),
    /// Kustomize refused.
    #[error("{message}")]
    Build {
        /// What it said, with the file and the line.
        message: String,
        /// The place, if it is one.
        origin: Option<Origin>,
    },
    /// A SOPS file cannot be decrypted.
    #[error("{}: {source}", shown(.path))]
    Decrypt {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<SopsError>,
    },
    /// An entry in the data of a Secret is a SOPS file that cannot be decrypted.
    #[error("{origin}: `data.{key}` of {object}: {source}")]
    DecryptData {
        /// The Secret.
        object: String,
        /// Where it came from.
        origin: Origin,
        /// The key in its data.
        key: String,
        /// Why.
        #[source]
        source: Box<SopsError>,
    },
    /// An object is still encrypted and nothing is to decrypt it, or nothing did.
    #[error("{origin}: {object} is encrypted with SOPS{}{}", recipients_of(.recipients), encrypted_hint(*.configured))]
    Encrypted {
        /// The object.
        object: String,
        /// Where it came from.
        origin: Origin,
        /// The age recipients that its metadata names.
        recipients: Vec<String>,
        /// Whether `spec.decryption` is set.
        configured: bool,
    },
    /// A variable's name is not valid.
    #[error("spec.postBuild: {0}")]
    Variables(#[source] SubstituteError),
    /// Variables cannot be put into an object.
    #[error("{origin}: variables in {object}: {source}")]
    Substitute {
        /// The object.
        object: String,
        /// Where it came from.
        origin: Origin,
        /// Why.
        #[source]
        source: SubstituteError,
    },
    /// With its variables replaced, an object is no YAML any more.
    #[error(
        "{origin}: {object} with its variables replaced is no YAML object: {message} (quote the `${{...}}`, or mind what its value contains)"
    )]
    Substituted {
        /// The object.
        object: String,
        /// Where it came from.
        origin: Origin,
        /// What is wrong; the line counts in the object as it was built.
        message: String,
    },
    /// A document is no Kubernetes object.
    #[error("{origin}: not a Kubernetes object: `{missing}` is missing or no text")]
    NotAnObject {
        /// Where it came from.
        origin: Origin,
        /// The field.
        missing: &'static str,
    },
    /// Two documents give the same object.
    #[error("{object} is rendered twice: by {first} and by {second}; remove one of them")]
    Duplicate {
        /// The object.
        object: String,
        /// Where the first came from.
        first: Origin,
        /// Where the second came from.
        second: Origin,
    },
    /// More objects than the limit.
    #[error("more than {limit} objects; split them into several Kustomizations")]
    TooManyObjects {
        /// The limit.
        limit: usize,
    },
    /// More bytes than the limit.
    #[error("the objects have more than {limit} bytes together; split them into several Kustomizations")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

impl RenderError {
    /// Tells kustomize's error in terms of Git's files and of the spec.
    pub(super) fn build(error: &kustomize_rs::Error, file: Option<&Effective>) -> Self {
        let message = file.map_or_else(|| error.chain(), |file| in_terms_of_git(&error.chain(), file));
        let origin = error.location().map(|location| {
            let line = location.position.map_or(0, |position| position.line);
            let written =
                file.is_none_or(|file| file.path != location.path || file.line_of(line) == LineOf::File);
            Origin {
                file: location.path.clone(),
                line: if written { line } else { 0 },
            }
        });
        Self::Build { message, origin }
    }

    /// Takes decrypted values out of what kustomize said: it may quote what it could not merge.
    pub(super) fn redacted(self, secrets: &SecretValues) -> Self {
        match self {
            Self::Build { message, origin } => Self::Build {
                message: secrets.redact(&message),
                origin,
            },
            other => other,
        }
    }

    /// Names files as Git does in what kustomize said.
    pub(super) fn relative_to_root(self, fs: &dyn Fs) -> Self {
        match self {
            Self::Build { message, origin } => Self::Build {
                message: relative::in_text(fs, &message),
                origin,
            },
            other => other,
        }
    }

    /// Whether trying again with the same input could end otherwise: never, since a render is pure.
    /// Only the tree underneath may fail for a reason of its own.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Tree(FsError::Other { .. }))
    }
}

impl From<FsError> for RenderError {
    fn from(error: FsError) -> Self {
        Self::Tree(error)
    }
}

/// Each of them begins with its path.
fn tree_error(error: &FsError) -> String {
    let text = error.to_string();
    text.strip_prefix('/').unwrap_or(&text).to_owned()
}

/// Replaces places in an effective kustomization file that nobody wrote: by the spec's field, or by
/// nothing at all.
fn in_terms_of_git(message: &str, file: &Effective) -> String {
    let path = format!("{}:", file.path.display());
    let mut pieces = message.split(&path);
    let mut told = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.len()
            - piece
                .trim_start_matches(|c: char| c.is_ascii_digit() || c == ':')
                .len();
        let (place, rest) = piece.split_at(digits);
        let line = place
            .split(':')
            .next()
            .and_then(|line| line.parse().ok())
            .unwrap_or(0);
        match file.line_of(line) {
            LineOf::File => told.push_str(&format!("{path}{piece}")),
            LineOf::Spec(field) => told.push_str(&format!("spec.{field}:{rest}")),
            LineOf::Nothing => told.push_str(rest.trim_start()),
        }
    }
    told
}

fn hint(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        names => format!(" (there is {} in it)", quoted(names)),
    }
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn recipients_of(recipients: &[String]) -> String {
    match recipients {
        [] => String::new(),
        recipients => format!(" to {}", recipients.join(", ")),
    }
}

fn encrypted_hint(configured: bool) -> String {
    if configured {
        format!(
            ", and was not decrypted: its sops metadata is incomplete, or it stands within another document; keep each encrypted object in a document of its own, below {MAX_FILE} bytes"
        )
    } else {
        ", and spec.decryption is missing: set its provider to `sops` and its secretRef to a Secret that holds the identity".to_owned()
    }
}
