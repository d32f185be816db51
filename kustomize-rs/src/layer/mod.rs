//! One directory of a build: reads its kustomization file, gathers its resources, runs its transformers.
//! In: a file system and a directory; out: resources, and the configuration that the layer above merges.
//! Reads files through [`Fs`] only.

mod plugins;
mod steps;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::config::{self, Config};
use crate::error::{Error, ErrorKind};
use crate::fs::{EntryKind, Fs, normalize};
use crate::generate::{self, Kind};
use crate::merge::openapi::Schemas;
use crate::model::{Kustomization, Located, Var};
use crate::origin::Note;
use crate::resource::{Origin, Resource};
use crate::resource_file;
use crate::set::ResourceSet;
use crate::{GitUrl, LoadRestrictions, Options, Remote, yaml};

type Result<T> = std::result::Result<T, Error>;

/// What a layer hands to the one above it.
#[derive(Default)]
pub(crate) struct Accumulated {
    pub(crate) set: ResourceSet,
    /// The field specs of all layers so far; `None` before any was read.
    pub(crate) config: Option<Arc<Config>>,
    pub(crate) vars: Vec<Var>,
}

/// A repository that was fetched: everything that is found in it stays in it.
pub(crate) struct Clone {
    /// The top of the repository.
    root: PathBuf,
    /// The entry that named it.
    entry: String,
    url: GitUrl,
}

/// A directory that is being built.
pub(crate) struct Layer<'a> {
    fs: &'a dyn Fs,
    options: &'a Options<'a>,
    /// The resolved directory.
    root: PathBuf,
    file: PathBuf,
    parent: Option<&'a Layer<'a>>,
    /// The clone that it is read from, if it was fetched.
    clone: Option<Rc<Clone>>,
    /// The schemas of the whole build.
    schemas: Rc<Schemas>,
    /// The way here from the root, if origins are to be noted.
    way: Option<PathBuf>,
    pub(crate) kustomization: Kustomization,
}

