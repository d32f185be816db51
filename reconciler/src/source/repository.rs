//! The cache of one repository on disk: bare repositories that packs are added to. Does blocking disk I/O.
//!
//! ```text
//! <cache>/<name>/<generation>/            a bare repository; `shallow` lists the commits held with all their objects
//! <cache>/<name>/<generation>/incoming-N/ a pack being received
//! <cache>/<name>/artifacts/               digests of archives
//! ```
//!
//! A pack counts only once it is complete, in `objects/pack`, and its commit stands in `shallow`, which is
//! replaced by rename: a process that is killed at any moment leaves at most an `incoming-N`, removed at the next
//! start. Nothing is flushed to the disk platter: what a power cut damages is found by the survey that precedes
//! every use, and fetched anew.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use git2::ErrorClass;
use tokio::sync::mpsc;

use super::SourceError;
use super::limits::Limits;
use super::object_id::ObjectId;
use super::objects::Objects;
use super::pack::{PackProblem, PackScan};
use super::remote::CallerId;

/// The cache of one URL, shared by all who fetch it.
pub(super) struct Repository {
    url: String,
    directory: PathBuf,
    limits: Limits,
    state: Mutex<State>,
    /// Held while a pack is fetched, so that two do not fetch the same.
    pub(super) fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Generation>>,
    /// Which callers' own credentials saw which commit on the server.
    seen: HashSet<(CallerId, ObjectId)>,
}

/// Entries of `seen` kept at most; beyond it all are forgotten, which costs a fetch of nothing each.
const MOST_SEEN: usize = 100_000;

/// Locks without regard to a panic elsewhere: the state is valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Repository {
    pub(super) fn new(url: String, directory: PathBuf, limits: Limits) -> Self {
        Self {
            url,
            directory,
            limits,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn saw(&self, caller: CallerId, commit: ObjectId) {
        let mut state = lock(&self.state);
        if state.seen.len() >= MOST_SEEN {
            state.seen.clear();
        }
        state.seen.insert((caller, commit));
    }

    pub(super) fn has_seen(&self, caller: CallerId, commit: ObjectId) -> bool {
        lock(&self.state).seen.contains(&(caller, commit))
    }

    /// The generation to read from and fetch into: the latest, unless it is damaged or has grown beyond its
    /// bounds, when a fresh one begins.
    pub(super) fn generation(&self) -> Result<Arc<Generation>, SourceError> {
        let mut state = lock(&self.state);
        if let Some(current) = &state.current {
            if !current.is_damaged() && !current.is_full(&self.limits)? {
                return Ok(Arc::clone(current));
            }
            current.retire();
        }
        let latest = generations(&self.directory)?.into_iter().max();
        let number = match (&state.current, latest) {
            (None, Some(latest)) => latest,
            (_, latest) => latest.unwrap_or(0) + 1,
        };
        let generation = match self.open(number) {
            // What an earlier process left is unreadable: keep it out of the way and begin afresh.
            Err(SourceError::Damaged { .. }) if state.current.is_none() => {
                set_aside(&self.directory.join(number.to_string()))?;
                self.open(number + 1)?
            }
            opened => opened?,
        };
        let generation = Arc::new(generation);
        state.current = Some(Arc::clone(&generation));
        Ok(generation)
    }

    fn open(&self, number: u64) -> Result<Generation, SourceError> {
        let directory = self.directory.join(number.to_string());
        Generation::open(&self.url, directory, &self.limits)
    }

    /// Removes what earlier processes left unfinished or replaced, keeping the latest generation.
    pub(super) fn sweep(directory: &Path) -> Result<(), SourceError> {
        let numbers = generations(directory)?;
        let latest = numbers.iter().copied().max();
        for entry in entries(directory)? {
            let name = entry
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let superseded = name.parse().is_ok_and(|number: u64| Some(number) != latest);
            let is_overgrown = name == ARTIFACTS && entries(&entry)?.len() > MOST_ARTIFACTS;
            if superseded || is_overgrown || name.ends_with(SET_ASIDE) {
                remove(&entry)?;
            }
        }
        let Some(latest) = latest else {
            return Ok(());
        };
        for entry in entries(&directory.join(latest.to_string()))? {
            if entry
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .starts_with(INCOMING)
            {
                remove(&entry)?;
            }
        }
        Ok(())
    }
}

const INCOMING: &str = "incoming-";
const ARTIFACTS: &str = "artifacts";
/// Digests remembered at most over a restart; they can be made again.
const MOST_ARTIFACTS: usize = 1000;
const SET_ASIDE: &str = ".damaged";

fn entries(directory: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let failed = |error| SourceError::storage("list", directory, error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(failed))
        .collect()
}

fn generations(directory: &Path) -> Result<Vec<u64>, SourceError> {
    Ok(entries(directory)?
        .iter()
        .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
        .collect())
}

fn remove(path: &Path) -> Result<(), SourceError> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SourceError::storage("remove", path, error))
        }
        _ => Ok(()),
    }
}

