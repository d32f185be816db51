//! Makes sure that nobody else reconciles: holds Flux's leases and looks for Flux's Deployments. Does I/O.

mod version;

use std::time::Duration;

use serde_json::Value;
use telemetry::health::Check;
use telemetry::logs::Repeats;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::fleet::Message;
use super::surroundings::Changes;
use crate::cluster::{Api, ApiError, Held, Kind, LeaseHold, Status};
use crate::plan::ObjectId;
use version::Version;

/// The election: what it takes to lead, and to go on leading.
pub(crate) struct Election<'a> {
    cx: &'a Context,
    /// Acts as the controller itself, leading or not.
    api: Api,
    hold: LeaseHold,
}

impl<'a> Election<'a> {
    pub(crate) fn new(cx: &'a Context, api: Api) -> Self {
        let config = &cx.config;
        let clock = config.clock.clone();
        let hold = LeaseHold::new(
            api.clone(),
            config.namespace.clone(),
            config.identity.clone(),
            config.lease_duration,
            Box::new(move || clock.instant()),
        );
        Self { cx, api, hold }
    }

    /// Leads until `stop`; gives why leadership was lost, if it was.
    pub(crate) async fn lead(
        &self,
        ready: &Check,
        leads: watch::Sender<bool>,
        stop: CancellationToken,
    ) -> Option<String> {
        let lasts = self.cx.config.lease_duration;
        // Clocks differ a little, so nothing is written any more for a while before the leases run out.
        let trusted = lasts - lasts / 18;
        let mut until: Option<Instant> = None;
        let mut version = Version::default();
        let mut trouble = Repeats::new(SAID_AGAIN);
        loop {
            let asked = Instant::now();
            let attempt = tokio::select! {
                () = stop.cancelled() => return None,
                () = at(until) => return Some(RAN_OUT.to_owned()),
                attempt = self.attempt() => attempt,
            };
            let pause = match attempt {
                Attempt::Leads => {
                    let is_over = trouble.end();
                    if until.replace(asked + trusted).is_none() {
                        tracing::info!("leading: reconciliation starts");
                        self.cx.doubts.leads();
                        ready.ready();
                        leads.send_replace(true);
                    } else if is_over {
                        tracing::info!("the leases are renewed again");
                    }
                    lasts / 3
                }
                Attempt::Held { by, pause } => {
                    if until.is_some() {
                        return Some(by);
                    }
                    ready.not_ready(format!("waits for {by}"));
                    if trouble.is_due(&by, self.cx.config.clock.instant()) {
                        tracing::warn!(
                            "another controller reconciles, and nothing is touched until it stops: {by}"
                        );
                    }
                    pause
                }
                Attempt::Unknown(why) => {
                    if until.is_none() {
                        ready.not_ready(format!("cannot lead: {why}"));
                    }
                    if trouble.is_due(&why, self.cx.config.clock.instant()) {
                        tracing::warn!("the leases cannot be had, which is tried again all the time: {why}");
                    }
                    Duration::from_secs(2).min(lasts / 18)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                () = at(until) => return Some(RAN_OUT.to_owned()),
                () = self.rest(pause, until.is_some(), &mut version) => {}
            }
        }
    }

    /// Waits, and looks at the server's version meanwhile while this process leads.
    async fn rest(&self, pause: Duration, leads: bool, version: &mut Version) {
        let look = async {
            if leads {
                // What is not answered by then is asked again the next time.
                let _ = tokio::time::timeout(pause, self.look_at_version(version)).await;
            }
        };
        tokio::join!(look, self.cx.config.clock.sleep(pause));
    }

    /// Another version of the server may default, validate and convert otherwise (rule 12).
    async fn look_at_version(&self, known: &mut Version) {
        let Ok(answer) = self.api.raw("/version", "application/json").await else {
            return;
        };
        let version = answer["gitVersion"].as_str();
        if version.is_some_and(|version| known.answered(version)) {
            tracing::info!(version, "the API server's version changed: everything is checked");
            // The fleet ends only when the controller does.
            let _ = self
                .cx
                .messages
                .send(Message::SurroundingsChanged(Changes::of_everything()))
                .await;
        }
    }

    /// Lets the leases go.
    pub(crate) async fn release(&self) {
        if self.cx.config.leases {
            let released = tokio::time::timeout(Duration::from_secs(5), self.hold.release()).await;
            if released.is_err() {
                tracing::debug!("the leases were not released and will run out");
            }
        }
    }

    async fn attempt(&self) -> Attempt {
        match self.running_flux().await {
            Ok(None) => {}
            Ok(Some(by)) => {
                return Attempt::Held {
                    by,
                    pause: Duration::from_secs(5),
                };
            }
            Err(error) => return Attempt::Unknown(self.with_remedy(&error)),
        }
        if !self.cx.config.leases {
            return Attempt::Leads;
        }
        match self.hold.hold().await {
            Ok(Ok(())) => Attempt::Leads,
            Ok(Err(Held { lease, holder, pause })) => Attempt::Held {
                by: format!(
                    "{holder} holds the lease {}/{lease}, which is taken over once it is not renewed any more",
                    self.cx.config.namespace
                ),
                pause,
            },
            Err(error) => Attempt::Unknown(self.with_remedy(&error)),
        }
    }

    /// What the API server said, and what to do about it.
    fn with_remedy(&self, error: &ApiError) -> String {
        let namespace = &self.cx.config.namespace;
        if error.status().is_some_and(Status::is_missing_namespace) {
            return format!(
                "there is no namespace {namespace}: create it (kubectl create namespace {namespace}), or name the \
                 controller's own with --runtime-namespace"
            );
        }
        if error.is_forbidden() {
            return format!("{error}; the controller's account needs the role that `coracle install` prints");
        }
        error.to_string()
    }

    /// Flux's election can be off, so its Deployments are looked for too (rule 24).
    async fn running_flux(&self) -> Result<Option<String>, ApiError> {
        let kind = Kind::fixed("apps/v1", "Deployment", "deployments", true);
        let namespace = &self.cx.config.namespace;
        for name in ["source-controller", "kustomize-controller"] {
            let id = ObjectId::new("apps", "Deployment", namespace, name);
            let found = self.api.get(&kind, &id).await?;
            let replicas = found.as_ref().map(|deployment| {
                deployment
                    .pointer("/spec/replicas")
                    .and_then(Value::as_u64)
                    .unwrap_or(1)
            });
            if replicas.is_some_and(|replicas| replicas > 0) {
                return Ok(Some(format!(
                    "Flux's Deployment {namespace}/{name} (stop it: kubectl -n {namespace} scale deployment {name} --replicas=0)"
                )));
            }
        }
        Ok(None)
    }
}

/// What keeps this process from leading is said again after this long.
const SAID_AGAIN: Duration = Duration::from_secs(300);
/// Why leadership is lost when nobody took over.
const RAN_OUT: &str = "the leases could not be renewed before they ran out";

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

enum Attempt {
    Leads,
    Held { by: String, pause: Duration },
    Unknown(String),
}
