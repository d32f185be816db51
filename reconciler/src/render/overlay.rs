//! A Kustomization's `spec` on top of the kustomization file: both in, a file tree in which the file
//! reads as the two together out. Pure; nothing is written to disk.
//!
//! Flux rewrites the file; here its lines stay where they are, so that an error names the line in
//! Git. A field that the spec changes is blanked out and stated again behind the last line.

use std::path::{Path, PathBuf};

use kustomize_rs::fs::{EntryKind, Fs, FsError, normalize};
use kustomize_rs::{KUSTOMIZATION_FILES, read_kustomization, yaml};
use serde_json::{Map, Value, json};

use super::{RenderError, walk};

/// The part of a Kustomization's `spec` that changes what is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// `targetNamespace`; replaces the file's `namespace`.
    pub target_namespace: Option<String>,
    /// Replaces the file's.
    pub name_prefix: Option<String>,
    /// Replaces the file's.
    pub name_suffix: Option<String>,
    /// Behind the file's own.
    pub patches: Vec<Patch>,
    /// Merged with the file's by name.
    pub images: Vec<Image>,
    /// Behind the file's own; relative to the path.
    pub components: Vec<String>,
    /// Leaves out components that do not exist.
    pub ignore_missing_components: bool,
    /// Replaces the file's unless empty.
    pub build_metadata: Vec<String>,
}

/// One of `spec.patches`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// A strategic merge or JSON 6902 patch in YAML.
    pub patch: String,
    /// What it applies to, unless the patch says so itself.
    pub target: Option<Target>,
}

/// Which objects a patch applies to; what is empty matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind, a regular expression.
    pub kind: String,
    /// Name, a regular expression.
    pub name: String,
    /// Namespace, a regular expression.
    pub namespace: String,
    /// Label selector.
    pub label_selector: String,
    /// Label selector over annotations.
    pub annotation_selector: String,
}

/// One of `spec.images`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// The image as manifests name it.
    pub name: String,
    /// Replaces the name.
    pub new_name: String,
    /// Replaces tag and digest.
    pub new_tag: String,
    /// Replaces tag and digest.
    pub digest: String,
}

/// Prefixes that make a component's path something other than a path in this tree.
const REMOTE_PREFIXES: [&str; 8] = [
    "git::",
    "gh:",
    "ssh://",
    "https://",
    "http://",
    "git@",
    "github.com:",
    "github.com/",
];

/// The kustomization file of a folder, as it is to be read.
#[derive(Debug)]
pub(super) struct Effective {
    /// Where it stands, or would stand.
    pub(super) path: PathBuf,
    /// Its text, if it is not the file's own.
    text: Option<String>,
    /// How many lines of the text are the file's own, or stand for the file that there is not.
    own_lines: u32,
    /// Whether there is no such file in Git.
    generated: bool,
    /// The spec field behind each line that follows.
    added: Vec<&'static str>,
}

/// What a line of the effective text goes back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineOf {
    /// The same line of the file in Git.
    File,
    /// A field of the Kustomization's spec.
    Spec(&'static str),
    /// No line that a person wrote.
    Nothing,
}

impl Effective {
    pub(super) fn line_of(&self, line: u32) -> LineOf {
        if self.text.is_none() || line <= self.own_lines {
            return if self.generated {
                LineOf::Nothing
            } else {
                LineOf::File
            };
        }
        let index = usize::try_from(line - self.own_lines - 1).unwrap_or(usize::MAX);
        self.added
            .get(index)
            .map_or(LineOf::Nothing, |field| LineOf::Spec(field))
    }
}

/// Works out the kustomization file of `folder` with `overlay` on top.
///
/// # Errors
/// The file cannot be read, or a component is not a path in this tree.
pub(super) fn effective(fs: &dyn Fs, folder: &Path, overlay: &Overlay) -> Result<Effective, RenderError> {
    let found = read_kustomization(fs, folder).map_err(|error| RenderError::build(&error, None))?;
    let Some((path, value)) = found else {
        return generated(fs, folder, overlay);
    };
    let file = value.as_object().cloned().unwrap_or_default();
    let mut changes = changes(fs, folder, overlay, &file)?;
    if is_empty(&file) && changes.is_empty() {
        changes.push(("namespace", json!("_placeholder"), "targetNamespace"));
    }
    if changes.is_empty() {
        return Ok(Effective {
            path,
            text: None,
            own_lines: 0,
            generated: false,
            added: Vec::new(),
        });
    }
    let bytes = fs.read(&path)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(restated(&path, &text, &changes).unwrap_or_else(|| rewritten(path, file, changes)))
}

