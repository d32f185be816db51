//! The prune guard: an empty path, a wrong path or a mass deletion stops and asks. Pure.

use crate::api::PRUNE_CONFIRM;

use super::ObjectId;

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
    /// Refuses a prune of everything, or of more than the allowed share of a large inventory, unless this
    /// revision was confirmed.
    ///
    /// `inventory` and `wanted` are numbers of objects; `owner` is the Kustomization.
    ///
    /// # Errors
    /// The refusal, which says how to confirm.
    pub fn check(
        &self,
        inventory: usize,
        wanted: usize,
        prunes: &[ObjectId],
        owner: &super::Owner,
        revision: &str,
        confirmed: Option<&str>,
    ) -> Result<(), GuardRefusal> {
        if prunes.is_empty() || confirmed == Some(revision) {
            return Ok(());
        }
        let Some(what) = self.too_much(inventory, wanted, prunes.len()) else {
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
    #[must_use]
    pub fn too_much(&self, inventory: usize, wanted: usize, prunes: usize) -> Option<String> {
        if prunes == 0 {
            return None;
        }
        if wanted == 0 {
            return Some(format!(
                "has no objects at all, so all {prunes} in the inventory would be deleted"
            ));
        }
        let is_large = inventory >= self.large && prunes as f64 / inventory as f64 > self.share;
        is_large.then(|| format!("would delete {prunes} of {inventory} objects"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a prune of so many of an inventory needs a confirmation.
    fn asks(share: f64, prunes: usize, inventory: usize) -> bool {
        let guard = Guard {
            share,
            ..Guard::default()
        };
        guard.too_much(inventory, inventory - prunes, prunes).is_some()
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
}
