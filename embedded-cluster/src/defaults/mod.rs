//! What upstream fills in when a field is not given.
//!
//! In: an object. Out: the object with defaults. No I/O. Sources: `pkg/apis/*/v1/defaults.go` and the
//! strategies of k8s.io/kubernetes 1.36.

mod network;
mod others;
mod pods;
mod workloads;

use serde_json::Value;

use crate::resource::Kind;
use crate::schema::defaulting;
use crate::store::State;

/// Fills in defaults, on creation and update alike.
pub(crate) fn set(value: &mut Value, kind: &Kind) {
    if let Some(custom) = &kind.custom {
        if !custom.preserve_unknown && !mutated!(PruningForgotten) {
            crate::schema::drop_unknown(value, kind.root.view());
        }
        defaulting::set_defaults(value, kind.root.view());
        return;
    }
    crate::schema::conform(value, kind.root.view());
    fill(value, kind);
    crate::schema::conform(value, kind.root.view());
}

/// The form in which an object is stored, once it is known who owns what.
pub(crate) fn settle(value: &mut Value, kind: &Kind) {
    if kind.custom.is_none() {
        crate::schema::settle(value, kind.root.view());
    }
}

fn fill(value: &mut Value, kind: &Kind) {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => {
            pods::requests(value);
            pods::spec(value, &["spec"]);
        }
        ("" | "apps" | "batch", _) if workloads::set(value, kind) => {}
        ("", _) => {
            network::core(value, kind);
            others::core(value, kind);
        }
        ("networking.k8s.io", _) => network::set(value, kind),
        ("apiextensions.k8s.io", _) => crate::crd::set_defaults(value),
        _ => others::set(value, kind),
    }
}

/// What is added to a new object as if its writer had said it.
pub(crate) fn prepare(value: &mut Value, kind: &Kind) {
    if kind.custom.is_none() {
        workloads::prepare(value, kind);
    }
}

/// What the server decides once, when an object is created.
pub(crate) fn on_create(value: &mut Value, kind: &Kind, state: &mut State) {
    if kind.custom.is_some() {
        return;
    }
    others::initial_status(value, kind);
    workloads::on_create(value, kind);
    network::on_create(value, kind, state);
    crate::protection::on_create(value, kind);
}

/// What an update that leaves it out keeps.
pub(crate) fn on_update(value: &mut Value, live: &Value, kind: &Kind) {
    if kind.custom.is_none() {
        network::on_update(value, live, kind);
        workloads::on_update(value, live, kind);
    }
}

/// What the server decides when an object is changed.
pub(crate) fn after_update(value: &mut Value, live: &Value, kind: &Kind, state: &mut State) {
    if kind.custom.is_none() {
        network::after_update(value, live, kind, state);
    }
}
