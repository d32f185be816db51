//! SOPS files encrypted to age keys: cipher text and identities in, plain text out. Pure.
//!
//! ```text
//! text --yaml|json|dotenv|ini--> tree + metadata --keys--> data key --tree--> plain tree + MAC --> text
//! ```
//! The rules are those of getsops/sops 3.13. Unlike Flux, the MAC is verified: it covers every leaf
//! in document order (unless a file says `mac_only_encrypted`), so that nobody without the data key
//! can move, drop or change anything that it covers.

mod cipher;
mod dotenv;
mod ini;
mod json;
mod keys;
mod metadata;
mod reader;
mod shamir;
mod spelling;
mod tree;
mod yaml;

pub use cipher::CipherError;
pub use keys::{Keyring, KeyringError};
pub(super) use reader::{Decrypting, decrypt_secret_data, recipients_if_encrypted};

use super::secrets::SecretValues;
use metadata::Metadata;
use tree::Value;

/// The largest file that is decrypted, in bytes; Flux's bound.
pub const MAX_FILE: usize = 5 * 1024 * 1024;

type Secrets = SecretValues;

/// How a SOPS file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Documents whose structure stays readable.
    Yaml,
    /// One object whose structure stays readable.
    Json,
    /// `KEY=value` lines.
    Dotenv,
    /// Sections of `key = value` lines.
    Ini,
    /// Anything else, in the `data` of a JSON object.
    Binary,
}

impl Format {
    /// What Flux takes a file or the key of a Secret for, by its name.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        match () {
            () if ends(&[".yaml", ".yml"]) => Format::Yaml,
            () if ends(&[".json", ".dockerconfigjson"]) => Format::Json,
            () if ends(&[".env"]) => Format::Dotenv,
            () if ends(&[".ini"]) => Format::Ini,
            () => Format::Binary,
        }
    }

    /// Whether a SOPS file shows by its metadata that it is written so.
    fn shows_in(self, text: &str) -> bool {
        match self {
            Format::Json | Format::Binary => text.trim_start().starts_with('{'),
            Format::Dotenv => text.contains("sops_mac=ENC["),
            Format::Ini => text.contains("[sops]"),
            Format::Yaml => text.contains("mac: ENC["),
        }
    }
}

/// Why a SOPS file could not be decrypted. Never holds a value of the file.
#[derive(Debug, thiserror::Error)]
pub enum SopsError {
    /// None of the identities is one of the file's recipients.
    #[error(transparent)]
    NoKey(Box<NoKey>),
    /// The file is not what was encrypted.
    #[error(
        "the file was changed after sops encrypted it: its MAC does not match. Values that are not encrypted count too; if the change is meant, run `sops edit --ignore-mac` on the file and save it"
    )]
    Mac,
    /// One value cannot be decrypted.
    #[error("the value at `{path}` cannot be decrypted: {source}")]
    Value {
        /// The keys on the way to it.
        path: String,
        /// Why.
        #[source]
        source: CipherError,
    },
    /// A value that has to be encrypted by the file's own rules is not a text.
    #[error("the value at `{path}` is not encrypted, though the file's rules say it is")]
    NotEncrypted {
        /// The keys on the way to it.
        path: String,
    },
    /// The file's `sops` part cannot be used.
    #[error("its sops metadata cannot be used: {0}")]
    Metadata(String),
    /// The file's text cannot be read.
    #[error("not {format} that sops would write: {message}")]
    Syntax {
        /// The format it was read as.
        format: &'static str,
        /// Where and what, without any value.
        message: String,
    },
    /// The file uses something that is not done yet.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The content is not text and the format cannot hold it.
    #[error("its content is not text that this format can hold")]
    NotText,
    /// A file that goes into a Secret and into a ConfigMap.
    #[error(
        "it is encrypted, and named by both a secretGenerator and a configMapGenerator: its plain text must not stand in a ConfigMap"
    )]
    InConfigMap,
    /// Too large to be decrypted.
    #[error("larger than the limit of {MAX_FILE} bytes for encrypted files")]
    TooLarge,
}

/// What there is to know when no identity fits.
#[derive(Debug)]
pub struct NoKey {
    /// Whom the file is encrypted to.
    pub recipients: Vec<String>,
    /// Where the identities came from; empty if there are none.
    pub origin: String,
    /// Their public keys.
    pub held: Vec<String>,
    /// How many key groups have to be opened.
    pub groups_needed: usize,
    /// How many were.
    pub groups_opened: usize,
}

