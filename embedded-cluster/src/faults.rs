//! Faults for tests: refused, slow, held and lost requests, dropped watches.
//!
//! In: rules. Out: what to do with a request. No I/O.
//!
//! ```
//! use embedded_cluster::{Fault, Match, Verb};
//! # fn example(cluster: &embedded_cluster::Cluster) {
//! let writes = Match::default().user_agent("coracle").writes();
//! cluster.faults().add(writes.nth(3), Fault::CutAfter);
//! cluster.faults().add(Match::default().verb(Verb::Patch).resource("apps", "deployments"), Fault::throttled(1));
//! # }
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::answer::{ApiError, Details};
use crate::request::Verb;
use crate::requests::RequestKey;
use crate::store::Store;

/// Which requests a fault meets. Everything that is not said matches.
#[derive(Clone, Debug, Default)]
pub struct Match {
    user_agent: Option<String>,
    verbs: Vec<Verb>,
    resource: Option<(String, String)>,
    subresource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    dry_run: Option<bool>,
    writes: bool,
    nth: Option<u64>,
    times: Option<u64>,
}

impl Match {
    /// Requests whose user agent contains this text.
    #[must_use]
    pub fn user_agent(self, part: &str) -> Self {
        Self {
            user_agent: Some(part.into()),
            ..self
        }
    }

    /// Requests with this verb; may be said several times.
    #[must_use]
    pub fn verb(mut self, verb: Verb) -> Self {
        self.verbs.push(verb);
        self
    }

    /// Requests on a kind, by group (empty for core) and plural name.
    #[must_use]
    pub fn resource(self, group: &str, plural: &str) -> Self {
        Self {
            resource: Some((group.into(), plural.into())),
            ..self
        }
    }

    /// Requests on a subresource; empty means the object itself.
    #[must_use]
    pub fn subresource(self, name: &str) -> Self {
        Self {
            subresource: Some(name.into()),
            ..self
        }
    }

    /// Requests in a namespace.
    #[must_use]
    pub fn namespace(self, name: &str) -> Self {
        Self {
            namespace: Some(name.into()),
            ..self
        }
    }

    /// Requests on one object.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// Only dry runs, or only requests that are none.
    #[must_use]
    pub fn dry_run(self, dry_run: bool) -> Self {
        Self {
            dry_run: Some(dry_run),
            ..self
        }
    }

    /// Requests that can change something: writes that are no dry runs.
    #[must_use]
    pub fn writes(self) -> Self {
        Self { writes: true, ..self }
    }

    /// Only the n-th request of those that match, counted from 1 and from when the rule is added.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        Self { nth: Some(n), ..self }
    }

    /// Only the first n requests of those that match.
    #[must_use]
    pub fn times(self, n: u64) -> Self {
        Self {
            times: Some(n),
            ..self
        }
    }

    fn covers(&self, key: &RequestKey) -> bool {
        let same =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        self.user_agent
            .as_deref()
            .is_none_or(|part| key.user_agent.contains(part))
            && (self.verbs.is_empty() || key.verb.is_some_and(|verb| self.verbs.contains(&verb)))
            && self
                .resource
                .as_ref()
                .is_none_or(|(group, plural)| *group == key.group && *plural == key.resource)
            && same(&self.subresource, &key.subresource)
            && same(&self.namespace, &key.namespace)
            && same(&self.name, &key.name)
            && self.dry_run.is_none_or(|dry_run| dry_run == key.dry_run)
            && (!self.writes || key.writes())
    }
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is refused with this error.
    Refuse(ApiError),
    /// It is carried out after this time of the cluster's clock.
    Delay(Duration),
    /// The connection is cut before it is carried out.
    CutBefore,
    /// It is carried out, and the connection is cut before the answer.
    CutAfter,
}

impl Fault {
    /// 409, as when somebody else was faster.
    #[must_use]
    pub fn conflict() -> Self {
        let why = "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again";
        Self::Refuse(ApiError::new(409, "Conflict", why))
    }

