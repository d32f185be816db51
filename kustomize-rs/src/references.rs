//! Puts the new names of resources where other resources refer to them. In: all resources of a build; out:
//! the same, with references that follow. Pure.

use std::collections::HashMap;

use crate::config::Config;
use crate::error::Error;
use crate::fieldspec::{Create, FieldSpec};
use crate::id::{Gvk, ResourceId};
use crate::resource::{PreviousId, Resource};
use crate::yaml::{Content, Node, Resolved, Schema};

type Result<T> = std::result::Result<T, Error>;

/// What a reference needs to know about the resource that it may mean.
struct Candidate {
    id: ResourceId,
    previous: Vec<PreviousId>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    original_namespace: String,
}

impl Candidate {
    fn new(resource: &Resource) -> Self {
        Self {
            id: resource.id.clone(),
            previous: resource.previous.clone(),
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
            original_namespace: resource.original_id().effective_namespace().to_string(),
        }
    }

    fn was(&self, gvk: &Gvk) -> bool {
        self.previous.iter().any(|p| {
            let known = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
            known(&gvk.kind, &p.kind)
                && known(&gvk.group, &self.id.gvk.group)
                && known(&gvk.version, &self.id.gvk.version)
        })
    }

    fn shares_ends(&self, referrer: &Self, empty_matches: bool) -> bool {
        let same = |a: &[String], b: &[String]| {
            (empty_matches && (a.is_empty() || b.is_empty())) || same_ending(a, b)
        };
        same(&self.prefixes, &referrer.prefixes) && same(&self.suffixes, &referrer.suffixes)
    }
}

fn same_ending(a: &[String], b: &[String]) -> bool {
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    if short.is_empty() {
        long.is_empty()
    } else {
        long.ends_with(short)
    }
}

/// Updates every field that the configuration says holds a name.
pub(crate) fn update(resources: &mut [Resource], config: &Config) -> Result<()> {
    let candidates: Vec<Candidate> = resources.iter().map(Candidate::new).collect();
    // Only resources that had another identity can be meant by an old name.
    let mut by_old_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        for previous in &candidate.previous {
            let places = by_old_name.entry(previous.name.as_str()).or_default();
            if places.last() != Some(&at) {
                places.push(at);
            }
        }
    }
    // Fields are visited even if nothing was renamed: a tree of the wrong shape must fail all the same.
    let by_kind = group_by_kind(config);
    for (at, resource) in resources.iter_mut().enumerate() {
        let original = resource.original_id();
        let role_bindings = role_binding_namespaces(resource)?;
        let kind = by_kind.get(original.gvk.kind.as_str()).unwrap_or(&by_kind[""]);
        for (spec, target) in kind {
            if !original.gvk.is_selected_by(&spec.gvk)
                || !resource.id.gvk.is_selected_by(&Gvk {
                    kind: String::new(),
                    ..spec.gvk.clone()
                })
            {
                continue;
            }
            let fix = Fix {
                candidates: &candidates,
                by_old_name: &by_old_name,
                referrer: &candidates[at],
                target,
                role_ref: role_ref(&resource.node, spec),
                role_bindings: &role_bindings,
            };
            let updated = spec.apply(&mut resource.node, Create::Never, &mut |node| fix.field(node));
            updated.map_err(|e| {
                e.context(format!("updating name references of {}", resource.id))
                    .at(&resource.origin.path, None)
            })?;
        }
        resource.refresh();
    }
    Ok(())
}

type Referrers<'a> = HashMap<&'a str, Vec<(&'a FieldSpec, &'a Gvk)>>;

/// The fields of each kind that hold names, with what they name; those of any kind stand under every kind,
/// and under the empty one.
fn group_by_kind(config: &Config) -> Referrers<'_> {
    let all = || {
        let references = config.name_references.iter();
        references.flat_map(|r| r.referrers.iter().map(move |spec| (spec, &r.target)))
    };
    let mut by_kind: Referrers<'_> = HashMap::from([("", Vec::new())]);
    for (spec, _) in all() {
        by_kind.entry(spec.gvk.kind.as_str()).or_default();
    }
    for (spec, target) in all() {
        if spec.gvk.kind.is_empty() {
            by_kind.values_mut().for_each(|specs| specs.push((spec, target)));
        } else if let Some(specs) = by_kind.get_mut(spec.gvk.kind.as_str()) {
            specs.push((spec, target));
        }
    }
    by_kind
}

