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
        let what = if wanted == 0 {
            format!(
                "revision {revision} has no objects at all, so all {} in the inventory would be deleted",
                prunes.len()
            )
        } else if inventory >= self.large && prunes.len() as f64 > self.share * inventory as f64 {
            format!(
                "revision {revision} would delete {} of {inventory} objects",
                prunes.len()
            )
        } else {
            return Ok(());
        };
        let examples = prunes
            .iter()
            .take(3)
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        Err(GuardRefusal {
            what,
            examples,
            namespace: owner.namespace.clone(),
            name: owner.name.clone(),
            revision: revision.to_owned(),
        })
    }
}
