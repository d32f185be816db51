//! What a run is about: each wanted object with its kind, and which of them need no look. No I/O.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::memory::Left;
use super::super::step::Scope;
use super::{Run, text};
use crate::apply::Absent;
use crate::cluster::{Kind, Seen};
use crate::plan::{self, Gvk, ObjectId, Stage, Wanted};

/// An object on its way through the run.
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) wanted: Wanted,
    pub(super) digest: u64,
    /// Nothing of it is to be done: as remembered, and untouched.
    pub(super) settled: bool,
    /// What was seen of it before the run looked.
    pub(super) before: Option<Seen>,
}

impl Run<'_> {
    /// Gives each object its kind, and says which of them need no look at all.
    pub(super) fn identify(&self, wanted: Vec<Wanted>) -> Vec<(Stage, Vec<Item>)> {
        let mut stages = Vec::new();
        for (stage, objects) in plan::stages(wanted) {
            let mut items = Vec::with_capacity(objects.len());
            for wanted in objects {
                let gvk = Gvk {
                    group: wanted.id.group.clone(),
                    version: wanted.version.clone(),
                    kind: wanted.id.kind.clone(),
                };
                let kind = match self.cx.discovery.known(&gvk) {
                    Some(kind) => kind,
                    // It comes with this set: its path is asked for again once its definition is there.
                    None => Kind {
                        gvk,
                        plural: String::new(),
                        namespaced: !wanted.id.namespace.is_empty(),
                        watchable: false,
                    },
                };
                let digest = self.cx.digests.of(&wanted.value);
                let before = self.cx.index.get(&wanted.id);
                let settled = self.is_settled(&wanted.id, digest) && self.serves(&wanted);
                items.push(Item {
                    kind,
                    wanted,
                    digest,
                    settled,
                    before,
                });
            }
            stages.push((stage, items));
        }
        stages
    }

    /// An object that is wanted as before, and whose fingerprint is as the last apply left it.
    fn is_settled(&self, id: &ObjectId, digest: u64) -> bool {
        let untouched = match &self.job.scope {
            Scope::Full | Scope::Around | Scope::Finalize => false,
            Scope::Changes => true,
            Scope::Drift(touched) => !touched.contains(id),
        };
        // What is going is not there for what comes after it, however untouched its fields are.
        let going = self.cx.index.get(id).is_some_and(|seen| seen.observed.deleting);
        untouched
            && !going
            && self.left(id).is_some_and(|left| left.wanted == digest)
            && self.as_we_left_it(id)
    }

    /// Whether the server serves what a definition defines; what else there is has nothing to serve.
    fn serves(&self, wanted: &Wanted) -> bool {
        served_kinds(wanted)
            .iter()
            .all(|gvk| self.cx.discovery.known(gvk).is_some())
    }

    pub(super) fn left(&self, id: &ObjectId) -> Option<Left> {
        self.job.memory.as_ref()?.objects.get(id).copied()
    }

    pub(super) fn as_we_left_it(&self, id: &ObjectId) -> bool {
        let left = self.left(id);
        let seen = self.cx.index.get(id);
        self.cx.watches.is_in_sync(&id.group, &id.kind)
            && left
                .zip(seen)
                .is_some_and(|(left, seen)| left.fingerprint == seen.fingerprint)
    }
}

/// The kinds that an object has the API server serve, if it is a definition.
pub(super) fn served_kinds(wanted: &Wanted) -> Vec<Gvk> {
    if wanted.id.kind != "CustomResourceDefinition" {
        return Vec::new();
    }
    let value = &wanted.value;
    let versions = value
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let served = versions.filter(|version| version["served"] == true);
    served
        .map(|version| Gvk {
            group: text(value, "/spec/group").to_owned(),
            version: text(version, "/name").to_owned(),
            kind: text(value, "/spec/names/kind").to_owned(),
        })
        .collect()
}

const RBAC: &str = "rbac.authorization.k8s.io";

/// The namespaces, kinds and roles that a plan brings along.
pub(super) struct Coming {
    namespaces: BTreeSet<String>,
    kinds: BTreeSet<(String, String)>,
    /// Roles, by kind, namespace and name.
    roles: BTreeSet<(String, String, String)>,
}

impl Coming {
    pub(super) fn of(staged: &[(Stage, Vec<Item>)]) -> Self {
        let mut coming = Self {
            namespaces: BTreeSet::new(),
            kinds: BTreeSet::new(),
            roles: BTreeSet::new(),
        };
        for item in staged.iter().flat_map(|(_, items)| items) {
            let wanted = &item.wanted;
            match wanted.id.kind.as_str() {
                "Namespace" if wanted.id.group.is_empty() => {
                    coming.namespaces.insert(wanted.id.name.clone());
                }
                "CustomResourceDefinition" => {
                    let kinds = served_kinds(wanted).into_iter();
                    coming.kinds.extend(kinds.map(|gvk| (gvk.group, gvk.kind)));
                }
                "Role" | "ClusterRole" if wanted.id.group == RBAC => {
                    let id = &wanted.id;
                    coming
                        .roles
                        .insert((id.kind.clone(), id.namespace.clone(), id.name.clone()));
                }
                _ => {}
            }
        }
        coming
    }

    /// Whether the plan brings what an object waits for: its namespace, its kind, or the role that it binds.
    pub(super) fn explains(&self, wanted: &Wanted, absent: Absent) -> bool {
        let id = &wanted.id;
        match absent {
            Absent::Namespace => self.namespaces.contains(&id.namespace),
            Absent::Kind => self.kinds.contains(&(id.group.clone(), id.kind.clone())),
            Absent::Role => bound_role(wanted).is_some_and(|role| self.roles.contains(&role)),
        }
    }
}

/// The role that a binding refers to. The API server looks its rules up before it takes the binding, to see that
/// nobody gives away more than they have.
fn bound_role(wanted: &Wanted) -> Option<(String, String, String)> {
    let id = &wanted.id;
    if id.group != RBAC || !id.kind.ends_with("RoleBinding") {
        return None;
    }
    let reference = &wanted.value["roleRef"];
    let kind = reference["kind"].as_str()?;
    let namespace = if kind == "Role" { id.namespace.as_str() } else { "" };
    Some((
        kind.to_owned(),
        namespace.to_owned(),
        reference["name"].as_str()?.to_owned(),
    ))
}
