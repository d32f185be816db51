//! One directory of a build: reads its kustomization file, gathers its resources, runs its transformers.
//! In: a file system and a directory; out: resources, and the configuration that the layer above merges.
//! Reads files through [`Fs`] only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{self, Config};
use crate::error::{Error, ErrorKind};
use crate::fieldspec::FieldSpec;
use crate::fs::{EntryKind, Fs, normalize};
use crate::generate::{self, Kind};
use crate::id::Gvk;
use crate::model::{Kustomization, Located, ReplacementEntry, Var};
use crate::resource::{Origin, Resource};
use crate::resource_file;
use crate::set::ResourceSet;
use crate::transform::patches::{LoadedPatch, PatchBody};
use crate::transform::{images, metadata, names, namespace, patches, replacements, replicas};
use crate::{LoadRestrictions, Options, yaml};

type Result<T> = std::result::Result<T, Error>;

/// What a layer hands to the one above it.
#[derive(Default)]
pub(crate) struct Accumulated {
    pub(crate) set: ResourceSet,
    /// The field specs of all layers so far; `None` before any was read.
    pub(crate) config: Option<Arc<Config>>,
    pub(crate) vars: Vec<Var>,
}

/// A directory that is being built.
pub(crate) struct Layer<'a> {
    fs: &'a dyn Fs,
    options: &'a Options<'a>,
    /// The resolved directory.
    root: PathBuf,
    file: PathBuf,
    parent: Option<&'a Layer<'a>>,
    pub(crate) kustomization: Kustomization,
}

impl<'a> Layer<'a> {
    /// Reads the kustomization file of a directory.
    pub(crate) fn open(
        fs: &'a dyn Fs,
        options: &'a Options<'a>,
        root: PathBuf,
        parent: Option<&'a Layer<'a>>,
    ) -> Result<Self> {
        let Some((file, bytes)) = find_file(fs, options, &root)? else {
            let message = format!(
                "unable to find one of {}",
                crate::KUSTOMIZATION_FILES.map(|n| format!("'{n}'")).join(", ")
            );
            return Err(Error::kustomization(message).at(&root, None));
        };
        let node = yaml::text_of(&bytes)
            .and_then(yaml::load)
            .map_err(|e| Error::load(&file, e))?;
        let (kustomization, warnings) = Kustomization::read(&node, &file)?;
        if let Some(warn) = options.warn {
            warnings.into_iter().for_each(warn);
        }
        Ok(Self {
            fs,
            options,
            root,
            file,
            parent,
            kustomization,
        })
    }

    /// Gathers and transforms everything that this directory names.
    pub(crate) fn accumulate(&self, mut into: Accumulated) -> Result<Accumulated> {
        for entry in &self.kustomization.resources {
            self.add_resource(&mut into, entry)?;
        }
        self.merge_config(&mut into)?;
        self.run_generators(&mut into)?;
        for entry in &self.kustomization.components {
            let root = self.directory(entry)?;
            let layer = self.open_child(root, entry, true)?;
            let empty = Accumulated::default();
            let own = std::mem::replace(&mut into, empty);
            into = layer
                .accumulate(own)
                .map_err(|e| self.in_entry(e, "components", entry))?;
        }
        self.run_transformers(&mut into)?;
        for var in &self.kustomization.vars {
            crate::vars::register(&mut into, var).map_err(|e| e.at(&self.file, None))?;
        }
        Ok(into)
    }

    fn in_entry(&self, error: Error, field: &str, entry: &Located) -> Error {
        error
            .context(format!("in {field} entry {:?}", entry.text))
            .at(&self.file, Some(entry.position))
    }

    fn add_resource(&self, into: &mut Accumulated, entry: &Located) -> Result<()> {
        let path = self.root.join(&entry.text);
        match self.fs.entry(&path)? {
            EntryKind::File => {
                let bytes = self
                    .read(&entry.text)
                    .map_err(|e| self.in_entry(e, "resources", entry))?;
                let added = resource_file::parse_bytes(&bytes, &normalize(&path))
                    .and_then(|resources| into.set.append_all(resources));
                added.map_err(|e| self.in_entry(e, "resources", entry))
            }
            EntryKind::Directory => {
                let root = self.directory(entry)?;
                self.merge_child(into, root, entry)
            }
            EntryKind::Nothing if is_remote(&entry.text) => self.add_remote(into, entry),
            EntryKind::Nothing => Err(Error::new(
                ErrorKind::File,
                format!("resources entry {:?}: no such file or directory", entry.text),
            )
            .at(&self.file, Some(entry.position))),
        }
    }

