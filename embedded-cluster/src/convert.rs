//! Kinds that are served in two shapes and stored in one.
//!
//! In: an object in one shape. Out: the other. No I/O. Events of `events.k8s.io` are stored as core Events, and
//! HorizontalPodAutoscalers of `autoscaling/v1` as `v2`; all other versions differ in name only.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::object;
use crate::resource::Kind;

/// Fields of events: the stored name and the other one.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Event,
    Autoscaler,
}

fn shape(kind: &Kind) -> Option<Shape> {
    match (kind.group.as_str(), kind.version.as_str(), kind.plural.as_str()) {
        ("events.k8s.io", _, "events") => Some(Shape::Event),
        ("autoscaling", "v1", "horizontalpodautoscalers") => Some(Shape::Autoscaler),
        _ => None,
    }
}

/// Whether objects of this kind are stored in another shape.
pub(crate) fn is_needed(kind: &Kind) -> bool {
    shape(kind).is_some()
}

/// The stored shape of what a client sent.
pub(crate) fn to_stored(value: &mut Value, kind: &Kind) {
    match shape(kind) {
        Some(Shape::Event) => {
            rename(value, EVENT_FIELDS.map(|(stored, served)| (served, stored)));
            object::put(value, &["apiVersion"], "v1");
        }
        Some(Shape::Autoscaler) => {
            if let Some(share) = object::take(value, &["spec", "targetCPUUtilizationPercentage"]) {
                let target = json!({"type": "Utilization", "averageUtilization": share});
                let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
                object::put(value, &["spec", "metrics"], json!([metric]));
            }
            object::put(value, &["apiVersion"], "autoscaling/v2");
        }
        None => {}
    }
}

/// The shape in which a stored object is served.
pub(crate) fn to_served<'a>(stored: &'a Value, kind: &Kind) -> Cow<'a, Value> {
    let Some(shape) = shape(kind) else {
        return Cow::Borrowed(stored);
    };
    let mut value = stored.clone();
    match shape {
        Shape::Event => rename(&mut value, EVENT_FIELDS),
        Shape::Autoscaler => {
            let metrics = object::take(&mut value, &["spec", "metrics"]).unwrap_or_default();
            let is_cpu = |metric: &&Value| object::text(metric, &["resource", "name"]) == "cpu";
            let cpu = metrics.as_array().into_iter().flatten().find(is_cpu);
            let share =
                cpu.and_then(|metric| object::at(metric, &["resource", "target", "averageUtilization"]));
            if let Some(share) = share {
                object::put(
                    &mut value,
                    &["spec", "targetCPUUtilizationPercentage"],
                    share.clone(),
                );
            }
            object::take(&mut value, &["status", "currentMetrics"]);
            crate::schema::conform(&mut value, kind.root.view());
        }
    }
    Cow::Owned(value)
}

fn rename<const N: usize>(value: &mut Value, names: [(&str, &str); N]) {
    for (from, to) in names {
        if let Some(found) = object::take(value, &[from]) {
            object::put(value, &[to], found);
        }
    }
}
