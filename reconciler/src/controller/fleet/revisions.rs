//! Revisions: what each Kustomization was tried at and what counts as applied; and, when a source has a new one, who is
//! touched by it and runs, and who only moves on. No I/O but status writes that trickle.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::job::Stand;
use super::super::registry::Claims;
use super::super::reports::report_outcome;
use super::super::skip::Changes;
use super::super::step::Scope;
use super::dependencies::dependencies;
use super::{Fleet, Member, Message, SourceKey, SourceState, source_key};
use crate::api::{Kustomization, KustomizationStatus};
use crate::plan::Owner;
use crate::report::Outcome;
use crate::source::Checkout;

/// Statuses that are written at once when a commit moves the revision of those it does not touch.
const TRICKLE: usize = 4;

/// The revisions of one Kustomization.
#[derive(Debug)]
pub(super) struct Revisions {
    /// What the last run, or a revision that needed none, was for: reports outside of runs are about it.
    stand: Stand,
    /// What counts as applied, though the status may still have to say so.
    applied: Option<String>,
    /// The status moves on when its turn comes.
    in_line: bool,
    /// Its turn came while a correction was under way, which reports no revision.
    missed_turn: bool,
}

impl Revisions {
    /// As the status has them.
    pub(super) fn since(kustomization: &Kustomization, status: &KustomizationStatus) -> Self {
        Self {
            stand: Stand {
                generation: kustomization.metadata.generation.unwrap_or_default(),
                revision: status.last_attempted_revision.clone(),
            },
            applied: status.last_applied_revision.clone(),
            in_line: false,
            missed_turn: false,
        }
    }

    pub(super) fn stand(&self) -> &Stand {
        &self.stand
    }

    pub(super) fn applied(&self) -> Option<&str> {
        self.applied.as_deref()
    }

    /// A run begins. One that looks at everything reports a revision itself, so no turn is missed by it.
    pub(super) fn try_at(&mut self, stand: Stand, reports: bool) {
        self.stand = stand;
        if reports {
            self.missed_turn = false;
        }
    }

    /// A run applied a revision; gives whether that is another one.
    pub(super) fn applied_by_run(&mut self, revision: Option<String>) -> bool {
        let is_new = self.applied != revision;
        self.applied = revision;
        is_new
    }

    /// What was tried last counts as applied.
    pub(super) fn settle(&mut self) {
        self.applied.clone_from(&self.stand.revision);
    }

    /// A revision that needs no run counts as applied; gives the one before.
    fn move_on(&mut self, revision: String) -> Option<String> {
        self.stand.revision = Some(revision.clone());
        self.applied.replace(revision)
    }

    /// Whether the status does not say yet what counts as applied.
    fn is_unwritten(&self, status: &KustomizationStatus) -> bool {
        self.applied != status.last_applied_revision
    }

    /// Puts it in line; gives whether it was not there yet.
    fn line_up(&mut self) -> bool {
        !std::mem::replace(&mut self.in_line, true)
    }

    /// Its turn came, during a run or not.
    fn turn(&mut self, is_running: bool) {
        self.in_line = false;
        self.missed_turn = is_running;
    }
}

impl Member {
    /// Whether its status may say of the revision that counts as applied that it is.
    fn may_move_on(&self) -> bool {
        self.state.may_skip() && self.revisions.is_unwritten(&self.status)
    }
}

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
        member.state.skip_to(&revision, checkout.ignore());
        if member.revisions.applied() == Some(&revision) {
            return true;
        }
        let before = member.revisions.move_on(revision);
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
        if member.may_move_on() && member.revisions.line_up() {
            self.trickle.push_back(owner.clone());
        }
    }

    /// One whose turn came while a run was under way gets another.
    pub(super) fn return_to_line(&mut self, owner: &Arc<Owner>) {
        let member = self.members.get_mut(owner);
        if member.is_some_and(|member| std::mem::take(&mut member.revisions.missed_turn)) {
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
                member.revisions.turn(member.state.is_running());
            }
            // What happened since it was put in line has been reported, or will be.
            let member = self.members.get(&owner).map(AsRef::as_ref);
            let Some(member) = member.filter(|member: &&Member| member.may_move_on()) else {
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
