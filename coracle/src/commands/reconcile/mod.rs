//! `coracle reconcile`: asks for a run and waits for its end. Does I/O through the cluster's client.
//!
//! In: a target. Out: the annotation `reconcile.fluxcd.io/requestedAt`, then what the run said.

mod request;

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use reconciler::api::{GoDuration, REQUESTED_AT};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{ASIDE, tell_if_nobody_works};
use crate::cli::Global;
use crate::connect::{Cluster, connect};
use crate::error::{Error, Kind};
use crate::objects::{ObjectKind, Summary, Target, short_revisions};
use crate::standing;
use crate::ui::{DIM, GOOD, Styled, Ui};
use request::{Request, failure};

/// How long nothing may be heard of a run before it is asked who works.
const SILENCE: Duration = Duration::from_secs(5);

/// Field manager of what commands write.
pub(super) const FIELD_MANAGER: &str = "coracle";

/// Arguments of `reconcile`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    coracle reconcile apps --with-source\n  \
    coracle reconcile gitrepository/apps -n team-a")]
pub struct Args {
    /// The object: a Kustomization's name, or a kind and a name
    #[arg(value_name = "[KIND] NAME", required = true, num_args = 1..=3)]
    target: Vec<String>,
    /// Look first whether the source has a new revision
    #[arg(long)]
    with_source: bool,
    /// How long to wait for the end
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    timeout: GoDuration,
}

/// Asks, waits, and prints what came of it.
///
/// # Errors
/// The object does not exist or is suspended, the run failed, or it did not end in time.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let target = Target::parse(&args.target)?;
    let cluster = connect(global).await?;
    let mut waiting = Waiting::new(&cluster, args.timeout, ui);
    let object = target.fetch(&cluster, global.namespace()).await?;
    let mut revision = None;
    if args.with_source && target.kind == ObjectKind::Kustomization {
        let (source, namespace) = source_of(&object.data, global.namespace())?;
        revision = Some(waiting.reconcile(&source, &namespace, None).await?);
    }
    waiting
        .reconcile(&target, global.namespace(), revision.as_deref())
        .await
        .map(drop)
}

fn source_of(kustomization: &Value, namespace: &str) -> Result<(Target, String), Error> {
    let reference = &kustomization["spec"]["sourceRef"];
    let name = reference["name"].as_str().unwrap_or_default().to_owned();
    let kind = reference["kind"].as_str().unwrap_or_default();
    let namespace = reference["namespace"].as_str().unwrap_or(namespace).to_owned();
    if kind != ObjectKind::GitRepository.name() {
        return Err(Error::new(
            Kind::Usage,
            format!("the source is a {kind}, which Coracle does not fetch"),
        )
        .hint("Leave --with-source out."));
    }
    Ok((
        Target {
            kind: ObjectKind::GitRepository,
            name,
        },
        namespace,
    ))
}

/// Waits for runs until a deadline that they share.
pub(super) struct Waiting<'a> {
    cluster: &'a Cluster,
    deadline: Instant,
    timeout: GoDuration,
    silence: Duration,
    ui: &'a mut Ui,
}

impl<'a> Waiting<'a> {
    /// The time begins now.
    pub(super) fn new(cluster: &'a Cluster, timeout: GoDuration, ui: &'a mut Ui) -> Self {
        Self {
            cluster,
            deadline: Instant::now() + timeout.0,
            timeout,
            silence: SILENCE,
            ui,
        }
    }

