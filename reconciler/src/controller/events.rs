//! Sends Events about Kustomizations and GitRepositories, in the background and without holding anybody up.
//! Does I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::api::Reason;
use crate::cluster::{Api, Kind};
use crate::plan::{Gvk, Owner};
use crate::report::{Event, Severity};

use super::job::Job;

/// Events that wait to be sent; more are dropped, since they only inform.
const QUEUE: usize = 1024;

/// What an event is about.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) gvk: Gvk,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Takes events and sends them one after the other.
#[derive(Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<(Subject, Event)>,
}

impl Recorder {
    /// Starts the task that sends; it ends with the recorder.
    pub(crate) fn start(api: Api, instance: String) -> Self {
        let (queue, mut events) = mpsc::channel::<(Subject, Event)>(QUEUE);
        tokio::spawn(async move {
            let kind = Kind::fixed("v1", "Event", "events", true);
            while let Some((subject, event)) = events.recv().await {
                let object = render(&subject, &event, &instance, Timestamp::now());
                if let Err(error) = api.create(&kind, &subject.namespace, &object).await {
                    tracing::debug!(%error, "an event was not recorded");
                }
            }
        });
        Self { queue }
    }

    /// Sends an event, and logs it.
    pub(crate) fn send(&self, subject: Subject, event: Event) {
        let object = format!("{}/{}/{}", subject.gvk.kind, subject.namespace, subject.name);
        let revision = event.revision.as_deref().unwrap_or_default();
        match event.severity {
            Severity::Info => {
                tracing::info!(%object, revision, reason = event.reason.as_str(), "{}", event.message);
            }
            Severity::Error => {
                tracing::error!(%object, revision, reason = event.reason.as_str(), "{}", event.message);
            }
        }
        if self.queue.try_send((subject, event)).is_err() {
            tracing::debug!("too many events wait, one is dropped");
        }
    }

    pub(crate) fn changed(&self, job: &Job, list: &str) {
        self.about(job, Severity::Info, Reason::Progressing, list.to_owned());
    }

    pub(crate) fn about(&self, job: &Job, severity: Severity, reason: Reason, message: String) {
        let revision = job.revision();
        self.tell(
            job,
            Event {
                severity,
                reason,
                revision,
                message,
            },
        );
    }

    pub(crate) fn tell(&self, job: &Job, event: Event) {
        let subject = subject_of(&job.owner, job.kustomization.metadata.uid.as_deref());
        self.send(subject, event);
    }
}

pub(crate) fn subject_of(owner: &Owner, uid: Option<&str>) -> Subject {
    Subject {
        gvk: Gvk::new("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
        namespace: owner.namespace.clone(),
        name: owner.name.clone(),
        uid: uid.unwrap_or_default().to_owned(),
    }
}

fn render(subject: &Subject, event: &Event, instance: &str, now: Timestamp) -> Value {
    let mut annotations = BTreeMap::new();
    if let Some(revision) = &event.revision {
        annotations.insert(format!("{}/revision", subject.gvk.group), revision.clone());
    }
    let controller = match subject.gvk.kind.as_str() {
        "GitRepository" => "source-controller",
        _ => "kustomize-controller",
    };
    let kind = match event.severity {
        Severity::Info => "Normal",
        Severity::Error => "Warning",
    };
    let time = crate::api::rfc3339_seconds(now);
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {
            "generateName": format!("{}.", subject.name),
            "namespace": subject.namespace,
            "annotations": annotations,
        },
        "involvedObject": {
            "apiVersion": subject.gvk.api_version(), "kind": subject.gvk.kind,
            "namespace": subject.namespace, "name": subject.name, "uid": subject.uid,
        },
        "type": kind,
        "reason": event.reason.as_str(),
        "message": truncate(&event.message),
        "source": {"component": controller},
        "reportingComponent": controller,
        "reportingInstance": instance,
        "firstTimestamp": time, "lastTimestamp": time, "count": 1,
    })
}

fn truncate(message: &str) -> &str {
    &message[..message.floor_char_boundary(1024)]
}
