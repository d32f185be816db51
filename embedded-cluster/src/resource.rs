//! The kinds a cluster serves: upstream's own, and those that CRDs add.
//!
//! In: the committed table of built-in kinds, CRD objects. Out: kinds by path. No I/O.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use crate::answer::About;
use crate::apply::FieldSet;
use crate::crd::Custom;
use crate::schema::{Root, builtin};

/// A kind in one version.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) verbs: Vec<String>,
    pub(crate) subresources: Vec<Subresource>,
    pub(crate) root: Root,
    /// The type's name in OpenAPI documents.
    pub(crate) schema_name: String,
    /// Where objects are kept; versions of one kind share it.
    pub(crate) storage: Arc<str>,
    /// What only kinds of CRDs have.
    pub(crate) custom: Option<Arc<Custom>>,
    pub(crate) reset: Resets,
}

/// What writers through an endpoint cannot change, and so never own.
#[derive(Debug)]
pub(crate) struct Resets {
    pub(crate) main: FieldSet,
    pub(crate) status: FieldSet,
    pub(crate) none: FieldSet,
}

/// Part of an object with a path of its own.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Subresource {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) group: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) kind: String,
    pub(crate) verbs: Vec<String>,
}

impl Kind {
    /// `apps/v1`, or `v1` in the core group.
    pub(crate) fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// The name of the Go package of the group: `core`, `apps`, `rbac`.
    pub(crate) fn internal_group(&self) -> &str {
        if self.group.is_empty() {
            "core"
        } else {
            self.group.split('.').next().unwrap_or_default()
        }
    }

    pub(crate) fn about<'a>(&'a self, name: &'a str) -> About<'a> {
        About {
            group: &self.group,
            plural: &self.plural,
            kind: &self.kind,
            name,
        }
    }

    pub(crate) fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    pub(crate) fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// The table's name without its version, as storage names it.
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    pub(crate) fn resets(&self, subresource: &str) -> &FieldSet {
        match subresource {
            "" => &self.reset.main,
            "status" => &self.reset.status,
            _ => &self.reset.none,
        }
    }
}

/// Joins group and version.
pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.into()
    } else {
        format!("{group}/{version}")
    }
}

/// Splits `apps/v1` or `v1`.
pub(crate) fn split_api_version(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or(("", text))
}

/// Where objects of a group and plural are kept.
pub(crate) fn storage_name(group: &str, plural: &str) -> String {
    format!("{group}/{plural}")
}

/// All kinds served at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    /// Groups in discovery's order, each with its versions in order of preference.
    pub(crate) groups: Vec<Group>,
    /// Storage name to the preferred version.
    by_storage: BTreeMap<Arc<str>, Arc<Kind>>,
}

/// One API group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) versions: Vec<Version>,
}

/// One version of a group.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) name: String,
    pub(crate) kinds: Vec<Arc<Kind>>,
}

#[derive(Deserialize)]
struct GroupRow {
    group: String,
    versions: Vec<VersionRow>,
}

#[derive(Deserialize)]
struct VersionRow {
    version: String,
    resources: Vec<ResourceRow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceRow {
    kind: String,
    plural: String,
    singular: String,
    namespaced: bool,
    verbs: Vec<String>,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    subresources: Vec<Subresource>,
    schema: Option<String>,
}

static BUILTIN: LazyLock<Vec<Group>> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "the text is part of the program; a unit test reads it"
    )]
    let rows: Vec<GroupRow> =
        serde_json::from_str(include_str!("../data/resources.json")).expect("committed data is JSON");
    rows.into_iter().map(group).collect()
});

fn group(row: GroupRow) -> Group {
    let versions = row.versions.into_iter().map(|version| Version {
        kinds: version
            .resources
            .into_iter()
            .filter_map(|resource| kind(&row.group, &version.version, resource))
            .map(Arc::new)
            .collect(),
        name: version.version,
    });
    Group {
        versions: versions.collect(),
        name: row.group.clone(),
    }
}

fn kind(group: &str, version: &str, row: ResourceRow) -> Option<Kind> {
    // Shares its objects with events.k8s.io; the core group's form is the stored one.
    let storage = match (group, row.plural.as_str()) {
        ("events.k8s.io", "events") => storage_name("", "events"),
        (group, plural) => storage_name(group, plural),
    };
    let has_status = row.subresources.iter().any(|sub| sub.name == "status");
    Some(Kind {
        root: builtin(row.schema.as_deref()?)?,
        schema_name: row.schema?,
        reset: resets(group, &row.plural, has_status),
        group: group.into(),
        version: version.into(),
        kind: row.kind,
        plural: row.plural,
        singular: row.singular,
        short_names: row.short_names,
        categories: row.categories,
        namespaced: row.namespaced,
        verbs: row.verbs,
        subresources: row.subresources,
        storage: storage.into(),
        custom: None,
    })
}

