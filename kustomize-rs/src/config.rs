//! Which fields the transformers change: the defaults, and what `configurations` and `crds` add to them.
//! In: configuration files; out: field specs. Pure.
//!
//! The file is long because the defaults are tables.

use std::sync::{Arc, LazyLock};

use crate::error::Error;
use crate::fieldspec::{FieldSpec, FieldSpecs};
use crate::id::Gvk;
use crate::model::decode::{Fields, Source};
use crate::model::{field_spec, gvk};
use crate::order::{gvk_key, kind_rank};

type Result<T> = std::result::Result<T, Error>;

/// The field specs of all transformers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    pub(crate) name_prefix: FieldSpecs,
    pub(crate) name_suffix: FieldSpecs,
    pub(crate) namespace: FieldSpecs,
    pub(crate) common_labels: FieldSpecs,
    pub(crate) labels: FieldSpecs,
    pub(crate) template_labels: FieldSpecs,
    pub(crate) common_annotations: FieldSpecs,
    pub(crate) name_references: Vec<NameReference>,
    pub(crate) var_references: FieldSpecs,
    pub(crate) images: FieldSpecs,
    pub(crate) replicas: FieldSpecs,
}

/// The fields that hold names of resources of one kind.
#[derive(Debug, Clone)]
pub(crate) struct NameReference {
    pub(crate) target: Gvk,
    pub(crate) referrers: FieldSpecs,
}

/// One default: kind, group, version and path, and whether the field is created.
type Row = (&'static str, &'static str, &'static str, &'static str, bool);

const APPS: &str = "apps";
const BATCH: &str = "batch";
const RBAC: &str = "rbac.authorization.k8s.io";

const METADATA_LABELS: &[Row] = &[
    ("", "", "", "metadata/labels", true),
    (
        "ReplicationController",
        "",
        "v1",
        "spec/template/metadata/labels",
        true,
    ),
    ("Deployment", "", "", "spec/template/metadata/labels", true),
    ("ReplicaSet", "", "", "spec/template/metadata/labels", true),
    ("DaemonSet", "", "", "spec/template/metadata/labels", true),
    ("StatefulSet", APPS, "", "spec/template/metadata/labels", true),
    (
        "StatefulSet",
        APPS,
        "",
        "spec/volumeClaimTemplates[]/metadata/labels",
        true,
    ),
    ("Job", BATCH, "", "spec/template/metadata/labels", true),
    ("CronJob", BATCH, "", "spec/jobTemplate/metadata/labels", true),
    (
        "CronJob",
        BATCH,
        "",
        "spec/jobTemplate/spec/template/metadata/labels",
        true,
    ),
];

const SELECTORS: &[Row] = &[
    ("Service", "", "v1", "spec/selector", true),
    ("ReplicationController", "", "v1", "spec/selector", true),
    ("Deployment", "", "", "spec/selector/matchLabels", true),
    ("ReplicaSet", "", "", "spec/selector/matchLabels", true),
    ("DaemonSet", "", "", "spec/selector/matchLabels", true),
    ("StatefulSet", APPS, "", "spec/selector/matchLabels", true),
    ("Job", BATCH, "", "spec/selector/matchLabels", false),
    (
        "CronJob",
        BATCH,
        "",
        "spec/jobTemplate/spec/selector/matchLabels",
        false,
    ),
    (
        "PodDisruptionBudget",
        "policy",
        "",
        "spec/selector/matchLabels",
        false,
    ),
    (
        "NetworkPolicy",
        "networking.k8s.io",
        "",
        "spec/podSelector/matchLabels",
        false,
    ),
    (
        "NetworkPolicy",
        "networking.k8s.io",
        "",
        "spec/ingress/from/podSelector/matchLabels",
        false,
    ),
    (
        "NetworkPolicy",
        "networking.k8s.io",
        "",
        "spec/egress/to/podSelector/matchLabels",
        false,
    ),
];

/// Selectors of other pods, in the pod templates of Deployments and StatefulSets.
const POD_SELECTORS: &[&str] = &[
    "affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "topologySpreadConstraints/labelSelector/matchLabels",
];

