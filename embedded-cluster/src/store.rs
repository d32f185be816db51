//! The objects of a cluster and their recent history, in memory.
//!
//! In: committed changes. Out: objects, changes since a revision. No I/O.
//!
//! One lock guards everything: a write reads, decides and commits in one go, so no write is ever lost and
//! no retry loop is needed. Watchers read the history at their own pace; what they miss of it is "410 Gone".

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::apply::Managers;
use crate::object;
use crate::resource::{Kind, Registry};

/// Where an object is: namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// An object at one revision. `managedFields` are kept apart, decoded.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) value: Value,
    pub(crate) managers: Managers,
    pub(crate) revision: u64,
}

/// What happened to an object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    /// The object before, if it existed.
    pub(crate) before: Option<Arc<Stored>>,
    /// The object after, or as it was last when it was deleted.
    pub(crate) object: Arc<Stored>,
    pub(crate) deleted: bool,
}

/// All objects of one kind.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) objects: BTreeMap<Key, Arc<Stored>>,
    history: VecDeque<Change>,
    /// Changes up to this revision are no longer known.
    pub(crate) compacted: u64,
    changed: watch::Sender<u64>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            compacted: 0,
            changed: watch::Sender::new(0),
        }
    }
}

/// An object that controllers should look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Touched {
    pub(crate) storage: Arc<str>,
    pub(crate) key: Key,
}

/// Everything a cluster holds.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) revision: u64,
    tables: HashMap<Arc<str>, Table>,
    pub(crate) registry: Arc<Registry>,
    /// uid of an owner to those that name it.
    dependents: HashMap<String, HashSet<Touched>>,
    /// uid to where the object is.
    uids: HashMap<String, Touched>,
    /// What changed since controllers last looked, in order, each once.
    touched: VecDeque<Touched>,
    queued: HashSet<Touched>,
    history_limit: usize,
    uid_counter: u64,
    addresses: u32,
    node_ports: u32,
}

/// The shared state and its bells.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    /// Rings when a controller has something to look at.
    pub(crate) bell: tokio::sync::Notify,
}

impl Store {
    pub(crate) fn new(history_limit: usize) -> Self {
        let state = State {
            revision: 1,
            tables: HashMap::new(),
            registry: Arc::new(Registry::builtin()),
            dependents: HashMap::new(),
            uids: HashMap::new(),
            touched: VecDeque::new(),
            queued: HashSet::new(),
            history_limit,
            uid_counter: 0,
            addresses: 9,
            node_ports: 0,
        };
        Self {
            state: Mutex::new(state),
            bell: tokio::sync::Notify::new(),
        }
    }

