//! What the controller of a scenario logs, to be shown when the scenario fails. No I/O.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use reconciler::report::redact::Redactor;
use telemetry::Redaction;
use telemetry::logs::{Format, LogConfig, subscriber};
use tokio::sync::watch;
use tracing::Dispatch;

use crate::world::PATIENCE;

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
pub struct Log {
    lines: Arc<Mutex<Vec<u8>>>,
    written: Arc<watch::Sender<()>>,
}

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
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }

    /// Waits until a line says this.
    ///
    /// # Panics
    /// When none does.
    pub async fn until(&self, part: &str) {
        let mut written = self.written.subscribe();
        let look = async {
            while !self.text().contains(part) {
                // The sender is in this log.
                let _ = written.changed().await;
            }
        };
        let logged = tokio::time::timeout(PATIENCE, look).await;
        assert!(logged.is_ok(), "this was not logged: {part}");
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend_from_slice(line);
        drop(lines);
        self.written.send_replace(());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
