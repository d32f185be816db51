//! A folder without a kustomization file: a file tree and a folder in, the resources of the
//! kustomization that Flux would write for it out. Pure.

use std::path::{Path, PathBuf};

use kustomize_rs::KUSTOMIZATION_FILES;
use kustomize_rs::fs::{EntryKind, Fs, FsError, normalize};

use super::RenderError;

/// A folder of more files and folders than this is no application.
const MAX_ENTRIES: usize = 20_000;

/// Names that a message suggests at most.
const MAX_SIMILAR: usize = 3;

/// Finds the folder that `spec.path` names, from the root of the tree; nothing leads out of it.
///
/// # Errors
/// It does not exist: names the nearest parent that does, and what is called alike there.
pub(super) fn find_folder(fs: &dyn Fs, path: &str) -> Result<PathBuf, RenderError> {
    let folder = normalize(&Path::new("/").join(path.trim_start_matches('/')));
    match fs.entry(&folder)? {
        EntryKind::Directory => Ok(fs.resolve(&folder)?),
        EntryKind::File => Err(RenderError::NotAFolder { path: folder }),
        EntryKind::Nothing => Err(missing(fs, folder)),
    }
}

fn missing(fs: &dyn Fs, folder: PathBuf) -> RenderError {
    let is_folder = |path: &&Path| matches!(fs.entry(path), Ok(EntryKind::Directory));
    let nearest = folder
        .ancestors()
        .skip(1)
        .find(is_folder)
        .unwrap_or(Path::new("/"))
        .to_path_buf();
    let wanted = folder
        .strip_prefix(&nearest)
        .ok()
        .and_then(|rest| rest.iter().next())
        .and_then(|name| name.to_str());
    let names = fs.list(&nearest).unwrap_or_default();
    let similar = wanted.map_or_else(Vec::new, |wanted| similar_names(wanted, names));
    RenderError::NoSuchPath {
        path: folder,
        nearest,
        similar,
    }
}

fn similar_names(wanted: &str, names: Vec<String>) -> Vec<String> {
    let limit = 1 + wanted.len() / 4;
    let mut scored: Vec<(usize, String)> = names
        .into_iter()
        .map(|name| (distance(wanted, &name), name))
        .filter(|(score, _)| *score <= limit)
        .collect();
    scored.sort();
    scored
        .into_iter()
        .take(MAX_SIMILAR)
        .map(|(_, name)| name)
        .collect()
}

/// How many characters to add, drop or replace to get from one name to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, x) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}

/// Lists what a kustomization of the folder would name: `./`-relative YAML files in the order of
/// their names, and subfolders that have a kustomization file of their own, which are not entered.
///
/// Symbolic links are passed over: Flux's artifacts do not contain them.
///
/// # Errors
/// The tree cannot be read, or is too large.
pub(super) fn resources(fs: &dyn Fs, folder: &Path) -> Result<Vec<String>, RenderError> {
    let mut walk = Walk {
        fs,
        base: folder,
        resources: Vec::new(),
        entries: 0,
    };
    walk.folder(folder)?;
    Ok(walk.resources)
}

struct Walk<'a> {
    fs: &'a dyn Fs,
    base: &'a Path,
    resources: Vec<String>,
    entries: usize,
}

impl Walk<'_> {
    /// Recursion is bounded by the number of entries of real folders.
    fn folder(&mut self, folder: &Path) -> Result<(), RenderError> {
        for name in self.fs.list(folder)? {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(RenderError::TooManyFiles {
                    path: self.base.to_path_buf(),
                    limit: MAX_ENTRIES,
                });
            }
            let path = folder.join(&name);
            match self.fs.entry(&path)? {
                EntryKind::File if is_manifest(&name) && !self.is_link(&path)? => self.add(&path),
                EntryKind::Directory if !self.is_link(&path)? => self.subfolder(&path)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn subfolder(&mut self, path: &Path) -> Result<(), RenderError> {
        if has_kustomization(self.fs, path)? {
            self.add(path);
            return Ok(());
        }
        self.folder(path)
    }

    fn is_link(&self, path: &Path) -> Result<bool, FsError> {
        Ok(self.fs.resolve(path)? != path)
    }

    fn add(&mut self, path: &Path) {
        let relative = path.strip_prefix(self.base).unwrap_or(path);
        self.resources.push(format!("./{}", relative.display()));
    }
}

fn is_manifest(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn has_kustomization(fs: &dyn Fs, folder: &Path) -> Result<bool, FsError> {
    for name in KUSTOMIZATION_FILES {
        if fs.entry(&folder.join(name))? == EntryKind::File {
            return Ok(true);
        }
    }
    Ok(false)
}
