//! Fetches sources into the cache and hands out checkouts: the one entry to this module that does I/O.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};

use super::SourceError;
use super::limits::Limits;
use super::object_id::ObjectId;
use super::reference::{Reference, RemoteRef, Target};
use super::remote::{CallerId, Remote};
use super::repository::{Generation, Repository};
use super::survey::{SurveyError, survey};
use super::tree::Checkout;
use super::wire::{Connections, Conversation, FetchRequest, ServerMemory};

/// What to fetch, as plain values.
#[derive(Debug, Clone)]
pub struct Source {
    /// The repository and how to get in.
    pub remote: Remote,
    /// Which commit.
    pub reference: Reference,
    /// `spec.ignore`
    pub ignore: Option<String>,
    /// The time the whole fetch may take; [`Limits::timeout`] if absent.
    pub timeout: Option<Duration>,
}

/// What a fetch found.
#[derive(Debug, Clone)]
pub enum Fetched {
    /// The reference is where it was: the checkout at hand is current.
    Unchanged,
    /// Another commit, or other ignore rules, or objects that had to be fetched anew.
    Changed(Checkout),
}

/// The cache of fetched repositories. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    limits: Limits,
    connections: Connections,
    repositories: Mutex<HashMap<String, Arc<Repository>>>,
    servers: Mutex<HashMap<CallerId, ServerMemory>>,
    /// For those who receive packs.
    turns: Semaphore,
    /// Locked as long as this process uses the directory.
    lock: File,
}

impl Drop for Inner {
    /// A process that was forked meanwhile shares the lock until it runs its own program, so closing the file is
    /// not enough.
    fn drop(&mut self) {
        // Nobody else can open the directory if this fails, and whoever tries is told.
        let _ = self.lock.unlock();
    }
}

/// Packs received at a time: each may take some MiB of memory and a thread.
const RECEPTIONS: usize = 4;
/// Packets between the network and the disk, each of at most 64 KiB.
const PACK_PARTS: usize = 32;
/// Servers remembered at most; beyond it all are forgotten, which costs a request each.
const MOST_SERVERS: usize = 10_000;

impl Store {
    /// Opens the cache directory, creating it if needed, and removes what a killed process left unfinished.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`SourceError::Storage`], also when another process uses the directory.
    pub fn open(directory: impl Into<PathBuf>, limits: Limits) -> Result<Self, SourceError> {
        let directory = directory.into();
        fs::create_dir_all(&directory).map_err(|error| SourceError::storage("create", &directory, error))?;
        let lock = exclusive(&directory)?;
        let listed =
            fs::read_dir(&directory).map_err(|error| SourceError::storage("list", &directory, error))?;
        for entry in listed.flatten().filter(|entry| entry.path().is_dir()) {
            Repository::sweep(&entry.path())?;
        }
        Ok(Self(Arc::new(Inner {
            directory,
            limits,
            connections: Connections::default(),
            repositories: Mutex::default(),
            servers: Mutex::default(),
            turns: Semaphore::new(RECEPTIONS),
            lock,
        })))
    }

    /// Looks where the reference is now, and fetches it if it is not at hand. When nothing moved, this is one
    /// exchange with the server (none for a commit) and touches no file.
    ///
    /// Dropping the future leaves the cache as it was.
    ///
    /// # Errors
    /// Any [`SourceError`]; the cache is as it was.
    pub async fn fetch(&self, source: &Source, held: Option<&Checkout>) -> Result<Fetched, SourceError> {
        let after = source.timeout.unwrap_or(self.0.limits.timeout);
        let deadline = Deadline {
            url: source.remote.to_string(),
            after,
        };
        let fetch = Fetch::new(self, source);
        let begun = Instant::now();
        let Some(found) = deadline.keep(after, fetch.look(held)).await? else {
            return Ok(Fetched::Unchanged);
        };
        let spent = begun.elapsed();
        // Waiting for others is not the server's fault, so it does not count.
        let _turn = self.0.turns.acquire().await;
        deadline
            .keep(after.saturating_sub(spent), fetch.obtain(found, held))
            .await
    }