impl std::fmt::Display for NoKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "no key for it: it is encrypted to {}",
            self.recipients.join(", ")
        )?;
        if self.groups_needed > 1 {
            write!(
                f,
                " in key groups of which {} are needed and {} could be opened",
                self.groups_needed, self.groups_opened
            )?;
        }
        if self.origin.is_empty() {
            return write!(
                f,
                "; name a Secret in spec.decryption.secretRef that holds the identity of one of them in a key that ends in `.agekey`"
            );
        }
        write!(
            f,
            "; {} holds {}",
            self.origin,
            if self.held.is_empty() {
                "no identity".to_owned()
            } else {
                format!("the identity of {}", self.held.join(", "))
            }
        )?;
        write!(
            f,
            ". Put the identity of a recipient there, in a key that ends in `.agekey`, or encrypt the file to what is there"
        )
    }
}

impl std::error::Error for NoKey {}

/// Plain text, and the values that had been encrypted.
pub(super) struct Plain {
    pub(super) text: Vec<u8>,
    pub(super) secrets: Secrets,
}

/// A cheap test: whether `bytes` could be a SOPS file in any format.
pub(super) fn may_be_encrypted(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains(cipher::PREFIX) && text.contains("sops"))
}

/// Decrypts a whole file; `None` if it has no sops metadata, and so is none.
pub(super) fn decrypt_file(
    bytes: &[u8],
    format: Format,
    keyring: &Keyring,
) -> Result<Option<Plain>, SopsError> {
    if bytes.len() > MAX_FILE {
        return Err(SopsError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| SopsError::NotText)?;
    match format {
        Format::Yaml => yaml::decrypt_text(text, keyring),
        Format::Json => decrypt_tree(json::load(text)?, keyring, |tree| {
            json::emit(tree).map(String::into_bytes)
        }),
        Format::Binary => decrypt_tree(json::load(text)?, keyring, binary),
        Format::Dotenv => {
            let (metadata, tree) = dotenv::load(text)?;
            decrypt_flat(metadata, tree, keyring, dotenv::emit)
        }
        Format::Ini => {
            let (metadata, tree) = ini::load(text)?;
            decrypt_flat(metadata, tree, keyring, ini::emit)
        }
    }
}

fn binary(tree: &Value) -> Result<Vec<u8>, SopsError> {
    match tree.get("data") {
        Some(Value::Text(text)) => Ok(text.clone().into_bytes()),
        Some(Value::Bytes(bytes)) => Ok(bytes.clone()),
        _ => Err(SopsError::Syntax {
            format: "a binary file",
            message: "`data` is missing or no text".to_owned(),
        }),
    }
}

fn decrypt_tree(
    tree: Value,
    keyring: &Keyring,
    emit: impl Fn(&Value) -> Result<Vec<u8>, SopsError>,
) -> Result<Option<Plain>, SopsError> {
    let mut documents = [tree];
    let Some(metadata) = metadata::extract(&mut documents) else {
        return Ok(None);
    };
    let secrets = decrypt_documents(&metadata, documents.iter_mut(), keyring)?;
    Ok(Some(Plain {
        text: emit(&documents[0])?,
        secrets,
    }))
}

fn decrypt_flat(
    metadata: Option<Value>,
    mut tree: Value,
    keyring: &Keyring,
    emit: impl Fn(&Value) -> Result<String, SopsError>,
) -> Result<Option<Plain>, SopsError> {
    let Some(metadata) = metadata else { return Ok(None) };
    let secrets = decrypt_documents(&metadata, std::iter::once(&mut tree), keyring)?;
    Ok(Some(Plain {
        text: emit(&tree)?.into_bytes(),
        secrets,
    }))
}

/// Decrypts the documents of one file in place and verifies its MAC.
fn decrypt_documents<'d>(
    metadata: &Value,
    documents: impl Iterator<Item = &'d mut Value>,
    keyring: &Keyring,
) -> Result<Secrets, SopsError> {
    let metadata = Metadata::read(metadata)?;
    let key = keyring.data_key(&metadata)?;
    decrypt_with(&key, &metadata, documents)
}

fn decrypt_with<'d>(
    key: &cipher::DataKey,
    metadata: &Metadata,
    documents: impl Iterator<Item = &'d mut Value>,
) -> Result<Secrets, SopsError> {
    let mut decryption = tree::Decryption::new(key, &metadata.rule, metadata.only_encrypted);
    for document in documents {
        decryption.document(document)?;
    }
    let (mac, secrets) = decryption.finish();
    match key.open(&metadata.mac, &metadata.last_modified) {
        Ok(cipher::Opened::Text(expected)) if expected == mac => Ok(secrets),
        _ => Err(SopsError::Mac),
    }
}

#[cfg(test)]
mod tests;
