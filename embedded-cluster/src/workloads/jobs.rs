//! The Job controller: pods until enough have succeeded, or too many have failed. No I/O.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{CONTROLLER, Stage, condition, controlled, flag, is_true};
use crate::api::delete::DeleteOptions;
use crate::object;
use crate::store::{State, Stored};

/// The wait before a failed pod is replaced, doubled with each failure.
const BACKOFF: Duration = Duration::from_secs(10);

/// Makes pods, counts them, ends the Job.
pub(super) fn sync(state: &mut State, stage: &Stage, job: &Arc<Stored>) -> Option<Timestamp> {
    let value = &job.value;
    if is_true(value, "Complete") || is_true(value, "Failed") {
        return time_to_live(state, stage, job);
    }
    let pods = controlled(state, "/pods", job);
    let phase = |wanted: &str| {
        pods.iter()
            .filter(|pod| object::text(&pod.value, &["status", "phase"]) == wanted)
            .count()
    };
    let (succeeded, failed) = (phase("Succeeded"), phase("Failed"));
    let restarts: i64 = pods
        .iter()
        .flat_map(|pod| object::items(&pod.value, &["status", "containerStatuses"]))
        .filter_map(|status| object::number(status, &["restartCount"]))
        .sum();
    let limit = object::number(value, &["spec", "backoffLimit"]).unwrap_or(6);
    let completions = object::number(value, &["spec", "completions"]).unwrap_or(1);
    let failures = i64::try_from(failed).unwrap_or(i64::MAX).max(restarts);
    let deadline = object::number(value, &["spec", "activeDeadlineSeconds"]).and_then(|seconds| {
        let start: Timestamp = object::text(value, &["status", "startTime"]).parse().ok()?;
        start
            .checked_add(Duration::from_secs(seconds.unsigned_abs()))
            .ok()
    });
    let counts = Counts { succeeded, failed };
    if flag(value, &["spec", "suspend"]) {
        return suspend(state, stage, job, &pods);
    }
    if i64::try_from(succeeded).unwrap_or(i64::MAX) >= completions {
        return finish(
            state,
            stage,
            job,
            &counts,
            "Complete",
            "CompletionsReached",
            "Reached expected number of succeeded pods",
        );
    }
    if failures > limit {
        remove_active(state, stage, &pods);
        return finish(
            state,
            stage,
            job,
            &counts,
            "Failed",
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        );
    }
    if deadline.is_some_and(|deadline| deadline <= stage.now) {
        remove_active(state, stage, &pods);
        return finish(
            state,
            stage,
            job,
            &counts,
            "Failed",
            "DeadlineExceeded",
            "Job was active longer than specified deadline",
        );
    }
    let active = pods.len() - succeeded - failed;
    let parallelism = object::number(value, &["spec", "parallelism"]).unwrap_or(1);
    let left = completions - i64::try_from(succeeded).unwrap_or(0);
    let wanted = usize::try_from(parallelism.min(left)).unwrap_or(0);
    let waits = backoff(stage, &pods, failed);
    if waits.is_none() {
        let template = object::at(value, &["spec", "template"])
            .cloned()
            .unwrap_or_default();
        for _ in active..wanted {
            stage.create_pod(state, job, &template, "", &[]);
        }
    }
    let active = controlled(state, "/pods", job).len() - succeeded - failed;
    let ready = pods.iter().filter(|pod| is_true(&pod.value, "Ready")).count();
    let mut status = base(stage, value, &counts);
    object::put(&mut status, &["active"], active);
    object::put(&mut status, &["ready"], ready);
    write(state, stage, job, status);
    [waits, deadline].into_iter().flatten().min()
}

struct Counts {
    succeeded: usize,
    failed: usize,
}

/// Until when a failed pod is not replaced yet.
fn backoff(stage: &Stage, pods: &[Arc<Stored>], failed: usize) -> Option<Timestamp> {
    let doubled = 2_u32.saturating_pow(u32::try_from(failed.checked_sub(1)?).ok()?.min(5));
    let ended = pods.iter().filter_map(|pod| {
        let status = object::items(&pod.value, &["status", "containerStatuses"]).first()?;
        object::text(status, &["state", "terminated", "finishedAt"])
            .parse::<Timestamp>()
            .ok()
    });
    let moment = ended.max()?.checked_add(BACKOFF * doubled).ok()?;
    (moment > stage.now).then_some(moment)
}