/// A file without anything to build is an error to kustomize; Flux builds nothing from it.
fn is_empty(file: &Map<String, Value>) -> bool {
    let header = |key: &str| ["apiversion", "kind", "metadata"].contains(&key.to_lowercase().as_str());
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    file.iter().all(|(key, value)| header(key) || nothing(value))
}

/// The file that a folder without one gets.
fn generated(fs: &dyn Fs, folder: &Path, overlay: &Overlay) -> Result<Effective, RenderError> {
    let resources = walk::resources(fs, folder)?;
    let mut text = "namespace: _placeholder\n".to_owned();
    if !resources.is_empty() {
        let entries = resources
            .iter()
            .map(|resource| format!("- {}\n", json!(resource)));
        text = format!("resources:\n{}", entries.collect::<String>());
    }
    let path = folder.join(KUSTOMIZATION_FILES[0]);
    let changes = changes(fs, folder, overlay, &Map::new())?;
    let file = Map::from_iter([("resources".to_owned(), json!(resources))]);
    let effective = restated(&path, &text, &changes).unwrap_or_else(|| rewritten(path, file, changes));
    Ok(Effective {
        generated: true,
        ..effective
    })
}

/// A field of the kustomization file, its value, and the field of the spec that it comes from.
type Change = (&'static str, Value, &'static str);

fn changes(
    fs: &dyn Fs,
    folder: &Path,
    overlay: &Overlay,
    file: &Map<String, Value>,
) -> Result<Vec<Change>, RenderError> {
    let mut changes = Vec::new();
    let mut replace = |field, value: &Option<String>, spec| {
        if let Some(value) = value {
            changes.push((field, json!(value), spec));
        }
    };
    replace("namespace", &overlay.target_namespace, "targetNamespace");
    replace("namePrefix", &overlay.name_prefix, "namePrefix");
    replace("nameSuffix", &overlay.name_suffix, "nameSuffix");

    let patches: Vec<Value> = overlay.patches.iter().map(patch).collect();
    push_appended(&mut changes, file, "patches", patches);
    let components = components(fs, folder, overlay)?;
    push_appended(&mut changes, file, "components", components);
    if !overlay.images.is_empty() {
        changes.push(("images", Value::Array(images(&overlay.images, file)), "images"));
    }
    if !overlay.build_metadata.is_empty() {
        changes.push(("buildMetadata", json!(overlay.build_metadata), "buildMetadata"));
    }
    Ok(changes)
}

/// Flux's API, kustomize's file and this program give these lists the same names.
fn push_appended(
    changes: &mut Vec<Change>,
    file: &Map<String, Value>,
    field: &'static str,
    added: Vec<Value>,
) {
    if !added.is_empty() {
        let mut list = list_of(file, field);
        list.extend(added);
        changes.push((field, Value::Array(list), field));
    }
}

/// A list of the file; kustomize reads its keys in any case.
fn list_of(file: &Map<String, Value>, field: &str) -> Vec<Value> {
    let found = file.iter().find(|(key, _)| key.eq_ignore_ascii_case(field));
    found
        .and_then(|(_, value)| value.as_array().cloned())
        .unwrap_or_default()
}

fn patch(patch: &Patch) -> Value {
    let mut value = json!({ "patch": patch.patch });
    if let Some(target) = &patch.target {
        value["target"] = object(&[
            ("group", &target.group),
            ("version", &target.version),
            ("kind", &target.kind),
            ("name", &target.name),
            ("namespace", &target.namespace),
            ("labelSelector", &target.label_selector),
            ("annotationSelector", &target.annotation_selector),
        ]);
    }
    value
}

fn object(fields: &[(&str, &String)]) -> Value {
    fields
        .iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(key, text)| ((*key).to_owned(), json!(text)))
        .collect()
}

fn components(fs: &dyn Fs, folder: &Path, overlay: &Overlay) -> Result<Vec<Value>, RenderError> {
    let mut components = Vec::new();
    for component in &overlay.components {
        if !is_local(component) {
            return Err(RenderError::RemoteComponent {
                component: component.clone(),
            });
        }
        let path = normalize(&folder.join(component));
        if overlay.ignore_missing_components && fs.entry(&path)? == EntryKind::Nothing {
            continue;
        }
        components.push(json!(component));
    }
    Ok(components)
}

fn is_local(component: &str) -> bool {
    let lower = component.to_lowercase();
    let remote = REMOTE_PREFIXES
        .iter()
        .any(|prefix| lower.len() > prefix.len() && lower.starts_with(prefix));
    !remote && !lower.trim_start_matches("file://").starts_with('/')
}

