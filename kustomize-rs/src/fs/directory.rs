//! The file system of this machine. In: paths; out: what the operating system says. Does I/O.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{EntryKind, Fs, FsError};

/// No file of a kustomization is sensibly larger.
const MAX_FILE: u64 = 256 << 20;

/// Reads from the machine's own file system; relative paths start at the working directory.
///
/// # Examples
/// ```
/// use kustomize_rs::fs::{DirectoryFs, EntryKind, Fs};
/// assert_eq!(DirectoryFs.entry("/no/such/path".as_ref()).unwrap(), EntryKind::Nothing);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct DirectoryFs;

impl Fs for DirectoryFs {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FsError> {
        let file = std::fs::File::open(path).map_err(|e| io_error(path, e))?;
        let metadata = file.metadata().map_err(|e| io_error(path, e))?;
        if metadata.is_dir() {
            return Err(FsError::IsDirectory {
                path: path.to_path_buf(),
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(MAX_FILE)).unwrap_or(0));
        file.take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| io_error(path, e))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(FsError::TooLarge {
                path: path.to_path_buf(),
                limit: MAX_FILE,
            });
        }
        Ok(bytes)
    }

    fn entry(&self, path: &Path) -> Result<EntryKind, FsError> {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(EntryKind::Directory),
            Ok(_) => Ok(EntryKind::File),
            // A path that is too long or has a file in the middle names nothing either.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::NotFound
                        | ErrorKind::NotADirectory
                        | ErrorKind::InvalidFilename
                        | ErrorKind::InvalidInput
                ) =>
            {
                Ok(EntryKind::Nothing)
            }
            Err(e) => Err(io_error(path, e)),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, FsError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|e| io_error(path, e))? {
            let entry = entry.map_err(|e| io_error(path, e))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn resolve(&self, path: &Path) -> Result<PathBuf, FsError> {
        std::fs::canonicalize(path).map_err(|e| io_error(path, e))
    }
}

fn io_error(path: &Path, error: std::io::Error) -> FsError {
    let path = path.to_path_buf();
    match error.kind() {
        ErrorKind::NotFound => FsError::NotFound { path },
        ErrorKind::IsADirectory => FsError::IsDirectory { path },
        ErrorKind::NotADirectory => FsError::NotDirectory { path },
        _ => FsError::Other {
            path,
            source: error.into(),
        },
    }
}
