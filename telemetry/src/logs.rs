//! Sets up logging: one line an event, on standard error, redacted.
//!
//! In: a [`LogConfig`]. Out: a process-wide subscriber for `tracing`. Does I/O: writes to standard error.

use std::io::{self, IsTerminal as _, Write};
use std::panic::{self, PanicHookInfo};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::Redaction;
pub use crate::repeats::Repeats;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: time, level, message, fields; with colours if asked for.
    Text {
        /// Whether to write ANSI colours.
        colours: bool,
    },
    /// For machines: one JSON object a line, with `timestamp`, `level`, `target`, `message`, the fields of the
    /// event at the top level, and those of its span under `span`.
    Json,
}

impl Format {
    /// Chooses [`Format::Text`] with colours when standard error is a terminal, else [`Format::Json`].
    #[must_use]
    pub fn detect() -> Self {
        if io::stderr().is_terminal() {
            Self::Text { colours: true }
        } else {
            Self::Json
        }
    }
}

/// What to log, how, and what never to log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Directives as `tracing_subscriber::EnvFilter` reads them, such as `info,reconciler=debug`.
    pub filter: String,
    /// How a line looks.
    pub format: Format,
    /// What every line passes through before it is written.
    pub redaction: Redaction,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("log filter {filter:?} is not valid: expected directives such as \"info,reconciler=debug\"")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before in this process.
    #[error("logging is already set up in this process")]
    AlreadyStarted(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Sets up logging for the whole process, on standard error. From then on a panic is logged like anything else, so
/// that what it says passes through the redaction too.
///
/// # Errors
/// [`LogError`] when the filter cannot be read, or when logging is set up already.
pub fn start(config: &LogConfig) -> Result<(), LogError> {
    let subscriber = subscriber(config, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(LogError::AlreadyStarted)?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let said = panic.payload_as_str().unwrap_or("a value that is no text");
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    match panic.location() {
        Some(place) => tracing::error!(thread, at = %place, "panic: {said}"),
        None => tracing::error!(thread, "panic: {said}"),
    }
}

/// Builds the subscriber that [`start`] installs, writing to `output` instead.
///
/// # Errors
/// [`LogError::Filter`] when the filter cannot be read.
pub fn subscriber<M>(config: &LogConfig, output: M) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    M: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.filter).map_err(|source| LogError::Filter {
        filter: config.filter.clone(),
        source,
    })?;
    let lines = Lines {
        output,
        redaction: config.redaction.clone(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines);
    Ok(match config.format {
        Format::Text { colours } => {
            Box::new(builder.with_ansi(colours).with_target(false).compact().finish())
        }
        Format::Json => Box::new(
            builder
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .finish(),
        ),
    })
}

/// Makes one [`Line`] an event.
struct Lines<M> {
    output: M,
    redaction: Redaction,
}

impl<'a, M> MakeWriter<'a> for Lines<M>
where
    M: MakeWriter<'a>,
{
    type Writer = Line<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line {
            pending: Vec::new(),
            output: self.output.make_writer(),
            redaction: self.redaction.clone(),
        }
    }
}

/// Holds a line back until it is complete: a secret may be spread over several writes.
struct Line<W: Write> {
    pending: Vec<u8>,
    output: W,
    redaction: Redaction,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Drop for Line<W> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.pending);
        // Nobody is left to tell when standard error is gone.
        let _ = self.output.write_all(self.redaction.apply(&text).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Captured {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(filter: &str, format: Format, events: impl FnOnce()) -> String {
        let captured = Captured::default();
        let redaction = Redaction::new(|text| {
            if text.contains("hunter2") {
                Cow::Owned(text.replace("hunter2", "***"))
            } else {
                Cow::Borrowed(text)
            }
        });
        let config = LogConfig {
            filter: filter.to_owned(),
            format,
            redaction,
        };
        let subscriber = subscriber(&config, captured.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, events);
        captured.text()
    }

    #[test]
    fn json_lines_carry_fields_at_the_top_and_the_span_beside_them() {
        let text = logged("info", Format::Json, || {
            let span = tracing::info_span!("run", kustomization = "flux-system/apps");
            span.in_scope(|| tracing::info!(revision = "main@sha1:abc", "applied"));
        });
        let mut line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(line.as_object_mut().unwrap().remove("timestamp").is_some());
        assert_eq!(
            line,
            serde_json::json!({
                "level": "INFO",
                "target": "telemetry::logs::tests",
                "message": "applied",
                "revision": "main@sha1:abc",
                "span": {"name": "run", "kustomization": "flux-system/apps"},
            })
        );
    }

    #[test]
    fn secrets_are_masked_in_messages_fields_and_spans_of_both_formats() {
        for format in [Format::Json, Format::Text { colours: false }] {
            let text = logged("info", format, || {
                let span = tracing::info_span!("run", token = "hunter2");
                span.in_scope(|| tracing::info!(password = "hunter2", "the password is hunter2"));
            });
            assert!(!text.contains("hunter2"), "{text}");
            assert_eq!(text.matches("***").count(), 3, "{text}");
        }
    }

    #[test]
    fn the_filter_decides_what_is_written() {
        let text = logged("warn", Format::Text { colours: false }, || {
            tracing::info!("left out");
            tracing::warn!("kept");
        });
        assert!(text.contains("WARN kept") && !text.contains("left out"), "{text}");
    }

    #[test]
    fn a_filter_that_is_not_one_is_refused_with_an_example() {
        let config = LogConfig {
            filter: "reconciler=loud".into(),
            format: Format::Json,
            redaction: Redaction::none(),
        };
        let error = subscriber(&config, io::sink).err().unwrap();
        assert_eq!(
            error.to_string(),
            "log filter \"reconciler=loud\" is not valid: expected directives such as \"info,reconciler=debug\""
        );
    }
}
