//! Waits until an object is gone, and says what it waits for. Reads only.

use std::time::Duration;

use serde_json::Value;

use crate::assess::holds::held;
use crate::cluster::{Api, ApiError, Index, Kind};
use crate::plan::ObjectId;

/// The first pause between looks at an object that no watch shows.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between looks.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Waits until an object is gone, or another has taken its name. A watch shows the end of what carries our labels;
/// anything else is looked for now and then.
///
/// # Errors
/// Why the API server could not be asked.
pub(crate) async fn until_gone(
    api: &Api,
    index: &Index,
    kind: &Kind,
    id: &ObjectId,
    uid: Option<&str>,
) -> Result<(), ApiError> {
    let mut uid = uid.map(ToOwned::to_owned);
    let mut pause = FIRST_PAUSE;
    loop {
        let live = match api.get_metadata(kind, id).await {
            Ok(Some(live)) => live,
            Ok(None) => return Ok(()),
            // Its definition is gone, and all of its objects with it.
            Err(error) if error.is_unserved() => return Ok(()),
            Err(error) => return Err(error),
        };
        let found = live.pointer("/metadata/uid").and_then(Value::as_str);
        if uid.is_some() && uid.as_deref() != found {
            return Ok(());
        }
        uid = found.map(ToOwned::to_owned);
        let shown = async {
            if is_shown(index, id, uid.as_deref()) {
                until_not_shown(index, id, uid.as_deref()).await;
            } else {
                tokio::time::sleep(pause).await;
            }
        };
        let _ = tokio::time::timeout(LAST_PAUSE, shown).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// What keeps an object that is being deleted, as far as that may be known.
pub(crate) async fn what_holds(api: &Api, kind: &Kind, id: &ObjectId) -> String {
    let live = api.get(kind, id).await;
    held(id, live.ok().flatten().as_ref())
}

fn is_shown(index: &Index, id: &ObjectId, uid: Option<&str>) -> bool {
    index.get(id).is_some_and(|seen| Some(&*seen.observed.uid) == uid)
}

async fn until_not_shown(index: &Index, id: &ObjectId, uid: Option<&str>) {
    loop {
        let changed = index.changed();
        if !is_shown(index, id, uid) {
            return;
        }
        changed.await;
    }
}
