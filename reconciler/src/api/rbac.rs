//! What the controller may do in a cluster: one table, and the manifests made from it. No I/O.
//!
//! In: the table [`GRANTS`] and where Coracle is installed. Out: YAML in which each rule carries its reason.
//! Applying what Git asks for is not in the table, since it can be anything. Either the controller's own
//! account may do it ([`ApplyRights::Cluster`], as with Flux), or only the accounts that the Kustomizations
//! name ([`ApplyRights::TenantsOnly`]).

use std::fmt::Write as _;

use k8s_openapi::api::rbac::v1::PolicyRule;

/// Who may apply the objects that Git asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyRights {
    /// The controller's account, bound to `cluster-admin` by the ClusterRoleBinding `coracle-apply`.
    Cluster,
    /// Only accounts that Kustomizations name and that the controller impersonates.
    TenantsOnly,
}

/// The role that a rule belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// ClusterRole `coracle-controller`: what the controller itself needs in every namespace.
    Controller,
    /// Role `coracle-controller`: what it needs in its own namespace only.
    Home,
    /// ClusterRole `coracle-watch`: what it looks at while only tenants' accounts apply.
    Watch,
    /// ClusterRole `coracle-view`: what people who may view a namespace may see of it.
    View,
    /// ClusterRole `coracle-edit`: what people who may edit a namespace may change in it.
    Edit,
}

/// A rule and its reason.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// The role that it belongs to.
    pub role: Role,
    /// API groups; the empty text is the core group.
    pub groups: &'static [&'static str],
    /// Resources, with their subresources.
    pub resources: &'static [&'static str],
    /// Names of objects; all when empty.
    pub names: &'static [&'static str],
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// Why it is needed, in one sentence.
    pub why: &'static str,
}

const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io";
const SOURCE: &str = "source.toolkit.fluxcd.io";
const LOOK: &[&str] = &["get", "list", "watch"];
const FOLLOW: &[&str] = &["list", "watch"];

/// Every rule there is.
pub const GRANTS: &[Grant] = &[
    Grant {
        role: Role::Controller,
        groups: &[KUSTOMIZE, SOURCE],
        resources: &["kustomizations", "gitrepositories"],
        names: &[],
        verbs: &["get", "list", "watch", "patch"],
        why: "Its own objects: read what is asked for, set and remove their finalizers.",
    },
    Grant {
        role: Role::Controller,
        groups: &[KUSTOMIZE, SOURCE],
        resources: &["kustomizations/status", "gitrepositories/status"],
        names: &[],
        verbs: &["patch"],
        why: "Its own objects: report what was done, inventories included.",
    },
    Grant {
        role: Role::Controller,
        groups: &[""],
        resources: &["secrets", "configmaps"],
        names: &[],
        verbs: LOOK,
        why: "Credentials of repositories, decryption keys and variables that its objects name.",
    },
    Grant {
        role: Role::Controller,
        groups: &[""],
        resources: &["serviceaccounts"],
        names: &[],
        verbs: &["get", "impersonate"],
        why: "Runs a Kustomization as the account that it names, with that account's rights only, while it exists.",
    },
    Grant {
        role: Role::Controller,
        groups: &[""],
        resources: &["events"],
        names: &[],
        verbs: &["create"],
        why: "Tells what happened where `kubectl describe` and `coracle events` look.",
    },
    Grant {
        role: Role::Controller,
        groups: &["apiregistration.k8s.io"],
        resources: &["apiservices"],
        names: &[],
        verbs: &["get"],
        why: "Tells an API that is away for a moment from one that is gone, before it forgets an object of it.",
    },
    Grant {
        role: Role::Controller,
        groups: &["apiextensions.k8s.io"],
        resources: &["customresourcedefinitions"],
        names: &[],
        verbs: LOOK,
        why: "Learns when a kind appears, changes or goes, so that its objects can be applied, and forgotten with it.",
    },
    Grant {
        role: Role::Controller,
        groups: &[""],
        resources: &["namespaces"],
        names: &[],
        verbs: FOLLOW,
        why: "Learns when a namespace appears that objects wait for.",
    },
    Grant {
        role: Role::Controller,
        groups: &["admissionregistration.k8s.io"],
        resources: &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ],
        names: &[],
        verbs: FOLLOW,
        why: "Learns when admission changes, so that everything is checked against it.",
    },
    Grant {
        role: Role::Home,
        groups: &["coordination.k8s.io"],
        resources: &["leases"],
        names: &[
            "kustomize-controller-leader-election",
            "source-controller-leader-election",
        ],
        verbs: &["get", "update"],
        why: "Flux's own leases: while Coracle holds them, Flux's two controllers cannot run.",
    },
    Grant {
        role: Role::Home,
        groups: &["coordination.k8s.io"],
        resources: &["leases"],
        names: &[],
        verbs: &["create"],
        why: "The same leases before they exist; a name cannot be asked for when creating.",
    },
    Grant {
        role: Role::Home,
        groups: &["apps"],
        resources: &["deployments"],
        names: &["kustomize-controller", "source-controller"],
        verbs: &["get"],
        why: "Looks whether Flux runs here with its leader election off, and then touches nothing.",
    },
    Grant {
        role: Role::Watch,
        groups: &[""],
        resources: &[
            "persistentvolumeclaims",
            "pods",
            "replicationcontrollers",
            "serviceaccounts",
            "services",
        ],
        names: &[],
        verbs: FOLLOW,
        why: "Notices drift and readiness by events; other kinds are compared at each interval.",
    },
    Grant {
        role: Role::Watch,
        groups: &["apps", "autoscaling", "batch", "networking.k8s.io", "policy"],
        resources: &[
            "cronjobs",
            "daemonsets",
            "deployments",
            "horizontalpodautoscalers",
            "ingresses",
            "jobs",
            "networkpolicies",
            "poddisruptionbudgets",
            "replicasets",
            "statefulsets",
        ],
        names: &[],
        verbs: FOLLOW,
        why: "The same for workloads and what surrounds them.",
    },
    Grant {
        role: Role::View,
        groups: &[KUSTOMIZE, SOURCE],
        resources: &["kustomizations", "gitrepositories"],
        names: &[],
        verbs: LOOK,
        why: "Whoever may view a namespace sees what is deployed into it and from where.",
    },
    Grant {
        role: Role::Edit,
        groups: &[KUSTOMIZE, SOURCE],
        resources: &["kustomizations", "gitrepositories"],
        names: &[],
        verbs: &["create", "delete", "deletecollection", "patch", "update"],
        why: "Whoever may edit a namespace may deploy into it; nothing is applied with more than its own accounts.",
    },
];