impl<'a> Layer<'a> {
    /// Reads the kustomization file of a directory.
    pub(crate) fn open(
        fs: &'a dyn Fs,
        options: &'a Options<'a>,
        root: PathBuf,
        parent: Option<&'a Layer<'a>>,
        clone: Option<Rc<Clone>>,
    ) -> Result<Self> {
        let restrictions = restrictions(options, clone.as_deref());
        let Some((file, bytes)) = find_file(fs, restrictions, &root)? else {
            let message = format!(
                "unable to find one of {}",
                crate::KUSTOMIZATION_FILES.map(|n| format!("'{n}'")).join(", ")
            );
            return Err(Error::kustomization(message).at(&root, None));
        };
        let node = yaml::text_of(&bytes)
            .and_then(yaml::load_v2)
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
            clone,
            way: None,
            schemas: parent.map(|p| Rc::clone(&p.schemas)).unwrap_or_default(),
            kustomization,
        })
    }

    /// Gathers and transforms everything that this directory names.
    pub(crate) fn accumulate(&self, mut into: Accumulated) -> Result<Accumulated> {
        self.load_openapi()?;
        for entry in &self.kustomization.resources {
            self.add_resource(&mut into, entry)?;
        }
        self.merge_config(&mut into)?;
        self.run_generators(&mut into)?;
        for entry in &self.kustomization.components {
            let own = std::mem::take(&mut into);
            into = self
                .child(entry, true, own)
                .map_err(|e| self.in_entry(e, "components", entry))?;
            into.set
                .refuse_duplicates()
                .map_err(|e| self.in_entry(e, "components", entry))?;
        }
        self.run_transformers(&mut into)?;
        self.run_validators(&mut into)?;
        for var in &self.kustomization.vars {
            crate::vars::register(&mut into, var).map_err(|e| e.at(&self.file, None))?;
        }
        Ok(into)
    }

    /// Starts noting where resources come from and what changed them.
    pub(crate) fn track(&mut self) {
        self.way = Some(PathBuf::new());
    }

    /// What is noted about a generator or transformer that the kustomization file itself stands for.
    fn builtin_note(&self, kind: &str) -> Option<Note> {
        let way = self.way.as_ref()?;
        let file = self.file.file_name()?;
        Some(Note {
            configured_in: normalize(&way.join(file)),
            configured_by: Some(crate::origin::ConfiguredBy {
                kind: kind.to_string(),
                ..Default::default()
            }),
            ..self.note()
        })
    }

    /// A note that says which repository this is read from.
    fn note(&self) -> Note {
        let url = self.clone.as_ref().map(|clone| &clone.url);
        Note {
            repository: url.map(|u| u.repository.clone()).unwrap_or_default(),
            reference: url.map(|u| u.reference.clone()).unwrap_or_default(),
            ..Note::default()
        }
    }

    fn in_entry(&self, error: Error, field: &str, entry: &Located) -> Error {
        if error.is_at(&self.file, entry.position) {
            return error;
        }
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
                let added =
                    resource_file::parse_bytes(&bytes, &normalize(&path)).and_then(|mut resources| {
                        if let Some(way) = &self.way {
                            let note = Note {
                                path: normalize(&way.join(&entry.text)),
                                ..self.note()
                            };
                            resources
                                .iter_mut()
                                .for_each(|resource| note.set_origin(resource));
                        }
                        self.append(into, resources)
                    });
                added.map_err(|e| self.in_entry(e, "resources", entry))
            }
            EntryKind::Nothing if is_remote_file(&entry.text) => self.add_remote_file(into, entry),
            EntryKind::Nothing if GitUrl::parse(&entry.text).is_none() => Err(Error::new(
                ErrorKind::File,
                format!("resources entry {:?}: no such file or directory", entry.text),
            )
            .at(&self.file, Some(entry.position))),
            EntryKind::Directory | EntryKind::Nothing => self
                .child(entry, false, Accumulated::default())
                .and_then(|child| merge(into, child))
                .map_err(|e| self.in_entry(e, "resources", entry)),
        }
    }

    /// Adds resources of a file, with what is known of their kinds.
    fn append(&self, into: &mut Accumulated, mut resources: Vec<Resource>) -> Result<()> {
        self.note_scopes(&mut resources)?;
        into.set.append_all(resources)
    }

    /// Notes of which kinds a schema says that they live outside of namespaces.
    fn note_scopes(&self, resources: &mut [Resource]) -> Result<()> {
        for resource in resources {
            let gvk = &mut resource.id.gvk;
            gvk.outside_namespaces = self.schemas.is_cluster_scoped(&gvk.api_version(), &gvk.kind)?;
        }
        Ok(())
    }

    fn remote(&self, entry: &Located) -> Result<&dyn Remote> {
        self.options.remote.ok_or_else(|| {
            let message = format!(
                "{:?} is remote, and remote bases are switched off: copy it into this repository",
                entry.text
            );
            Error::unsupported(message).at(&self.file, Some(entry.position))
        })
    }

    fn add_remote_file(&self, into: &mut Accumulated, entry: &Located) -> Result<()> {
        let added = self.remote(entry).and_then(|remote| {
            let bytes = remote.file(&entry.text)?;
            let mut resources = resource_file::parse_bytes(&bytes, Path::new(&entry.text))?;
            if self.way.is_some() {
                let path = PathBuf::from(&entry.text);
                let note = Note { path, ..self.note() };
                resources
                    .iter_mut()
                    .for_each(|resource| note.set_origin(resource));
            }
            self.append(into, resources)
        });
        added.map_err(|e| self.in_entry(e, "resources", entry))
    }

    /// Builds the directory or repository that an entry names, on top of what there is.
    fn child(&self, entry: &Located, component: bool, own: Accumulated) -> Result<Accumulated> {
        if let Some(url) = GitUrl::parse(&entry.text) {
            return self.remote_child(entry, url, component, own);
        }
        let root = self.directory(entry)?;
        let mut layer = Layer::open(self.fs, self.options, root, Some(self), self.clone.clone())?;
        layer.way = self.way.as_ref().map(|way| normalize(&way.join(&entry.text)));
        self.check_kind(entry, &layer, component)?;
        layer.accumulate(own)
    }

    fn remote_child(
        &self,
        entry: &Located,
        url: GitUrl,
        component: bool,
        own: Accumulated,
    ) -> Result<Accumulated> {
        let wrong = |message: String| Error::kustomization(message).at(&self.file, Some(entry.position));
        let mut layer = Some(self);
        while let Some(visited) = layer {
            let named = visited.clone.as_ref().map(|clone| clone.entry.as_str());
            if named.is_some_and(|named| named.starts_with(&entry.text)) {
                return Err(wrong(format!("cycle detected: {:?} leads to itself", entry.text)));
            }
            layer = visited.parent;
        }
        let checkout = self.remote(entry)?.repository(&url)?;
        let fs = checkout.fs.as_ref();
        let top = fs.resolve(&checkout.root)?;
        let root = fs.resolve(&checkout.root.join(&url.directory))?;
        if !root.starts_with(&top) || fs.entry(&root)? != EntryKind::Directory {
            let message = format!("{:?} is no directory in the repository", url.directory);
            return Err(wrong(message));
        }
        let way = PathBuf::from(&url.directory);
        let clone = Clone {
            root: top,
            entry: entry.text.clone(),
            url,
        };
        let mut layer = Layer::open(fs, self.options, root, Some(self), Some(Rc::new(clone)))?;
        layer.way = self.way.as_ref().map(|_| way);
        self.check_kind(entry, &layer, component)?;
        layer.accumulate(own)
    }

    fn check_kind(&self, entry: &Located, layer: &Layer<'_>, component: bool) -> Result<()> {
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
            _ => Ok(()),
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
        if self
            .clone
            .as_ref()
            .is_some_and(|clone| !root.starts_with(&clone.root))
        {
            return Err(wrong(format!("{:?} is outside of the repository", entry.text)));
        }
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

    fn restrictions(&self) -> LoadRestrictions {
        restrictions(self.options, self.clone.as_deref())
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
        restrict(self.fs, self.restrictions(), &self.root, &path).map_err(|e| e.at(&self.file, None))?;
        self.fs
            .read(&path)
            .map_err(|e| Error::from(e).at(&self.file, None))
    }

    fn read_text(&self, name: &str) -> Result<String> {
        let bytes = self.read(name)?;
        let text = yaml::text_of(&bytes).map_err(|e| Error::load(&self.root.join(name), e))?;
        Ok(text.to_string())
    }

    fn merge_config(&self, into: &mut Accumulated) -> Result<()> {
        let mut config = config::defaults();
        if !self.kustomization.configurations.is_empty() {
            let mut own = Config::default();
            for entry in &self.kustomization.configurations {
                let path = self.root.join(&entry.text);
                let text = self.read_text(&entry.text)?;
                let node = yaml::load_v2(&text).map_err(|e| Error::load(&path, e))?;
                let file = Config::read_file(&node, &path)?;
                own.merge(&file).map_err(|e| e.at(&path, None))?;
            }
            let config = Arc::make_mut(&mut config);
            config.merge(&own).map_err(|e| e.at(&self.file, None))?;
        }
        merge_configs(into, &config)?;
        let mut definitions = Config::default();
        for entry in &self.kustomization.crds {
            let text = self.read_text(&entry.text)?;
            let path = self.root.join(&entry.text);
            let file = crate::crds::read(&text, &path)?;
            definitions.merge(&file).map_err(|e| e.at(&path, None))?;
        }
        if !self.kustomization.crds.is_empty() {
            merge_configs(into, &Arc::new(definitions))?;
        }
        Ok(())
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
                .and_then(|mut resource| {
                    let name = if kind == Kind::Secret {
                        "SecretGenerator"
                    } else {
                        "ConfigMapGenerator"
                    };
                    if let Some(note) = self.builtin_note(name) {
                        note.set_origin(&mut resource);
                    }
                    into.set.absorb(resource)
                })
                .map_err(|e| e.at(&self.file, Some(args.position)))?;
        }
        self.run_generator_plugins(into)
    }
}

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
        None if Arc::ptr_eq(config, &config::defaults()) => into.config = Some(Arc::clone(config)),
        None => {
            let mut merged = Config::default();
            merged.merge(config)?;
            into.config = Some(Arc::new(merged));
        }
        Some(known) if Arc::ptr_eq(known, config) => {}
        Some(known) => Arc::make_mut(known).merge(config)?,
    }
    Ok(())
}

fn find_file(fs: &dyn Fs, restrictions: LoadRestrictions, root: &Path) -> Result<Option<(PathBuf, Vec<u8>)>> {
    let mut found = None;
    for name in crate::KUSTOMIZATION_FILES {
        let path = root.join(name);
        // A file that may not be read counts as missing, as it does in kustomize.
        if fs.entry(&path)? != EntryKind::File || restrict(fs, restrictions, root, &path).is_err() {
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

/// What a layer may read; in a clone that is never more than its own directory.
fn restrictions(options: &Options<'_>, clone: Option<&Clone>) -> LoadRestrictions {
    clone.map_or(options.load_restrictions, |_| LoadRestrictions::RootOnly)
}

/// Refuses files outside of the directory of a kustomization file.
fn restrict(fs: &dyn Fs, restrictions: LoadRestrictions, root: &Path, path: &Path) -> Result<()> {
    if restrictions == LoadRestrictions::None {
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

/// Whether a text names a file on a web server, not a repository or a directory in one.
fn is_remote_file(text: &str) -> bool {
    let is_http = text.starts_with("http://") || text.starts_with("https://");
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let is_yaml = [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end));
    is_http && (is_yaml || GitUrl::parse(text).is_none())
}
