//! One Kubernetes object on its way through a build: its tree, where it came from, and what it was
//! called before. Pure.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::id::{Gvk, ResourceId};
use crate::yaml::{self, Content, Node, Schema};

/// Where a resource came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The file: the resource file, or the kustomization file whose generator made it.
    pub path: PathBuf,
    /// The line in the file where the resource starts, from one.
    pub line: u32,
}

/// What a resource was called at some point of the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PreviousId {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

/// What a generated resource does to one that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Behavior {
    #[default]
    Unspecified,
    Create,
    Replace,
    Merge,
}

/// A Kubernetes object that a build gives, or works on.
///
/// # Examples
/// ```
/// use kustomize_rs::parse_resources;
///
/// let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n";
/// let resources = parse_resources(text, "settings.yaml".as_ref()).unwrap();
/// assert_eq!(resources[0].id().name, "settings");
/// assert_eq!(resources[0].origin().line, 1);
/// assert_eq!(resources[0].to_value().unwrap()["kind"], "ConfigMap");
/// ```
#[derive(Debug, Clone)]
pub struct Resource {
    pub(crate) node: Node,
    pub(crate) id: ResourceId,
    pub(crate) origin: Origin,
    pub(crate) previous: Vec<PreviousId>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    pub(crate) needs_hash: bool,
    pub(crate) behavior: Behavior,
    pub(crate) generated: bool,
    pub(crate) allow_name_change: bool,
    pub(crate) allow_kind_change: bool,
    /// How many groups of scalars that are one there are; see [`Node`].
    pub(crate) groups: u32,
    /// The vars that take their value from this resource.
    pub(crate) var_names: Vec<String>,
}

impl Resource {
    pub(crate) fn new(node: Node, origin: Origin) -> Self {
        let mut resource = Self {
            node,
            id: ResourceId::default(),
            origin,
            previous: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            needs_hash: false,
            behavior: Behavior::Unspecified,
            generated: false,
            allow_name_change: false,
            allow_kind_change: false,
            groups: 0,
            var_names: Vec::new(),
        };
        resource.refresh();
        resource
    }

    /// Which object this is.
    #[must_use]
    pub fn id(&self) -> &ResourceId {
        &self.id
    }

    /// Where it came from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Its tree, as written and changed so far.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The value that an API server would get.
    ///
    /// # Errors
    /// When a key stands twice or is no string, a number is not finite, or a tag does not fit its text.
    pub fn to_value(&self) -> Result<Value, Error> {
        yaml::to_value(&self.node, Schema::GoYamlV3).map_err(|e| self.convert_error(&e))
    }

    /// Prints it as `kustomize build` does, ending with a line break.
    ///
    /// # Errors
    /// As [`Resource::to_value`].
    pub fn to_yaml(&self) -> Result<String, Error> {
        let mut text = String::new();
        self.write_yaml(&mut text)?;
        Ok(text)
    }

    pub(crate) fn write_yaml(&self, out: &mut String) -> Result<(), Error> {
        yaml::emit_node(&self.node, out).map_err(|e| self.convert_error(&e))
    }

    fn convert_error(&self, error: &yaml::ConvertError) -> Error {
        Error::new(ErrorKind::Syntax, format!("{}: {}", self.id, error.message))
            .at(&self.origin.path, Some(error.position))
    }

    /// Reads the identity from the tree again, after something changed it.
    pub(crate) fn refresh(&mut self) {
        let text = |path: &[&str]| {
            self.node
                .at(path)
                .filter(|n| !n.is_null())
                .and_then(Node::as_text)
                .unwrap_or_default()
        };
        let name = text(&["metadata", "name"]).to_string();
        let namespace = text(&["metadata", "namespace"]).to_string();
        self.id = ResourceId {
            gvk: Gvk {
                outside_namespaces: self.id.gvk.outside_namespaces,
                ..Gvk::new(text(&["apiVersion"]), text(&["kind"]))
            },
            name,
            namespace,
        };
    }

    /// Notes what the resource is called now, before a transformer changes that.
    pub(crate) fn store_previous_id(&mut self) {
        self.previous.push(PreviousId {
            kind: self.id.gvk.kind.clone(),
            name: self.id.name.clone(),
            namespace: self.id.effective_namespace().to_string(),
        });
    }

    /// All previous identities, oldest first; group and version are always the current ones.
    pub(crate) fn previous_ids(&self) -> impl Iterator<Item = ResourceId> {
        self.previous.iter().map(|p| ResourceId {
            gvk: Gvk {
                kind: p.kind.clone(),
                ..self.id.gvk.clone()
            },
            name: p.name.clone(),
            namespace: p.namespace.clone(),
        })
    }

    /// The first identity that the resource had.
    pub(crate) fn original_id(&self) -> ResourceId {
        self.previous_ids().next().unwrap_or_else(|| self.id.clone())
    }
}

/// The scalars of a resource that kustomize keeps as one, before something changes the resource.
pub(crate) struct Groups(HashMap<u32, Node>);

impl Resource {
    /// Notes the groups; call before a change that may meet one of their scalars.
    pub(crate) fn note_groups(&self) -> Groups {
        let mut groups = HashMap::new();
        if self.groups > 0 {
            visit_groups(&self.node, &mut |node| {
                groups.entry(node.group).or_insert_with(|| node.clone());
            });
        }
        Groups(groups)
    }

    /// Gives all scalars of a group the value that one of them got.
    pub(crate) fn share_changes(&mut self, before: &Groups) {
        if before.0.is_empty() {
            return;
        }
        let mut changed: HashMap<u32, Node> = HashMap::new();
        visit_groups(&self.node, &mut |node| {
            if before
                .0
                .get(&node.group)
                .is_some_and(|old| old.as_scalar() != node.as_scalar() || old.tag != node.tag)
            {
                changed.insert(node.group, node.clone());
            }
        });
        if !changed.is_empty() {
            set_groups(&mut self.node, &changed);
        }
    }
}

fn visit_groups(node: &Node, visit: &mut dyn FnMut(&Node)) {
    match &node.content {
        Content::Scalar(_) if node.group > 0 => visit(node),
        Content::Scalar(_) => {}
        Content::Sequence(items) => items.iter().for_each(|item| visit_groups(item, visit)),
        Content::Mapping(mapping) => mapping
            .entries
            .iter()
            .for_each(|(_, value)| visit_groups(value, visit)),
    }
}

fn set_groups(node: &mut Node, values: &HashMap<u32, Node>) {
    if let Some(value) = values.get(&node.group) {
        *node = value.clone();
        return;
    }
    match &mut node.content {
        Content::Scalar(_) => {}
        Content::Sequence(items) => items.iter_mut().for_each(|item| set_groups(item, values)),
        Content::Mapping(mapping) => mapping
            .entries
            .iter_mut()
            .for_each(|(_, value)| set_groups(value, values)),
    }
}
