//! `metadata.managedFields`, decoded. Counterpart: `managedfields/internal`. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::set::FieldSet;
use crate::answer::{ApiError, Cause};
use crate::clock;

/// More `Update` entries than this are folded into one of `ancient-changes`.
const MAX_UPDATE_MANAGERS: usize = 10;
const OLD_UPDATES: &str = "ancient-changes";

/// How a manager came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// What tells entries apart (`BuildManagerIdentifier`): an applier is the same over all versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) name: Arc<str>,
    pub(crate) operation: Operation,
    /// Empty for `Apply`.
    pub(crate) version: Arc<str>,
    pub(crate) subresource: Arc<str>,
}

/// What one manager owns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) version: Arc<str>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) set: Arc<FieldSet>,
}

/// All managers of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Managers {
    pub(crate) entries: BTreeMap<Key, Entry>,
}

/// Which fields of which managers stand in the way of an apply.
#[derive(Clone, Debug)]
pub(crate) struct Conflicts(pub(crate) Vec<(Key, FieldSet)>);

impl Managers {
    /// Reads `managedFields`; nothing if an entry cannot be read, as upstream does.
    pub(crate) fn decode(list: &Value) -> Option<Self> {
        let mut entries = BTreeMap::new();
        for entry in list.as_array()? {
            let text = |key: &str| entry.get(key).and_then(Value::as_str);
            if text("fieldsType") != Some("FieldsV1") {
                return None;
            }
            let operation = match text("operation")? {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            let version: Arc<str> = text("apiVersion")?.into();
            let key = Key {
                name: text("manager").unwrap_or_default().into(),
                operation,
                version: if operation == Operation::Apply {
                    "".into()
                } else {
                    Arc::clone(&version)
                },
                subresource: text("subresource").unwrap_or_default().into(),
            };
            let time = text("time").and_then(|time| time.parse().ok());
            let set = entry.get("fieldsV1").map(FieldSet::decode).unwrap_or_default();
            entries.insert(
                key,
                Entry {
                    version,
                    time,
                    set: Arc::new(set),
                },
            );
        }
        Some(Self { entries })
    }

    /// Whether a client asks for all entries to be dropped: `[]` or `[{}]`.
    pub(crate) fn is_reset(list: &Value) -> bool {
        match list.as_array().map(Vec::as_slice) {
            Some([]) => true,
            Some([one]) => one.as_object().is_some_and(Map::is_empty),
            _ => false,
        }
    }

    /// The entries in upstream's order, as they are served.
    pub(crate) fn sorted(&self) -> Vec<Encoded<'_>> {
        let mut sorted: Vec<(&Key, &Entry)> = self.entries.iter().collect();
        sorted.sort_by_key(|(key, entry)| {
            let seconds = entry.time.map_or(0, Timestamp::as_second);
            (
                key.operation,
                seconds,
                Arc::clone(&key.name),
                Arc::clone(&entry.version),
                Arc::clone(&key.subresource),
            )
        });
        sorted
            .into_iter()
            .map(|(key, entry)| Encoded::of(key, entry))
            .collect()
    }

    /// `managedFields` as a value.
    pub(crate) fn encode(&self) -> Value {
        self.sorted()
            .into_iter()
            .map(|entry| serde_json::to_value(entry).unwrap_or_default())
            .collect()
    }

    /// Whether anybody owns the field at a path.
    pub(crate) fn own(&self, path: &[&str]) -> bool {
        let wanted = FieldSet::of_fields(&[path]);
        self.entries
            .values()
            .any(|entry| !entry.set.intersection(&wanted).is_empty())
    }

    /// Gives replicas that nobody owns to `before-first-apply`, as seen through a Scale.
    pub(crate) fn adopt(&mut self, path: &[&str], version: &str) {
        let key = Key {
            name: "before-first-apply".into(),
            operation: Operation::Update,
            version: "autoscaling/v1".into(),
            subresource: "scale".into(),
        };
        let set = Arc::new(FieldSet::of_fields(&[path]));
        self.entries.insert(
            key,
            Entry {
                version: version.into(),
                time: None,
                set,
            },
        );
    }

