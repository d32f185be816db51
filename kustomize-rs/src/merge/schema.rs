//! Which lists are merged by key: all that strategic merge needs of Kubernetes' schema, which kustomize
//! takes from version 1.21.2. Lists that are not here are replaced. Pure.

use super::openapi::{self, Definitions};
use serde_json::Value;

/// What is known about a field.
#[derive(Clone, Copy)]
pub(super) struct Field<'s> {
    definitions: &'s Definitions,
    schema: Known<'s>,
}

#[derive(Clone, Copy)]
enum Known<'s> {
    /// A definition of Kubernetes' own.
    Builtin(&'static Object),
    List(&'static [&'static str], Option<&'static Object>),
    /// A part of a document that a kustomization file names.
    Custom(&'s Value),
}

/// A field of a definition of Kubernetes' own.
#[derive(Clone, Copy)]
enum Shape {
    Object(&'static Object),
    /// A list whose items are merged by these keys; without keys the items are scalars.
    MergeList {
        keys: &'static [&'static str],
        items: Option<&'static Object>,
    },
}

/// How the items of a list are merged.
pub(super) struct MergeList<'s> {
    pub(super) keys: Vec<&'s str>,
    pub(super) items: Option<Field<'s>>,
}

/// The fields of an object that lead to lists that are merged.
pub(super) struct Object {
    /// What the definition is called, where a document may well define it again.
    name: &'static str,
    fields: &'static [(&'static str, Shape)],
}

#[expect(
    non_snake_case,
    reason = "it stands for the tuple struct that the tables want"
)]
const fn Object(fields: &'static [(&'static str, Shape)]) -> Object {
    Object { name: "", fields }
}

impl<'s> Field<'s> {
    pub(super) fn builtin(definitions: &'s Definitions, object: &'static Object) -> Self {
        let schema = Known::Builtin(object);
        Self { definitions, schema }
    }

    pub(super) fn custom(definitions: &'s Definitions, schema: &'s Value) -> Self {
        let schema = Known::Custom(schema);
        Self { definitions, schema }
    }

    /// What a document says instead of the thing itself.
    pub(super) fn reference(self) -> Option<&'s str> {
        match self.schema {
            Known::Custom(schema) => schema.get("$ref").and_then(Value::as_str),
            Known::Builtin(_) | Known::List(..) => None,
        }
    }

    pub(super) fn field(self, name: &str) -> Option<Field<'s>> {
        let definitions = self.definitions;
        match self.schema {
            Known::Builtin(object) => {
                let (_, shape) = object.fields.iter().find(|(known, _)| *known == name)?;
                Some(match *shape {
                    Shape::Object(object) => Self::latest(definitions, object),
                    Shape::MergeList { keys, items } => Self {
                        definitions,
                        schema: Known::List(keys, items),
                    },
                })
            }
            Known::List(..) => None,
            Known::Custom(schema) => definitions.resolve(openapi::property(schema, name)?),
        }
    }

    /// A definition of Kubernetes' own, or the one that a document puts in its place.
    fn latest(definitions: &'s Definitions, object: &'static Object) -> Self {
        let named = Some(object.name).filter(|n| !n.is_empty());
        named
            .and_then(|name| definitions.named(name))
            .unwrap_or_else(|| Self::builtin(definitions, object))
    }

    /// How a list is merged; `None` when it is replaced.
    pub(super) fn merge_list(self) -> Option<MergeList<'s>> {
        let definitions = self.definitions;
        match self.schema {
            Known::Builtin(_) => None,
            Known::List(keys, items) => Some(MergeList {
                keys: keys.to_vec(),
                items: items.map(|object| Self::latest(definitions, object)),
            }),
            Known::Custom(schema) => Some(MergeList {
                keys: openapi::merge_keys(schema)?,
                items: openapi::items(schema).and_then(|items| definitions.resolve(items)),
            }),
        }
    }
}

const fn list(keys: &'static [&'static str], items: &'static Object) -> Shape {
    Shape::MergeList {
        keys,
        items: Some(items),
    }
}

const SCALARS: Shape = Shape::MergeList {
    keys: &[],
    items: None,
};

static NOTHING: Object = Object(&[]);
static METADATA: Object = Object {
    name: "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
    fields: &[
        ("ownerReferences", list(&["uid"], &NOTHING)),
        ("finalizers", SCALARS),
    ],
};

