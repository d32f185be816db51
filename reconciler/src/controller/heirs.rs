//! Who may inherit from a Kustomization that is being deleted: a new one that was made for it, as when a commit renames
//! a Kustomization together with its source. What the new one wants is known only once its source was fetched. No I/O.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::finalize::deletes;
use super::registry::{Entry, Registry};
use crate::api::{Kustomization, OWNER_NAME, OWNER_NAMESPACE};
use crate::plan::{ObjectId, Owner};

/// How long before the deletion an heir may have been made: the run that makes the one deletes the other.
const MADE_BEFORE: SignedDuration = SignedDuration::from_mins(10);

/// Whether a Kustomization has to be known before the objects of one that is being deleted go: it has applied nothing
/// yet, it is new, and the two belong together.
pub(crate) fn may_inherit(entry: &Entry, from: &Kustomization) -> bool {
    let heir = &*entry.kustomization;
    heir.metadata.deletion_timestamp.is_none()
        && entry.inventory.is_empty()
        && is_new(heir, from)
        && are_related(heir, from)
}

/// Whether the deletion of a Kustomization is to wait, since what an heir wants cannot be known yet.
pub(crate) fn are_awaited(registry: &Registry, owner: &Owner, from: &Kustomization) -> bool {
    let waits = |entry: &Entry| entry.checkout.is_none() && may_inherit(entry, from);
    from.metadata.deletion_timestamp.is_some()
        && deletes(&from.spec)
        && registry.any_other(owner, waits)
        && !is_wanted_again(registry, owner)
}

/// Whether another Kustomization makes one that is being deleted anew as soon as it is gone, as after a revert of what
/// took it away: its objects are those of the new one.
pub(crate) fn is_wanted_again(registry: &Registry, owner: &Owner) -> bool {
    let id = ObjectId::from(owner);
    registry.any_other(owner, |entry| {
        let maker = &entry.kustomization;
        maker.metadata.deletion_timestamp.is_none()
            && !maker.spec.suspend
            && entry.current_claims().is_some_and(|claims| claims.contains(&id))
    })
}

/// Both times are the API server's, so that no clock here matters.
fn is_new(heir: &Kustomization, from: &Kustomization) -> bool {
    let times = (
        &heir.metadata.creation_timestamp,
        &from.metadata.deletion_timestamp,
    );
    let (Some(Time(made)), Some(Time(deleted))) = times else {
        return false;
    };
    deleted.duration_since(*made) <= MADE_BEFORE
}

/// Whether they share a namespace, or the Kustomization that applied them.
fn are_related(heir: &Kustomization, from: &Kustomization) -> bool {
    let share_parent = parent(heir).is_some() && parent(heir) == parent(from);
    share_parent || heir.metadata.namespace == from.metadata.namespace
}

/// The Kustomization that applied it, by its labels.
fn parent(kustomization: &Kustomization) -> Option<(&String, &String)> {
    let labels = kustomization.metadata.labels.as_ref()?;
    labels.get(OWNER_NAMESPACE).zip(labels.get(OWNER_NAME))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::plan::Inventory;

    fn kustomization(more: &Value) -> Kustomization {
        let mut object = json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "metadata": {"name": "any", "namespace": "apps"},
            "spec": {"interval": "10m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "any"}},
        });
        json_patch::merge(&mut object, more);
        serde_json::from_value(object).unwrap()
    }

    fn deleted() -> Kustomization {
        kustomization(&json!({"metadata": {"deletionTimestamp": "2026-05-01T12:00:00Z"}}))
    }

    fn entry(more: &Value) -> Entry {
        let mut made = json!({"metadata": {"creationTimestamp": "2026-05-01T11:59:58Z"}});
        json_patch::merge(&mut made, more);
        Entry {
            kustomization: Arc::new(kustomization(&made)),
            checkout: None,
            inventory: Arc::new(Inventory::default()),
            claims: None,
        }
    }

    #[test]
    fn one_that_was_made_just_before_beside_it_may_inherit() {
        assert!(may_inherit(&entry(&json!({})), &deleted()));
        let after = entry(&json!({"metadata": {"creationTimestamp": "2026-05-01T12:00:09Z"}}));
        assert!(may_inherit(&after, &deleted()));
    }

    #[test]
    fn one_that_has_been_there_for_long_or_goes_itself_or_has_objects_does_not() {
        let old = entry(&json!({"metadata": {"creationTimestamp": "2026-05-01T11:00:00Z"}}));
        assert!(!may_inherit(&old, &deleted()));
        let leaving = entry(&json!({"metadata": {"deletionTimestamp": "2026-05-01T12:00:00Z"}}));
        assert!(!may_inherit(&leaving, &deleted()));
        let listed = json!({"entries": [{"id": "apps_any__ConfigMap", "v": "v1"}]});
        let listed = serde_json::from_value(listed).unwrap();
        let applied = Entry {
            inventory: Arc::new(Inventory::from_status(Some(&listed))),
            ..entry(&json!({}))
        };
        assert!(!may_inherit(&applied, &deleted()));
    }

    #[test]
    fn one_of_another_namespace_does_only_if_the_same_kustomization_made_both() {
        let labels = json!({OWNER_NAMESPACE: "flux-system", OWNER_NAME: "root"});
        let elsewhere = json!({"metadata": {"namespace": "other"}});
        assert!(!may_inherit(&entry(&elsewhere), &deleted()));
        let mut sibling = elsewhere;
        sibling["metadata"]["labels"] = labels.clone();
        let mut from = deleted();
        from.metadata.labels = serde_json::from_value(labels).unwrap();
        assert!(may_inherit(&entry(&sibling), &from));
        assert!(!may_inherit(&entry(&sibling), &deleted()));
    }

    #[test]
    fn nothing_is_awaited_where_the_objects_stay() {
        let registry = Registry::default();
        let owner = |name: &str| Owner {
            namespace: "apps".to_owned(),
            name: name.to_owned(),
        };
        registry.put(&owner("new"), entry(&json!({})));
        assert!(are_awaited(&registry, &owner("old"), &deleted()));
        let mut orphaning = deleted();
        orphaning.spec.prune = false;
        assert!(!are_awaited(&registry, &owner("old"), &orphaning));
    }
}
