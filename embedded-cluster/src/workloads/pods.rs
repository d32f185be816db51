//! The scheduler and the kubelet: a pod's status over time.
//!
//! In: a pod, its behaviour, the time. Out: its next status, and when to look again. No I/O.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::behaviour::{self, Behaviour, PodFacts};
use super::{KUBELET, NODE, Stage, Workloads, condition, controller_of, events};
use crate::object;
use crate::store::{State, Stored};

/// The first wait of a crashing container, doubled each time up to five minutes.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// What was played of a pod.
#[derive(Clone, Debug)]
pub(super) struct Play {
    step: Step,
    /// When the next step is due.
    due: Timestamp,
    restarts: u32,
    started: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Not looked at yet.
    New,
    /// On a node, containers are being made.
    Creating,
    /// The image was not found for the first time.
    PullFailed,
    /// A container ended and will be started again.
    BackingOff,
    /// Nothing more will happen.
    Settled,
}

/// Plays the pod up to now.
pub(super) fn play(
    workloads: &Workloads,
    state: &mut State,
    stage: &Stage,
    stored: &Arc<Stored>,
) -> Option<Timestamp> {
    let uid = object::meta(&stored.value, "uid").to_owned();
    let (behaviour, step_time, mut play) = {
        let inner = workloads.lock();
        let facts = facts(&stored.value);
        let fresh = Play {
            step: Step::New,
            due: stage.now,
            restarts: 0,
            started: stage.now,
        };
        (
            behaviour::of(&inner.rules, &facts),
            inner.ready_after,
            inner.plays.get(&uid).cloned().unwrap_or(fresh),
        )
    };
    if play.step == Step::Settled || play.due > stage.now {
        return (play.step != Step::Settled).then_some(play.due);
    }
    let scene = Scene {
        stage,
        pod: stored,
        behaviour: &behaviour,
    };
    let (status, next) = scene.next(&mut play, step_time);
    if let Some(status) = status {
        scene.write(state, status);
    }
    scene.warn(state, &play);
    play.due = next.unwrap_or(stage.now);
    if next.is_none() && play.step != Step::BackingOff {
        play.step = Step::Settled;
    }
    workloads.lock().plays.insert(uid, play);
    next
}

pub(super) fn facts(pod: &Value) -> PodFacts<'_> {
    let containers = object::items(pod, &["spec", "containers"]);
    PodFacts {
        namespace: object::meta(pod, "namespace"),
        name: object::meta(pod, "name"),
        images: containers
            .iter()
            .map(|container| object::text(container, &["image"]))
            .collect(),
    }
}

struct Scene<'a> {
    stage: &'a Stage,
    pod: &'a Arc<Stored>,
    behaviour: &'a Behaviour,
}

/// What a container is doing.
struct Doing {
    phase: &'static str,
    ready: bool,
    started: bool,
    state: Value,
    last_state: Value,
}

