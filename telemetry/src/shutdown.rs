//! Stops a service: the first signal asks, the second insists.
//!
//! In: SIGTERM and SIGINT. Out: a cancelled token; on the second signal, the end of the process. Does I/O: signals.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A signal that asks a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Interrupt,
    Terminate,
}

impl Request {
    /// Exit code of a process that the signal ended, as shells report it: 128 and the signal's number.
    fn exit_code(self) -> i32 {
        match self {
            Self::Interrupt => 128 + 2,
            Self::Terminate => 128 + 15,
        }
    }
}

/// Where requests to end come from.
trait Requests {
    fn next(&mut self) -> impl Future<Output = Request> + Send;
}

/// Requests that are sent as signals.
struct Signals {
    interrupts: Signal,
    terminations: Signal,
}

impl Requests for Signals {
    async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.interrupts.recv() => Request::Interrupt,
            _ = self.terminations.recv() => Request::Terminate,
        }
    }
}

/// Returns a token that is cancelled on the first SIGTERM or SIGINT. A second one ends the process at once, with
/// the exit code that shells give to the signal.
///
/// # Errors
/// When the signals cannot be listened for.
pub fn on_signals() -> io::Result<CancellationToken> {
    let signals = Signals {
        interrupts: signal(SignalKind::interrupt())?,
        terminations: signal(SignalKind::terminate())?,
    };
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move { std::process::exit(second_of(signals, &cancelled).await.exit_code()) });
    Ok(token)
}

/// Cancels the token on the first request and returns the second.
async fn second_of(mut requests: impl Requests, token: &CancellationToken) -> Request {
    let first = requests.next().await;
    tracing::info!(signal = ?first, "stopping; a second signal ends the process at once");
    token.cancel();
    requests.next().await
}

/// Runs what has to end, once it was asked to, within a deadline.
///
/// `work` runs freely until `stop` is cancelled; from then on it has `grace` to return. `None` when it did not and
/// was dropped.
pub async fn finish_within<T>(
    work: impl Future<Output = T>,
    stop: &CancellationToken,
    grace: Duration,
) -> Option<T> {
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        done = work => Some(done),
        () = overdue => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    impl Requests for mpsc::UnboundedReceiver<Request> {
        async fn next(&mut self) -> Request {
            self.recv().await.unwrap()
        }
    }

    #[tokio::test]
    async fn the_first_signal_cancels_and_the_second_is_reported() {
        let (send, requests) = mpsc::unbounded_channel();
        let token = CancellationToken::new();
        let watched = token.clone();
        let watching = tokio::spawn(async move { second_of(requests, &watched).await });

        assert!(!token.is_cancelled());
        send.send(Request::Terminate).unwrap();
        token.cancelled().await;
        send.send(Request::Interrupt).unwrap();
        assert_eq!(watching.await.unwrap().exit_code(), 130);
    }

    #[tokio::test]
    async fn work_that_returns_in_time_gives_its_result() {
        let stop = CancellationToken::new();
        stop.cancel();
        let work = async { "drained" };
        assert_eq!(
            finish_within(work, &stop, Duration::from_secs(3600)).await,
            Some("drained")
        );
    }

    #[tokio::test]
    async fn work_that_never_returns_is_dropped_after_the_grace() {
        let stop = CancellationToken::new();
        stop.cancel();
        let work = std::future::pending::<()>();
        assert_eq!(finish_within(work, &stop, Duration::ZERO).await, None);
    }
}
