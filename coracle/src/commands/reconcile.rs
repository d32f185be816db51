//! `coracle reconcile`: asks for a run and waits for its end. Does I/O through the cluster's client.
//!
//! In: a target. Out: the annotation `reconcile.fluxcd.io/requestedAt`, then what the run said.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher;
use reconciler::api::{GoDuration, REQUESTED_AT};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::connect::{Cluster, connect};
use crate::error::{Error, Kind};
use crate::objects::{ObjectKind, Summary, Target, condition, short_revisions};
use crate::ui::{DIM, GOOD, Styled, Ui};

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
    let mut waiting = Waiting {
        cluster: &cluster,
        deadline: Instant::now() + args.timeout.0,
        timeout: args.timeout,
        ui,
    };
    let object = target.fetch(&cluster, &global.namespace).await?;
    if args.with_source && target.kind == ObjectKind::Kustomization {
        let (source, namespace) = source_of(&object.data, &global.namespace)?;
        waiting.reconcile(&source, &namespace).await?;
    }
    waiting.reconcile(&target, &global.namespace).await
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
    pub(super) cluster: &'a Cluster,
    pub(super) deadline: Instant,
    pub(super) timeout: GoDuration,
    pub(super) ui: &'a mut Ui,
}

impl Waiting<'_> {
    /// Asks for a run of one object and waits for its end.
    pub(super) async fn reconcile(&mut self, target: &Target, namespace: &str) -> Result<(), Error> {
        let object = Summary::new(target.kind, &target.fetch(self.cluster, namespace).await?);
        if object.suspended {
            return Err(
                Error::new(Kind::Negative, format!("{} is suspended", target.display())).hint(format!(
                    "`coracle resume {} -n {namespace}` ends that.",
                    target.display()
                )),
            );
        }
        let token = Timestamp::now().to_string();
        let patch = json!({ "metadata": { "annotations": { REQUESTED_AT: token } } });
        target
            .kind
            .api(self.cluster, Some(namespace))
            .patch(
                &target.name,
                &PatchParams::apply(FIELD_MANAGER).clone(),
                &Patch::Merge(patch),
            )
            .await
            .map_err(|error| {
                self.cluster
                    .explain(&format!("annotate {}", target.display()), error)
            })?;
        let asked = Instant::now();
        let end = self.end_of_run(target, namespace, &token).await?;
        let took = GoDuration(Duration::from_millis(
            u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX),
        ));
        if end.ready == "True" {
            let done = Styled::new(GOOD, target.display());
            return self
                .ui
                .line(format_args!("{done}: {} ({took})", short_revisions(&end.message)));
        }
        Err(failure(target, namespace, &end))
    }

    /// Follows the object until it says that it handled this request.
    async fn end_of_run(&mut self, target: &Target, namespace: &str, token: &str) -> Result<Summary, Error> {
        let api = target.kind.api(self.cluster, Some(namespace));
        let mut states = pin!(watcher::watch_object(api, &target.name));
        let mut said = String::new();
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let Ok(next) = tokio::time::timeout(left, states.next()).await else {
                return Err(self.out_of_time(target, &said));
            };
            let state = match next {
                Some(Ok(Some(object))) => Summary::new(target.kind, &object),
                Some(Ok(None)) | None => {
                    return Err(Error::new(
                        Kind::NotFound,
                        format!("{} was deleted meanwhile", target.display()),
                    ));
                }
                // The watch starts again by itself, until the deadline.
                Some(Err(_)) => continue,
            };
            if is_over(&state, token) {
                return Ok(state);
            }
            if let Some(progress) = progress(&state).filter(|progress| *progress != said) {
                self.ui
                    .progress(Styled::new(DIM, format!("{}: {progress}", target.display())))?;
                said = progress;
            }
        }
    }

    fn out_of_time(&self, target: &Target, said: &str) -> Error {
        let late = Error::new(
            Kind::Timeout,
            format!("{} is not done after {}", target.display(), self.timeout),
        );
        if said.is_empty() {
            return late.hint("Does the controller run? `coracle version` says so.");
        }
        late.hint(format!("It said last: {said}"))
            .hint("--timeout waits longer; `coracle events --watch` follows it.")
    }
}

/// Whether the object says how the run ended that was asked for by this token. What is stalled is not run
/// again, so its last word on this generation counts.
fn is_over(state: &Summary, token: &str) -> bool {
    let generation = state.object["metadata"]["generation"].as_i64();
    let says = |type_: &str| {
        condition(&state.object, type_).filter(|it| it["observedGeneration"].as_i64() >= generation)
    };
    let stalled = says("Stalled").is_some_and(|stalled| stalled["status"] == "True");
    let handled = state.object["status"]["lastHandledReconcileAt"] == token;
    stalled || (handled && says("Ready").is_some_and(|ready| ready["status"] != "Unknown"))
}

fn progress(state: &Summary) -> Option<String> {
    let reconciling = condition(&state.object, "Reconciling")?;
    let message = reconciling["message"]
        .as_str()
        .filter(|message| !message.is_empty())?;
    Some(short_revisions(message))
}

fn failure(target: &Target, namespace: &str, end: &Summary) -> Error {
    let stalled = condition(&end.object, "Stalled").is_some_and(|stalled| stalled["status"] == "True");
    let failed = Error::new(
        Kind::Negative,
        format!(
            "{} failed: {}: {}",
            target.display(),
            end.reason,
            short_revisions(&end.message)
        ),
    );
    let failed = failed.hint(format!(
        "`coracle events --for {} -n {namespace}` shows what led to it.",
        target.display()
    ));
    match stalled {
        true => failed.hint("It is not tried again until the object changes."),
        false => failed.hint("It is tried again by itself."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: &Value) -> Summary {
        let object = serde_json::from_value(json!({
            "metadata": { "name": "apps", "generation": 2 }, "spec": {}, "status": status
        }));
        Summary::new(ObjectKind::Kustomization, &object.unwrap())
    }

    fn ready(status: &str) -> Value {
        json!([{
            "type": "Ready", "status": status, "observedGeneration": 2,
            "reason": "HealthCheckFailed", "message": "web is not ready",
        }])
    }

    #[test]
    fn a_run_is_over_when_the_request_is_handled_for_this_generation() {
        let over = |token: &str, conditions: Value| {
            is_over(
                &state(&json!({ "lastHandledReconcileAt": token, "conditions": conditions })),
                "t",
            )
        };
        assert!(over("t", ready("True")));
        assert!(over("t", ready("False")));
        assert!(!over("t", ready("Unknown")));
        assert!(!over("earlier", ready("True")));

        let mut of_an_old_generation = ready("True");
        of_an_old_generation[0]["observedGeneration"] = json!(1);
        assert!(!over("t", of_an_old_generation));
    }

    #[test]
    fn what_is_stalled_is_not_waited_for() {
        let stalled = json!([{ "type": "Stalled", "status": "True", "observedGeneration": 2 }]);
        assert!(is_over(&state(&json!({ "conditions": stalled })), "t"));
    }

    #[test]
    fn a_failed_run_says_why_and_where_to_look() {
        let end = state(&json!({ "conditions": ready("False") }));
        let target = Target {
            kind: ObjectKind::Kustomization,
            name: "apps".to_owned(),
        };
        let error = failure(&target, "flux-system", &end);
        assert_eq!(
            error.to_string(),
            "kustomization/apps failed: HealthCheckFailed: web is not ready"
        );
        assert_eq!(
            error.hints(),
            [
                "`coracle events --for kustomization/apps -n flux-system` shows what led to it.",
                "It is tried again by itself."
            ]
        );
    }
}
