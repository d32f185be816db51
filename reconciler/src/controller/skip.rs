//! Whether a commit touches anything that a render read (rule 9). Pure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kustomize_rs::fs::{EntryKind, ReadSet};

/// What differs between two commits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    files: BTreeSet<PathBuf>,
    /// Directories that hold a changed file at any depth.
    above: BTreeSet<PathBuf>,
}

impl Changes {
    /// From the changed paths, as the tree names them: relative to its root.
    pub(crate) fn new(paths: impl IntoIterator<Item = String>) -> Self {
        let files: BTreeSet<PathBuf> = paths
            .into_iter()
            .map(|path| Path::new("/").join(path.trim_start_matches('/')))
            .collect();
        let above = files
            .iter()
            .flat_map(|file| file.ancestors().skip(1))
            .map(Path::to_path_buf)
            .collect();
        Self { files, above }
    }

    /// Whether any question that a render asked may be answered differently now.
    pub(crate) fn touch(&self, read: &ReadSet) -> bool {
        read.files.iter().any(|path| self.files.contains(path))
            || read.directories.iter().any(|path| self.above.contains(path))
            || read
                .entries
                .iter()
                .any(|(path, kind)| self.entry_changed(path, *kind))
            || read
                .resolved
                .keys()
                .any(|path| path.ancestors().any(|path| self.files.contains(path)))
    }

    fn entry_changed(&self, path: &Path, kind: EntryKind) -> bool {
        match kind {
            EntryKind::File => self.files.contains(path) || self.above.contains(path),
            // Files below a directory may change without it; when it goes, so do the files read from it.
            EntryKind::Directory => self.files.contains(path),
            EntryKind::Nothing => self.files.contains(path) || self.above.contains(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read() -> ReadSet {
        ReadSet {
            files: [
                PathBuf::from("/apps/web/kustomization.yaml"),
                "/apps/base/web.yaml".into(),
            ]
            .into(),
            directories: BTreeSet::new(),
            entries: [
                (PathBuf::from("/apps/web/kustomization.yml"), EntryKind::Nothing),
                ("/apps/base".into(), EntryKind::Directory),
            ]
            .into(),
            resolved: std::collections::BTreeMap::new(),
        }
    }

    fn touched(path: &str) -> bool {
        Changes::new([path.to_owned()]).touch(&read())
    }

    #[test]
    fn a_base_outside_of_the_path_is_part_of_what_was_read() {
        assert!(touched("apps/base/web.yaml"));
    }

    #[test]
    fn a_file_that_appears_where_a_look_up_found_nothing_is_a_change() {
        assert!(touched("apps/web/kustomization.yml"));
    }

    #[test]
    fn a_file_that_nobody_read_is_none_even_beside_those_that_were() {
        assert!(!touched("apps/base/README.md"));
        assert!(!touched("apps/other/web.yaml"));
    }
}
