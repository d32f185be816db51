//! One encrypted value: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]` and a data key in, the value
//! with its type out. Pure.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::consts::U32;
use aes_gcm::{AesGcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// SOPS uses nonces of 32 bytes, not the usual 12.
const NONCE_SIZE: usize = 32;

/// Starts every encrypted value.
pub(super) const PREFIX: &str = "ENC[AES256_GCM,";

/// The key that the values of one file are encrypted with.
pub(super) struct DataKey(AesGcm<Aes256, U32>);

/// A decrypted value by its type.
#[derive(Debug, PartialEq)]
pub(super) enum Opened {
    Text(String),
    Bytes(Vec<u8>),
    Int(i64),
    Float(f64),
    Bool(bool),
    Time(String),
    Comment(String),
}

/// Why a value could not be decrypted. Never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// Plain text where an encrypted value was expected, or a form of it that is cut off.
    #[error("not of the form ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]")]
    Form,
    /// The value was altered, was moved here from another key, or belongs to another file.
    #[error("it was changed, moved from another key, or encrypted with another data key")]
    Authentication,
    /// Decrypted, and then not what its type says.
    #[error("it is not the `{0}` that it says it is")]
    Type(String),
}

impl DataKey {
    /// From the 32 bytes that the recipients can unwrap.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        AesGcm::new_from_slice(bytes).ok().map(Self)
    }

    /// Decrypts `text`; `authenticated` is what it must have been encrypted with. An empty text
    /// stands for itself.
    pub(super) fn open(&self, text: &str, authenticated: &str) -> Result<Opened, CipherError> {
        if text.is_empty() {
            return Ok(Opened::Text(String::new()));
        }
        let sealed = Sealed::parse(text).ok_or(CipherError::Form)?;
        let nonce: &Nonce<U32> = sealed
            .nonce
            .as_slice()
            .try_into()
            .map_err(|_| CipherError::Form)?;
        let payload = Payload {
            msg: &sealed.data_and_tag,
            aad: authenticated.as_bytes(),
        };
        let plain = self
            .0
            .decrypt(nonce, payload)
            .map_err(|_| CipherError::Authentication)?;
        typed(plain, sealed.kind).ok_or_else(|| CipherError::Type(sealed.kind.to_owned()))
    }
}

struct Sealed<'a> {
    data_and_tag: Vec<u8>,
    nonce: Vec<u8>,
    kind: &'a str,
}

impl<'a> Sealed<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let fields = text.strip_prefix(PREFIX)?.strip_prefix("data:")?;
        let (data, fields) = fields.split_once(",iv:")?;
        let (nonce, fields) = fields.split_once(",tag:")?;
        let (tag, fields) = fields.split_once(",type:")?;
        let (kind, _) = fields.split_once(']')?;
        let mut data_and_tag = STANDARD.decode(data).ok()?;
        data_and_tag.extend(STANDARD.decode(tag).ok()?);
        let nonce = STANDARD.decode(nonce).ok()?;
        (nonce.len() == NONCE_SIZE).then_some(Self {
            data_and_tag,
            nonce,
            kind,
        })
    }
}

fn typed(plain: Vec<u8>, kind: &str) -> Option<Opened> {
    if kind == "bytes" {
        return Some(Opened::Bytes(plain));
    }
    let text = match String::from_utf8(plain) {
        Ok(text) => text,
        Err(error) if kind == "str" => return Some(Opened::Bytes(error.into_bytes())),
        Err(_) => return None,
    };
    match kind {
        "str" => Some(Opened::Text(text)),
        "int" => text.parse().ok().map(Opened::Int),
        "float" => text.parse().ok().map(Opened::Float),
        "bool" => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(Opened::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(Opened::Bool(false)),
            _ => None,
        },
        "time" => Some(Opened::Time(text)),
        "comment" => Some(Opened::Comment(text)),
        _ => None,
    }
}
