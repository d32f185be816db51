//! Notes what a build read, so that a later tree can be compared without building again. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{EntryKind, Fs, FsError};

/// Everything that a build asked of its file system. If each of these answers is the same in another
/// tree, the build of that tree gives the same result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadSet {
    /// Files whose content was read.
    pub files: BTreeSet<PathBuf>,
    /// Directories whose names were listed.
    pub directories: BTreeSet<PathBuf>,
    /// Paths that were looked up, with what was there: [`EntryKind::Nothing`] is as telling as a file.
    pub entries: BTreeMap<PathBuf, EntryKind>,
    /// Paths that were resolved, with the path that they led to (`None`: nowhere).
    pub resolved: BTreeMap<PathBuf, Option<PathBuf>>,
}

impl ReadSet {
    /// Lists the look-ups that found nothing: a file that appears there changes the build.
    pub fn missing(&self) -> impl Iterator<Item = &Path> {
        self.entries
            .iter()
            .filter(|(_, kind)| **kind == EntryKind::Nothing)
            .map(|(path, _)| path.as_path())
    }
}

/// Wraps a file system and notes every question that is put to it.
///
/// # Examples
/// ```
/// use kustomize_rs::fs::{Fs, MemoryFs, Recording};
///
/// let fs = MemoryFs::new().with_file("/a", "x");
/// let recording = Recording::new(&fs);
/// recording.read("/a".as_ref()).unwrap();
/// recording.entry("/b".as_ref()).unwrap();
/// let read = recording.into_read_set();
/// assert!(read.files.contains(std::path::Path::new("/a")));
/// assert_eq!(read.missing().collect::<Vec<_>>(), [std::path::Path::new("/b")]);
/// ```
pub struct Recording<'a> {
    inner: &'a dyn Fs,
    read: Mutex<ReadSet>,
}

impl<'a> Recording<'a> {
    /// Starts recording what is asked of `inner`.
    #[must_use]
    pub fn new(inner: &'a dyn Fs) -> Self {
        Self {
            inner,
            read: Mutex::default(),
        }
    }

    /// Ends the recording.
    #[must_use]
    pub fn into_read_set(self) -> ReadSet {
        self.read.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn notes(&self) -> MutexGuard<'_, ReadSet> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fs for Recording<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FsError> {
        let result = self.inner.read(path);
        let mut notes = self.notes();
        match &result {
            Err(FsError::NotFound { .. }) => {
                notes.entries.insert(path.to_path_buf(), EntryKind::Nothing);
            }
            Err(FsError::IsDirectory { .. }) => {
                notes.entries.insert(path.to_path_buf(), EntryKind::Directory);
            }
            _ => {
                notes.files.insert(path.to_path_buf());
            }
        }
        drop(notes);
        result
    }

    fn entry(&self, path: &Path) -> Result<EntryKind, FsError> {
        let kind = self.inner.entry(path)?;
        self.notes().entries.insert(path.to_path_buf(), kind);
        Ok(kind)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, FsError> {
        self.notes().directories.insert(path.to_path_buf());
        self.inner.list(path)
    }

    fn resolve(&self, path: &Path) -> Result<PathBuf, FsError> {
        let result = self.inner.resolve(path);
        self.notes()
            .resolved
            .insert(path.to_path_buf(), result.as_ref().ok().cloned());
        result
    }
}