    /// Asks for a run of one object, with this revision of its source if one is named, and waits for its end. Gives
    /// the revision that was fetched or applied.
    pub(super) async fn reconcile(
        &mut self,
        target: &Target,
        namespace: &str,
        revision: Option<&str>,
    ) -> Result<String, Error> {
        let before = Summary::new(target.kind, &target.fetch(self.cluster, namespace).await?);
        if before.suspended {
            return Err(
                Error::new(Kind::Negative, format!("{} is suspended", target.display())).hint(format!(
                    "`coracle resume {} -n {namespace}` ends that.",
                    target.display()
                )),
            );
        }
        let request = Request {
            target,
            namespace,
            token: Timestamp::now().to_string(),
            revision,
            before,
        };
        let asked = Instant::now();
        self.ask(&request).await?;
        let end = self.end_of_run(&request).await?;
        let took = GoDuration(Duration::from_millis(
            u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX),
        ));
        if end.ready != "True" {
            return Err(failure(target, namespace, &end));
        }
        let done = Styled::new(GOOD, target.display());
        self.ui
            .line(format_args!("{done}: {} ({took})", short_revisions(&end.message)))?;
        Ok(end.revision)
    }

    async fn ask(&self, request: &Request<'_>) -> Result<(), Error> {
        let target = request.target;
        let patch = json!({ "metadata": { "annotations": { REQUESTED_AT: request.token } } });
        target
            .kind
            .api(self.cluster, Some(request.namespace))
            .patch(
                &target.name,
                &PatchParams::apply(FIELD_MANAGER).clone(),
                &Patch::Merge(patch),
            )
            .await
            .map(drop)
            .map_err(|error| {
                self.cluster
                    .explain(&format!("annotate {}", target.display()), error)
            })
    }

    /// Follows the object until it says that it handled this request.
    async fn end_of_run(&mut self, request: &Request<'_>) -> Result<Summary, Error> {
        let target = request.target;
        let api = target.kind.api(self.cluster, Some(request.namespace));
        let mut states = pin!(watcher::watch_object(api, &target.name).default_backoff());
        let mut said = String::new();
        let mut last = None;
        let mut broken = None;
        let mut doubt = Instant::now() + self.silence;
        loop {
            let now = Instant::now();
            if now >= self.deadline {
                return Err(self.out_of_time(request, last.as_ref(), broken).await);
            }
            if now >= doubt {
                self.tell_if_nobody_works(request).await?;
                doubt = self.deadline;
            }
            let left = self.deadline.min(doubt).saturating_duration_since(now);
            let Ok(next) = tokio::time::timeout(left, states.next()).await else {
                continue;
            };
            let state = match next {
                Some(Ok(Some(object))) => Summary::new(target.kind, &object),
                Some(Ok(None)) | None => {
                    return Err(Error::new(
                        Kind::NotFound,
                        format!("{} was deleted meanwhile", target.display()),
                    ));
                }
                Some(Err(error)) if is_final(&error) => {
                    return Err(self.unwatched(target, error));
                }
                // The watch starts again by itself, until the deadline.
                Some(Err(error)) => {
                    broken = Some(error);
                    continue;
                }
            };
            broken = None;
            if request.is_over(&state) {
                return Ok(state);
            }
            if let Some(progress) = request.progress(&state).filter(|progress| *progress != said) {
                self.ui
                    .progress(Styled::new(DIM, format!("{}: {progress}", target.display())))?;
                said = progress;
                doubt = self.deadline;
            }
            last = Some(state);
        }
    }

    /// Nobody should have to wait for the end of the time to learn that nobody answers.
    async fn tell_if_nobody_works(&mut self, request: &Request<'_>) -> Result<(), Error> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let verdict = standing::verdict(self.cluster, Some(request.namespace), ASIDE.min(left)).await;
        let more = format!(" Waiting for one up to {}.", self.timeout);
        tell_if_nobody_works(&verdict, &more, self.ui)
    }

    /// `last`: the object as it was seen last.
    async fn out_of_time(
        &self,
        request: &Request<'_>,
        last: Option<&Summary>,
        broken: Option<watcher::Error>,
    ) -> Error {
        let late = format!("{} is not done after {}", request.target.display(), self.timeout);
        if let Some(broken) = broken {
            return self
                .unwatched(request.target, broken)
                .at_last(Kind::Timeout, late);
        }
        let verdict = standing::verdict(self.cluster, Some(request.namespace), ASIDE).await;
        if let Some((why, remedy)) = verdict.idle() {
            return Error::new(Kind::Timeout, format!("{late}: no controller works: {why}")).hint(remedy);
        }
        let late = Error::new(Kind::Timeout, late);
        // Also what it said before this was asked for: a run that waits says nothing new.
        let said = last.map(|last| short_revisions(last.at().unwrap_or(&last.message)));
        let late = match said.filter(|said| !said.is_empty()) {
            None => late,
            Some(said) => late.hint(format!("It said last: {said}")),
        };
        late.hint("--timeout waits longer; `coracle events --watch` follows it.")
    }

    fn unwatched(&self, target: &Target, error: watcher::Error) -> Error {
        let doing = format!("watch {}", target.display());
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => self.cluster.explain(&doing, error),
            watcher::Error::WatchError(status) => self.cluster.explain(&doing, kube::Error::Api(status)),
            error @ watcher::Error::NoResourceVersion => {
                Error::new(Kind::Cluster, format!("cannot {doing}")).caused_by(error)
            }
        }
    }
}

/// Whether asking again cannot help: the cluster does not know this account, or forbids it.
fn is_final(error: &watcher::Error) -> bool {
    let code = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status.code,
        watcher::Error::WatchError(status) => status.code,
        _ => return false,
    };
    matches!(code, 401 | 403)
}

#[cfg(test)]
mod tests;
