//! Which lists are merged by key: all that strategic merge needs of Kubernetes' schema, which kustomize
//! takes from version 1.21.2. Lists that are not here are replaced. Pure.

use super::openapi::OpenApi;
use serde_json::Value;

/// What is known about a field.
#[derive(Clone, Copy)]
pub(super) enum Field<'s> {
    Object(&'static Object),
    /// A list whose items are merged by these keys; without keys the items are scalars.
    MergeList {
        keys: &'static [&'static str],
        items: Option<&'static Object>,
    },
    /// A field of a schema that a kustomization file names.
    Custom(&'s OpenApi, &'s Value),
}

/// How the items of a list are merged.
pub(super) struct MergeList<'s> {
    pub(super) keys: Vec<&'s str>,
    pub(super) items: Option<Field<'s>>,
}

/// The fields of an object that lead to lists that are merged.
pub(super) struct Object(&'static [(&'static str, Field<'static>)]);

impl<'s> Field<'s> {
    pub(super) fn field(self, name: &str) -> Option<Field<'s>> {
        match self {
            Self::Object(object) => object
                .0
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, field)| *field),
            Self::MergeList { .. } => None,
            Self::Custom(openapi, schema) => openapi.field(schema, name).map(|s| Field::Custom(openapi, s)),
        }
    }

    /// How a list is merged; `None` when it is replaced.
    pub(super) fn merge_list(self) -> Option<MergeList<'s>> {
        match self {
            Self::Object(_) => None,
            Self::MergeList { keys, items } => Some(MergeList {
                keys: keys.to_vec(),
                items: items.map(Field::Object),
            }),
            Self::Custom(openapi, schema) => {
                let keys = openapi.merge_keys(schema)?;
                Some(MergeList {
                    keys,
                    items: openapi.items(schema).map(|s| Field::Custom(openapi, s)),
                })
            }
        }
    }
}

const fn list(keys: &'static [&'static str], items: &'static Object) -> Field<'static> {
    Field::MergeList {
        keys,
        items: Some(items),
    }
}

const SCALARS: Field<'static> = Field::MergeList {
    keys: &[],
    items: None,
};

static NOTHING: Object = Object(&[]);
static METADATA: Object = Object(&[
    ("ownerReferences", list(&["uid"], &NOTHING)),
    ("finalizers", SCALARS),
]);

static CONTAINER: Object = Object(&[
    ("env", list(&["name"], &NOTHING)),
    ("ports", list(&["containerPort", "protocol"], &NOTHING)),
    ("volumeMounts", list(&["mountPath"], &NOTHING)),
    ("volumeDevices", list(&["devicePath"], &NOTHING)),
]);
static EPHEMERAL_CONTAINER: Object = Object(&[
    ("env", list(&["name"], &NOTHING)),
    ("volumeMounts", list(&["mountPath"], &NOTHING)),
    ("volumeDevices", list(&["devicePath"], &NOTHING)),
]);
static CLAIM_TEMPLATE: Object = Object(&[("metadata", Field::Object(&METADATA))]);
static EPHEMERAL_VOLUME: Object = Object(&[("volumeClaimTemplate", Field::Object(&CLAIM_TEMPLATE))]);
static VOLUME: Object = Object(&[("ephemeral", Field::Object(&EPHEMERAL_VOLUME))]);
static POD_SPEC: Object = Object(&[
    ("containers", list(&["name"], &CONTAINER)),
    ("initContainers", list(&["name"], &CONTAINER)),
    ("ephemeralContainers", list(&["name"], &EPHEMERAL_CONTAINER)),
    ("volumes", list(&["name"], &VOLUME)),
    ("imagePullSecrets", list(&["name"], &NOTHING)),
    ("hostAliases", list(&["ip"], &NOTHING)),
    (
        "topologySpreadConstraints",
        list(&["topologyKey", "whenUnsatisfiable"], &NOTHING),
    ),
]);
static POD_TEMPLATE: Object = Object(&[
    ("metadata", Field::Object(&METADATA)),
    ("spec", Field::Object(&POD_SPEC)),
]);
static TEMPLATED: Object = Object(&[("template", Field::Object(&POD_TEMPLATE))]);
static JOB_TEMPLATE: Object = Object(&[
    ("metadata", Field::Object(&METADATA)),
    ("spec", Field::Object(&TEMPLATED)),
]);
static CRON_JOB_SPEC: Object = Object(&[("jobTemplate", Field::Object(&JOB_TEMPLATE))]);
static CONDITIONS: Object = Object(&[("conditions", list(&["type"], &NOTHING))]);
static NODE_STATUS: Object = Object(&[
    ("conditions", list(&["type"], &NOTHING)),
    ("addresses", list(&["type"], &NOTHING)),
]);
static POD_STATUS: Object = Object(&[
    ("conditions", list(&["type"], &NOTHING)),
    ("podIPs", list(&["ip"], &NOTHING)),
]);
static NODE_SPEC: Object = Object(&[("podCIDRs", SCALARS)]);
static SERVICE_SPEC: Object = Object(&[("ports", list(&["port", "protocol"], &NOTHING))]);
static CSI_NODE_SPEC: Object = Object(&[("drivers", list(&["name"], &NOTHING))]);

