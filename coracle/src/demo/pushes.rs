//! What came of a push, also when nothing had to be done for it. Pure: the time is passed in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::objects::Summary;

use super::world::Said;

/// Events may come this much later than the status of the same run.
const LATE: Duration = Duration::from_millis(1500);

/// Branches and their commits.
pub type Heads = BTreeMap<String, String>;

/// Pushes that are followed until each Kustomization of their branch has come to an end.
#[derive(Debug, Default)]
pub struct Pushes {
    heads: Heads,
    /// By name of the Kustomization: the newest push is what counts.
    awaited: BTreeMap<String, Awaited>,
}

#[derive(Debug)]
struct Awaited {
    commit: String,
    /// An event has told of it.
    is_told: bool,
    /// What it came to, and when.
    end: Option<(String, Instant)>,
}

impl Pushes {
    /// The branches as they are before the first push.
    #[must_use]
    pub fn since(heads: Heads) -> Self {
        Self {
            heads,
            awaited: BTreeMap::new(),
        }
    }

    /// The branches that a push moved, with their commits.
    pub fn moved(&mut self, heads: Heads) -> Vec<(String, String)> {
        let before = std::mem::replace(&mut self.heads, heads);
        let moved = self
            .heads
            .iter()
            .filter(|(branch, commit)| before.get(*branch) != Some(commit));
        moved
            .map(|(branch, commit)| (branch.clone(), commit.clone()))
            .collect()
    }

    /// A Kustomization follows a branch that was moved to this commit.
    pub fn follow(&mut self, kustomization: &str, commit: &str) {
        let awaited = Awaited {
            commit: commit.to_owned(),
            is_told: false,
            end: None,
        };
        self.awaited.insert(kustomization.to_owned(), awaited);
    }

    /// Takes an event in.
    pub fn said(&mut self, said: &Said) {
        let name = said.about.strip_prefix("kustomization/");
        let Some(awaited) = name.and_then(|name| self.awaited.get_mut(name)) else {
            return;
        };
        awaited.is_told |= said.revision.ends_with(&awaited.commit);
    }

    /// Takes the state of a Kustomization in.
    pub fn saw(&mut self, state: &Summary, now: Instant) {
        let Some(awaited) = self.awaited.get_mut(&state.name) else {
            return;
        };
        let tried = state.object["status"]["lastAttemptedRevision"]
            .as_str()
            .unwrap_or_default();
        if !tried.ends_with(&awaited.commit) || awaited.end.is_some() {
            return;
        }
        let short = &awaited.commit[..awaited.commit.len().min(8)];
        let end = match state.ready.as_str() {
            "True" => format!("commit {short}: nothing to change"),
            "False" => format!("commit {short}: {}: {}", state.reason, state.message),
            _ => return,
        };
        awaited.end = Some((end, now));
    }

    /// When to look at [`Self::untold`].
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let ends = self.awaited.values().filter_map(|awaited| awaited.end.as_ref());
        ends.map(|(_, at)| *at + LATE).min()
    }

    /// What came of pushes and no event has told, by Kustomization.
    pub fn untold(&mut self, now: Instant) -> Vec<(String, String)> {
        let is_over = |awaited: &Awaited| awaited.end.as_ref().is_some_and(|(_, at)| now >= *at + LATE);
        let over = self.awaited.extract_if(.., |_, awaited| is_over(awaited));
        over.filter(|(_, awaited)| !awaited.is_told)
            .filter_map(|(name, awaited)| Some((name, awaited.end?.0)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use kube::api::DynamicObject;
    use serde_json::json;

    use super::*;
    use crate::objects::ObjectKind;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn heads(commit: &str) -> Heads {
        Heads::from([("dev".into(), "d".into()), ("staging".into(), commit.into())])
    }

    fn state(ready: &str) -> Summary {
        let object: DynamicObject = serde_json::from_value(json!({
            "metadata": {"name": "shop-staging"},
            "status": {
                "lastAttemptedRevision": format!("staging@sha1:{COMMIT}"),
                "conditions": [{"type": "Ready", "status": ready, "reason": "BuildFailed", "message": "no such file"}],
            },
        }))
        .unwrap();
        Summary::new(ObjectKind::Kustomization, &object)
    }

    fn pushed() -> (Pushes, Instant) {
        let mut pushes = Pushes::since(heads("a"));
        assert_eq!(
            pushes.moved(heads(COMMIT)),
            [("staging".to_owned(), COMMIT.to_owned())]
        );
        pushes.follow("shop-staging", COMMIT);
        (pushes, Instant::now())
    }

    #[test]
    fn a_push_that_changes_nothing_is_told_once_its_commit_counts_as_applied() {
        let (mut pushes, now) = pushed();
        pushes.saw(&state("Unknown"), now);
        assert_eq!(pushes.due(), None);
        pushes.saw(&state("True"), now);
        let due = pushes.due().unwrap();
        assert_eq!(
            pushes.untold(due),
            [(
                "shop-staging".to_owned(),
                "commit 01234567: nothing to change".to_owned()
            )]
        );
        assert_eq!(pushes.untold(due), []);
    }

    #[test]
    fn a_failure_that_was_told_before_is_told_for_the_push_as_well() {
        let (mut pushes, now) = pushed();
        pushes.saw(&state("False"), now);
        let told = pushes.untold(pushes.due().unwrap());
        assert_eq!(told[0].1, "commit 01234567: BuildFailed: no such file");
    }

    #[test]
    fn what_an_event_tells_is_not_told_again() {
        let (mut pushes, now) = pushed();
        pushes.saw(&state("True"), now);
        pushes.said(&Said {
            about: "kustomization/shop-staging".into(),
            version: 1,
            revision: format!("staging@sha1:{COMMIT}"),
            message: "ConfigMap/shop/a configured".into(),
        });
        assert_eq!(pushes.untold(pushes.due().unwrap()), []);
    }
}
