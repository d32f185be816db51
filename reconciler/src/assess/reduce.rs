//! Reduces an object seen on a watch to what health needs, so that the object can be dropped at once.
//!
//! In: an object of any size. Out: an [`Observed`] of about a hundred bytes. Pure.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

use super::status::{StatusKind, compute};

/// Longest message that is kept, in bytes; kstatus' own are short, but conditions of custom resources are not.
const MESSAGE_LIMIT: usize = 300;

/// What is remembered of an object between two events.
///
/// Thousands of these are held. A healthy object keeps no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.resourceVersion`; only ever compared for equality.
    pub resource_version: Box<str>,
    /// `metadata.generation`; 0 for kinds that have none.
    pub generation: i64,
    /// State by kstatus' rules.
    pub kind: StatusKind,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// kstatus' message, shortened; empty when the object is current.
    pub message: Box<str>,
}

impl Observed {
    /// Reduces an object.
    #[must_use]
    pub fn reduce(object: &Value, now: Timestamp) -> Self {
        let metadata = &object["metadata"];
        let text = |name: &str| metadata[name].as_str().unwrap_or_default();
        let status = compute(object, now);
        let message = if status.kind == StatusKind::Current {
            ""
        } else {
            &status.message
        };
        Self {
            uid: text("uid").into(),
            resource_version: text("resourceVersion").into(),
            generation: metadata["generation"].as_i64().unwrap_or_default(),
            kind: status.kind,
            deleting: !text("deletionTimestamp").is_empty(),
            message: shorten(message, MESSAGE_LIMIT).into(),
        }
    }
}

/// The text, or its longest beginning of at most `limit` bytes with an ellipsis: by that, redaction sees that a
/// secret at the end may be cut.
pub(crate) fn shorten(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(limit)]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn a_healthy_object_keeps_no_message_and_nothing_of_its_content() {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "db", "namespace": "web", "uid": "u1", "resourceVersion": "7"},
            "data": {"password": "aHVudGVyMg=="},
        });
        assert_eq!(
            Observed::reduce(&secret, NOW),
            Observed {
                uid: "u1".into(),
                resource_version: "7".into(),
                generation: 0,
                kind: StatusKind::Current,
                deleting: false,
                message: "".into(),
            }
        );
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let object = json!({
            "apiVersion": "x.dev/v1", "kind": "X", "metadata": {"generation": 2},
            "status": {"conditions": [{"type": "Ready", "status": "False", "message": "é".repeat(400)}]},
        });
        let observed = Observed::reduce(&object, NOW);
        assert_eq!(observed.kind, StatusKind::InProgress);
        assert_eq!(&*observed.message, "é".repeat(150) + "…");
    }

    #[test]
    fn the_size_of_what_is_kept_stays_small() {
        assert!(size_of::<Observed>() <= 64, "{}", size_of::<Observed>());
    }
}
