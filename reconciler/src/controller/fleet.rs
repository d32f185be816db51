//! All Kustomizations: one task that owns their states, takes messages in and carries effects out.
//!
//! It waits for nothing but messages and timers; whatever asks the API server runs in a task of its own and
//! reports back.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::{Kustomization, KustomizationStatus, PRUNE_CONFIRM, REQUESTED_AT, Reason, condition_types};
use crate::apply::Permit;
use crate::assess::targets::ObjectRef;
use crate::assess::verdict::{Seen as Sight, Verdict, judge};
use crate::cluster::{Index, ObjectEvent, Seen};
use crate::plan::{Inventory, ObjectId, Owner};
use crate::report::{Failure, Outcome, Progress, Severity, StatusPatch, conditions_of};
use crate::source::Checkout;

use super::contest::Contest;
use super::context::Context;
use super::events::Recorder;
use super::explain::{Whys, explain};
use super::finalize::finalize;
use super::memory::Memory;
use super::registry::{Claims, Entry};
use super::run::{Done, Job, annotation, masked, report, run};
use super::served::unserved;
use super::skip::Changes;
use super::statuses::StatusWriter;
use super::step::{Effect, Ended, Event, Health, Inputs, Scope, State};

/// Changed paths that are compared with what was read; beyond it everything counts as touched.
const CHANGED_PATHS: usize = 20_000;
/// Statuses that are written at once when a commit moves the revision of those it does not touch.
const TRICKLE: usize = 4;

/// Names a source: kind is always GitRepository.
pub(crate) type SourceKey = (String, String);

/// Something for the fleet to know.
pub(crate) enum Message {
    Kustomization(Box<Kustomization>),
    KustomizationGone(Owner),
    Source(SourceKey, SourceState),
    SourceGone(SourceKey),
    /// There is such a source; it has not been looked at yet.
    SourceSeen(SourceKey),
    SourcesListed,
    Object(ObjectEvent),
    RunEnded(Arc<Owner>, u64, Box<Done>),
    Finalized(Arc<Owner>, u64, Result<(), Failure>),
    StatusWritten(Arc<Owner>, Box<KustomizationStatus>),
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
    kustomization: Arc<Kustomization>,
    status: KustomizationStatus,
    statuses: Arc<StatusWriter>,
    state: State,
    memory: Option<Arc<Memory>>,
    cancel: CancellationToken,
    number: u64,
    started: Instant,
    whys: Whys,
    explaining: bool,
    explain_again: bool,
    waiting_reported: bool,
    contest: Contest,
    wake: Option<Timestamp>,
    /// Revision that counts as applied, though its status may still have to be written.
    applied: Option<String>,
}

/// The fleet's state.
pub(crate) struct Fleet {
    cx: Arc<Context>,
    recorder: Recorder,
    members: HashMap<Arc<Owner>, Member>,
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
    pods: super::pods::PodWatch,
}