    fn merge_child(&self, into: &mut Accumulated, root: PathBuf, entry: &Located) -> Result<()> {
        let layer = self.open_child(root, entry, false)?;
        let child = layer
            .accumulate(Accumulated::default())
            .map_err(|e| self.in_entry(e, "resources", entry))?;
        merge(into, child).map_err(|e| self.in_entry(e, "resources", entry))
    }

    fn add_remote(&self, into: &mut Accumulated, entry: &Located) -> Result<()> {
        let Some(remote) = self.options.remote else {
            let message = format!(
                "resources entry {:?} is remote, and remote bases are switched off: copy it into this repository",
                entry.text
            );
            return Err(Error::unsupported(message).at(&self.file, Some(entry.position)));
        };
        let is_file =
            entry.text.starts_with("http") && entry.text.ends_with(".yaml") || entry.text.ends_with(".yml");
        if is_file {
            let bytes = remote
                .file(&entry.text)
                .map_err(|e| self.in_entry(e, "resources", entry))?;
            let resources = resource_file::parse_bytes(&bytes, Path::new(&entry.text))
                .map_err(|e| self.in_entry(e, "resources", entry))?;
            return into
                .set
                .append_all(resources)
                .map_err(|e| self.in_entry(e, "resources", entry));
        }
        let (fs, root) = remote
            .repository(&entry.text)
            .map_err(|e| self.in_entry(e, "resources", entry))?;
        let layer = Layer::open(fs.as_ref(), self.options, root, None)
            .map_err(|e| self.in_entry(e, "resources", entry))?;
        let child = layer
            .accumulate(Accumulated::default())
            .map_err(|e| self.in_entry(e, "resources", entry))?;
        merge(into, child).map_err(|e| self.in_entry(e, "resources", entry))
    }

