//! How pods behave, as tests tell it. No I/O.

use std::fmt;
use std::sync::Arc;

/// What becomes of a pod's containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// They start and become ready; pods of Jobs succeed.
    Ready,
    /// The image cannot be pulled: `ErrImagePull`, then `ImagePullBackOff`.
    ImageNotFound,
    /// They end with this code again and again: `CrashLoopBackOff`. Pods that are not restarted fail.
    Crash {
        /// The exit code.
        exit_code: i32,
        /// What they logged before.
        log: String,
    },
    /// They are killed for using too much memory: exit code 137, `OOMKilled`.
    OutOfMemory,
    /// They run, but their readiness probe fails.
    NeverReady,
    /// No node takes the pod.
    Unschedulable,
}

/// What a rule may look at.
#[derive(Debug)]
pub struct PodFacts<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's name.
    pub name: &'a str,
    /// The images of its containers.
    pub images: Vec<&'a str>,
}

type Picks = dyn Fn(&PodFacts<'_>) -> bool + Send + Sync;

/// Which pods behave how.
#[derive(Clone)]
pub(super) struct Rule {
    picks: Arc<Picks>,
    behaviour: Behaviour,
}

impl Rule {
    pub(super) fn new(
        picks: impl Fn(&PodFacts<'_>) -> bool + Send + Sync + 'static,
        behaviour: Behaviour,
    ) -> Self {
        Self {
            picks: Arc::new(picks),
            behaviour,
        }
    }

    /// Images whose tag says that they do not exist.
    pub(super) fn missing_images() -> Self {
        Self::new(
            |pod| pod.images.iter().any(|image| image.ends_with(":does-not-exist")),
            Behaviour::ImageNotFound,
        )
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("behaviour", &self.behaviour)
            .finish_non_exhaustive()
    }
}

/// The behaviour of a pod by the last rule that meets it.
pub(super) fn of(rules: &[Rule], pod: &PodFacts<'_>) -> Behaviour {
    let rule = rules.iter().rev().find(|rule| (rule.picks)(pod));
    rule.map_or(Behaviour::Ready, |rule| rule.behaviour.clone())
}
