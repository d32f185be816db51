//! Keeps one GitRepository fetched: looks, tells the fleet, reports, sleeps until its interval or a change. Does I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::super::context::Context;
use super::super::events::Subject;
use super::super::finalizer;
use super::super::fleet::{Message, SourceKey, SourceState};
use super::super::metrics;
use super::super::skip::Changes;
use super::fetching::suspended_commit;
use super::status::{self, Failure, requested};
use super::{Checkouts, key_of};
use crate::api::{
    Artifact, Condition, GitRepository, GitRepositoryStatus, Reason, SOURCE_STATUS_MANAGER, condition_types,
};
use crate::causes::chain;
use crate::cluster::{ApiError, Kind};
use crate::plan::{Gvk, ObjectId};
use crate::report::{Event, Severity};
use crate::source::{Checkout, Fetched, SourceError, Store};

/// The longest pause after failures in a row.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// The longest pause after a status that could not be written.
const UNWRITTEN_PAUSE: Duration = Duration::from_secs(10);

/// Keeps one source.
pub(super) struct Keeper {
    pub(super) cx: Arc<Context>,
    pub(super) store: Store,
    checkouts: Arc<Checkouts>,
    pub(super) key: SourceKey,
    object: watch::Receiver<Arc<GitRepository>>,
    pub(super) held: Option<Checkout>,
    failures: u32,
    /// Generation and request that were last looked at.
    handled: Option<(i64, Option<String>)>,
    /// The status as it was last written.
    written: Option<GitRepositoryStatus>,
    /// The last status could not be written.
    unwritten: bool,
    /// Reason and words of the failure that was told last and still stands.
    told: Option<(String, String)>,
    /// What the fleet was given last.
    given: Option<Checkout>,
    /// Changes of the Secrets that were last read (rule 20).
    pub(super) secrets: Vec<watch::Receiver<()>>,
}

impl Keeper {
    /// Nothing is known of the source yet.
    pub(super) fn new(
        cx: Arc<Context>,
        store: Store,
        checkouts: Arc<Checkouts>,
        key: SourceKey,
        object: watch::Receiver<Arc<GitRepository>>,
    ) -> Self {
        let told = object.borrow().status.as_ref().and_then(status::failure);
        Self {
            cx,
            store,
            checkouts,
            key,
            object,
            held: None,
            failures: 0,
            handled: None,
            written: None,
            unwritten: false,
            told,
            given: None,
            secrets: Vec::new(),
        }
    }

    /// Looks and sleeps for ever.
    pub(super) async fn keep(mut self) {
        loop {
            let object = self.object.borrow_and_update().clone();
            let mut pause = self.look(&object).await;
            if self.unwritten {
                pause = Some(pause.map_or(UNWRITTEN_PAUSE, |pause| pause.min(UNWRITTEN_PAUSE)));
            }
            self.sleep(pause).await;
        }
    }

