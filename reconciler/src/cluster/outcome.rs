//! One enum for all that can come back from the API server instead of the object. No I/O.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::Revoked;
use crate::plan::ObjectId;

/// The body of a refusal (`metav1.Status`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Status {
    /// HTTP code.
    #[serde(default)]
    pub code: u16,
    /// One word, such as `NotFound`.
    #[serde(default)]
    pub reason: String,
    /// A sentence.
    #[serde(default)]
    pub message: String,
    /// Causes, the object's name and kind, seconds to wait.
    #[serde(default)]
    pub details: Value,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code == 401 {
            return f.write_str(
                "the API server does not accept the credentials (401 Unauthorized): has their token expired, or was \
                 their account deleted?",
            );
        }
        if self.message.is_empty() {
            return write!(f, "the API server answered {} {}", self.code, self.reason);
        }
        f.write_str(&self.message)
    }
}

impl Status {
    /// A 404 that names no object: the path itself is not served, as when the kind's definition was deleted.
    #[must_use]
    pub fn is_unserved(&self) -> bool {
        self.code == 404 && self.named("kind").is_empty() && self.named("name").is_empty()
    }

    /// A 404 that names the namespace.
    #[must_use]
    pub fn is_missing_namespace(&self) -> bool {
        self.code == 404 && self.named("kind") == "namespaces"
    }

    /// A 403 of who knows the rights of accounts, not of what admits objects.
    fn is_denied(&self) -> bool {
        self.code == 403 && self.message.contains("\" cannot ") && self.message.contains(" resource \"")
    }

    /// A 403 since the namespace is being deleted.
    #[must_use]
    pub fn is_terminating_namespace(&self) -> bool {
        let causes = self.details.get("causes").and_then(Value::as_array);
        let mut causes = causes.into_iter().flatten();
        self.code == 403 && causes.any(|cause| cause["reason"] == "NamespaceTerminating")
    }

    fn named(&self, detail: &str) -> &str {
        self.details
            .get(detail)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// In the words of structured-merge-diff and of Go's decoders, which the API server passes on.
const NOT_OF_THE_SCHEMA: [&str; 2] = [
    "failed to create typed patch object",
    "unable to convert unstructured object",
];

/// Why a request brought no object.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server refused; nothing was changed.
    #[error("{0}")]
    Refused(Box<Status>),
    /// The request was never sent.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// The request was sent and no whole answer came: it may have been carried out, or may yet be.
    #[error("the connection to the API server broke before it answered: {0}")]
    Ambiguous(String),
    /// The answer was not what the API promises.
    #[error("the API server's answer cannot be read: {0}")]
    Unreadable(String),
    /// The answer was larger than what is taken.
    #[error("the API server's answer is larger than {limit} bytes")]
    TooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// Whoever else writes the object was faster each time.
    #[error("{what} changed each time {deed}: another program writes it all the time")]
    Overtaken {
        /// What changed.
        what: String,
        /// What was about to be done.
        deed: &'static str,
    },
    /// The object was deleted, and another one has its name.
    #[error("{0} was deleted, and another object has its name")]
    Replaced(ObjectId),
    /// The kind is not served.
    #[error(
        "no matches for kind \"{kind}\" in version \"{api_version}\": is its CustomResourceDefinition installed?"
    )]
    UnknownKind {
        /// `group/version`.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// The permit to write was withdrawn before the request was sent.
    #[error(transparent)]
    Revoked(#[from] Revoked),
}

impl ApiError {
    /// Whether the request may have been carried out, or may yet be.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Ambiguous(_))
    }

    /// Whether a refused write may have been carried out all the same: the server, or what it asked, took too long.
    #[must_use]
    pub fn may_have_been_carried_out(&self) -> bool {
        [500, 502, 503, 504].iter().any(|code| self.has_code(*code))
    }

    /// The refusal, if it was one.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused(status) => Some(status),
            _ => None,
        }
    }

    fn has_code(&self, code: u16) -> bool {
        self.status().is_some_and(|status| status.code == code)
    }

    /// 404.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.has_code(404)
    }

    /// 404 because the kind is not served.
    #[must_use]
    pub fn is_unserved(&self) -> bool {
        self.status().is_some_and(Status::is_unserved)
    }

    /// 409.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.has_code(409)
    }

    /// 422.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.has_code(422)
    }

    /// 403.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.has_code(403)
    }

    /// Whether the same request may succeed a little later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // An apply that does not fit the schema answers 500 as well, and will again.
            Self::Refused(status)
                if NOT_OF_THE_SCHEMA
                    .iter()
                    .any(|words| status.message.contains(words)) =>
            {
                false
            }
            // A server that has just started knows no roles for a moment.
            Self::Refused(status) if status.is_denied() => true,
            Self::Refused(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504),
            Self::Unreachable(_) | Self::Ambiguous(_) => true,
            _ => false,
        }
    }

    /// How often a request is sent at most that fails so.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match self.status().map(|status| status.code) {
            // Who is told to come back later is not refused.
            Some(429) => 30,
            // What the server asked itself, such as a webhook, is down: seldom for a moment. And most who are denied
            // something lack the right to it.
            Some(403 | 500) => 3,
            _ => 5,
        }
    }

    /// How long the server asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let status = self.status()?;
        let said = status.details.get("retryAfterSeconds").and_then(Value::as_u64);
        // Who throttles and does not say for how long is left alone for a second.
        let seconds = said.or((status.code == 429).then_some(1))?;
        Some(Duration::from_secs(seconds.min(30)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(code: u16, message: &str, details: Value) -> ApiError {
        ApiError::Refused(Box::new(Status {
            code,
            message: message.to_owned(),
            details,
            ..Status::default()
        }))
    }

    #[test]
    fn who_is_denied_a_right_is_tried_again_and_what_admission_forbids_is_not() {
        let denied = "configmaps \"a\" is forbidden: User \"u\" cannot patch resource \"configmaps\" in API group \"\"";
        assert!(refused(403, denied, Value::Null).is_transient());
        let quota = "services \"a\" is forbidden: exceeded quota: few, requested: services=1";
        assert!(!refused(403, quota, Value::Null).is_transient());
    }

    #[test]
    fn an_apply_that_does_not_fit_its_kind_is_not_sent_again_though_the_server_says_500() {
        for words in [
            "failed to create typed patch object (default/a; apps/v1, Kind=Deployment): .spec.replicas: expected numeric",
            "failed to convert new object (default/a; apps/v1, Kind=Deployment) to proper version: unable to convert \
             unstructured object to apps/v1, Kind=Deployment: quantities must match the regular expression",
        ] {
            assert!(!refused(500, words, Value::Null).is_transient(), "{words}");
        }
        assert!(refused(500, "etcdserver: request timed out", Value::Null).is_transient());
    }

    #[test]
    fn a_namespace_that_is_going_is_told_from_other_refusals_by_its_cause() {
        let causes =
            json!({ "causes": [{ "reason": "NamespaceTerminating", "field": "metadata.namespace" }] });
        let going = refused(403, "it is being terminated", causes);
        assert!(going.status().is_some_and(Status::is_terminating_namespace));
        let other = refused(403, "it is being terminated", Value::Null);
        assert!(!other.status().is_some_and(Status::is_terminating_namespace));
    }

    #[test]
    fn who_is_not_known_is_told_what_may_be_wrong() {
        assert_eq!(
            refused(401, "Unauthorized", Value::Null).to_string(),
            "the API server does not accept the credentials (401 Unauthorized): has their token expired, or was their \
             account deleted?"
        );
    }
}
