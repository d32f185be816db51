//! Makes sure that nobody else reconciles: holds Flux's leases and looks for Flux's Deployments. Does I/O.

use std::time::Duration;

use serde_json::Value;
use telemetry::health::Check;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::fleet::Message;
use super::surroundings::Changes;
use crate::cluster::{Api, Kind, LeaseHold};
use crate::plan::ObjectId;

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
        let hold = LeaseHold::new(
            api.clone(),
            config.namespace.clone(),
            config.identity.clone(),
            config.lease_duration,
        );
        Self { cx, api, hold }
    }

    /// Leads until `stop`; gives who took over if leadership was lost.
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
        let mut version = None;
        loop {
            let asked = Instant::now();
            let attempt = tokio::select! {
                () = stop.cancelled() => return None,
                () = at(until) => return Some(NOBODY.to_owned()),
                attempt = self.attempt() => attempt,
            };
            let pause = match attempt {
                Attempt::Leads => {
                    if until.replace(asked + trusted).is_none() {
                        tracing::info!("leading: reconciliation starts");
                        self.cx.doubts.leads();
                        ready.ready();
                        leads.send_replace(true);
                    }
                    lasts / 3
                }
                Attempt::Held { by, pause } => {
                    if until.is_some() {
                        return Some(by);
                    }
                    ready.not_ready(format!("waits for {by}"));
                    tracing::warn!(
                        by,
                        "another controller reconciles; nothing is touched until it stops"
                    );
                    pause
                }
                Attempt::Unknown(why) => {
                    tracing::warn!(why, "the leases could not be renewed");
                    Duration::from_secs(2).min(lasts / 18)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                () = at(until) => return Some(NOBODY.to_owned()),
                () = self.rest(pause, until.is_some(), &mut version) => {}
            }
        }
    }

    /// Waits, and looks at the server's version meanwhile while this process leads.
    async fn rest(&self, pause: Duration, leads: bool, version: &mut Option<String>) {
        let look = async {
            if leads {
                // What is not answered by then is asked again the next time.
                let _ = tokio::time::timeout(pause, self.look_at_version(version)).await;
            }
        };
        tokio::join!(look, tokio::time::sleep(pause));
    }

    /// Another version of the server may default, validate and convert otherwise (rule 12).
    async fn look_at_version(&self, known: &mut Option<String>) {
        let Ok(answer) = self.api.raw("/version", "application/json").await else {
            return;
        };
        let Some(version) = answer["gitVersion"].as_str() else {
            return;
        };
        let before = known.replace(version.to_owned());
        if before.is_some_and(|before| before != version) {
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
            Err(why) => return Attempt::Unknown(why),
        }
        if !self.cx.config.leases {
            return Attempt::Leads;
        }
        match self.hold.hold().await {
            Ok(Ok(())) => Attempt::Leads,
            Ok(Err((by, pause))) => Attempt::Held { by, pause },
            Err(error) => Attempt::Unknown(error.to_string()),
        }
    }

    /// Flux's election can be off, so its Deployments are looked for too (rule 24).
    async fn running_flux(&self) -> Result<Option<String>, String> {
        let kind = Kind::fixed("apps/v1", "Deployment", "deployments", true);
        let namespace = &self.cx.config.namespace;
        for name in ["source-controller", "kustomize-controller"] {
            let id = ObjectId::new("apps", "Deployment", namespace, name);
            let found = self
                .api
                .get(&kind, &id)
                .await
                .map_err(|error| error.to_string())?;
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

/// Who leads when the leases ran out before they could be renewed.
const NOBODY: &str = "nobody: the leases could not be renewed before they ran out";

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
