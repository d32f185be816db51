//! A fetched commit, and the read view on its files. Does blocking disk I/O when a tree is opened and read;
//! nothing is ever checked out.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kustomize_rs::fs::{EntryKind as FsEntryKind, Fs, FsError};

use super::SourceError;
use super::error::TreeError;
use super::excess::Excess;
use super::ignore::IgnoreRules;
use super::limits::Limits;
use super::object_id::ObjectId;
use super::objects::{Directory, Entry, EntryKind, ObjectError, Objects};
use super::reference::Revision;
use super::repository::Generation;

/// One commit of a repository, held in the cache as long as this value or a clone of it lives.
#[derive(Clone)]
pub struct Checkout(Arc<Inner>);

struct Inner {
    revision: Revision,
    root: ObjectId,
    subject: String,
    ignore: Option<String>,
    rules: Arc<IgnoreRules>,
    generation: Arc<Generation>,
    limits: Limits,
}

impl fmt::Debug for Checkout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Checkout")
            .field(&self.0.revision.to_string())
            .finish()
    }
}

impl Checkout {
    pub(super) fn new(
        revision: Revision,
        ignore: Option<String>,
        surveyed: Surveyed,
        generation: Arc<Generation>,
        limits: Limits,
    ) -> Self {
        let Surveyed { root, subject, rules } = surveyed;
        Self(Arc::new(Inner {
            revision,
            root,
            subject,
            ignore,
            rules: Arc::new(rules),
            generation,
            limits,
        }))
    }

    /// The revision in Flux's notation.
    pub fn revision(&self) -> &Revision {
        &self.0.revision
    }

    /// The URL it was fetched from, without credentials.
    pub fn url(&self) -> &str {
        self.0.generation.url()
    }

    /// The commit.
    pub fn commit(&self) -> ObjectId {
        self.0.revision.commit()
    }

    /// The first line of the commit's message.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The `spec.ignore` that it was fetched with.
    pub fn ignore(&self) -> Option<&str> {
        self.0.ignore.as_deref()
    }

    /// Whether objects of it were found missing or damaged, so that the next fetch gets them anew.
    pub fn is_damaged(&self) -> bool {
        self.0.generation.is_damaged()
    }

    pub(super) fn generation(&self) -> &Arc<Generation> {
        &self.0.generation
    }

    pub(super) fn rules(&self) -> &IgnoreRules {
        &self.0.rules
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Opens the view on the files. Cheap, but blocking: a few system calls.
    ///
    /// # Errors
    /// [`SourceError::Damaged`] if the cache is gone.
    pub fn tree(&self) -> Result<Tree, SourceError> {
        Ok(Tree {
            checkout: self.clone(),
            objects: self.0.generation.objects()?,
            directories: Mutex::default(),
            hidden: Mutex::default(),
        })
    }
}

/// What is learnt about a commit before it is given out.
pub(super) struct Surveyed {
    pub(super) root: ObjectId,
    pub(super) subject: String,
    pub(super) rules: IgnoreRules,
}

/// The files of a commit, as the ignore rules leave them.
///
/// Paths are relative to the root of the repository and separated by `/`; a leading `/` is the root. Symbolic
/// links are followed inside the repository only, submodules are absent, and files kept by Git LFS are the
/// small pointers that Git stores.
pub struct Tree {
    checkout: Checkout,
    objects: Objects,
    /// Directories read so far; freed with the view.
    directories: Mutex<HashMap<ObjectId, Arc<Directory>>>,
    /// Of directories that a rule excludes: whether all that is in them is left out too.
    hidden: Mutex<HashMap<String, bool>>,
}

/// What is at a path, once links are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// The names from the root on.
    pub(super) path: Vec<String>,
    pub(super) kind: EntryKind,
    pub(super) id: ObjectId,
}

/// As Linux bounds it.
const MOST_LINKS: usize = 40;
/// The longest target of a link.
const LONGEST_LINK: u64 = 4096;

impl Tree {
    /// The checkout that this is a view on.
    pub fn checkout(&self) -> &Checkout {
        &self.checkout
    }

    /// The content of a file.
    ///
    /// # Errors
    /// [`TreeError`]
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>, TreeError> {
        let node = self.locate(path)?;
        match node.kind {
            EntryKind::File { .. } => self.content(path, node.id),
            EntryKind::Directory | EntryKind::Link => Err(TreeError::IsADirectory {
                path: path.to_owned(),
            }),
        }
    }

    /// The object name of what is at a path: equal for equal content, so that two revisions can be compared
    /// without reading files. For a directory it covers hidden files too.
    ///
    /// # Errors
    /// [`TreeError`]
    pub fn object_id(&self, path: &str) -> Result<ObjectId, TreeError> {
        Ok(self.locate(path)?.id)
    }

