//! Who can decrypt: age identities as a Secret holds them, and the data key of a file. Pure.

use std::collections::BTreeMap;
use std::io::Read as _;

use age::secrecy::ExposeSecret as _;

use super::cipher::DataKey;
use super::metadata::{AgeRecipient, KeyGroup, Metadata};
use super::{SopsError, shamir};

/// The ending of a Secret's keys whose values are age identities.
const AGE_EXTENSION: &str = ".agekey";

/// A data key has 32 bytes and a share one more; anything much longer is not one.
const MAX_DATA_KEY: u64 = 1024;

/// The age identities to decrypt with, and where they come from.
#[derive(Clone, Default)]
pub struct Keyring {
    origin: String,
    identities: Vec<age::x25519::Identity>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring")
            .field("origin", &self.origin)
            .field("holds", &self.public_keys())
            .finish()
    }
}

/// Why a Secret does not make a keyring. Never holds a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// No key of the Secret ends in `.agekey`.
    #[error("{origin} has no key that ends in `.agekey`, as age identities need{}", near_misses(.similar, .other))]
    NoIdentity {
        /// The Secret.
        origin: String,
        /// Keys that look as if they were meant to.
        similar: Vec<String>,
        /// Keys for other kinds of decryption, which are not supported.
        other: Vec<String>,
    },
    /// A line that is not an identity.
    #[error("{origin}: line {line} of `{key}` is not an age identity (AGE-SECRET-KEY-1…){}", .hint)]
    NotAnIdentity {
        /// The Secret.
        origin: String,
        /// Its key.
        key: String,
        /// The line in its value.
        line: usize,
        /// What it seems to be instead, with a leading separator, or nothing.
        hint: &'static str,
    },
}

fn near_misses(similar: &[String], other: &[String]) -> String {
    let quoted = |keys: &[String]| {
        keys.iter()
            .map(|key| format!("`{key}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut text = String::new();
    if !similar.is_empty() {
        text += &format!(
            "; {} looks like one: rename it to end in `.agekey`",
            quoted(similar)
        );
    }
    if !other.is_empty() {
        text += &format!(
            "; {} is of a kind that is not supported: only age is",
            quoted(other)
        );
    }
    text
}

impl Keyring {
    /// The identities in the values of a Secret; `origin` is how errors name it.
    ///
    /// # Errors
    /// No key that ends in `.agekey`, or a value that does not hold age identities.
    pub fn from_secret(origin: &str, data: &BTreeMap<String, Vec<u8>>) -> Result<Self, KeyringError> {
        let mut keyring = Self {
            origin: origin.to_owned(),
            identities: Vec::new(),
        };
        let mut found = false;
        for (key, value) in data.iter().filter(|(key, _)| key.ends_with(AGE_EXTENSION)) {
            found = true;
            keyring.import(key, value)?;
        }
        if found {
            return Ok(keyring);
        }
        let similar = |(key, value): &(&String, &Vec<u8>)| {
            key.to_ascii_lowercase().contains("age")
                || String::from_utf8_lossy(value).contains("AGE-SECRET-KEY-")
        };
        let other = |(key, _): &(&String, &Vec<u8>)| key.ends_with(".asc") || key.starts_with("sops.");
        Err(KeyringError::NoIdentity {
            origin: origin.to_owned(),
            similar: data.iter().filter(similar).map(|(key, _)| key.clone()).collect(),
            other: data.iter().filter(other).map(|(key, _)| key.clone()).collect(),
        })
    }

    fn import(&mut self, key: &str, value: &[u8]) -> Result<(), KeyringError> {
        for (index, line) in String::from_utf8_lossy(value).lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let identity = line.parse().map_err(|_| KeyringError::NotAnIdentity {
                origin: self.origin.clone(),
                key: key.to_owned(),
                line: index + 1,
                hint: instead_of_identity(line),
            })?;
            self.identities.push(identity);
        }
        Ok(())
    }

    /// The public keys of the identities, as they stand in a file's recipients.
    #[must_use]
    pub fn public_keys(&self) -> Vec<String> {
        self.identities
            .iter()
            .map(|identity| identity.to_public().to_string())
            .collect()
    }

    /// Where the identities come from, such as `Secret/flux-system/sops-age`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The identities themselves, so that they can be redacted wherever they might show.
    #[must_use]
    pub fn secret_keys(&self) -> Vec<String> {
        self.identities
            .iter()
            .map(|identity| identity.to_string().expose_secret().to_owned())
            .collect()
    }

    /// The data key of a file.
    pub(super) fn data_key(&self, metadata: &Metadata) -> Result<DataKey, SopsError> {
        let bytes = match metadata.groups.as_slice() {
            [group] => self
                .open_group(group)
                .ok_or_else(|| self.no_key(metadata, 1, 0))?,
            groups => {
                let shares: Vec<_> = groups.iter().filter_map(|group| self.open_group(group)).collect();
                if shares.len() < metadata.threshold {
                    return Err(self.no_key(metadata, metadata.threshold, shares.len()));
                }
                shamir::combine(&shares).ok_or_else(|| {
                    SopsError::Metadata("the shares of its data key do not fit together".to_owned())
                })?
            }
        };
        DataKey::new(&bytes)
            .ok_or_else(|| SopsError::Metadata("its data key does not have 32 bytes".to_owned()))
    }

    fn no_key(&self, metadata: &Metadata, needed: usize, opened: usize) -> SopsError {
        SopsError::NoKey(Box::new(super::NoKey {
            recipients: metadata.recipients(),
            origin: self.origin.clone(),
            held: self.public_keys(),
            groups_needed: needed,
            groups_opened: opened,
        }))
    }

    fn open_group(&self, group: &KeyGroup) -> Option<Vec<u8>> {
        group.age.iter().find_map(|recipient| self.open(recipient))
    }

    fn open(&self, recipient: &AgeRecipient) -> Option<Vec<u8>> {
        let armored = age::armor::ArmoredReader::new(recipient.encrypted.as_bytes());
        let decryptor = age::Decryptor::new_buffered(armored).ok()?;
        let identities = self
            .identities
            .iter()
            .map(|identity| identity as &dyn age::Identity);
        let mut bytes = Vec::new();
        decryptor
            .decrypt(identities)
            .ok()?
            .take(MAX_DATA_KEY)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(bytes)
    }
}

fn instead_of_identity(line: &str) -> &'static str {
    match () {
        () if line.starts_with("age1") => ": that is a public key, which encrypts only",
        () if line.starts_with("AGE-PLUGIN-") => ": plugins cannot run here",
        () if line.starts_with("AGE-SECRET-KEY-PQ-1") => ": post-quantum identities are not supported yet",
        () if line.starts_with("-----BEGIN") => ": SSH and PGP keys are not supported",
        () => "",
    }
}
