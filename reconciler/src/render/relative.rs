//! Names files as Git does: from the root of the repository, without a slash before. Pure, given the tree.

use std::borrow::Cow;
use std::path::Path;

use kustomize_rs::fs::{EntryKind, Fs};

/// A path of the tree, for people.
pub(super) fn shown(path: &Path) -> Cow<'_, str> {
    let inside = path.strip_prefix("/").unwrap_or(path);
    if inside.as_os_str().is_empty() {
        return "the root of the repository".into();
    }
    inside.to_string_lossy()
}

/// A text with the slash taken off each path in it that is one of the tree, or names what is missing in a folder of
/// it. What only looks like one, such as a pointer into an object, stays.
pub(super) fn in_text(fs: &dyn Fs, text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        let (before, path) = rest.split_at(at);
        let end = path.find(|c| !is_of_a_path(c)).unwrap_or(path.len());
        let (path, after) = path.split_at(end);
        let begins = before.chars().next_back().is_none_or(|c| " \"'`(".contains(c));
        told.push_str(before);
        told.push_str(if begins && is_in(fs, path) {
            &path[1..]
        } else {
            path
        });
        rest = after;
    }
    told.push_str(rest);
    told
}

fn is_of_a_path(c: char) -> bool {
    !c.is_whitespace() && !":,;\"'`()".contains(c)
}

fn is_in(fs: &dyn Fs, path: &str) -> bool {
    let path = Path::new(path);
    let is = |path: &Path, kind| fs.entry(path).is_ok_and(|found| found == kind);
    match path.parent() {
        None => false,
        Some(_) if is(path, EntryKind::File) || is(path, EntryKind::Directory) => true,
        // Of what is missing beside the root, only a name with an ending looks like a file.
        Some(root) if root.parent().is_none() => path.extension().is_some(),
        Some(folder) => is(folder, EntryKind::Directory),
    }
}

#[cfg(test)]
mod tests {
    use kustomize_rs::fs::MemoryFs;

    use super::*;

    #[test]
    fn paths_lose_their_slash_and_pointers_and_addresses_keep_theirs() {
        let fs = MemoryFs::new().with_file("/app/a.yaml", "");
        for (text, told) in [
            ("/app/a.yaml:5:13: no mapping", "app/a.yaml:5:13: no mapping"),
            (
                "in \"x\": /app/absent.yaml: no such file",
                "in \"x\": app/absent.yaml: no such file",
            ),
            ("is in /app/a.yaml, line 1", "is in app/a.yaml, line 1"),
            ("/gone.yaml: no such file", "gone.yaml: no such file"),
            (
                "missing path: /spec and /spec/replicas",
                "missing path: /spec and /spec/replicas",
            ),
            ("missing path: /spec/replicas", "missing path: /spec/replicas"),
            ("https://example.org/app/a.yaml", "https://example.org/app/a.yaml"),
            ("apps/v1 and ./app/a.yaml", "apps/v1 and ./app/a.yaml"),
            ("a / b", "a / b"),
        ] {
            assert_eq!(in_text(&fs, text), told);
        }
        assert_eq!(shown(Path::new("/")), "the root of the repository");
        assert_eq!(shown(Path::new("/app/a.yaml")), "app/a.yaml");
    }
}