/// Merged by name: what the spec leaves open stays as the file has it, but a tag and a digest
/// replace each other.
fn images(spec: &[Image], file: &Map<String, Value>) -> Vec<Value> {
    let mut images = list_of(file, "images");
    for image in spec {
        let Some(existing) = images
            .iter_mut()
            .find(|existing| existing["name"] == image.name.as_str())
        else {
            images.push(object(&[
                ("name", &image.name),
                ("newName", &image.new_name),
                ("newTag", &image.new_tag),
                ("digest", &image.digest),
            ]));
            continue;
        };
        let Some(existing) = existing.as_object_mut() else {
            continue;
        };
        if !image.new_name.is_empty() {
            existing.insert("newName".to_owned(), json!(image.new_name));
        }
        if !image.new_tag.is_empty() || !image.digest.is_empty() {
            for (field, text) in [("newTag", &image.new_tag), ("digest", &image.digest)] {
                existing.remove(field);
                if !text.is_empty() {
                    existing.insert(field.to_owned(), json!(text));
                }
            }
        }
    }
    images
}

/// The file as one JSON object, for what has no lines to keep.
fn rewritten(path: PathBuf, mut file: Map<String, Value>, changes: Vec<Change>) -> Effective {
    for (field, value, _) in changes {
        file.retain(|key, _| !key.eq_ignore_ascii_case(field));
        file.insert(field.to_owned(), value);
    }
    Effective {
        path,
        text: Some(yaml::emit(&Value::Object(file))),
        own_lines: 0,
        generated: false,
        added: Vec::new(),
    }
}

/// The file's own lines, those of changed fields blanked out, and one line for each change.
/// `None` if the fields do not start on lines of their own.
fn restated(path: &Path, text: &str, changes: &[Change]) -> Option<Effective> {
    let document = first_document(text)?;
    let node = yaml::load(document).ok()?;
    let mut lines: Vec<&str> = document.lines().collect();
    if let Some(mapping) = node.as_mapping() {
        let mut starts = Vec::with_capacity(mapping.entries.len());
        for (key, _) in &mapping.entries {
            let start = usize::try_from(key.position.line).ok()?.checked_sub(1)?;
            let own_line = starts.last().is_none_or(|(before, _)| *before < start);
            if key.position.column != 1 || !own_line {
                return None;
            }
            starts.push((start, key.as_text()?));
        }
        for (index, (start, key)) in starts.iter().enumerate() {
            if changes.iter().any(|(field, ..)| key.eq_ignore_ascii_case(field)) {
                let end = starts.get(index + 1).map_or(lines.len(), |(next, _)| *next);
                lines[*start..end].fill("");
            }
        }
    } else if !node.is_null() {
        return None;
    }
    let own_lines = u32::try_from(lines.len()).ok()?;
    let mut restated = lines.join("\n");
    if own_lines > 0 {
        restated.push('\n');
    }
    for (field, value, _) in changes {
        restated.push_str(&format!("{field}: {value}\n"));
    }
    // An anchor may have gone with a field.
    yaml::load(&restated).ok()?;
    let added = changes.iter().map(|(_, _, spec)| *spec).collect();
    Some(Effective {
        path: path.to_path_buf(),
        text: Some(restated),
        own_lines,
        generated: false,
        added,
    })
}

/// Only the first document of a kustomization file counts. `None` for what needs more thought.
fn first_document(text: &str) -> Option<&str> {
    if text.starts_with('\u{feff}') || text.contains('\r') {
        return None;
    }
    let start = if text.starts_with("---\n") { 4 } else { 0 };
    let ends = ["\n---", "\n..."]
        .iter()
        .filter_map(|end| text[start..].find(end));
    let end = ends.min().map_or(text.len(), |end| start + end + 1);
    Some(&text[..end])
}

/// A file tree in which one kustomization file has another text.
pub(super) struct Overlaid<'a> {
    inner: &'a dyn Fs,
    file: &'a Effective,
}

impl<'a> Overlaid<'a> {
    pub(super) fn new(inner: &'a dyn Fs, file: &'a Effective) -> Self {
        Self { inner, file }
    }

    fn text_at(&self, path: &Path) -> Option<&str> {
        let text = self.file.text.as_deref()?;
        (normalize(path) == self.file.path).then_some(text)
    }
}

impl Fs for Overlaid<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FsError> {
        match self.text_at(path) {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => self.inner.read(path),
        }
    }

    fn entry(&self, path: &Path) -> Result<EntryKind, FsError> {
        match self.text_at(path) {
            Some(_) => Ok(EntryKind::File),
            None => self.inner.entry(path),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, FsError> {
        self.inner.list(path)
    }

    fn resolve(&self, path: &Path) -> Result<PathBuf, FsError> {
        match self.text_at(path) {
            Some(_) => Ok(self.file.path.clone()),
            None => self.inner.resolve(path),
        }
    }
}
