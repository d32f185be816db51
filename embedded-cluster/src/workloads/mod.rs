//! Plays the workload controllers and the kubelet.
//!
//! In: objects that changed, the clock, rules of behaviour. Out: ReplicaSets, Pods, statuses. No I/O.

use jiff::Timestamp;

use crate::answer::ApiError;
use crate::api::{Answer, Api};
use crate::clock::Clock;
use crate::request::Request;
use crate::store::{State, Touched};

/// The simulator and its rules.
#[derive(Debug, Default)]
pub struct Workloads {}

impl Workloads {
    /// Looks at one object; says when to look again.
    pub(crate) fn look(&self, _state: &mut State, _clock: &Clock, _place: &Touched) -> Option<Timestamp> {
        None
    }
}

/// GET of a pod's log.
pub(crate) fn log(_api: &Api, _request: &Request) -> Result<Answer, ApiError> {
    Ok(Answer::Text(String::new()))
}