    /// 429 with `Retry-After`.
    #[must_use]
    pub fn throttled(retry_after_seconds: u32) -> Self {
        let error = ApiError::new(
            429,
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        );
        Self::Refuse(ApiError {
            details: Some(Box::new(Details {
                retry_after_seconds,
                ..Details::default()
            })),
            ..error
        })
    }

    /// 500
    #[must_use]
    pub fn internal_error() -> Self {
        Self::Refuse(ApiError::new(
            500,
            "InternalError",
            "Internal error occurred: injected fault",
        ))
    }

    /// 503
    #[must_use]
    pub fn unavailable() -> Self {
        Self::Refuse(ApiError::new(
            503,
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ))
    }

    /// 404 of another object than the one that is asked for, as when the role of a binding is not there.
    #[must_use]
    pub fn missing(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{plural}.{group} {name:?} not found");
        Self::Refuse(ApiError {
            details: Some(Box::new(Details {
                name: name.into(),
                group: group.into(),
                kind: plural.into(),
                ..Details::default()
            })),
            ..ApiError::new(404, "NotFound", message)
        })
    }

    /// 403 in the words of RBAC.
    #[must_use]
    pub fn forbidden(message: &str) -> Self {
        Self::Refuse(ApiError::new(403, "Forbidden", message))
    }
}

/// When a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldAt {
    /// Before it is carried out.
    Before,
    /// After it was committed, before it is answered.
    After,
}

/// A request that waits for a test.
#[derive(Debug)]
pub struct Held {
    /// What is held.
    pub request: RequestKey,
    release: oneshot::Sender<Release>,
    over: oneshot::Receiver<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    Go,
    Cut,
}

impl Held {
    /// Lets it go on: it is carried out (if it was held before) and answered, even if the client is gone.
    pub fn release(self) {
        let _nobody_waits = self.release.send(Release::Go);
    }

    /// The same, and waits until it was carried out; it may not be answered yet.
    pub async fn carried_out(self) {
        let _nobody_waits = self.release.send(Release::Go);
        // Its end says it, whatever it is.
        let _ = self.over.await;
    }

    /// Cuts its connection; a request held before it was carried out never is.
    pub fn cut(self) {
        let _nobody_waits = self.release.send(Release::Cut);
    }
}

/// Receives held requests, one after the other.
#[derive(Debug)]
pub struct Holding {
    held: mpsc::UnboundedReceiver<Held>,
    rule: RuleHandle,
}

impl Holding {
    /// Waits until a request is held.
    pub async fn next(&mut self) -> Option<Held> {
        self.held.recv().await
    }

    /// The rule that holds requests.
    #[must_use]
    pub fn rule(&self) -> &RuleHandle {
        &self.rule
    }
}

/// A rule that was added.
#[derive(Clone, Debug)]
pub struct RuleHandle(Arc<Rule>);

impl RuleHandle {
    /// How many requests matched, whether the fault met them or not.
    #[must_use]
    pub fn matched(&self) -> u64 {
        self.0.matched.load(Ordering::SeqCst)
    }

    /// Takes the rule back.
    pub fn remove(&self) {
        self.0.removed.store(true, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Rule {
    matching: Match,
    action: Action,
    matched: AtomicU64,
    removed: AtomicBool,
}

/// What the gate does.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Fault(Fault),
    Hold(HoldAt, mpsc::UnboundedSender<Held>),
}

/// The rules of a cluster.
#[derive(Debug)]
pub struct Faults {
    rules: Mutex<Vec<Arc<Rule>>>,
    any: AtomicBool,
    watches: Mutex<Vec<Weak<OpenWatch>>>,
    store: Arc<Store>,
}

/// A watch that somebody follows.
#[derive(Debug)]
pub(crate) struct OpenWatch {
    pub(crate) key: RequestKey,
    pub(crate) end: CancellationToken,
    pub(crate) expired: AtomicBool,
}

impl Faults {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            rules: Mutex::default(),
            any: AtomicBool::new(false),
            watches: Mutex::default(),
            store,
        }
    }

