//! Controllers that would take what `uninstall` deletes for a wish to prune, wherever they are. Does I/O through the
//! cluster's client.

use futures::future::join_all;

use super::leases::HOLDER;
use crate::connect::Cluster;
use crate::error::{Error, Kind};
use crate::standing::{self, Hold};
use crate::ui::Ui;

/// Who holds the leases, but for the pods that are ended here.
pub(super) struct Ended<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) namespace: &'a str,
    pub(super) pods: Vec<String>,
}

/// The other namespaces that have a controller's Deployment, running or not.
pub(super) async fn installed(cluster: &Cluster, home: &str) -> Result<Vec<String>, Error> {
    let mut namespaces = standing::deployments(cluster).await?.map_err(|why| {
        Error::new(
            Kind::Cluster,
            format!("cannot look for controllers in all namespaces: {why}"),
        )
        .hint("--force goes on without having looked.")
    })?;
    namespaces.retain(|namespace| namespace != home);
    namespaces.sort();
    Ok(namespaces)
}

/// Refuses while Coracle is installed elsewhere: its objects would go as well.
pub(super) fn refuse_installed(others: &[String]) -> Result<(), Error> {
    if others.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = others.iter().map(|it| format!("{it}/coracle")).collect();
    let installed = format!(
        "there are other controllers: Deployment {}, whose objects would go as well",
        names.join(", Deployment ")
    );
    Err(Error::new(Kind::Negative, installed).hint(
        "--keep-objects takes only this one out and leaves what the others need; --force takes all of it.",
    ))
}

impl Ended<'_> {
    /// Refuses while a controller elsewhere holds a lease.
    pub(super) async fn refuse_holders(&self) -> Result<(), Error> {
        let holds = self.others().await?;
        refuse(holds.iter().filter(|hold| hold.lasts))
    }

    /// Refuses if a lease is renewed that seems to have run out: its holder's clock may be wrong. Gives the holds that
    /// are over.
    pub(super) async fn refuse_renewals(&self, ui: &mut Ui) -> Result<Vec<Hold>, Error> {
        let now = self.cluster.now().await?;
        let over = self.others().await?;
        let watched: Vec<&Hold> = over
            .iter()
            .filter(|hold| !hold.observation(now).is_zero())
            .collect();
        let Some(longest) = watched.iter().map(|hold| hold.observation(now)).max() else {
            return Ok(over);
        };
        let holders: Vec<&str> = watched.iter().map(|hold| hold.holder.as_str()).collect();
        ui.progress(format_args!(
            "watching for {longest:?} whether {} renews its lease",
            holders.join(" or ")
        ))?;
        let renewed = join_all(
            watched
                .iter()
                .map(|hold| hold.is_renewed(self.cluster, hold.observation(now))),
        );
        let renewed = renewed.await;
        refuse(
            watched
                .iter()
                .zip(renewed)
                .filter(|(_, renewed)| *renewed)
                .map(|(hold, _)| *hold),
        )?;
        Ok(over)
    }

    async fn others(&self) -> Result<Vec<Hold>, Error> {
        let now = self.cluster.now().await?;
        let holds = standing::holds(self.cluster, None, now).await?;
        let mut holds = holds.map_err(|why| {
            Error::new(Kind::Cluster, format!("cannot look who holds the leases: {why}"))
                .hint("--force goes on without having looked.")
        })?;
        holds.retain(|hold| !self.is_ended(hold));
        Ok(holds)
    }

    /// Whether it is that of a pod that is ended here, or of an earlier run of this command.
    pub(super) fn is_ended(&self, hold: &Hold) -> bool {
        let holder = hold.holder.as_str();
        hold.namespace == self.namespace
            && (holder == HOLDER || self.pods.iter().any(|pod| holder.contains(pod.as_str())))
    }
}

/// Refuses while somebody holds one of these.
pub(super) fn refuse<'a>(holds: impl Iterator<Item = &'a Hold>) -> Result<(), Error> {
    let named: Vec<String> = holds
        .map(|hold| {
            format!(
                "`{}` holds the lease {}/{}",
                hold.holder, hold.namespace, hold.lease
            )
        })
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Negative,
        format!("a controller still runs: {}", named.join(", ")),
    )
    .hint("End it first; it would delete what it applied. --force goes on without it."))
}
