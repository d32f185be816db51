//! The bounds put on everything that a Git server sends. Values only, no I/O.

use std::time::Duration;

/// What a fetch may cost at most. A bound that is reached ends the fetch with
/// [`SourceError::TooLarge`](super::SourceError::TooLarge) or
/// [`SourceError::DeadlineExceeded`](super::SourceError::DeadlineExceeded) and leaves the cache as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of one pack as received.
    pub pack_bytes: u64,
    /// The bytes of one listing of references.
    pub listing_bytes: u64,
    /// The objects in one pack, as its header announces them.
    pub objects: u32,
    /// The bytes of all objects of one pack, unpacked.
    pub unpacked_bytes: u64,
    /// The size of one file (a blob), unpacked.
    pub blob_bytes: u64,
    /// The size of one commit, tag or directory object, unpacked.
    pub metadata_bytes: u64,
    /// The files and directories of one tree.
    pub tree_entries: u64,
    /// The depth of directories in one tree.
    pub tree_depth: usize,
    /// The lines of all ignore rules together.
    pub ignore_rules: usize,
    /// The time a whole fetch may take, when the caller does not give another.
    pub timeout: Duration,
    /// The bytes of packs at which a cached repository is replaced by a fresh one.
    pub repository_bytes: u64,
    /// The number of packs at which a cached repository is replaced by a fresh one.
    pub repository_packs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pack_bytes: 1 << 30,
            listing_bytes: 64 << 20,
            objects: 1_000_000,
            unpacked_bytes: 8 << 30,
            blob_bytes: 100 << 20,
            metadata_bytes: 16 << 20,
            tree_entries: 1_000_000,
            tree_depth: 256,
            ignore_rules: 1000,
            timeout: Duration::from_secs(60),
            repository_bytes: 2 << 30,
            repository_packs: 64,
        }
    }
}
