//! The name of a Git object. A value, no I/O.

use std::fmt;
use std::str::FromStr;

/// A SHA-1 object name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId([u8; 20]);

impl ObjectId {
    /// Reads 40 hexadecimal digits of either case.
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        if hex.len() != 40 {
            return None;
        }
        let mut id = [0; 20];
        for (byte, pair) in id.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(id))
    }

    pub(super) fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The 20 bytes.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The name that stands for no object, sent by servers of empty repositories.
    pub(super) fn is_zero(&self) -> bool {
        self.0 == [0; 20]
    }
}

fn digit(hex: u8) -> Option<u8> {
    (hex as char)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

impl FromStr for ObjectId {
    type Err = ();

    fn from_str(hex: &str) -> Result<Self, ()> {
        Self::from_hex(hex.as_bytes()).ok_or(())
    }
}

impl From<git2::Oid> for ObjectId {
    fn from(oid: git2::Oid) -> Self {
        let mut id = [0; 20];
        id.copy_from_slice(&oid.as_bytes()[..20]);
        Self(id)
    }
}

impl From<ObjectId> for git2::Oid {
    fn from(id: ObjectId) -> Self {
        // libgit2 built for SHA-1 rejects only wrong lengths, and the length is in the type.
        git2::Oid::from_bytes(&id.0).unwrap_or(git2::Oid::ZERO_SHA1)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
