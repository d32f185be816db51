//! Events as Flux writes them. Pure.

use std::fmt::Write as _;

use crate::api::Reason;
use crate::plan::{Action, ObjectId};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something happened.
    Info,
    /// Something failed.
    Error,
}

/// An event about a Kustomization or a GitRepository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// How much it matters.
    pub severity: Severity,
    /// One word.
    pub reason: Reason,
    /// The revision it is about.
    pub revision: Option<String>,
    /// A sentence.
    pub message: String,
}

/// The longest message of an event that Kubernetes takes, in bytes.
const MAX_MESSAGE: usize = 1024;

/// The list of changes as Flux words it, one `Kind/namespace/name action` a line; nothing when nothing changed.
#[must_use]
pub fn change_list(changes: &[(ObjectId, Action)]) -> Option<String> {
    let mut text = String::new();
    for (index, (id, action)) in changes.iter().enumerate() {
        let line = format!("{id} {}", action.as_str());
        if text.len() + line.len() > MAX_MESSAGE - 40 {
            let _ = write!(text, "\nand {} more", changes.len() - index);
            break;
        }
        if index > 0 {
            text.push('\n');
        }
        text.push_str(&line);
    }
    (!text.is_empty()).then_some(text)
}