    /// Sleeps until the pause is over, or the object changed in a way that matters, or a Secret of it did.
    async fn sleep(&mut self, pause: Option<Duration>) {
        let deadline = pause.map(|pause| tokio::time::Instant::now() + pause);
        loop {
            let timer = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => return,
                () = any_changed(&mut self.secrets) => return,
                changed = self.object.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                    let now = facts(&self.object.borrow_and_update());
                    if Some(&now) != self.handled.as_ref() {
                        return;
                    }
                }
            }
        }
    }

    /// Looks whether the reference moved, and says when to look again; never when nothing but a change of the
    /// object can help.
    async fn look(&mut self, object: &GitRepository) -> Option<Duration> {
        self.handled = Some(facts(object));
        if object.metadata.deletion_timestamp.is_some() {
            if self.held.is_none() {
                self.tell(None, Some("it is being deleted".to_owned())).await;
            }
            return self.let_go(object).await.err().map(|error| {
                tracing::warn!(source = %self.id(), %error, "the finalizer could not be removed and is tried again");
                UNWRITTEN_PAUSE
            });
        }
        if object.spec.suspend && self.held.is_some() {
            return None;
        }
        if object.spec.suspend && suspended_commit(object).is_none() {
            self.tell(None, Some("it is suspended".to_owned())).await;
            return None;
        }
        let started = Instant::now();
        let pause = self.follow(object).await;
        let key = metrics::key("GitRepository", &self.key.0, &self.key.1);
        self.cx.metrics.observe_reconcile(&key, started.elapsed());
        pause
    }

    /// Fetches, and reports what came of it.
    async fn follow(&mut self, object: &GitRepository) -> Option<Duration> {
        let fetched = self.fetch(object).await;
        match fetched {
            Ok(Fetched::Unchanged) => {
                let held = self.held.clone()?;
                Some(self.fetched(object, &held, false).await)
            }
            Ok(Fetched::Changed(checkout)) => {
                self.held = Some(checkout.clone());
                self.checkouts.put(&self.key, checkout.clone());
                Some(self.fetched(object, &checkout, true).await)
            }
            Err(failure) => {
                let message = self.cx.redactor.mask(&failure.message).into_owned();
                self.tell(self.held.clone(), Some(message.clone())).await;
                let again = (!failure.stalled).then_some(self.back_off(object));
                self.report_failure(object, &Failure { message, ..failure }).await;
                again
            }
        }
    }

    /// Passes on what was fetched, and says when to look again.
    async fn fetched(&mut self, object: &GitRepository, checkout: &Checkout, changed: bool) -> Duration {
        // Kustomizations need not wait for the archive's digest.
        self.tell(Some(checkout.clone()), None).await;
        let is_stored = self.report_fetched(object, checkout, changed).await;
        if !is_stored {
            return self.back_off(object);
        }
        self.failures = 0;
        object.spec.interval.0
    }

    /// The pause after one more failure.
    fn back_off(&mut self, object: &GitRepository) -> Duration {
        self.failures += 1;
        let pause = Duration::from_millis(750) * 2_u32.saturating_pow(self.failures.min(12));
        pause
            .min(MAX_PAUSE)
            .min(object.spec.interval.0.max(Duration::from_secs(1)))
    }

    /// Tells the fleet, with what differs from what it was given before: comparing takes time that the fleet has not.
    async fn tell(&mut self, checkout: Option<Checkout>, failure: Option<String>) {
        let before = std::mem::replace(&mut self.given, checkout.clone());
        let changes = match (before, checkout.clone()) {
            (Some(old), Some(new)) if old.commit() == new.commit() && old.ignore() == new.ignore() => {
                Changes::none()
            }
            (Some(old), Some(new)) => {
                let compared = tokio::task::spawn_blocking(move || Changes::between(&old, &new)).await;
                // What broke off has compared nothing.
                compared.unwrap_or(Changes::Anything)
            }
            _ => Changes::Anything,
        };
        let state = SourceState { checkout, failure };
        let message = Message::Source(self.key.clone(), state, changes);
        // The fleet ends only when the controller does.
        let _ = self.cx.messages.send(message).await;
    }

    /// Reports a revision; gives whether its artifact could be made.
    async fn report_fetched(&mut self, object: &GitRepository, checkout: &Checkout, changed: bool) -> bool {
        let old = self.standing(object);
        let revision = checkout.revision().to_string();
        let artifact = match &old.artifact {
            Some(artifact) if !changed && artifact.revision == revision => Ok(artifact.clone()),
            _ => self.artifact(checkout, &revision, old.artifact.as_ref()).await,
        };
        let artifact = match artifact {
            Ok(artifact) => artifact,
            Err(error) => {
                let failure = Failure {
                    reason: Reason::StorageOperationFailed,
                    message: chain(&error),
                    stalled: false,
                };
                self.report_failure(object, &failure).await;
                return false;
            }
        };
        let is_new = old.artifact.as_ref().map(|artifact| artifact.revision.as_str()) != Some(&revision);
        self.write(object, status::fetched(&old, object, artifact, Timestamp::now()))
            .await;
        // As source-controller says them: what is new, and that a failure is over.
        let reason = match (is_new, self.told.take()) {
            (true, _) => Reason::NewArtifact,
            (false, Some(_)) => Reason::Succeeded,
            (false, None) => return true,
        };
        let subject = self.cx.redactor.mask(checkout.subject());
        let message = format!("stored artifact for commit '{subject}'");
        self.event(object, Severity::Info, reason, Some(revision), message);
        true
    }

    async fn report_failure(&mut self, object: &GitRepository, failure: &Failure) {
        let old = self.standing(object);
        let status = status::failed(&old, object, failure, Timestamp::now());
        self.write(object, status).await;
        let told = (failure.reason.as_str().to_owned(), failure.message.clone());
        if self.told.as_ref() != Some(&told) {
            self.told = Some(told);
            self.event(
                object,
                Severity::Error,
                failure.reason,
                None,
                failure.message.clone(),
            );
        }
    }

    /// The status as this process wrote it last, or as it found it.
    fn standing(&self, object: &GitRepository) -> GitRepositoryStatus {
        let found = || object.status.clone();
        self.written.clone().or_else(found).unwrap_or_default()
    }

    async fn artifact(
        &self,
        checkout: &Checkout,
        revision: &str,
        old: Option<&Artifact>,
    ) -> Result<Artifact, SourceError> {
        let made = checkout.artifact().await?;
        let path = checkout.artifact_path(&self.key.0, &self.key.1);
        let same = old.filter(|old| old.revision == revision && old.digest == made.digest);
        let now = crate::api::rfc3339_seconds(Timestamp::now());
        Ok(Artifact {
            url: format!("http://{}/{path}", self.cx.config.artifact_host),
            path,
            digest: made.digest,
            revision: revision.to_owned(),
            size: i64::try_from(made.size).ok(),
            last_update_time: same.map_or(now, |old| old.last_update_time.clone()),
            metadata: None,
        })
    }

    /// Writes a status when it differs from what stands.
    async fn write(&mut self, object: &GitRepository, status: GitRepositoryStatus) {
        let standing = self.written.as_ref().or(object.status.as_ref());
        publish(&self.cx, object, &status);
        // A write that failed may have been carried out.
        if standing == Some(&status) && !self.unwritten {
            self.written = Some(status);
            return;
        }
        let id = self.id();
        let patch = status::patch(&status);
        let answer = self
            .cx
            .api
            .merge_status(&kind(), &id, &patch, SOURCE_STATUS_MANAGER)
            .await;
        self.unwritten = false;
        match answer {
            Ok(_) => self.written = Some(status),
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                self.unwritten = true;
                tracing::warn!(source = %id, %error, "the status could not be written and is tried again");
            }
        }
    }

    fn event(
        &self,
        object: &GitRepository,
        severity: Severity,
        reason: Reason,
        revision: Option<String>,
        message: String,
    ) {
        let subject = Subject {
            gvk: Gvk::new("source.toolkit.fluxcd.io/v1", "GitRepository"),
            namespace: self.key.0.clone(),
            name: self.key.1.clone(),
            uid: object.metadata.uid.clone().unwrap_or_default(),
        };
        self.cx.recorder.send(
            subject,
            Event {
                severity,
                reason,
                revision,
                message,
            },
        );
    }

    fn id(&self) -> ObjectId {
        ObjectId {
            namespace: self.key.0.clone(),
            name: self.key.1.clone(),
            group: "source.toolkit.fluxcd.io".to_owned(),
            kind: "GitRepository".to_owned(),
        }
    }

    /// Takes away the finalizer that Flux's source-controller left: there is nothing to clean up in the cluster.
    async fn let_go(&self, object: &GitRepository) -> Result<(), ApiError> {
        let seen = object.metadata.finalizers.clone().unwrap_or_default();
        finalizer::remove(
            &self.cx.api,
            &kind(),
            &self.id(),
            SOURCE_STATUS_MANAGER,
            Some(seen),
        )
        .await
    }
}

