//! What makes an object unacceptable, in upstream's words.
//!
//! In: the new object, and the live one on updates. Out: causes. No I/O.

mod definitions;
mod immutable;
mod metadata;
pub(crate) mod names;
mod others;
mod pods;
mod services;
mod workloads;

use serde_json::Value;

use crate::answer::Cause;
use crate::resource::Kind;
use crate::schema::structural;

pub(crate) use workloads::selects;

/// Causes against creating an object.
pub(crate) fn create(value: &Value, kind: &Kind) -> Vec<Cause> {
    let mut causes = metadata::check(value, kind);
    causes.extend(content(value, kind));
    causes
}

/// Causes against an update.
pub(crate) fn update(value: &Value, live: &Value, kind: &Kind, subresource: &str) -> Vec<Cause> {
    let mut causes = metadata::check(value, kind);
    causes.extend(metadata::check_update(value, live));
    if kind.is("apiextensions.k8s.io", "customresourcedefinitions") {
        causes.extend(definitions::check_stored(value));
    }
    if kind.is("apps", "deployments") && subresource == "status" {
        causes.extend(workloads::counts(value));
    }
    if kind.custom.is_none() {
        // Upstream checks metadata once for all kinds and once more in each built-in kind's own rules.
        causes.extend(metadata::check_update(value, live));
    }
    if subresource.is_empty() || kind.custom.is_some() {
        let mut found = content(value, kind);
        if subresource == "status" {
            // Through its own path, a status is looked at by itself.
            for cause in &mut found {
                cause.message = cause.message.replace(": status.", ": ");
            }
        }
        causes.extend(found);
    }
    if kind.custom.is_none() && subresource.is_empty() && !mutated!(ImmutableChanged) {
        causes.extend(immutable::check(value, live, kind));
    }
    causes
}

fn content(value: &Value, kind: &Kind) -> Vec<Cause> {
    if kind.custom.is_some() && mutated!(ValidationSkipped) {
        return Vec::new();
    }
    if kind.custom.is_some() {
        return structural::validate(value, kind.root.view());
    }
    if kind.is("apiextensions.k8s.io", "customresourcedefinitions") {
        return definitions::check(value);
    }
    workloads::check(value, kind)
}
