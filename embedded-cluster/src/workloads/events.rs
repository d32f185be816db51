//! Events about objects, as controllers and the kubelet send them. No I/O.

use serde_json::{Value, json};

use super::Stage;
use crate::object;
use crate::store::{Key, State};

/// Records an event; the same one again counts up.
pub(super) fn record(
    state: &mut State,
    stage: &Stage,
    storage: &str,
    about: &Value,
    kind: &str,
    reason: &str,
    message: &str,
) {
    let Some(version) = super::kind_of(state, storage).map(|kind| kind.api_version()) else {
        return;
    };
    let (space, name) = (object::meta(about, "namespace"), object::meta(about, "name"));
    let uid = object::meta(about, "uid");
    let id = format!("{name}.{}", super::template_hash(&json!([uid, reason, message])));
    let key = Key::new(space, &id);
    let time = stage.time();
    if let Some(stored) = state.get("/events", &key).cloned() {
        let mut value = stored.value.clone();
        let count = object::number(&value, &["count"]).unwrap_or(1);
        object::put(&mut value, &["count"], count + 1);
        object::put(&mut value, &["lastTimestamp"], time);
        stage.update(state, "/events", &stored, value, super::KUBELET, "");
        return;
    }
    let component = if storage == "/pods" {
        "kubelet"
    } else {
        "controllermanager"
    };
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": id, "namespace": space},
        "involvedObject": {
            "apiVersion": version, "kind": object::text(about, &["kind"]), "name": name, "namespace": space, "uid": uid,
            "resourceVersion": object::meta(about, "resourceVersion"),
        },
        "type": kind, "reason": reason, "message": message, "count": 1,
        "firstTimestamp": time, "lastTimestamp": time, "eventTime": null,
        "source": {"component": component}, "reportingComponent": component, "reportingInstance": "",
    });
    stage.create(state, "/events", event);
}
