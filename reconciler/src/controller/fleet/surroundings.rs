//! What changed around the objects: who is checked, and who runs again because what it failed without is there now.
//! No I/O.

use std::sync::Arc;
use std::time::Instant;

use super::super::step::Event;
use super::super::surroundings::Changes;
use super::{Fleet, Member};
use crate::plan::{Missing, Owner};

impl Fleet {
    /// Those whose objects may be admitted otherwise now look at everything (rule 12); how many do at once is bounded
    /// as for all runs.
    pub(super) fn surroundings_changed(&mut self, changes: &Changes) {
        let concerned = |owner: &Arc<Owner>| changes.everything || self.owns_any(owner, changes);
        let owners = self.by_urgency().into_iter().filter(concerned);
        for owner in owners.collect::<Vec<_>>() {
            self.step(&owner, Event::SurroundingsChanged);
        }
    }

    fn owns_any(&self, owner: &Owner, changes: &Changes) -> bool {
        let Some(entry) = self.cx.registry.get(owner) else {
            return false;
        };
        entry
            .inventory
            .iter()
            .any(|(id, _)| changes.kinds.contains(&(id.group.clone(), id.kind.clone())))
    }

    /// Kinds may be served now that some failed without.
    pub(super) fn discovered(&mut self) {
        for owner in self.members.keys().cloned().collect::<Vec<_>>() {
            self.tell_what_is_there(&owner, |fleet, _, missing| match missing {
                Missing::Kind(gvk) => fleet.cx.discovery.known(gvk).is_some(),
                Missing::Namespace(_) => false,
            });
        }
    }

    pub(super) fn namespace_appeared(&mut self, name: String) {
        for owner in self.members.keys().cloned().collect::<Vec<_>>() {
            self.tell_what_is_there(
                &owner,
                |_, _, missing| matches!(missing, Missing::Namespace(missing) if *missing == name),
            );
        }
        self.namespaces.insert(name, Instant::now());
    }

    /// What a run failed without may have appeared before it ended: nobody waited for it then.
    pub(super) fn retry_if_there(&mut self, owner: &Arc<Owner>) {
        self.tell_what_is_there(owner, |fleet, member, missing| match missing {
            Missing::Kind(gvk) => fleet.cx.discovery.known(gvk).is_some(),
            Missing::Namespace(name) => {
                let seen = fleet.namespaces.get(name);
                seen.is_some_and(|seen| *seen >= member.started)
            }
        });
    }

    fn tell_what_is_there(
        &mut self,
        owner: &Arc<Owner>,
        is_there: impl Fn(&Self, &Member, &Missing) -> bool,
    ) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let there: Vec<Missing> = member
            .state
            .missing()
            .filter(|missing| is_there(self, member, missing))
            .cloned()
            .collect();
        for missing in there {
            self.step(owner, Event::Appeared(missing));
        }
    }
}
