//! Where a build reads its files: a trait, and the file systems that implement it.
//!
//! In: absolute, `/`-separated paths. Out: bytes, kinds of entries, names, resolved paths.
//! Only [`DirectoryFs`] does I/O; [`MemoryFs`] and [`Recording`] are pure.

mod directory;
mod memory;
mod recording;

use std::path::{Component, Path, PathBuf};

pub use directory::DirectoryFs;
pub use memory::MemoryFs;
pub use recording::{ReadSet, Recording};

/// What is at a path, once symbolic links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Nothing at all, or a link that leads nowhere.
    Nothing,
}

/// A tree of files to build from.
///
/// Paths are absolute inside the file system (a Git tree has its root at `/`) and may contain `.` and
/// `..`, which an implementation may take away with [`normalize`]. Implementations bound the size of the
/// files that they return.
///
/// # Examples
/// ```
/// use kustomize_rs::fs::{EntryKind, Fs, MemoryFs};
/// use std::path::Path;
///
/// let fs = MemoryFs::new().with_file("/app/deployment.yaml", "kind: Deployment\n");
/// assert_eq!(fs.entry(Path::new("/app")).unwrap(), EntryKind::Directory);
/// assert_eq!(fs.read(Path::new("/app/deployment.yaml")).unwrap(), b"kind: Deployment\n");
/// ```
pub trait Fs {
    /// Reads a whole file, following symbolic links.
    ///
    /// # Errors
    /// When there is no file at `path` or it cannot be read.
    fn read(&self, path: &Path) -> Result<Vec<u8>, FsError>;

    /// Tells what is at `path`, following symbolic links. Nothing being there is not an error.
    ///
    /// # Errors
    /// When the answer cannot be found, for example for want of permission.
    fn entry(&self, path: &Path) -> Result<EntryKind, FsError>;

    /// Lists the names in a directory, sorted by their bytes.
    ///
    /// # Errors
    /// When there is no directory at `path` or it cannot be read.
    fn list(&self, path: &Path) -> Result<Vec<String>, FsError>;

    /// Resolves `.`, `..` and symbolic links to the path that is really read. Load restrictions and
    /// cycles are decided on resolved paths.
    ///
    /// # Errors
    /// When nothing is at `path`.
    fn resolve(&self, path: &Path) -> Result<PathBuf, FsError>;
}

impl<F: Fs + ?Sized> Fs for &F {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FsError> {
        (**self).read(path)
    }
    fn entry(&self, path: &Path) -> Result<EntryKind, FsError> {
        (**self).entry(path)
    }
    fn list(&self, path: &Path) -> Result<Vec<String>, FsError> {
        (**self).list(path)
    }
    fn resolve(&self, path: &Path) -> Result<PathBuf, FsError> {
        (**self).resolve(path)
    }
}

/// A path that could not be read, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FsError {
    /// Nothing is at the path.
    #[error("{}: no such file or directory", path.display())]
    NotFound {
        /// The path as asked for.
        path: PathBuf,
    },
    /// A file was asked for and the path is a directory.
    #[error("{}: is a directory", path.display())]
    IsDirectory {
        /// The path as asked for.
        path: PathBuf,
    },
    /// A directory was asked for and the path is something else.
    #[error("{}: not a directory", path.display())]
    NotDirectory {
        /// The path as asked for.
        path: PathBuf,
    },
    /// The file is larger than the file system allows.
    #[error("{}: larger than the limit of {limit} bytes", path.display())]
    TooLarge {
        /// The path as asked for.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// Anything else: permissions, a link that leaves the tree, a file that cannot be decrypted.
    #[error("{}: {source}", path.display())]
    Other {
        /// The path as asked for.
        path: PathBuf,
        /// Why it could not be read.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl FsError {
    /// Wraps any cause with the path that it concerns.
    pub fn other(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other {
            path: path.to_path_buf(),
            source: source.into(),
        }
    }
}

/// Takes `.` and `..` out of a path by its text alone; `..` at the root stays at the root.
///
/// # Examples
/// ```
/// use kustomize_rs::fs::normalize;
/// use std::path::Path;
///
/// assert_eq!(normalize(Path::new("/a/./b/../c")), Path::new("/a/c"));
/// ```
#[must_use]
pub fn normalize(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if matches!(out.components().next_back(), Some(Component::Normal(_))) {
                    out.pop();
                } else if !out.has_root() {
                    out.push("..");
                }
            }
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => out.push(component),
        }
    }
    out
}
