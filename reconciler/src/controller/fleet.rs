//! All Kustomizations: one task that owns their states, takes messages in and carries effects out.
//!
//! It waits for nothing but messages and timers; whatever asks the API server runs in a task of its own and
//! reports back.

mod dependencies;
mod health;
mod revisions;
mod surroundings;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::{Kustomization, KustomizationStatus, PRUNE_CONFIRM, REQUESTED_AT, Reason, condition_types};
use crate::apply::Permit;
use crate::cluster::ObjectEvent;
use crate::plan::{Inventory, ObjectId, Owner};
use crate::report::{Failure, Outcome, Severity, conditions_of};
use crate::source::Checkout;

use super::contest::Contest;
use super::context::Context;
use super::explain::Whys;
use super::finalize::finalize;
use super::job::{Done, Job, Stand, annotation};
use super::memory::{Left, Memory};
use super::news::News;
use super::places::Place;
use super::registry::Entry;
use super::reports::report_outcome;
use super::run::run;
use super::statuses::StatusWriter;
use super::step::{Effect, Ended, Event, Inputs, Scope, State};
use super::surroundings::Changes;

/// Names a source: kind is always GitRepository.
pub(crate) type SourceKey = (String, String);

/// Something for the fleet to know.
pub(crate) enum Message {
    Kustomization(Box<Kustomization>),
    KustomizationGone(Owner),
    /// A source was looked at; what differs from what was told of it before.
    Source(SourceKey, SourceState, super::skip::Changes),
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
    SurroundingsChanged(Changes),
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

struct Member {
    /// Without its status, which is kept beside it.
    kustomization: Arc<Kustomization>,
    status: Arc<KustomizationStatus>,
    /// What the status lists.
    inventory: Arc<Inventory>,
    statuses: Arc<StatusWriter>,
    news: Arc<News>,
    state: State,
    memory: Option<Arc<Memory>>,
    cancel: CancellationToken,
    number: u64,
    started: Instant,
    /// What the last run, or a revision that needed none, was for: reports outside of runs are about it.
    stand: Stand,
    supersede: CancellationToken,
    whys: Whys,
    explaining: bool,
    explain_again: bool,
    /// A look at the causes is due already.
    explanation_due: bool,
    /// Objects that no watch shows are being looked at.
    looking: bool,
    /// Its revision moves on when its turn comes.
    in_trickle: bool,
    /// Its turn came while a correction was under way, which reports no revision.
    missed_turn: bool,
    waiting_reported: bool,
    contest: Contest,
    wake: Option<Timestamp>,
    /// Revision that counts as applied, though its status may still have to be written.
    applied: Option<String>,
}

/// The fleet's state.
pub(crate) struct Fleet {
    cx: Arc<Context>,
    /// Boxed, so that the table is small and cheap to grow.
    members: HashMap<Arc<Owner>, Box<Member>>,
    sources: HashMap<SourceKey, SourceState>,
    timers: BTreeSet<(Timestamp, Arc<Owner>)>,
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
                    Some(message) => self.take(message),
                    None => break,
                },
                () = self.cx.config.clock.until(next.unwrap_or_default()), if next.is_some() => self.fire(),
            }
        }
        for member in self.members.values() {
            member.cancel.cancel();
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

    fn seen(&mut self, mut object: Kustomization) {
        let owner = Arc::new(Owner {
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
        });
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        let status = object.status.take().unwrap_or_default();
        let kustomization = Arc::new(object);
        let same_uid = self
            .members
            .get(&owner)
            .is_some_and(|member| member.kustomization.metadata.uid == kustomization.metadata.uid);
        if !same_uid {
            self.forget(&owner);
            let uid = kustomization.metadata.uid.clone().unwrap_or_default();
            let news = Arc::new(News::since(&status));
            let status = Arc::new(status);
            let inventory = Arc::new(Inventory::from_status(status.inventory.as_ref()));
            let statuses = StatusWriter::new(owner.clone(), uid, status.clone(), inventory.clone(), version);
            let stand = Stand {
                generation: kustomization.metadata.generation.unwrap_or_default(),
                revision: status.last_attempted_revision.clone(),
            };
            self.members.insert(
                owner.clone(),
                Box::new(Member {
                    applied: status.last_applied_revision.clone(),
                    kustomization,
                    status,
                    inventory,
                    statuses: Arc::new(statuses),
                    news,
                    state: State::new(self.cx.config.clock.now()),
                    memory: None,
                    cancel: CancellationToken::new(),
                    number: 0,
                    started: Instant::now(),
                    stand,
                    supersede: CancellationToken::new(),
                    whys: Whys::new(),
                    explaining: false,
                    explain_again: false,
                    explanation_due: false,
                    looking: false,
                    in_trickle: false,
                    missed_turn: false,
                    waiting_reported: false,
                    contest: Contest::default(),
                    wake: None,
                }),
            );
        } else if let Some(member) = self.members.get_mut(&owner) {
            member.kustomization = kustomization;
            let statuses = member.statuses.clone();
            tokio::spawn(async move { statuses.saw(&version).await });
        }
        self.publish(&owner);
        self.register(&owner);
        self.refresh(&owner);
        self.refresh_dependents(&owner);
    }

    /// The newest revision of its source.
    fn checkout(&self, kustomization: &Kustomization) -> Option<&Checkout> {
        self.sources.get(&source_key(kustomization))?.checkout.as_ref()
    }

    /// Lets runs of others know of it.
    fn register(&self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let checkout = self.checkout(&member.kustomization).cloned();
        let claims = self.cx.registry.get(owner).and_then(|entry| entry.claims);
        self.cx.registry.put(
            owner,
            Entry {
                kustomization: member.kustomization.clone(),
                checkout,
                inventory: member.inventory.clone(),
                claims,
            },
        );
    }

    fn forget(&mut self, owner: &Owner) {
        let owner = Arc::new(owner.clone());
        if let Some(member) = self.members.remove(&owner) {
            member.cancel.cancel();
            if let Some(at) = member.wake {
                self.timers.remove(&(at, owner.clone()));
            }
        }
        self.cx.registry.remove(&owner);
        self.cx.watches.release_objects(&owner, &HashSet::new());
        self.leave_namespace(&owner.namespace);
        super::build::forget_secrets(&self.cx, &owner);
        self.cx.metrics.forget(&super::metrics::key(
            "Kustomization",
            &owner.namespace,
            &owner.name,
        ));
        self.refresh_dependents(&owner);
    }

    /// Nothing is read any more where neither a Kustomization nor a source is.
    fn leave_namespace(&self, namespace: &str) {
        let is_used = self.members.keys().any(|owner| owner.namespace == namespace)
            || self.sources.keys().any(|(source, _)| source == namespace);
        if !is_used {
            self.cx.configs.forget(namespace);
        }
    }

    fn object(&mut self, event: &ObjectEvent) {
        let Some(member) = self.members.get(&event.owner) else {
            return;
        };
        // What a run under way has written is not known here yet: it is compared when the run has ended.
        if let Some(memory) = &member.memory
            && !member.state.is_running()
        {
            let left = memory.objects.get(&event.id);
            if let Some(news) = left.and_then(|left| self.news_of(&event.id, left)) {
                self.step(&event.owner, news);
            } else if event.gone && memory.promised.contains(&event.id) {
                self.step(&event.owner, Event::HandedOver);
            }
        }
        self.judge(&event.owner);
    }

    /// What an object's present state means, compared with how the last run left it.
    fn news_of(&self, id: &ObjectId, left: &Left) -> Option<Event> {
        let seen = self.cx.index.get(id);
        if left.is_touched(seen.as_ref()) {
            return Some(Event::Touched(id.clone()));
        }
        let check_at = || {
            let at = self.cx.config.clock.now().checked_add(self.cx.config.debounce);
            at.unwrap_or(Timestamp::MAX)
        };
        left.has_moved(seen.as_ref())
            .then(|| Event::Moved(id.clone(), check_at()))
    }

    fn config(&mut self, kind: &'static str, namespace: &str, name: &str) {
        let readers: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| super::build::reads(&member.kustomization, kind, namespace, name))
            .map(|(owner, _)| owner.clone())
            .collect();
        for owner in readers {
            self.step(&owner, Event::ConfigChanged);
        }
    }

    fn refresh(&mut self, owner: &Arc<Owner>) {
        if !self.listed || self.awaits_source(owner) {
            return;
        }
        if let Some(inputs) = self.inputs(owner) {
            self.step(owner, Event::Inputs(Box::new(inputs)));
        }
    }

    fn inputs(&self, owner: &Arc<Owner>) -> Option<Inputs> {
        let member = self.members.get(owner)?;
        let kustomization = &member.kustomization;
        let spec = &kustomization.spec;
        let interval = spec.interval.0;
        let requested = annotation(kustomization, REQUESTED_AT)
            .filter(|token| member.status.last_handled_reconcile_at.as_deref() != Some(token));
        let checkout = self.checkout(kustomization);
        Some(Inputs {
            generation: kustomization.metadata.generation.unwrap_or_default(),
            suspended: spec.suspend,
            deleting: kustomization.metadata.deletion_timestamp.is_some(),
            requested: requested.map(ToOwned::to_owned),
            confirmed: annotation(kustomization, PRUNE_CONFIRM).map(ToOwned::to_owned),
            blocked: self.block(owner, kustomization),
            revision: checkout.map(|checkout| checkout.revision().to_string()),
            interval,
            retry_interval: spec.retry_interval.map_or(interval, |retry| retry.0),
            timeout: timeout(kustomization),
            phase: phase(kustomization.metadata.uid.as_deref().unwrap_or_default()),
        })
    }

    /// Whether its source has not been looked at since this process leads: nothing can be said of it yet.
    fn awaits_source(&self, owner: &Arc<Owner>) -> bool {
        let Some(member) = self.members.get(owner) else {
            return true;
        };
        if member.kustomization.metadata.deletion_timestamp.is_some() {
            return false;
        }
        match self.sources.get(&source_key(&member.kustomization)) {
            None => !self.sources_listed,
            Some(source) => source.checkout.is_none() && source.failure.is_none(),
        }
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
            Effect::Forget => self.forget(owner),
        }
    }

    /// A job about what a run would be for now.
    fn job_now(&self, owner: &Arc<Owner>, member: &Member, scope: Scope) -> Job {
        let checkout = self.checkout(&member.kustomization);
        let stand = Stand {
            generation: member.kustomization.metadata.generation.unwrap_or_default(),
            revision: checkout.map(|checkout| checkout.revision().to_string()),
        };
        Job {
            stand,
            ..self.job(owner, member, scope)
        }
    }

    /// A job about what the last run was for.
    fn job(&self, owner: &Arc<Owner>, member: &Member, scope: Scope) -> Job {
        let checkout = self.checkout(&member.kustomization).cloned();
        let timeout = timeout(&member.kustomization);
        Job {
            owner: owner.clone(),
            kustomization: member.kustomization.clone(),
            stand: member.stand.clone(),
            checkout,
            memory: member.memory.clone(),
            scope,
            statuses: member.statuses.clone(),
            news: member.news.clone(),
            permit: Permit::new(self.cx.leadership.clone(), member.cancel.clone(), timeout),
            number: member.number,
            ticket: self.tickets.fetch_add(1, Ordering::Relaxed),
            timeout,
            contested: member.contest.contested(self.cx.config.clock.now()),
        }
    }

    fn start(&mut self, owner: &Arc<Owner>, scope: Scope) {
        self.runs += 1;
        let number = self.runs;
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        member.cancel = CancellationToken::new();
        member.supersede = CancellationToken::new();
        member.number = number;
        member.started = Instant::now();
        member.waiting_reported = false;
        if !matches!(scope, Scope::Drift(_)) {
            member.whys.clear();
            member.missed_turn = false;
        }
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let finalizing = scope == Scope::Finalize;
        let mut job = self.job_now(owner, member, scope);
        let (cancel, supersede) = (member.cancel.clone(), member.supersede.clone());
        if let Some(member) = self.members.get_mut(owner) {
            member.stand.clone_from(&job.stand);
        }
        let cx = self.cx.clone();
        self.running += 1;
        // Asked for here, so that runs begin in the order in which they were decided on.
        let mut place = Box::pin(cx.places.enter());
        let at_once = place.as_mut().now_or_never();
        tokio::spawn(async move {
            let place = match at_once {
                Some(place) => place,
                None => place.await,
            };
            // The time of a run begins now that it has its place; what it holds is made now too, since many wait.
            job.permit = Permit::new(cx.leadership.clone(), cancel, job.timeout).superseded_by(supersede);
            let message = if finalizing {
                let ended = Box::pin(finalize_to_the_end(&cx, &job, &place)).await;
                Message::Finalized(job.owner.clone(), number, ended)
            } else {
                let done = Box::pin(run_to_the_end(&cx, &job, &place)).await;
                Message::RunEnded(job.owner.clone(), number, Box::new(done))
            };
            drop(place);
            // The fleet waits for runs under way before it ends, so it is there to be told.
            let _ = cx.messages.send(message).await;
        });
    }

    fn run_ended(&mut self, owner: &Arc<Owner>, number: u64, done: Done) {
        self.running -= 1;
        let Some(member) = self
            .members
            .get_mut(owner)
            .filter(|member| member.number == number)
        else {
            self.drain_trickle();
            return;
        };
        member.memory = done.memory;
        let now = self.cx.config.clock.now();
        for correction in &done.corrections {
            if let Some(contested) = member.contest.corrected(correction, now) {
                let job_owner =
                    super::events::subject_of(owner, member.kustomization.metadata.uid.as_deref());
                self.cx.recorder.send(
                    job_owner,
                    crate::report::Event {
                        severity: Severity::Error,
                        reason: Reason::ReconciliationFailed,
                        revision: done.revision.clone(),
                        message: contested,
                    },
                );
            }
        }
        member.started = done.began;
        let took = done.began.elapsed();
        member.state.began(now.checked_sub(took).unwrap_or(now));
        let before = member.applied.clone();
        let ended = match done.result {
            Ok(applied) => {
                if !applied.wait {
                    member.applied = done.revision;
                    tracing::debug!(kustomization = %owner, ?took, "applied");
                }
                Ended::Applied {
                    wait: applied.wait,
                    recheck: applied.recheck,
                }
            }
            Err(Failure::Canceled(_)) => Ended::Canceled,
            Err(failure) => Ended::Failed(failure),
        };
        let moved = member.applied != before;
        self.cx.metrics.observe_reconcile(
            &super::metrics::key("Kustomization", &owner.namespace, &owner.name),
            took,
        );
        self.watch_inputs(owner);
        self.step(owner, Event::Finished(ended));
        self.retry_if_there(owner);
        self.catch_up(owner);
        if moved {
            self.refresh_dependents(owner);
        }
        self.return_to_line(owner);
        self.drain_trickle();
    }

    /// Events that came while the run wrote were not compared with anything; what is known now is.
    fn catch_up(&mut self, owner: &Arc<Owner>) {
        let Some(memory) = self.members.get(owner).and_then(|member| member.memory.clone()) else {
            return;
        };
        let news: Vec<Event> = memory
            .objects
            .iter()
            .filter_map(|(id, left)| self.news_of(id, left))
            .collect();
        for event in news {
            self.step(owner, event);
        }
        let is_elsewhere = |id: &ObjectId| {
            let seen = self.cx.index.get(id);
            seen.is_some_and(|seen| seen.owner.as_ref() != Some(owner))
        };
        if memory.promised.iter().any(is_elsewhere) {
            self.step(owner, Event::HandedOver);
        }
    }

    fn watch_inputs(&self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let Some(memory) = &member.memory else { return };
        let elsewhere = memory.targets.iter().filter(|target| target.expected.is_none());
        let elsewhere: HashSet<ObjectId> = elsewhere.map(|target| target.object.clone()).collect();
        self.cx.watches.release_objects(owner, &elsewhere);
        for object in &elsewhere {
            super::elsewhere::watch(&self.cx, owner, object);
        }
    }

    fn finalized(&mut self, owner: &Arc<Owner>, number: u64, result: Result<(), Failure>) {
        self.running -= 1;
        if self
            .members
            .get(owner)
            .is_some_and(|member| member.number == number)
        {
            let ended = match result {
                Ok(()) => Ended::Finalized,
                Err(failure) => Ended::Failed(failure),
            };
            self.step(owner, Event::Finished(ended));
        }
        self.drain_trickle();
    }

    fn status_written(&mut self, owner: &Arc<Owner>, status: Arc<KustomizationStatus>) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        if member.status.inventory != status.inventory {
            member.inventory = Arc::new(Inventory::from_status(status.inventory.as_ref()));
        }
        member.status = status;
        self.publish(owner);
        self.register(owner);
        self.refresh_dependents(owner);
    }

    fn publish(&self, owner: &Arc<Owner>) {
        if let Some(member) = self.members.get(owner) {
            super::metrics::publish(&self.cx.metrics, owner, &member.kustomization, &member.status);
        }
    }

    fn report_blocked(&self, owner: &Arc<Owner>, failure: Failure) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let job = self.job_now(owner, member, Scope::Changes);
        let cx = self.cx.clone();
        tokio::spawn(async move {
            report_outcome(&cx, &job, Outcome::Failed(failure), None).await;
        });
    }
}