/// The kind that a role binding's `roleRef` names, which narrows down what its name may mean.
fn role_ref(node: &Node, spec: &FieldSpec) -> Option<Gvk> {
    if !spec.path.ends_with("roleRef/name") {
        return None;
    }
    let text = |field: &str| {
        node.at(&["roleRef", field])
            .and_then(Node::as_text)
            .map(str::to_string)
    };
    Some(Gvk {
        group: text("apiGroup")?,
        version: String::new(),
        kind: text("kind")?,
        ..Gvk::default()
    })
}

/// The namespaces of the service accounts in a RoleBinding, which may be others than its own.
fn role_binding_namespaces(resource: &Resource) -> Result<Vec<String>> {
    let mut namespaces = Vec::new();
    let id = &resource.id;
    if id.gvk.kind != "RoleBinding" || id.gvk.is_cluster_scoped() {
        return Ok(namespaces);
    }
    let subjects = resource.node.get("subjects").and_then(Node::as_sequence);
    for subject in subjects.unwrap_or_default() {
        let line = subject.position.line;
        if subject.as_mapping().is_none() {
            let message = format!("{id}: the subject at line {line} must be a mapping");
            return Err(Error::resource(message).at(&resource.origin.path, Some(subject.position)));
        }
        let (Some(namespace), Some(kind)) = (subject.get("namespace"), subject.get("kind")) else {
            continue;
        };
        let Some(kind) = string(kind) else {
            let message = format!("{id}: the kind of the subject at line {line} must be a string");
            return Err(Error::resource(message).at(&resource.origin.path, Some(subject.position)));
        };
        if kind != "ServiceAccount" {
            continue;
        }
        let Some(text) = string(namespace) else {
            let message = format!("{id}: the namespace of the subject at line {line} must be a string");
            return Err(Error::resource(message).at(&resource.origin.path, Some(namespace.position)));
        };
        namespaces.push(text.to_string());
    }
    Ok(namespaces)
}

fn string(node: &Node) -> Option<&str> {
    let is_string = matches!(node.resolved(Schema::GoYamlV3), Some(Resolved::Str));
    node.as_text().filter(|_| is_string)
}

/// One field of one referrer.
struct Fix<'a> {
    candidates: &'a [Candidate],
    by_old_name: &'a HashMap<&'a str, Vec<usize>>,
    referrer: &'a Candidate,
    target: &'a Gvk,
    role_ref: Option<Gvk>,
    role_bindings: &'a [String],
}

impl<'a> Fix<'a> {
    fn field(&self, node: &mut Node) -> Result<()> {
        if node.is_null() {
            return Ok(());
        }
        match &mut node.content {
            Content::Scalar(_) => self.scalar(node),
            Content::Mapping(_) => self.mapping(node),
            Content::Sequence(items) => {
                items
                    .iter_mut()
                    .filter(|i| !i.is_null())
                    .try_for_each(|item| match item.content {
                        Content::Scalar(_) => self.scalar(item),
                        Content::Mapping(_) => self.mapping(item),
                        Content::Sequence(_) => {
                            let line = item.position.line;
                            Err(Error::resource(format!(
                                "expected a name or a mapping with one at line {line}"
                            )))
                        }
                    })
            }
        }
    }

    fn scalar(&self, node: &mut Node) -> Result<()> {
        let name = node.as_text().unwrap_or_default();
        let Some(referral) = self.find(name, None, |a, b| a.id.name == b.id.name)? else {
            return Ok(());
        };
        if referral.id.name != name {
            node.set_text(&referral.id.name);
        }
        Ok(())
    }

