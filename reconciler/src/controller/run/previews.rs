//! Looks at what the server would make of a run's objects, before anything of a stage is written (rule 6). Reads
//! only.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures::{StreamExt as _, stream};

use super::items::{Coming, Item, served_kinds};
use super::{PARALLEL, Run, revoked};
use crate::apply::{self, Known, Preview, PreviewError, Previewed, Rejection};
use crate::cluster::ApiError;
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
        let mut open: Vec<&Item> = staged
            .iter()
            .flat_map(|(_, items)| items)
            .filter(|item| !item.settled)
            .collect();
        let mut reopened;
        loop {
            let unserved = self
                .preview_some(open, &coming, &mut previews, &mut refusals)
                .await?;
            reopened = reopen(staged, &unserved);
            if reopened.is_empty() {
                break;
            }
            open = staged
                .iter()
                .flat_map(|(_, items)| items)
                .filter(|item| reopened.contains(&item.wanted.id))
                .collect();
        }
        refusals.check()?;
        Ok(previews)
    }

    /// Gives the kinds that turned out not to be served.
    async fn preview_some(
        &self,
        items: Vec<&Item>,
        coming: &Coming,
        previews: &mut HashMap<ObjectId, Previewed>,
        refusals: &mut Refusals,
    ) -> Result<BTreeSet<Gvk>, Failure> {
        let mut unserved = BTreeSet::new();
        let asked: Vec<_> = items.into_iter().map(|item| self.preview_one(item)).collect();
        let mut answers = stream::iter(asked).buffer_unordered(PARALLEL);
        while let Some((item, answer)) = answers.next().await {
            let id = &item.wanted.id;
            match answer? {
                Previewed::Rejected(rejection) => refusals.add(rejection),
                Previewed::Deferred(why) if !coming.has_namespace(&id.namespace) => {
                    refusals.add_missing(item, &why, Missing::Namespace(id.namespace.clone()));
                }
                Previewed::Unserved(why) => {
                    unserved.insert(item.kind.gvk.clone());
                    if coming.has_kind(id) {
                        previews.insert(id.clone(), Previewed::Unserved(why));
                    } else {
                        refusals.add_missing(item, &why, Missing::Kind(item.kind.gvk.clone()));
                    }
                }
                previewed => {
                    previews.insert(id.clone(), previewed);
                }
            }
        }
        Ok(unserved)
    }

    async fn preview_one<'i>(&self, item: &'i Item) -> (&'i Item, Result<Previewed, Failure>) {
        let id = item.wanted.id.clone();
        if item.kind.plural.is_empty() {
            let why = format!(
                "no matches for kind {} in version {}",
                id.kind,
                item.kind.gvk.api_version()
            );
            return (item, Ok(Previewed::Unserved(why)));
        }
        // What is wanted as before is compared with what is live: somebody may have touched it unseen. So is
        // what is left alone, since that may be for a mark on the live object.
        let changed = self
            .left(&id)
            .is_some_and(|left| left.wanted != item.digest && !left.skipped)
            && !plan::has_mark(&item.wanted.value, "ssa", "IfNotPresent");
        let deleting = self.cx.index.get(&id).is_some_and(|seen| seen.observed.deleting);
        let known = if changed && !deleting && self.as_we_left_it(&id) {
            Known::AsWeLeftIt
        } else {
            Known::Nothing
        };
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
        let settled = match answer {
            Ok(Previewed::OwnedBy(other, preview)) => self.adopt(&item.wanted, &other, preview).await,
            Ok(Previewed::Unserved(why)) => {
                self.cx.discovery.forget(&item.kind.gvk);
                Ok(Previewed::Unserved(why))
            }
            Ok(previewed) => Ok(previewed),
            Err(PreviewError::Revoked(why)) => Err(revoked(why)),
            Err(PreviewError::Api(error)) => Err(Failure::Apply(format!("{id}: {error}"))),
        };
        (item, settled)
    }

    /// Rule 16: an object that another Kustomization's labels claim is adopted, unless that one exists, lists
    /// it in its inventory and still wants it at its newest revision.
    async fn adopt(&self, wanted: &Wanted, other: &Owner, preview: Preview) -> Result<Previewed, Failure> {
        let Some(entry) = self.cx.registry.get(other) else {
            return Ok(Previewed::Ok(preview));
        };
        if !entry.inventory.contains(&wanted.id) {
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
        items: &[Item],
        previews: &mut HashMap<ObjectId, Previewed>,
    ) -> Result<(), Failure> {
        let mut pause = Duration::from_millis(20);
        loop {
            let mut refusals = Refusals::default();
            let mut unserved = false;
            let deferred = self.resolve_deferred(items, previews).await?;
            let asked: Vec<_> = deferred.iter().map(|item| self.preview_one(item)).collect();
            let mut answers = stream::iter(asked).buffer_unordered(PARALLEL);
            while let Some((item, answer)) = answers.next().await {
                let id = &item.wanted.id;
                match answer? {
                    Previewed::Rejected(rejection) => refusals.add(rejection),
                    Previewed::Deferred(why) => {
                        refusals.add_missing(item, &why, Missing::Namespace(id.namespace.clone()));
                    }
                    Previewed::Unserved(_) => unserved = true,
                    previewed => {
                        previews.insert(id.clone(), previewed);
                    }
                }
            }
            drop(answers);
            refusals.check()?;
            if !unserved {
                return Ok(());
            }
            // A kind that is said to be served may not be yet by the server that was asked.
            let wait = self.job.permit.race(tokio::time::sleep(pause));
            wait.await.map_err(revoked)?;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// What is deferred, with its kind as it is served now.
    async fn resolve_deferred(
        &self,
        items: &[Item],
        previews: &HashMap<ObjectId, Previewed>,
    ) -> Result<Vec<Item>, Failure> {
        let mut deferred = Vec::new();
        for item in items {
            let id = &item.wanted.id;
            if !matches!(
                previews.get(id),
                Some(Previewed::Deferred(_) | Previewed::Unserved(_))
            ) {
                continue;
            }
            let gvk = &item.kind.gvk;
            let kind = match self.cx.discovery.resolve(&self.cx.api, gvk).await {
                Ok(kind) => kind,
                Err(error @ ApiError::UnknownKind { .. }) => {
                    let missing = BTreeSet::from([Missing::Kind(gvk.clone())]);
                    return Err(Failure::of_apply(format!("{id}: {error}"), missing));
                }
                Err(error) => return Err(Failure::Apply(format!("{id}: {error}"))),
            };
            deferred.push(Item {
                kind,
                wanted: item.wanted.clone(),
                digest: item.digest,
                settled: false,
            });
        }
        Ok(deferred)
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
    fn add(&mut self, rejection: Rejection) {
        self.rejections.push(rejection);
    }

    fn add_missing(&mut self, item: &Item, why: &str, missing: Missing) {
        self.add(Rejection::of_dry_run(&item.wanted, why));
        self.missing.insert(missing);
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