    /// Removes the cached repositories of all but these remotes. Checkouts of the others that are still in use
    /// become unreadable. Blocks on the disk.
    ///
    /// # Errors
    /// [`SourceError::Storage`]
    pub fn retain<'a>(&self, remotes: impl IntoIterator<Item = &'a Remote>) -> Result<(), SourceError> {
        let kept: Vec<String> = remotes.into_iter().map(Remote::cache_name).collect();
        let directory = &self.0.directory;
        let listed =
            fs::read_dir(directory).map_err(|error| SourceError::storage("list", directory, error))?;
        for entry in listed.flatten().filter(|entry| entry.path().is_dir()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if kept.contains(&name) {
                continue;
            }
            self.0
                .repositories
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&name);
            fs::remove_dir_all(entry.path())
                .map_err(|error| SourceError::storage("remove", entry.path(), error))?;
        }
        Ok(())
    }

    fn repository(&self, remote: &Remote) -> Arc<Repository> {
        let name = remote.cache_name();
        let mut repositories = self.0.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        let repository = repositories.entry(name).or_insert_with_key(|name| {
            let directory = self.0.directory.join(name);
            Arc::new(Repository::new(
                remote.to_string(),
                directory,
                self.0.limits.clone(),
            ))
        });
        Arc::clone(repository)
    }

    fn remembered(&self, caller: CallerId) -> Option<ServerMemory> {
        self.0
            .servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&caller)
            .cloned()
    }

    fn remember(&self, caller: CallerId, memory: Option<ServerMemory>) {
        let mut servers = self.0.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= MOST_SERVERS {
            servers.clear();
        }
        match memory {
            Some(memory) => servers.insert(caller, memory),
            None => servers.remove(&caller),
        };
    }
}

/// One process at a time: another one's sweep would remove what this one receives.
fn exclusive(directory: &Path) -> Result<File, SourceError> {
    let path = directory.join("lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| SourceError::storage("open", &path, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(SourceError::storage(
            "lock",
            path,
            io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another process uses this cache directory",
            ),
        )),
        Err(TryLockError::Error(error)) => Err(SourceError::storage("lock", path, error)),
    }
}

/// The time that a fetch may take.
struct Deadline {
    url: String,
    after: Duration,
}

impl Deadline {
    async fn keep<T>(
        &self,
        left: Duration,
        work: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        tokio::time::timeout(left, work).await.unwrap_or_else(|_| {
            Err(SourceError::DeadlineExceeded {
                url: self.url.clone(),
                after: self.after,
            })
        })
    }
}

/// The commit that is asked for, and the exchange that told, which goes on.
struct Found {
    target: Target,
    conversation: Option<Conversation>,
}

/// One fetch on its way.
struct Fetch<'a> {
    store: &'a Store,
    source: &'a Source,
    url: String,
    caller: CallerId,
    repository: Arc<Repository>,
}

impl<'a> Fetch<'a> {
    fn new(store: &'a Store, source: &'a Source) -> Self {
        Self {
            store,
            source,
            url: source.remote.to_string(),
            caller: source.remote.caller(),
            repository: store.repository(&source.remote),
        }
    }

    /// Asks the server where the reference is; `None` if what is at hand is current.
    async fn look(&self, held: Option<&Checkout>) -> Result<Option<Found>, SourceError> {
        let found = self.resolve().await?;
        let seen = self
            .repository
            .has_seen(self.caller, found.target.revision.commit());
        if seen && held.is_some_and(|held| self.is_current(held, &found.target)) {
            return Ok(None);
        }
        Ok(Some(found))
    }

    fn is_current(&self, held: &Checkout, target: &Target) -> bool {
        held.url() == self.url
            && *held.revision() == target.revision
            && held.ignore() == self.source.ignore.as_deref()
            && !held.is_damaged()
    }

    /// Takes the commit from the cache if these credentials have seen it on the server, otherwise from there.
    async fn obtain(&self, found: Found, held: Option<&Checkout>) -> Result<Fetched, SourceError> {
        let Found { target, conversation } = found;
        let commit = target.revision.commit();
        let _fetching = self.repository.fetching.lock().await;
        if self.repository.has_seen(self.caller, commit)
            && let Some(checkout) = self.cached(&target).await?
        {
            return Ok(Fetched::Changed(checkout));
        }
        let checkout = self.received(&target, conversation).await?;
        self.repository.saw(self.caller, commit);
        if held.is_some_and(|held| self.is_current(held, &target)) {
            return Ok(Fetched::Unchanged);
        }
        Ok(Fetched::Changed(checkout))
    }

