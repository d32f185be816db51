//! A file system in memory, for tests and for trees that are made, not read. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{EntryKind, Fs, FsError, normalize};

/// How many symbolic links one path may go through, as Linux bounds it.
const MAX_LINKS: usize = 40;

/// Files and symbolic links by absolute path; directories exist because files are in them.
///
/// # Examples
/// ```
/// use kustomize_rs::fs::{Fs, MemoryFs};
///
/// let fs = MemoryFs::new()
///     .with_file("/app/kustomization.yaml", "resources: [a.yaml]\n")
///     .with_link("/current", "/app");
/// assert_eq!(fs.list("/current".as_ref()).unwrap(), ["kustomization.yaml"]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryFs {
    nodes: BTreeMap<PathBuf, MemoryNode>,
}

#[derive(Debug, Clone)]
enum MemoryNode {
    File(Vec<u8>),
    Directory,
    Link(PathBuf),
}

impl MemoryFs {
    /// Makes an empty tree.
    #[must_use]
    pub fn new() -> Self {
        let nodes = BTreeMap::from([(PathBuf::from("/"), MemoryNode::Directory)]);
        Self { nodes }
    }

    /// Adds or replaces a file, making the directories above it.
    #[must_use]
    pub fn with_file(mut self, path: impl AsRef<Path>, content: impl Into<Vec<u8>>) -> Self {
        self.insert(path.as_ref(), MemoryNode::File(content.into()));
        self
    }

    /// Adds an empty directory.
    #[must_use]
    pub fn with_directory(mut self, path: impl AsRef<Path>) -> Self {
        self.insert(path.as_ref(), MemoryNode::Directory);
        self
    }

    /// Adds a symbolic link; a relative target starts at the link's own directory.
    #[must_use]
    pub fn with_link(mut self, path: impl AsRef<Path>, target: impl Into<PathBuf>) -> Self {
        self.insert(path.as_ref(), MemoryNode::Link(target.into()));
        self
    }

    fn insert(&mut self, path: &Path, node: MemoryNode) {
        let path = normalize(&Path::new("/").join(path));
        for parent in path.ancestors().skip(1) {
            self.nodes
                .entry(parent.to_path_buf())
                .or_insert(MemoryNode::Directory);
        }
        self.nodes.insert(path, node);
    }

    fn find(&self, path: &Path) -> Result<(PathBuf, &MemoryNode), FsError> {
        let missing = || FsError::NotFound {
            path: path.to_path_buf(),
        };
        let mut links = 0;
        let mut at = PathBuf::from("/");
        let mut rest: Vec<PathBuf> = normalize(&Path::new("/").join(path))
            .iter()
            .skip(1)
            .map(PathBuf::from)
            .collect();
        rest.reverse();
        while let Some(name) = rest.pop() {
            if name.as_os_str() == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            match self.nodes.get(&next).ok_or_else(missing)? {
                MemoryNode::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(FsError::other(path, "too many symbolic links"));
                    }
                    if target.has_root() {
                        at = PathBuf::from("/");
                    }
                    let names = target.iter().filter(|c| *c != "/" && *c != ".");
                    rest.extend(names.map(PathBuf::from).rev());
                }
                MemoryNode::File(_) if !rest.is_empty() => return Err(missing()),
                MemoryNode::File(_) | MemoryNode::Directory => at = next,
            }
        }
        let node = self.nodes.get(&at).ok_or_else(missing)?;
        Ok((at, node))
    }
}

impl Fs for MemoryFs {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FsError> {
        match self.find(path)? {
            (_, MemoryNode::File(content)) => Ok(content.clone()),
            _ => Err(FsError::IsDirectory {
                path: path.to_path_buf(),
            }),
        }
    }

    fn entry(&self, path: &Path) -> Result<EntryKind, FsError> {
        match self.find(path) {
            Ok((_, MemoryNode::File(_))) => Ok(EntryKind::File),
            Ok(_) => Ok(EntryKind::Directory),
            Err(FsError::NotFound { .. }) => Ok(EntryKind::Nothing),
            Err(e) => Err(e),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, FsError> {
        let (at, MemoryNode::Directory) = self.find(path)? else {
            return Err(FsError::NotDirectory {
                path: path.to_path_buf(),
            });
        };
        let names = self
            .nodes
            .keys()
            .filter(|p| p.parent() == Some(&at))
            .filter_map(|p| p.file_name());
        let mut names: Vec<_> = names.map(|n| n.to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn resolve(&self, path: &Path) -> Result<PathBuf, FsError> {
        Ok(self.find(path)?.0)
    }
}