fn set_aside(path: &Path) -> Result<(), SourceError> {
    let mut target = path.as_os_str().to_owned();
    target.push(SET_ASIDE);
    let target = PathBuf::from(target);
    remove(&target)?;
    fs::rename(path, &target).map_err(|error| SourceError::storage("rename", path, error))
}

/// One bare repository on disk. It is removed when it was replaced and nobody reads it any more.
pub(super) struct Generation {
    url: String,
    directory: PathBuf,
    limits: Limits,
    /// The commits held with all their objects, oldest first.
    held: Mutex<Vec<ObjectId>>,
    damaged: AtomicBool,
    retired: AtomicBool,
    incoming: AtomicU64,
}

impl Drop for Generation {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Relaxed) {
            // What stays is removed at the next start.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Commits held at most by one generation; their list is written with each.
const MOST_HELD: usize = 4096;
/// Held commits offered to a server, the latest ones: it needs one near the wanted commit.
const MOST_OFFERED: usize = 16;

impl Generation {
    fn open(url: &str, directory: PathBuf, limits: &Limits) -> Result<Self, SourceError> {
        let damaged = |problem: String| SourceError::Damaged {
            url: url.to_owned(),
            problem,
        };
        if !directory.join("objects").is_dir() {
            create_bare(&directory)?;
        }
        let shallow = directory.join("shallow");
        let held = match fs::read_to_string(&shallow) {
            Ok(text) => text
                .lines()
                .map(|line| {
                    line.parse()
                        .map_err(|()| damaged("its 'shallow' cannot be read".to_owned()))
                })
                .collect::<Result<_, _>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(damaged("its 'shallow' cannot be read".to_owned()));
            }
            Err(error) => return Err(SourceError::storage("read", shallow, error)),
        };
        Ok(Self {
            url: url.to_owned(),
            directory,
            limits: limits.clone(),
            held: Mutex::new(held),
            damaged: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            incoming: AtomicU64::new(0),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Opens the objects for reading.
    pub(super) fn objects(&self) -> Result<Objects, SourceError> {
        Objects::open(&self.directory, &self.limits).map_err(|error| {
            self.mark_damaged();
            SourceError::Damaged {
                url: self.url.clone(),
                problem: error.message().to_owned(),
            }
        })
    }

    pub(super) fn holds(&self, commit: ObjectId) -> bool {
        lock(&self.held).contains(&commit)
    }

    /// The commits to offer to a server, the latest first.
    pub(super) fn offered(&self) -> Vec<ObjectId> {
        lock(&self.held)
            .iter()
            .rev()
            .take(MOST_OFFERED)
            .copied()
            .collect()
    }

    /// Records that a commit is held with all its objects, the survey having found them.
    pub(super) fn hold(&self, commit: ObjectId) -> Result<(), SourceError> {
        let mut held = lock(&self.held);
        if held.contains(&commit) {
            return Ok(());
        }
        let mut text: String = held.iter().map(|id| format!("{id}\n")).collect();
        text.push_str(&format!("{commit}\n"));
        let path = self.directory.join("shallow");
        replace(&path, text.as_bytes())?;
        held.push(commit);
        Ok(())
    }

    pub(super) fn mark_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    fn is_full(&self, limits: &Limits) -> Result<bool, SourceError> {
        let mut bytes = 0;
        let mut packs = 0;
        for path in entries(&self.packs())? {
            if path.extension().is_some_and(|extension| extension == "pack") {
                bytes += path.metadata().map_or(0, |metadata| metadata.len());
                packs += 1;
            }
        }
        let commits = lock(&self.held).len();
        Ok(packs >= limits.repository_packs || bytes >= limits.repository_bytes || commits >= MOST_HELD)
    }

    /// Where digests of archives are remembered: beside the generations, which they outlive.
    pub(super) fn artifacts(&self) -> PathBuf {
        self.directory.parent().unwrap_or(&self.directory).join(ARTIFACTS)
    }

    fn packs(&self) -> PathBuf {
        self.directory.join("objects").join("pack")
    }

    /// Receives a pack until the sender has sent [`PackPart::End`], and adds it to the objects. If the sender
    /// goes before, nothing stays.
    pub(super) fn receive(&self, mut parts: mpsc::Receiver<PackPart>) -> Result<(), SourceError> {
        let number = self.incoming.fetch_add(1, Ordering::Relaxed);
        let incoming = Incoming(self.directory.join(format!("{INCOMING}{number}")));
        fs::create_dir_all(&incoming.0)
            .map_err(|error| SourceError::storage("create", &incoming.0, error))?;
        let objects = self.objects()?;
        let mut indexer = objects
            .indexer(&incoming.0)
            .map_err(|error| self.pack_error(&error, &incoming.0))?;
        let mut scan = PackScan::new(&self.limits);
        loop {
            match parts.blocking_recv() {
                None => {
                    return Err(SourceError::Abandoned {
                        url: self.url.clone(),
                    });
                }
                Some(PackPart::End) => break,
                Some(PackPart::Data(data)) => {
                    scan.feed(&data).map_err(|problem| self.refused(problem))?;
                    if scan.is_empty_pack() {
                        // Nothing is new; libgit2 makes no index of nothing.
                        return Ok(());
                    }
                    indexer
                        .write_all(&data)
                        .map_err(|error| self.write_error(error, &incoming.0))?;
                }
            }
        }
        if !scan.is_complete() {
            return Err(self.invalid("it ends before its last object".to_owned()));
        }
        let name = indexer
            .commit()
            .map_err(|error| self.pack_error(&error, &incoming.0))?;
        // The index last: without it a pack does not exist for a reader.
        for extension in ["pack", "idx"] {
            let file = format!("pack-{name}.{extension}");
            let from = incoming.0.join(&file);
            fs::rename(&from, self.packs().join(&file))
                .map_err(|error| SourceError::storage("rename", from, error))?;
        }
        Ok(())
    }

    fn refused(&self, problem: PackProblem) -> SourceError {
        match problem {
            PackProblem::Invalid(problem) => self.invalid(problem),
            PackProblem::Excess(excess) => SourceError::TooLarge {
                url: self.url.clone(),
                excess,
            },
        }
    }

    fn invalid(&self, problem: String) -> SourceError {
        SourceError::PackInvalid {
            url: self.url.clone(),
            problem,
        }
    }

    fn write_error(&self, error: io::Error, path: &Path) -> SourceError {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<git2::Error>())
        {
            Some(inner) => self.pack_error(inner, path),
            None => SourceError::storage("write to", path, error),
        }
    }

    /// Tells a disk that does not take the pack from a pack that is wrong.
    fn pack_error(&self, error: &git2::Error, path: &Path) -> SourceError {
        let message = error.message();
        if error.class() != ErrorClass::Os {
            return self.invalid(message.to_owned());
        }
        let kind = if message.contains("No space left") {
            io::ErrorKind::StorageFull
        } else if message.contains("quota") {
            io::ErrorKind::QuotaExceeded
        } else {
            io::ErrorKind::Other
        };
        SourceError::storage("write to", path, io::Error::new(kind, message.to_owned()))
    }
}

/// What is sent to [`Generation::receive`].
#[derive(Debug)]
pub(super) enum PackPart {
    Data(Bytes),
    /// The server has sent all of it.
    End,
}

/// A directory that goes with its owner.
struct Incoming(PathBuf);

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn create_bare(directory: &Path) -> Result<(), SourceError> {
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).external_template(false).mkpath(true);
    let created = git2::Repository::init_opts(directory, &options);
    created
        .and_then(|repository| repository.odb().map(drop))
        .map_err(|error| {
            let kind = if error.message().contains("No space left") {
                io::ErrorKind::StorageFull
            } else if error.message().contains("Permission denied") {
                io::ErrorKind::PermissionDenied
            } else {
                io::ErrorKind::Other
            };
            SourceError::storage(
                "create",
                directory,
                io::Error::new(kind, error.message().to_owned()),
            )
        })?;
    let packs = directory.join("objects").join("pack");
    fs::create_dir_all(&packs).map_err(|error| SourceError::storage("create", packs, error))
}

/// Replaces a file by one rename.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), SourceError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    fs::write(&new, content).map_err(|error| SourceError::storage("write", &new, error))?;
    fs::rename(&new, path).map_err(|error| SourceError::storage("rename", new, error))
}