const ANNOTATIONS: &[Row] = &[
    ("", "", "", "metadata/annotations", true),
    (
        "ReplicationController",
        "",
        "v1",
        "spec/template/metadata/annotations",
        true,
    ),
    ("Deployment", "", "", "spec/template/metadata/annotations", true),
    ("ReplicaSet", "", "", "spec/template/metadata/annotations", true),
    ("DaemonSet", "", "", "spec/template/metadata/annotations", true),
    ("StatefulSet", "", "", "spec/template/metadata/annotations", true),
    ("Job", BATCH, "", "spec/template/metadata/annotations", true),
    (
        "CronJob",
        BATCH,
        "",
        "spec/jobTemplate/metadata/annotations",
        true,
    ),
    (
        "CronJob",
        BATCH,
        "",
        "spec/jobTemplate/spec/template/metadata/annotations",
        true,
    ),
];

const NAMESPACES: &[Row] = &[
    ("Namespace", "", "", "metadata/name", true),
    (
        "APIService",
        "apiregistration.k8s.io",
        "",
        "spec/service/namespace",
        true,
    ),
    (
        "CustomResourceDefinition",
        "apiextensions.k8s.io",
        "",
        "spec/conversion/webhook/clientConfig/service/namespace",
        false,
    ),
];

const IMAGES: &[Row] = &[
    ("", "", "", "spec/containers[]/image", true),
    ("", "", "", "spec/initContainers[]/image", true),
    ("", "", "", "spec/volumes[]/image/reference", true),
    ("", "", "", "spec/template/spec/containers[]/image", true),
    ("", "", "", "spec/template/spec/initContainers[]/image", true),
    ("", "", "", "spec/template/spec/volumes[]/image/reference", true),
];

const REPLICAS: &[Row] = &[
    ("Deployment", "", "", "spec/replicas", true),
    ("ReplicationController", "", "", "spec/replicas", true),
    ("ReplicaSet", "", "", "spec/replicas", true),
    ("StatefulSet", "", "", "spec/replicas", true),
];

/// Where pod specs are: kind, version, path.
const POD_SPECS: &[(&str, &str, &str)] = &[
    ("Pod", "v1", "spec"),
    ("PodTemplate", "", "template/spec"),
    ("Deployment", "", "spec/template/spec"),
    ("ReplicaSet", "", "spec/template/spec"),
    ("DaemonSet", "", "spec/template/spec"),
    ("StatefulSet", "", "spec/template/spec"),
    ("Job", "", "spec/template/spec"),
    ("CronJob", "", "spec/jobTemplate/spec/template/spec"),
];

/// The same for references that know neither PodTemplate nor ReplicaSet, but ReplicationController.
const RUNNING_POD_SPECS: &[(&str, &str)] = &[
    ("Pod", "spec"),
    ("StatefulSet", "spec/template/spec"),
    ("Deployment", "spec/template/spec"),
    ("ReplicationController", "spec/template/spec"),
    ("CronJob", "spec/jobTemplate/spec/template/spec"),
    ("Job", "spec/template/spec"),
    ("DaemonSet", "spec/template/spec"),
];

const CONFIG_MAP_FIELDS: &[&str] = &[
    "volumes/configMap/name",
    "containers/env/valueFrom/configMapKeyRef/name",
    "initContainers/env/valueFrom/configMapKeyRef/name",
    "containers/envFrom/configMapRef/name",
    "initContainers/envFrom/configMapRef/name",
    "volumes/projected/sources/configMap/name",
];

const SECRET_FIELDS: &[&str] = &[
    "volumes/secret/secretName",
    "containers/env/valueFrom/secretKeyRef/name",
    "initContainers/env/valueFrom/secretKeyRef/name",
    "containers/envFrom/secretRef/name",
    "initContainers/envFrom/secretRef/name",
    "imagePullSecrets/name",
    "volumes/projected/sources/secret/name",
];

const VAR_CONTAINER_FIELDS: &[&str] = &[
    "containers/args",
    "containers/command",
    "containers/env/value",
    "containers/volumeMounts/mountPath",
    "initContainers/args",
    "initContainers/command",
    "initContainers/env/value",
    "initContainers/volumeMounts/mountPath",
];

