//! What happens once, when all layers are done: hashes, references, vars, order, clean-up. In: what the root
//! layer accumulated; out: the result of the build. Pure.

use crate::error::Error;
use crate::fieldspec::{Create, FieldSpec};
use crate::id::Gvk;
use crate::layer::Accumulated;
use crate::model::Kustomization;
use crate::order::sort_legacy;
use crate::origin::{ORIGIN, TRANSFORMATIONS};
use crate::resource::Resource;
use crate::transform::{metadata, names};
use crate::yaml::{Content, Node};
use crate::{Options, Reorder, config, references, vars};

type Result<T> = std::result::Result<T, Error>;

/// Annotations in which kustomize keeps notes; whoever writes them into a file loses them.
const BUILD_ANNOTATIONS: &[&str] = &[
    "internal.config.kubernetes.io/previousKinds",
    "internal.config.kubernetes.io/previousNames",
    "internal.config.kubernetes.io/prefixes",
    "internal.config.kubernetes.io/suffixes",
    "internal.config.kubernetes.io/previousNamespaces",
    "internal.config.kubernetes.io/allowNameChange",
    "internal.config.kubernetes.io/allowKindChange",
    "internal.config.kubernetes.io/refBy",
    "internal.config.kubernetes.io/generatorBehavior",
    "internal.config.kubernetes.io/needsHashSuffix",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/seqindent",
    "internal.config.kubernetes.io/id",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "config.kubernetes.io/path",
    "config.kubernetes.io/index",
    "config.k8s.io/id",
    "internal.config.kubernetes.io/helm-generated",
];

const LOCAL_CONFIG: &str = "config.kubernetes.io/local-config";

pub(crate) fn finish(
    accumulated: Accumulated,
    kustomization: &Kustomization,
    options: &Options<'_>,
) -> Result<Vec<Resource>> {
    let Accumulated {
        mut set,
        config,
        vars,
    } = accumulated;
    let config = config.unwrap_or_else(config::defaults);
    names::add_hashes(&mut set)?;
    references::update(set.as_mut_slice(), &config)?;
    let unused = vars::resolve(set.as_mut_slice(), &vars, &config)?;
    if let Some(warn) = options.warn.filter(|_| !unused.is_empty()) {
        warn(&format!(
            "well-defined vars that were never replaced: {}",
            unused.join(",")
        ));
    }
    set.as_slice().iter().try_for_each(check)?;
    set.retain(|resource| !is_local(&resource.node));
    set.refuse_duplicates()?;
    let mut resources = set.into_resources();
    resources = sort(resources, kustomization, options)?;
    let wants = |option: &str| kustomization.build_metadata.iter().any(|m| m.text == option);
    let unwanted = [
        ("originAnnotations", ORIGIN),
        ("transformerAnnotations", TRANSFORMATIONS),
    ];
    let unwanted: Vec<&str> = unwanted
        .iter()
        .filter(|(option, _)| !wants(option))
        .map(|(_, key)| *key)
        .collect();
    for resource in &mut resources {
        if options.managed_by_label || wants("managedByLabel") {
            add_managed_by(resource)?;
        }
        clean_annotations(resource, &unwanted)?;
    }
    Ok(resources)
}

fn sort(
    resources: Vec<Resource>,
    kustomization: &Kustomization,
    options: &Options<'_>,
) -> Result<Vec<Resource>> {
    let Some(wanted) = &kustomization.sort_options else {
        return Ok(match options.reorder {
            Reorder::None => resources,
            Reorder::Legacy => sort_legacy(resources, None),
        });
    };
    match (wanted.order.as_str(), &wanted.legacy) {
        ("legacy", orders) => Ok(sort_legacy(resources, orders.as_ref())),
        ("fifo", None) => Ok(resources),
        ("fifo", Some(_)) => Err(Error::kustomization(
            "sortOptions: legacySortOptions may only be given with the order legacy",
        )),
        (other, _) => Err(Error::kustomization(format!(
            "sortOptions: the order {other:?} is neither fifo nor legacy"
        ))),
    }
}

/// Labels a resource with the version of kustomize that this library follows.
fn add_managed_by(resource: &mut Resource) -> Result<()> {
    let spec = FieldSpec::new(Gvk::default(), "metadata/labels", true);
    spec.apply(&mut resource.node, Create::Mapping, &mut |node| {
        metadata::set_entry(node, "app.kubernetes.io/managed-by", "kustomize-v5.8.1")
    })
}

/// Refuses what a patch made of a resource, if it is none any more.
fn check(resource: &Resource) -> Result<()> {
    // kustomize keeps these in lists separated by commas, and gives up when the lists differ in length.
    let commas = |of: fn(&crate::resource::PreviousId) -> &str| -> usize {
        resource.previous.iter().map(|p| of(p).matches(',').count()).sum()
    };
    let (kinds, names) = (commas(|p| &p.kind), commas(|p| &p.name));
    if kinds != names || names != commas(|p| &p.namespace) {
        let message = format!("{}: a comma in a kind or name is not possible", resource.id);
        return Err(Error::resource(message).at(&resource.origin.path, None));
    }
    let missing = match (resource.id.gvk.kind.as_str(), resource.id.name.as_str()) {
        ("", _) => "kind",
        (kind, "") if !kind.ends_with("List") => "metadata.name",
        _ => return Ok(()),
    };
    Err(
        Error::resource(format!("{}: the resource has lost its {missing}", resource.id))
            .at(&resource.origin.path, None),
    )
}

/// Resources that take part in a build and do not come out of it.
fn is_local(node: &Node) -> bool {
    let annotation = node.at(&["metadata", "annotations", LOCAL_CONFIG]);
    annotation.is_some_and(|n| n.as_text() != Some("false"))
}

/// Annotations always come out as strings, and never as an empty mapping. Lists, which need no metadata, get some.
fn clean_annotations(resource: &mut Resource, unwanted: &[&str]) -> Result<()> {
    if let Some(root) = resource.node.as_mapping_mut() {
        let metadata = root.entry_or_mapping("metadata");
        if metadata.as_mapping().is_none() && !metadata.is_null() {
            let message = format!("{}: metadata must be a mapping", resource.id);
            return Err(Error::resource(message).at(&resource.origin.path, Some(metadata.position)));
        }
    }
    let Some(metadata) = resource.node.get_mut("metadata").and_then(Node::as_mapping_mut) else {
        return Ok(());
    };
    let Some(annotations) = metadata.get_mut("annotations") else {
        return Ok(());
    };
    crate::set::pair_up(annotations);
    let mapping = match &mut annotations.content {
        Content::Mapping(mapping) => mapping,
        Content::Sequence(items) if !items.is_empty() => {
            let message = format!("{}: annotations must be a mapping", resource.id);
            return Err(Error::resource(message).at(&resource.origin.path, Some(annotations.position)));
        }
        Content::Scalar(_) | Content::Sequence(_) => {
            metadata.remove("annotations");
            return Ok(());
        }
    };
    mapping.entries.retain(|(key, _)| {
        !key.as_text()
            .is_some_and(|k| BUILD_ANNOTATIONS.contains(&k) || unwanted.contains(&k))
    });
    for (key, value) in &mut mapping.entries {
        let text = value.as_text().unwrap_or_default().to_string();
        *value = Node {
            position: value.position,
            ..Node::string(text)
        };
        key.tag = crate::yaml::Tag::Implicit;
    }
    if mapping.is_empty() {
        metadata.remove("annotations");
    }
    Ok(())
}