    pub(super) fn content(&self, path: &str, id: ObjectId) -> Result<Vec<u8>, TreeError> {
        let limit = self.checkout.limits().blob_bytes;
        let size = self
            .objects
            .file_size(id)
            .map_err(|error| self.damaged(path, error))?;
        if size > limit {
            let excess = Excess::Object {
                name: "the file".to_owned(),
                size,
                limit,
            };
            return Err(TreeError::TooLarge {
                path: path.to_owned(),
                excess,
            });
        }
        self.objects.file(id).map_err(|error| self.damaged(path, error))
    }

    pub(super) fn directory(&self, path: &str, id: ObjectId) -> Result<Arc<Directory>, TreeError> {
        let mut directories = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = directories.get(&id) {
            return Ok(Arc::clone(directory));
        }
        let directory = Arc::new(
            self.objects
                .directory(id)
                .map_err(|error| self.damaged(path, error))?,
        );
        directories.insert(id, Arc::clone(&directory));
        Ok(directory)
    }

    /// Remembers the damage, so that the next fetch does not trust these objects.
    fn damaged(&self, path: &str, error: ObjectError) -> TreeError {
        self.checkout.generation().mark_damaged();
        TreeError::Damaged {
            path: path.to_owned(),
            id: error.id,
            problem: error.problem,
        }
    }

    pub(super) fn root(&self) -> Node {
        Node {
            path: Vec::new(),
            kind: EntryKind::Directory,
            id: self.checkout.0.root,
        }
    }

