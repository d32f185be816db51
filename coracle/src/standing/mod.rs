//! Whether a controller works in a namespace, and why not: the one place that decides it. Pure, but for [`look`].
//!
//! ```text
//! definitions, Deployment, pods, leases, Flux's Deployments --look--> Standing --verdict--> works | no, why, remedy
//! ```
//!
//! `version` prints all of it; `get`, `reconcile` and `resume` print the verdict where nothing happens.

mod leases;
mod look;
mod print;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use reconciler::assess::why::Reason;

pub use leases::{hold, holds};
pub use look::{deployments, look, look_anywhere, verdict};
pub use print::{as_json, lines};

/// Label of the controller's Deployment and pods.
pub const CONTROLLER_LABEL: &str = "app.kubernetes.io/name=coracle";

/// What was seen, or why it could not be looked at.
pub type Seen<T> = Result<T, String>;

/// What is known about who reconciles in a namespace.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The namespace.
    pub namespace: String,
    /// Names of the definitions that the cluster lacks.
    pub missing: Seen<Vec<String>>,
    /// The Deployment that `coracle install` makes.
    pub deployment: Seen<Option<Deployment>>,
    /// Who holds or held the leases.
    pub hold: Seen<Option<Hold>>,
    /// Flux's own controllers that are not scaled to nothing.
    pub flux: Seen<Vec<FluxController>>,
}

/// The controller's Deployment and its pods.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The image that its pods run.
    pub image: String,
    /// How many pods are wanted.
    pub replicas: i32,
    /// Its pods.
    pub pods: Seen<Vec<Pod>>,
    /// What keeps them from being ready, the worst first.
    pub troubles: Vec<Trouble>,
}

/// A pod of the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Whether it is ready, which the controller is while it leads.
    pub ready: bool,
    /// `Pending`, `Running` and so on, or `Terminating`.
    pub phase: String,
}

/// What keeps a pod from being ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Of what kind it is.
    pub reason: Reason,
    /// The pod in which it was seen.
    pub pod: Option<String>,
    /// It as a sentence.
    pub text: String,
}

/// A lease as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The lease's name.
    pub lease: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Who holds it.
    pub holder: String,
    /// When it was renewed.
    pub renewed: Option<Timestamp>,
    /// How long it lasts from then.
    pub duration: Duration,
    /// Whether it has not run out.
    pub lasts: bool,
}

/// A Deployment of Flux that does what Coracle does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FluxController {
    /// Its name.
    pub name: &'static str,
    /// How many of its pods are ready.
    pub ready: i32,
}

/// Whether a controller works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This one does.
    Works(String),
    /// None does.
    Idle {
        /// Why, as a sentence goes on.
        why: String,
        /// What to do about it.
        remedy: String,
    },
    /// It cannot be told, for this reason.
    Unknown(String),
}

impl Standing {
    /// Whether the cluster has Coracle's definitions, if that may be seen.
    #[must_use]
    pub fn has_definitions(&self) -> Option<bool> {
        self.missing.as_ref().ok().map(Vec::is_empty)
    }

