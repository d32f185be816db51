//! Objects chosen by a condition, and what to say when none is. No I/O.

use std::collections::BTreeMap;

use reconciler::api::condition_types as types;

use crate::error::nearest;
use crate::objects::Summary;

/// The conditions that objects of both kinds have.
const TYPES: [&str; 6] = [
    types::READY,
    types::RECONCILING,
    types::STALLED,
    types::HEALTHY,
    types::ARTIFACT_IN_STORAGE,
    types::FETCH_FAILED,
];
const STATUSES: [&str; 3] = ["True", "False", "Unknown"];

/// A condition that objects are chosen by, in the notation of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StatusSelector {
    type_: &'static str,
    status: &'static str,
}

impl std::str::FromStr for StatusSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (type_, status) = text
            .split_once('=')
            .ok_or("expected a condition and its status, such as `ready=false`")?;
        Ok(Self {
            type_: among("condition", type_, &TYPES)?,
            status: among("status", status, &STATUSES)?,
        })
    }
}

/// The word that is meant, however its letters are written.
fn among(what: &str, word: &str, known: &[&'static str]) -> Result<&'static str, String> {
    if let Some(found) = known.iter().find(|it| it.eq_ignore_ascii_case(word)) {
        return Ok(found);
    }
    let lower: Vec<String> = known.iter().map(|it| it.to_ascii_lowercase()).collect();
    let meant = nearest(&word.to_ascii_lowercase(), lower.iter().map(String::as_str));
    let meant = meant.map_or(String::new(), |it| format!("; is `{it}` meant?"));
    Err(format!(
        "`{word}` is no {what}: one is {}{meant}",
        known.join(", ")
    ))
}

impl StatusSelector {
    /// Whether the object has the condition.
    pub(super) fn matches(&self, object: &Summary) -> bool {
        self.status_of(object).eq_ignore_ascii_case(self.status)
    }

    fn status_of<'a>(&self, object: &'a Summary) -> &'a str {
        let conditions = object
            .object
            .pointer("/status/conditions")
            .and_then(|it| it.as_array());
        conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == self.type_)
            .and_then(|condition| condition["status"].as_str())
            .unwrap_or("Unknown")
    }

    /// What the objects have instead, when none has the condition.
    pub(super) fn instead(&self, objects: &[Summary], place: &str) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for object in objects {
            *counts.entry(self.status_of(object)).or_default() += 1;
        }
        let Self { type_, status } = self;
        let others: Vec<String> = counts
            .iter()
            .map(|(status, count)| match count {
                1 => format!("1 has {type_}={status}"),
                count => format!("{count} have {type_}={status}"),
            })
            .collect();
        format!("Nothing has {type_}={status} in {place}: {}.", others.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_object_can_have_is_answered_with_what_it_can() {
        let refused = |text: &str| text.parse::<StatusSelector>().unwrap_err();
        assert_eq!(
            refused("ready=fals"),
            "`fals` is no status: one is True, False, Unknown; is `false` meant?"
        );
        assert_eq!(
            refused("foo=false"),
            "`foo` is no condition: one is Ready, Reconciling, Stalled, Healthy, ArtifactInStorage, FetchFailed"
        );
        assert_eq!(
            refused("ready"),
            "expected a condition and its status, such as `ready=false`"
        );
        assert!("READY=false".parse::<StatusSelector>().is_ok());
    }
}
