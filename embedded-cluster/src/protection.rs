//! Keeps claims that pods use, and volumes that claims use: upstream's `pvc-protection` and `pv-protection`.
//!
//! In: claims and volumes, pods that are gone. Out: finalizers added and taken off. No I/O.

use std::sync::Arc;

use serde_json::Value;

use crate::clock::Clock;
use crate::collect;
use crate::object;
use crate::resource::Kind;
use crate::store::{State, Stored, Touched};

const CLAIMS: &str = "/persistentvolumeclaims";

/// The finalizer that a kind is protected with, if it is.
fn finalizer(storage: &str) -> Option<&'static str> {
    match storage {
        CLAIMS => Some("kubernetes.io/pvc-protection"),
        "/persistentvolumes" => Some("kubernetes.io/pv-protection"),
        _ => None,
    }
}

/// Protects what is created, as the admission plugin `StorageObjectInUseProtection` does.
pub(crate) fn on_create(value: &mut Value, kind: &Kind) {
    let Some(name) = finalizer(&kind.storage) else {
        return;
    };
    if object::finalizers(value).any(|known| known == name) {
        return;
    }
    let mut finalizers = object::items(value, &["metadata", "finalizers"]).to_vec();
    finalizers.push(name.into());
    object::put(value, &["metadata", "finalizers"], finalizers);
}

/// Looks at what was touched: lets go of what is to be deleted and is not used anymore.
pub(crate) fn look(state: &mut State, clock: &Clock, place: &Touched) {
    let found = state.get(&place.storage, &place.key).cloned();
    if &*place.storage == "/pods" && found.is_none() {
        touch_claims(state, &place.key.namespace);
        return;
    }
    let (Some(name), Some(stored)) = (finalizer(&place.storage), found) else {
        return;
    };
    if !object::is_terminating(&stored.value) || is_used(state, &place.storage, &stored) {
        return;
    }
    let Some(kind) = state.registry.stored(&place.storage).cloned() else {
        return;
    };
    if object::finalizers(&stored.value).any(|known| known == name) {
        collect::drop_finalizer(state, clock, &kind, &stored, name);
    }
}

/// A pod that is gone may have been the last one that used a claim.
fn touch_claims(state: &mut State, namespace: &str) {
    let waiting: Vec<Touched> = state
        .in_namespace(CLAIMS, namespace)
        .filter(|(_, claim)| object::is_terminating(&claim.value))
        .map(|(key, _)| Touched {
            storage: CLAIMS.into(),
            key: key.clone(),
        })
        .collect();
    for place in waiting {
        state.touch(place);
    }
}

fn is_used(state: &State, storage: &str, stored: &Arc<Stored>) -> bool {
    if storage != CLAIMS {
        return object::text(&stored.value, &["status", "phase"]) == "Bound";
    }
    let claim = object::meta(&stored.value, "name");
    state
        .in_namespace("/pods", object::meta(&stored.value, "namespace"))
        .any(|(_, pod)| uses(&pod.value, claim))
}

/// Whether a pod that has a node names the claim.
fn uses(pod: &Value, claim: &str) -> bool {
    !object::text(pod, &["spec", "nodeName"]).is_empty()
        && object::items(pod, &["spec", "volumes"])
            .iter()
            .any(|volume| object::text(volume, &["persistentVolumeClaim", "claimName"]) == claim)
}
