//! Reports what was decided of a Kustomization: its status, and to the fleet what was written. Does I/O.

use std::time::Duration;

use super::context::Context;
use super::fleet::Message;
use super::job::Job;
use crate::report::{Outcome, StatusPatch};

/// Writes a status and tells the fleet of it; a status that cannot be written is logged, and comes with the
/// next run.
pub(crate) async fn report(cx: &Context, job: &Job, patch: &StatusPatch<'_>) {
    match job.statuses.report(&cx.api, job.ticket, patch).await {
        Ok(Some(status)) => {
            let message = Message::StatusWritten(job.owner.clone(), status);
            // The fleet ends only when the controller does.
            let _ = cx.messages.send(message).await;
        }
        Ok(None) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => tracing::warn!(kustomization = %job.owner, %error, "the status was not written"),
    }
}

/// Reports what was decided outside of a run; only an end handles a request and counts in the history.
pub(crate) async fn write_outcome(cx: &Context, job: &Job, outcome: &Outcome) {
    let memory = job.memory.as_ref().map(|memory| memory.digest.as_str());
    let ended = !matches!(outcome, Outcome::Progressing(_));
    let digest = memory.filter(|digest| ended && !digest.is_empty());
    let revision = job.revision();
    let patch = StatusPatch {
        handled: job.requested().filter(|_| ended),
        built: digest.map(|digest| (digest, Duration::ZERO)),
        ..job.patch(outcome, revision.as_deref())
    };
    report(cx, job, &patch).await;
}
