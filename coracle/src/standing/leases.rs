//! Who holds the leases of Flux's controllers, which Coracle holds as well while it runs. Does I/O through the
//! cluster's client.
//!
//! Whether a lease lasts is judged by the API server's clock. Its holder wrote it by a clock of its own, so whoever is
//! about to delete something also watches whether it is renewed.

use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use reconciler::cluster::{FLUX_LEASES, lease_duration};

use super::look::seen;
use super::{Hold, Seen};
use crate::connect::Cluster;
use crate::error::Error;

/// No clock is this wrong: certificates would not be taken.
const WRONG_CLOCK: Duration = Duration::from_secs(24 * 60 * 60);

/// Who holds the leases of one namespace or of all, or held them last. Those that were let go are left out.
///
/// # Errors
/// The cluster cannot be reached.
pub async fn holds(
    cluster: &Cluster,
    namespace: Option<&str>,
    now: Timestamp,
) -> Result<Seen<Vec<Hold>>, Error> {
    let api = api(cluster, namespace);
    let mut holds = Vec::new();
    for name in FLUX_LEASES {
        let found = match namespace {
            Some(_) => api.get_opt(name).await.map(|lease| lease.into_iter().collect()),
            None => api.list(&named(name)).await.map(|listed| listed.items),
        };
        match seen(cluster, "look who holds the lease", found)? {
            Ok(leases) => holds.extend(leases.iter().filter_map(|lease: &Lease| hold(name, lease, now))),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(holds))
}

fn api(cluster: &Cluster, namespace: Option<&str>) -> Api<Lease> {
    match namespace {
        Some(namespace) => Api::namespaced(cluster.client.clone(), namespace),
        None => Api::all(cluster.client.clone()),
    }
}

fn named(name: &str) -> ListParams {
    ListParams::default().fields(&format!("metadata.name={name}"))
}

/// The hold that says most about who works: one that lasts, else the youngest.
pub(super) fn best(holds: Vec<Hold>) -> Option<Hold> {
    holds.into_iter().max_by_key(|hold| (hold.lasts, hold.renewed))
}

/// Who holds a lease, or held it last, if it was not let go.
#[must_use]
pub fn hold(name: &'static str, lease: &Lease, now: Timestamp) -> Option<Hold> {
    let spec = lease.spec.as_ref()?;
    let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty())?;
    let renewed = spec.renew_time.as_ref().map(|time| time.0);
    let duration = lease_duration(spec.lease_duration_seconds.map(i64::from));
    Some(Hold {
        lease: name,
        namespace: lease.metadata.namespace.clone().unwrap_or_default(),
        holder,
        renewed,
        duration,
        // What runs out after the last moment that there is has not run out.
        lasts: renewed.is_some_and(|renewed| renewed.checked_add(duration).map_or(true, |end| end > now)),
    })
}

impl Hold {
    /// How long to watch it before it counts as nobody's: half its duration. Coracle renews it after a third, Flux
    /// after a seventh. Zero for one that is long since over by any clock. One that does not say when it was renewed
    /// may have been just now.
    #[must_use]
    pub fn observation(&self, now: Timestamp) -> Duration {
        match self.renewed {
            Some(renewed) if now.duration_since(renewed).unsigned_abs() >= WRONG_CLOCK => Duration::ZERO,
            _ => self.duration / 2,
        }
    }

    /// Whether the same one holds it, and has not renewed it in between.
    #[must_use]
    pub fn stands_as(&self, other: &Self) -> bool {
        let stand = |it: &Self| (it.lease, it.namespace.clone(), it.holder.clone(), it.renewed);
        stand(self) == stand(other)
    }

    /// Whether its holder renews it within this time. What cannot be watched counts as renewed.
    pub async fn is_renewed(&self, cluster: &Cluster, within: Duration) -> bool {
        let one = watcher::Config::default().fields(&format!("metadata.name={}", self.lease));
        let changes = watcher(api(cluster, Some(&self.namespace)), one).touched_objects();
        let mut changes = std::pin::pin!(changes);
        let stands = |lease: Lease| {
            let spec = lease.spec.unwrap_or_default();
            let is_free = spec.holder_identity.is_none_or(|holder| holder.is_empty());
            is_free || spec.renew_time.map(|time| time.0) == self.renewed
        };
        let renewal = async {
            while let Some(change) = changes.next().await {
                if !change.is_ok_and(stands) {
                    return;
                }
            }
        };
        tokio::time::timeout(within, renewal).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-01-01T00:01:00Z";

    fn held(spec: &Value) -> Hold {
        let lease =
            serde_json::from_value(json!({ "metadata": { "namespace": "flux-system" }, "spec": spec }));
        hold(FLUX_LEASES[0], &lease.unwrap(), NOW.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_lease_that_does_not_say_how_long_it_lasts_lasts_as_long_as_ours() {
        for spec in [
            json!({ "holderIdentity": "laptop", "renewTime": "2026-01-01T00:00:00Z" }),
            json!({ "holderIdentity": "laptop", "renewTime": "2026-01-01T00:00:00Z", "leaseDurationSeconds": 0 }),
            json!({ "holderIdentity": "laptop", "renewTime": "2026-01-01T00:00:00Z", "leaseDurationSeconds": -1 }),
        ] {
            let hold = held(&spec);
            assert_eq!(
                (hold.duration, hold.lasts),
                (Duration::from_secs(90), true),
                "{spec}"
            );
        }
    }

    #[test]
    fn a_lease_of_the_last_moment_that_there_is_lasts() {
        for renewed in ["9999-12-30T22:00:00Z", "9999-12-30T21:59:00Z"] {
            let spec =
                json!({ "holderIdentity": "laptop", "renewTime": renewed, "leaseDurationSeconds": 90 });
            assert!(held(&spec).lasts, "{renewed}");
        }
    }

    #[test]
    fn only_what_is_long_since_over_by_any_clock_is_not_watched() {
        let observed = |spec: Value| held(&spec).observation(NOW.parse().unwrap()).as_secs();
        assert_eq!(
            observed(json!({ "holderIdentity": "laptop", "renewTime": "2026-01-01T00:00:00Z" })),
            45
        );
        assert_eq!(observed(json!({ "holderIdentity": "laptop" })), 45);
        assert_eq!(
            observed(json!({ "holderIdentity": "laptop", "renewTime": "2025-01-01T00:00:00Z" })),
            0
        );
    }
}
