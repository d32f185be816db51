//! One verdict on all that a run waits for.
//!
//! In: the targets, the last known state of each, and explanations. Out: a [`Verdict`], and its text in the words of
//! Flux (`fluxcd/pkg` `ssa/manager_wait.go`), with the cause where Flux leaves it out. Pure.

use std::fmt;

use super::freshness::Freshness;
use super::reduce::Observed;
use super::status::StatusKind;
use super::targets::Target;
use super::why::{Outlook, Why};
use crate::plan::ObjectId;

/// Objects that a message lists; the rest is counted.
const LISTED: usize = 20;

/// What is known of a target.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// Nothing yet: its watch has not delivered, or its kind is not served.
    Nothing,
    /// It is not in the cluster.
    Absent,
    /// Its last state.
    Present(&'a Observed),
}

/// Judgement on a set of targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every target is current.
    Healthy,
    /// Some are not current yet, and may become so.
    Waiting {
        /// These, in the order of the targets.
        on: Vec<Finding>,
    },
    /// At least one will not become current by itself. (Flux calls this failing fast.)
    Failed {
        /// These, in the order of the targets; those that still may become current are left out.
        why: Vec<Finding>,
    },
}

/// A target that is not current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which object.
    pub object: ObjectId,
    /// Its state; `None` when nothing is known of it.
    pub kind: Option<StatusKind>,
    /// The cause if it is known, else kstatus' message; may be empty.
    pub detail: String,
}

/// Writes a finding as Flux does, `Kind/ns/name status: 'InProgress'`, followed by the cause.
impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(formatter, "{} status: '{kind}'", self.object)?,
            None => write!(formatter, "can't determine status for {}", self.object)?,
        }
        if self.detail.is_empty() {
            return Ok(());
        }
        write!(formatter, ": {}", self.detail)
    }
}

impl Verdict {
    /// Text for a verdict that ends a run: `None` when healthy. A run that is still waiting when it ends has timed
    /// out.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match self {
            Self::Healthy => None,
            Self::Waiting { on } => Some(listed("timeout waiting for", on)),
            Self::Failed { why } => Some(listed("failed early due to stalled resources", why)),
        }
    }
}

fn listed(opening: &str, findings: &[Finding]) -> String {
    let mut entries: Vec<String> = findings.iter().take(LISTED).map(ToString::to_string).collect();
    if let Some(more) = findings.len().checked_sub(LISTED).filter(|more| *more > 0) {
        entries.push(format!("and {more} more"));
    }
    format!("{opening}: [{}]", entries.join(", "))
}

/// Judges the targets.
///
/// `seen` gives the last state of an object. `whys` gives what is known of the cause, the worst first, for a workload
/// that is not current; an explanation without hope makes an object that is in progress count as failed.
pub fn judge<'a>(
    targets: &[Target],
    seen: impl Fn(&ObjectId) -> Seen<'a>,
    whys: impl Fn(&ObjectId) -> &'a [Why],
) -> Verdict {
    let mut waiting = Vec::new();
    let mut failed = Vec::new();
    for target in targets {
        let Some(mut finding) = state_of(target, seen(&target.object)) else {
            continue;
        };
        if let Some(worst) = whys(&target.object).first() {
            finding.detail = match (finding.kind, worst.outlook) {
                // What may pass is not all there is to say of what has failed.
                (Some(StatusKind::Failed), Outlook::MayRecover) if !finding.detail.is_empty() => {
                    format!("{}; {worst}", finding.detail)
                }
                _ => worst.to_string(),
            };
            if worst.outlook == Outlook::Hopeless && finding.kind == Some(StatusKind::InProgress) {
                finding.kind = Some(StatusKind::Failed);
            }
        }
        match finding.kind {
            Some(StatusKind::Failed) => failed.push(finding),
            _ => waiting.push(finding),
        }
    }
    if !failed.is_empty() {
        return Verdict::Failed { why: failed };
    }
    if waiting.is_empty() {
        Verdict::Healthy
    } else {
        Verdict::Waiting { on: waiting }
    }
}