    /// Adds a fault. Of several rules that meet a request, the first one added acts.
    pub fn add(&self, matching: Match, fault: Fault) -> RuleHandle {
        self.add_rule(matching, Action::Fault(fault))
    }

    /// Holds requests and hands them to the test. A held request is carried out when it is released, even if
    /// its client was killed meanwhile; one that is never released, when [`Held`] is dropped, is cut.
    pub fn hold(&self, matching: Match, at: HoldAt) -> Holding {
        let (sender, held) = mpsc::unbounded_channel();
        let rule = self.add_rule(matching, Action::Hold(at, sender));
        Holding { held, rule }
    }

    fn add_rule(&self, matching: Match, action: Action) -> RuleHandle {
        let rule = Arc::new(Rule {
            matching,
            action,
            matched: AtomicU64::new(0),
            removed: AtomicBool::new(false),
        });
        self.rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&rule));
        self.any.store(true, Ordering::SeqCst);
        RuleHandle(rule)
    }

    /// Takes all rules back.
    pub fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.any.store(false, Ordering::SeqCst);
    }

    /// Ends matching watches that are open; says how many.
    pub fn drop_watches(&self, matching: &Match) -> usize {
        self.end_watches(matching, false)
    }

    /// Ends matching watches with the error event "410 Gone"; says how many.
    pub fn expire_watches(&self, matching: &Match) -> usize {
        self.end_watches(matching, true)
    }

    /// Forgets all history: lists continued and watches begun at older versions answer 410.
    pub fn compact(&self) {
        self.store.lock().compact();
    }

    fn end_watches(&self, matching: &Match, expired: bool) -> usize {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| watch.strong_count() > 0);
        let open: Vec<Arc<OpenWatch>> = watches.iter().filter_map(Weak::upgrade).collect();
        let hit: Vec<&Arc<OpenWatch>> = open
            .iter()
            .filter(|watch| matching.covers(&watch.key) && !watch.end.is_cancelled())
            .collect();
        for watch in &hit {
            watch.expired.store(expired, Ordering::SeqCst);
            watch.end.cancel();
        }
        hit.len()
    }

    pub(crate) fn register(&self, key: RequestKey) -> Arc<OpenWatch> {
        let watch = Arc::new(OpenWatch {
            key,
            end: CancellationToken::new(),
            expired: AtomicBool::new(false),
        });
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| watch.strong_count() > 0);
        watches.push(Arc::downgrade(&watch));
        watch
    }

    /// What is to be done with a request, if anything.
    pub(crate) fn find(&self, key: &RequestKey) -> Option<Action> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.retain(|rule| !rule.removed.load(Ordering::SeqCst));
        let mut found = None;
        for rule in rules.iter().filter(|rule| rule.matching.covers(key)) {
            let number = rule.matched.fetch_add(1, Ordering::SeqCst) + 1;
            let meets = rule.matching.nth.is_none_or(|nth| nth == number)
                && rule.matching.times.is_none_or(|times| number <= times);
            if meets && found.is_none() {
                found = Some(rule.action.clone());
            }
        }
        found
    }

    /// Hands a request to the test and waits for what it says; what else it gives is dropped when the request is
    /// over.
    pub(crate) async fn wait(
        request: RequestKey,
        test: &mpsc::UnboundedSender<Held>,
    ) -> (Release, oneshot::Sender<()>) {
        let (release, released) = oneshot::channel();
        let (until_over, over) = oneshot::channel();
        let held = Held {
            request,
            release,
            over,
        };
        if test.send(held).is_err() {
            return (Release::Go, until_over);
        }
        (released.await.unwrap_or(Release::Cut), until_over)
    }
}