const VARS: &[Row] = &[
    (
        "CronJob",
        "",
        "",
        "spec/jobTemplate/spec/template/volumes/nfs/server",
        false,
    ),
    (
        "DaemonSet",
        "",
        "",
        "spec/template/spec/volumes/nfs/server",
        false,
    ),
    (
        "Deployment",
        "",
        "",
        "spec/template/spec/volumes/nfs/server",
        false,
    ),
    ("Deployment", "", "", "spec/template/metadata/annotations", false),
    ("Ingress", "", "", "spec/rules/host", false),
    ("Ingress", "", "", "spec/tls/hosts", false),
    ("Ingress", "", "", "spec/tls/secretName", false),
    ("Job", "", "", "spec/template/spec/volumes/nfs/server", false),
    ("Pod", "", "", "spec/volumes/nfs/server", false),
    (
        "ReplicaSet",
        "",
        "",
        "spec/template/spec/volumes/nfs/server",
        false,
    ),
    ("Service", "", "", "spec/ports/port", false),
    ("Service", "", "", "spec/ports/targetPort", false),
    (
        "StatefulSet",
        "",
        "",
        "spec/volumeClaimTemplates/spec/nfs/server",
        false,
    ),
    ("PersistentVolume", "", "", "spec/nfs/server", false),
    ("", "", "", "metadata/labels", false),
    ("", "", "", "metadata/annotations", false),
];

fn row(&(kind, group, version, path, create): &Row) -> FieldSpec {
    spec(kind, group, version, path, create)
}

fn spec(kind: &str, group: &str, version: &str, path: &str, create: bool) -> FieldSpec {
    FieldSpec::new(
        Gvk {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            ..Gvk::default()
        },
        path,
        create,
    )
}

fn rows(rows: &[Row]) -> FieldSpecs {
    FieldSpecs::new(rows.iter().map(row).collect())
}

/// The defaults, read once; nothing ever changes them.
pub(crate) fn defaults() -> Arc<Config> {
    static DEFAULTS: LazyLock<Arc<Config>> = LazyLock::new(|| Arc::new(make_defaults()));
    Arc::clone(&DEFAULTS)
}

fn make_defaults() -> Config {
    let mut config = unordered_defaults();
    config.sort();
    config
}

fn unordered_defaults() -> Config {
    let mut selectors: Vec<FieldSpec> = SELECTORS.iter().map(row).collect();
    for kind in ["Deployment", "StatefulSet"] {
        let path = |field: &&str| spec(kind, APPS, "", &format!("spec/template/spec/{field}"), false);
        selectors.extend(POD_SELECTORS.iter().map(path));
    }
    selectors.extend(METADATA_LABELS.iter().map(row));
    let name = FieldSpecs::new(vec![spec("", "", "", "metadata/name", false)]);
    Config {
        name_prefix: name.clone(),
        name_suffix: name,
        namespace: rows(NAMESPACES),
        common_labels: FieldSpecs::new(selectors),
        labels: FieldSpecs::default(),
        template_labels: rows(METADATA_LABELS),
        common_annotations: rows(ANNOTATIONS),
        name_references: default_name_references(),
        var_references: default_var_references(),
        images: rows(IMAGES),
        replicas: rows(REPLICAS),
    }
}

fn default_var_references() -> FieldSpecs {
    let mut specs = Vec::new();
    for (kind, _, prefix) in POD_SPECS.iter().filter(|(kind, ..)| *kind != "PodTemplate") {
        specs.extend(
            VAR_CONTAINER_FIELDS
                .iter()
                .map(|field| spec(kind, "", "", &format!("{prefix}/{field}"), false)),
        );
    }
    specs.extend(VARS.iter().map(row));
    FieldSpecs::new(specs)
}

