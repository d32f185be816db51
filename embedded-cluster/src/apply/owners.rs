//! The two operations on owners: apply and update. Counterparts: `merge/update.go` and the chain of
//! managers in `managedfields/internal/fieldmanager.go`. No I/O; the time is an argument.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::compare::{Comparison, compare, same};
use super::managers::{Conflicts, Entry, Key, Managers, Operation};
use super::merge::merge;
use super::remove::remove;
use super::set::FieldSet;
use super::walk::{check, field_set};
use crate::schema::{Type, conform};

/// Fields that nobody owns.
static STRIPPED: LazyLock<FieldSet> = LazyLock::new(|| {
    FieldSet::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

/// Who writes, by which way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manager<'a> {
    pub(crate) name: &'a str,
    /// `apps/v1`
    pub(crate) version: &'a str,
    /// Empty for the object itself.
    pub(crate) subresource: &'a str,
    /// What writes through this endpoint cannot change.
    pub(crate) reset: &'a FieldSet,
    pub(crate) now: Timestamp,
}

/// What an apply leads to.
pub(crate) struct Applied {
    /// The new object; nothing if the live one is as wanted.
    pub(crate) object: Option<Value>,
    pub(crate) managers: Managers,
}

/// Why an apply is refused.
pub(crate) enum ApplyError {
    /// The applied object does not fit its type; the messages lack a prefix that names the object.
    Untyped(Vec<String>),
    /// Others own fields that would change.
    Conflicts(Conflicts),
}

impl Manager<'_> {
    /// When an entry was made; upstream does not say so of entries made through a Scale.
    fn time(&self) -> Option<Timestamp> {
        (self.subresource != "scale").then_some(self.now)
    }

    fn key(&self, operation: Operation) -> Key {
        Key {
            name: self.name.into(),
            operation,
            version: if operation == Operation::Apply {
                ""
            } else {
                self.version
            }
            .into(),
            subresource: self.subresource.into(),
        }
    }
}

/// Takes note of what an update, patch or create changed (`FieldManager.Update`). `live` is nothing when
/// the object is created.
pub(crate) fn update(
    live: Option<&Value>,
    new: &Value,
    mut managers: Managers,
    who: Manager<'_>,
    of: Type<'_>,
) -> Managers {
    // An object that nobody tracks is not tracked until somebody applies to it, except from its creation.
    if managers.entries.is_empty() && live.is_some() {
        return managers;
    }
    track(live.unwrap_or(&nothing(of)), new, &mut managers, who, of);
    managers.cap();
    managers
}

/// An object before it has any content: of a built-in type, what is always written.
fn nothing(of: Type<'_>) -> Value {
    let mut value = Value::Object(Map::new());
    conform(&mut value, of);
    value
}

fn track(live: &Value, new: &Value, managers: &mut Managers, who: Manager<'_>, of: Type<'_>) {
    let comparison = compare(live, new, of).excluding(who.reset);
    let changed = comparison.modified.union(&comparison.added);
    take_from_others(managers, &comparison, &changed, None);
    let mine = changed.recursive_difference(who.reset).difference(&STRIPPED);
    if mine.is_empty() {
        return;
    }
    let key = who.key(Operation::Update);
    let set = match managers.entries.get(&key) {
        Some(before) => mine.union(&before.set),
        None => mine,
    };
    managers.entries.insert(
        key,
        Entry {
            version: who.version.into(),
            time: who.time(),
            set: Arc::new(set),
        },
    );
}

/// Removes what changed from all managers but one, and drops managers that own nothing.
fn take_from_others(managers: &mut Managers, comparison: &Comparison, changed: &FieldSet, but: Option<&Key>) {
    for (key, entry) in &mut managers.entries {
        if Some(key) == but {
            continue;
        }
        let conflict = entry.set.intersection(changed);
        if !conflict.is_empty() {
            entry.set = Arc::new(entry.set.difference(&conflict));
        }
        let removed = entry.set.intersection(&comparison.removed);
        if !removed.is_empty() && !mutated!(OwnershipKept) {
            entry.set = Arc::new(entry.set.difference(&removed));
        }
    }
    managers.entries.retain(|_, entry| !entry.set.is_empty());
}