    /// Folds the oldest `Update` entries together (`capUpdateManagers`).
    pub(crate) fn cap(&mut self) {
        let mut updaters: Vec<(i64, Key)> = self
            .entries
            .iter()
            .filter(|(key, _)| key.operation == Operation::Update)
            .map(|(key, entry)| (entry.time.map_or(0, Timestamp::as_second), key.clone()))
            .collect();
        updaters.sort();
        let mut length = updaters.len();
        let mut first_of_version: BTreeMap<Arc<str>, Key> = BTreeMap::new();
        for (_, key) in updaters {
            if length <= MAX_UPDATE_MANAGERS {
                return;
            }
            let version = Arc::clone(&key.version);
            let Some(first) = first_of_version.get(&version) else {
                first_of_version.insert(version, key);
                continue;
            };
            let bucket = Key {
                name: OLD_UPDATES.into(),
                operation: Operation::Update,
                version: Arc::clone(&version),
                subresource: "".into(),
            };
            if !self.entries.contains_key(&bucket)
                && let Some(entry) = self.entries.remove(first)
            {
                self.entries.insert(bucket.clone(), entry);
            }
            let Some(folded) = self.entries.remove(&key) else {
                continue;
            };
            if let Some(entry) = self.entries.get_mut(&bucket) {
                entry.set = Arc::new(folded.set.union(&entry.set));
                entry.time = folded.time;
            }
            length -= 1;
        }
    }

    /// Whether both say the same, times aside.
    pub(crate) fn same_but_time(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len()
            && self
                .entries
                .iter()
                .zip(&other.entries)
                .all(|((key, entry), (other_key, other_entry))| {
                    key == other_key
                        && entry.version == other_entry.version
                        && (Arc::ptr_eq(&entry.set, &other_entry.set) || entry.set == other_entry.set)
                })
    }
}

/// One entry of `managedFields`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Encoded<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    manager: &'a str,
    operation: &'static str,
    api_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    fields_type: &'static str,
    #[serde(rename = "fieldsV1")]
    fields: &'a FieldSet,
    #[serde(skip_serializing_if = "str::is_empty")]
    subresource: &'a str,
}

impl<'a> Encoded<'a> {
    fn of(key: &'a Key, entry: &'a Entry) -> Self {
        Self {
            manager: &key.name,
            operation: key.operation.name(),
            api_version: &entry.version,
            time: entry.time.map(clock::seconds),
            fields_type: "FieldsV1",
            fields: &entry.set,
            subresource: &key.subresource,
        }
    }
}

impl Conflicts {
    /// The answer to the applier, in upstream's words.
    pub(crate) fn into_error(self) -> ApiError {
        let mut all: Vec<(String, String)> = Vec::new();
        for (key, set) in &self.0 {
            let manager = key.shown();
            all.extend(set.paths().into_iter().map(|path| (manager.clone(), path)));
        }
        let causes = all.iter().map(|(manager, path)| Cause {
            reason: "FieldManagerConflict",
            message: format!("conflict with {manager}"),
            field: path.clone(),
        });
        let message = match all.as_slice() {
            [(manager, path)] => format!("Apply failed with 1 conflict: conflict with {manager}: {path}"),
            _ => {
                let mut lines = Vec::with_capacity(all.len() + self.0.len());
                let mut last = None;
                for (manager, path) in &all {
                    if last != Some(manager) {
                        lines.push(format!("conflicts with {manager}:"));
                        last = Some(manager);
                    }
                    lines.push(format!("- {path}"));
                }
                format!("Apply failed with {} conflicts: {}", all.len(), lines.join("\n"))
            }
        };
        ApiError::apply_conflict(message, causes.collect())
    }
}

impl Key {
    fn shown(&self) -> String {
        let mut out = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            out.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            out.push_str(&format!(" using {}", self.version));
        }
        out
    }
}
