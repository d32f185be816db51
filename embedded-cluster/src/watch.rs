//! A watch: the changes of a kind as a stream of JSON lines.
//!
//! In: the history of a table. Out: events for one client, as fast as it reads. No I/O of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use crate::answer::ApiError;
use crate::api::render::{Rendered, bytes};
use crate::api::selector::Selector;
use crate::api::table;
use crate::faults::OpenWatch;
use crate::request::Form;
use crate::resource::Kind;
use crate::store::{Change, Key, Store, Stored};

/// How many changes are taken from the history at once.
const BATCH: usize = 256;
/// How often a client that asks for bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// A watch without `timeoutSeconds` ends after this time.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// From where a watch tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// All objects first, then changes; with a bookmark in between if `marked`.
    Everything { marked: bool },
    /// Changes after a revision.
    After(u64),
}

/// Which objects are watched.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) namespace: String,
    pub(crate) name: Option<String>,
    pub(crate) selector: Selector,
}

/// How events are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) form: Form,
    pub(crate) bookmarks: bool,
}

/// A stream of events.
pub(crate) struct Watch {
    store: Arc<Store>,
    kind: Arc<Kind>,
    scope: Scope,
    shape: Shape,
    changed: watch::Receiver<u64>,
    ready: VecDeque<Bytes>,
    revision: u64,
    ends: tokio::time::Instant,
    next_bookmark: tokio::time::Instant,
    done: bool,
    /// The first table of a watch says what its columns are, the others do not.
    told_columns: bool,
    open: Option<Arc<OpenWatch>>,
}

#[derive(Serialize)]
struct Event<'a, T: Serialize> {
    r#type: &'a str,
    object: T,
}

impl Watch {
    pub(crate) fn new(
        store: &Arc<Store>,
        kind: Arc<Kind>,
        scope: Scope,
        start: Start,
        shape: Shape,
        seconds: Option<u64>,
    ) -> Self {
        let now = tokio::time::Instant::now();
        let mut state = store.lock();
        let changed = state.subscribe(&kind.storage);
        let mut watch = Self {
            changed,
            ready: VecDeque::new(),
            revision: state.revision,
            ends: now + seconds.map_or(LONGEST, Duration::from_secs),
            next_bookmark: now + BOOKMARK_EVERY,
            done: false,
            told_columns: false,
            open: None,
            store: Arc::clone(store),
            kind,
            scope,
            shape,
        };
        match start {
            Start::After(revision) => watch.revision = revision,
            Start::Everything { marked } => {
                let namespace = watch.scope.namespace.clone();
                let found: Vec<Arc<Stored>> = state
                    .in_namespace(&watch.kind.storage, &namespace)
                    .filter(|(key, stored)| watch.scope.covers(key, stored))
                    .map(|(_, stored)| Arc::clone(stored))
                    .collect();
                for stored in &found {
                    watch.push("ADDED", stored);
                }
                if marked {
                    watch.bookmark(true);
                }
            }
        }
        drop(state);
        watch
    }

    /// Lets faults end this watch.
    pub(crate) fn attach(&mut self, open: Arc<OpenWatch>) {
        self.open = Some(open);
    }

    /// The next line; nothing when the watch has ended.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.done {
                return None;
            }
            self.changed.mark_unchanged();
            self.fill();
            if !self.ready.is_empty() || self.done {
                continue;
            }
            let open = self.open.clone();
            let dropped = async {
                match &open {
                    Some(open) => open.end.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = dropped => self.end(),
                changed = self.changed.changed() => if changed.is_err() { return None },
                () = tokio::time::sleep_until(self.ends) => self.done = true,
                () = tokio::time::sleep_until(self.next_bookmark), if self.shape.bookmarks => self.bookmark(false),
            }
        }
    }

    /// Ends as a fault asks for.
    fn end(&mut self) {
        self.done = true;
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.expired.load(Ordering::SeqCst))
        {
            self.gone();
        }
    }

    fn gone(&mut self) {
        let newest = self.store.lock().revision;
        let error = ApiError::expired(format!("too old resource version: {} ({newest})", self.revision));
        self.ready.push_back(line(&Event {
            r#type: "ERROR",
            object: error.body(),
        }));
        self.done = true;
    }

    /// Takes what happened since the last look.
    fn fill(&mut self) {
        let changes = self
            .store
            .lock()
            .changes_after(&self.kind.storage, self.revision, BATCH);
        let Some(changes) = changes else {
            return self.gone();
        };
        for change in changes {
            self.revision = change.revision;
            self.tell(&change);
        }
    }

    /// One change as this client sees it: objects come and go as they cross the selector.
    fn tell(&mut self, change: &Change) {
        let key = change.object.key();
        let was = change
            .before
            .as_ref()
            .is_some_and(|before| self.scope.covers(&key, before));
        let is = !change.deleted && self.scope.covers(&key, &change.object);
        match (was, is) {
            (false, true) => self.push("ADDED", &change.object),
            (true, true) => self.push("MODIFIED", &change.object),
            (true, false) if mutated!(DeletionNotTold) && change.deleted => {}
            (true, false) if mutated!(SelectorEdgeLost) && !change.deleted => {}
            (true, false) => self.leave(change),
            (false, false) => {}
        }
    }

    /// An object that leaves the selector is told as it was, with the version of the change.
    fn leave(&mut self, change: &Change) {
        let Some(before) = change.before.as_ref().filter(|_| !change.deleted) else {
            self.push("DELETED", &change.object);
            return;
        };
        let mut value = before.value.clone();
        crate::object::meta_mut(&mut value)
            .insert("resourceVersion".into(), change.revision.to_string().into());
        let last = Stored {
            value,
            managers: before.managers.clone(),
            revision: change.revision,
        };
        self.push("DELETED", &last);
    }

    fn push(&mut self, kind: &str, stored: &Stored) {
        let line = if let Form::Table(form) = self.shape.form {
            let mut object = table::table(&self.kind, &[stored], None, form);
            if std::mem::replace(&mut self.told_columns, true) {
                crate::object::put(&mut object, &["columnDefinitions"], serde_json::Value::Null);
            }
            line(&Event { r#type: kind, object })
        } else {
            let object = Rendered {
                stored,
                kind: &self.kind,
                in_list: false,
                form: self.shape.form,
            };
            line(&Event { r#type: kind, object })
        };
        self.ready.push_back(line);
    }

    fn bookmark(&mut self, initial: bool) {
        self.next_bookmark = tokio::time::Instant::now() + BOOKMARK_EVERY;
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if initial {
            crate::object::put(
                &mut metadata,
                &["annotations", "k8s.io/initial-events-end"],
                "true",
            );
        }
        let (version, kind) = match self.shape.form {
            Form::Metadata => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata"),
            Form::Table(_) => ("meta.k8s.io/v1".to_owned(), "Table"),
            Form::Whole => (self.kind.api_version(), self.kind.kind.as_str()),
        };
        let object = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
        self.ready.push_back(line(&Event {
            r#type: "BOOKMARK",
            object,
        }));
    }
}

fn line(event: &impl Serialize) -> Bytes {
    let mut line = bytes(event);
    line.push(b'\n');
    line.into()
}

impl Scope {
    fn covers(&self, key: &Key, stored: &Stored) -> bool {
        (self.namespace.is_empty() || *key.namespace == *self.namespace)
            && self.name.as_ref().is_none_or(|name| *key.name == **name)
            && self.selector.matches(&stored.value)
    }
}
