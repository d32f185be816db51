//! `namespace`: puts every resource that is not known to be cluster-scoped into one. Pure.

use std::collections::HashMap;

use super::Result;
use super::metadata::set_string;
use crate::error::Error;
use crate::fieldspec::{Create, FieldSpec, FieldSpecs};
use crate::id::{Gvk, ResourceId};
use crate::resource::Resource;
use crate::set::ResourceSet;
use crate::yaml::{Content, Node};

/// Which subjects of role bindings get the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Subjects {
    /// Those named `default`.
    #[default]
    Default,
    AllServiceAccounts,
    None,
}

pub(crate) struct Transform<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) specs: &'a FieldSpecs,
    pub(crate) subjects: Subjects,
    /// Leaves namespaces that are set.
    pub(crate) unset_only: bool,
}

impl Transform<'_> {
    pub(crate) fn apply(&self, set: &mut ResourceSet) -> Result<()> {
        if self.namespace.is_empty() {
            return Ok(());
        }
        let mut counts: HashMap<ResourceId, usize> = HashMap::new();
        for resource in set.as_slice() {
            *counts.entry(resource.id.key()).or_default() += 1;
        }
        for resource in set.as_mut_slice() {
            if is_from_chart(&resource.node) {
                continue;
            }
            let before = resource.id.key();
            resource.store_previous_id();
            self.change(resource)
                .map_err(|e| e.context(format!("{}: setting the namespace", resource.id)))?;
            resource.refresh();
            if let Some(count) = counts.get_mut(&before) {
                *count -= 1;
            }
            let count = counts.entry(resource.id.key()).or_default();
            *count += 1;
            if *count != 1 {
                let message = format!(
                    "namespace transformation produces ID conflict: two resources become {}",
                    resource.id
                );
                return Err(Error::resource(message).at(&resource.origin.path, None));
            }
        }
        Ok(())
    }

    pub(crate) fn change(&self, resource: &mut Resource) -> Result<()> {
        let gvk = resource.id.gvk.clone();
        if !gvk.is_cluster_scoped() {
            let metadata = FieldSpec::new(Gvk::default(), "metadata/namespace", true);
            metadata.apply(&mut resource.node, Create::Scalar, &mut |node| self.set(node))?;
        }
        let binding = matches!(gvk.kind.as_str(), "RoleBinding" | "ClusterRoleBinding");
        if binding {
            self.change_subjects(&mut resource.node)?;
        }
        let api_version = gvk.api_version();
        for spec in self.specs.of(&gvk) {
            let skipped = match spec.path.as_str() {
                "metadata/namespace" => true,
                "metadata/name" => api_version != "v1",
                "subjects/namespace" => {
                    binding && matches!(spec.gvk.kind.as_str(), "RoleBinding" | "ClusterRoleBinding")
                }
                _ => false,
            };
            if !skipped {
                spec.apply(&mut resource.node, Create::Scalar, &mut |node| self.set(node))?;
            }
        }
        Ok(())
    }

    fn set(&self, node: &mut Node) -> Result<()> {
        if self.unset_only && node.as_text().is_some_and(|t| !t.is_empty()) && !node.is_null() {
            return Ok(());
        }
        set_string(node, self.namespace)
    }

    fn change_subjects(&self, node: &mut Node) -> Result<()> {
        if self.subjects == Subjects::None {
            return Ok(());
        }
        let Some(subjects) = node.get_mut("subjects").filter(|n| !n.is_null()) else {
            return Ok(());
        };
        let line = subjects.position.line;
        let Some(subjects) = subjects.as_sequence_mut() else {
            return Err(Error::resource(format!("subjects at line {line} must be a list")));
        };
        let (field, wanted) = match self.subjects {
            Subjects::AllServiceAccounts => ("kind", "ServiceAccount"),
            Subjects::Default | Subjects::None => ("name", "default"),
        };
        for subject in subjects {
            if subject.as_mapping().is_none() && !subject.is_null() {
                let line = subject.position.line;
                return Err(Error::resource(format!(
                    "the subject at line {line} must be a mapping"
                )));
            }
            if let Some(found) = subject.get(field) {
                super::metadata::refuse_collection(found)?;
            }
            let matches = subject
                .get(field)
                .filter(|n| !n.is_null())
                .and_then(Node::as_text)
                == Some(wanted);
            if !matches {
                continue;
            }
            if let Content::Mapping(mapping) = &mut subject.content {
                if mapping.get("namespace").is_none() {
                    mapping.insert("namespace", Node::string(""));
                }
                if let Some(namespace) = mapping.get_mut("namespace") {
                    self.set(namespace)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a resource is noted to come from a chart, which has its namespace from there.
fn is_from_chart(node: &Node) -> bool {
    let note = node.at(&[
        "metadata",
        "annotations",
        "internal.config.kubernetes.io/helm-generated",
    ]);
    note.and_then(Node::as_text) == Some("true")
}
