//! A directory of this machine as the tree of a source: paths start at its root and cannot leave it.
//! Does I/O: reads files.

use std::io;
use std::path::{Path, PathBuf};

use kustomize_rs::fs::{DirectoryFs, EntryKind, Fs, FsError, normalize};

/// The tree below a directory.
pub(super) struct WorkTree {
    root: PathBuf,
}

impl WorkTree {
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: root.canonicalize()?,
        })
    }

    /// The path on this machine; a link that leads out of the tree is refused.
    fn real(&self, path: &Path) -> Result<PathBuf, FsError> {
        let inside = normalize(path);
        let real = self.root.join(inside.strip_prefix("/").unwrap_or(&inside));
        match real.canonicalize() {
            Ok(resolved) if !resolved.starts_with(&self.root) => {
                Err(FsError::other(path, "the link leads out of the source"))
            }
            // What does not exist is said by whoever asks for it.
            Ok(_) | Err(_) => Ok(real),
        }
    }

    /// Says the path as the tree knows it.
    fn inside<T>(path: &Path, result: Result<T, FsError>) -> Result<T, FsError> {
        let path = path.to_owned();
        result.map_err(|error| match error {
            FsError::NotFound { .. } => FsError::NotFound { path },
            FsError::IsDirectory { .. } => FsError::IsDirectory { path },
            FsError::NotDirectory { .. } => FsError::NotDirectory { path },
            FsError::TooLarge { limit, .. } => FsError::TooLarge { path, limit },
            FsError::Other { source, .. } => FsError::Other { path, source },
            other => other,
        })
    }
}

impl Fs for WorkTree {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FsError> {
        Self::inside(path, DirectoryFs.read(&self.real(path)?))
    }

    fn entry(&self, path: &Path) -> Result<EntryKind, FsError> {
        Self::inside(path, DirectoryFs.entry(&self.real(path)?))
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, FsError> {
        Self::inside(path, DirectoryFs.list(&self.real(path)?))
    }

    fn resolve(&self, path: &Path) -> Result<PathBuf, FsError> {
        let resolved = Self::inside(path, DirectoryFs.resolve(&self.real(path)?))?;
        let inside = resolved
            .strip_prefix(&self.root)
            .map_err(|_| FsError::other(path, "the link leads out of the source"))?;
        Ok(Path::new("/").join(inside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_directory_can_be_read() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("source");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(scratch.path().join("outside"), "secret").unwrap();
        std::fs::write(root.join("inside"), "text").unwrap();
        std::os::unix::fs::symlink("../outside", root.join("link")).unwrap();

        let tree = WorkTree::new(&root).unwrap();
        assert_eq!(tree.read(Path::new("/inside")).unwrap(), b"text");
        assert_eq!(
            tree.resolve(Path::new("/x/../inside")).unwrap(),
            Path::new("/inside")
        );
        assert!(
            tree.read(Path::new("/link"))
                .unwrap_err()
                .to_string()
                .contains("leads out")
        );
        assert!(matches!(
            tree.read(Path::new("/../outside")),
            Err(FsError::NotFound { .. })
        ));
    }
}