fn default_name_references() -> Vec<NameReference> {
    let pods = |fields: &[&str]| -> Vec<FieldSpec> {
        let all = POD_SPECS
            .iter()
            .flat_map(|pod| fields.iter().map(move |field| (pod, field)));
        all.map(|((kind, version, prefix), field)| {
            spec(kind, "", version, &format!("{prefix}/{field}"), false)
        })
        .collect()
    };
    let running = |field: &str| -> Vec<FieldSpec> {
        let all = RUNNING_POD_SPECS.iter();
        all.map(|(kind, prefix)| spec(kind, "", "", &format!("{prefix}/{field}"), false))
            .collect()
    };
    let list = |entries: &[(&str, &str, &str)]| -> Vec<FieldSpec> {
        entries
            .iter()
            .map(|(kind, group, path)| spec(kind, group, "", path, false))
            .collect()
    };
    let mut references = Vec::new();
    let mut add = |kind: &str, group: &str, version: &str, specs: Vec<FieldSpec>| {
        let target = Gvk {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            ..Gvk::default()
        };
        references.push(NameReference {
            target,
            referrers: FieldSpecs::new(specs),
        });
    };
    for kind in ["Deployment", "ReplicationController", "ReplicaSet", "StatefulSet"] {
        add(
            kind,
            "",
            "",
            list(&[("HorizontalPodAutoscaler", "", "spec/scaleTargetRef/name")]),
        );
    }
    let mut config_maps = pods(CONFIG_MAP_FIELDS);
    config_maps.extend(list(&[
        ("Node", "", "spec/configSource/configMap"),
        ("Role", "", "rules/resourceNames"),
        ("ClusterRole", "", "rules/resourceNames"),
        (
            "Ingress",
            "",
            r"metadata/annotations/nginx.ingress.kubernetes.io\/fastcgi-params-configmap",
        ),
    ]));
    add("ConfigMap", "", "v1", config_maps);
    let mut secrets = pods(SECRET_FIELDS);
    secrets.extend(list(&[
        ("Ingress", "", "spec/tls/secretName"),
        (
            "Ingress",
            "",
            r"metadata/annotations/ingress.kubernetes.io\/auth-secret",
        ),
        (
            "Ingress",
            "",
            r"metadata/annotations/nginx.ingress.kubernetes.io\/auth-secret",
        ),
        (
            "Ingress",
            "",
            r"metadata/annotations/nginx.ingress.kubernetes.io\/auth-tls-secret",
        ),
        ("ServiceAccount", "", "imagePullSecrets/name"),
        ("StorageClass", "", "parameters/secretName"),
        ("StorageClass", "", "parameters/adminSecretName"),
        ("StorageClass", "", "parameters/userSecretName"),
        ("StorageClass", "", "parameters/secretRef"),
        ("Role", "", "rules/resourceNames"),
        ("ClusterRole", "", "rules/resourceNames"),
        ("PersistentVolume", "", "spec/azureFile/secretName"),
    ]));
    let knative = "spec/template/spec/containers/env/valueFrom/secretKeyRef/name";
    secrets.push(spec("Service", "serving.knative.dev", "v1", knative, false));
    add("Secret", "", "v1", secrets);
    let services = list(&[
        ("StatefulSet", APPS, "spec/serviceName"),
        ("Ingress", "", "spec/rules/http/paths/backend/serviceName"),
        ("Ingress", "", "spec/backend/serviceName"),
        ("Ingress", "", "spec/rules/http/paths/backend/service/name"),
        ("Ingress", "", "spec/defaultBackend/service/name"),
        ("APIService", "apiregistration.k8s.io", "spec/service/name"),
        (
            "ValidatingWebhookConfiguration",
            "admissionregistration.k8s.io",
            "webhooks/clientConfig/service",
        ),
        (
            "MutatingWebhookConfiguration",
            "admissionregistration.k8s.io",
            "webhooks/clientConfig/service",
        ),
    ]);
    add("Service", "", "v1", services);
    add("Role", RBAC, "", list(&[("RoleBinding", RBAC, "roleRef/name")]));
    add(
        "ClusterRole",
        RBAC,
        "",
        list(&[
            ("RoleBinding", RBAC, "roleRef/name"),
            ("ClusterRoleBinding", RBAC, "roleRef/name"),
        ]),
    );
    let mut accounts = list(&[
        ("RoleBinding", RBAC, "subjects"),
        ("ClusterRoleBinding", RBAC, "subjects"),
    ]);
    accounts.extend(running("serviceAccountName"));
    add("ServiceAccount", "", "v1", accounts);
    add(
        "PersistentVolumeClaim",
        "",
        "v1",
        running("volumes/persistentVolumeClaim/claimName"),
    );
    let volumes = list(&[
        ("PersistentVolumeClaim", "", "spec/volumeName"),
        ("ClusterRole", "", "rules/resourceNames"),
    ]);
    add("PersistentVolume", "", "v1", volumes);
    let storage = list(&[
        ("PersistentVolume", "", "spec/storageClassName"),
        ("PersistentVolumeClaim", "", "spec/storageClassName"),
        (
            "StatefulSet",
            "",
            "spec/volumeClaimTemplates/spec/storageClassName",
        ),
    ]);
    add("StorageClass", "storage.k8s.io", "v1", storage);
    add(
        "PriorityClass",
        "scheduling.k8s.io",
        "v1",
        running("priorityClassName"),
    );
    // The group with a version in it is kustomize's, so that this entry never matches anything.
    add(
        "IngressClass",
        "networking.k8s.io/v1",
        "v1",
        list(&[("Ingress", "", "spec/ingressClassName")]),
    );
    let admission = "admissionregistration.k8s.io";
    let policies = list(&[("ValidatingAdmissionPolicyBinding", admission, "spec/policyName")]);
    add("ValidatingAdmissionPolicy", admission, "", policies);
    references
}

