//! Whether a commit touches anything that a render read (rule 9). Pure, but that a comparison reads the trees.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kustomize_rs::fs::{EntryKind, ReadSet};

use crate::source::Checkout;

/// Changed paths that are compared with what was read; beyond it everything counts as touched.
const CHANGED_PATHS: usize = 20_000;

/// What differs between two checkouts of a source.
#[derive(Clone, Debug)]
pub(crate) enum Changes {
    /// Anything may.
    Anything,
    /// These files.
    Files {
        files: BTreeSet<PathBuf>,
        /// Directories that hold one of them at any depth.
        above: BTreeSet<PathBuf>,
    },
}

impl Changes {
    /// Nothing differs.
    pub(crate) fn none() -> Self {
        Self::of([])
    }

    /// Compares two checkouts. Takes as long as there are changes, and reads the object database.
    pub(crate) fn between(old: &Checkout, new: &Checkout) -> Self {
        let paths = || {
            let (old, new) = (old.tree().ok()?, new.tree().ok()?);
            old.changed_paths(&new, CHANGED_PATHS).ok().flatten()
        };
        paths().map_or(Self::Anything, Self::of)
    }

    /// From the changed paths, as the tree names them: relative to its root.
    fn of(paths: impl IntoIterator<Item = String>) -> Self {
        let files: BTreeSet<PathBuf> = paths
            .into_iter()
            .map(|path| Path::new("/").join(path.trim_start_matches('/')))
            .collect();
        let above = files
            .iter()
            .flat_map(|file| file.ancestors().skip(1))
            .map(Path::to_path_buf)
            .collect();
        Self::Files { files, above }
    }

    /// Whether any question that a render asked may be answered differently now.
    pub(crate) fn touch(&self, read: &ReadSet) -> bool {
        let Self::Files { files, above } = self else {
            return true;
        };
        // Files below a directory may change without it; when it goes, so do the files read from it.
        let entry_changed = |(path, kind): (&PathBuf, &EntryKind)| {
            files.contains(path) || *kind != EntryKind::Directory && above.contains(path)
        };
        read.files.iter().any(|path| files.contains(path))
            || read.directories.iter().any(|path| above.contains(path))
            || read.entries.iter().any(entry_changed)
            || read
                .resolved
                .keys()
                .any(|path| path.ancestors().any(|path| files.contains(path)))
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
        Changes::of([path.to_owned()]).touch(&read())
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
