//! Why a run ended without success: the one place that maps an error to (reason, event, label, retry). Pure.

use std::collections::BTreeSet;

use crate::api::Reason;
use crate::plan::Missing;

use super::Severity;
use super::redact::Redactor;

/// When a failed run is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After `spec.retryInterval`, or when an input changes.
    Interval,
    /// Only when an input changes: what is waited for sends an event.
    OnChange,
    /// Only when the object itself changes.
    Never,
}

/// What is said of a source that does not exist.
const NOT_FOUND: &str = "not found; create it, or correct spec.sourceRef";
/// What is said of one that exists and was not fetched yet.
const NO_ARTIFACT: &str = "has no artifact yet";

/// Why a run ended without success. Each carries the sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A field is not served, or its value is not possible.
    #[error("{0}")]
    InvalidSpec(String),
    /// A reference crosses namespaces where that is not allowed.
    #[error("{0}")]
    AccessDenied(String),
    /// The source exists and has no artifact yet.
    #[error("{0}")]
    Source(String),
    /// The source does not exist.
    #[error("{text}")]
    SourceMissing {
        /// The sentence for people.
        text: String,
        /// It may be on its way: whoever is created together may be seen one after the other.
        awaited: bool,
    },
    /// The source has an artifact that lacks the folder.
    #[error("{0}")]
    Path(String),
    /// A dependency is not Ready.
    #[error("{0}")]
    Dependency(String),
    /// The files cannot be turned into objects.
    #[error("{0}")]
    Build(String),
    /// The API server rejects objects, or cannot be reached.
    #[error("{0}")]
    Apply(String),
    /// Objects cannot be applied because their kinds or namespaces are not there.
    #[error("{text}")]
    Missing {
        /// The sentence for people.
        text: String,
        /// All that is missing.
        what: BTreeSet<Missing>,
    },
    /// Two Kustomizations want the same object.
    #[error("{0}")]
    Contested(String),
    /// Objects that left the source could not be deleted.
    #[error("{0}")]
    Prune(String),
    /// The prune guard stopped the run.
    #[error("{0}")]
    Guard(String),
    /// What was applied is not healthy.
    #[error("{0}")]
    Health(String),
    /// The run took longer than `spec.timeout`.
    #[error("{0}")]
    Timeout(String),
    /// Suspended, deleted, superseded, or the controller stops.
    #[error("{0}")]
    Canceled(String),
}

impl Failure {
    /// That objects cannot be applied: for what is missing, if that is why.
    #[must_use]
    pub fn of_apply(text: String, missing: BTreeSet<Missing>) -> Self {
        if missing.is_empty() {
            return Self::Apply(text);
        }
        Self::Missing { text, what: missing }
    }

    /// That there is no such source.
    #[must_use]
    pub fn source_missing(reference: &str, awaited: bool) -> Self {
        Self::SourceMissing {
            text: format!("Source '{reference}' {NOT_FOUND}"),
            awaited,
        }
    }

    /// That a source was not fetched yet, and why if that is known.
    #[must_use]
    pub fn unfetched_source(reference: &str, why: Option<&str>) -> Self {
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        Self::Source(format!("Source '{reference}' {NO_ARTIFACT}{why}"))
    }

    /// Whether a condition's message is that of a source which was not fetched yet: others share its reason.
    #[must_use]
    pub fn is_of_unfetched_source(message: &str) -> bool {
        message.starts_with("Source '") && message.contains(NO_ARTIFACT)
    }

    /// The same of a source which does not exist.
    #[must_use]
    pub fn is_of_missing_source(message: &str) -> bool {
        message.ends_with(NOT_FOUND)
    }

    /// Reason of the Ready condition.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::InvalidSpec(_) => Reason::InvalidSpec,
            Self::AccessDenied(_) => Reason::AccessDenied,
            Self::Source(_) | Self::SourceMissing { .. } | Self::Path(_) => Reason::ArtifactFailed,
            Self::Dependency(_) => Reason::DependencyNotReady,
            Self::Build(_) => Reason::BuildFailed,
            Self::Apply(_) | Self::Missing { .. } | Self::Contested(_) | Self::Timeout(_) => {
                Reason::ReconciliationFailed
            }
            Self::Prune(_) | Self::Guard(_) => Reason::PruneFailed,
            Self::Health(_) => Reason::HealthCheckFailed,
            Self::Canceled(_) => Reason::HealthCheckCanceled,
        }
    }

    /// When the run is tried again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::InvalidSpec(_) | Self::AccessDenied(_) => Retry::Never,
            Self::Dependency(_) | Self::Guard(_) | Self::Canceled(_) => Retry::OnChange,
            Self::Source(_)
            | Self::SourceMissing { .. }
            | Self::Path(_)
            | Self::Build(_)
            | Self::Apply(_)
            | Self::Missing { .. }
            | Self::Contested(_)
            | Self::Prune(_)
            | Self::Health(_)
            | Self::Timeout(_) => Retry::Interval,
        }
    }

    /// Severity of the event; none where there is nothing to tell yet. What is waited for is no trouble of its own:
    /// whatever keeps it says so itself.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        match self {
            Self::SourceMissing { awaited: true, .. } => None,
            Self::Source(_) | Self::Dependency(_) | Self::Canceled(_) => Some(Severity::Info),
            _ => Some(Severity::Error),
        }
    }

    /// Whether the object is marked Stalled: nothing will be tried until it changes.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.retry() == Retry::Never
    }

    /// The same failure with its secrets masked, as it may leave the process.
    #[must_use]
    pub fn masked(&self, redactor: &Redactor) -> Self {
        let (make, text): (fn(String) -> Self, &String) = match self {
            Self::InvalidSpec(text) => (Self::InvalidSpec, text),
            Self::AccessDenied(text) => (Self::AccessDenied, text),
            Self::Source(text) => (Self::Source, text),
            Self::Path(text) => (Self::Path, text),
            Self::Dependency(text) => (Self::Dependency, text),
            Self::Build(text) => (Self::Build, text),
            Self::Apply(text) => (Self::Apply, text),
            Self::SourceMissing { text, awaited } => {
                return Self::SourceMissing {
                    text: redactor.mask(text).into_owned(),
                    awaited: *awaited,
                };
            }
            Self::Missing { text, what } => {
                return Self::Missing {
                    text: redactor.mask(text).into_owned(),
                    what: what.clone(),
                };
            }
            Self::Contested(text) => (Self::Contested, text),
            Self::Prune(text) => (Self::Prune, text),
            Self::Guard(text) => (Self::Guard, text),
            Self::Health(text) => (Self::Health, text),
            Self::Timeout(text) => (Self::Timeout, text),
            Self::Canceled(text) => (Self::Canceled, text),
        };
        make(redactor.mask(text).into_owned())
    }
}
