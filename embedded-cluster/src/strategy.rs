//! How kinds differ in their handling, as upstream's strategies say (`pkg/registry/*/strategy.go`). No I/O.

use crate::resource::Kind;

fn id(kind: &Kind) -> (&str, &str) {
    (&kind.group, &kind.plural)
}

/// Whether `metadata.generation` is counted.
pub(crate) fn has_generation(kind: &Kind) -> bool {
    if kind.custom.is_some() {
        return true;
    }
    match id(kind) {
        ("apps", plural) => plural != "controllerrevisions",
        (
            "batch"
            | "policy"
            | "apiextensions.k8s.io"
            | "admissionregistration.k8s.io"
            | "flowcontrol.apiserver.k8s.io",
            _,
        )
        | ("", "pods" | "replicationcontrollers" | "podtemplates")
        | ("networking.k8s.io", "ingresses" | "ingressclasses" | "networkpolicies")
        | ("scheduling.k8s.io", "priorityclasses")
        | ("discovery.k8s.io", "endpointslices")
        | ("resource.k8s.io", "deviceclasses" | "resourceslices")
        | ("storage.k8s.io", "csidrivers") => true,
        _ => false,
    }
}

/// Whether an update may leave out the resourceVersion (`AllowUnconditionalUpdate`).
pub(crate) fn allows_unconditional_update(kind: &Kind) -> bool {
    if kind.custom.is_some() {
        return false;
    }
    !matches!(
        id(kind),
        (
            "admissionregistration.k8s.io"
                | "coordination.k8s.io"
                | "apiextensions.k8s.io"
                | "apiregistration.k8s.io",
            _
        ) | ("node.k8s.io", "runtimeclasses")
            | ("policy", "poddisruptionbudgets")
            | (
                "storage.k8s.io",
                "csidrivers" | "csinodes" | "csistoragecapacities" | "volumeattachments"
            )
    )
}

/// Whether PUT may create an object (`AllowCreateOnUpdate`).
pub(crate) fn allows_create_on_update(kind: &Kind) -> bool {
    kind.custom.is_none()
        && matches!(
            id(kind),
            ("coordination.k8s.io", "leases")
                | ("", "endpoints" | "events" | "limitranges" | "services")
                | ("events.k8s.io", "events")
                | ("node.k8s.io", "runtimeclasses")
                | ("rbac.authorization.k8s.io", _)
        )
}

/// Whether DELETE answers with the object that is gone (`ReturnDeletedObject`).
pub(crate) fn returns_deleted(kind: &Kind) -> bool {
    kind.custom.is_none()
        && matches!(
            id(kind),
            (
                "",
                "pods"
                    | "persistentvolumes"
                    | "persistentvolumeclaims"
                    | "serviceaccounts"
                    | "resourcequotas"
                    | "podtemplates"
                    | "services"
                    | "namespaces"
            ) | ("resource.k8s.io", _)
                | (
                    "storage.k8s.io",
                    "storageclasses"
                        | "volumeattachments"
                        | "csinodes"
                        | "csidrivers"
                        | "volumeattributesclasses"
                )
        )
}
