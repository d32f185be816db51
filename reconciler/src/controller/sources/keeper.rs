//! Keeps one GitRepository fetched: looks, tells the fleet, reports, sleeps until its interval or a change. Does I/O.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::super::build::decode;
use super::super::context::Context;
use super::super::events::Subject;
use super::super::finalizer;
use super::super::fleet::{Message, SourceKey, SourceState};
use super::super::skip::Changes;
use super::status::{self, Failure, requested};
use super::{Checkouts, key_of, learned_as};
use crate::api::{
    Artifact, Condition, GitProvider, GitRepository, GitRepositoryStatus, LocalReference, Reason,
    SOURCE_STATUS_MANAGER, condition_types,
};
use crate::causes::chain;
use crate::cluster::{ApiError, Kind};
use crate::plan::{Gvk, ObjectId};
use crate::report::{Event, Severity};
use crate::source::{
    Checkout, Fetched, Reference, ReferenceFields, Remote, SecretData, Source, SourceError, Store,
};

/// The longest pause after failures in a row.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// The longest pause after a status that could not be written.
const UNWRITTEN_PAUSE: Duration = Duration::from_secs(10);
/// Keys of a Git Secret that are no secrets, and that messages may quote.
const PUBLIC_KEYS: [&str; 4] = ["known_hosts", "ca.crt", "caFile", "tls.crt"];

/// Keeps one source.
pub(super) struct Keeper {
    cx: Arc<Context>,
    store: Store,
    checkouts: Arc<Checkouts>,
    key: SourceKey,
    object: watch::Receiver<Arc<GitRepository>>,
    held: Option<Checkout>,
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
    secrets: Vec<watch::Receiver<()>>,
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
        let fetched = self.fetch(object).await;
        match fetched {
            Ok(Fetched::Unchanged) => {
                self.failures = 0;
                let held = self.held.clone()?;
                self.tell(Some(held.clone()), None).await;
                self.report_fetched(object, &held, false).await;
                Some(object.spec.interval.0)
            }
            Ok(Fetched::Changed(checkout)) => {
                self.failures = 0;
                self.held = Some(checkout.clone());
                self.checkouts.put(&self.key, checkout.clone());
                // Kustomizations need not wait for the archive's digest.
                self.tell(Some(checkout.clone()), None).await;
                self.report_fetched(object, &checkout, true).await;
                Some(object.spec.interval.0)
            }
            Err(failure) => {
                self.failures += 1;
                let pause = Duration::from_millis(750) * 2_u32.saturating_pow(self.failures.min(12));
                let message = self.cx.redactor.mask(&failure.message).into_owned();
                self.tell(self.held.clone(), Some(message.clone())).await;
                let pause = pause
                    .min(MAX_PAUSE)
                    .min(object.spec.interval.0.max(Duration::from_secs(1)));
                let again = (!failure.stalled).then_some(pause);
                self.report_failure(object, &Failure { message, ..failure }).await;
                again
            }
        }
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

    async fn fetch(&mut self, object: &GitRepository) -> Result<Fetched, Failure> {
        if let Some(field) = unserved(object) {
            return Err(Failure {
                reason: Reason::InvalidSpec,
                message: format!("not supported yet: {field}; remove it to have this fetched"),
                stalled: true,
            });
        }
        let spec = &object.spec;
        let reference = match suspended_commit(object) {
            Some(reference) => reference,
            None => {
                let fields = spec.reference.clone().unwrap_or_default();
                Reference::try_from(ReferenceFields {
                    branch: fields.branch,
                    tag: fields.tag,
                    semver: fields.semver,
                    name: fields.name,
                    commit: fields.commit,
                })
                .map_err(|error| source_failure(&error))?
            }
        };
        let remote = self.remote(object).await?;
        let source = Source {
            remote,
            reference,
            ignore: spec.ignore.clone(),
            timeout: spec.timeout.map(|timeout| timeout.0),
        };
        self.store
            .fetch(&source, self.held.as_ref())
            .await
            .map_err(|error| source_failure(&error))
    }

    async fn remote(&mut self, object: &GitRepository) -> Result<Remote, Failure> {
        let spec = &object.spec;
        self.secrets.clear();
        let credentials = self.secret(spec.secret_ref.as_ref(), "spec.secretRef").await?;
        let proxy = self
            .secret(spec.proxy_secret_ref.as_ref(), "spec.proxySecretRef")
            .await?;
        let fields = credentials.iter().chain(&proxy).flatten();
        let secrets = fields
            .filter(|(key, _)| !PUBLIC_KEYS.contains(&key.as_str()))
            .map(|(_, value)| value);
        let in_url = url::Url::parse(&spec.url).ok();
        let in_url = in_url.iter().filter_map(|url| url.password()).map(str::as_bytes);
        let secrets = secrets.map(Vec::as_slice).chain(in_url);
        self.cx.redactor.learn(&learned_as(&self.key), secrets);
        Remote::from_secrets(&spec.url, credentials.as_ref(), proxy.as_ref()).map_err(|error| {
            let failure = source_failure(&error);
            let named = spec
                .secret_ref
                .as_ref()
                .map(|secret| format!("secret '{}/{}': ", self.key.0, secret.name));
            Failure {
                message: format!("{}{}", named.unwrap_or_default(), failure.message),
                ..failure
            }
        })
    }

