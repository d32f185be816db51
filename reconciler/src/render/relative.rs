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

/// A text with the slash taken off each path in it that is one of the tree, or is said to be missing in a folder of it.
/// What only looks like one, such as a pointer into an object, stays.
pub(super) fn in_text(fs: &dyn Fs, text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        let (before, path) = rest.split_at(at);
        let end = path.find(|c| !is_of_a_path(c)).unwrap_or(path.len());
        let (path, after) = path.split_at(end);
        told.push_str(before);
        let begins = told
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace() || "\"'`(".contains(c));
        let is_of_the_tree = begins && !is_pointer(&told) && is_in(fs, path, after.starts_with(MISSING));
        told.push_str(if is_of_the_tree { &path[1..] } else { path });
        rest = after;
    }
    told.push_str(rest);
    told
}

/// What is said of a file that is not there.
const MISSING: &str = ": no such file";
/// What stands before an operation and the pointer that it is about.
const PATCH: &str = "JSON patch: ";

/// Whether what comes after these words is a pointer into an object.
fn is_pointer(before: &str) -> bool {
    let operation = before.strip_suffix('"').and_then(|text| text.rsplit_once(PATCH));
    operation.is_some_and(|(_, words)| words.chars().all(|c| c.is_ascii_lowercase() || c == ' '))
}

fn is_of_a_path(c: char) -> bool {
    !c.is_whitespace() && !":,;\"'`()".contains(c)
}

fn is_in(fs: &dyn Fs, path: &str, is_missing: bool) -> bool {
    let path = Path::new(path);
    let is = |path: &Path, kind| fs.entry(path).is_ok_and(|found| found == kind);
    match path.parent() {
        None => false,
        Some(_) if is(path, EntryKind::File) || is(path, EntryKind::Directory) => true,
        Some(folder) => is_missing && is(folder, EntryKind::Directory),
    }
}

#[cfg(test)]
mod tests {
    use kustomize_rs::fs::MemoryFs;

    use super::*;

    #[test]
    fn paths_lose_their_slash_and_pointers_and_addresses_keep_theirs() {
        let fs = MemoryFs::new()
            .with_file("/app/a.yaml", "")
            .with_file("/data/key", "");
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
            (
                "there is nothing at /data/other",
                "there is nothing at /data/other",
            ),
            (
                "JSON patch: remove \"/data/key\": there is nothing at \"key\"",
                "JSON patch: remove \"/data/key\": there is nothing at \"key\"",
            ),
            (
                "two files:\n/app/a.yaml\n/data/key",
                "two files:\napp/a.yaml\ndata/key",
            ),
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
