//! Looks at what the server would make of a run's objects, before anything of a stage is written (rule 6). Reads
//! only.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures::{StreamExt as _, stream};

use super::items::{Coming, Item, served_kinds};
use super::{PARALLEL, Run, revoked};
use crate::apply::{self, Absent, Known, Preview, Previewed, Rejection};
use crate::cluster::{ApiError, Kind};
use crate::plan::{self, Action, Gvk, Missing, ObjectId, Owner, Stage, Wanted};
use crate::report::Failure;

impl Run<'_> {
    /// Previews all that is not settled. What is found not to be served any more is no longer settled either, nor is
    /// its definition: both may have gone unseen.
    pub(super) async fn preview_all(
        &self,
        staged: &mut [(Stage, Vec<Item>)],
    ) -> Result<HashMap<ObjectId, Previewed>, Failure> {
        let coming = Coming::of(staged);
        let mut previews = HashMap::new();
        let mut refusals = Refusals::default();
        let mut reopened: Option<BTreeSet<ObjectId>> = None;
        loop {
            let is_open = |item: &&Item| match &reopened {
                None => !item.settled,
                Some(ids) => ids.contains(&item.wanted.id),
            };
            let items = staged.iter().flat_map(|(_, items)| items);
            let asked: Vec<_> = items.filter(is_open).map(|item| self.preview_one(item)).collect();
            let explained = |wanted: &Wanted, absent| coming.explains(wanted, absent);
            previews.extend(self.previewed(asked, explained, &mut refusals).await?);
            let unserved = unserved(staged, &previews, &refusals);
            let ids = reopen(staged, &unserved);
            if ids.is_empty() {
                break;
            }
            reopened = Some(ids);
        }
        refusals.check()?;
        Ok(previews)
    }

    async fn preview_one<'i>(&self, item: &'i Item) -> (&'i Item, Result<Previewed, Failure>) {
        // What is wanted as before is compared with what is live: somebody may have touched it unseen. So is
        // what is left alone, since that may be for a mark on the live object.
        let id = &item.wanted.id;
        let changed = self
            .left(id)
            .is_some_and(|left| left.wanted != item.digest && !left.skipped)
            && !plan::has_mark(&item.wanted.value, "ssa", "IfNotPresent");
        let deleting = self.cx.index.get(id).is_some_and(|seen| seen.observed.deleting);
        let known = if changed && !deleting && self.as_we_left_it(id) {
            Known::AsWeLeftIt
        } else {
            Known::Nothing
        };
        (item, self.preview_knowing(item, known).await)
    }

    pub(super) async fn preview_knowing(&self, item: &Item, known: Known) -> Result<Previewed, Failure> {
        let id = &item.wanted.id;
        if item.kind.plural.is_empty() {
            let why = format!(
                "no matches for kind {} in version {}",
                id.kind,
                item.kind.gvk.api_version()
            );
            return Ok(Previewed::Deferred(Absent::Kind, why));
        }
        let force = self.job.kustomization.spec.force;
        let answer = apply::preview(
            &self.api,
            &self.job.permit,
            &item.kind,
            &item.wanted,
            &self.job.owner,
            known,
            force,
        )
        .await;
        match answer {
            Ok(Previewed::OwnedBy(other, preview)) => self.adopt(&item.wanted, &other, preview).await,
            Ok(Previewed::Deferred(Absent::Kind, why)) => {
                self.cx.discovery.forget(&item.kind.gvk);
                Ok(Previewed::Deferred(Absent::Kind, why))
            }
            Ok(previewed) => Ok(previewed),
            Err(ApiError::Revoked(why)) => Err(revoked(why)),
            Err(error) => Err(Failure::Apply(format!("{id}: {error}"))),
        }
    }

    /// Rule 16: an object that another Kustomization's labels claim is adopted, unless that one exists and stays, lists
    /// it in its inventory and still wants it at its newest revision.
    async fn adopt(&self, wanted: &Wanted, other: &Owner, preview: Preview) -> Result<Previewed, Failure> {
        let Some(entry) = self.cx.registry.get(other) else {
            return Ok(Previewed::Ok(preview));
        };
        // One that is being deleted wants nothing any more.
        let leaves = entry.kustomization.metadata.deletion_timestamp.is_some();
        if leaves || !entry.inventory.contains(&wanted.id) {
            return Ok(Previewed::Ok(preview));
        }
        let claims = super::super::claims::of(self.cx, &self.job.permit, other, &entry).await;
        if claims.as_ref().is_ok_and(|claims| !claims.contains(&wanted.id)) {
            return Ok(Previewed::Ok(Preview {
                action: Action::Configured,
                ..preview
            }));
        }
        Ok(Previewed::Rejected(Rejection {
            subject: wanted.subject(),
            origin: wanted.origin.clone(),
            message: format!(
                "belongs to Kustomization {other} and is wanted by {} as well; take it out of one of the two",
                self.job.owner
            ),
            transient: false,
        }))
    }

    /// After a stage was applied and settled, what had to wait for it is previewed, before anything of the
    /// next stage is written (rule 6).
    pub(super) async fn preview_deferred(
        &self,
        items: &mut [Item],
        previews: &mut HashMap<ObjectId, Previewed>,
    ) -> Result<(), Failure> {
        let mut pause = Duration::from_millis(20);
        loop {
            let is_deferred =
                |item: &Item| matches!(previews.get(&item.wanted.id), Some(Previewed::Deferred(..)));
            for item in items.iter_mut().filter(|item| is_deferred(item)) {
                item.kind = self.resolve(item).await?;
            }
            let asked: Vec<_> = items
                .iter()
                .filter(|item| is_deferred(item))
                .map(|item| self.preview_one(item))
                .collect();
            let mut refusals = Refusals::default();
            let found = self
                .previewed(asked, |_, absent| absent == Absent::Kind, &mut refusals)
                .await?;
            refusals.check()?;
            let unserved = found.values().any(is_unserved);
            previews.extend(found);
            if !unserved {
                return Ok(());
            }
            // A kind that is said to be served may not be yet by the server that was asked.
            let wait = self.job.permit.race(tokio::time::sleep(pause));
            self.place.leave_for(wait).await.map_err(revoked)?;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn resolve(&self, item: &Item) -> Result<Kind, Failure> {
        let gvk = &item.kind.gvk;
        let kind = self.cx.discovery.resolve(&self.cx.api, gvk).await;
        kind.map_err(|error| {
            let unknown = matches!(error, ApiError::UnknownKind { .. });
            let missing = unknown.then(|| Missing::Kind(gvk.clone()));
            let text = format!("{}: {error}", item.wanted.id);
            Failure::of_apply(text, missing.into_iter().collect())
        })
    }

    /// Collects previews, and refusals. What is deferred is refused too, unless something explains it.
    async fn previewed<'i>(
        &self,
        asked: Vec<impl Future<Output = (&'i Item, Result<Previewed, Failure>)>>,
        explained: impl Fn(&Wanted, Absent) -> bool,
        refusals: &mut Refusals,
    ) -> Result<HashMap<ObjectId, Previewed>, Failure> {
        let mut previews = HashMap::with_capacity(asked.len());
        let mut answers = stream::iter(asked).buffer_unordered(PARALLEL);
        while let Some((item, answer)) = answers.next().await {
            match answer? {
                Previewed::Rejected(rejection) => {
                    let message = self.explained(&item.wanted, &rejection.message);
                    refusals.rejections.push(Rejection { message, ..rejection });
                }
                Previewed::Deferred(absent, why) if !explained(&item.wanted, absent) => {
                    refusals.add_absent(item, absent, &why);
                }
                previewed => {
                    previews.insert(item.wanted.id.clone(), previewed);
                }
            }
        }
        Ok(previews)
    }

    pub(super) fn will_write(&self, items: &[Item], previews: &HashMap<ObjectId, Previewed>) -> bool {
        items.iter().any(|item| {
            previews
                .get(&item.wanted.id)
                .is_some_and(|previewed| match previewed {
                    Previewed::Ok(preview) | Previewed::Unverified(preview) => {
                        !matches!(preview.action, Action::Unchanged | Action::Skipped)
                    }
                    _ => true,
                })
        })
    }
}

fn is_unserved(previewed: &Previewed) -> bool {
    matches!(previewed, Previewed::Deferred(Absent::Kind, _))
}

/// The kinds that turned out not to be served.
fn unserved(
    staged: &[(Stage, Vec<Item>)],
    previews: &HashMap<ObjectId, Previewed>,
    refusals: &Refusals,
) -> BTreeSet<Gvk> {
    let deferred = staged
        .iter()
        .flat_map(|(_, items)| items)
        .filter(|item| previews.get(&item.wanted.id).is_some_and(is_unserved))
        .map(|item| &item.kind.gvk);
    let refused = refusals.missing.iter().filter_map(|missing| match missing {
        Missing::Kind(gvk) => Some(gvk),
        Missing::Namespace(_) => None,
    });
    deferred.chain(refused).cloned().collect()
}

/// What the settled among these objects have to do with kinds that are not served is not settled any more; gives
/// their ids.
fn reopen(staged: &mut [(Stage, Vec<Item>)], unserved: &BTreeSet<Gvk>) -> BTreeSet<ObjectId> {
    let mut reopened = BTreeSet::new();
    for item in staged.iter_mut().flat_map(|(_, items)| items) {
        let defines = || {
            served_kinds(&item.wanted)
                .iter()
                .any(|gvk| unserved.contains(gvk))
        };
        if item.settled && (unserved.contains(&item.kind.gvk) || defines()) {
            item.settled = false;
            reopened.insert(item.wanted.id.clone());
        }
    }
    reopened
}

/// All rejections of a look are reported together, with what was missing.
#[derive(Default)]
struct Refusals {
    rejections: Vec<Rejection>,
    missing: BTreeSet<Missing>,
}

impl Refusals {
    fn add_absent(&mut self, item: &Item, absent: Absent, why: &str) {
        self.rejections.push(Rejection::of_dry_run(&item.wanted, why));
        self.missing.extend(match absent {
            Absent::Kind => Some(Missing::Kind(item.kind.gvk.clone())),
            Absent::Namespace => Some(Missing::Namespace(item.wanted.id.namespace.clone())),
            Absent::Role => None,
        });
    }

    fn check(mut self) -> Result<(), Failure> {
        if self.rejections.is_empty() {
            return Ok(());
        }
        self.rejections.sort_by(|a, b| a.subject.cmp(&b.subject));
        let lines: Vec<String> = self.rejections.iter().map(ToString::to_string).collect();
        Err(Failure::of_apply(lines.join("\n"), self.missing))
    }
}
