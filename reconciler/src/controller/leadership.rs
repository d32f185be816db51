//! Makes sure that nobody else reconciles: holds Flux's leases and looks for Flux's Deployments. Does I/O.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use telemetry::health::Check;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::fleet::Message;
use super::surroundings::Changes;
use crate::cluster::{Kind, LEASE_DURATION, LeaseHold};
use crate::plan::ObjectId;

/// Leads until `stop`; gives who took over if leadership was lost.
pub(crate) async fn lead(
    cx: &Arc<Context>,
    ready: &Check,
    leads: watch::Sender<bool>,
    stop: CancellationToken,
) -> Option<String> {
    let hold = hold(cx);
    let mut renewed: Option<Instant> = None;
    let mut version = None;
    loop {
        let pause = match attempt(cx, &hold).await {
            Attempt::Leads => {
                if renewed.replace(Instant::now()).is_none() {
                    tracing::info!("leading: reconciliation starts");
                    cx.doubts.leads();
                    ready.ready();
                    leads.send_replace(true);
                }
                look_at_version(cx, &mut version).await;
                cx.config.renew_every
            }
            Attempt::Held { by, pause } => {
                if renewed.is_some() {
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
                if renewed.is_some_and(|at| at.elapsed() >= LEASE_DURATION) {
                    return Some(format!("nobody: the leases could not be renewed ({why})"));
                }
                tracing::warn!(why, "the leases could not be renewed");
                Duration::from_secs(2)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Another version of the server may default, validate and convert otherwise (rule 12).
async fn look_at_version(cx: &Context, known: &mut Option<String>) {
    let Ok(answer) = cx.api.raw("/version", "application/json").await else {
        return;
    };
    let Some(version) = answer["gitVersion"].as_str() else {
        return;
    };
    let before = known.replace(version.to_owned());
    if before.is_some_and(|before| before != version) {
        tracing::info!(version, "the API server's version changed: everything is checked");
        // The fleet ends only when the controller does.
        let _ = cx
            .messages
            .send(Message::SurroundingsChanged(Changes::of_everything()))
            .await;
    }
}

/// Lets the leases go.
pub(crate) async fn release(cx: &Context) {
    if cx.config.leases {
        let released = tokio::time::timeout(Duration::from_secs(5), hold(cx).release()).await;
        if released.is_err() {
            tracing::debug!("the leases were not released and will run out");
        }
    }
}

fn hold(cx: &Context) -> LeaseHold {
    LeaseHold::new(
        cx.api.clone(),
        cx.config.namespace.clone(),
        cx.config.identity.clone(),
    )
}

enum Attempt {
    Leads,
    Held { by: String, pause: Duration },
    Unknown(String),
}

async fn attempt(cx: &Context, hold: &LeaseHold) -> Attempt {
    match running_flux(cx).await {
        Ok(None) => {}
        Ok(Some(by)) => {
            return Attempt::Held {
                by,
                pause: Duration::from_secs(5),
            };
        }
        Err(why) => return Attempt::Unknown(why),
    }
    if !cx.config.leases {
        return Attempt::Leads;
    }
    match hold.hold().await {
        Ok(Ok(())) => Attempt::Leads,
        Ok(Err((by, pause))) => Attempt::Held { by, pause },
        Err(error) => Attempt::Unknown(error.to_string()),
    }
}

/// Flux's election can be off, so its Deployments are looked for too (rule 24).
async fn running_flux(cx: &Context) -> Result<Option<String>, String> {
    let kind = Kind::fixed("apps/v1", "Deployment", "deployments", true);
    for name in ["source-controller", "kustomize-controller"] {
        let id = ObjectId {
            namespace: cx.config.namespace.clone(),
            name: name.to_owned(),
            group: "apps".to_owned(),
            kind: "Deployment".to_owned(),
        };
        let found = cx.api.get(&kind, &id).await.map_err(|error| error.to_string())?;
        let replicas = found.as_ref().map(|deployment| {
            deployment
                .pointer("/spec/replicas")
                .and_then(Value::as_u64)
                .unwrap_or(1)
        });
        if replicas.is_some_and(|replicas| replicas > 0) {
            return Ok(Some(format!(
                "Flux's Deployment {}/{name} (stop it: kubectl -n {} scale deployment {name} --replicas=0)",
                cx.config.namespace, cx.config.namespace
            )));
        }
    }
    Ok(None)
}