/// What upstream's strategies reset (`GetResetFields` in pkg/registry).
fn resets(group: &str, plural: &str, has_status: bool) -> Resets {
    let main: &[&[&str]] = match (group, plural) {
        ("certificates.k8s.io", "certificatesigningrequests") => &[&["status"]],
        _ if has_status => &[&["status"]],
        _ => &[],
    };
    let status: &[&[&str]] = match (group, plural) {
        ("apps", "deployments") => &[&["spec"], &["metadata", "labels"]],
        ("", "pods") => &[
            &["spec"],
            &["metadata", "deletionTimestamp"],
            &["metadata", "ownerReferences"],
        ],
        ("apiextensions.k8s.io" | "admissionregistration.k8s.io", _) => &[&["spec"], &["metadata"]],
        _ => &[&["spec"]],
    };
    Resets {
        main: FieldSet::of_fields(main),
        status: FieldSet::of_fields(status),
        none: FieldSet::default(),
    }
}

impl Registry {
    /// Only upstream's kinds.
    pub(crate) fn builtin() -> Self {
        let mut registry = Self {
            groups: BUILTIN.clone(),
            by_storage: BTreeMap::new(),
        };
        registry.index();
        registry
    }

    /// Whether upstream has this kind, or it is a list of such.
    pub(crate) fn is_builtin(group: &str, version: &str, name: &str) -> bool {
        let groups = BUILTIN.iter().filter(|known| known.name == group);
        groups
            .flat_map(|group| &group.versions)
            .filter(|known| known.name == version)
            .any(|version| version.kinds.iter().any(|kind| is_or_lists(name, &kind.kind)))
    }

    /// Upstream's kinds and those of the CRDs, `(group, version, kind)` in order of preference.
    pub(crate) fn with_custom(custom: impl IntoIterator<Item = Arc<Kind>>) -> Self {
        let mut registry = Self::builtin();
        for kind in custom {
            let group = match registry.groups.iter().position(|group| group.name == kind.group) {
                Some(place) => place,
                None => {
                    registry.groups.push(Group {
                        name: kind.group.clone(),
                        versions: Vec::new(),
                    });
                    registry.groups.len() - 1
                }
            };
            let Some(group) = registry.groups.get_mut(group) else {
                continue;
            };
            match group
                .versions
                .iter_mut()
                .find(|version| version.name == kind.version)
            {
                Some(version) => version.kinds.push(kind),
                None => group.versions.push(Version {
                    name: kind.version.clone(),
                    kinds: vec![kind],
                }),
            }
            group
                .versions
                .sort_by_key(|version| std::cmp::Reverse(version_order(&version.name)));
        }
        registry.index();
        registry
    }

    fn index(&mut self) {
        for kind in self
            .groups
            .iter()
            .flat_map(|group| &group.versions)
            .flat_map(|version| &version.kinds)
        {
            self.by_storage
                .entry(Arc::clone(&kind.storage))
                .or_insert_with(|| Arc::clone(kind));
        }
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        let version = self.version(group, version)?;
        version.kinds.iter().find(|kind| kind.plural == plural)
    }

    pub(crate) fn find_kind(&self, group: &str, version: &str, name: &str) -> Option<&Arc<Kind>> {
        let version = self.version(group, version)?;
        version.kinds.iter().find(|kind| kind.kind == name)
    }

    pub(crate) fn version(&self, group: &str, version: &str) -> Option<&Version> {
        let group = self.groups.iter().find(|known| known.name == group)?;
        group.versions.iter().find(|known| known.name == version)
    }

    /// Whether nothing but definitions makes up a group.
    pub(crate) fn is_custom_only(&self, group: &str) -> bool {
        let mut groups = self.groups.iter().filter(|known| known.name == group);
        groups.all(|group| {
            let mut kinds = group.versions.iter().flat_map(|version| &version.kinds);
            kinds.all(|kind| kind.custom.is_some())
        })
    }

    /// The preferred version of what is kept in a table.
    pub(crate) fn stored(&self, storage: &str) -> Option<&Arc<Kind>> {
        self.by_storage.get(storage)
    }

    /// The preferred version of every kind.
    pub(crate) fn all_stored(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.by_storage.values()
    }
}

fn is_or_lists(name: &str, kind: &str) -> bool {
    name == kind || name == "List" || name.strip_suffix("List") == Some(kind)
}

/// Sorts versions as upstream does: stable before beta before alpha, higher numbers first, then names.
pub(crate) fn version_order(version: &str) -> (u8, u32, u32, std::cmp::Reverse<String>) {
    let other = (0, 0, 0, std::cmp::Reverse(version.to_owned()));
    let Some(rest) = version.strip_prefix('v') else {
        return other;
    };
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, rest) = rest.split_at(digits);
    let Ok(major) = major.parse() else { return other };
    let same = std::cmp::Reverse(String::new());
    if rest.is_empty() {
        return (3, major, 0, same);
    }
    for (rank, word) in [(2, "beta"), (1, "alpha")] {
        if let Some(minor) = rest.strip_prefix(word).and_then(|minor| minor.parse().ok()) {
            return (rank, major, minor, same);
        }
    }
    other
}
