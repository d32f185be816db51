//! The cluster of a scenario: the embedded one, or upstream's own control plane. Does I/O.
//!
//! In: what the scenario needs. Out: one set of operations, so that a scenario is told once and holds on both.
//! `CORACLE_TEST_CLUSTER=upstream`, which `make conformance` sets, runs every scenario upstream that can be.

use std::time::Duration;

use embedded_cluster::{Faults, RequestKey, Workloads};
use serde_json::Value;
use tokio::sync::watch;

use crate::control_plane::Lent;

/// Says which cluster scenarios run on: `embedded` (the default) or `upstream`.
pub const WHICH: &str = "CORACLE_TEST_CLUSTER";

/// When a file that nobody tells of is looked at again.
const AUDIT_PAUSE: Duration = Duration::from_millis(20);

/// What a scenario needs of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// A Kubernetes API and pods that come up: any cluster.
    Kubernetes,
    /// Requests that are held, refused or lost at a moment of the scenario's choice. Upstream's API server has no
    /// such moments; that the controller survives them is a property of the controller alone.
    Faults,
    /// Pods that crash, hang or come late as the scenario says. There is no kubelet upstream that could be told to.
    Workloads,
    /// An API server that becomes another version while it runs.
    Upgrade,
}

/// A request that the cluster refused.
#[derive(Debug, thiserror::Error)]
#[error("the cluster refuses: {0}")]
pub struct Refused(String);

/// A cluster that runs.
pub enum Cluster {
    /// In this process.
    Embedded(Box<embedded_cluster::Cluster>),
    /// Upstream's, lent to this scenario alone.
    Upstream(Box<Lent>),
}

impl Cluster {
    /// Starts an embedded cluster, or borrows one of upstream's if that was asked for and will do.
    ///
    /// # Panics
    /// When that fails, or [`WHICH`] says something else.
    pub async fn start(needs: Needs) -> Self {
        let which = std::env::var(WHICH).unwrap_or_else(|_| "embedded".to_owned());
        match which.as_str() {
            "upstream" if needs == Needs::Kubernetes => Self::Upstream(Box::new(Lent::new().await)),
            "upstream" | "embedded" => {
                let config = embedded_cluster::Config::default();
                Self::Embedded(Box::new(embedded_cluster::Cluster::start(config).await.unwrap()))
            }
            other => panic!("{WHICH} is `{other}`: `embedded` or `upstream` was expected"),
        }
    }

    /// The faults that requests meet, for scenarios that said that they need them.
    ///
    /// # Panics
    /// When the scenario did not say so, and runs upstream.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.embedded().faults()
    }

    /// The workload simulator, for scenarios that said that they need it.
    ///
    /// # Panics
    /// When the scenario did not say so, and runs upstream.
    #[must_use]
    pub fn workloads(&self) -> &Workloads {
        self.embedded().workloads()
    }

    /// Has the server say that it is another version, for scenarios that need its faults.
    ///
    /// # Panics
    /// When the scenario did not say so, and runs upstream.
    pub fn say_version(&self, version: &str) {
        self.embedded().say_version(version);
    }

    fn embedded(&self) -> &embedded_cluster::Cluster {
        match self {
            Self::Embedded(cluster) => cluster,
            Self::Upstream(_) => {
                panic!("a scenario that needs the embedded cluster has to say so: see `Needs`")
            }
        }
    }

    /// Whether it is in this process.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded(_))
    }

    /// A kubeconfig of an administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        match self {
            Self::Embedded(cluster) => cluster.kubeconfig(),
            Self::Upstream(lent) => lent.kubeconfig(),
        }
    }

    /// Reads an object; the namespace is empty for cluster-scoped kinds.
    #[must_use]
    pub fn get(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        match self {
            Self::Embedded(cluster) => cluster.get(api_version, kind, namespace, name),
            Self::Upstream(lent) => lent.get(api_version, kind, namespace, name),
        }
    }

    /// Reads all objects of a kind, of one namespace or (empty) of all.
    #[must_use]
    pub fn list(&self, api_version: &str, kind: &str, namespace: &str) -> Vec<Value> {
        match self {
            Self::Embedded(cluster) => cluster.list(api_version, kind, namespace),
            Self::Upstream(lent) => lent.list(api_version, kind, namespace),
        }
    }

    /// Applies an object, by force, as a user with this field manager.
    ///
    /// # Errors
    /// What the cluster answers.
    pub fn apply(&self, object: &Value, manager: &str) -> Result<Value, Refused> {
        match self {
            Self::Embedded(cluster) => cluster.apply(object, manager).map_err(refused),
            Self::Upstream(lent) => lent.apply(object, manager).map_err(refused),
        }
    }

    /// Changes an object by a merge patch.
    ///
    /// # Errors
    /// What the cluster answers.
    pub fn merge(&self, object: &Value, manager: &str) -> Result<Value, Refused> {
        match self {
            Self::Embedded(cluster) => cluster.merge(object, manager).map_err(refused),
            Self::Upstream(lent) => lent.merge(object, manager).map_err(refused),
        }
    }

    /// Updates an object's status.
    ///
    /// # Errors
    /// What the cluster answers.
    pub fn update_status(&self, object: &Value, manager: &str) -> Result<Value, Refused> {
        match self {
            Self::Embedded(cluster) => cluster.update_status(object, manager).map_err(refused),
            Self::Upstream(lent) => lent.update_status(object, manager).map_err(refused),
        }
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// What the cluster answers.
    pub fn delete(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<(), Refused> {
        match self {
            Self::Embedded(cluster) => cluster
                .delete(api_version, kind, namespace, name)
                .map_err(refused),
            Self::Upstream(lent) => lent.delete(api_version, kind, namespace, name).map_err(refused),
        }
    }

    /// A mark for [`Cluster::requests_since`].
    #[must_use]
    pub fn mark(&self) -> u64 {
        match self {
            Self::Embedded(cluster) => cluster.requests().mark(),
            Self::Upstream(lent) => lent.mark(),
        }
    }

    /// What was asked for since a mark, by anybody, in the order of completion.
    #[must_use]
    pub fn requests_since(&self, mark: u64) -> Vec<RequestKey> {
        match self {
            Self::Embedded(cluster) => cluster.requests().log_since(mark),
            Self::Upstream(lent) => lent.requests_since(mark),
        }
    }

    /// Tells of requests from here on.
    #[must_use]
    pub(crate) fn arrivals(&self) -> Arrivals {
        match self {
            Self::Embedded(cluster) => Arrivals::Counted(cluster.requests().seen()),
            Self::Upstream(_) => Arrivals::Audited,
        }
    }
}

/// Requests as they are answered.
pub(crate) enum Arrivals {
    /// By the embedded cluster, which tells of each.
    Counted(watch::Receiver<u64>),
    /// By upstream's API server, which writes them to a file.
    Audited,
}

impl Arrivals {
    /// Waits until there may be another.
    pub(crate) async fn next(&mut self) {
        match self {
            // The cluster holds the sender for as long as the scenario holds the cluster.
            Self::Counted(seen) => drop(seen.changed().await),
            Self::Audited => tokio::time::sleep(AUDIT_PAUSE).await,
        }
    }
}

fn refused(error: impl std::fmt::Display) -> Refused {
    Refused(error.to_string())
}