impl Scene<'_> {
    /// The next status, and when the one after is due.
    fn next(&self, play: &mut Play, step_time: Duration) -> (Option<Value>, Option<Timestamp>) {
        let soon = Some(self.stage.after(step_time));
        match (play.step, self.behaviour) {
            (Step::New, Behaviour::Unschedulable) => (Some(self.unschedulable()), None),
            (Step::New, _) => {
                play.step = Step::Creating;
                play.started = self.stage.now;
                let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
                (Some(self.status(play, &Doing::waiting(waiting))), soon)
            }
            (Step::Creating, Behaviour::ImageNotFound) => {
                play.step = Step::PullFailed;
                let image = self.image();
                let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": pull_error(&image)}});
                (Some(self.status(play, &Doing::waiting(waiting))), soon)
            }
            (Step::PullFailed, Behaviour::ImageNotFound) => {
                let image = self.image();
                let message = format!(
                    "Back-off pulling image {image:?}: ErrImagePull: {}",
                    pull_error(&image)
                );
                let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": message}});
                (Some(self.status(play, &Doing::waiting(waiting))), None)
            }
            (Step::Creating | Step::BackingOff, Behaviour::Crash { exit_code, .. }) => {
                self.crash(play, *exit_code, "Error")
            }
            (Step::Creating | Step::BackingOff, Behaviour::OutOfMemory) => self.crash(play, 137, "OOMKilled"),
            (_, Behaviour::NeverReady) => (Some(self.status(play, &self.running(false))), None),
            _ if self.completes() => (Some(self.status(play, &self.completed())), None),
            _ => (Some(self.status(play, &self.running(true))), None),
        }
    }

    /// Pods of Jobs end by themselves.
    fn completes(&self) -> bool {
        let restarts = object::text(&self.pod.value, &["spec", "restartPolicy"]);
        restarts != "Always"
            && controller_of(&self.pod.value).is_some_and(|owner| object::text(owner, &["kind"]) == "Job")
    }

    fn running(&self, ready: bool) -> Doing {
        let state = json!({"running": {"startedAt": self.stage.time()}});
        Doing {
            phase: "Running",
            ready,
            started: true,
            state,
            last_state: json!({}),
        }
    }

    fn completed(&self) -> Doing {
        let state = json!({"terminated": self.ended(0, "Completed")});
        Doing {
            phase: "Succeeded",
            ready: false,
            started: false,
            state,
            last_state: json!({}),
        }
    }

    fn ended(&self, exit_code: i32, reason: &str) -> Value {
        let time = self.stage.time();
        json!({
            "exitCode": exit_code, "reason": reason, "startedAt": time, "finishedAt": time,
            "containerID": self.container_id(),
        })
    }

    fn container_id(&self) -> String {
        let uid = object::meta(&self.pod.value, "uid").replace('-', "");
        format!("containerd://{uid}{uid}")
    }

    fn crash(&self, play: &mut Play, exit_code: i32, reason: &str) -> (Option<Value>, Option<Timestamp>) {
        let ended = json!({"terminated": self.ended(exit_code, reason)});
        if object::text(&self.pod.value, &["spec", "restartPolicy"]) == "Never" {
            let doing = Doing {
                phase: "Failed",
                ready: false,
                started: false,
                state: ended,
                last_state: json!({}),
            };
            play.step = Step::Settled;
            return (Some(self.status(play, &doing)), None);
        }
        play.step = Step::BackingOff;
        let backoff = LONGEST_BACKOFF.min(FIRST_BACKOFF * 2_u32.saturating_pow(play.restarts.min(8)));
        play.restarts += 1;
        let pod = &self.pod.value;
        let shown = if backoff >= LONGEST_BACKOFF {
            "5m0s".into()
        } else {
            go_duration(backoff)
        };
        let message = format!(
            "back-off {shown} restarting failed container={} pod={}_{}({})",
            object::items(pod, &["spec", "containers"])
                .first()
                .map_or("", |container| object::text(container, &["name"])),
            object::meta(pod, "name"),
            object::meta(pod, "namespace"),
            object::meta(pod, "uid"),
        );
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
        let doing = Doing {
            phase: "Running",
            ready: false,
            started: false,
            state: waiting,
            last_state: ended,
        };
        (Some(self.status(play, &doing)), Some(self.stage.after(backoff)))
    }

    fn image(&self) -> String {
        let images = facts(&self.pod.value).images;
        let missing = images.iter().find(|image| image.ends_with(":does-not-exist"));
        missing
            .or(images.first())
            .map(|image| (*image).to_owned())
            .unwrap_or_default()
    }

    fn unschedulable(&self) -> Value {
        let mut status = self.pod.value.get("status").cloned().unwrap_or(json!({}));
        let message = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
        let time = self.stage.time();
        let scheduled = condition(
            &self.pod.value,
            "PodScheduled",
            "False",
            "Unschedulable",
            message,
            &time,
        );
        object::put(&mut status, &["conditions"], json!([scheduled]));
        object::put(&mut status, &["phase"], "Pending");
        status
    }

    fn status(&self, play: &Play, doing: &Doing) -> Value {
        let pod = &self.pod.value;
        let time = self.stage.time();
        let containers: Vec<Value> = object::items(pod, &["spec", "containers"])
            .iter()
            .map(|container| self.container_status(container, play, doing))
            .collect();
        let inits: Vec<Value> = object::items(pod, &["spec", "initContainers"])
            .iter()
            .map(|container| self.init_status(container))
            .collect();
        let names: Vec<&str> = containers
            .iter()
            .map(|status| object::text(status, &["name"]))
            .collect();
        let unready = format!("containers with unready status: [{}]", names.join(" "));
        let make = |kind: &str, met: bool| match (met, doing.phase) {
            (true, _) => condition(pod, kind, "True", "", "", &time),
            (false, "Succeeded") => condition(pod, kind, "False", "PodCompleted", "", &time),
            (false, "Failed") => condition(pod, kind, "False", "PodFailed", "", &time),
            (false, _) => condition(pod, kind, "False", "ContainersNotReady", &unready, &time),
        };
        let conditions = json!([
            condition(pod, "PodReadyToStartContainers", "True", "", "", &time),
            condition(pod, "Initialized", "True", "", "", &time),
            make("Ready", doing.ready),
            make("ContainersReady", doing.ready),
            condition(pod, "PodScheduled", "True", "", "", &time),
        ]);
        let address = pod_address(object::meta(pod, "uid"));
        let mut status = json!({
            "phase": doing.phase, "conditions": conditions, "containerStatuses": containers,
            "hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}],
            "podIP": address, "podIPs": [{"ip": address}],
            "startTime": crate::clock::seconds(play.started),
            "qosClass": object::text(pod, &["status", "qosClass"]),
            "observedGeneration": object::number(pod, &["metadata", "generation"]),
        });
        if !inits.is_empty() {
            object::put(&mut status, &["initContainerStatuses"], inits);
        }
        status
    }

    fn container_status(&self, container: &Value, play: &Play, doing: &Doing) -> Value {
        let image = object::text(container, &["image"]);
        let mut status = json!({
            "name": object::text(container, &["name"]), "image": image,
            "ready": doing.ready, "started": doing.started, "restartCount": play.restarts,
            "state": doing.state, "lastState": doing.last_state,
            "imageID": "", "resources": container.get("resources").cloned().unwrap_or(json!({})),
        });
        if doing.state.get("waiting").is_none() || play.restarts > 0 {
            object::put(
                &mut status,
                &["imageID"],
                format!(
                    "{}@sha256:{}",
                    image.split(':').next().unwrap_or(image),
                    "0".repeat(64)
                ),
            );
            object::put(&mut status, &["containerID"], self.container_id());
        }
        status
    }

    fn init_status(&self, container: &Value) -> Value {
        json!({
            "name": object::text(container, &["name"]), "image": object::text(container, &["image"]), "imageID": "",
            "ready": true, "started": false, "restartCount": 0, "lastState": {},
            "state": {"terminated": self.ended(0, "Completed")},
        })
    }

    fn write(&self, state: &mut State, status: Value) {
        let bound = object::text(&self.pod.value, &["spec", "nodeName"]).is_empty()
            && *self.behaviour != Behaviour::Unschedulable;
        let mut current = Arc::clone(self.pod);
        if bound {
            let mut value = current.value.clone();
            object::put(&mut value, &["spec", "nodeName"], NODE);
            self.stage
                .update(state, "/pods", &current, value, "kube-scheduler", "binding");
            match state.get("/pods", &current.key()) {
                Some(stored) => current = Arc::clone(stored),
                None => return,
            }
        }
        self.stage.set_status(state, "/pods", &current, status, KUBELET);
    }

    /// Tells what goes wrong in an event.
    fn warn(&self, state: &mut State, play: &Play) {
        let (reason, message) = match (self.behaviour, play.step) {
            (Behaviour::ImageNotFound, Step::PullFailed) => {
                let image = self.image();
                (
                    "Failed",
                    format!("Failed to pull image {image:?}: {}", pull_error(&image)),
                )
            }
            (Behaviour::Crash { .. } | Behaviour::OutOfMemory, Step::BackingOff) => {
                let name = object::items(&self.pod.value, &["spec", "containers"])
                    .first()
                    .map_or("", |container| object::text(container, &["name"]));
                let pod = object::meta(&self.pod.value, "name");
                let (space, uid) = (
                    object::meta(&self.pod.value, "namespace"),
                    object::meta(&self.pod.value, "uid"),
                );
                (
                    "BackOff",
                    format!("Back-off restarting failed container {name} in pod {pod}_{space}({uid})"),
                )
            }
            (Behaviour::NeverReady, _) => (
                "Unhealthy",
                "Readiness probe failed: HTTP probe failed with statuscode: 503".into(),
            ),
            (Behaviour::Unschedulable, _) => (
                "FailedScheduling",
                "0/1 nodes are available: 1 Insufficient cpu.".into(),
            ),
            _ => return,
        };
        events::record(
            state,
            self.stage,
            "/pods",
            &self.pod.value,
            "Warning",
            reason,
            &message,
        );
    }
}

impl Doing {
    fn waiting(state: Value) -> Self {
        Self {
            phase: "Pending",
            ready: false,
            started: false,
            state,
            last_state: json!({}),
        }
    }
}

fn pull_error(image: &str) -> String {
    let full = if image.split('/').count() > 1 {
        image.to_owned()
    } else {
        format!("docker.io/library/{image}")
    };
    format!(
        "rpc error: code = NotFound desc = failed to pull and unpack image {full:?}: failed to resolve reference {full:?}: {full}: not found"
    )
}

fn go_duration(span: Duration) -> String {
    let seconds = span.as_secs();
    if seconds >= 60 {
        format!("{}m{}s", seconds / 60, seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

/// An address of the pod network, by uid.
fn pod_address(uid: &str) -> String {
    let sum = uid.bytes().fold(0_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    format!("10.244.{}.{}", (sum >> 8) % 256, sum % 254 + 1)
}
