//! `kustomize build` as a library: the same bytes out, many times faster, with no global state.
//!
//! ```text
//! files --load--> Kustomization --accumulate--> ResourceSet --finish--> Vec<Resource> --print--> YAML
//! ```
//! A [`fs::Fs`] gives the files; nothing else is read, no network is known. Each directory with a
//! kustomization file is one layer: its resources, generators and components are gathered, then its
//! transformers run over them, then the layer above takes them. Hash suffixes, name references and the
//! order are settled once, at the root. Builds share nothing and run in parallel.
//!
//! # Examples
//! ```
//! use kustomize_rs::{Options, build, fs::MemoryFs, to_yaml};
//!
//! let fs = MemoryFs::new()
//!     .with_file("/app/kustomization.yaml", "namePrefix: dev-\nresources: [config.yaml]\n")
//!     .with_file("/app/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n");
//! let resources = build(&fs, "/app".as_ref(), &Options::default()).unwrap();
//! assert_eq!(to_yaml(&resources).unwrap(), "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: dev-settings\n");
//! ```

mod config;
mod crds;
mod error;
mod fieldpath;
mod fieldspec;
mod finish;
pub mod fs;
mod generate;
mod id;
mod layer;
mod merge;
mod model;
mod notes;
mod order;
mod origin;
mod references;
mod regular;
mod remote;
mod resource;
mod resource_file;
mod set;
mod structured;
mod transform;
mod vars;
pub mod yaml;

use std::path::Path;

pub use error::{Error, ErrorKind, Location};
pub use id::{Gvk, ResourceId};
pub use remote::{Checkout, GitUrl, Remote};
pub use resource::{Origin, Resource};

/// Which files a kustomization may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadRestrictions {
    /// Only files in or below its own directory, as kustomize's program does by default.
    #[default]
    RootOnly,
    /// Any file that the file system gives, as Flux does inside an artifact.
    None,
}

/// In which order resources come out when the kustomization file does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reorder {
    /// As they were listed, as Flux does.
    #[default]
    None,
    /// Namespaces and definitions first, webhooks last, as kustomize's program does.
    Legacy,
}

/// How to build.
#[derive(Default)]
#[non_exhaustive]
pub struct Options<'a> {
    /// Which files may be read.
    pub load_restrictions: LoadRestrictions,
    /// The order of the output.
    pub reorder: Reorder,
    /// Gets each warning (deprecated fields and the like), one line without a line break.
    pub warn: Option<&'a (dyn Fn(&str) + Sync)>,
    /// Fetches remote bases and files; without it they are refused.
    pub remote: Option<&'a dyn Remote>,
    /// Labels every resource as managed by kustomize, as `buildMetadata: [managedByLabel]` does.
    pub managed_by_label: bool,
}

/// Builds the kustomization in a directory.
///
/// # Errors
/// When kustomize would fail; the error says where and why. A field that this version does not do is an
/// error that names it.
pub fn build(fs: &dyn fs::Fs, directory: &Path, options: &Options<'_>) -> Result<Vec<Resource>, Error> {
    let root = fs.resolve(directory)?;
    if fs.entry(&root)? != fs::EntryKind::Directory {
        return Err(Error::kustomization("a kustomization is built from its directory").at(directory, None));
    }
    let mut layer = layer::Layer::open(fs, options, root, None, None)?;
    let noted = ["originAnnotations", "transformerAnnotations"];
    if layer
        .kustomization
        .build_metadata
        .iter()
        .any(|m| noted.contains(&m.text.as_str()))
    {
        layer.track();
    }
    let accumulated = layer.accumulate(layer::Accumulated::default())?;
    finish::finish(accumulated, &layer.kustomization, options)
}

/// Reads the resources in a YAML text of several documents, as kustomize reads a resource file: lists are
/// expanded, empty documents skipped. `path` is only what their origins say.
///
/// # Errors
/// When the text is no YAML or a document is no Kubernetes object.
pub fn parse_resources(text: &str, path: &Path) -> Result<Vec<Resource>, Error> {
    resource_file::parse(text, path)
}

/// The names that a kustomization file may have, in the order in which they are looked for.
pub const KUSTOMIZATION_FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Finds the kustomization file of a directory and reads it as JSON, unchecked, as go-yaml v2 types it.
/// `None` when the directory has no such file.
///
/// # Errors
/// When there are several, or it cannot be read or is no YAML.
pub fn read_kustomization(
    fs: &dyn fs::Fs,
    directory: &Path,
) -> Result<Option<(std::path::PathBuf, serde_json::Value)>, Error> {
    let mut found = Vec::new();
    for name in KUSTOMIZATION_FILES {
        let path = directory.join(name);
        if fs.entry(&path)? == fs::EntryKind::File {
            found.push(path);
        }
    }
    if found.len() > 1 {
        return Err(Error::kustomization("found multiple kustomization files").at(directory, None));
    }
    let Some(path) = found.pop() else { return Ok(None) };
    let bytes = fs.read(&path)?;
    let node = yaml::text_of(&bytes)
        .and_then(yaml::load_v2)
        .map_err(|e| Error::load(&path, e))?;
    let value = yaml::to_value(&node, yaml::Schema::GoYamlV2)
        .map_err(|e| Error::syntax(e.message).at(&path, Some(e.position)))?;
    Ok(Some((path, value)))
}

/// Prints resources as `kustomize build` does: documents separated by `---`.
///
/// # Errors
/// As [`Resource::to_value`].
pub fn to_yaml(resources: &[Resource]) -> Result<String, Error> {
    let mut text = String::new();
    for (i, resource) in resources.iter().enumerate() {
        if i > 0 {
            text.push_str("---\n");
        }
        resource.write_yaml(&mut text)?;
    }
    Ok(text)
}