    fn mapping(&self, node: &mut Node) -> Result<()> {
        let line = node.position.line;
        let Some(name) = node.get("name") else {
            return Err(Error::resource(format!(
                "the reference at line {line} has no field 'name'"
            )));
        };
        let name = name.as_text().unwrap_or_default().to_string();
        let namespace = node
            .get("namespace")
            .map(|n| n.as_text().unwrap_or_default().to_string());
        let same = |a: &Candidate, b: &Candidate| a.id.name == b.id.name && a.id.namespace == b.id.namespace;
        let Some(referral) = self.find(&name, namespace.as_deref(), same)? else {
            return Ok(());
        };
        let Some(mapping) = node.as_mapping_mut() else {
            return Ok(());
        };
        if referral.id.name == name && referral.id.namespace.is_empty() {
            return Ok(());
        }
        let mut set = |field: &str, text: &str| match mapping.get_mut(field) {
            Some(old) => old.set_text(text),
            None => mapping.insert(field, Node::plain(text)),
        };
        set("name", &referral.id.name);
        if !referral.id.namespace.is_empty() {
            set("namespace", &referral.id.namespace);
        }
        Ok(())
    }

    /// Finds the resource that an old name means.
    fn find(
        &self,
        name: &str,
        namespace: Option<&str>,
        same: impl Fn(&Candidate, &Candidate) -> bool,
    ) -> Result<Option<&'a Candidate>> {
        let Some(places) = self.by_old_name.get(name) else {
            return Ok(None);
        };
        let known = places.iter().map(|&at| &self.candidates[at]);
        let mut found: Vec<&Candidate> = known.filter(|c| self.is_possible(c)).collect();
        if let Some(namespace) = namespace {
            found = self.in_namespace(found, namespace);
        }
        found.retain(|c| {
            c.was(self.target) && self.role_ref.as_ref().is_none_or(|gvk| c.was(gvk)) && self.is_near(c)
        });
        if found.len() == 1 {
            return Ok(found.pop());
        }
        found.retain(|c| c.shares_ends(self.referrer, true));
        if found.len() > 1 {
            found.retain(|c| c.shares_ends(self.referrer, false));
        }
        let Some(first) = found.first() else {
            return Ok(None);
        };
        if found.len() > 1 && !found.iter().all(|c| same(first, c)) {
            let names: Vec<_> = found.iter().map(|c| c.id.to_string()).collect();
            let message = format!(
                "found multiple possible referrals for {name:?}: {}",
                names.join(", ")
            );
            return Err(Error::resource(message));
        }
        Ok(Some(first))
    }

    /// Whether a resource in that namespace can be referred to from here at all.
    fn is_possible(&self, candidate: &Candidate) -> bool {
        let referrer = &self.referrer.id;
        referrer.gvk.is_cluster_scoped()
            || candidate.id.gvk.is_cluster_scoped()
            || candidate.id.effective_namespace() == referrer.effective_namespace()
            || self.role_bindings.contains(&candidate.id.namespace)
    }

    fn is_near(&self, candidate: &Candidate) -> bool {
        let referrer = &self.referrer.id;
        referrer.gvk.is_cluster_scoped()
            || candidate.id.gvk.is_cluster_scoped()
            || candidate.id.gvk.kind == "ServiceAccount"
            || candidate.id.effective_namespace() == referrer.effective_namespace()
    }

    /// Those that come from a namespace, or else those that are in it now.
    fn in_namespace(&self, found: Vec<&'a Candidate>, namespace: &str) -> Vec<&'a Candidate> {
        // Whether any resource at all comes from the namespace decides, not only those with this name.
        let original = |c: &Candidate| c.original_namespace == namespace && !c.id.gvk.is_cluster_scoped();
        if self
            .candidates
            .iter()
            .filter(|c| self.is_possible(c))
            .any(original)
        {
            return found.into_iter().filter(|c| original(c)).collect();
        }
        let current =
            |c: &&Candidate| c.id.effective_namespace() == namespace && !c.id.gvk.is_cluster_scoped();
        found.into_iter().filter(current).collect()
    }
}
