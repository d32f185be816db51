//! The content of a SOPS file, in its own order: what is decrypted and what the MAC covers. Pure.

use regex::Regex;
use sha2::{Digest, Sha512};

use super::cipher::{DataKey, Opened};
use super::{Secrets, SopsError};

/// Prefixed to the hash when only encrypted values are covered: the SHA-256 of `sops`.
const MAC_ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b,
    0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

/// A value of the tree.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A time in RFC 3339 as Go writes it.
    Time(String),
    Text(String),
    /// A text that is not UTF-8.
    Bytes(Vec<u8>),
    Map(Vec<Item>),
    List(Vec<Value>),
    /// A list may hold an encrypted comment among its values.
    Comment(String),
}

/// One line of a mapping.
#[derive(Clone, PartialEq)]
pub(super) enum Item {
    Entry(String, Value),
    Comment(String),
}

impl Value {
    /// The value of a key of a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let Value::Map(items) = self else { return None };
        items.iter().find_map(|item| match item {
            Item::Entry(name, value) if name == key => Some(value),
            _ => None,
        })
    }

    /// The text of a scalar, numbers and booleans included, since metadata is read leniently.
    pub(super) fn as_text(&self) -> Option<String> {
        match self {
            Value::Text(text) | Value::Time(text) => Some(text.clone()),
            Value::Int(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> &[Value] {
        if let Value::List(items) = self { items } else { &[] }
    }

    /// What the MAC hashes of a leaf; nothing of a null or a comment.
    fn write_to(&self, hash: &mut Sha512) {
        match self {
            Value::Bool(flag) => hash.update(if *flag { "True" } else { "False" }),
            Value::Int(number) => hash.update(number.to_string()),
            // Rust prints the shortest decimal without an exponent, as Go's 'f' with -1 does.
            Value::Float(number) => hash.update(number.to_string()),
            Value::Time(text) | Value::Text(text) => hash.update(text),
            Value::Bytes(bytes) => hash.update(bytes),
            Value::Null | Value::Comment(_) | Value::Map(_) | Value::List(_) => {}
        }
    }
}

/// Which leaves of a file are encrypted, by the keys on the way to them.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// All but those below a key with this ending.
    UnencryptedSuffix(String),
    /// Only those below a key with this ending.
    EncryptedSuffix(String),
    /// All but those below a key that matches.
    UnencryptedRegex(Regex),
    /// Only those below a key that matches.
    EncryptedRegex(Regex),
}

impl Rule {
    fn encrypts(&self, path: &[String]) -> bool {
        match self {
            Rule::UnencryptedSuffix(suffix) => !path.iter().any(|key| key.ends_with(suffix)),
            Rule::EncryptedSuffix(suffix) => path.iter().any(|key| key.ends_with(suffix)),
            Rule::UnencryptedRegex(regex) => !path.iter().any(|key| regex.is_match(key)),
            Rule::EncryptedRegex(regex) => path.iter().any(|key| regex.is_match(key)),
        }
    }
}

/// Decrypts documents in place, in order, and hashes what the MAC covers.
pub(super) struct Decryption<'a> {
    key: &'a DataKey,
    rule: &'a Rule,
    only_encrypted: bool,
    hash: Sha512,
    path: Vec<String>,
    secrets: Secrets,
}

impl<'a> Decryption<'a> {
    pub(super) fn new(key: &'a DataKey, rule: &'a Rule, only_encrypted: bool) -> Self {
        let mut hash = Sha512::new();
        if only_encrypted {
            hash.update(MAC_ONLY_ENCRYPTED);
        }
        Self {
            key,
            rule,
            only_encrypted,
            hash,
            path: Vec::new(),
            secrets: Secrets::default(),
        }
    }

    /// The next document of the file, its metadata taken out.
    pub(super) fn document(&mut self, document: &mut Value) -> Result<(), SopsError> {
        self.value(document)
    }

    /// The MAC over everything so far, and every text that was decrypted.
    pub(super) fn finish(self) -> (String, Secrets) {
        use std::fmt::Write as _;
        let mut mac = String::with_capacity(128);
        for byte in self.hash.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(mac, "{byte:02X}");
        }
        (mac, self.secrets)
    }

    fn value(&mut self, value: &mut Value) -> Result<(), SopsError> {
        match value {
            Value::Null => Ok(()),
            Value::Map(items) => items.iter_mut().try_for_each(|item| self.item(item)),
            Value::List(items) => items.iter_mut().try_for_each(|item| self.value(item)),
            leaf => self.leaf(leaf),
        }
    }

    fn item(&mut self, item: &mut Item) -> Result<(), SopsError> {
        match item {
            Item::Entry(key, value) => {
                self.path.push(key.clone());
                self.value(value)?;
                self.path.pop();
            }
            // A comment that does not decrypt was never encrypted; the MAC does not cover it.
            Item::Comment(text) => {
                if self.rule.encrypts(&self.path)
                    && let Ok(Opened::Comment(plain)) = self.key.open(text, &self.authenticated())
                {
                    *text = plain;
                }
            }
        }
        Ok(())
    }

    fn leaf(&mut self, leaf: &mut Value) -> Result<(), SopsError> {
        let encrypted = self.rule.encrypts(&self.path);
        if encrypted {
            *leaf = self.decrypted(leaf)?;
        }
        if encrypted || !self.only_encrypted {
            leaf.write_to(&mut self.hash);
        }
        Ok(())
    }

    fn decrypted(&mut self, leaf: &Value) -> Result<Value, SopsError> {
        let Value::Text(text) = leaf else {
            return Err(SopsError::NotEncrypted {
                path: self.path.join("."),
            });
        };
        let opened = self
            .key
            .open(text, &self.authenticated())
            .map_err(|source| SopsError::Value {
                path: self.path.join("."),
                source,
            })?;
        Ok(match opened {
            Opened::Text(text) => {
                self.secrets.insert(text.clone());
                Value::Text(text)
            }
            Opened::Bytes(bytes) => Value::Bytes(bytes),
            Opened::Int(number) => {
                self.secrets.insert(number.to_string());
                Value::Int(number)
            }
            Opened::Float(number) => {
                self.secrets.insert(number.to_string());
                Value::Float(number)
            }
            Opened::Bool(flag) => Value::Bool(flag),
            Opened::Time(text) => Value::Time(text),
            Opened::Comment(text) => Value::Comment(text),
        })
    }

    /// The keys on the way to a leaf; items of a list have none of their own.
    fn authenticated(&self) -> String {
        let mut text = self.path.join(":");
        text.push(':');
        text
    }
}
