//! The prune guard: an empty path, a wrong path or a mass deletion stops and asks. Pure.

use crate::api::PRUNE_CONFIRM;

use super::{Inventory, ObjectId};

/// How much may be pruned without asking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    /// The largest share of a large inventory, 0 to 1.
    pub share: f64,
    /// How many objects make an inventory large.
    pub large: usize,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            share: 0.5,
            large: 10,
        }
    }
}

/// A prune that needs a confirmation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what}, among them {examples}; nothing was changed. If this is meant, run: \
     kubectl annotate kustomization --namespace {namespace} {name} --overwrite {PRUNE_CONFIRM}={revision}"
)]
pub struct GuardRefusal {
    what: String,
    examples: String,
    namespace: String,
    name: String,
    revision: String,
}

impl Guard {
    /// Refuses a prune that [`Self::too_much`] names, unless this revision was confirmed. `owner` is the Kustomization.
    ///
    /// # Errors
    /// The refusal, which says how to confirm.
    pub fn check(
        &self,
        inventory: &Inventory,
        wanted: &Inventory,
        prunes: &[ObjectId],
        owner: &super::Owner,
        revision: &str,
        confirmed: Option<&str>,
    ) -> Result<(), GuardRefusal> {
        if prunes.is_empty() || confirmed == Some(revision) {
            return Ok(());
        }
        let Some(what) = self.too_much(inventory, wanted, prunes) else {
            return Ok(());
        };
        let examples = prunes
            .iter()
            .take(3)
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        Err(GuardRefusal {
            what: format!("revision {revision} {what}"),
            examples,
            namespace: owner.namespace.clone(),
            name: owner.name.clone(),
            revision: revision.to_owned(),
        })
    }

    /// What a revision does that needs a confirmation, if it does: a sentence without its subject, for those who look
    /// ahead and know no revision yet.
    ///
    /// It deletes what holds objects that it wants; or all that there was, unless that is of kinds that change their
    /// names with their contents; or more than the allowed share of a large inventory.
    #[must_use]
    pub fn too_much(&self, inventory: &Inventory, wanted: &Inventory, prunes: &[ObjectId]) -> Option<String> {
        if prunes.is_empty() {
            return None;
        }
        if let Some((holder, held)) = held_by_pruned(wanted, prunes) {
            return Some(format!(
                "would delete {holder} and with it what it wants, such as {held}"
            ));
        }
        let (all, part) = (inventory.len(), prunes.len());
        if wanted.is_empty() {
            return Some(format!(
                "has no objects at all, so all {part} in the inventory would be deleted"
            ));
        }
        if part == all && !prunes.iter().all(is_replaced_by_name) {
            return Some(format!("would delete all {all} objects that there are"));
        }
        let is_large = all >= self.large && part as f64 / all as f64 > self.share;
        is_large.then(|| format!("would delete {part} of {all} objects"))
    }
}

/// A namespace or a definition that goes, and an object that goes with it though it is wanted.
fn held_by_pruned<'a>(wanted: &'a Inventory, prunes: &'a [ObjectId]) -> Option<(&'a ObjectId, &'a ObjectId)> {
    prunes.iter().find_map(|holder| {
        let held = wanted.iter().map(|(id, _)| id).find(|id| holds(holder, id))?;
        Some((holder, held))
    })
}

/// Whether the deletion of one object deletes another. Of a definition its group alone is known by its name.
fn holds(holder: &ObjectId, id: &ObjectId) -> bool {
    match (holder.group.as_str(), holder.kind.as_str()) {
        ("", "Namespace") => id.namespace == holder.name,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => defines(&holder.name, id),
        _ => false,
    }
}

/// Whether a definition `plural.group` may be that of an object: the group is its own, and the plural begins as the kind
/// does.
fn defines(definition: &str, id: &ObjectId) -> bool {
    let Some((plural, group)) = definition.split_once('.') else {
        return false;
    };
    let stem: String = id.kind.to_lowercase();
    let stem = stem.strip_suffix('y').unwrap_or(&stem);
    group == id.group && plural.starts_with(stem)
}

