//! Counts of requests, so that tests can assert budgets.
//!
//! In: every request with its status code. Out: snapshots that can be subtracted and filtered. No I/O.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use crate::api::selector;
use crate::request::{Request, Verb};

/// Different requests that are told apart; beyond this, object names are left out.
const MAX_KEYS: usize = 100_000;
/// Requests that are remembered in order.
const MAX_LOG: usize = 20_000;

/// What a request was, without its content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey {
    /// The whole `User-Agent`.
    pub user_agent: String,
    /// The verb; nothing for requests that are not about objects.
    pub verb: Option<Verb>,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural name, or the path of a request that is not about objects.
    pub resource: String,
    /// For example `status`; empty for the object itself.
    pub subresource: String,
    /// Namespace, if any.
    pub namespace: String,
    /// Object name, if any; of a list or a watch the one that a field selector asks for, as upstream has it.
    pub name: String,
    /// Whether it was `dryRun=All`.
    pub dry_run: bool,
    /// The user that was impersonated, if any.
    pub impersonated: Option<String>,
    /// The status code; 0 if no answer was given.
    pub code: u16,
}

impl RequestKey {
    pub(crate) fn of(request: &Request) -> Self {
        let name = match request.target.name.as_str() {
            "" => selector::selected_name(request.query.get("fieldSelector").unwrap_or_default()),
            name => name,
        };
        Self {
            user_agent: request.user_agent.clone(),
            verb: Some(request.verb),
            group: request.target.group.clone(),
            resource: request.target.plural.clone(),
            subresource: request.target.subresource.clone(),
            namespace: request.target.namespace.clone(),
            name: name.to_owned(),
            dry_run: request.query.get("dryRun").is_some(),
            impersonated: request.impersonated.clone(),
            code: 0,
        }
    }

    /// Whether it could have changed something: a write that is no dry run.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.verb.is_some_and(Verb::writes) && !self.dry_run
    }
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = self.verb.map_or("GET", Verb::name);
        write!(f, "{verb} {}", self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        if !self.name.is_empty() {
            write!(f, " {}/{}", self.namespace, self.name)?;
        }
        if self.dry_run {
            f.write_str(" (dry run)")?;
        }
        write!(f, " -> {}", self.code)
    }
}

/// Counts every request of a cluster.
#[derive(Debug, Default)]
pub struct Requests {
    inner: Mutex<Inner>,
    /// Held by those who carry a request out until it is counted; whoever reads counts waits for them, so that
    /// a request whose effect was seen has been counted.
    under_way: RwLock<()>,
    seen: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<RequestKey, u64>,
    log: VecDeque<RequestKey>,
    seen: u64,
}

/// Counts at one moment, or between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    counts: BTreeMap<RequestKey, u64>,
}

impl Requests {
    /// A request is carried out, and is counted before this goes.
    pub(crate) fn carry_out(&self) -> RwLockReadGuard<'_, ()> {
        self.under_way.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what is under way is counted.
    fn settle(&self) {
        drop(self.under_way.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Shows how many requests there were so far, whenever there is another.
    #[must_use]
    pub fn seen(&self) -> watch::Receiver<u64> {
        self.seen.subscribe()
    }

    pub(crate) fn count(&self, key: RequestKey, code: u16) {
        self.put(key, code);
        self.seen.send_modify(|seen| *seen += 1);
    }

    fn put(&self, mut key: RequestKey, code: u16) {
        key.code = code;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.seen += 1;
        if inner.log.len() == MAX_LOG {
            inner.log.pop_front();
        }
        inner.log.push_back(key.clone());
        if inner.counts.len() >= MAX_KEYS {
            key.name.clear();
        }
        *inner.counts.entry(key).or_default() += 1;
    }

    /// All counts since the start.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.settle();
        Snapshot {
            counts: self
                .inner
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .counts
                .clone(),
        }
    }

    /// What was counted since an earlier snapshot.
    #[must_use]
    pub fn since(&self, earlier: &Snapshot) -> Snapshot {
        self.snapshot().minus(earlier)
    }

    /// How many requests there were so far: a mark for [`Requests::log_since`].
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.settle();
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).seen
    }

    /// The requests after a mark in the order of their completion; the oldest may be forgotten.
    #[must_use]
    pub fn log_since(&self, mark: u64) -> Vec<RequestKey> {
        self.settle();
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = usize::try_from(inner.seen.saturating_sub(mark)).unwrap_or(usize::MAX);
        inner
            .log
            .iter()
            .skip(inner.log.len().saturating_sub(wanted))
            .cloned()
            .collect()
    }
}

impl Snapshot {
    /// What is counted here and was not yet counted there.
    #[must_use]
    pub fn minus(mut self, earlier: &Self) -> Self {
        for (key, count) in &mut self.counts {
            *count -= earlier.counts.get(key).copied().unwrap_or(0);
        }
        self.counts.retain(|_, count| *count > 0);
        self
    }

    /// Only the requests that a test is interested in.
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(&RequestKey) -> bool) -> Self {
        self.counts.retain(|key, _| wanted(key));
        self
    }

    /// Only requests of clients whose user agent contains this text.
    #[must_use]
    pub fn of(self, user_agent: &str) -> Self {
        self.only(|key| key.user_agent.contains(user_agent))
    }

    /// Only writes that are no dry runs.
    #[must_use]
    pub fn writes(self) -> Self {
        self.only(RequestKey::writes)
    }

    /// How many requests there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The counts.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<RequestKey, u64> {
        &self.counts
    }
}

/// One line a kind of request, for failure messages and snapshots.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts
            .iter()
            .try_for_each(|(key, count)| writeln!(f, "{count} {key}"))
    }
}
