//! Why files cannot be built, in terms of this machine: paths as a person would type them, and the options of the
//! command that help. Does I/O: looks which folders exist.
//!
//! The render names files from the root of the source, `apps/web`; here they are `../shop/apps/web` when `--source` is
//! `../shop`.

use std::path::Path;

use kustomize_rs::fs::{EntryKind, Fs};
use reconciler::render::RenderError;

use super::inputs::Inputs;
use super::work_tree::WorkTree;
use crate::error::{Error, Kind, nearest};

/// How many folders are named at most.
const NAMED: usize = 10;

/// Explains why a render failed.
pub(super) fn explain(error: &RenderError, tree: &WorkTree, inputs: &Inputs) -> Error {
    if let RenderError::NoSuchPath { path, nearest, .. } = error {
        return no_such_path(path, nearest, tree, inputs);
    }
    let refused = Error::new(
        Kind::Input,
        format!("cannot build {}", typed(inputs.shown_path(), inputs)),
    );
    let encrypted = matches!(
        error,
        RenderError::Encrypted { .. } | RenderError::Decrypt { .. } | RenderError::DecryptData { .. }
    );
    let told = refused.caused_by(relative(&error.to_string(), tree, inputs));
    match (encrypted, &inputs.keyring) {
        (false, _) => told,
        (true, None) => told.hint("--age-key FILE decrypts with the age keys in a file."),
        (true, Some(_)) => told.hint("--age-key FILE decrypts with other keys than these."),
    }
}

fn no_such_path(path: &Path, exists: &Path, tree: &WorkTree, inputs: &Inputs) -> Error {
    let missing = Error::new(
        Kind::NotFound,
        format!("there is no folder {}", typed(&path.to_string_lossy(), inputs)),
    );
    let folders: Vec<String> = tree
        .list(exists)
        .unwrap_or_default()
        .into_iter()
        .filter(|name| !name.starts_with('.'))
        .filter(|name| matches!(tree.entry(&exists.join(name)), Ok(EntryKind::Directory)))
        .collect();
    let wanted = path
        .strip_prefix(exists)
        .ok()
        .and_then(|rest| rest.components().next())
        .map(|name| name.as_os_str().to_string_lossy().into_owned())
        .unwrap_or_default();
    if let Some(name) = nearest(&wanted, folders.iter().map(String::as_str)) {
        let meant = exists.join(name);
        return missing.hint(format!("Is {} meant?", typed(&meant.to_string_lossy(), inputs)));
    }
    let place = match typed(&exists.to_string_lossy(), inputs) {
        here if here == "." => "This directory".to_owned(),
        place => place,
    };
    let missing = match folders.as_slice() {
        [] => missing.hint(format!("{place} has no folders.")),
        all => {
            let named = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let more = if all.len() > NAMED { ", ..." } else { "" };
            missing.hint(format!("{place} has the folders {named}{more}."))
        }
    };
    missing.hint("--source names the directory that stands for the repository.")
}

/// A path of the source as a person would type it.
fn typed(path: &str, inputs: &Inputs) -> String {
    let inside = path.trim_start_matches('/').trim_start_matches("./");
    let inside = if inside == "." { "" } else { inside };
    let whole = match inputs.source == Path::new(".") {
        true => Path::new(inside).to_owned(),
        false => inputs.source.join(inside),
    };
    match whole.to_string_lossy() {
        it if it.is_empty() => ".".to_owned(),
        it => it.trim_end_matches('/').to_owned(),
    }
}

/// The text with the files in it that are of the source as a person would type them.
fn relative(text: &str, tree: &WorkTree, inputs: &Inputs) -> String {
    let is_of_a_path = |c: char| !c.is_whitespace() && !"\"'`,;:()[]{}".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_of_a_path(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        match is_in(tree, word) {
            true => out.push_str(&typed(word, inputs)),
            false => out.push_str(word),
        }
        let next = after.find(is_of_a_path).unwrap_or(after.len());
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
    out
}

/// Whether a word is a file of the source, or names what is missing in a folder of it. `/spec/replicas` is a place in an
/// object, and `./web.yaml` what a kustomization says.
fn is_in(tree: &WorkTree, word: &str) -> bool {
    if word.is_empty() || word.starts_with(['/', '.']) {
        return false;
    }
    let path = Path::new("/").join(word);
    let folder = path.parent().filter(|folder| folder.parent().is_some());
    let is = |path: &Path, kind| tree.entry(path).is_ok_and(|found| found == kind);
    is(&path, EntryKind::File) || folder.is_some_and(|folder| is(folder, EntryKind::Directory))
}
