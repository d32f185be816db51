//! What it means when an object is seen, or is seen no more. The meaning is pure; the fleet passes it on.

use std::sync::Arc;

use jiff::Timestamp;

use super::super::build;
use super::super::memory::{Left, Memory};
use super::super::step::Event;
use super::Fleet;
use crate::cluster::{ObjectEvent, Seen};
use crate::plan::{ObjectId, Owner};

/// What the present sight of an object means to the Kustomization that left it so, if it is news: somebody touched it,
/// be it another Kustomization that wants just the same of it, or its generation moved while our fields stayed, which is
/// checked at `check_at` (rule 10).
fn meaning(
    (id, owner): (&ObjectId, &Owner),
    left: &Left,
    seen: Option<&Seen>,
    check_at: Timestamp,
) -> Option<Event> {
    if left.is_taken_from(owner, seen) || left.is_touched(seen) {
        return Some(Event::Touched(id.clone()));
    }
    left.has_moved(seen).then(|| Event::Moved(id.clone(), check_at))
}

/// Whether an object that was promised to another Kustomization has arrived there.
fn has_arrived(promised_by: &Owner, seen: Option<&Seen>) -> bool {
    seen.is_some_and(|seen| seen.owner.as_deref() != Some(promised_by))
}

impl Fleet {
    /// An object changed hands, its health, or is gone.
    pub(super) fn object(&mut self, event: &ObjectEvent) {
        let Some(member) = self.members.get(&event.owner) else {
            return;
        };
        // What a run under way has written is not known here yet: it is compared when the run has ended.
        let memory = member.memory.clone().filter(|_| !member.state.is_running());
        if let Some(memory) = memory {
            let left = memory.objects.get(&event.id);
            if let Some(news) = left.and_then(|left| self.sight(&event.id, &event.owner, left)) {
                self.step(&event.owner, news);
            } else if event.gone && memory.promised.contains(&event.id) {
                self.step(&event.owner, Event::HandedOver);
            }
        }
        self.judge(&event.owner);
    }

    /// Events that came while a run wrote were not compared with anything; what is known now is.
    pub(super) fn catch_up(&mut self, owner: &Arc<Owner>) {
        let Some(memory) = self.members.get(owner).and_then(|member| member.memory.clone()) else {
            return;
        };
        for event in self.sights(owner, &memory) {
            self.step(owner, event);
        }
        let arrived = |id: &ObjectId| has_arrived(owner, self.cx.index.get(id).as_ref());
        if memory.promised.iter().any(arrived) {
            self.step(owner, Event::HandedOver);
        }
    }

    fn sights(&self, owner: &Owner, memory: &Memory) -> Vec<Event> {
        let objects = memory.objects.iter();
        objects
            .filter_map(|(id, left)| self.sight(id, owner, left))
            .collect()
    }

    fn sight(&self, id: &ObjectId, owner: &Owner, left: &Left) -> Option<Event> {
        let config = &self.cx.config;
        let check_at = config.clock.now().checked_add(config.debounce);
        let check_at = check_at.unwrap_or(Timestamp::MAX);
        meaning((id, owner), left, self.cx.index.get(id).as_ref(), check_at)
    }

    /// A ConfigMap or Secret changed: whoever reads it runs.
    pub(super) fn config(&mut self, kind: &'static str, namespace: &str, name: &str) {
        let readers: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| build::reads(&member.kustomization, kind, namespace, name))
            .map(|(owner, _)| owner.clone())
            .collect();
        for owner in readers {
            self.step(&owner, Event::ConfigChanged);
        }
    }
}
