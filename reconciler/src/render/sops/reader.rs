//! A file tree whose SOPS files read as plain text: a file tree and identities in, the same out.
//! Pure, but for what the tree underneath does.
//!
//! Decrypting as a file is read means that its MAC is checked over the file as it stands in Git, and
//! that patches and generators see plain text. What a file is for follows from the kustomization
//! file that names it, which is read first: a Secret's sources are decrypted by the format of their
//! name, a ConfigMap's never are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kustomize_rs::KUSTOMIZATION_FILES;
use kustomize_rs::fs::{EntryKind, Fs, FsError, normalize};
use kustomize_rs::yaml::{self, Node};
use serde_json::Value;

use super::yaml::{DECRYPT_ANNOTATION, decrypt_manifests};
use super::{Format, Keyring, Plain, Secrets, SopsError, cipher, decrypt_file, may_be_encrypted};

/// What kustomization files use a file for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Use {
    /// As content of a Secret, in one of these formats.
    secret: Vec<Format>,
    /// As content of a ConfigMap: never decrypted, since a ConfigMap is no place for secrets.
    config_map: bool,
}

/// Reads through to a file tree and decrypts what is encrypted.
pub(in crate::render) struct Decrypting<'a> {
    inner: &'a dyn Fs,
    keyring: &'a Keyring,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    uses: BTreeMap<PathBuf, Use>,
    secrets: Secrets,
    failure: Option<(PathBuf, SopsError)>,
}

impl<'a> Decrypting<'a> {
    pub(in crate::render) fn new(inner: &'a dyn Fs, keyring: &'a Keyring) -> Self {
        Self {
            inner,
            keyring,
            noted: Mutex::default(),
        }
    }

    /// The first file that could not be decrypted, if any, and the values that were.
    pub(in crate::render) fn finish(self) -> (Option<(PathBuf, SopsError)>, Secrets) {
        let noted = self.noted.into_inner().unwrap_or_else(PoisonError::into_inner);
        (noted.failure, noted.secrets)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plain(&self, path: &Path, bytes: &[u8]) -> Result<Option<Plain>, SopsError> {
        let used = self
            .noted()
            .uses
            .get(&normalize(path))
            .cloned()
            .unwrap_or_default();
        match (used.config_map, used.secret.as_slice()) {
            (true, []) => Ok(None),
            (true, _) => Err(SopsError::InConfigMap),
            (false, []) => self.manifests(bytes),
            (false, formats) => {
                let text = std::str::from_utf8(bytes).map_err(|_| SopsError::NotText)?;
                let format = formats.iter().find(|format| format.shows_in(text));
                format.map_or(Ok(None), |format| decrypt_file(bytes, *format, self.keyring))
            }
        }
    }

    fn manifests(&self, bytes: &[u8]) -> Result<Option<Plain>, SopsError> {
        if bytes.len() > super::MAX_FILE {
            return Err(SopsError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| SopsError::NotText)?;
        decrypt_manifests(&text.replace("\r\n", "\n"), self.keyring)
    }

    /// Notes what the files that a kustomization file names are for. What is wrong with the file
    /// itself is for the build to say.
    fn note_uses(&self, path: &Path, bytes: &[u8]) {
        let Some(directory) = path.parent() else { return };
        let Ok(node) = yaml::text_of(bytes).and_then(yaml::load) else {
            return;
        };
        for (file, format) in uses(&node) {
            let file = directory.join(file);
            let resolved = self.inner.resolve(&file).ok();
            let mut paths = vec![normalize(&file)];
            paths.extend(resolved.filter(|resolved| *resolved != paths[0]));
            let mut noted = self.noted();
            for path in paths {
                let used = noted.uses.entry(path).or_default();
                match format {
                    Some(format) => used.secret.push(format),
                    None => used.config_map = true,
                }
            }
        }
    }
}

impl Fs for Decrypting<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FsError> {
        let bytes = self.inner.read(path)?;
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if KUSTOMIZATION_FILES.contains(&name) {
            self.note_uses(path, &bytes);
            return Ok(bytes);
        }
        if !may_be_encrypted(&bytes) {
            return Ok(bytes);
        }
        match self.plain(path, &bytes) {
            Ok(None) => Ok(bytes),
            Ok(Some(plain)) => {
                self.noted().secrets.extend(plain.secrets);
                Ok(plain.text)
            }
            Err(error) => {
                let shown = FsError::other(path, error.to_string());
                self.noted().failure.get_or_insert((normalize(path), error));
                Err(shown)
            }
        }
    }

    fn entry(&self, path: &Path) -> Result<EntryKind, FsError> {
        self.inner.entry(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, FsError> {
        self.inner.list(path)
    }

    fn resolve(&self, path: &Path) -> Result<PathBuf, FsError> {
        self.inner.resolve(path)
    }
}

/// The sources of the generators in a kustomization file, relative to it, with the format of those
/// that go into Secrets.
fn uses(kustomization: &Node) -> Vec<(String, Option<Format>)> {
    let mut uses = Vec::new();
    for generator in items(kustomization, "configMapGenerator") {
        let files = texts(generator, "files").map(|source| file_source(source).1);
        uses.extend(
            files
                .chain(env_sources(generator))
                .map(|file| (file.to_owned(), None)),
        );
    }
    for generator in items(kustomization, "secretGenerator") {
        for (key, file) in texts(generator, "files").map(file_source) {
            uses.push((file.to_owned(), Some(Format::of_name(key))));
        }
        for file in env_sources(generator) {
            let format = match Format::of_name(file) {
                Format::Binary => Format::Dotenv,
                format => format,
            };
            uses.push((file.to_owned(), Some(format)));
        }
    }
    uses
}

/// `[key=]path`: the key, which decides the format, and the path.
fn file_source(source: &str) -> (&str, &str) {
    source.split_once('=').unwrap_or((source, source))
}

fn items<'n>(node: &'n Node, key: &str) -> impl Iterator<Item = &'n Node> {
    node.get(key)
        .and_then(Node::as_sequence)
        .unwrap_or_default()
        .iter()
}

fn texts<'n>(node: &'n Node, key: &str) -> impl Iterator<Item = &'n str> {
    items(node, key).filter_map(Node::as_text)
}

