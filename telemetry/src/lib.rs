//! What every service of this workspace shows about itself, and how it stops.
//!
//! In: a filter, a redaction function, numbers and readiness from the service.
//! Out: log lines on standard error, `/metrics`, `/healthz` and `/readyz` over HTTP, and a token that is
//! cancelled when the process is asked to stop. This is the only package that sets up logging, and every byte
//! that it lets out passes through one [`Redaction`].
//!
//! ```text
//! tracing events --[ Redaction ]--> standard error        logs
//! Metrics, Readiness --[ Redaction ]--> HTTP              server
//! SIGTERM, SIGINT --> CancellationToken                   shutdown
//! ```

pub mod health;
pub mod logs;
pub mod metrics;
pub mod process;
mod repeats;
pub mod server;
pub mod shutdown;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Masks secrets in a text that is about to leave the process.
///
/// A service gives it once, at start; what it knows may grow while the service runs, since it is a function and
/// not a list.
#[derive(Clone)]
pub struct Redaction(Arc<Mask>);

type Mask = dyn for<'a> Fn(&'a str) -> Cow<'a, str> + Send + Sync;

impl Redaction {
    /// Wraps a function that returns the text with every secret in it masked.
    pub fn new(mask: impl for<'a> Fn(&'a str) -> Cow<'a, str> + Send + Sync + 'static) -> Self {
        Self(Arc::new(mask))
    }

    /// Lets every text through unchanged: for programs that hold no secrets.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::new(|text| Cow::Borrowed(text)))
    }

    /// Returns `text` with every secret masked.
    #[must_use]
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        (self.0)(text)
    }

    /// As [`Redaction::apply`], without a copy when there is nothing to mask.
    #[must_use]
    pub fn apply_to(&self, text: String) -> String {
        let masked = match self.apply(&text) {
            Cow::Owned(masked) => Some(masked),
            Cow::Borrowed(_) => None,
        };
        masked.unwrap_or(text)
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Redaction")
    }
}