static CONTAINER: Object = Object {
    name: "io.k8s.api.core.v1.Container",
    fields: &[
        ("env", list(&["name"], &NOTHING)),
        ("ports", list(&["containerPort", "protocol"], &NOTHING)),
        ("volumeMounts", list(&["mountPath"], &NOTHING)),
        ("volumeDevices", list(&["devicePath"], &NOTHING)),
    ],
};
static EPHEMERAL_CONTAINER: Object = Object {
    name: "io.k8s.api.core.v1.EphemeralContainer",
    fields: &[
        ("env", list(&["name"], &NOTHING)),
        ("volumeMounts", list(&["mountPath"], &NOTHING)),
        ("volumeDevices", list(&["devicePath"], &NOTHING)),
    ],
};
static CLAIM_TEMPLATE: Object = Object(&[("metadata", Shape::Object(&METADATA))]);
static EPHEMERAL_VOLUME: Object = Object(&[("volumeClaimTemplate", Shape::Object(&CLAIM_TEMPLATE))]);
static VOLUME: Object = Object {
    name: "io.k8s.api.core.v1.Volume",
    fields: &[("ephemeral", Shape::Object(&EPHEMERAL_VOLUME))],
};
static POD_SPEC: Object = Object {
    name: "io.k8s.api.core.v1.PodSpec",
    fields: &[
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
    ],
};
static POD_TEMPLATE: Object = Object {
    name: "io.k8s.api.core.v1.PodTemplateSpec",
    fields: &[
        ("metadata", Shape::Object(&METADATA)),
        ("spec", Shape::Object(&POD_SPEC)),
    ],
};
static TEMPLATED: Object = Object(&[("template", Shape::Object(&POD_TEMPLATE))]);
static JOB_TEMPLATE: Object = Object {
    name: "io.k8s.api.batch.v1.JobTemplateSpec",
    fields: &[
        ("metadata", Shape::Object(&METADATA)),
        ("spec", Shape::Object(&TEMPLATED)),
    ],
};
static CRON_JOB_SPEC: Object = Object(&[("jobTemplate", Shape::Object(&JOB_TEMPLATE))]);
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
static SERVICE_SPEC: Object = Object {
    name: "io.k8s.api.core.v1.ServiceSpec",
    fields: &[("ports", list(&["port", "protocol"], &NOTHING))],
};
static CSI_NODE_SPEC: Object = Object(&[("drivers", list(&["name"], &NOTHING))]);

const META: (&str, Shape) = ("metadata", Shape::Object(&METADATA));
const WITH_CONDITIONS: (&str, Shape) = ("status", Shape::Object(&CONDITIONS));

static PLAIN: Object = Object(&[META]);
static WITH_STATUS: Object = Object(&[META, WITH_CONDITIONS]);
static WORKLOAD: Object = Object(&[META, ("spec", Shape::Object(&TEMPLATED)), WITH_CONDITIONS]);
static CRON_JOB: Object = Object(&[META, ("spec", Shape::Object(&CRON_JOB_SPEC))]);
static POD: Object = Object(&[
    META,
    ("spec", Shape::Object(&POD_SPEC)),
    ("status", Shape::Object(&POD_STATUS)),
]);
static POD_TEMPLATE_KIND: Object = Object(&[META, ("template", Shape::Object(&POD_TEMPLATE))]);
static NODE: Object = Object(&[
    META,
    ("spec", Shape::Object(&NODE_SPEC)),
    ("status", Shape::Object(&NODE_STATUS)),
]);
static SERVICE: Object = Object(&[META, ("spec", Shape::Object(&SERVICE_SPEC)), WITH_CONDITIONS]);
static SERVICE_ACCOUNT: Object = Object(&[META, ("secrets", list(&["name"], &NOTHING))]);
static COMPONENT_STATUS: Object = Object(&[META, ("conditions", list(&["type"], &NOTHING))]);
static CSI_NODE: Object = Object(&[META, ("spec", Shape::Object(&CSI_NODE_SPEC))]);
static WEBHOOKS: Object = Object(&[META, ("webhooks", list(&["name"], &NOTHING))]);

/// The definitions that documents use or define again.
static NAMED: &[&Object] = &[
    &METADATA,
    &CONTAINER,
    &EPHEMERAL_CONTAINER,
    &VOLUME,
    &POD_SPEC,
    &POD_TEMPLATE,
    &JOB_TEMPLATE,
    &SERVICE_SPEC,
];

/// Definitions of the same form.
static SPECS: &[(&str, &Object)] = &[
    ("io.k8s.api.apps.v1.DaemonSetSpec", &TEMPLATED),
    ("io.k8s.api.apps.v1.DeploymentSpec", &TEMPLATED),
    ("io.k8s.api.apps.v1.ReplicaSetSpec", &TEMPLATED),
    ("io.k8s.api.apps.v1.StatefulSetSpec", &TEMPLATED),
    ("io.k8s.api.batch.v1.JobSpec", &TEMPLATED),
    ("io.k8s.api.core.v1.ReplicationControllerSpec", &TEMPLATED),
    ("io.k8s.api.batch.v1.CronJobSpec", &CRON_JOB_SPEC),
    ("io.k8s.api.batch.v1beta1.CronJobSpec", &CRON_JOB_SPEC),
    ("io.k8s.api.batch.v1beta1.JobTemplateSpec", &JOB_TEMPLATE),
];

/// A definition of version 1.21.2 by its name, if it leads to a list that is merged.
pub(super) fn named(name: &str) -> Option<&'static Object> {
    let named = NAMED.iter().find(|object| object.name == name);
    named.copied().or_else(|| {
        let spec = SPECS.iter().find(|(known, _)| *known == name);
        spec.map(|(_, object)| *object)
    })
}

/// The fields of a kind that version 1.21.2 knows.
pub(super) fn of_kind(api_version: &str, kind: &str) -> Option<&'static Object> {
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
    Some(object)
}

/// Whether version 1.21.2 has paths for a kind, so that it knows whether the kind lives in a namespace.
pub(super) fn is_known(api_version: &str, kind: &str) -> bool {
    let without_paths = matches!(
        (api_version, kind),
        ("policy/v1beta1", "Eviction") | ("v1", "Binding")
    ) || api_version.starts_with("authentication.k8s.io/")
        || api_version.starts_with("authorization.k8s.io/");
    let only_paths = api_version == "v1"
        && matches!(
            kind,
            "NodeProxyOptions"
                | "PodAttachOptions"
                | "PodExecOptions"
                | "PodPortForwardOptions"
                | "PodProxyOptions"
                | "ServiceProxyOptions"
        );
    !without_paths && (only_paths || of_kind(api_version, kind).is_some())
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