fn base(stage: &Stage, job: &Value, counts: &Counts) -> Value {
    let started = object::text(job, &["status", "startTime"]);
    let started = if started.is_empty() {
        stage.time()
    } else {
        started.to_owned()
    };
    let mut status =
        json!({"startTime": started, "terminating": 0, "ready": 0, "uncountedTerminatedPods": {}});
    for (field, number) in [("succeeded", counts.succeeded), ("failed", counts.failed)] {
        if number > 0 {
            object::put(&mut status, &[field], number);
        }
    }
    object::copy(
        &mut status,
        job.get("status").unwrap_or(&Value::Null),
        &["conditions"],
    );
    status
}

fn write(state: &mut State, stage: &Stage, job: &Stored, status: Value) {
    if let Some(job) = state.get("batch/jobs", &job.key()).cloned() {
        stage.set_status(state, "batch/jobs", &job, status, CONTROLLER);
    }
}

fn finish(
    state: &mut State,
    stage: &Stage,
    job: &Arc<Stored>,
    counts: &Counts,
    kind: &str,
    reason: &str,
    message: &str,
) -> Option<Timestamp> {
    let time = stage.time();
    let mut status = base(stage, &job.value, counts);
    let first = if kind == "Complete" {
        "SuccessCriteriaMet"
    } else {
        "FailureTarget"
    };
    let conditions: Vec<Value> = [first, kind]
        .into_iter()
        .map(|kind| {
            let mut condition = condition(&job.value, kind, "True", reason, message, &time);
            object::put(&mut condition, &["lastProbeTime"], time.as_str());
            condition
        })
        .collect();
    object::put(&mut status, &["conditions"], conditions);
    if kind == "Complete" {
        object::put(&mut status, &["completionTime"], time);
    }
    write(state, stage, job, status);
    object::number(&job.value, &["spec", "ttlSecondsAfterFinished"])
        .map(|seconds| stage.after(Duration::from_secs(seconds.unsigned_abs())))
}

fn remove_active(state: &mut State, stage: &Stage, pods: &[Arc<Stored>]) {
    for pod in pods {
        if !matches!(
            object::text(&pod.value, &["status", "phase"]),
            "Succeeded" | "Failed"
        ) {
            stage.delete(state, "/pods", &pod.key(), &DeleteOptions::immediate());
        }
    }
}

fn suspend(state: &mut State, stage: &Stage, job: &Arc<Stored>, pods: &[Arc<Stored>]) -> Option<Timestamp> {
    remove_active(state, stage, pods);
    let time = stage.time();
    let mut suspended = condition(
        &job.value,
        "Suspended",
        "True",
        "JobSuspended",
        "Job suspended",
        &time,
    );
    object::put(&mut suspended, &["lastProbeTime"], time);
    write(
        state,
        stage,
        job,
        json!({"conditions": [suspended], "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}}),
    );
    None
}

/// A finished Job goes after `ttlSecondsAfterFinished`.
fn time_to_live(state: &mut State, stage: &Stage, job: &Arc<Stored>) -> Option<Timestamp> {
    let seconds = object::number(&job.value, &["spec", "ttlSecondsAfterFinished"])?;
    let conditions = object::items(&job.value, &["status", "conditions"]);
    let ended = conditions
        .iter()
        .find(|c| matches!(object::text(c, &["type"]), "Complete" | "Failed"))?;
    let ended: Timestamp = object::text(ended, &["lastTransitionTime"]).parse().ok()?;
    let moment = ended
        .checked_add(Duration::from_secs(seconds.unsigned_abs()))
        .ok()?;
    if moment > stage.now {
        return Some(moment);
    }
    let options = DeleteOptions::background(object::meta(&job.value, "uid"));
    stage.delete(state, "batch/jobs", &job.key(), &options);
    None
}
