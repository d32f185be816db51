//! What a run is for, and what the last one was for. Pure.

use super::{Inputs, Scope};

/// What a run is for, as far as its end matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Everything,
    Drift,
    Finalize,
}

impl From<&Scope> for Work {
    fn from(scope: &Scope) -> Self {
        match scope {
            Scope::Full | Scope::Around | Scope::Changes => Self::Everything,
            Scope::Drift(_) => Self::Drift,
            Scope::Finalize => Self::Finalize,
        }
    }
}

/// What a run was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) generation: i64,
    pub(super) revision: Option<String>,
    pub(super) ignore: Option<String>,
    pub(super) confirmed: Option<String>,
    pub(super) failed: bool,
}

impl Attempt {
    pub(super) fn at(inputs: &Inputs) -> Self {
        Self {
            generation: inputs.generation,
            revision: inputs.revision.clone(),
            ignore: inputs.ignore.clone(),
            confirmed: inputs.confirmed.clone(),
            failed: false,
        }
    }

    /// Whether the inputs are others than it was for.
    pub(super) fn differs(&self, inputs: &Inputs) -> bool {
        self.generation != inputs.generation
            || self.revision != inputs.revision
            || self.ignore != inputs.ignore
            || self.confirmed != inputs.confirmed
    }
}
