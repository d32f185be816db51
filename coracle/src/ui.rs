//! The only place that prints: lines, tables, objects, errors. Does I/O: writes to stdout and stderr.
//!
//! Results go to standard output, what happens meanwhile to standard error. Colours are written only
//! where a terminal reads them.

use std::error::Error as _;
use std::fmt::{self, Display};
use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::error::Error;

/// Something that went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Something that went wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something that is under way or wants attention.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Something beside the point.
pub const DIM: Style = Style::new().dimmed();
/// Something that stands out.
pub const STRONG: Style = Style::new().bold();

/// A text with a style that is dropped where it cannot be shown.
#[derive(Clone, Debug)]
pub struct Styled {
    text: String,
    style: Style,
}

impl Styled {
    /// A text in this style.
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Styled {
    fn from(text: T) -> Self {
        Self::new(Style::new(), text)
    }
}

impl Display for Styled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.style, self.text, self.style.render_reset())
    }
}

/// Where the program's output goes.
pub struct Ui {
    out: AutoStream<Box<dyn Write + Send>>,
    err: AutoStream<Box<dyn Write + Send>>,
    interactive: bool,
}

impl Ui {
    /// Standard output and standard error.
    #[must_use]
    pub fn standard(color: ColorChoice) -> Self {
        let choose = |terminal: bool| match color {
            ColorChoice::Auto if !terminal => ColorChoice::Never,
            ColorChoice::Auto => anstream::stdout().current_choice(),
            chosen => chosen,
        };
        let (out, err) = (io::stdout(), io::stderr());
        let (out_choice, err_choice) = (choose(out.is_terminal()), choose(err.is_terminal()));
        Self {
            interactive: out.is_terminal() && io::stdin().is_terminal(),
            out: AutoStream::new(Box::new(io::LineWriter::new(out)), out_choice),
            err: AutoStream::new(Box::new(err), err_choice),
        }
    }

    /// Keeps what is printed, for tests.
    #[must_use]
    pub fn captured() -> (Self, Captured) {
        let captured = Captured::default();
        let stream = |target: &Arc<Mutex<Vec<u8>>>| {
            AutoStream::never(Box::new(Sink(Arc::clone(target))) as Box<dyn Write + Send>)
        };
        let ui = Self {
            out: stream(&captured.out),
            err: stream(&captured.err),
            interactive: false,
        };
        (ui, captured)
    }

    /// Whether a person is at the other end.
    #[must_use]
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Prints a line of the result.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn line(&mut self, text: impl Display) -> Result<(), Error> {
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    /// Prints a result as it is.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn text(&mut self, text: &str) -> Result<(), Error> {
        self.out.write_all(text.as_bytes())?;
        Ok(())
    }

    /// Prints a line about what is happening.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn progress(&mut self, text: impl Display) -> Result<(), Error> {
        writeln!(self.err, "{text}")?;
        Ok(())
    }

    /// Prints what to do: a sentence.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn hint(&mut self, text: impl Display) -> Result<(), Error> {
        writeln!(self.err, "{} {text}", Styled::new(WARN, "hint:"))?;
        Ok(())
    }

    /// Prints an object as JSON.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn json(&mut self, value: &Value) -> Result<(), Error> {
        self.line(format_args!("{value:#}"))
    }

    /// Prints an object as a YAML document.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn yaml(&mut self, value: &Value) -> Result<(), Error> {
        self.text(&yaml(value))
    }

    /// Asks a question; only `y` and `yes` mean yes.
    ///
    /// # Errors
    /// The answer cannot be read.
    pub fn confirm(&mut self, question: &str) -> Result<bool, Error> {
        write!(self.err, "{question} [y/N] ")?;
        self.err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Prints an error, what caused it, and what to do. Nothing is left to do when this fails.
    pub fn error(&mut self, error: &Error) {
        let label = Styled::new(BAD, "error:");
        let _ = writeln!(self.err, "{label} {error}");
        let mut said = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some libraries repeat the cause in their own message.
            if !said.ends_with(&text) {
                let _ = writeln!(self.err, "  {} {text}", Styled::new(DIM, "because"));
            }
            said = text;
            source = cause.source();
        }
        for hint in error.hints() {
            let _ = self.hint(hint);
        }
    }

    /// Writes what is still held back.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.out.flush()?;
        Ok(())
    }
}

/// An object as a YAML document, in the notation of `kubectl` and `kustomize`.
#[must_use]
pub fn yaml(value: &Value) -> String {
    kustomize_rs::yaml::emit(value)
}

/// Objects as one: themselves if there is one, else a `List`.
#[must_use]
pub fn as_one(mut objects: Vec<Value>) -> Value {
    if objects.len() == 1 {
        return objects.remove(0);
    }
    json!({ "apiVersion": "v1", "kind": "List", "items": objects })
}

/// What was printed in a test.
#[derive(Clone, Default)]
pub struct Captured {
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
}

impl Captured {
    /// What went to standard output.
    #[must_use]
    pub fn out(&self) -> String {
        text_of(&self.out)
    }

    /// What went to standard error.
    #[must_use]
    pub fn err(&self) -> String {
        text_of(&self.err)
    }
}

fn text_of(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Rows of cells under a header, aligned by the widest cell of each column.
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Styled>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(header: impl Into<Vec<&'static str>>) -> Self {
        Self {
            header: header.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. It has as many cells as the header.
    pub fn row(&mut self, cells: Vec<Styled>) {
        debug_assert_eq!(cells.len(), self.header.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The widths of the columns, header included.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.header.iter().map(|title| title.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        widths
    }

    /// The lines of the table, the header first.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let widths = self.widths();
        let header: Vec<Styled> = self.header.iter().map(|title| (*title).into()).collect();
        std::iter::once(&header)
            .chain(&self.rows)
            .map(|row| align(row, &widths))
            .collect()
    }

    /// Prints the table.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn print(&self, ui: &mut Ui) -> Result<(), Error> {
        self.lines().iter().try_for_each(|line| ui.line(line))
    }
}

/// A row with its cells padded to these widths; the last one is not padded.
#[must_use]
pub fn align(row: &[Styled], widths: &[usize]) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        line.push_str(&cell.to_string());
        if index + 1 < row.len() {
            let padding = width.saturating_sub(cell.text.chars().count()) + 3;
            line.extend(std::iter::repeat_n(' ', padding));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_table_is_aligned_by_characters_and_its_last_column_is_not_padded() {
        let mut table = Table::new(["NAME", "READY", "MESSAGE"]);
        table.row(vec!["apps".into(), Styled::new(GOOD, "True"), "Applied".into()]);
        table.row(vec!["größe".into(), Styled::new(BAD, "False"), "x".into()]);
        let (mut ui, captured) = Ui::captured();
        table.print(&mut ui).unwrap();
        assert_eq!(
            captured.out(),
            "NAME    READY   MESSAGE\napps    True    Applied\ngröße   False   x\n"
        );
    }

    #[test]
    fn an_error_is_told_with_its_causes_and_hints() {
        let (mut ui, captured) = Ui::captured();
        let cause = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
        ui.error(
            &Error::new(Kind::Cluster, "cannot reach the cluster")
                .caused_by(cause)
                .hint("Is it running?"),
        );
        assert_eq!(
            captured.err(),
            "error: cannot reach the cluster\n  because connection refused\nhint: Is it running?\n"
        );
    }
}