    /// The values of a Secret in the namespace of the GitRepository; any change of it from here on ends the sleep.
    async fn secret(
        &mut self,
        reference: Option<&LocalReference>,
        field: &str,
    ) -> Result<Option<SecretData>, Failure> {
        let Some(reference) = reference else {
            return Ok(None);
        };
        let name = format!("{}/{}", self.key.0, reference.name);
        let kind = Kind::fixed("v1", "Secret", "secrets", true);
        let id = ObjectId {
            namespace: self.key.0.clone(),
            name: reference.name.clone(),
            group: String::new(),
            kind: kind.gvk.kind.clone(),
        };
        let failure = |message: String| Failure {
            reason: Reason::AuthenticationFailed,
            message,
            stalled: false,
        };
        self.secrets.push(
            self.cx
                .configs
                .subscribe(("Secret", id.namespace.clone(), id.name.clone())),
        );
        self.cx.configs.ensure("Secret", &id.namespace).await;
        match self.cx.api.get(&kind, &id).await {
            Ok(Some(object)) => Ok(Some(decode(&object, true))),
            Ok(None) => Err(failure(format!(
                "secret '{name}' not found, which {field} names; create it there"
            ))),
            Err(error) => Err(failure(format!("failed to get secret '{name}': {error}"))),
        }
    }

    async fn report_fetched(&mut self, object: &GitRepository, checkout: &Checkout, changed: bool) {
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
                return;
            }
        };
        let is_new = old.artifact.as_ref().map(|artifact| artifact.revision.as_str()) != Some(&revision);
        self.write(object, status::fetched(&old, object, artifact, Timestamp::now()))
            .await;
        // As source-controller says them: what is new, and that a failure is over.
        let reason = match (is_new, self.told.take()) {
            (true, _) => Reason::NewArtifact,
            (false, Some(_)) => Reason::Succeeded,
            (false, None) => return,
        };
        let subject = self.cx.redactor.mask(checkout.subject());
        let message = format!("stored artifact for commit '{subject}'");
        self.event(object, Severity::Info, reason, Some(revision), message);
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
        if standing == Some(&status) {
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

/// A suspended source stays at the revision that its status names, also after a restart.
fn suspended_commit(object: &GitRepository) -> Option<Reference> {
    if !object.spec.suspend {
        return None;
    }
    let artifact = object.status.as_ref()?.artifact.as_ref()?;
    let (pointer, commit) = artifact.revision.rsplit_once("sha1:")?;
    let branch = pointer
        .strip_suffix('@')
        .filter(|branch| !branch.is_empty())
        .map(ToOwned::to_owned);
    Some(Reference::Commit {
        id: commit.parse().ok()?,
        branch,
    })
}

fn unserved(object: &GitRepository) -> Option<&'static str> {
    let spec = &object.spec;
    let fields = [
        (spec.verify.is_some(), "spec.verify"),
        (spec.recurse_submodules, "spec.recurseSubmodules"),
        (!spec.include.is_empty(), "spec.include"),
        (!spec.sparse_checkout.is_empty(), "spec.sparseCheckout"),
        (
            spec.provider
                .is_some_and(|provider| provider != GitProvider::Generic),
            "spec.provider other than generic",
        ),
        (spec.service_account_name.is_some(), "spec.serviceAccountName"),
    ];
    fields.iter().find(|(set, _)| *set).map(|(_, field)| *field)
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

fn source_failure(error: &SourceError) -> Failure {
    use crate::source::Reason as Why;
    let reason = match error.reason() {
        Why::AuthenticationFailed => Reason::AuthenticationFailed,
        Why::UrlInvalid => Reason::UrlInvalid,
        Why::InvalidProviderConfiguration => Reason::InvalidProviderConfiguration,
        Why::EmptyGitRepository => Reason::EmptyGitRepository,
        _ => Reason::GitOperationFailed,
    };
    Failure {
        reason,
        stalled: error.is_stalled(),
        message: chain(error),
    }
}

fn publish(cx: &Context, object: &GitRepository, status: &GitRepositoryStatus) {
    let ready = status
        .conditions
        .iter()
        .find(|c: &&Condition| c.type_ == condition_types::READY)
        .map(|c| c.status);
    let (namespace, name) = key_of(object);
    cx.metrics.set_resource(
        super::super::metrics::key("GitRepository", &namespace, &name),
        telemetry::metrics::ResourceInfo {
            group: "source.toolkit.fluxcd.io",
            version: "v1",
            ready: super::super::metrics::ready(ready),
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