impl Fleet {
    pub(crate) fn new(cx: Arc<Context>, recorder: Recorder, stop: CancellationToken) -> Self {
        let pods = super::pods::PodWatch::new(cx.api.client().clone(), cx.messages.clone(), stop);
        Self {
            cx,
            recorder,
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
                () = sleep_until(next), if next.is_some() => self.fire(),
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
            Message::Source(key, state) => self.source(&key, &state),
            Message::SourceGone(key) => {
                self.sources.remove(&key);
                self.refresh_users(&key);
            }
            Message::Object(event) => self.object(&event),
            Message::RunEnded(owner, number, done) => self.run_ended(&owner, number, *done),
            Message::Finalized(owner, number, result) => self.finalized(&owner, number, result),
            Message::StatusWritten(owner, status) => self.status_written(&owner, *status),
            Message::Explained(owner, number, whys) => self.explained(&owner, number, whys),
            Message::PodTrouble { namespace } => self.pod_trouble(&namespace),
            Message::Config {
                kind,
                namespace,
                name,
            } => self.config(kind, &namespace, &name),
            Message::Explain(owner) => {
                if self
                    .members
                    .get(&owner)
                    .is_some_and(|member| member.state.is_waiting())
                {
                    self.start_explaining(&owner);
                }
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

    fn seen(&mut self, object: Kustomization) {
        let owner = Arc::new(Owner {
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
        });
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        let kustomization = Arc::new(object);
        let same_uid = self
            .members
            .get(&owner)
            .is_some_and(|member| member.kustomization.metadata.uid == kustomization.metadata.uid);
        if !same_uid {
            let status = kustomization.status.clone().unwrap_or_default();
            self.forget(&owner);
            let statuses = Arc::new(StatusWriter::new(owner.clone(), status.clone(), version));
            self.members.insert(
                owner.clone(),
                Member {
                    applied: status.last_applied_revision.clone(),
                    kustomization,
                    status,
                    statuses,
                    state: State::new(Timestamp::now()),
                    memory: None,
                    cancel: CancellationToken::new(),
                    number: 0,
                    started: Instant::now(),
                    whys: Whys::new(),
                    explaining: false,
                    explain_again: false,
                    waiting_reported: false,
                    contest: Contest::default(),
                    wake: None,
                },
            );
        } else if let Some(member) = self.members.get_mut(&owner) {
            member.kustomization = kustomization;
            let statuses = member.statuses.clone();
            tokio::spawn(async move { statuses.saw(&version).await });
        }
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
        let inventory = Arc::new(Inventory::from_status(member.status.inventory.as_ref()));
        self.cx.registry.put(
            owner,
            Entry {
                kustomization: member.kustomization.clone(),
                checkout,
                inventory,
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
        super::build::forget_secrets(&self.cx, &owner);
        self.cx.metrics.forget(&super::metrics::key(
            "Kustomization",
            &owner.namespace,
            &owner.name,
        ));
        self.refresh_dependents(&owner);
    }

    fn source(&mut self, key: &SourceKey, state: &SourceState) {
        let before = self.sources.insert(key.clone(), state.clone());
        let changes = match (before.and_then(|before| before.checkout), &state.checkout) {
            (Some(old), Some(new)) if old.commit() != new.commit() || old.ignore() != new.ignore() => {
                compare(&old, new)
            }
            (Some(_), Some(_)) => Some(Changes::default()),
            _ => None,
        };
        let mut touched = Vec::new();
        for owner in self.users(key) {
            self.register(&owner);
            let (Some(changes), Some(checkout)) = (&changes, &state.checkout) else {
                touched.push(owner);
                continue;
            };
            if !self.skip(&owner, changes, checkout) {
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
        if !member.state.may_skip() || changes.touch(&memory.read_set) {
            return false;
        }
        let revision = checkout.revision().to_string();
        if member.applied.as_deref() == Some(&revision) {
            return true;
        }
        member.state.skip_to(&revision);
        let before = member.applied.replace(revision);
        self.cx.registry.update(owner, |entry| {
            let key = entry.key();
            let of_before = |claims: &&mut Claims| Some(&claims.key.revision) == before.as_ref();
            if let Some(claims) = entry.claims.as_mut().filter(of_before) {
                claims.key = key;
            }
        });
        self.trickle.push_back(owner.clone());
        true
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

    fn drain_trickle(&mut self) {
        while self.running == 0 && self.trickling < TRICKLE {
            let Some(owner) = self.trickle.pop_front() else {
                return;
            };
            // What happened since it was put in line has been reported, or will be.
            let still_so = |member: &&Member| {
                member.state.may_skip() && member.applied != member.status.last_applied_revision
            };
            let Some(member) = self.members.get(&owner).filter(still_so) else {
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
                write_outcome(&cx, &job, &outcome).await;
                let _ = cx.messages.send(Message::Trickled).await;
            });
        }
    }

    fn users(&self, key: &SourceKey) -> Vec<Arc<Owner>> {
        let users = self
            .members
            .iter()
            .filter(|(_, member)| source_key(&member.kustomization) == *key);
        self.most_urgent_first(users.map(|(owner, _)| owner.clone()).collect())
    }

    fn refresh_users(&mut self, key: &SourceKey) {
        for owner in self.users(key) {
            self.register(&owner);
            self.refresh(&owner);
        }
    }

    fn refresh_dependents(&mut self, owner: &Owner) {
        let dependents: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| dependencies(&member.kustomization).any(|dependency| dependency == *owner))
            .map(|(dependent, _)| dependent.clone())
            .collect();
        for dependent in dependents {
            self.refresh(&dependent);
        }
    }

    fn object(&mut self, event: &ObjectEvent) {
        let Some(member) = self.members.get(&event.owner) else {
            return;
        };
        if let Some(memory) = &member.memory {
            let seen = self.cx.index.get(&event.id);
            let touched = memory
                .objects
                .get(&event.id)
                .is_some_and(|left| left.is_touched(seen.as_ref()));
            // What a run under way has written is not known here yet: it is compared when the run has ended.
            if touched && !member.state.is_running() {
                self.step(&event.owner, Event::Touched(event.id.clone()));
            }
        }
        self.judge(&event.owner);
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

    /// What keeps it from running.
    fn block(&self, owner: &Arc<Owner>, kustomization: &Kustomization) -> Option<Failure> {
        let spec = &kustomization.spec;
        if let Some(why) = unserved(owner, spec) {
            return Some(Failure::InvalidSpec(why));
        }
        let key = source_key(kustomization);
        let reference = format!("{:?}/{}/{}", spec.source_ref.kind, key.0, key.1);
        if self.cx.config.no_cross_namespace_refs && key.0 != owner.namespace {
            return Some(Failure::AccessDenied(format!(
                "can't access '{reference}', cross-namespace references have been blocked"
            )));
        }
        match self.sources.get(&key) {
            None => return Some(Failure::Source(format!("Source '{reference}' not found"))),
            Some(SourceState {
                checkout: None,
                failure,
            }) => {
                let why = failure
                    .as_deref()
                    .map(|why| format!(": {why}"))
                    .unwrap_or_default();
                return Some(Failure::Source(format!(
                    "Source '{reference}' has no artifact yet{why}"
                )));
            }
            Some(_) => {}
        }
        self.unmet_dependency(owner, kustomization)
            .map(Failure::Dependency)
    }

    fn unmet_dependency(&self, owner: &Arc<Owner>, kustomization: &Kustomization) -> Option<String> {
        if let Some(cycle) = self.cycle(owner) {
            return Some(format!(
                "dependency cycle: {cycle}; remove one of these from spec.dependsOn"
            ));
        }
        for dependency in dependencies(kustomization) {
            if self.cx.config.no_cross_namespace_refs && dependency.namespace != owner.namespace {
                return Some(format!(
                    "dependency '{dependency}' is in another namespace, and cross-namespace references have been blocked"
                ));
            }
            let Some(member) = self.members.get(&dependency) else {
                return Some(format!("dependency '{dependency}' not found"));
            };
            let object = &member.kustomization;
            let ready = conditions_of(Some(&member.status)).is_true(condition_types::READY)
                && member.status.observed_generation == object.metadata.generation;
            let same_source = source_key(object) == source_key(kustomization);
            let revision = self
                .checkout(kustomization)
                .map(|checkout| checkout.revision().to_string());
            if !ready || (same_source && member.applied != revision) {
                return Some(format!("dependency '{dependency}' is not ready"));
            }
        }
        None
    }

    /// A path of dependencies that leads back to where it began.
    fn cycle(&self, owner: &Arc<Owner>) -> Option<String> {
        let mut path: Vec<Owner> = vec![(**owner).clone()];
        let mut seen = BTreeSet::new();
        self.find_cycle(owner, &mut path, &mut seen).then(|| {
            path.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" -> ")
        })
    }

    fn find_cycle(&self, start: &Owner, path: &mut Vec<Owner>, seen: &mut BTreeSet<Owner>) -> bool {
        let Some(member) = path.last().and_then(|last| self.members.get(last)) else {
            return false;
        };
        for dependency in dependencies(&member.kustomization) {
            if dependency == *start {
                path.push(dependency);
                return true;
            }
            if seen.insert(dependency.clone()) {
                path.push(dependency);
                if self.find_cycle(start, path, seen) {
                    return true;
                }
                path.pop();
            }
        }
        false
    }

    fn step(&mut self, owner: &Arc<Owner>, event: Event) {
        if !self.listed {
            return;
        }
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        let effects = member.state.step(event, Timestamp::now());
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
        let now = Timestamp::now();
        while let Some((at, owner)) = self.timers.first().cloned() {
            if at > now {
                return;
            }
            self.set_timer(&owner, None);
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
            Effect::Judge => self.judge(owner),
            Effect::ReportUnhealthy(_) => self.report_unhealthy(owner),
            Effect::ReportReady => self.report_ready(owner),
            Effect::ReportBlocked(failure) => self.report_blocked(owner, failure),
            Effect::Forget => self.forget(owner),
        }
    }

    fn job(&self, owner: &Arc<Owner>, member: &Member, scope: Scope) -> Job {
        let checkout = self.checkout(&member.kustomization).cloned();
        let timeout = timeout(&member.kustomization);
        Job {
            owner: owner.clone(),
            kustomization: member.kustomization.clone(),
            checkout,
            memory: member.memory.clone(),
            scope,
            statuses: member.statuses.clone(),
            permit: Permit::new(self.cx.leadership.clone(), member.cancel.clone(), timeout),
            number: member.number,
            ticket: self.tickets.fetch_add(1, Ordering::Relaxed),
            timeout,
            contested: member.contest.contested(Timestamp::now()),
        }
    }

    fn start(&mut self, owner: &Arc<Owner>, scope: Scope) {
        self.runs += 1;
        let number = self.runs;
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        member.cancel = CancellationToken::new();
        member.number = number;
        member.started = Instant::now();
        member.waiting_reported = false;
        if !matches!(scope, Scope::Drift(_)) {
            member.whys.clear();
        }
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let finalizing = scope == Scope::Finalize;
        let job = self.job(owner, member, scope);
        let (cx, recorder) = (self.cx.clone(), self.recorder.clone());
        self.running += 1;
        // Asked for here, so that runs begin in the order in which they were decided on.
        let mut place = Box::pin(cx.runs.clone().acquire_owned());
        let at_once = place.as_mut().now_or_never();
        tokio::spawn(async move {
            let _place = match at_once {
                Some(place) => place,
                None => place.await,
            };
            let owner = job.owner.clone();
            // The fleet waits for runs under way before it ends, so it is there to be told.
            if finalizing {
                let result = finalize(&cx, &job).await;
                if let Err(failure) = &result
                    && !matches!(failure, Failure::Canceled(_))
                {
                    let failure = masked(&cx, failure);
                    write_outcome(&cx, &job, &Outcome::Failed(failure.clone())).await;
                    recorder.failed(&job, &failure);
                }
                let _ = cx.messages.send(Message::Finalized(owner, number, result)).await;
            } else {
                let done = run(&cx, &recorder, &job).await;
                let _ = cx
                    .messages
                    .send(Message::RunEnded(owner, number, Box::new(done)))
                    .await;
            }
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
        let now = Timestamp::now();
        for correction in &done.corrections {
            if let Some(contested) = member.contest.corrected(correction, now) {
                let job_owner =
                    super::events::subject_of(owner, member.kustomization.metadata.uid.as_deref());
                self.recorder.send(
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
        let took = member.started.elapsed();
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
        self.cx.metrics.observe_reconcile(
            &super::metrics::key("Kustomization", &owner.namespace, &owner.name),
            took,
        );
        self.watch_inputs(owner);
        self.step(owner, Event::Finished(ended));
        self.catch_up(owner);
        self.drain_trickle();
    }

    /// Events that came while the run wrote were not compared with anything; what is known now is.
    fn catch_up(&mut self, owner: &Arc<Owner>) {
        let Some(memory) = self.members.get(owner).and_then(|member| member.memory.clone()) else {
            return;
        };
        let touched: Vec<ObjectId> = memory
            .objects
            .iter()
            .filter(|(id, left)| left.is_touched(self.cx.index.get(id).as_ref()))
            .map(|(id, _)| id.clone())
            .collect();
        for id in touched {
            self.step(owner, Event::Touched(id));
        }
    }

    fn watch_inputs(&self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let Some(memory) = &member.memory else { return };
        for target in memory.targets.iter().filter(|target| target.expected.is_none()) {
            super::elsewhere::watch(&self.cx, owner, &target.object);
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

    fn status_written(&mut self, owner: &Arc<Owner>, status: KustomizationStatus) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        member.applied.clone_from(&status.last_applied_revision);
        member.status = status;
        self.register(owner);
        super::metrics::publish(
            &self.cx.metrics,
            owner,
            &self.members[owner].kustomization,
            &self.members[owner].status,
        );
        self.refresh_dependents(owner);
    }

    /// Judges what was applied, from what watches have shown.
    fn judge(&mut self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        if member.state.is_running() {
            return;
        }
        let Some(memory) = member.memory.clone().filter(|memory| !memory.targets.is_empty()) else {
            return;
        };
        let verdict = self.verdict(member, &memory);
        let health = match &verdict {
            Verdict::Healthy => Health::Healthy,
            Verdict::Waiting { .. } => Health::InProgress,
            Verdict::Failed { .. } => Health::Failed(verdict.failure().unwrap_or_default()),
        };
        let in_progress = health == Health::InProgress;
        self.step(owner, Event::Judged(health));
        if in_progress {
            self.report_waiting(owner);
        }
    }

    fn verdict(&self, member: &Member, memory: &Memory) -> Verdict {
        verdict(&self.cx.index, memory, &member.whys)
    }

    /// Says that health is waited for, once a run; and looks at pods while somebody waits.
    fn report_waiting(&mut self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        if !member.state.is_waiting() || member.waiting_reported {
            return;
        }
        member.waiting_reported = true;
        let member = &self.members[owner];
        let job = self.job(owner, member, Scope::Changes);
        let cx = self.cx.clone();
        tokio::spawn(async move {
            write_outcome(&cx, &job, &Outcome::Progressing(Progress::Waiting)).await;
        });
        self.watch_pods();
    }

    fn watch_pods(&mut self) {
        let waits = self.members.values().any(|member| member.state.is_waiting());
        self.pods.keep(waits);
    }

    fn pod_trouble(&mut self, namespace: &str) {
        let waiting: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| {
                member.state.is_waiting()
                    && member.memory.as_ref().is_some_and(|memory| {
                        memory
                            .targets
                            .iter()
                            .any(|target| &*target.object.namespace == namespace)
                    })
            })
            .map(|(owner, _)| owner.clone())
            .collect();
        for owner in waiting {
            self.start_explaining(&owner);
        }
    }

    fn start_explaining(&mut self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        if member.explaining {
            member.explain_again = true;
            return;
        }
        let Some(memory) = member.memory.clone() else {
            return;
        };
        member.explaining = true;
        let member = &self.members[owner];
        let objects = unhealthy(&self.verdict(member, &memory));
        let job = self.job(owner, member, Scope::Changes);
        let cx = self.cx.clone();
        tokio::spawn(async move {
            let whys = explain(&cx, &job.api(&cx), objects).await;
            let _ = cx
                .messages
                .send(Message::Explained(job.owner.clone(), job.number, whys))
                .await;
        });
    }

    fn explained(&mut self, owner: &Arc<Owner>, number: u64, whys: Whys) {
        let grace = self.cx.config.failure_grace;
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        member.explaining = false;
        let again = std::mem::take(&mut member.explain_again);
        if member.number != number {
            return;
        }
        let unsure = !whys.is_empty();
        member.whys = whys;
        self.judge(owner);
        let still_waits = self
            .members
            .get(owner)
            .is_some_and(|member| member.state.is_waiting());
        if !still_waits {
            return;
        }
        if again {
            self.start_explaining(owner);
        } else if unsure {
            // Trouble that may pass is looked at again when its time of grace is over.
            let (cx, owner) = (self.cx.clone(), owner.clone());
            tokio::spawn(async move {
                tokio::time::sleep(grace.max(Duration::from_millis(200))).await;
                let _ = cx.messages.send(Message::Explain(owner)).await;
            });
        }
    }

    fn report_unhealthy(&mut self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let Some(memory) = member.memory.clone() else {
            return;
        };
        let objects = unhealthy(&self.verdict(member, &memory));
        let known = member.whys.clone();
        let job = self.job(owner, member, Scope::Changes);
        let (cx, recorder) = (self.cx.clone(), self.recorder.clone());
        self.watch_pods();
        tokio::spawn(async move {
            let mut whys = explain(&cx, &job.api(&cx), objects).await;
            for (object, known) in known {
                whys.entry(object).or_insert(known);
            }
            let verdict = verdict(&cx.index, &memory, &whys);
            let Some(text) = verdict.failure() else { return };
            let failure = masked(&cx, &Failure::Health(text));
            write_outcome(&cx, &job, &Outcome::Failed(failure.clone())).await;
            recorder.failed(&job, &failure);
        });
    }

    fn report_ready(&mut self, owner: &Arc<Owner>) {
        let Some(member) = self.members.get_mut(owner) else {
            return;
        };
        member.whys.clear();
        let was_ready = conditions_of(Some(&member.status)).is_true(condition_types::HEALTHY);
        let member = &self.members[owner];
        let job = self.job(owner, member, Scope::Changes);
        let (cx, recorder, took) = (self.cx.clone(), self.recorder.clone(), member.started.elapsed());
        self.watch_pods();
        tokio::spawn(async move {
            write_outcome(&cx, &job, &Outcome::Succeeded { health_checked: true }).await;
            if !was_ready {
                let message = format!(
                    "Health check passed in {}",
                    crate::api::GoDuration(Duration::from_millis(took.as_millis() as u64))
                );
                recorder.about(&job, Severity::Info, Reason::ReconciliationSucceeded, message);
            }
        });
    }

    fn report_blocked(&self, owner: &Arc<Owner>, failure: Failure) {
        let Some(member) = self.members.get(owner) else {
            return;
        };
        let job = self.job(owner, member, Scope::Changes);
        let (cx, recorder) = (self.cx.clone(), self.recorder.clone());
        tokio::spawn(async move {
            write_outcome(&cx, &job, &Outcome::Failed(failure.clone())).await;
            recorder.failed(&job, &failure);
        });
    }
}

/// Reports what was decided outside of a run; only an end handles a request and counts in the history.
async fn write_outcome(cx: &Context, job: &Job, outcome: &Outcome) {
    let memory = job.memory.as_ref().map(|memory| memory.digest.as_str());
    let ended = !matches!(outcome, Outcome::Progressing(_));
    let digest = memory.filter(|digest| ended && !digest.is_empty());
    let revision = job.revision();
    let patch = StatusPatch {
        handled: job.requested().filter(|_| ended),
        built: digest.map(|digest| (digest, Duration::ZERO)),
        ..job.patch(outcome, revision.as_deref())
    };
    report(cx, job, &patch).await;
}

fn compare(old: &Checkout, new: &Checkout) -> Option<Changes> {
    let paths = tokio::task::block_in_place(|| {
        let (old, new) = (old.tree().ok()?, new.tree().ok()?);
        old.changed_paths(&new, CHANGED_PATHS).ok().flatten()
    })?;
    Some(Changes::new(paths))
}

/// Judges targets by what watches have shown, and by what is known of the causes.
fn verdict(index: &Index, memory: &Memory, whys: &Whys) -> Verdict {
    let sights: HashMap<&ObjectRef, Seen> = memory
        .targets
        .iter()
        .filter_map(|target| Some((&target.object, index.get(&id_of(&target.object))?)))
        .collect();
    judge(
        &memory.targets,
        |object| {
            sights
                .get(object)
                .map_or(Sight::Absent, |seen| Sight::Present(&seen.observed))
        },
        |object| whys.get(object).map(Vec::as_slice).unwrap_or_default(),
    )
}

fn unhealthy(verdict: &Verdict) -> Vec<ObjectRef> {
    match verdict {
        Verdict::Healthy => Vec::new(),
        Verdict::Waiting { on } => on.iter().map(|finding| finding.object.clone()).collect(),
        Verdict::Failed { why } => why.iter().map(|finding| finding.object.clone()).collect(),
    }
}

fn id_of(object: &ObjectRef) -> ObjectId {
    ObjectId {
        namespace: object.namespace.to_string(),
        name: object.name.to_string(),
        group: object.group.to_string(),
        kind: object.kind.to_string(),
    }
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

fn dependencies(kustomization: &Kustomization) -> impl Iterator<Item = Owner> + '_ {
    let own = kustomization.metadata.namespace.clone().unwrap_or_default();
    kustomization.spec.depends_on.iter().map(move |dependency| Owner {
        namespace: dependency.namespace.clone().unwrap_or_else(|| own.clone()),
        name: dependency.name.clone(),
    })
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

async fn sleep_until(at: Option<Timestamp>) {
    let Some(at) = at else {
        return std::future::pending().await;
    };
    let pause = at.duration_since(Timestamp::now());
    tokio::time::sleep(Duration::try_from(pause).unwrap_or(Duration::ZERO)).await;
}
