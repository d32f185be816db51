//! Why files cannot be built, in terms of this machine: paths as a person would type them, and the options of the
//! command that help. Does I/O: looks which folders exist.
//!
//! The render counts paths from the root of the source, `/apps/web`; here they are `apps/web`, or `../shop/apps/web`
//! when `--source` is `../shop`.

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

/// The text with the paths in it that are of the source as a person would type them.
fn relative(text: &str, tree: &WorkTree, inputs: &Inputs) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('/') {
        let (before, path) = rest.split_at(start);
        out.push_str(before);
        let begins = before.chars().next_back().or(out.chars().next_back());
        let end = path
            .find(|c: char| c.is_whitespace() || "\"'`,;:()[]{}".contains(c))
            .unwrap_or(path.len());
        let (path, after) = path.split_at(end);
        let starts_a_word = begins.is_none_or(|c| c.is_whitespace() || "\"'`(".contains(c));
        let first = path.split('/').nth(1).unwrap_or_default();
        let entry = tree.entry(&Path::new("/").join(first));
        let is_file = first.contains('.') || matches!(entry, Ok(EntryKind::File | EntryKind::Directory));
        // `/spec/replicas` is a place in an object.
        match starts_a_word && !first.is_empty() && is_file {
            true => out.push_str(&typed(path, inputs)),
            false => out.push_str(path),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}
