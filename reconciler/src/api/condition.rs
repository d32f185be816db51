//! Conditions and the closed set of reasons they carry, as Flux words them. No I/O.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names of condition types.
pub mod condition_types {
    /// The object's last reconciliation succeeded.
    pub const READY: &str = "Ready";
    /// A reconciliation is under way or will be tried again.
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing will be tried again until the object changes.
    pub const STALLED: &str = "Stalled";
    /// What was applied is healthy.
    pub const HEALTHY: &str = "Healthy";
    /// The artifact of the revision named in the status can be had.
    pub const ARTIFACT_IN_STORAGE: &str = "ArtifactInStorage";
    /// The last fetch failed.
    pub const FETCH_FAILED: &str = "FetchFailed";
}

/// What `metav1.Condition` asks of a type: a qualified name.
const TYPE_PATTERN: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";
/// What `metav1.Condition` asks of a reason: a word.
const REASON_PATTERN: &str = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$";

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known yet.
    Unknown,
}

/// One condition of an object's status (`metav1.Condition`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Name of the condition.
    #[serde(rename = "type")]
    #[schemars(length(max = 316), regex(pattern = TYPE_PATTERN))]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Generation of the object that this was said about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// When `status` last changed, RFC 3339 to the second.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// One word for programs.
    #[schemars(length(min = 1, max = 1024), regex(pattern = REASON_PATTERN))]
    pub reason: String,
    /// A sentence for people.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// Reasons of conditions and events: a closed set, Flux's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Flux's own and are documented by Flux")]
pub enum Reason {
    ReconciliationSucceeded,
    ReconciliationFailed,
    ArtifactFailed,
    BuildFailed,
    HealthCheckFailed,
    HealthCheckCanceled,
    PruneFailed,
    DependencyNotReady,
    Progressing,
    ProgressingWithRetry,
    Succeeded,
    Failed,
    AccessDenied,
    NewArtifact,
    GitOperationSucceeded,
    GitOperationFailed,
    AuthenticationFailed,
    UrlInvalid,
    InvalidProviderConfiguration,
    EmptyGitRepository,
    StorageOperationFailed,
    FeatureGateDisabled,
    InvalidSpec,
    Suspended,
}

impl Reason {
    /// The word as it stands in a condition, an event or a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReconciliationSucceeded => "ReconciliationSucceeded",
            Self::ReconciliationFailed => "ReconciliationFailed",
            Self::ArtifactFailed => "ArtifactFailed",
            Self::BuildFailed => "BuildFailed",
            Self::HealthCheckFailed => "HealthCheckFailed",
            Self::HealthCheckCanceled => "HealthCheckCanceled",
            Self::PruneFailed => "PruneFailed",
            Self::DependencyNotReady => "DependencyNotReady",
            Self::Progressing => "Progressing",
            Self::ProgressingWithRetry => "ProgressingWithRetry",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::AccessDenied => "AccessDenied",
            Self::NewArtifact => "NewArtifact",
            Self::GitOperationSucceeded => "GitOperationSucceeded",
            Self::GitOperationFailed => "GitOperationFailed",
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::UrlInvalid => "URLInvalid",
            Self::InvalidProviderConfiguration => "InvalidProviderConfiguration",
            Self::EmptyGitRepository => "EmptyGitRepository",
            Self::StorageOperationFailed => "StorageOperationFailed",
            Self::FeatureGateDisabled => "FeatureGateDisabled",
            Self::InvalidSpec => "InvalidSpec",
            Self::Suspended => "Suspended",
        }
    }
}

/// A list of conditions, kept in the order in which Flux writes them: Reconciling, Stalled, Ready, others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions(pub Vec<Condition>);

impl Conditions {
    /// The longest message written: Flux's cap, in characters.
    pub const MAX_MESSAGE: usize = 20_000;

    /// The condition of this type.
    #[must_use]
    pub fn get(&self, type_: &str) -> Option<&Condition> {
        self.0.iter().find(|condition| condition.type_ == type_)
    }

    /// Whether the condition of this type stands and is true.
    #[must_use]
    pub fn is_true(&self, type_: &str) -> bool {
        self.get(type_)
            .is_some_and(|condition| condition.status == ConditionStatus::True)
    }

    /// Sets a condition; the time moves only when the status does (`metav1.Condition`).
    pub fn set(
        &mut self,
        type_: &str,
        status: ConditionStatus,
        reason: Reason,
        message: &str,
        generation: i64,
        now: Timestamp,
    ) {
        let unchanged_since = self.get(type_).filter(|old| old.status == status);
        let last_transition_time = match unchanged_since {
            Some(old) => old.last_transition_time.clone(),
            None => rfc3339_seconds(now),
        };
        let condition = Condition {
            type_: type_.to_owned(),
            status,
            observed_generation: Some(generation),
            last_transition_time,
            reason: reason.as_str().to_owned(),
            message: message.chars().take(Self::MAX_MESSAGE).collect(),
        };
        match self.0.iter_mut().find(|old| old.type_ == type_) {
            Some(old) => *old = condition,
            None => self.0.push(condition),
        }
        self.0.sort_by_key(|condition| match condition.type_.as_str() {
            condition_types::RECONCILING => 0,
            condition_types::STALLED => 1,
            condition_types::READY => 2,
            _ => 3,
        });
    }

    /// Takes a condition away.
    pub fn remove(&mut self, type_: &str) {
        self.0.retain(|condition| condition.type_ != type_);
    }
}

/// A time as Kubernetes writes it in a status: RFC 3339, UTC, to the second.
#[must_use]
pub(crate) fn rfc3339_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
