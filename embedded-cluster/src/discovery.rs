//! What a cluster serves, told to clients: versions, groups, resources.
//!
//! In: the registry. Out: JSON in the old and in the aggregated form. No I/O.

use serde_json::{Value, json};

use crate::resource::{Group, Kind, Registry, Version, api_version};

/// The version that is played, until a test says otherwise.
pub(crate) const VERSION: &str = "v1.36.3";

/// `/version`
pub(crate) fn version(git_version: &str) -> Value {
    json!({
        "major": "1", "minor": "36", "gitVersion": git_version, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
        "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
    })
}

/// `/api`
pub(crate) fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`
pub(crate) fn groups(registry: &Registry) -> Value {
    let groups: Vec<Value> = named_groups(registry).map(group_body).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn named_groups(registry: &Registry) -> impl Iterator<Item = &Group> {
    registry.groups.iter().filter(|group| !group.name.is_empty())
}

/// `/apis/GROUP`
pub(crate) fn group(registry: &Registry, name: &str) -> Option<Value> {
    let group = named_groups(registry).find(|group| group.name == name)?;
    let mut body = group_body(group);
    crate::object::put(&mut body, &["kind"], "APIGroup");
    crate::object::put(&mut body, &["apiVersion"], "v1");
    Some(body)
}

fn group_body(group: &Group) -> Value {
    let version = |version: &Version| json!({"groupVersion": api_version(&group.name, &version.name), "version": version.name});
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    json!({"name": group.name, "versions": versions, "preferredVersion": versions.first()})
}

/// `/api/v1` and `/apis/GROUP/VERSION`
pub(crate) fn resources(registry: &Registry, group: &str, name: &str) -> Option<Value> {
    let version = registry.version(group, name)?;
    let mut resources = Vec::new();
    for kind in &version.kinds {
        resources.push(resource(kind));
        for sub in &kind.subresources {
            let mut body = json!({
                "name": format!("{}/{}", kind.plural, sub.name), "singularName": "",
                "namespaced": kind.namespaced, "kind": sub.kind, "verbs": sub.verbs,
            });
            if !sub.version.is_empty() && (&sub.group, &sub.version) != (&kind.group, &kind.version) {
                crate::object::put(&mut body, &["group"], sub.group.as_str());
                crate::object::put(&mut body, &["version"], sub.version.as_str());
            }
            resources.push(body);
        }
    }
    let mut list = json!({
        "kind": "APIResourceList", "groupVersion": api_version(group, name), "resources": resources,
    });
    if !group.is_empty() {
        // The oldest of all lists does not say its own version.
        crate::object::put(&mut list, &["apiVersion"], "v1");
    }
    Some(list)
}

fn resource(kind: &Kind) -> Value {
    let mut body = json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
        "kind": kind.kind, "verbs": kind.verbs,
    });
    if kind.verbs.iter().any(|verb| verb == "list") && kind.kind != "ComponentStatus" {
        crate::object::put(&mut body, &["storageVersionHash"], storage_hash(kind));
    }
    if !kind.short_names.is_empty() {
        crate::object::put(&mut body, &["shortNames"], kind.short_names.clone());
    }
    if !kind.categories.is_empty() {
        crate::object::put(&mut body, &["categories"], kind.categories.clone());
    }
    body
}

/// Stands for the version in which objects are stored (`discovery.StorageVersionHash`).
fn storage_hash(kind: &Kind) -> String {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};
    // These are stored in another group or version than the one they are served in.
    let (group, version) = match (kind.group.as_str(), kind.plural.as_str()) {
        ("events.k8s.io", "events") => ("", "v1"),
        ("autoscaling", _) => ("autoscaling", "v2"),
        // It was stored in this version when the hash was made up.
        ("apiextensions.k8s.io", _) => ("apiextensions.k8s.io", "v1beta1"),
        (group, _) => (group, kind.version.as_str()),
    };
    let digest = Sha256::digest(format!("{group}/{version}/{}", kind.kind));
    base64::engine::general_purpose::STANDARD.encode(digest.get(..8).unwrap_or_default())
}

/// `/api` and `/apis` in the aggregated form (`apidiscovery.k8s.io/v2`).
pub(crate) fn aggregated(registry: &Registry, core: bool) -> Value {
    let groups = registry
        .groups
        .iter()
        .filter(|group| group.name.is_empty() == core);
    let items: Vec<Value> = groups.map(aggregated_group).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_group(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| {
            let resources: Vec<Value> = version
                .kinds
                .iter()
                .map(|kind| aggregated_resource(kind))
                .collect();
            json!({"version": version.name, "resources": resources, "freshness": "Current"})
        })
        .collect();
    let metadata = if group.name.is_empty() {
        json!({})
    } else {
        json!({"name": group.name})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(kind: &Kind) -> Value {
    // The core group says of its own kinds neither group nor version.
    let version = |group: &str, version: &str| {
        if group.is_empty() {
            String::new()
        } else {
            version.to_owned()
        }
    };
    let subresources: Vec<Value> = kind
        .subresources
        .iter()
        .map(|sub| {
            let group = if sub.version.is_empty() {
                &kind.group
            } else {
                &sub.group
            };
            let own = if sub.version.is_empty() {
                &kind.version
            } else {
                &sub.version
            };
            json!({
                "subresource": sub.name, "verbs": sub.verbs,
                "responseKind": {"group": group, "version": version(group, own), "kind": sub.kind},
            })
        })
        .collect();
    let mut body = json!({
        "resource": kind.plural, "singularResource": kind.singular, "verbs": kind.verbs,
        "responseKind": {"group": kind.group, "version": version(&kind.group, &kind.version), "kind": kind.kind},
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
    });
    if !kind.short_names.is_empty() {
        crate::object::put(&mut body, &["shortNames"], kind.short_names.clone());
    }
    if !kind.categories.is_empty() {
        crate::object::put(&mut body, &["categories"], kind.categories.clone());
    }
    if !subresources.is_empty() {
        crate::object::put(&mut body, &["subresources"], subresources);
    }
    body
}