    /// Finds the commit that the reference stands for now.
    async fn resolve(&self) -> Result<Found, SourceError> {
        let reference = &self.source.reference;
        let Some(prefixes) = reference.prefixes() else {
            let target = reference
                .select(&[])
                .ok_or_else(|| reference.not_found(&self.url, &[]))?;
            return Ok(Found {
                target,
                conversation: None,
            });
        };
        let (mut conversation, refs) = self.list(&prefixes).await?;
        let Some(target) = reference.select(&refs) else {
            return Err(self.not_found(&mut conversation).await);
        };
        self.repository.saw(self.caller, target.revision.commit());
        Ok(Found {
            target,
            conversation: Some(conversation),
        })
    }

    /// Lists references: one request if the server is known from before.
    async fn list(&self, prefixes: &[String]) -> Result<(Conversation, Vec<RemoteRef>), SourceError> {
        let Inner {
            connections, limits, ..
        } = &*self.store.0;
        if let Some(memory) = self.store.remembered(self.caller) {
            let mut conversation = Conversation::resume(&self.source.remote, connections, limits, memory)?;
            match conversation.list(prefixes).await {
                Ok(refs) => return Ok((conversation, refs)),
                // The server may have changed; what it says to a fresh start is what counts.
                Err(_) => self.store.remember(self.caller, None),
            }
        }
        let mut conversation = self.connect().await?;
        let refs = conversation.list(prefixes).await?;
        self.store.remember(self.caller, conversation.memory());
        Ok((conversation, refs))
    }

    async fn connect(&self) -> Result<Conversation, SourceError> {
        Conversation::open(
            &self.source.remote,
            &self.store.0.connections,
            &self.store.0.limits,
        )
        .await
    }

    /// The error for a reference that the server does not have, naming what it has.
    async fn not_found(&self, conversation: &mut Conversation) -> SourceError {
        let prefixes = ["refs/heads/".to_owned(), "refs/tags/".to_owned()];
        match conversation.list(&prefixes).await {
            Err(error) => error,
            Ok(refs) if refs.is_empty() => SourceError::EmptyRepository {
                url: self.url.clone(),
            },
            Ok(refs) => self.source.reference.not_found(&self.url, &refs),
        }
    }

    /// The checkout if the commit is held and its objects are sound.
    async fn cached(&self, target: &Target) -> Result<Option<Checkout>, SourceError> {
        let generation = self.generation().await?;
        if !generation.holds(target.revision.commit()) {
            return Ok(None);
        }
        match self.checkout(target, &generation).await? {
            Ok(checkout) => Ok(Some(checkout)),
            Err(problem) => {
                self.damaged(&generation, &problem);
                Ok(None)
            }
        }
    }

    async fn received(
        &self,
        target: &Target,
        mut conversation: Option<Conversation>,
    ) -> Result<Checkout, SourceError> {
        loop {
            let generation = self.generation().await?;
            let mut open = match conversation.take() {
                Some(conversation) => conversation,
                None => self.connect().await?,
            };
            let offered = generation.offered();
            let with_offer = !offered.is_empty();
            let request = self.request(target, offered, &mut open).await?;
            self.receive(&mut open, &request, &generation).await?;
            match self.checkout(target, &generation).await? {
                Ok(checkout) => {
                    let commit = target.revision.commit();
                    self.blocking(move || generation.hold(commit)).await?;
                    return Ok(checkout);
                }
                // The server left out what it was told is held, and that is damaged: begin afresh.
                Err(problem) if with_offer => self.damaged(&generation, &problem),
                Err(problem) => {
                    return Err(SourceError::PackInvalid {
                        url: self.url.clone(),
                        problem,
                    });
                }
            }
        }
    }