/// Whether objects of this kind get another name with other contents, as kustomize's generators give it, or since they
/// cannot be changed: a commit that replaces all of them is an everyday one.
fn is_replaced_by_name(id: &ObjectId) -> bool {
    matches!(
        (id.group.as_str(), id.kind.as_str()),
        ("", "ConfigMap" | "Secret") | ("batch", "Job")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(kind: &str, numbers: std::ops::Range<usize>) -> Vec<ObjectId> {
        numbers
            .map(|number| ObjectId::new("apps", kind, "shop", &format!("n{number}")))
            .collect()
    }

    fn inventory(ids: &[ObjectId]) -> Inventory {
        let mut inventory = Inventory::default();
        for id in ids {
            inventory.insert(id.clone(), "v1".to_owned());
        }
        inventory
    }

    /// Whether a prune of so many of an inventory needs a confirmation.
    fn asks(share: f64, prunes: usize, all: usize) -> bool {
        let guard = Guard {
            share,
            ..Guard::default()
        };
        let ids = objects("Deployment", 0..all);
        guard
            .too_much(&inventory(&ids), &inventory(&ids[prunes..]), &ids[..prunes])
            .is_some()
    }

    #[test]
    fn more_than_the_share_of_a_large_inventory_is_asked_for_and_just_the_share_is_not() {
        for (share, prunes, inventory, expected) in [
            (0.5, 5, 10, false),
            (0.5, 6, 10, true),
            (0.5, 6, 12, false),
            (0.5, 7, 12, true),
            (0.9, 7, 12, false),
            (0.9, 11, 12, true),
            // 0.29 of 100 is less than 29 when it is multiplied.
            (0.29, 29, 100, false),
            (0.29, 30, 100, true),
            (1.0, 11, 12, false),
            (0.0, 1, 12, true),
            (0.5, 0, 12, false),
            // An inventory that is not large.
            (0.5, 8, 9, false),
        ] {
            let name = format!("{prunes} of {inventory} with {share}");
            assert_eq!(asks(share, prunes, inventory), expected, "{name}");
        }
    }

    #[test]
    fn all_of_an_inventory_is_asked_for_whatever_the_share() {
        assert!(asks(1.0, 1, 1));
        assert!(asks(1.0, 12, 12));
    }

    fn says(before: &[ObjectId], after: &[ObjectId]) -> Option<String> {
        let (before, after) = (inventory(before), inventory(after));
        let prunes: Vec<ObjectId> = before.minus(&after).into_iter().map(|(id, _)| id).collect();
        Guard::default().too_much(&before, &after, &prunes)
    }

    #[test]
    fn all_that_there_was_is_asked_for_also_if_others_come_in() {
        assert_eq!(
            says(&objects("Deployment", 0..3), &objects("Deployment", 3..6)).as_deref(),
            Some("would delete all 3 objects that there are")
        );
    }

    #[test]
    fn names_that_change_with_the_contents_are_not_asked_for() {
        let named = |name: &str| [ObjectId::new("", "ConfigMap", "shop", name)];
        assert_eq!(says(&named("settings-5f6h"), &named("settings-d9kt")), None);
    }

    #[test]
    fn a_namespace_that_goes_with_what_is_wanted_in_it_is_asked_for() {
        let namespace = ObjectId::new("", "Namespace", "", "shop");
        let claim = ObjectId::new("", "PersistentVolumeClaim", "shop", "data");
        assert_eq!(
            says(&[namespace.clone(), claim.clone()], std::slice::from_ref(&claim)).as_deref(),
            Some(
                "would delete Namespace/shop and with it what it wants, such as PersistentVolumeClaim/shop/data"
            )
        );
        let elsewhere = ObjectId::new("", "PersistentVolumeClaim", "other", "data");
        assert_eq!(says(&[namespace, elsewhere.clone()], &[elsewhere]), None);
    }

    #[test]
    fn a_definition_that_goes_with_what_is_wanted_of_it_is_asked_for() {
        let definition =
            |name: &str| ObjectId::new("apiextensions.k8s.io", "CustomResourceDefinition", "", name);
        let policy = ObjectId::new("example.org", "Policy", "shop", "p");
        let goes =
            |name: &str| says(&[definition(name), policy.clone()], std::slice::from_ref(&policy)).is_some();
        assert!(goes("policies.example.org"));
        assert!(!goes("policies.example.com"));
        assert!(!goes("gadgets.example.org"));
    }
}
