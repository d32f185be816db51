//! The right to write: made of leadership, a deadline and not being superseded (rule 5). No I/O.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::ApiError;

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

/// Every write asks it first, and stops when it no longer holds.
#[derive(Clone, Debug)]
pub struct Permit {
    leadership: CancellationToken,
    canceled: CancellationToken,
    deadline: Instant,
}

impl Permit {
    /// A permit that holds until `leadership` or `canceled` is cancelled, or `timeout` has passed.
    #[must_use]
    pub fn new(leadership: CancellationToken, canceled: CancellationToken, timeout: Duration) -> Self {
        Self {
            leadership,
            canceled,
            deadline: Instant::now() + timeout,
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
        if Instant::now() >= self.deadline {
            return Err(Revoked::Deadline);
        }
        Ok(())
    }

    /// Runs something that only reads, and gives it up when the permit is revoked.
    ///
    /// # Errors
    /// Why the permit was revoked.
    pub async fn race<T>(&self, reading: impl Future<Output = T>) -> Result<T, Revoked> {
        tokio::select! {
            biased;
            () = self.leadership.cancelled() => Err(Revoked::NotLeader),
            () = self.canceled.cancelled() => Err(Revoked::Canceled),
            () = tokio::time::sleep_until(self.deadline) => Err(Revoked::Deadline),
            value = reading => Ok(value),
        }
    }
}

impl From<Revoked> for ApiError {
    fn from(revoked: Revoked) -> Self {
        Self::NotPermitted(match revoked {
            Revoked::NotLeader => "leadership was lost",
            Revoked::Deadline => "the run took longer than spec.timeout",
            Revoked::Canceled => "the run was canceled",
        })
    }
}