const META: (&str, Field<'static>) = ("metadata", Field::Object(&METADATA));
const WITH_CONDITIONS: (&str, Field<'static>) = ("status", Field::Object(&CONDITIONS));

static PLAIN: Object = Object(&[META]);
static WITH_STATUS: Object = Object(&[META, WITH_CONDITIONS]);
static WORKLOAD: Object = Object(&[META, ("spec", Field::Object(&TEMPLATED)), WITH_CONDITIONS]);
static CRON_JOB: Object = Object(&[META, ("spec", Field::Object(&CRON_JOB_SPEC))]);
static POD: Object = Object(&[
    META,
    ("spec", Field::Object(&POD_SPEC)),
    ("status", Field::Object(&POD_STATUS)),
]);
static POD_TEMPLATE_KIND: Object = Object(&[META, ("template", Field::Object(&POD_TEMPLATE))]);
static NODE: Object = Object(&[
    META,
    ("spec", Field::Object(&NODE_SPEC)),
    ("status", Field::Object(&NODE_STATUS)),
]);
static SERVICE: Object = Object(&[META, ("spec", Field::Object(&SERVICE_SPEC)), WITH_CONDITIONS]);
static SERVICE_ACCOUNT: Object = Object(&[META, ("secrets", list(&["name"], &NOTHING))]);
static COMPONENT_STATUS: Object = Object(&[META, ("conditions", list(&["type"], &NOTHING))]);
static CSI_NODE: Object = Object(&[META, ("spec", Field::Object(&CSI_NODE_SPEC))]);
static WEBHOOKS: Object = Object(&[META, ("webhooks", list(&["name"], &NOTHING))]);

/// The fields of a kind that version 1.21.2 knows.
pub(super) fn of_kind(api_version: &str, kind: &str) -> Option<Field<'static>> {
    let object = match (api_version, kind) {
        ("apps/v1", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet")
        | ("batch/v1", "Job")
        | ("v1", "ReplicationController") => &WORKLOAD,
        ("batch/v1" | "batch/v1beta1", "CronJob") => &CRON_JOB,
        ("v1", "Pod") => &POD,
        ("v1", "PodTemplate") => &POD_TEMPLATE_KIND,
        ("v1", "Node") => &NODE,
        ("v1", "Service") => &SERVICE,
        ("v1", "ServiceAccount") => &SERVICE_ACCOUNT,
        ("v1", "ComponentStatus") => &COMPONENT_STATUS,
        ("storage.k8s.io/v1" | "storage.k8s.io/v1beta1", "CSINode") => &CSI_NODE,
        (
            "admissionregistration.k8s.io/v1" | "admissionregistration.k8s.io/v1beta1",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => &WEBHOOKS,
        ("apiregistration.k8s.io/v1" | "apiregistration.k8s.io/v1beta1", "APIService")
        | ("policy/v1" | "policy/v1beta1", "PodDisruptionBudget")
        | ("v1", "Namespace" | "PersistentVolumeClaim") => &WITH_STATUS,
        _ if has_metadata(api_version, kind) => &PLAIN,
        _ => return None,
    };
    Some(Field::Object(object))
}

/// The other kinds of version 1.21.2.
fn has_metadata(api_version: &str, kind: &str) -> bool {
    let kinds: &[&str] = match api_version {
        "apiextensions.k8s.io/v1" | "apiextensions.k8s.io/v1beta1" => &["CustomResourceDefinition"],
        "apps/v1" => &["ControllerRevision"],
        "authentication.k8s.io/v1" => &["TokenRequest", "TokenReview"],
        "authentication.k8s.io/v1beta1" => &["TokenReview"],
        "authorization.k8s.io/v1" | "authorization.k8s.io/v1beta1" => &[
            "LocalSubjectAccessReview",
            "SelfSubjectAccessReview",
            "SelfSubjectRulesReview",
            "SubjectAccessReview",
        ],
        "autoscaling/v1" => &["HorizontalPodAutoscaler", "Scale"],
        "autoscaling/v2beta1" | "autoscaling/v2beta2" => &["HorizontalPodAutoscaler"],
        "certificates.k8s.io/v1" | "certificates.k8s.io/v1beta1" => &["CertificateSigningRequest"],
        "coordination.k8s.io/v1" | "coordination.k8s.io/v1beta1" => &["Lease"],
        "discovery.k8s.io/v1" | "discovery.k8s.io/v1beta1" => &["EndpointSlice"],
        "events.k8s.io/v1" | "events.k8s.io/v1beta1" => &["Event"],
        "extensions/v1beta1" => &["Ingress"],
        "flowcontrol.apiserver.k8s.io/v1beta1" => &["FlowSchema", "PriorityLevelConfiguration"],
        "networking.k8s.io/v1" => &["Ingress", "IngressClass", "NetworkPolicy"],
        "networking.k8s.io/v1beta1" => &["Ingress", "IngressClass"],
        "node.k8s.io/v1" | "node.k8s.io/v1beta1" => &["RuntimeClass"],
        "policy/v1beta1" => &["Eviction", "PodSecurityPolicy"],
        "rbac.authorization.k8s.io/v1" | "rbac.authorization.k8s.io/v1beta1" => {
            &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]
        }
        "scheduling.k8s.io/v1" | "scheduling.k8s.io/v1beta1" => &["PriorityClass"],
        "storage.k8s.io/v1" => &["CSIDriver", "StorageClass", "VolumeAttachment"],
        "storage.k8s.io/v1beta1" => &[
            "CSIDriver",
            "CSIStorageCapacity",
            "StorageClass",
            "VolumeAttachment",
        ],
        "v1" => &[
            "Binding",
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "PersistentVolume",
            "ResourceQuota",
            "Secret",
        ],
        _ => &[],
    };
    kinds.contains(&kind)
}