/// What is wrong with one target by its own state, or `None` when it is current.
fn state_of(target: &Target, seen: Seen<'_>) -> Option<Finding> {
    let finding = |kind, detail: &str| {
        Some(Finding {
            object: target.object.clone(),
            kind,
            detail: detail.to_owned(),
        })
    };
    let observed = match seen {
        Seen::Absent if target.vanishes_when_done => return None,
        Seen::Absent => return finding(Some(StatusKind::NotFound), ""),
        Seen::Nothing => return finding(None, ""),
        Seen::Present(observed) => observed,
    };
    match target
        .expected
        .as_ref()
        .map(|expected| expected.freshness(observed))
    {
        Some(Freshness::Stale) => {
            return finding(
                Some(StatusKind::InProgress),
                "the applied generation has not been seen yet",
            );
        }
        Some(Freshness::Replaced) => {
            return finding(
                Some(StatusKind::InProgress),
                "it was replaced by another object of that name",
            );
        }
        Some(Freshness::Fresh) | None => {}
    }
    if observed.kind == StatusKind::Current {
        return None;
    }
    finding(Some(observed.kind), &observed.message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::assess::why::Reason;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn deployment(name: &str, generation: i64, ready: i64) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": "web", "uid": name, "generation": generation},
            "spec": {"replicas": 1},
            "status": {
                "observedGeneration": generation, "replicas": 1, "updatedReplicas": 1,
                "readyReplicas": ready, "availableReplicas": ready,
                "conditions": [{"type": "Available", "status": "True"}],
            },
        })
    }

    fn job(ttl: bool) -> Value {
        let spec = if ttl {
            json!({"ttlSecondsAfterFinished": 60})
        } else {
            json!({})
        };
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "migrate", "namespace": "web", "uid": "j"}, "spec": spec,
        })
    }

    struct World {
        targets: Vec<Target>,
        states: BTreeMap<ObjectId, Observed>,
        whys: BTreeMap<ObjectId, Vec<Why>>,
    }

    impl World {
        /// Everything was applied, and nothing has been seen since.
        fn applied(objects: &[Value]) -> Self {
            let targets = objects.iter().map(Target::applied).collect();
            Self {
                targets,
                states: BTreeMap::new(),
                whys: BTreeMap::new(),
            }
        }

        fn seeing(mut self, object: &Value) -> Self {
            self.states
                .insert(ObjectId::of(object), Observed::reduce(object, NOW));
            self
        }

        fn explained(mut self, object: &Value, outlook: Outlook) -> Self {
            let why = Why {
                pod: Some("api-1".into()),
                container: Some("api".into()),
                message: "manifest unknown".into(),
                ..Why::new(Reason::ImagePull, outlook)
            };
            self.whys.insert(ObjectId::of(object), vec![why]);
            self
        }

        fn verdict(&self) -> Verdict {
            judge(
                &self.targets,
                |object| self.states.get(object).map_or(Seen::Absent, Seen::Present),
                |object| self.whys.get(object).map_or(&[], Vec::as_slice),
            )
        }
    }

    #[test]
    fn all_current_is_healthy() {
        let api = deployment("api", 1, 1);
        assert_eq!(
            World::applied(std::slice::from_ref(&api)).seeing(&api).verdict(),
            Verdict::Healthy
        );
    }

    #[test]
    fn a_timeout_reads_as_flux_writes_it_and_adds_the_cause() {
        let (api, web) = (deployment("api", 1, 0), deployment("web", 1, 0));
        let world = World::applied(&[api.clone(), web.clone()])
            .seeing(&api)
            .seeing(&web)
            .explained(&web, Outlook::MayRecover);
        assert_eq!(
            world.verdict().failure().unwrap(),
            "timeout waiting for: [Deployment/web/api status: 'InProgress': Available: 0/1, \
             Deployment/web/web status: 'InProgress': pod api-1: the image of container \"api\" cannot be pulled: \
             manifest unknown]"
        );
    }

    #[test]
    fn a_cause_without_hope_fails_the_run_before_the_timeout() {
        let (api, web) = (deployment("api", 1, 0), deployment("web", 1, 0));
        let world = World::applied(&[api.clone(), web.clone()])
            .seeing(&api)
            .seeing(&web)
            .explained(&api, Outlook::Hopeless);
        assert_eq!(
            world.verdict().failure().unwrap(),
            "failed early due to stalled resources: [Deployment/web/api status: 'Failed': pod api-1: the image of \
             container \"api\" cannot be pulled: manifest unknown]"
        );
    }

    #[test]
    fn a_state_older_than_the_apply_keeps_it_waiting() {
        let world = World::applied(&[deployment("api", 2, 1)]).seeing(&deployment("api", 1, 1));
        assert_eq!(
            world.verdict().failure().unwrap(),
            "timeout waiting for: [Deployment/web/api status: 'InProgress': the applied generation has not been seen \
             yet]"
        );
    }

    #[test]
    fn a_health_check_on_an_object_that_does_not_exist_names_it() {
        let target = Target::elsewhere(ObjectId::new(
            "helm.toolkit.fluxcd.io",
            "HelmRelease",
            "db",
            "postgres",
        ));
        let world = World {
            targets: vec![target],
            ..World::applied(&[])
        };
        assert_eq!(
            world.verdict().failure().unwrap(),
            "timeout waiting for: [HelmRelease/db/postgres status: 'NotFound']"
        );
    }

    #[test]
    fn a_job_with_a_ttl_that_vanished_is_done_and_one_without_is_missing() {
        assert_eq!(World::applied(&[job(true)]).verdict(), Verdict::Healthy);
        assert_eq!(
            World::applied(&[job(false)]).verdict().failure().unwrap(),
            "timeout waiting for: [Job/web/migrate status: 'NotFound']"
        );
    }

    #[test]
    fn a_kind_that_cannot_be_watched_is_said_to_be_unknown() {
        let verdict = judge(&[Target::applied(&job(true))], |_| Seen::Nothing, |_| &[]);
        assert_eq!(
            verdict.failure().unwrap(),
            "timeout waiting for: [can't determine status for Job/web/migrate]"
        );
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let objects: Vec<Value> = (0..25)
            .map(|index| deployment(&format!("d{index:02}"), 1, 1))
            .collect();
        let message = World::applied(&objects).verdict().failure().unwrap();
        assert!(
            message.ends_with("Deployment/web/d19 status: 'NotFound', and 5 more]"),
            "{message}"
        );
    }
}