fn env_sources(generator: &Node) -> impl Iterator<Item = &str> {
    texts(generator, "envs").chain(generator.get("env").and_then(Node::as_text))
}

/// Decrypts the entries of a Secret's `data` that are SOPS files of their own, which a generator
/// may have put there; gives the values decrypted, `None` if there were none.
///
/// # Errors
/// The key of the entry, and why it cannot be decrypted.
pub(in crate::render) fn decrypt_secret_data(
    object: &mut Value,
    keyring: &Keyring,
) -> Result<Option<Secrets>, (String, SopsError)> {
    if object["kind"] != "Secret" || is_opted_out(object) {
        return Ok(None);
    }
    let Some(data) = object.get_mut("data").and_then(Value::as_object_mut) else {
        return Ok(None);
    };
    let mut secrets = None;
    for (key, value) in data {
        // What is no base64 is for the API server to refuse.
        let Some(bytes) = value.as_str().and_then(decode) else {
            continue;
        };
        let Some(format) = format_of_content(&bytes, key) else {
            continue;
        };
        let plain = decrypt_file(&bytes, format, keyring).map_err(|error| (key.clone(), error))?;
        if let Some(plain) = plain {
            let secrets = secrets.get_or_insert_with(Secrets::default);
            secrets.extend(plain.secrets);
            *value = Value::String(STANDARD.encode(plain.text));
        }
    }
    Ok(secrets)
}

fn decode(base64: &str) -> Option<Vec<u8>> {
    let joined: String = base64.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(joined).ok()
}

/// The format that the content shows by its metadata. JSON may wrap a binary file: the name says.
fn format_of_content(bytes: &[u8], key: &str) -> Option<Format> {
    if !may_be_encrypted(bytes) {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let json = if Format::of_name(key) == Format::Binary {
        Format::Binary
    } else {
        Format::Json
    };
    [json, Format::Dotenv, Format::Ini, Format::Yaml]
        .into_iter()
        .find(|format| format.shows_in(text))
}

fn is_opted_out(object: &Value) -> bool {
    object["metadata"]["annotations"][DECRYPT_ANNOTATION]
        .as_str()
        .is_some_and(|value| value.eq_ignore_ascii_case("disabled"))
}

/// Whether an object is still encrypted, and to whom; an object that opted out is meant to be.
pub(in crate::render) fn recipients_if_encrypted(object: &Value) -> Option<Vec<String>> {
    if is_opted_out(object) {
        return None;
    }
    let is_secret = object["kind"] == "Secret" && object["apiVersion"] == "v1";
    let metadata = &object["sops"];
    if metadata.get("mac").is_some() || (is_secret && !metadata.is_null()) {
        let groups = metadata["key_groups"]
            .as_array()
            .into_iter()
            .flatten()
            .chain([metadata]);
        let recipients = groups.flat_map(|group| group["age"].as_array().into_iter().flatten());
        return Some(
            recipients
                .filter_map(|r| r["recipient"].as_str())
                .map(str::to_owned)
                .collect(),
        );
    }
    let values = |field: &str| {
        object[field]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, value)| value.as_str())
    };
    let is_cipher_text = |text: &str| text.starts_with(cipher::PREFIX);
    let encodes_cipher_text =
        |text: &str| decode(text).is_some_and(|bytes| bytes.starts_with(cipher::PREFIX.as_bytes()));
    let encrypted = values("stringData").chain(values("data")).any(is_cipher_text)
        || values("data").any(encodes_cipher_text);
    (is_secret && encrypted).then(Vec::new)
}
