//! All Kustomizations: one task that owns their states, takes messages in and carries effects out.
//!
//! It waits for nothing but messages and timers; whatever asks the API server runs in a task of its own and
//! reports back.

mod dependencies;
mod health;
mod inputs;
mod member;
mod members;
mod revisions;
mod runs;
mod sights;
mod surroundings;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) use self::inputs::source_key;
use self::member::Member;
use super::context::Context;
use super::explain::Whys;
use super::job::Done;
use super::step::{Effect, Event};
use super::{skip, surroundings as around};
use crate::api::{Kustomization, KustomizationStatus, condition_types};
use crate::cluster::ObjectEvent;
use crate::plan::Owner;
use crate::report::{Failure, conditions_of};
use crate::source::Checkout;

/// Names a source: kind is always GitRepository.
pub(crate) type SourceKey = (String, String);

/// Something for the fleet to know.
pub(crate) enum Message {
    Kustomization(Box<Kustomization>),
    KustomizationGone(Owner),
    /// A source was looked at; what differs from what was told of it before.
    Source(SourceKey, SourceState, skip::Changes),
    SourceGone(SourceKey),
    /// There is such a source; it has not been looked at yet.
    SourceSeen(SourceKey),
    SourcesListed,
    Object(ObjectEvent),
    RunEnded(Arc<Owner>, u64, Box<Done>),
    Finalized(Arc<Owner>, u64, Result<(), Failure>),
    StatusWritten(Arc<Owner>, Arc<KustomizationStatus>),
    Explained(Arc<Owner>, u64, Whys),
    PodTrouble {
        namespace: String,
    },
    Config {
        kind: &'static str,
        namespace: String,
        name: String,
    },
    Explain(Arc<Owner>),
    /// Objects that no watch shows were looked at.
    Looked(Arc<Owner>),
    /// What admits objects changed.
    SurroundingsChanged(around::Changes),
    /// What the server serves changed.
    Discovered,
    /// A namespace is there.
    NamespaceAppeared(String),
    /// A namespace is no longer there.
    NamespaceGone(String),
    Trickled,
    /// All Kustomizations that there are have been seen.
    Listed,
}

/// What is known of a source.
#[derive(Clone)]
pub(crate) struct SourceState {
    pub(crate) checkout: Option<Checkout>,
    pub(crate) failure: Option<String>,
}

/// The fleet's state.
pub(crate) struct Fleet {
    cx: Arc<Context>,
    /// Boxed, so that the table is small and cheap to grow.
    members: HashMap<Arc<Owner>, Box<Member>>,
    sources: HashMap<SourceKey, SourceState>,
    timers: BTreeSet<(Timestamp, Arc<Owner>)>,
    /// Those that are being deleted and wait for what their heirs want.
    leaving: BTreeSet<Arc<Owner>>,
    runs: u64,
    /// Reports are written in the order in which they were decided.
    tickets: AtomicU64,
    running: usize,
    trickle: VecDeque<Arc<Owner>>,
    trickling: usize,
    listed: bool,
    sources_listed: bool,
    /// When each namespace was last seen to be there.
    namespaces: HashMap<String, Instant>,
    pods: super::pods::PodWatch,
}

impl Fleet {
    pub(crate) fn new(cx: Arc<Context>, stop: CancellationToken) -> Self {
        let pods = super::pods::PodWatch::new(cx.api.client().clone(), cx.messages.clone(), stop);
        Self {
            cx,
            members: HashMap::new(),
            sources: HashMap::new(),
            timers: BTreeSet::new(),
            leaving: BTreeSet::new(),
            runs: 0,
            tickets: AtomicU64::new(1),
            running: 0,
            trickle: VecDeque::new(),
            trickling: 0,
            listed: false,
            sources_listed: false,
            namespaces: HashMap::new(),
            pods,
        }
    }

