//! Reports what was decided of a Kustomization: its status, the Event that is worth sending, and to the fleet what was
//! written. Does I/O.

use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::fleet::Message;
use super::job::Job;
use super::statuses::StatusWriter;
use crate::cluster::ApiError;
use crate::plan::Owner;
use crate::report::{Outcome, StatusPatch};

/// The first pause before a status is written again that could not be.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// What a status is made of, to be kept until it is written.
#[derive(Clone)]
struct Report {
    owner: Arc<Owner>,
    statuses: Arc<StatusWriter>,
    ticket: u64,
    outcome: Outcome,
    generation: i64,
    revision: Option<String>,
    handled: Option<String>,
    built: Option<(String, Duration)>,
    timeout: Duration,
}

/// Writes the status that follows from a run, which built this in that time, and tells the fleet of it.
pub(crate) async fn report_run(
    cx: &Arc<Context>,
    job: &Job,
    outcome: Outcome,
    built: Option<(String, Duration)>,
) {
    let handled = job.requested().map(ToOwned::to_owned);
    tell(cx, job, &outcome);
    report(cx, job.report(outcome, handled, built)).await;
}

/// Writes the status that follows from what was decided outside of a run; only an end handles a request. With the time
/// that it took, what was built counts in the history. Gives whether an Event told of it.
pub(crate) async fn report_outcome(
    cx: &Arc<Context>,
    job: &Job,
    outcome: Outcome,
    took: Option<Duration>,
) -> bool {
    let ended = !matches!(outcome, Outcome::Progressing(_));
    let handled = job.requested().filter(|_| ended).map(ToOwned::to_owned);
    let digest = job.memory.as_ref().map(|memory| memory.digest.clone());
    let built = digest.filter(|digest| !digest.is_empty()).zip(took);
    let told = tell(cx, job, &outcome);
    report(cx, job.report(outcome, handled, built)).await;
    told
}

/// Writes the status of what is suspended: nothing was tried, and no request is handled.
pub(crate) async fn report_suspended(cx: &Arc<Context>, job: &Job) {
    let of_nothing = Report {
        revision: None,
        ..job.report(Outcome::Suspended, None, None)
    };
    report(cx, of_nothing).await;
}

/// Sends the Event that an outcome is worth; gives whether there was one.
fn tell(cx: &Context, job: &Job, outcome: &Outcome) -> bool {
    let event = job.news.of(job.ticket, outcome, job.stand.revision.as_deref());
    event.map(|event| cx.recorder.tell(job, event)).is_some()
}

/// A status that cannot be written now is written when it can be, unless a newer one has been by then.
async fn report(cx: &Arc<Context>, report: Report) {
    let Err(error) = report.write(cx).await else {
        return;
    };
    if is_final(&error) {
        tracing::debug!(kustomization = %report.owner, %error, "the status is not written");
        return;
    }
    tracing::warn!(kustomization = %report.owner, %error, "the status could not be written and is tried again");
    let cx = cx.clone();
    tokio::spawn(async move { report.write_until_written(&cx).await });
}

/// Whether it makes no sense to try again: the object is gone, or this process no longer leads.
fn is_final(error: &ApiError) -> bool {
    error.is_not_found() || matches!(error, ApiError::Revoked(_) | ApiError::Replaced(_))
}

impl Job {
    fn report(&self, outcome: Outcome, handled: Option<String>, built: Option<(String, Duration)>) -> Report {
        Report {
            owner: self.owner.clone(),
            statuses: self.statuses.clone(),
            ticket: self.ticket,
            outcome,
            generation: self.generation(),
            revision: self.revision(),
            handled,
            built,
            timeout: self.timeout,
        }
    }
}

impl Report {
    async fn write(&self, cx: &Context) -> Result<(), ApiError> {
        let patch = StatusPatch {
            outcome: &self.outcome,
            generation: self.generation,
            revision: self.revision.as_deref(),
            inventory: None,
            handled: self.handled.as_deref(),
            built: self.built.as_ref().map(|(digest, took)| (digest.as_str(), *took)),
            timeout: self.timeout,
        };
        if let Some(status) = self.statuses.report(&cx.api, self.ticket, &patch).await? {
            let message = Message::StatusWritten(self.owner.clone(), status);
            // The fleet ends only when the controller does.
            let _ = cx.messages.send(message).await;
        }
        Ok(())
    }

    async fn write_until_written(&self, cx: &Context) {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::select! {
                () = cx.leadership.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            match self.write(cx).await {
                Err(error) if !is_final(&error) => pause = (pause * 2).min(LAST_PAUSE),
                _ => return,
            }
        }
    }
}
