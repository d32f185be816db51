//! Notes about where resources come from and what changed them (`buildMetadata`), kept in annotations. Pure.

use std::path::PathBuf;

use crate::resource::Resource;
use crate::yaml::{Mapping, Node};

pub(crate) const ORIGIN: &str = "config.kubernetes.io/origin";
pub(crate) const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";

/// One note: the file of a resource, or what generated or changed it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Note {
    pub(crate) path: PathBuf,
    /// The repository that the path is in, and the reference of it, if it was fetched.
    pub(crate) repository: String,
    pub(crate) reference: String,
    pub(crate) configured_in: PathBuf,
    pub(crate) configured_by: Option<ConfiguredBy>,
}

/// The configuration of a generator or transformer.
#[derive(Debug, Clone)]
pub(crate) struct ConfiguredBy {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

impl Default for ConfiguredBy {
    fn default() -> Self {
        let api_version = "builtin".to_string();
        Self {
            api_version,
            kind: String::new(),
            name: String::new(),
            namespace: String::new(),
        }
    }
}

impl Note {
    /// Notes where a resource comes from, if that is not known yet.
    pub(crate) fn set_origin(&self, resource: &mut Resource) {
        let annotations = annotations(resource);
        if annotations.get(ORIGIN).is_none() {
            annotations.insert(ORIGIN, Node::string(self.to_yaml()));
        }
    }

    /// Notes that something changed a resource, or made it if it has no origin.
    pub(crate) fn add_to(&self, resource: &mut Resource) {
        let annotations = annotations(resource);
        if annotations.get(ORIGIN).is_none() {
            annotations.insert(ORIGIN, Node::string(self.to_yaml()));
            return;
        }
        let before = annotations
            .get(TRANSFORMATIONS)
            .and_then(Node::as_text)
            .unwrap_or_default();
        let entry = self.to_yaml().trim_end().replace('\n', "\n  ");
        let after = format!("{before}- {entry}\n");
        annotations.insert(TRANSFORMATIONS, Node::string(after));
    }

    fn to_yaml(&self) -> String {
        let mut lines = String::new();
        let mut line = |indent: &str, key: &str, value: &str| {
            if !value.is_empty() {
                lines.push_str(&format!(
                    "{indent}{key}: {}\n",
                    crate::yaml::as_plain_scalar(value)
                ));
            }
        };
        line("", "path", &self.path.to_string_lossy());
        line("", "repo", &self.repository);
        line("", "ref", &self.reference);
        line("", "configuredIn", &self.configured_in.to_string_lossy());
        if let Some(by) = &self.configured_by {
            let mut inner = String::new();
            for (key, value) in [
                ("apiVersion", &by.api_version),
                ("kind", &by.kind),
                ("name", &by.name),
                ("namespace", &by.namespace),
            ] {
                if !value.is_empty() {
                    inner.push_str(&format!("  {key}: {}\n", crate::yaml::as_plain_scalar(value)));
                }
            }
            lines.push_str("configuredBy:\n");
            lines.push_str(&inner);
        }
        lines
    }
}

fn annotations(resource: &mut Resource) -> &mut Mapping {
    crate::set::metadata_map(&mut resource.node, "annotations")
}
