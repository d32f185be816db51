//! Readiness: what a service waits for before it can do its work, each by name.
//!
//! In: each part's word on itself. Out: one answer for all. No I/O.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

const STARTING: &str = "starting";

/// All checks of a service, shared by cloning. Without any check, the service is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    /// `None` is ready, else why not.
    checks: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
}

/// Handle by which one part of a service reports on itself.
#[derive(Clone, Debug)]
pub struct Check {
    name: &'static str,
    readiness: Readiness,
}

/// Answer of all checks at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether every check is ready.
    pub ready: bool,
    /// One line a check, as Kubernetes' own `/readyz?verbose` writes them: `[+]name ok`, `[-]name why`.
    pub text: String,
}

impl Readiness {
    /// Adds a check, not ready until it says so.
    #[must_use]
    pub fn check(&self, name: &'static str) -> Check {
        self.set(name, Some(STARTING.to_owned()));
        Check {
            name,
            readiness: self.clone(),
        }
    }

    /// Asks all checks.
    #[must_use]
    pub fn report(&self) -> Report {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (name, trouble) in checks.iter() {
            // Writing to a String cannot fail.
            let _ = match trouble {
                None => writeln!(text, "[+]{name} ok"),
                Some(why) => writeln!(text, "[-]{name} {why}"),
            };
        }
        Report {
            ready: checks.values().all(Option::is_none),
            text,
        }
    }

    fn set(&self, name: &'static str, trouble: Option<String>) {
        self.checks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, trouble);
    }
}

impl Check {
    /// Says that this part is ready.
    pub fn ready(&self) {
        self.readiness.set(self.name, None);
    }

    /// Says that this part is not ready, and why.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.readiness.set(self.name, Some(why.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_ready_when_each_of_its_checks_is() {
        let readiness = Readiness::default();
        assert!(readiness.report().ready);

        let lease = readiness.check("lease");
        let watches = readiness.check("watches");
        lease.ready();
        watches.not_ready("kustomizations have not been listed");
        assert_eq!(
            readiness.report(),
            Report {
                ready: false,
                text: "[+]lease ok\n[-]watches kustomizations have not been listed\n".into()
            }
        );

        watches.ready();
        assert!(readiness.report().ready);
    }

    #[test]
    fn a_new_check_is_not_ready() {
        let readiness = Readiness::default();
        let _lease = readiness.check("lease");
        assert_eq!(
            readiness.report(),
            Report {
                ready: false,
                text: "[-]lease starting\n".into()
            }
        );
    }
}
