//! Cases of the matrix: rows that are told one after another, in a namespace of their own. No I/O.

use serde_json::Value;

use crate::request::Ask;

/// A story of requests. Its name is a sentence, and names its namespace too.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) rows: Vec<Row>,
}

/// One request, or a look at a watch, with the sentence that its answer proves.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) does: Does,
    /// What later rows need of the answer: a name, and where the value is.
    pub(crate) keeps: Vec<(&'static str, &'static str)>,
}

/// What a row does.
pub(crate) enum Does {
    /// Asks once.
    Ask(Ask),
    /// Asks until the answer is so: what controllers do takes a while.
    AskUntil(Ask, Condition),
    /// Opens a watch of this name.
    Open(&'static str, Ask),
    /// Reads the events of a watch up to one.
    Read(&'static str, Last),
}

/// What is waited for.
#[derive(Clone)]
pub(crate) enum Condition {
    /// Something is somewhere in the answer.
    Is(&'static str, Value),
    /// Something is somewhere, whatever it is.
    Has(&'static str),
    /// The answer has this code.
    Code(u16),
}

/// The last event that is read of a watch.
#[derive(Clone, Copy)]
pub(crate) enum Last {
    /// That of an object of this name.
    Named(&'static str),
    /// The first of this type.
    Type(&'static str),
    /// The server ends the watch.
    End,
}

impl Case {
    /// The namespace in which it is told.
    pub(crate) fn namespace(&self) -> String {
        let words: Vec<&str> = self
            .name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let mut name = format!("m-{}", words.join("-").to_lowercase());
        // A namespace's name is a label of DNS.
        name.truncate(60);
        name.trim_end_matches('-').to_owned()
    }
}

/// A case of these rows.
pub(crate) fn case<const N: usize>(name: &'static str, rows: [Row; N]) -> Case {
    Case {
        name,
        rows: rows.into_iter().collect(),
    }
}

/// A row that asks.
pub(crate) fn row(name: &'static str, ask: Ask) -> Row {
    Row::new(name, Does::Ask(ask))
}

/// A row that asks until the answer is so.
pub(crate) fn until(name: &'static str, ask: Ask, condition: Condition) -> Row {
    Row::new(name, Does::AskUntil(ask, condition))
}

/// A row that opens a watch.
pub(crate) fn open(name: &'static str, watch: &'static str, ask: Ask) -> Row {
    Row::new(name, Does::Open(watch, ask))
}

/// A row that reads a watch.
pub(crate) fn read(name: &'static str, watch: &'static str, last: Last) -> Row {
    Row::new(name, Does::Read(watch, last))
}

impl Row {
    fn new(name: &'static str, does: Does) -> Self {
        Self {
            name,
            does,
            keeps: Vec::new(),
        }
    }

    /// Keeps what is at a pointer for later rows, as `${name}`.
    pub(crate) fn keep(mut self, name: &'static str, pointer: &'static str) -> Self {
        self.keeps.push((name, pointer));
        self
    }

    /// What was asked, as it is recorded.
    pub(crate) fn line(&self) -> String {
        match &self.does {
            Does::Ask(ask) | Does::AskUntil(ask, _) => ask.line(),
            Does::Open(name, ask) => format!("{} as {name}", ask.line()),
            Does::Read(name, _) => format!("events of {name}"),
        }
    }
}
