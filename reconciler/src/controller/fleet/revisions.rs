//! A new revision of a source: who is touched by it and runs, and who only moves on. No I/O but status writes that
//! trickle.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::registry::Claims;
use super::super::reports::report_outcome;
use super::super::skip::Changes;
use super::super::step::Scope;
use super::dependencies::dependencies;
use super::{Fleet, Member, Message, SourceKey, SourceState, source_key};
use crate::plan::Owner;
use crate::report::Outcome;
use crate::source::Checkout;

/// Statuses that are written at once when a commit moves the revision of those it does not touch.
const TRICKLE: usize = 4;

impl Fleet {
    pub(super) fn source(&mut self, key: &SourceKey, state: &SourceState, changes: &Changes) {
        let Some(before) = self.sources.get_mut(key) else {
            // It is gone: a look at it that was under way then has ended.
            return;
        };
        let before = std::mem::replace(before, state.clone());
        let is_same = before
            .checkout
            .as_ref()
            .zip(state.checkout.as_ref())
            .is_some_and(|(old, new)| old.revision() == new.revision() && old.ignore() == new.ignore());
        let mut touched = Vec::new();
        for owner in self.users(key) {
            if !is_same {
                self.register(&owner);
            }
            let is_skipped = state
                .checkout
                .as_ref()
                .is_some_and(|checkout| self.skip(&owner, changes, checkout));
            if !is_skipped {
                touched.push(owner);
            }
        }
        for owner in touched {
            self.refresh(&owner);
        }
        self.sort_trickle();
        self.drain_trickle();
    }

    /// A commit that touches nothing which the last render read moves the revision, and that is all.
    fn skip(&mut self, owner: &Arc<Owner>, changes: &Changes, checkout: &Checkout) -> bool {
        let Some(member) = self.members.get_mut(owner) else {
            return true;
        };
        let Some(memory) = &member.memory else {
            return false;
        };
        // The commit may take from another Kustomization what was promised to it.
        let waits_for_another = !memory.promised.is_empty();
        if !member.state.may_skip() || waits_for_another || changes.touch(&memory.read_set) {
            return false;
        }
        let revision = checkout.revision().to_string();
        if member.applied.as_deref() == Some(&revision) {
            return true;
        }
        member.state.skip_to(&revision);
        let before = member.applied.replace(revision);
        member.stand.revision.clone_from(&member.applied);
        self.put_in_line(owner);
        self.cx.registry.update(owner, |entry| {
            let key = entry.key();
            let of_before = |claims: &&mut Claims| Some(&claims.key.revision) == before.as_ref();
            if let Some(claims) = entry.claims.as_mut().filter(of_before) {
                claims.key = key;
            }
        });
        true
    }

    /// A revision that counts as applied and that the status does not say yet is written when its turn comes.
    pub(super) fn put_in_line(&mut self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        let is_due = member.state.may_skip() && member.applied != member.status.last_applied_revision;
        if is_due && !std::mem::replace(&mut member.in_trickle, true) {
            self.trickle.push_back(owner.clone());
        }
    }

    /// One whose turn came while a run was under way gets another.
    pub(super) fn return_to_line(&mut self, owner: &Arc<Owner>) {
        let missed = self.members.get_mut(owner).map(|member| &mut member.missed_turn);
        if missed.is_some_and(std::mem::take) {
            self.put_in_line(owner);
        }
    }

    /// Those that others depend on come first.
    fn sort_trickle(&mut self) {
        let needed: BTreeSet<Owner> = self
            .members
            .values()
            .flat_map(|member| dependencies(&member.kustomization))
            .collect();
        if !needed.is_empty() {
            self.trickle
                .make_contiguous()
                .sort_by_key(|owner| !needed.contains(&**owner));
        }
    }

    pub(super) fn drain_trickle(&mut self) {
        // Whoever was touched comes first, as long as that keeps all places busy.
        while self.trickling < TRICKLE && self.cx.places.are_free() {
            let Some(owner) = self.trickle.pop_front() else {
                return;
            };
            if let Some(member) = self.members.get_mut(&owner) {
                member.in_trickle = false;
                member.missed_turn = member.state.is_running();
            }
            // What happened since it was put in line has been reported, or will be.
            let still_so = |member: &&Member| {
                member.state.may_skip() && member.applied != member.status.last_applied_revision
            };
            let Some(member) = self.members.get(&owner).map(AsRef::as_ref).filter(still_so) else {
                continue;
            };
            let job = self.job(&owner, member, Scope::Changes);
            let cx = self.cx.clone();
            let wait = member
                .memory
                .as_ref()
                .is_some_and(|memory| !memory.targets.is_empty());
            self.trickling += 1;
            tokio::spawn(async move {
                let outcome = Outcome::Succeeded { health_checked: wait };
                report_outcome(&cx, &job, outcome, None).await;
                let _ = cx.messages.send(Message::Trickled).await;
            });
        }
    }

    pub(super) fn users(&self, key: &SourceKey) -> Vec<Arc<Owner>> {
        let users = self
            .members
            .iter()
            .filter(|(_, member)| source_key(&member.kustomization) == *key);
        self.most_urgent_first(users.map(|(owner, _)| owner.clone()).collect())
    }

    pub(super) fn refresh_users(&mut self, key: &SourceKey) {
        for owner in self.users(key) {
            self.register(&owner);
            self.refresh(&owner);
        }
    }
}
