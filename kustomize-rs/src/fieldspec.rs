//! Which field of which kind a transformer changes. In: a path; out: the nodes it leads to. Pure.

use std::collections::HashMap;

use crate::error::Error;
use crate::id::Gvk;
use crate::yaml::{Content, Node, Scalar, Tag};

type Result<T> = std::result::Result<T, Error>;

/// A path through mappings, and through every item of the lists on its way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FieldSpec {
    pub(crate) gvk: Gvk,
    pub(crate) path: String,
    pub(crate) create: bool,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    name: String,
    /// Written `name[]`: a list, never created.
    list: bool,
}

/// What a transformer makes of a missing field at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    /// Nothing: fields are only changed.
    Never,
    /// A scalar, if the field spec says so.
    Scalar,
    /// A mapping, if the field spec says so.
    Mapping,
}

impl FieldSpec {
    pub(crate) fn new(gvk: Gvk, path: &str, create: bool) -> Self {
        let segments = split_path(path)
            .into_iter()
            .map(|name| match name.strip_suffix("[]") {
                Some(shorter) => Segment {
                    name: shorter.to_string(),
                    list: true,
                },
                None => Segment { name, list: false },
            });
        Self {
            gvk,
            path: path.to_string(),
            create,
            segments: segments.collect(),
        }
    }

    /// Calls `set` for each node that the path leads to, creating what is missing if the spec says so.
    pub(crate) fn apply(
        &self,
        node: &mut Node,
        create: Create,
        set: &mut dyn FnMut(&mut Node) -> Result<()>,
    ) -> Result<()> {
        let create = if self.create { create } else { Create::Never };
        walk(&self.segments, node, create, set)
            .map_err(|e| e.context(format!("considering field '{}'", self.path)))
    }
}

/// Splits at `/`; `\/` stands for a slash inside a name, a slash in front starts no empty name.
pub(crate) fn split_path(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'/') => {
                chars.next();
                last(&mut names).push('/');
            }
            '/' => names.push(String::new()),
            c => last(&mut names).push(c),
        }
    }
    names
}

fn last(names: &mut [String]) -> &mut String {
    let at = names.len() - 1;
    &mut names[at]
}

fn walk(
    segments: &[Segment],
    node: &mut Node,
    create: Create,
    set: &mut dyn FnMut(&mut Node) -> Result<()>,
) -> Result<()> {
    let Some((segment, rest)) = segments.split_first() else {
        return set(node);
    };
    if node.is_null() {
        return Ok(());
    }
    match &mut node.content {
        Content::Sequence(items) => items
            .iter_mut()
            .try_for_each(|item| walk(segments, item, create, set)),
        Content::Mapping(mapping) => {
            if segment.name.is_empty() {
                return Err(Error::resource("cannot set or create an empty field name"));
            }
            let made = match create {
                Create::Never => None,
                _ if segment.list => None,
                Create::Scalar if rest.is_empty() => Some(Content::Scalar(Scalar::default())),
                Create::Scalar | Create::Mapping => Some(Content::Mapping(crate::yaml::Mapping::default())),
            };
            if mapping.get(&segment.name).is_none() {
                let Some(content) = made.clone() else {
                    return Ok(());
                };
                // A scalar that is about to be set must not read as null until then.
                let tag = if rest.is_empty() && create == Create::Scalar {
                    Tag::Str
                } else {
                    Tag::Implicit
                };
                mapping.entries.push((
                    Node::plain(&segment.name),
                    Node {
                        content,
                        tag,
                        ..Node::default()
                    },
                ));
            }
            let Some(field) = mapping.get_mut(&segment.name) else {
                return Ok(());
            };
            if field.is_null() {
                let content = if segment.list {
                    Some(Content::Sequence(Vec::new()))
                } else {
                    made
                };
                if let Some(mut content) = content {
                    let mut tag = Tag::Implicit;
                    if let Content::Scalar(scalar) = &mut content {
                        // It becomes a string, and keeps its text: a suffix makes `null-suffix` of it.
                        tag = Tag::Str;
                        scalar.text = field.as_text().unwrap_or_default().to_string();
                    }
                    let position = field.position;
                    *field = Node {
                        content,
                        tag,
                        position,
                        ..Node::default()
                    };
                }
            }
            walk(rest, field, create, set)
        }
        Content::Scalar(_) => Err(Error::resource("expected sequence or mapping node")),
    }
}

/// Field specs of one transformer, found by the kind of a resource.
#[derive(Debug, Clone, Default)]
pub(crate) struct FieldSpecs {
    specs: Vec<FieldSpec>,
    by_kind: HashMap<String, Vec<usize>>,
    any_kind: Vec<usize>,
}

impl FieldSpecs {
    pub(crate) fn new(specs: Vec<FieldSpec>) -> Self {
        let mut result = Self::default();
        for spec in specs {
            result.push(spec);
        }
        result
    }

    fn push(&mut self, spec: FieldSpec) {
        let at = self.specs.len();
        if spec.gvk.kind.is_empty() {
            self.any_kind.push(at);
        } else {
            self.by_kind.entry(spec.gvk.kind.clone()).or_default().push(at);
        }
        self.specs.push(spec);
    }

    pub(crate) fn sort(&mut self) {
        let mut specs = std::mem::take(&mut self.specs);
        specs.sort_by(|a, b| crate::config::order(&a.gvk, &b.gvk));
        *self = Self::new(specs);
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, FieldSpec> {
        self.specs.iter()
    }

    /// Adds specs that are not there yet; the same path with another `create` is a conflict.
    pub(crate) fn merge<'a>(&mut self, incoming: impl IntoIterator<Item = &'a FieldSpec>) -> Result<()> {
        for spec in incoming {
            match self
                .specs
                .iter()
                .find(|known| known.gvk.is_selected_by(&spec.gvk) && known.path == spec.path)
            {
                Some(known) if known.create != spec.create => {
                    let message = format!(
                        "conflicting field specs for the path {}: create is both true and false",
                        spec.path
                    );
                    return Err(Error::kustomization(message));
                }
                Some(_) => {}
                None => self.push(spec.clone()),
            }
        }
        Ok(())
    }

    /// The specs that concern a resource, in their order.
    pub(crate) fn of<'a>(&'a self, gvk: &'a Gvk) -> impl Iterator<Item = &'a FieldSpec> {
        let kind: &[usize] = self.by_kind.get(&gvk.kind).map_or(&[], Vec::as_slice);
        let mut both: Vec<usize> = kind.iter().chain(&self.any_kind).copied().collect();
        both.sort_unstable();
        both.into_iter()
            .map(|i| &self.specs[i])
            .filter(|spec| gvk.is_selected_by(&spec.gvk))
    }

    /// Applies every spec that concerns a resource.
    pub(crate) fn apply(
        &self,
        gvk: &Gvk,
        node: &mut Node,
        create: Create,
        set: &mut dyn FnMut(&mut Node) -> Result<()>,
    ) -> Result<()> {
        self.of(gvk).try_for_each(|spec| spec.apply(node, create, set))
    }
}
