//! Which bound was exceeded, and by how much. Values, no I/O.

use std::fmt;

/// The bound that a repository exceeded, with its name in [`Limits`](super::Limits) as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Excess {
    /// More bytes in the pack than allowed.
    PackBytes {
        /// The bound in bytes.
        limit: u64,
    },
    /// More bytes in the list of references than allowed.
    ListingBytes {
        /// The bound in bytes.
        limit: u64,
    },
    /// More objects in the pack than allowed.
    Objects {
        /// What the pack announces.
        count: u32,
        /// The bound.
        limit: u32,
    },
    /// More bytes in all objects of the pack together than allowed.
    UnpackedBytes {
        /// The bound in bytes.
        limit: u64,
    },
    /// One object is larger than allowed.
    Object {
        /// The file's path if it is known, otherwise the kind of object.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// The bound in bytes.
        limit: u64,
    },
    /// More files and directories than allowed.
    TreeEntries {
        /// The bound.
        limit: u64,
    },
    /// More ignore rules than allowed.
    IgnoreRules {
        /// The bound.
        limit: usize,
    },
    /// Directories nested deeper than allowed.
    TreeDepth {
        /// The bound.
        limit: usize,
    },
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PackBytes { limit } => write!(f, "the pack is larger than {}", Bytes(*limit)),
            Self::UnpackedBytes { limit } => {
                write!(
                    f,
                    "the objects of the pack are larger than {} together",
                    Bytes(*limit)
                )
            }
            Self::ListingBytes { limit } => {
                write!(f, "the list of references is larger than {}", Bytes(*limit))
            }
            Self::Objects { count, limit } => write!(f, "the pack has {count} objects, allowed are {limit}"),
            Self::Object { name, size, limit } => {
                write!(f, "{name} has {}, allowed are {}", Bytes(*size), Bytes(*limit))
            }
            Self::TreeEntries { limit } => write!(f, "the tree has more than {limit} files and directories"),
            Self::IgnoreRules { limit } => write!(f, "there are more than {limit} ignore rules"),
            Self::TreeDepth { limit } => write!(f, "directories are nested deeper than {limit}"),
        }
    }
}

/// A number of bytes, shown in the largest unit that divides it well.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        for (unit, size) in UNITS {
            if self.0 >= size {
                let tenths = self.0.saturating_mul(10) / size;
                return match tenths % 10 {
                    0 => write!(f, "{} {unit}", tenths / 10),
                    tenth => write!(f, "{}.{tenth} {unit}", tenths / 10),
                };
            }
        }
        write!(f, "{} bytes", self.0)
    }
}