    /// The state, for as long as the guard lives. Never hold it over an `await`.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held cannot leave half a commit: commits do not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(crate) fn table(&mut self, storage: &Arc<str>) -> &mut Table {
        let floor = self.revision;
        self.tables.entry(Arc::clone(storage)).or_insert_with(|| Table {
            compacted: floor,
            ..Table::default()
        })
    }

    pub(crate) fn get(&self, storage: &str, key: &Key) -> Option<&Arc<Stored>> {
        self.tables.get(storage)?.objects.get(key)
    }

    pub(crate) fn objects<'a>(
        &'a self,
        storage: &str,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Stored>)> + use<'a> {
        self.tables
            .get(storage)
            .into_iter()
            .flat_map(|table| &table.objects)
    }

    /// Objects of one namespace; all objects if the namespace is empty.
    pub(crate) fn in_namespace<'a>(
        &'a self,
        storage: &str,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Stored>)> + use<'a> {
        let first = Key::new(namespace, "");
        let table = self.tables.get(storage);
        table
            .into_iter()
            .flat_map(move |table| table.objects.range(first.clone()..))
            .take_while(move |(key, _)| namespace.is_empty() || *key.namespace == *namespace)
    }

    /// Objects of one namespace, or of all, as they were at a revision that is still known.
    pub(crate) fn as_of(&self, storage: &str, namespace: &str, revision: u64) -> BTreeMap<Key, Arc<Stored>> {
        let mut objects: BTreeMap<Key, Arc<Stored>> = self
            .in_namespace(storage, namespace)
            .map(|(key, stored)| (key.clone(), Arc::clone(stored)))
            .collect();
        let history = self
            .tables
            .get(storage)
            .into_iter()
            .flat_map(|table| &table.history);
        for change in history.rev().take_while(|change| change.revision > revision) {
            let key = change.object.key();
            if !namespace.is_empty() && *key.namespace != *namespace {
                continue;
            }
            match &change.before {
                Some(before) => objects.insert(key, Arc::clone(before)),
                None => objects.remove(&key),
            };
        }
        objects
    }

    /// Commits an object: new if it was not there.
    pub(crate) fn put(&mut self, kind: &Kind, key: Key, mut value: Value, managers: Managers) -> Arc<Stored> {
        self.revision += 1;
        let revision = self.revision;
        object::meta_mut(&mut value).insert("resourceVersion".into(), revision.to_string().into());
        let stored = Arc::new(Stored {
            value,
            managers,
            revision,
        });
        let place = Touched {
            storage: Arc::clone(&kind.storage),
            key: key.clone(),
        };
        let table = self.table(&kind.storage);
        let before = table.objects.insert(key, Arc::clone(&stored));
        self.unindex(before.as_deref(), &place);
        self.index(&stored, &place);
        self.record(
            &place.storage,
            Change {
                revision,
                before,
                object: Arc::clone(&stored),
                deleted: false,
            },
        );
        self.touch(place);
        stored
    }

    /// Removes an object. The answer is the object as watchers see it last.
    pub(crate) fn remove(&mut self, kind: &Kind, key: &Key) -> Option<Arc<Stored>> {
        let before = self.table(&kind.storage).objects.remove(key)?;
        self.revision += 1;
        let revision = self.revision;
        let mut value = before.value.clone();
        object::meta_mut(&mut value).insert("resourceVersion".into(), revision.to_string().into());
        let last = Arc::new(Stored {
            value,
            managers: before.managers.clone(),
            revision,
        });
        let place = Touched {
            storage: Arc::clone(&kind.storage),
            key: key.clone(),
        };
        self.unindex(Some(&before), &place);
        for dependent in self.dependents_of(object::meta(&before.value, "uid")) {
            self.touch(dependent);
        }
        for owner in object::items(&before.value, &["metadata", "ownerReferences"]) {
            if let Some(owner) = self.uids.get(object::text(owner, &["uid"])).cloned() {
                self.touch(owner);
            }
        }
        let change = Change {
            revision,
            before: Some(before),
            object: Arc::clone(&last),
            deleted: true,
        };
        self.record(&place.storage, change);
        self.touch(place);
        Some(last)
    }

    fn record(&mut self, storage: &Arc<str>, change: Change) {
        let limit = self.history_limit;
        let table = self.table(storage);
        let revision = change.revision;
        table.history.push_back(change);
        while table.history.len() > limit {
            if let Some(oldest) = table.history.pop_front() {
                table.compacted = oldest.revision;
            }
        }
        table.changed.send_replace(revision);
    }

    fn index(&mut self, stored: &Stored, place: &Touched) {
        self.uids
            .insert(object::meta(&stored.value, "uid").into(), place.clone());
        for owner in object::items(&stored.value, &["metadata", "ownerReferences"]) {
            let uid = object::text(owner, &["uid"]);
            self.dependents
                .entry(uid.into())
                .or_default()
                .insert(place.clone());
        }
    }

    fn unindex(&mut self, before: Option<&Stored>, place: &Touched) {
        let Some(before) = before else { return };
        self.uids.remove(object::meta(&before.value, "uid"));
        for owner in object::items(&before.value, &["metadata", "ownerReferences"]) {
            let uid = object::text(owner, &["uid"]);
            if let Some(places) = self.dependents.get_mut(uid) {
                places.remove(place);
                if places.is_empty() {
                    self.dependents.remove(uid);
                }
            }
        }
    }

    /// Where the objects are that name this uid as an owner.
    pub(crate) fn dependents_of(&self, uid: &str) -> Vec<Touched> {
        let mut places: Vec<Touched> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        places.sort();
        places
    }

    pub(crate) fn find_uid(&self, uid: &str) -> Option<&Arc<Stored>> {
        let place = self.uids.get(uid)?;
        self.get(&place.storage, &place.key)
    }

    /// Asks controllers to look at an object.
    pub(crate) fn touch(&mut self, place: Touched) {
        if self.queued.insert(place.clone()) {
            self.touched.push_back(place);
        }
    }

    pub(crate) fn next_touched(&mut self) -> Option<Touched> {
        let place = self.touched.pop_front()?;
        self.queued.remove(&place);
        Some(place)
    }

    /// Rings with every change of a table.
    pub(crate) fn subscribe(&mut self, storage: &Arc<str>) -> watch::Receiver<u64> {
        self.table(storage).changed.subscribe()
    }

    /// The changes of a table after a revision; nothing if they are no longer all known.
    pub(crate) fn changes_after(
        &mut self,
        storage: &Arc<str>,
        revision: u64,
        most: usize,
    ) -> Option<Vec<Change>> {
        let table = self.table(storage);
        if revision < table.compacted {
            return None;
        }
        let first = table
            .history
            .partition_point(|change| change.revision <= revision);
        Some(table.history.range(first..).take(most).cloned().collect())
    }

    /// Drops a table that is no longer served; its watches end.
    pub(crate) fn drop_table(&mut self, storage: &str) {
        self.tables.remove(storage);
    }

    /// Forgets the history of all tables, as a compaction does.
    pub(crate) fn compact(&mut self) {
        let revision = self.revision;
        for table in self.tables.values_mut() {
            table.history.clear();
            table.compacted = revision;
        }
    }

    /// The next address of the Service network, 10.96.0.0/12.
    pub(crate) fn next_address(&mut self) -> String {
        self.addresses += 1;
        let n = self.addresses;
        format!("10.{}.{}.{}", 96 + (n >> 16) % 16, (n >> 8) % 256, n % 256)
    }

    /// The next port that nodes listen on, from 30000.
    pub(crate) fn next_node_port(&mut self) -> u32 {
        self.node_ports = (self.node_ports + 1) % 2768;
        30000 + self.node_ports
    }

    /// Names that are not in use, by a counter and the time: unpredictable is not needed here.
    pub(crate) fn new_uid(&mut self, now: Timestamp) -> String {
        use sha2::{Digest, Sha256};
        self.uid_counter += 1;
        let mut digest = Sha256::new();
        digest.update(self.uid_counter.to_be_bytes());
        digest.update(now.as_nanosecond().to_be_bytes());
        let hash = digest.finalize();
        let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        format!(
            "{}-{}-4{}-a{}-{}",
            part(0, 8),
            part(8, 12),
            part(13, 16),
            part(17, 20),
            part(20, 32)
        )
    }
}

impl Stored {
    /// Where the object is.
    pub(crate) fn key(&self) -> Key {
        Key::new(
            object::meta(&self.value, "namespace"),
            object::meta(&self.value, "name"),
        )
    }
}