    /// Decides.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match &self.missing {
            Ok(missing) if !missing.is_empty() => {
                return idle(
                    format!(
                        "Coracle is not installed: the cluster lacks {}",
                        missing.join(" and ")
                    ),
                    "Install it: `coracle install --image IMAGE | kubectl apply --server-side -f -`.",
                );
            }
            _ => {}
        }
        if let Ok(flux) = &self.flux
            && !flux.is_empty()
        {
            return self.beside_flux(flux);
        }
        let hold = match &self.hold {
            Ok(hold) => hold.as_ref().filter(|hold| hold.lasts),
            Err(why) => return Verdict::Unknown(why.clone()),
        };
        let deployment = self.deployment.as_ref().ok().and_then(Option::as_ref);
        match (hold, deployment) {
            (Some(hold), Some(deployment)) => match deployment.trouble_of(&hold.holder) {
                // A pod that ends without letting its lease go holds it until it runs out.
                Some(trouble) => idle(trouble.text.clone(), trouble.remedy(&self.namespace)),
                None if deployment.has_lost(&hold.holder) => self.not_leading(deployment, Some(&hold.holder)),
                None => Verdict::Works(hold.holder.clone()),
            },
            (Some(hold), None) => Verdict::Works(hold.holder.clone()),
            (None, Some(deployment)) => self.not_leading(deployment, None),
            (None, None) => match &self.deployment {
                Err(why) => Verdict::Unknown(why.clone()),
                Ok(_) => idle(
                    format!(
                        "nobody holds the lease in namespace {}, and no controller is installed there",
                        self.namespace
                    ),
                    "Install one: `coracle install --image IMAGE | kubectl apply --server-side -f -`; or run \
                     `coracle controller` by hand.",
                ),
            },
        }
    }

    /// Coracle touches nothing while a Deployment of Flux has replicas; and each of Flux's two does only its half.
    fn beside_flux(&self, running: &[FluxController]) -> Verdict {
        let names: Vec<&str> = running.iter().map(|it| it.name).collect();
        let idle_one = |name: &str| match running.iter().find(|it| it.name == name) {
            None => Some(format!("{name} has no replicas")),
            Some(it) if it.ready == 0 => Some(format!("{name} has no replica that is ready")),
            Some(_) => None,
        };
        let idles: Vec<String> = look::FLUX.iter().filter_map(|name| idle_one(name)).collect();
        if idles.is_empty() {
            return Verdict::Works(format!("Flux's {}", names.join(" and ")));
        }
        let deployments = match names.as_slice() {
            [one] => format!("Deployment {one} has"),
            _ => format!("Deployments {} have", names.join(" and ")),
        };
        idle(
            format!(
                "Flux's {deployments} replicas, so Coracle waits, and Flux does not work: {}",
                idles.join(", ")
            ),
            format!(
                "Stop Flux: `kubectl -n {} scale deployment {} --replicas=0`.",
                self.namespace,
                names.join(" ")
            ),
        )
    }

    /// `gone`: the pod that still has the lease.
    fn not_leading(&self, deployment: &Deployment, gone: Option<&str>) -> Verdict {
        let namespace = &self.namespace;
        if let Some(trouble) = deployment.troubles.first() {
            return idle(trouble.text.clone(), trouble.remedy(namespace));
        }
        if deployment.replicas == 0 {
            return idle(
                "the Deployment coracle is scaled to no replicas".to_owned(),
                format!("Start it: `kubectl -n {namespace} scale deployment coracle --replicas=1`."),
            );
        }
        let pods = match &deployment.pods {
            Ok(pods) => pods,
            Err(why) => return Verdict::Unknown(why.clone()),
        };
        let why = match pods.first() {
            None => "the Deployment coracle has no pod yet".to_owned(),
            Some(pod) if pod.phase == "Running" => match gone {
                None => format!("pod {} runs, but nobody holds the lease", pod.name),
                Some(gone) => format!(
                    "pod {} waits for the lease of pod {gone}, which is gone, to run out",
                    pod.name
                ),
            },
            Some(pod) => format!("pod {} is {}", pod.name, pod.phase.to_lowercase()),
        };
        idle(
            why,
            format!(
                "It may be starting. `kubectl -n {namespace} logs deployment/coracle` says what it does."
            ),
        )
    }
}

impl Deployment {
    /// Whether this holder is a pod of the Deployment that is gone. A controller that is run by hand is named
    /// otherwise.
    fn has_lost(&self, holder: &str) -> bool {
        let is_gone = |pods: &Vec<Pod>| !pods.iter().any(|pod| pod.name == holder);
        is_name_of_pod(holder) && (self.replicas == 0 || self.pods.as_ref().is_ok_and(is_gone))
    }

    fn trouble_of(&self, holder: &str) -> Option<&Trouble> {
        let about_holder =
            |trouble: &&Trouble| trouble.pod.as_deref().is_some_and(|pod| holder.contains(pod));
        self.troubles
            .iter()
            // What only fails its probes may be working on.
            .filter(|trouble| trouble.reason != Reason::NotReady)
            .find(about_holder)
    }
}

/// Whether a pod of the Deployment may have this name: a hash and five letters follow.
fn is_name_of_pod(name: &str) -> bool {
    let is_word = |word: &str| {
        word.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let parts: Vec<&str> = name.split('-').collect();
    matches!(parts[..], ["coracle", hash, end] if is_word(hash) && is_word(end) && end.len() == 5)
}

impl Trouble {
    fn remedy(&self, namespace: &str) -> String {
        let pod = self.pod.as_deref().unwrap_or("coracle");
        match self.reason {
            Reason::ImagePull => {
                "Make the image and push it where the cluster can pull it (docs/guides/install.md says \
                 how), then name it: `coracle install --image IMAGE | kubectl apply --server-side -f -`."
                    .to_owned()
            }
            Reason::Crash | Reason::OutOfMemory => {
                format!("`kubectl -n {namespace} logs {pod} --previous` says what it did last.")
            }
            Reason::NotReady => format!("`kubectl -n {namespace} logs {pod}` says what it waits for."),
            Reason::PodsRefused => {
                format!("`kubectl -n {namespace} describe deployment coracle` says which rule refuses it.")
            }
            _ => format!("`kubectl -n {namespace} describe pod {pod}` says more."),
        }
    }
}

impl Verdict {
    /// Why none works and what to do, if it is known that none does.
    #[must_use]
    pub fn idle(&self) -> Option<(&str, &str)> {
        match self {
            Self::Idle { why, remedy } => Some((why, remedy)),
            Self::Works(_) | Self::Unknown(_) => None,
        }
    }
}

fn idle(why: String, remedy: impl Into<String>) -> Verdict {
    Verdict::Idle {
        why,
        remedy: remedy.into(),
    }
}