    /// Follows a path to what is there; hidden files are not.
    fn locate(&self, path: &str) -> Result<Node, TreeError> {
        let not_found = || TreeError::NotFound {
            path: path.to_owned(),
        };
        let mut rest: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut above: Vec<Node> = vec![];
        let mut at = self.root();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name.is_empty() || name == "." {
                continue;
            }
            if at.kind != EntryKind::Directory {
                return Err(not_found());
            }
            if name == ".." {
                at = above.pop().ok_or_else(|| TreeError::OutsideTree {
                    path: path.to_owned(),
                })?;
                continue;
            }
            let directory = self.directory(path, at.id)?;
            let entry = directory.find(&name).ok_or_else(not_found)?;
            if entry.kind == EntryKind::Link {
                if self.is_hidden(&at.child(entry))? {
                    return Err(not_found());
                }
                links += 1;
                if links > MOST_LINKS {
                    return Err(TreeError::TooManyLinks {
                        path: path.to_owned(),
                    });
                }
                let target = self.link_target(path, entry.id)?;
                for part in target.split('/').rev() {
                    rest.push_front(part.to_owned());
                }
                continue;
            }
            let next = at.child(entry);
            above.push(std::mem::replace(&mut at, next));
        }
        if self.is_hidden(&at)? {
            Err(not_found())
        } else {
            Ok(at)
        }
    }

    fn link_target(&self, path: &str, id: ObjectId) -> Result<String, TreeError> {
        let size = self
            .objects
            .file_size(id)
            .map_err(|error| self.damaged(path, error))?;
        if size > LONGEST_LINK {
            return Err(TreeError::OutsideTree {
                path: path.to_owned(),
            });
        }
        let target = self.objects.file(id).map_err(|error| self.damaged(path, error))?;
        match String::from_utf8(target) {
            Ok(target) if !target.starts_with('/') => Ok(target),
            _ => Err(TreeError::OutsideTree {
                path: path.to_owned(),
            }),
        }
    }

    /// Whether the ignore rules leave out a file, or a directory with all that is in it.
    pub(super) fn is_hidden(&self, node: &Node) -> Result<bool, TreeError> {
        let rules = self.checkout.rules();
        let parts: Vec<&str> = node.path.iter().map(String::as_str).collect();
        if parts.is_empty() || !rules.excludes(&parts, node.kind == EntryKind::Directory) {
            return Ok(false);
        }
        if node.kind != EntryKind::Directory || !rules.can_include() {
            return Ok(true);
        }
        let path = node.shown();
        let known = self
            .hidden
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&path)
            .copied();
        if let Some(hidden) = known {
            return Ok(hidden);
        }
        let hidden = self.hides_everything(node)?;
        self.hidden
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path, hidden);
        Ok(hidden)
    }

    fn hides_everything(&self, node: &Node) -> Result<bool, TreeError> {
        for entry in &self.directory(&node.shown(), node.id)?.entries {
            if !self.is_hidden(&node.child(entry))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The visible entries of a directory. Links are not among them, as Flux does not see them at all; a path
    /// that names one is followed.
    fn entries(&self, path: &str) -> Result<Vec<String>, TreeError> {
        let at = self.locate(path)?;
        if at.kind != EntryKind::Directory {
            return Err(TreeError::NotADirectory {
                path: path.to_owned(),
            });
        }
        let directory = self.directory(path, at.id)?;
        let mut names = Vec::with_capacity(directory.entries.len());
        for entry in directory
            .entries
            .iter()
            .filter(|entry| entry.kind != EntryKind::Link)
        {
            if !self.is_hidden(&at.child(entry))? {
                names.push(entry.name.clone());
            }
        }
        Ok(names)
    }

    /// The paths of the files and links that differ from another view, sorted; `None` if there are more than
    /// `most`, or if the ignore rules differ, so that anything may. Costs what changed, not what is there.
    ///
    /// # Errors
    /// [`TreeError::Damaged`]
    pub fn changed_paths(&self, other: &Self, most: usize) -> Result<Option<Vec<String>>, TreeError> {
        if self.checkout.rules() != other.checkout.rules() {
            return Ok(None);
        }
        let mut changed = Vec::new();
        let roots = (Some(self.root().id), Some(other.root().id));
        let complete = self.compare(other, &self.root(), roots, most, &mut changed)?;
        changed.sort_unstable();
        Ok(complete.then_some(changed))
    }

    /// Compares two directories, either of which may be absent; whether all changes found room.
    fn compare(
        &self,
        other: &Self,
        at: &Node,
        (mine, theirs): (Option<ObjectId>, Option<ObjectId>),
        most: usize,
        changed: &mut Vec<String>,
    ) -> Result<bool, TreeError> {
        if mine == theirs {
            return Ok(true);
        }
        let shown = at.shown();
        let read = |tree: &Self, id: Option<ObjectId>| id.map(|id| tree.directory(&shown, id)).transpose();
        let (mine, theirs) = (read(self, mine)?, read(other, theirs)?);
        let entries = |directory: &Option<Arc<Directory>>| -> BTreeMap<String, Entry> {
            let entries = directory.iter().flat_map(|directory| &directory.entries);
            entries.map(|entry| (entry.name.clone(), entry.clone())).collect()
        };
        let (mine, theirs) = (entries(&mine), entries(&theirs));
        let names: BTreeSet<&String> = mine.keys().chain(theirs.keys()).collect();
        for name in names {
            let (mine, theirs) = (mine.get(name), theirs.get(name));
            let (Some(either), true) = (mine.or(theirs), mine != theirs) else {
                continue;
            };
            let child = at.child(either);
            let is_leaf = |entry: &Entry| entry.kind != EntryKind::Directory;
            if mine.is_some_and(is_leaf) || theirs.is_some_and(is_leaf) {
                changed.push(child.shown());
            }
            if changed.len() > most {
                return Ok(false);
            }
            let directory =
                |entry: Option<&Entry>| entry.filter(|entry| !is_leaf(entry)).map(|entry| entry.id);
            if !self.compare(other, &child, (directory(mine), directory(theirs)), most, changed)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Node {
    pub(super) fn child(&self, entry: &Entry) -> Self {
        let mut path = self.path.clone();
        path.push(entry.name.clone());
        Self {
            path,
            kind: entry.kind,
            id: entry.id,
        }
    }

    pub(super) fn shown(&self) -> String {
        self.path.join("/")
    }
}

/// The root of the repository is `/`.
impl Fs for Tree {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FsError> {
        self.read_file(text(path)?).map_err(|error| fs_error(path, error))
    }

    fn entry(&self, path: &Path) -> Result<FsEntryKind, FsError> {
        match self.locate(text(path)?) {
            Ok(Node {
                kind: EntryKind::Directory,
                ..
            }) => Ok(FsEntryKind::Directory),
            Ok(_) => Ok(FsEntryKind::File),
            Err(TreeError::NotFound { .. }) => Ok(FsEntryKind::Nothing),
            Err(error) => Err(fs_error(path, error)),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, FsError> {
        self.entries(text(path)?).map_err(|error| fs_error(path, error))
    }

    fn resolve(&self, path: &Path) -> Result<PathBuf, FsError> {
        let node = self.locate(text(path)?).map_err(|error| fs_error(path, error))?;
        Ok(PathBuf::from(format!("/{}", node.shown())))
    }
}

fn text(path: &Path) -> Result<&str, FsError> {
    path.to_str().ok_or_else(|| FsError::NotFound {
        path: path.to_owned(),
    })
}

fn fs_error(path: &Path, error: TreeError) -> FsError {
    let path = path.to_owned();
    match error {
        TreeError::NotFound { .. } => FsError::NotFound { path },
        TreeError::IsADirectory { .. } => FsError::IsDirectory { path },
        TreeError::NotADirectory { .. } => FsError::NotDirectory { path },
        TreeError::TooLarge {
            excess: Excess::Object { limit, .. },
            ..
        } => FsError::TooLarge { path, limit },
        error => FsError::Other {
            path,
            source: Box::new(error),
        },
    }
}