/// By the rank of the kind, then group, version and kind, as every list of a configuration is ordered.
pub(crate) fn order(a: &Gvk, b: &Gvk) -> std::cmp::Ordering {
    kind_rank(&a.kind)
        .cmp(&kind_rank(&b.kind))
        .then_with(|| gvk_key(a).cmp(&gvk_key(b)))
}

impl Config {
    /// Reads one file of `configurations`.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self> {
        let mut specs = |field| Ok::<_, Error>(FieldSpecs::new(fields.list(field, field_spec)?));
        Ok(Self {
            name_prefix: specs("namePrefix")?,
            name_suffix: specs("nameSuffix")?,
            namespace: specs("namespace")?,
            common_labels: specs("commonLabels")?,
            labels: specs("labels")?,
            template_labels: specs("templateLabels")?,
            common_annotations: specs("commonAnnotations")?,
            var_references: specs("varReference")?,
            images: specs("images")?,
            replicas: specs("replicas")?,
            name_references: fields.list("nameReference", |f| {
                let target = gvk(f)?;
                Ok(NameReference {
                    target,
                    referrers: FieldSpecs::new(f.list("fieldSpecs", field_spec)?),
                })
            })?,
        })
    }

    /// Reads the text of one file of `configurations`.
    pub(crate) fn read_file(node: &crate::yaml::Node, file: &std::path::Path) -> Result<Self> {
        let source = Source { file, strict: true };
        let mut fields = source.fields(node, "")?;
        fields.node("apiVersion");
        fields.node("kind");
        let config = Self::read(&mut fields)?;
        fields.finish()?;
        Ok(config)
    }

    /// Adds another configuration to this one and puts all field specs in order.
    ///
    /// The order counts: a spec of one kind comes before that of every kind, which then is taken for known
    /// the next time that the configuration is merged.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        for (own, others) in self.lists().into_iter().zip(other.clone().lists()) {
            own.merge(others.iter())?;
        }
        for reference in &other.name_references {
            match self
                .name_references
                .iter_mut()
                .find(|known| known.target == reference.target)
            {
                Some(known) => known.referrers.merge(reference.referrers.iter())?,
                None => self.name_references.push(reference.clone()),
            }
        }
        self.sort();
        Ok(())
    }

    fn sort(&mut self) {
        self.lists().into_iter().for_each(FieldSpecs::sort);
        self.name_references.sort_by(|a, b| order(&a.target, &b.target));
    }

    fn lists(&mut self) -> [&mut FieldSpecs; 10] {
        [
            &mut self.name_prefix,
            &mut self.name_suffix,
            &mut self.namespace,
            &mut self.common_labels,
            &mut self.labels,
            &mut self.template_labels,
            &mut self.common_annotations,
            &mut self.var_references,
            &mut self.images,
            &mut self.replicas,
        ]
    }
}