impl Grant {
    /// The rule as Kubernetes writes it.
    #[must_use]
    pub fn rule(&self) -> PolicyRule {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let optional = |words: &[&str]| (!words.is_empty()).then(|| list(words));
        PolicyRule {
            api_groups: optional(self.groups),
            resources: optional(self.resources),
            resource_names: optional(self.names),
            verbs: list(self.verbs),
            non_resource_urls: None,
        }
    }
}

/// Prints roles and bindings for the account `coracle` of this namespace, as YAML documents with comments.
#[must_use]
pub fn manifests(namespace: &str, rights: ApplyRights) -> String {
    // A name of digits only would be read as a number.
    let namespace = kustomize_rs::yaml::emit(&serde_json::Value::from(namespace));
    let namespace = namespace.trim_end();
    let mut out = String::new();
    role(&mut out, &ROLES[0], None);
    cluster_binding(&mut out, "coracle-controller", "coracle-controller", namespace);
    role(&mut out, &ROLES[1], Some(namespace));
    binding(
        &mut out,
        "RoleBinding",
        "coracle-controller",
        Some(namespace),
        "Role",
        "coracle-controller",
        namespace,
    );
    role(&mut out, &ROLES[2], None);
    match rights {
        ApplyRights::Cluster => {
            out.push_str(APPLY_COMMENT);
            cluster_binding(&mut out, "coracle-apply", "cluster-admin", namespace);
        }
        ApplyRights::TenantsOnly => {
            role(&mut out, &ROLES[3], None);
            cluster_binding(&mut out, "coracle-watch", "coracle-watch", namespace);
            role(&mut out, &ROLES[4], None);
        }
    }
    out
}

const APPLY_COMMENT: &str = "\
# What Git asks for can be anything, so the controller may apply anything. Whoever may push to the repositories
# that it follows is an administrator of this cluster. `coracle install --tenant-only` leaves this out: then
# only the accounts that Kustomizations name apply, each with its own rights.
";

struct RoleText {
    role: Role,
    name: &'static str,
    comment: &'static str,
    label: Option<&'static str>,
}

const ROLES: [RoleText; 5] = [
    RoleText {
        role: Role::Controller,
        name: "coracle-controller",
        comment: "What the controller itself needs in every namespace.",
        label: None,
    },
    RoleText {
        role: Role::Home,
        name: "coracle-controller",
        comment: "What the controller itself needs in its own namespace only.",
        label: None,
    },
    RoleText {
        role: Role::View,
        name: "coracle-view",
        comment: "Extends Kubernetes' roles view, edit and admin.",
        label: Some("rbac.authorization.k8s.io/aggregate-to-view"),
    },
    RoleText {
        role: Role::Watch,
        name: "coracle-watch",
        comment: "What the controller looks at while only tenants' accounts apply.",
        label: None,
    },
    RoleText {
        role: Role::Edit,
        name: "coracle-edit",
        comment: "Extends Kubernetes' roles edit and admin. Only with --tenant-only: otherwise it would make\n\
                  # everybody who may edit a namespace an administrator of the cluster.",
        label: Some("rbac.authorization.k8s.io/aggregate-to-edit"),
    },
];