/// Applies a configuration (`FieldManager.Apply`).
pub(crate) fn apply(
    live: Option<&Value>,
    wanted: &Value,
    managers: Managers,
    who: Manager<'_>,
    force: bool,
    of: Type<'_>,
) -> Result<Applied, ApplyError> {
    let errors = check(wanted, of);
    if !errors.is_empty() {
        return Err(ApplyError::Untyped(errors));
    }
    let nothing = nothing(of);
    let mut managers = managers;
    if let Some(live) = live
        && managers.entries.is_empty()
        && !mutated!(BeforeFirstApplyForgotten)
    {
        let before = Manager {
            name: "before-first-apply",
            ..who
        };
        track(&nothing, live, &mut managers, before, of);
    }
    // A create is an apply to an object with nothing but its type.
    let live = live.unwrap_or(&nothing);
    let key = who.key(Operation::Apply);
    let last = managers.entries.get(&key).cloned();
    let set = field_set(wanted, of).recursive_difference(who.reset);
    let time = last.as_ref().and_then(|last| last.time);
    managers.entries.insert(
        key.clone(),
        Entry {
            version: who.version.into(),
            time,
            set: Arc::new(set),
        },
    );

    let merged = merge(live, wanted, of);
    let object = match &last {
        Some(last) if !last.set.is_empty() => prune(merged, &managers, &last.set, of),
        _ => merged,
    };

    let comparison = compare(live, &object, of).excluding(who.reset);
    let changed = comparison.modified.union(&comparison.added);
    let conflicts: Vec<(Key, FieldSet)> = managers
        .entries
        .iter()
        .filter(|(other, _)| **other != key)
        .map(|(other, entry)| (other.clone(), entry.set.intersection(&changed)))
        .filter(|(_, set)| !set.is_empty())
        .skip(usize::from(mutated!(ConflictDropped)))
        .collect();
    if (!force || mutated!(ForceIgnored)) && !conflicts.is_empty() {
        return Err(ApplyError::Conflicts(Conflicts(conflicts)));
    }
    take_from_others(&mut managers, &comparison, &changed, Some(&key));
    let unchanged = same(live, &object);
    strip_own(&mut managers, &key, who.time().filter(|_| !unchanged));
    Ok(Applied {
        object: (!unchanged).then_some(object),
        managers,
    })
}

/// Takes out what nobody owns and stamps the time, if the object changed.
fn strip_own(managers: &mut Managers, key: &Key, stamp: Option<Timestamp>) {
    let Some(entry) = managers.entries.get_mut(key) else {
        return;
    };
    let set = entry.set.difference(&STRIPPED);
    if set.is_empty() {
        managers.entries.remove(key);
        return;
    }
    entry.set = Arc::new(set);
    if stamp.is_some() {
        entry.time = stamp;
    }
}

/// Removes what the applier applied last time and does not now, unless others own it (`prune`).
fn prune(merged: Value, managers: &Managers, last: &FieldSet, of: Type<'_>) -> Value {
    let named = |set: &FieldSet| set.with_named_fields(Some(of));
    let last = named(last);
    let owned = managers
        .entries
        .values()
        .fold(FieldSet::default(), |all, entry| all.union(&entry.set));
    // Most applies drop nothing: everything of last time is still owned by somebody.
    if last.difference(&named(&owned)).is_empty() {
        return merged;
    }
    let merged_set = named(&field_set(&merged, of));
    let pruned = remove(&merged, &last, of);
    let kept = named(&field_set(&pruned, of)).union(&named(&owned));
    let pruned = remove(&merged, &merged_set.difference(&kept), of);
    let pruned_set = named(&field_set(&pruned, of));
    remove(
        &merged,
        &merged_set.difference(&pruned_set).intersection(&last),
        of,
    )
}