/// A panic in a run ends that run, and nothing else.
async fn run_to_the_end(cx: &Arc<Context>, job: &Job, place: &Place) -> Done {
    let began = Instant::now();
    match AssertUnwindSafe(run(cx, job, place)).catch_unwind().await {
        Ok(done) => done,
        Err(_) => {
            let failure = broken();
            report_outcome(cx, job, Outcome::Failed(failure.clone()), None).await;
            Done {
                result: Err(failure),
                memory: None,
                revision: job.revision(),
                corrections: Vec::new(),
                began,
            }
        }
    }
}

async fn finalize_to_the_end(cx: &Arc<Context>, job: &Job, place: &Place) -> Result<(), Failure> {
    let finalizing = AssertUnwindSafe(finalize(cx, job, place)).catch_unwind();
    let result = finalizing.await.unwrap_or_else(|_| Err(broken()));
    if let Err(failure) = &result
        && !matches!(failure, Failure::Canceled(_))
    {
        let failure = failure.masked(&cx.redactor);
        report_outcome(cx, job, Outcome::Failed(failure), None).await;
    }
    result
}

fn broken() -> Failure {
    Failure::Apply("the run broke off by a defect of Coracle; its log has the place".to_owned())
}

/// The source of a Kustomization.
pub(crate) fn source_key(kustomization: &Kustomization) -> SourceKey {
    let reference = &kustomization.spec.source_ref;
    let namespace = reference
        .namespace
        .clone()
        .or_else(|| kustomization.metadata.namespace.clone());
    (namespace.unwrap_or_default(), reference.name.clone())
}

/// `spec.timeout`, or the interval less 30 s, at least 30 s (Flux's `GetTimeout`).
pub(crate) fn timeout(kustomization: &Kustomization) -> Duration {
    let spec = &kustomization.spec;
    let default = || {
        spec.interval
            .0
            .saturating_sub(Duration::from_secs(30))
            .max(Duration::from_secs(30))
    };
    spec.timeout.map_or_else(default, |timeout| timeout.0)
}

/// Thousandths of the interval, the same for an object on every start (rule 23).
fn phase(uid: &str) -> u16 {
    let sum = uid.bytes().fold(0_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    (sum % 1000) as u16
}