    fn open_child(&self, root: PathBuf, entry: &Located, component: bool) -> Result<Layer<'_>> {
        let layer = Layer::open(self.fs, self.options, root, Some(self))
            .map_err(|e| self.in_entry(e, if component { "components" } else { "resources" }, entry))?;
        let wrong = |message: &str| Err(Error::kustomization(message).at(&self.file, Some(entry.position)));
        match (component, layer.kustomization.is_component) {
            (true, false) => wrong(&format!(
                "{:?} is no component: its kind must be Component",
                entry.text
            )),
            (false, true) => wrong(&format!(
                "{:?} is a component: list it under components",
                entry.text
            )),
            _ => Ok(layer),
        }
    }

    /// Resolves a directory that an entry names; it must not be one that leads here.
    fn directory(&self, entry: &Located) -> Result<PathBuf> {
        let wrong = |message: String| Error::kustomization(message).at(&self.file, Some(entry.position));
        if Path::new(&entry.text).is_absolute() {
            return Err(wrong(format!("the directory {:?} must be relative", entry.text)));
        }
        let path = self.root.join(&entry.text);
        if self.fs.entry(&path)? != EntryKind::Directory {
            return Err(wrong(format!("{:?} is no directory", entry.text)));
        }
        let root = self.fs.resolve(&path)?;
        let mut layer = Some(self);
        while let Some(visited) = layer {
            if visited.root.starts_with(&root) {
                let message = format!(
                    "cycle detected: {:?} contains {}, which leads to it",
                    entry.text,
                    visited.root.display()
                );
                return Err(wrong(message));
            }
            layer = visited.parent;
        }
        Ok(root)
    }

    /// Reads a file that the kustomization file names, if it may.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>> {
        if name.starts_with("http://") || name.starts_with("https://") {
            let Some(remote) = self.options.remote else {
                let message = format!("{name} is remote, and remote files are switched off");
                return Err(Error::unsupported(message).at(&self.file, None));
            };
            return remote.file(name);
        }
        let path = self.root.join(name);
        restrict(self.fs, self.options, &self.root, &path).map_err(|e| e.at(&self.file, None))?;
        self.fs
            .read(&path)
            .map_err(|e| Error::from(e).at(&self.file, None))
    }

    fn read_text(&self, name: &str) -> Result<String> {
        let bytes = self.read(name)?;
        String::from_utf8(bytes)
            .map_err(|_| Error::syntax(format!("{name} is not UTF-8")).at(&self.file, None))
    }

    fn merge_config(&self, into: &mut Accumulated) -> Result<()> {
        let mut config = config::defaults();
        for entry in &self.kustomization.configurations {
            let text = self.read_text(&entry.text)?;
            let path = self.root.join(&entry.text);
            let node = yaml::load(&text).map_err(|e| Error::load(&path, e))?;
            let own = Config::read_file(&node, &path)?;
            Arc::make_mut(&mut config)
                .merge(&own)
                .map_err(|e| e.at(&path, None))?;
        }
        for entry in &self.kustomization.crds {
            let text = self.read_text(&entry.text)?;
            let path = self.root.join(&entry.text);
            let own = crate::crds::read(&text, &path)?;
            Arc::make_mut(&mut config)
                .merge(&own)
                .map_err(|e| e.at(&path, None))?;
        }
        merge_configs(into, &config)
    }

    fn run_generators(&self, into: &mut Accumulated) -> Result<()> {
        let entries = &self.kustomization;
        let config_maps = entries
            .config_map_generator
            .iter()
            .map(|args| (Kind::ConfigMap, args));
        let secrets = entries.secret_generator.iter().map(|args| (Kind::Secret, args));
        for (kind, args) in config_maps.chain(secrets) {
            let origin = Origin {
                path: self.file.clone(),
                line: args.position.line,
            };
            let read = |name: &str| self.read(name);
            let generated = generate::generate(kind, args, entries.generator_options.as_ref(), &read, origin);
            generated
                .and_then(|resource| into.set.absorb(resource))
                .map_err(|e| e.at(&self.file, Some(args.position)))?;
        }
        if let Some(entry) = entries.generators.first() {
            return Err(self.not_done("generators", entry));
        }
        Ok(())
    }

    fn not_done(&self, field: &str, entry: &Located) -> Error {
        Error::unsupported(format!("the field {field} is not supported yet"))
            .at(&self.file, Some(entry.position))
    }

    /// Runs the transformers in kustomize's order. What they need from files is read first.
    fn run_transformers(&self, into: &mut Accumulated) -> Result<()> {
        let kustomization = &self.kustomization;
        let config = into.config.clone().unwrap_or_else(config::defaults);
        let strategic = self.load_strategic_merges()?;
        let loaded = self.load_patches()?;
        let json = self.load_json_patches()?;
        let replacement_list = self.load_replacements()?;
        self.refuse_unfinished()?;
        let set = &mut into.set;
        let located = |e: Error| e.at(&self.file, None);
        patches::apply_by_name(set, &strategic).map_err(located)?;
        for (patch, position) in &loaded {
            patch.apply(set).map_err(|e| e.at(&self.file, Some(*position)))?;
            set.drop_empty();
        }
        let namespace = namespace::Transform {
            namespace: &kustomization.namespace,
            specs: &config.namespace,
            subjects: namespace::Subjects::Default,
            unset_only: false,
        };
        namespace.apply(set).map_err(located)?;
        if !kustomization.name_prefix.is_empty() {
            names::transform(
                set,
                names::End::Prefix,
                &kustomization.name_prefix,
                &config.name_prefix,
            )
            .map_err(located)?;
        }
        if !kustomization.name_suffix.is_empty() {
            names::transform(
                set,
                names::End::Suffix,
                &kustomization.name_suffix,
                &config.name_suffix,
            )
            .map_err(located)?;
        }
        self.set_labels(set, &config).map_err(located)?;
        if let Some(annotations) = kustomization
            .common_annotations
            .as_ref()
            .filter(|a| !a.is_empty())
        {
            metadata::transform(set, annotations, &config.common_annotations).map_err(located)?;
        }
        for (target, operations, position) in &json {
            patches::apply_json(set, target, operations, false)
                .map_err(|e| e.at(&self.file, Some(*position)))?;
        }
        for replica in &kustomization.replicas {
            replicas::transform(set, replica, &config.replicas).map_err(located)?;
        }
        images::transform(set, &kustomization.images, &config.images).map_err(located)?;
        replacements::transform(set, &replacement_list).map_err(located)?;
        set.drop_empty();
        Ok(())
    }

    fn refuse_unfinished(&self) -> Result<()> {
        let kustomization = &self.kustomization;
        for (field, entries) in [
            ("transformers", &kustomization.transformers),
            ("validators", &kustomization.validators),
        ] {
            if let Some(entry) = entries.first() {
                return Err(self.not_done(field, entry));
            }
        }
        if let Some(openapi) = &kustomization.openapi {
            let version = openapi.get("version").map(String::as_str);
            if openapi.contains_key("path") {
                let message = "openapi.path is not supported yet: strategic merges use the schema of Kubernetes v1.21.2";
                return Err(Error::unsupported(message).at(&self.file, None));
            }
            if version.is_some_and(|v| v != "v1.21.2" && !v.is_empty()) {
                let message = "openapi.version: the only version is v1.21.2";
                return Err(Error::kustomization(message).at(&self.file, None));
            }
        }
        Ok(())
    }

    fn set_labels(&self, set: &mut ResourceSet, config: &Config) -> Result<()> {
        for label in &self.kustomization.labels {
            let mut specs = crate::fieldspec::FieldSpecs::new(label.fields.clone());
            specs.merge(config.labels.iter())?;
            if label.include_selectors {
                specs.merge(config.common_labels.iter())?;
            } else {
                if label.include_templates {
                    specs.merge(config.template_labels.iter())?;
                }
                specs.merge([&FieldSpec::new(Gvk::default(), "metadata/labels", true)])?;
            }
            if !label.pairs.is_empty() {
                metadata::transform(set, &label.pairs, &specs)?;
            }
        }
        match self
            .kustomization
            .common_labels
            .as_ref()
            .filter(|l| !l.is_empty())
        {
            Some(labels) => metadata::transform(set, labels, &config.common_labels),
            None => Ok(()),
        }
    }

    fn load_strategic_merges(&self) -> Result<Vec<Resource>> {
        let mut patches = Vec::new();
        for entry in &self.kustomization.patches_strategic_merge {
            // An entry is a patch itself if it can be read as one, else a file.
            let loaded = match resource_file::parse(&entry.text, &self.file) {
                Ok(inline) => Ok(inline),
                Err(_) => self.read(&entry.text).and_then(|bytes| {
                    resource_file::parse_bytes(&bytes, &normalize(&self.root.join(&entry.text)))
                }),
            };
            patches.extend(loaded.map_err(|e| self.in_entry(e, "patchesStrategicMerge", entry))?);
        }
        if patches.is_empty() && !self.kustomization.patches_strategic_merge.is_empty() {
            return Err(
                Error::kustomization("patchesStrategicMerge: the patches appear to be empty")
                    .at(&self.file, None),
            );
        }
        Ok(patches)
    }

    fn load_patches(&self) -> Result<Vec<(LoadedPatch, yaml::Position)>> {
        let mut loaded = Vec::new();
        for patch in &self.kustomization.patches {
            let wrong =
                |message: &str| Err(Error::kustomization(message).at(&self.file, Some(patch.position)));
            let inline = patch.patch.trim();
            let (text, path, name) = match (inline, patch.path.as_str()) {
                ("", "") => return wrong("a patches entry must have a patch or a path"),
                (inline, "") => (inline.to_string(), self.file.clone(), "inline patch".to_string()),
                ("", path) => {
                    let text = self
                        .read_text(path)
                        .map_err(|e| e.at(&self.file, Some(patch.position)))?;
                    (text, normalize(&self.root.join(path)), format!("patch {path}"))
                }
                _ => return wrong("a patches entry has either a patch or a path, not both"),
            };
            let mut body =
                patches::parse(&text, &path, &name).map_err(|e| e.at(&self.file, Some(patch.position)))?;
            if let PatchBody::StrategicMerge(resources) = &mut body {
                for resource in resources {
                    resource.allow_name_change = patch.allow_name_change;
                    resource.allow_kind_change = patch.allow_kind_change;
                }
            }
            loaded.push((
                LoadedPatch {
                    name,
                    target: patch.target.clone(),
                    body,
                },
                patch.position,
            ));
        }
        Ok(loaded)
    }

    fn load_json_patches(&self) -> Result<Vec<JsonPatch>> {
        let mut loaded = Vec::new();
        for patch in &self.kustomization.patches_json6902 {
            let wrong =
                |message: &str| Err(Error::kustomization(message).at(&self.file, Some(patch.position)));
            let Some(target) = patch.target.clone().filter(|t| !t.name.is_empty()) else {
                return wrong("a patchesJson6902 entry must name its target");
            };
            let text = match (patch.patch.as_str(), patch.path.as_str()) {
                ("", "") => return wrong("a patchesJson6902 entry must have a patch or a path"),
                (inline, "") => inline.to_string(),
                ("", path) => self.read_text(path)?,
                _ => return wrong("a patchesJson6902 entry has either a patch or a path, not both"),
            };
            let operations = patches::parse_operations(&text, &self.file)
                .map_err(|e| e.at(&self.file, Some(patch.position)))?;
            if operations.is_empty() {
                return wrong("the JSON patch appears to be empty");
            }
            loaded.push((target, operations, patch.position));
        }
        Ok(loaded)
    }

    fn load_replacements(&self) -> Result<Vec<crate::model::replacement::Replacement>> {
        let mut loaded = Vec::new();
        for entry in &self.kustomization.replacements {
            match entry {
                ReplacementEntry::Inline(replacement) => loaded.push(replacement.clone()),
                ReplacementEntry::Path(path) => {
                    let text = self.read_text(path)?;
                    loaded.extend(crate::model::replacement::read_file(
                        &text,
                        &self.root.join(path),
                    )?);
                }
            }
        }
        Ok(loaded)
    }
}

