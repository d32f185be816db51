//! When somebody keeps changing back what is corrected (rule 14): stop correcting on events, correct at the
//! interval, and name the manager, the field and the remedy. Pure.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use crate::plan::ObjectId;

use super::job::Correction;

/// Corrections of one field within [`WINDOW`] that make it contested.
const CORRECTIONS: usize = 3;
const WINDOW: Duration = Duration::from_secs(600);
/// A contest that goes on is told again after this long, which is how long a cluster keeps events: as long as it
/// lasts, there is one that tells of it.
const TOLD_AGAIN: Duration = Duration::from_secs(3600);

/// Corrections of one Kustomization's objects.
#[derive(Default)]
pub(crate) struct Contest {
    corrections: HashMap<(ObjectId, String, String), Vec<Timestamp>>,
    /// When it was told last of an object.
    told: HashMap<ObjectId, Timestamp>,
}

impl Contest {
    /// Notes a correction; gives a sentence when it makes the field contested.
    pub(crate) fn corrected(&mut self, correction: &Correction, now: Timestamp) -> Option<String> {
        self.corrections
            .retain(|_, times| times.last().is_some_and(|last| is_recent(*last, now)));
        let key = (
            correction.id.clone(),
            correction.path.clone(),
            correction.manager.clone(),
        );
        let times = self.corrections.entry(key).or_default();
        times.retain(|time| is_recent(*time, now));
        times.push(now);
        if times.len() < CORRECTIONS {
            return None;
        }
        self.told.retain(|_, last| is_within(TOLD_AGAIN, *last, now));
        if self.told.contains_key(&correction.id) {
            return None;
        }
        self.told.insert(correction.id.clone(), now);
        let manager = if correction.manager.is_empty() {
            "somebody"
        } else {
            &correction.manager
        };
        Some(format!(
            "{} changes {} of {} back each time it is corrected; it is now corrected once an interval only. \
             Take the field out of Git, or stop {manager} from writing it (a HorizontalPodAutoscaler and \
             `replicas` in Git is the common case)",
            manager, correction.path, correction.id
        ))
    }

    /// Objects with a contested field.
    pub(crate) fn contested(&self, now: Timestamp) -> BTreeSet<ObjectId> {
        self.corrections
            .iter()
            .filter(|(_, times)| times.iter().filter(|time| is_recent(**time, now)).count() >= CORRECTIONS)
            .map(|((id, _, _), _)| id.clone())
            .collect()
    }
}

fn is_recent(time: Timestamp, now: Timestamp) -> bool {
    is_within(WINDOW, time, now)
}

fn is_within(span: Duration, time: Timestamp, now: Timestamp) -> bool {
    now.duration_since(time).unsigned_abs() <= span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_correction_in_ten_minutes_is_told_and_the_object_is_left_alone() {
        let id = ObjectId {
            namespace: "shop".into(),
            name: "web".into(),
            group: "apps".into(),
            kind: "Deployment".into(),
        };
        let correction = Correction {
            id: id.clone(),
            manager: "hpa".into(),
            path: "/spec/replicas".into(),
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut contest = Contest::default();
        assert_eq!(contest.corrected(&correction, at(0)), None);
        assert_eq!(contest.corrected(&correction, at(10)), None);
        assert!(contest.contested(at(10)).is_empty());
        let told = contest.corrected(&correction, at(20)).unwrap();
        assert!(
            told.starts_with("hpa changes /spec/replicas of Deployment/shop/web back"),
            "{told}"
        );
        assert_eq!(contest.contested(at(20)), BTreeSet::from([id]));
        assert!(contest.contested(at(2000)).is_empty());
    }

    #[test]
    fn a_contest_that_goes_on_is_told_again_when_the_cluster_has_dropped_the_event() {
        let correction = Correction {
            id: ObjectId::new("apps", "Deployment", "shop", "web"),
            manager: "hpa".into(),
            path: "/spec/replicas".into(),
        };
        let mut contest = Contest::default();
        let told: Vec<i64> = (0..=4000)
            .step_by(100)
            .filter(|second| {
                let now = Timestamp::from_second(*second).unwrap();
                contest.corrected(&correction, now).is_some()
            })
            .collect();
        assert_eq!(told, [200, 3900]);
    }
}
