//! Flux's leases, taken before anything is deleted that a controller would take for a wish to prune: one that stands by
//! begins to work as soon as they are free. Does I/O through the cluster's client.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams, Preconditions};
use reconciler::cluster::{FLUX_LEASES, LEASE_DURATION};

use super::others::{Ended, refuse};
use super::step::{Act, Step};
use crate::connect::Cluster;
use crate::error::{Error, Kind};
use crate::standing::{Hold, hold};
use crate::ui::Ui;

/// Who holds them then. Each run has the same name, so that a second one goes on where the first was broken off.
pub(super) const HOLDER: &str = "coracle uninstall";
/// How often they are renewed: several times may fail.
const PAUSE: Duration = Duration::from_secs(10);

/// The leases that are held here.
pub(super) struct Leases<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
    held: Vec<Held>,
}

struct Held {
    name: &'static str,
    /// Whether there was one before.
    existed: bool,
}

impl<'a> Leases<'a> {
    /// None of them.
    pub(super) fn none(ended: &Ended<'a>) -> Self {
        Self {
            cluster: ended.cluster,
            namespace: ended.namespace,
            held: Vec::new(),
        }
    }

    /// Takes both. `over`: holds that nobody renews, and that may be taken over as they stand.
    pub(super) async fn take(ended: &Ended<'a>, over: &[Hold]) -> Result<Self, Error> {
        let mut leases = Self::none(ended);
        for name in FLUX_LEASES {
            match leases.take_one(name, ended, over).await {
                Ok(held) => leases.held.extend(held),
                Err(error) => {
                    // Whoever has one of them needs the other.
                    let _ = leases.delete_all().await;
                    return Err(error);
                }
            }
        }
        Ok(leases)
    }

    async fn take_one(
        &self,
        name: &'static str,
        ended: &Ended<'_>,
        over: &[Hold],
    ) -> Result<Option<Held>, Error> {
        let now = self.cluster.now().await?;
        let found = self.find(name).await?;
        let holder = found.as_ref().and_then(|lease| hold(name, lease, now));
        let is_live = |hold: &&Hold| !ended.is_ended(hold) && !over.iter().any(|it| it.stands_as(hold));
        refuse(holder.as_ref().filter(is_live).into_iter())?;
        let existed = found.is_some();
        match self.write(name, found, now).await {
            Ok(()) => Ok(Some(Held { name, existed })),
            // Nobody holds a lease in a namespace that is not there.
            Err(kube::Error::Api(status)) if status.code == 404 && !existed => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 409 => Err(self.lost(name)),
            Err(error) => Err(self.cluster.explain(&format!("take the lease {name}"), error)),
        }
    }

    /// Writes that it is held here, unless somebody wrote it since it was read.
    async fn write(&self, name: &str, found: Option<Lease>, now: Timestamp) -> Result<(), kube::Error> {
        let existed = found.is_some();
        let mut lease = found.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Lease::default()
        });
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(HOLDER) {
            spec.holder_identity = Some(HOLDER.to_owned());
            spec.acquire_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        spec.lease_duration_seconds = i32::try_from(LEASE_DURATION.as_secs()).ok();
        spec.renew_time = Some(MicroTime(now));
        let written = match existed {
            true => self.api().replace(name, &PostParams::default(), &lease).await,
            false => self.api().create(&PostParams::default(), &lease).await,
        };
        written.map(drop)
    }

    /// Renews them until one is held by somebody else.
    pub(super) async fn keep(&self) -> Error {
        loop {
            tokio::time::sleep(PAUSE).await;
            for held in &self.held {
                // What cannot be renewed now may be the next time.
                let Ok(now) = self.cluster.now().await else {
                    continue;
                };
                let Ok(Some(lease)) = self.find(held.name).await else {
                    continue;
                };
                if !is_ours(&lease) {
                    return self.lost(held.name);
                }
                let _ = self.write(held.name, Some(lease), now).await;
            }
        }
    }

    /// Deletes them and says so.
    pub(super) async fn delete(self, ui: &mut Ui) -> Result<(), Error> {
        self.delete_all().await?;
        for held in self.held.iter().filter(|held| held.existed) {
            ui.line(format_args!("deleted Lease {}/{}", self.namespace, held.name))?;
        }
        Ok(())
    }

    async fn delete_all(&self) -> Result<(), Error> {
        for held in &self.held {
            let Some(lease) = self.find(held.name).await?.filter(is_ours) else {
                continue;
            };
            let as_it_is = DeleteParams::default().preconditions(Preconditions {
                resource_version: lease.metadata.resource_version,
                uid: lease.metadata.uid,
            });
            match self.api().delete(held.name, &as_it_is).await {
                Ok(_) => {}
                // It went with its namespace, or somebody else took it.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => {
                    return Err(self
                        .cluster
                        .explain(&format!("delete the lease {}", held.name), error));
                }
            }
        }
        Ok(())
    }

    /// The deletions that are foreseen: of those that nobody holds.
    pub(super) async fn foreseen(ended: &Ended<'_>) -> Result<Vec<Step>, Error> {
        let leases = Leases::none(ended);
        let now = ended.cluster.now().await?;
        let mut steps = Vec::new();
        for name in FLUX_LEASES {
            // Who may not look at them cannot delete them either.
            let Ok(Some(lease)) = leases.find(name).await else {
                continue;
            };
            if hold(name, &lease, now).is_none_or(|hold| ended.is_ended(&hold) || !hold.lasts) {
                steps.push(Step {
                    act: Act::Delete,
                    kind: "Lease",
                    namespace: Some(ended.namespace.to_owned()),
                    name: name.to_owned(),
                });
            }
        }
        Ok(steps)
    }

    async fn find(&self, name: &str) -> Result<Option<Lease>, Error> {
        let found = self.api().get_opt(name).await;
        found.map_err(|error| self.cluster.explain(&format!("look at the lease {name}"), error))
    }

    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.cluster.client.clone(), self.namespace)
    }

    fn lost(&self, name: &str) -> Error {
        let taken = format!(
            "a controller still runs: somebody took the lease {}/{name} meanwhile",
            self.namespace
        );
        Error::new(Kind::Negative, taken).hint("End it, then run this again: it goes on where it stopped.")
    }
}

fn is_ours(lease: &Lease) -> bool {
    let spec = lease.spec.as_ref();
    spec.is_some_and(|spec| spec.holder_identity.as_deref() == Some(HOLDER))
}
