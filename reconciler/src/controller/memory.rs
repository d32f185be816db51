//! What a successful run leaves behind so that the next one can leave out what did not change. No I/O.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher, RandomState};
use std::sync::Arc;

use kustomize_rs::fs::ReadSet;
use serde_json::Value;

use crate::assess::targets::Target;
use crate::cluster::{Fingerprint, Seen};
use crate::plan::{ObjectId, Owner};

/// The last successful run of a Kustomization.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Everything that the render read of the tree.
    pub(crate) read_set: ReadSet,
    /// The objects as they were left; their ids are shared with the index.
    pub(crate) objects: HashMap<Arc<ObjectId>, Left>,
    /// Objects that another Kustomization wants and has not applied yet.
    pub(crate) promised: HashSet<ObjectId>,
    /// What health is about.
    pub(crate) targets: Vec<Target>,
    /// Whether it changed anything, was asked for, or built something new: it counts in the history.
    pub(crate) is_news: bool,
    /// Digest of what was built.
    pub(crate) digest: String,
}

/// An object as the last apply left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Digest of what was wanted.
    pub(crate) wanted: u64,
    /// Fingerprint of the answer to the apply.
    pub(crate) fingerprint: Fingerprint,
    /// Its generation then; 0 for kinds that have none.
    pub(crate) generation: i64,
    /// Versions before that apply: an event that still shows one of them comes late and means nothing.
    pub(crate) before: [u64; 2],
    /// A mark on it keeps us from applying it.
    pub(crate) skipped: bool,
    /// The cluster deletes it when it is done: a Job with a TTL.
    pub(crate) vanishes: bool,
}

impl Left {
    /// Whether what is seen of it now, if anything, is neither what was left nor a late sight of what was before.
    pub(crate) fn is_touched(&self, seen: Option<&Seen>) -> bool {
        match seen {
            Some(seen) => seen.fingerprint != self.fingerprint && !self.before.contains(&version(seen)),
            None => !self.vanishes,
        }
    }

    /// Whether another Kustomization made it its own: one that wants just the same leaves the same fields, and within a
    /// second the same fingerprint.
    pub(crate) fn is_taken_from(&self, owner: &Owner, seen: Option<&Seen>) -> bool {
        !self.skipped
            && seen.is_some_and(|seen| {
                seen.owner.as_deref().is_some_and(|holder| holder != owner)
                    && !self.before.contains(&version(seen))
            })
    }

    /// Whether it was changed, and nothing says by whom: what admission changes leaves our fields ours (rule 10), and
    /// so does somebody who changes what is not ours.
    pub(crate) fn has_moved(&self, seen: Option<&Seen>) -> bool {
        !self.skipped
            && seen.is_some_and(|seen| {
                seen.fingerprint == self.fingerprint && seen.observed.generation > self.generation
            })
    }
}

/// Digest of the version that an object was seen in.
pub(crate) fn version(seen: &Seen) -> u64 {
    let mut hasher = DefaultHasher::new();
    seen.observed.resource_version.hash(&mut hasher);
    hasher.finish()
}

/// Digests of wanted objects, which may hold secrets: by a key that a controller makes when it starts and that never
/// leaves it, so that a digest tells nobody what it is of (rule 27).
#[derive(Debug, Default)]
pub(crate) struct Digests(RandomState);

impl Digests {
    /// Digest of a wanted object.
    pub(crate) fn of(&self, value: &Value) -> u64 {
        let mut hasher = self.0.build_hasher();
        hash(value, &mut hasher);
        hasher.finish()
    }
}

fn hash(value: &Value, hasher: &mut impl Hasher) {
    match value {
        Value::Null => 0_u8.hash(hasher),
        Value::Bool(b) => b.hash(hasher),
        Value::Number(n) => n.to_string().hash(hasher),
        Value::String(s) => s.hash(hasher),
        Value::Array(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| hash(item, hasher));
        }
        Value::Object(map) => {
            map.len().hash(hasher);
            for (key, value) in map {
                key.hash(hasher);
                hash(value, hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::assess::reduce::Observed;

    #[test]
    fn rule_27_digests_are_comparable_within_a_controller_and_tell_nothing_outside() {
        let secret = json!({"data": {"password": "aHVudGVyMg=="}, "list": [1, null, true]});
        let (ours, theirs) = (Digests::default(), Digests::default());
        assert_eq!(ours.of(&secret), ours.of(&secret.clone()));
        assert_ne!(
            ours.of(&secret),
            ours.of(&json!({"data": {"password": "aHVudGVyMw=="}}))
        );
        assert_ne!(ours.of(&secret), theirs.of(&secret), "by another key");
    }

    fn seen(generation: i64, fields: &Value) -> Seen {
        let object = json!({"metadata": {
            "uid": "u", "generation": generation,
            "managedFields": [{"manager": "kustomize-controller", "operation": "Apply", "fieldsV1": fields}],
        }});
        Seen {
            observed: Observed::reduce(&object, Timestamp::UNIX_EPOCH),
            fingerprint: Fingerprint::of(&object),
            owner: None,
        }
    }

    #[test]
    fn rule_10_a_generation_that_moved_while_our_fields_stayed_is_told_from_fields_that_changed() {
        let ours = json!({"f:spec": {}});
        let left = Left {
            wanted: 0,
            fingerprint: seen(3, &ours).fingerprint,
            generation: 3,
            before: [0; 2],
            skipped: false,
            vanishes: false,
        };
        assert!(!left.has_moved(Some(&seen(3, &ours))));
        assert!(left.has_moved(Some(&seen(4, &ours))));
        assert!(!left.has_moved(Some(&seen(2, &ours))), "a late sight");
        let taken = seen(4, &json!({}));
        assert!(!left.has_moved(Some(&taken)));
        assert!(left.is_touched(Some(&taken)));
        assert!(!left.has_moved(None));
    }
}
