//! Holding Flux's own leases, so that Coracle and Flux exclude each other by construction. Does I/O;
//! [`evaluate`] is pure.
//!
//! Rule 24. The names are those of source- and kustomize-controller's leader election. A lease lasts 90 s
//! and is renewed every 30 s, which spares the small database under k3s.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, ApiError, Kind};
use crate::plan::ObjectId;

/// Names of the leases of Flux's two controllers.
pub const FLUX_LEASES: [&str; 2] = [
    "source-controller-leader-election",
    "kustomize-controller-leader-election",
];

/// How long a lease of ours lasts, and any other that does not say how long.
pub const LEASE_DURATION: Duration = Duration::from_secs(90);

/// How long a lease lasts that says this of it. What is no time at all is taken for nothing said: whoever wrote it may
/// be alive.
#[must_use]
pub fn lease_duration(seconds: Option<i64>) -> Duration {
    seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0)
        .map_or(LEASE_DURATION, Duration::from_secs)
}

/// A lease as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it; empty when nobody does.
    pub holder: String,
    /// When it was last renewed, as whoever did wrote it down by its own clock: only that it changes means anything
    /// here, so that it may be missing or in any form.
    pub renewed: String,
    /// How long it lasts from then.
    pub duration: Duration,
    /// How often it changed hands.
    pub transitions: i64,
}

/// What to do about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseDecision {
    /// It is free or has run out: take it.
    Acquire,
    /// It is ours.
    Renew,
    /// Another holds it; look again after this long.
    Wait(Duration),
}

/// Decides what to do about a lease as `me`, which has been seen as it stands for `unchanged`. As in client-go's
/// leader election, another's lease has run out when it was not renewed for its duration while it was watched: clocks
/// of other machines are not trusted.
#[must_use]
pub fn evaluate(lease: Option<&Lease>, me: &str, unchanged: Duration) -> LeaseDecision {
    let Some(lease) = lease.filter(|lease| !lease.holder.is_empty()) else {
        return LeaseDecision::Acquire;
    };
    if lease.holder == me {
        return LeaseDecision::Renew;
    }
    match lease.duration.checked_sub(unchanged) {
        None | Some(Duration::ZERO) => LeaseDecision::Acquire,
        Some(left) => LeaseDecision::Wait(left.min(Duration::from_secs(5))),
    }
}

/// Who holds a lease that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Name of the lease.
    pub lease: &'static str,
    /// Who holds it.
    pub holder: String,
    /// When to look again.
    pub pause: Duration,
}

