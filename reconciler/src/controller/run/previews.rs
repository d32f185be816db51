//! Looks at what the server would make of a run's objects, before anything of a stage is written (rule 6). Reads
//! only.

use std::collections::HashMap;

use futures::{StreamExt as _, stream};

use super::items::{Coming, Item};
use super::{PARALLEL, Run, revoked};
use crate::apply::{self, Known, Preview, Previewed, Rejection};
use crate::cluster::ApiError;
use crate::plan::{self, Action, ObjectId, Owner, Stage, Wanted};
use crate::report::Failure;

impl Run<'_> {
    pub(super) async fn preview_all(
        &self,
        staged: &[(Stage, Vec<Item>)],
    ) -> Result<HashMap<ObjectId, Previewed>, Failure> {
        let coming = Coming::of(staged);
        let asked: Vec<_> = staged
            .iter()
            .flat_map(|(_, items)| items)
            .filter(|item| !item.settled)
            .map(|item| self.preview_one(item))
            .collect();
        self.previewed(asked, |wanted| coming.explains(wanted)).await
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
            return Ok(Previewed::Deferred(format!(
                "no matches for kind {} in version {}",
                id.kind,
                item.kind.gvk.api_version()
            )));
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
            Ok(previewed) => Ok(previewed),
            Err(ApiError::Revoked(why)) => Err(revoked(why)),
            Err(error) => Err(Failure::Apply(format!("{id}: {error}"))),
        }
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
        items: &mut [Item],
        previews: &mut HashMap<ObjectId, Previewed>,
    ) -> Result<(), Failure> {
        let is_deferred = |item: &Item| matches!(previews.get(&item.wanted.id), Some(Previewed::Deferred(_)));
        for item in items.iter_mut().filter(|item| is_deferred(item)) {
            let kind = self.cx.discovery.resolve(&self.cx.api, &item.kind.gvk).await;
            item.kind = kind.map_err(|error| Failure::Apply(format!("{}: {error}", item.wanted.id)))?;
        }
        let asked: Vec<_> = items
            .iter()
            .filter(|item| is_deferred(item))
            .map(|item| self.preview_one(item))
            .collect();
        let found = self.previewed(asked, |_| false).await?;
        previews.extend(found);
        Ok(())
    }

    /// Collects previews; all rejections are reported together. What is deferred is a rejection too, unless
    /// something explains it.
    async fn previewed<'i>(
        &self,
        asked: Vec<impl Future<Output = (&'i Item, Result<Previewed, Failure>)>>,
        explained: impl Fn(&Wanted) -> bool,
    ) -> Result<HashMap<ObjectId, Previewed>, Failure> {
        let mut previews = HashMap::with_capacity(asked.len());
        let mut rejections = Vec::new();
        let mut answers = stream::iter(asked).buffer_unordered(PARALLEL);
        while let Some((item, answer)) = answers.next().await {
            match answer? {
                Previewed::Rejected(rejection) => rejections.push(rejection),
                Previewed::Deferred(why) if !explained(&item.wanted) => {
                    rejections.push(Rejection::of_dry_run(&item.wanted, &why));
                }
                previewed => {
                    previews.insert(item.wanted.id.clone(), previewed);
                }
            }
        }
        drop(answers);
        refuse(rejections)?;
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

/// All rejections of a look are reported together.
fn refuse(mut rejections: Vec<Rejection>) -> Result<(), Failure> {
    if rejections.is_empty() {
        return Ok(());
    }
    rejections.sort_by(|a, b| a.subject.cmp(&b.subject));
    let lines: Vec<String> = rejections.iter().map(ToString::to_string).collect();
    Err(Failure::Apply(lines.join("\n")))
}
