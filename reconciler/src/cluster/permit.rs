//! The right to write: made of leadership, a deadline and not being superseded (rule 5). No I/O.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why a permit no longer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Revoked {
    /// Another process may be writing.
    #[error("leadership was lost")]
    NotLeader,
    /// The run's time is over.
    #[error("the run took longer than spec.timeout")]
    Deadline,
    /// The run is no longer wanted: suspended, deleted, or the controller stops.
    #[error("the run was canceled")]
    Canceled,
}

/// Every write asks it first, each time it is sent, and is not sent when it no longer holds.
#[derive(Clone, Debug)]
pub struct Permit {
    leadership: CancellationToken,
    canceled: CancellationToken,
    superseded: CancellationToken,
    deadline: Option<Instant>,
}

impl Permit {
    /// A permit that holds until `leadership` or `canceled` is cancelled, or `timeout` has passed.
    #[must_use]
    pub fn new(leadership: CancellationToken, canceled: CancellationToken, timeout: Duration) -> Self {
        Self {
            leadership,
            canceled,
            superseded: CancellationToken::new(),
            deadline: Some(Instant::now() + timeout),
        }
    }

    /// The same permit, for a run that waits for nothing any more once `superseded` is cancelled.
    #[must_use]
    pub fn superseded_by(self, superseded: CancellationToken) -> Self {
        Self { superseded, ..self }
    }

    /// A permit that holds as long as `leadership` does: for what is written outside of runs.
    #[must_use]
    pub fn of_leader(leadership: CancellationToken) -> Self {
        Self {
            leadership,
            canceled: CancellationToken::new(),
            superseded: CancellationToken::new(),
            deadline: None,
        }
    }

    /// Whether the next write may be made.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), Revoked> {
        if self.leadership.is_cancelled() {
            return Err(Revoked::NotLeader);
        }
        if self.canceled.is_cancelled() {
            return Err(Revoked::Canceled);
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Revoked::Deadline);
        }
        Ok(())
    }

    /// Waits for something that others have to do; gives it up as well when there is something newer to run for.
    ///
    /// # Errors
    /// Why the permit was revoked.
    pub async fn wait<T>(&self, waiting: impl Future<Output = T>) -> Result<T, Revoked> {
        tokio::select! {
            biased;
            () = self.superseded.cancelled() => Err(Revoked::Canceled),
            awaited = self.race(waiting) => awaited,
        }
    }

    /// Runs something that only reads, and gives it up when the permit is revoked.
    ///
    /// # Errors
    /// Why the permit was revoked.
    pub async fn race<T>(&self, reading: impl Future<Output = T>) -> Result<T, Revoked> {
        let over = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.leadership.cancelled() => Err(Revoked::NotLeader),
            () = self.canceled.cancelled() => Err(Revoked::Canceled),
            () = over => Err(Revoked::Deadline),
            value = reading => Ok(value),
        }
    }
}