type JsonPatch = (
    crate::model::Selector,
    Vec<crate::merge::json6902::Operation>,
    yaml::Position,
);

fn merge(into: &mut Accumulated, child: Accumulated) -> Result<()> {
    into.set.append_all(child.set.into_resources())?;
    if let Some(config) = &child.config {
        merge_configs(into, config)?;
    }
    for var in child.vars {
        crate::vars::add(into, var)?;
    }
    Ok(())
}

/// Most layers have nothing but the defaults, which are one object.
fn merge_configs(into: &mut Accumulated, config: &Arc<Config>) -> Result<()> {
    match &mut into.config {
        None => into.config = Some(Arc::clone(config)),
        Some(known) if Arc::ptr_eq(known, config) => {}
        Some(known) => Arc::make_mut(known).merge(config)?,
    }
    Ok(())
}

fn find_file(fs: &dyn Fs, options: &Options<'_>, root: &Path) -> Result<Option<(PathBuf, Vec<u8>)>> {
    let mut found = None;
    for name in crate::KUSTOMIZATION_FILES {
        let path = root.join(name);
        // A file that may not be read counts as missing, as it does in kustomize.
        if fs.entry(&path)? != EntryKind::File || restrict(fs, options, root, &path).is_err() {
            continue;
        }
        if found.replace(path).is_some() {
            return Err(Error::kustomization("found multiple kustomization files").at(root, None));
        }
    }
    let Some(path) = found else { return Ok(None) };
    let bytes = fs.read(&path)?;
    Ok(Some((path, bytes)))
}

/// Refuses files outside of the directory of a kustomization file.
fn restrict(fs: &dyn Fs, options: &Options<'_>, root: &Path, path: &Path) -> Result<()> {
    if options.load_restrictions == LoadRestrictions::None {
        return Ok(());
    }
    let resolved = fs.resolve(path)?;
    if resolved.starts_with(root) && resolved != root {
        return Ok(());
    }
    let message = format!(
        "security; file '{}' is not in or below '{}'; move it there, or lift the load restrictions",
        path.display(),
        root.display()
    );
    Err(Error::new(ErrorKind::LoadRestriction, message))
}

/// Whether a text names something on another machine, in one of the forms that kustomize knows.
fn is_remote(text: &str) -> bool {
    let schemes = [
        "http://",
        "https://",
        "ssh://",
        "file://",
        "git::",
        "git@",
        "github.com/",
        "github.com:",
    ];
    schemes.iter().any(|scheme| text.starts_with(scheme))
        || text.contains("@") && text.contains(':') && !text.starts_with('.')
}