    /// Takes messages in until `stop`, then waits for runs under way to come to their next write.
    pub(crate) async fn drive(mut self, mut messages: mpsc::Receiver<Message>, stop: CancellationToken) {
        loop {
            let next = self.timers.first().map(|(at, _)| *at);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                message = messages.recv() => match message {
                    Some(message) => {
                        self.take(message);
                        self.let_leave();
                    }
                    None => break,
                },
                () = self.cx.config.clock.until(next.unwrap_or_default()), if next.is_some() => self.fire(),
            }
        }
        for member in self.members.values() {
            member.cancel.cancel();
        }
        if self.running > 0 {
            tracing::info!(runs = self.running, "what is under way ends at its next write");
        }
        while self.running > 0 {
            match messages.recv().await {
                Some(Message::RunEnded(..) | Message::Finalized(..)) => self.running -= 1,
                Some(_) => {}
                None => break,
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Kustomization(object) => self.seen(*object),
            Message::KustomizationGone(owner) => self.forget(&owner),
            Message::Source(key, state, changes) => self.source(&key, &state, &changes),
            Message::SourceGone(key) => {
                self.sources.remove(&key);
                self.leave_namespace(&key.0);
                self.refresh_users(&key);
            }
            Message::Object(event) => self.object(&event),
            Message::RunEnded(owner, number, done) => self.run_ended(&owner, number, *done),
            Message::Finalized(owner, number, result) => self.finalized(&owner, number, result),
            Message::StatusWritten(owner, status) => self.status_written(&owner, status),
            Message::Explained(owner, number, whys) => self.explained(&owner, number, whys),
            Message::PodTrouble { namespace } => self.pod_trouble(&namespace),
            Message::Config {
                kind,
                namespace,
                name,
            } => self.config(kind, &namespace, &name),
            Message::Explain(owner) => self.explain_again(&owner),
            Message::Looked(owner) => self.looked(&owner),
            Message::SurroundingsChanged(changes) => self.surroundings_changed(&changes),
            Message::Discovered => self.discovered(),
            Message::NamespaceAppeared(name) => self.namespace_appeared(name),
            Message::NamespaceGone(name) => {
                self.namespaces.remove(&name);
            }
            Message::Trickled => {
                self.trickling -= 1;
                self.drain_trickle();
            }
            Message::SourceSeen(key) => {
                self.sources.entry(key).or_insert(SourceState {
                    checkout: None,
                    failure: None,
                });
            }
            Message::SourcesListed => {
                self.sources_listed = true;
                self.refresh_all();
            }
            Message::Listed => {
                self.listed = true;
                self.refresh_all();
            }
        }
    }

    fn refresh_all(&mut self) {
        for owner in self.by_urgency() {
            self.refresh(&owner);
        }
    }

    fn by_urgency(&self) -> Vec<Arc<Owner>> {
        self.most_urgent_first(self.members.keys().cloned().collect())
    }

    /// Those that are not Ready come first (rule 23).
    fn most_urgent_first(&self, mut owners: Vec<Arc<Owner>>) -> Vec<Arc<Owner>> {
        owners.sort_by_cached_key(|owner| {
            let ready = conditions_of(Some(&self.members[owner].status)).is_true(condition_types::READY);
            (ready, owner.clone())
        });
        owners
    }

    fn step(&mut self, owner: &Arc<Owner>, event: Event) {
        if !self.listed {
            return;
        }
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        let effects = member.state.step(event, self.cx.config.clock.now());
        for effect in effects {
            self.carry_out(owner, effect);
        }
        let wake = self
            .members
            .get(owner)
            .and_then(|member| member.state.next_wake());
        self.set_timer(owner, wake);
    }

    fn set_timer(&mut self, owner: &Arc<Owner>, at: Option<Timestamp>) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut member.wake, at) {
            self.timers.remove(&(old, owner.clone()));
        }
        if let Some(at) = at {
            self.timers.insert((at, owner.clone()));
        }
    }

    fn fire(&mut self) {
        let now = self.cx.config.clock.now();
        while let Some((at, owner)) = self.timers.first().cloned() {
            if at > now {
                return;
            }
            self.set_timer(&owner, None);
            // What became healthy without an event is not to time out.
            self.judge(&owner);
            self.step(&owner, Event::Tick);
        }
    }

    fn carry_out(&mut self, owner: &Arc<Owner>, effect: Effect) {
        match effect {
            Effect::Start(scope) => self.start(owner, scope),
            Effect::Cancel => {
                if let Some(member) = self.members.get(owner) {
                    member.cancel.cancel();
                }
            }
            Effect::Supersede => {
                if let Some(member) = self.members.get(owner) {
                    member.supersede.cancel();
                }
            }
            Effect::Judge => self.judge(owner),
            Effect::ReportUnhealthy(_) => self.report_unhealthy(owner),
            Effect::ReportReady => self.report_ready(owner),
            Effect::ReportBlocked(failure) => self.report_blocked(owner, failure),
            Effect::ReportSuspended => self.report_suspended(owner),
            Effect::Forget => self.forget(owner),
        }
    }
}