fn kind() -> Kind {
    Kind::fixed(
        "source.toolkit.fluxcd.io/v1",
        "GitRepository",
        "gitrepositories",
        true,
    )
}

/// What of an object makes another look worth while.
fn facts(object: &GitRepository) -> (i64, Option<String>) {
    let deleting = object.metadata.deletion_timestamp.is_some();
    let generation = object.metadata.generation.unwrap_or_default();
    (if deleting { -generation } else { generation }, requested(object))
}

/// Completes at the first change; never when there is nothing to watch.
async fn any_changed(secrets: &mut [watch::Receiver<()>]) {
    if secrets.is_empty() {
        return std::future::pending().await;
    }
    let changes = secrets.iter_mut().map(|changes| Box::pin(changes.changed()));
    // Whether it changed or its watch ended: both are worth a look.
    let _ = futures::future::select_all(changes).await;
}

fn publish(cx: &Context, object: &GitRepository, status: &GitRepositoryStatus) {
    let ready = status
        .conditions
        .iter()
        .find(|c: &&Condition| c.type_ == condition_types::READY)
        .map(|c| c.status);
    let (namespace, name) = key_of(object);
    cx.metrics.set_resource(
        metrics::key("GitRepository", &namespace, &name),
        telemetry::metrics::ResourceInfo {
            group: "source.toolkit.fluxcd.io",
            version: "v1",
            ready: metrics::ready(ready),
            suspended: object.spec.suspend,
            details: vec![
                (
                    "revision",
                    status
                        .artifact
                        .as_ref()
                        .map(|artifact| artifact.revision.clone())
                        .unwrap_or_default(),
                ),
                ("url", cx.redactor.mask(&object.spec.url).into_owned()),
            ],
        },
    );
}
