//! Waits until what a stage applied can be built on: definitions are established and served. Reads only.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::items::{Item, served_kinds};
use super::{Run, revoked};
use crate::apply::{Previewed, Revoked};
use crate::assess::reduce::Observed;
use crate::assess::status::StatusKind;
use crate::cluster::{ApiError, Kind};
use crate::plan::{Action, Gvk, ObjectId, Stage};
use crate::report::Failure;

/// How often a definition is looked at that no watch shows.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Waits until what was applied in a stage can be built on: definitions are established.
    pub(super) async fn settle(
        &self,
        stage: Stage,
        items: &[Item],
        previews: &HashMap<ObjectId, Previewed>,
    ) -> Result<(), Failure> {
        if stage != Stage::Definitions {
            return Ok(());
        }
        let mut kinds = Vec::new();
        for item in items {
            let defined = served_kinds(&item.wanted);
            if defined.is_empty() {
                continue;
            }
            let id = &item.wanted.id;
            let preview_skips =
                matches!(previews.get(id), Some(Previewed::Ok(preview)) if preview.action == Action::Skipped);
            if preview_skips || item.settled && self.left(id).is_some_and(|left| left.skipped) {
                continue;
            }
            self.await_current(&item.wanted.id).await?;
            if !item.settled {
                kinds.extend(defined);
            }
        }
        if kinds.is_empty() {
            return Ok(());
        }
        self.await_served(&kinds).await
    }

    /// A definition may be established a moment before its kind is served.
    async fn await_served(&self, kinds: &[Gvk]) -> Result<(), Failure> {
        let mut pause = Duration::from_millis(20);
        let served = async {
            loop {
                self.cx.discovery.refresh(&self.cx.api, Duration::ZERO).await?;
                if kinds.iter().all(|gvk| self.cx.discovery.known(gvk).is_some()) {
                    return Ok::<(), ApiError>(());
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
        };
        let awaited = self.place.leave_for(self.job.permit.wait(served));
        let answer = awaited.await.map_err(revoked)?;
        answer
            .map_err(|error| Failure::Apply(format!("what the API server serves could not be read: {error}")))
    }

    async fn await_current(&self, id: &ObjectId) -> Result<(), Failure> {
        let current = async {
            let mut look_at = Instant::now() + LOOK_EVERY;
            loop {
                let changed = self.cx.index.changed();
                if self
                    .cx
                    .index
                    .get(id)
                    .is_some_and(|seen| seen.observed.kind == StatusKind::Current)
                {
                    return;
                }
                // Its watch may not be had.
                if tokio::time::timeout_at(look_at, changed).await.is_err() {
                    if self.is_established(id).await {
                        return;
                    }
                    look_at = Instant::now() + LOOK_EVERY;
                }
            }
        };
        let awaited = self.place.leave_for(self.job.permit.wait(current));
        awaited.await.map_err(|why| match why {
            Revoked::Deadline => {
                Failure::Timeout(format!("{id} was not established within {:?}", self.job.timeout))
            }
            other => revoked(other),
        })
    }

    async fn is_established(&self, id: &ObjectId) -> bool {
        let kind = Kind::of_definitions();
        let live = self.api.get(&kind, id).await.ok().flatten();
        live.is_some_and(|live| Observed::reduce(&live, Timestamp::now()).kind == StatusKind::Current)
    }
}