/// The leases as they were seen, and since when they are known to stand so.
#[derive(Default)]
struct Observed(HashMap<&'static str, (Lease, Instant)>);

impl Observed {
    /// For how long at least a lease has stood as an answer shows it that was asked for and came at these moments. An
    /// answer may take minutes, and shows the lease at any moment of them: the span begins after the first answer and
    /// ends before the last question.
    fn unchanged(
        &mut self,
        name: &'static str,
        lease: Option<&Lease>,
        asked: Instant,
        answered: Instant,
    ) -> Duration {
        let Some(lease) = lease else {
            self.0.remove(name);
            return Duration::ZERO;
        };
        match self.0.get(name) {
            Some((before, since)) if before == lease => asked.saturating_duration_since(*since),
            _ => {
                self.0.insert(name, (lease.clone(), answered));
                Duration::ZERO
            }
        }
    }
}

/// Gives the moment that it is: it measures spans.
pub type Moment = Box<dyn Fn() -> Instant + Send + Sync>;

/// The leases of both of Flux's controllers, held by this process.
pub struct LeaseHold {
    api: Api,
    namespace: String,
    me: String,
    duration: Duration,
    moment: Moment,
    observed: Mutex<Observed>,
}

impl LeaseHold {
    /// Nothing is held yet. `me` names this process; what it holds lasts for `duration`.
    #[must_use]
    pub fn new(api: Api, namespace: String, me: String, duration: Duration, moment: Moment) -> Self {
        Self {
            api,
            namespace,
            me,
            duration,
            moment,
            observed: Mutex::default(),
        }
    }

    /// Takes or renews both; says who holds the one that cannot be had.
    ///
    /// # Errors
    /// Why the API server could not be asked.
    pub async fn hold(&self) -> Result<Result<(), Held>, ApiError> {
        for name in FLUX_LEASES {
            if let Err(held) = self.hold_one(name).await? {
                return Ok(Err(held));
            }
        }
        Ok(Ok(()))
    }

    /// A renewal whose answer was lost is sent again and refused then, though it was carried out: another look tells
    /// who holds it.
    async fn hold_one(&self, name: &'static str) -> Result<Result<(), Held>, ApiError> {
        match self.try_to_hold(name).await {
            Err(error) if error.is_conflict() => {}
            answer => return answer,
        }
        match self.try_to_hold(name).await {
            Err(error) if error.is_conflict() => Ok(Err(Held {
                lease: name,
                holder: "another process".to_owned(),
                pause: Duration::from_secs(1),
            })),
            answer => answer,
        }
    }

    async fn try_to_hold(&self, name: &'static str) -> Result<Result<(), Held>, ApiError> {
        let kind = Kind::fixed("coordination.k8s.io/v1", "Lease", "leases", true);
        let id = ObjectId {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            group: kind.gvk.group.clone(),
            kind: kind.gvk.kind.clone(),
        };
        let asked = (self.moment)();
        let found = self.api.get(&kind, &id).await?;
        let answered = (self.moment)();
        let lease = found.as_ref().map(read);
        let now = Timestamp::now();
        let unchanged = {
            let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
            observed.unchanged(name, lease.as_ref(), asked, answered)
        };
        let decision = evaluate(lease.as_ref(), &self.me, unchanged);
        if let LeaseDecision::Wait(pause) = decision {
            return Ok(Err(Held {
                lease: name,
                holder: lease.unwrap_or_default().holder,
                pause,
            }));
        }
        let transitions = lease.map_or(0, |lease| {
            lease.transitions + i64::from(decision == LeaseDecision::Acquire)
        });
        let stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let mut spec = json!({
            "holderIdentity": self.me,
            "leaseDurationSeconds": self.duration.as_secs().max(1),
            "renewTime": stamp,
            "leaseTransitions": transitions,
        });
        let answer = match found {
            Some(mut object) => {
                let acquired = object.pointer("/spec/acquireTime").cloned();
                spec["acquireTime"] = match (decision, acquired) {
                    (LeaseDecision::Renew, Some(time)) => time,
                    _ => stamp.into(),
                };
                object["spec"] = spec;
                self.api.replace(&kind, &id, &object).await
            }
            None => {
                spec["acquireTime"] = stamp.into();
                let object = json!({
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
                });
                self.api.create(&kind, &self.namespace, &object).await
            }
        };
        answer.map(|_| Ok(()))
    }

    /// Lets both go, so that the next holder need not wait for them to run out.
    pub async fn release(&self) {
        let kind = Kind::fixed("coordination.k8s.io/v1", "Lease", "leases", true);
        for name in FLUX_LEASES {
            let id = ObjectId {
                namespace: self.namespace.clone(),
                name: name.to_owned(),
                group: kind.gvk.group.clone(),
                kind: kind.gvk.kind.clone(),
            };
            if let Ok(Some(mut object)) = self.api.get(&kind, &id).await
                && read(&object).holder == self.me
            {
                object["spec"]["holderIdentity"] = "".into();
                object["spec"]["leaseDurationSeconds"] = 1.into();
                if let Err(error) = self.api.replace(&kind, &id, &object).await {
                    tracing::debug!(name, %error, "the lease was not released and will run out");
                }
            }
        }
    }
}

fn read(object: &Value) -> Lease {
    let spec = &object["spec"];
    Lease {
        holder: spec["holderIdentity"].as_str().unwrap_or_default().to_owned(),
        renewed: spec["renewTime"].as_str().unwrap_or_default().to_owned(),
        duration: lease_duration(spec["leaseDurationSeconds"].as_i64()),
        transitions: spec["leaseTransitions"].as_i64().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = FLUX_LEASES[0];
    const FLUX: &str = "kustomize-controller-7d";

    fn lease(holder: &str, renewed: &str) -> Lease {
        read(&json!({
            "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 35},
        }))
    }

    fn decision(holder: &str, unchanged: u64) -> LeaseDecision {
        let lease = lease(holder, "2026-01-01T00:00:00.000000Z");
        evaluate(Some(&lease), "coracle", Duration::from_secs(unchanged))
    }

    #[test]
    fn a_lease_of_a_running_flux_is_waited_for_and_taken_when_it_was_not_renewed_for_as_long_as_it_lasts() {
        assert_eq!(decision(FLUX, 0), LeaseDecision::Wait(Duration::from_secs(5)));
        assert_eq!(decision(FLUX, 33), LeaseDecision::Wait(Duration::from_secs(2)));
        assert_eq!(decision(FLUX, 35), LeaseDecision::Acquire);
    }

    #[test]
    fn a_released_or_missing_lease_is_taken_and_our_own_renewed() {
        assert_eq!(evaluate(None, "coracle", Duration::ZERO), LeaseDecision::Acquire);
        assert_eq!(decision("", 1), LeaseDecision::Acquire);
        assert_eq!(decision("coracle", 400), LeaseDecision::Renew);
    }

    #[test]
    fn a_lease_that_does_not_say_when_it_was_renewed_or_how_long_it_lasts_is_given_as_long_as_ours() {
        for spec in [
            json!({"holderIdentity": FLUX}),
            json!({"holderIdentity": FLUX, "leaseDurationSeconds": 0, "renewTime": "today"}),
            json!({"holderIdentity": FLUX, "leaseDurationSeconds": -35}),
            json!({"holderIdentity": FLUX, "leaseDurationSeconds": 90}),
        ] {
            let lease = read(&json!({ "spec": spec }));
            let after = |seconds| evaluate(Some(&lease), "coracle", Duration::from_secs(seconds));
            assert_eq!(after(89), LeaseDecision::Wait(Duration::from_secs(1)));
            assert_eq!(after(90), LeaseDecision::Acquire);
        }
    }

    #[test]
    fn a_lease_is_known_to_stand_from_after_the_first_answer_until_before_the_last_question() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut observed = Observed::default();
        let mut seen = |renewed: &str, asked, answered| {
            observed
                .unchanged(NAME, Some(&lease(FLUX, renewed)), at(asked), at(answered))
                .as_secs()
        };
        assert_eq!(seen("a", 0, 80), 0, "it may have been renewed at the 79th second");
        assert_eq!(seen("a", 85, 165), 5);
        assert_eq!(seen("a", 170, 170), 90);
        assert_eq!(seen("b", 175, 176), 0, "it was renewed");
        assert_eq!(seen("b", 180, 180), 4);
        assert_eq!(observed.unchanged(NAME, None, at(181), at(181)), Duration::ZERO);
        let again = observed.unchanged(NAME, Some(&lease(FLUX, "b")), at(190), at(190));
        assert_eq!(again, Duration::ZERO, "it was gone meanwhile");
    }
}
