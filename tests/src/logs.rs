//! What the controller of a scenario logs, to be shown when the scenario fails. No I/O.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use reconciler::report::redact::Redactor;
use telemetry::Redaction;
use telemetry::logs::{Format, LogConfig, subscriber};
use tracing::Dispatch;

/// While `tracing` knows of one subscriber only, the first thread that comes by a line decides for all whether it
/// is wanted, and that thread may be one of a scenario that logs elsewhere. Of several, all are asked.
static SILENT: LazyLock<[Dispatch; 2]> = LazyLock::new(|| {
    [(); 2].map(|()| {
        let nothing = LogConfig {
            filter: "off".to_owned(),
            format: Format::Json,
            redaction: Redactor::default().into(),
        };
        Dispatch::new(subscriber(&nothing, io::sink).unwrap())
    })
});

/// Lines in memory; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// A subscriber that writes here what `filter` wants, redacted.
    ///
    /// # Panics
    /// When the filter is not one.
    #[must_use]
    pub fn dispatch(&self, filter: &str, format: Format, redaction: Redaction) -> Dispatch {
        LazyLock::force(&SILENT);
        let config = LogConfig {
            filter: filter.to_owned(),
            format,
            redaction,
        };
        let log = self.clone();
        Dispatch::new(subscriber(&config, move || log.clone()).unwrap())
    }

    /// What was logged so far.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