fn role(out: &mut String, text: &RoleText, namespace: Option<&str>) {
    let kind = if namespace.is_some() {
        "Role"
    } else {
        "ClusterRole"
    };
    push(out, format_args!("# {}", text.comment));
    head(out, kind, text.name, namespace, text.label);
    push(out, format_args!("rules:"));
    for grant in GRANTS.iter().filter(|grant| grant.role == text.role) {
        push(out, format_args!("  # {}", grant.why));
        push(out, format_args!("  - apiGroups: {}", flow(grant.groups)));
        push(out, format_args!("    resources: {}", flow(grant.resources)));
        if !grant.names.is_empty() {
            push(out, format_args!("    resourceNames: {}", flow(grant.names)));
        }
        push(out, format_args!("    verbs: {}", flow(grant.verbs)));
    }
    push(out, format_args!("---"));
}

fn cluster_binding(out: &mut String, name: &str, role: &str, account_namespace: &str) {
    binding(
        out,
        "ClusterRoleBinding",
        name,
        None,
        "ClusterRole",
        role,
        account_namespace,
    );
}

fn binding(
    out: &mut String,
    kind: &str,
    name: &str,
    namespace: Option<&str>,
    role_kind: &str,
    role: &str,
    account_namespace: &str,
) {
    head(out, kind, name, namespace, None);
    push(
        out,
        format_args!(
            "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {role_kind}\n  name: {role}\n\
             subjects:\n  - kind: ServiceAccount\n    name: coracle\n    namespace: {account_namespace}\n---"
        ),
    );
}

fn head(out: &mut String, kind: &str, name: &str, namespace: Option<&str>, label: Option<&str>) {
    push(
        out,
        format_args!("apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {name}"),
    );
    if let Some(namespace) = namespace {
        push(out, format_args!("  namespace: {namespace}"));
    }
    push(
        out,
        format_args!("  labels:\n    app.kubernetes.io/part-of: coracle"),
    );
    if let Some(label) = label {
        push(out, format_args!("    {label}: \"true\""));
    }
}

fn flow(words: &[&str]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|word| {
            if word.is_empty() {
                "\"\"".to_owned()
            } else {
                (*word).to_owned()
            }
        })
        .collect();
    format!("[{}]", words.join(", "))
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};

    use super::*;

    fn documents(text: &str) -> Vec<serde_json::Value> {
        text.split("---\n")
            .filter(|document| !document.trim().is_empty())
            .map(|document| serde_saphyr::from_str(document).unwrap())
            .collect()
    }

    fn named<T: serde::de::DeserializeOwned>(text: &str, kind: &str, name: &str) -> Option<T> {
        documents(text)
            .into_iter()
            .find(|document| document["kind"] == kind && document["metadata"]["name"] == name)
            .map(|document| serde_json::from_value(document).unwrap())
    }

    #[test]
    fn what_is_printed_is_what_the_table_says() {
        let text = manifests("flux-system", ApplyRights::TenantsOnly);
        for (name, role) in [
            ("coracle-controller", Role::Controller),
            ("coracle-watch", Role::Watch),
            ("coracle-view", Role::View),
            ("coracle-edit", Role::Edit),
        ] {
            let printed: ClusterRole = named(&text, "ClusterRole", name).unwrap();
            let table: Vec<PolicyRule> = GRANTS
                .iter()
                .filter(|grant| grant.role == role)
                .map(Grant::rule)
                .collect();
            assert_eq!(printed.rules, Some(table), "{name}");
        }
    }

    #[test]
    fn the_right_to_apply_anything_is_one_binding_that_tenant_only_leaves_out() {
        let full = manifests("flux-system", ApplyRights::Cluster);
        let apply: ClusterRoleBinding = named(&full, "ClusterRoleBinding", "coracle-apply").unwrap();
        assert_eq!(apply.role_ref.name, "cluster-admin");
        assert_eq!(full.matches("cluster-admin").count(), 1);

        let tenants = manifests("flux-system", ApplyRights::TenantsOnly);
        assert!(!tenants.contains("cluster-admin") && !tenants.contains("coracle-apply"));
    }

    #[test]
    fn the_controllers_own_rights_write_nothing_but_its_own_objects_and_events() {
        for grant in GRANTS
            .iter()
            .filter(|grant| matches!(grant.role, Role::Controller | Role::Watch))
        {
            let writes = grant
                .verbs
                .iter()
                .any(|verb| !LOOK.contains(verb) && *verb != "impersonate");
            let own = grant.groups == [KUSTOMIZE, SOURCE] || grant.resources == ["events"];
            assert!(!writes || own, "{}", grant.why);
            for word in grant.groups.iter().chain(grant.resources).chain(grant.verbs) {
                assert_ne!(*word, "*", "{}", grant.why);
            }
        }
    }
}
