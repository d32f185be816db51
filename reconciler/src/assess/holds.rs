//! Says what keeps an object that is being deleted from being gone.
//!
//! In: the object as it is. Out: a sentence for people, without its final period. Pure.

use serde_json::Value;

use crate::api::FINALIZER;
use crate::plan::ObjectId;

/// Conditions in which the controller of namespaces says what it still waits for.
const OF_NAMESPACES: [&str; 5] = [
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
];

/// What keeps an object; nothing more than that it is not gone yet when nothing is known of it.
#[must_use]
pub fn held(id: &ObjectId, live: Option<&Value>) -> String {
    let reasons = live.map(reasons).unwrap_or_default();
    if reasons.is_empty() {
        return format!("{id} is being deleted and is not gone yet");
    }
    format!(
        "{id} is being deleted and is not gone yet: {}",
        reasons.join("; ")
    )
}

fn reasons(live: &Value) -> Vec<String> {
    let conditions = live["status"]["conditions"].as_array().into_iter().flatten();
    let of_namespace = conditions
        .filter(|condition| condition["status"] == "True")
        .filter(|condition| OF_NAMESPACES.iter().any(|type_| condition["type"] == **type_))
        .filter_map(|condition| condition["message"].as_str())
        .map(|message| message.trim_end_matches('.').to_owned());
    let finalizers = live["metadata"]["finalizers"].as_array().into_iter().flatten();
    let own = finalizers.filter_map(Value::as_str).map(|finalizer| {
        if finalizer == FINALIZER {
            return of_kustomization(live);
        }
        format!("the finalizer {finalizer} is left, which whoever set it removes when it has cleaned up")
    });
    of_namespace.chain(own).collect()
}

/// A Kustomization goes after its objects, and says itself what keeps them.
fn of_kustomization(live: &Value) -> String {
    let conditions = live["status"]["conditions"].as_array().into_iter().flatten();
    let failed = conditions
        .filter(|condition| condition["type"] == "Ready" && condition["status"] == "False")
        .find_map(|condition| condition["message"].as_str());
    match failed {
        Some(message) => format!("its objects go first: {message}"),
        None => "its objects go first".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespace_is_held_by_what_its_controller_found_in_it() {
        let namespace = json!({ "status": { "conditions": [
            { "type": "NamespaceDeletionContentFailure", "status": "False", "message": "All content successfully deleted" },
            { "type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: boats. has 1 resource instances" },
            { "type": "NamespaceFinalizersRemaining", "status": "True", "message": "Some content in the namespace has finalizers remaining: a.org/hold in 1 resource instances" },
        ] } });
        assert_eq!(
            held(&ObjectId::new("", "Namespace", "", "quay"), Some(&namespace)),
            "Namespace/quay is being deleted and is not gone yet: Some resources are remaining: boats. has 1 resource \
             instances; Some content in the namespace has finalizers remaining: a.org/hold in 1 resource instances"
        );
    }

    #[test]
    fn a_kustomization_is_held_by_its_objects_and_says_itself_why() {
        let object = json!({
            "metadata": { "finalizers": ["finalizers.fluxcd.io"] },
            "status": { "conditions": [{ "type": "Ready", "status": "False", "message": "the volume stays" }] },
        });
        let id = ObjectId::new("kustomize.toolkit.fluxcd.io", "Kustomization", "quay", "boats");
        assert_eq!(
            held(&id, Some(&object)),
            "Kustomization/quay/boats is being deleted and is not gone yet: its objects go first: the volume stays"
        );
    }

    #[test]
    fn an_object_is_held_by_its_finalizers() {
        let object = json!({ "metadata": { "finalizers": ["a.org/hold"] } });
        let id = ObjectId::new("", "ConfigMap", "quay", "boat");
        assert_eq!(
            held(&id, Some(&object)),
            "ConfigMap/quay/boat is being deleted and is not gone yet: the finalizer a.org/hold is left, which whoever \
             set it removes when it has cleaned up"
        );
        assert_eq!(
            held(&id, None),
            "ConfigMap/quay/boat is being deleted and is not gone yet"
        );
    }
}