    /// Asks for the commit alone, or, from an old server that does not give out single commits, for all of the
    /// branch that should have it.
    async fn request(
        &self,
        target: &Target,
        held: Vec<ObjectId>,
        conversation: &mut Conversation,
    ) -> Result<FetchRequest, SourceError> {
        let alone = FetchRequest {
            want: target.want,
            held,
            shallow: true,
        };
        let Reference::Commit { branch, .. } = &self.source.reference else {
            return Ok(alone);
        };
        if conversation.serves_any_commit() {
            return Ok(alone);
        }
        let refs = conversation.list(&[]).await?;
        if refs.iter().any(|found| found.id == target.want) {
            return Ok(alone);
        }
        let name = branch
            .as_ref()
            .map_or_else(|| "HEAD".to_owned(), |branch| format!("refs/heads/{branch}"));
        let tip = refs.iter().find(|found| found.name == name);
        let tip = tip.ok_or_else(|| self.source.reference.not_found(&self.url, &refs))?;
        Ok(FetchRequest {
            want: tip.id,
            held: Vec::new(),
            shallow: false,
        })
    }

    /// Receives a pack on a thread for blocking work, which ends by itself if this future is dropped.
    async fn receive(
        &self,
        conversation: &mut Conversation,
        request: &FetchRequest,
        generation: &Arc<Generation>,
    ) -> Result<(), SourceError> {
        let (sink, parts) = mpsc::channel(PACK_PARTS);
        let writer = {
            let generation = Arc::clone(generation);
            tokio::task::spawn_blocking(move || generation.receive(parts))
        };
        let sent = conversation.fetch(request, &sink).await;
        drop(sink);
        let written = writer.await.map_err(|_| self.abandoned())?;
        match sent {
            Err(SourceError::Refused { message, .. })
                if message.contains("not our ref")
                    && matches!(self.source.reference, Reference::Commit { .. }) =>
            {
                Err(self.source.reference.not_found(&self.url, &[]))
            }
            sent => sent.and(written),
        }
    }

    /// Surveys the commit; the inner error says which object is missing or damaged.
    async fn checkout(
        &self,
        target: &Target,
        generation: &Arc<Generation>,
    ) -> Result<Result<Checkout, String>, SourceError> {
        let generation = Arc::clone(generation);
        let (url, limits) = (self.url.clone(), self.store.0.limits.clone());
        let (revision, ignore) = (target.revision.clone(), self.source.ignore.clone());
        let wanted = self.source.reference.clone();
        self.blocking(move || {
            let objects = generation.objects()?;
            match survey(&objects, revision.commit(), ignore.as_deref(), &limits) {
                Ok(surveyed) => Ok(Ok(Checkout::new(revision, ignore, surveyed, generation, limits))),
                Err(SurveyError::Excess(excess)) => Err(SourceError::TooLarge { url, excess }),
                Err(error @ SurveyError::NotACommit { .. }) => Err(SourceError::ReferenceNotFound {
                    url,
                    what: format!("'{revision}' stands for {error},"),
                    hint: String::new(),
                }),
                Err(SurveyError::Object(error))
                    if error.id == revision.commit() && matches!(wanted, Reference::Commit { .. }) =>
                {
                    Err(wanted.not_found(&url, &[]))
                }
                Err(SurveyError::Object(error)) => Ok(Err(error.to_string())),
            }
        })
        .await
    }

    fn damaged(&self, generation: &Generation, problem: &str) {
        tracing::warn!(
            url = self.url,
            problem,
            "the cached repository is damaged and is fetched anew"
        );
        generation.mark_damaged();
    }

    async fn generation(&self) -> Result<Arc<Generation>, SourceError> {
        let repository = Arc::clone(&self.repository);
        self.blocking(move || repository.generation()).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| self.abandoned())?
    }

    fn abandoned(&self) -> SourceError {
        SourceError::Abandoned {
            url: self.url.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_closed_can_be_opened_while_a_forked_process_still_has_its_lock_open() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Limits::default()).unwrap();
        let in_the_fork = store.0.lock.try_clone().unwrap();
        drop(store);
        Store::open(directory.path(), Limits::default()).unwrap();
        drop(in_the_fork);
    }
}
