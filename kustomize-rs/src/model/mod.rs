//! The kustomization file as types. In: its tree. Out: checked fields, older ones turned into the current
//! ones. Pure.

pub(crate) mod decode;
pub(crate) mod replacement;

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Error;
use crate::fieldspec::FieldSpec;
use crate::id::Gvk;
use crate::yaml::{Node, Position};
use decode::{Fields, Source};
use replacement::Replacement;

type Result<T> = std::result::Result<T, Error>;

/// A text with its place in the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Located {
    pub(crate) text: String,
    pub(crate) position: Position,
}

/// What a kustomization file says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Kustomization {
    pub(crate) is_component: bool,
    pub(crate) openapi: Option<BTreeMap<String, String>>,
    pub(crate) name_prefix: String,
    pub(crate) name_suffix: String,
    pub(crate) namespace: String,
    pub(crate) common_labels: Option<BTreeMap<String, String>>,
    pub(crate) labels: Vec<Label>,
    pub(crate) common_annotations: Option<BTreeMap<String, String>>,
    pub(crate) patches_strategic_merge: Vec<Located>,
    pub(crate) patches_json6902: Vec<Patch>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) images: Vec<Image>,
    pub(crate) replacements: Vec<ReplacementEntry>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) vars: Vec<Var>,
    pub(crate) sort_options: Option<SortOptions>,
    pub(crate) resources: Vec<Located>,
    pub(crate) components: Vec<Located>,
    pub(crate) crds: Vec<Located>,
    pub(crate) config_map_generator: Vec<GeneratorArgs>,
    pub(crate) secret_generator: Vec<GeneratorArgs>,
    pub(crate) generator_options: Option<GeneratorOptions>,
    pub(crate) configurations: Vec<Located>,
    pub(crate) generators: Vec<Located>,
    pub(crate) transformers: Vec<Located>,
    pub(crate) validators: Vec<Located>,
    pub(crate) build_metadata: Vec<Located>,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Label {
    pub(crate) pairs: BTreeMap<String, String>,
    pub(crate) include_selectors: bool,
    pub(crate) include_templates: bool,
    pub(crate) fields: Vec<FieldSpec>,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Patch {
    pub(crate) path: String,
    pub(crate) patch: String,
    pub(crate) target: Option<Selector>,
    pub(crate) allow_name_change: bool,
    pub(crate) allow_kind_change: bool,
    pub(crate) position: Position,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Selector {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) label_selector: String,
    pub(crate) annotation_selector: String,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) new_name: String,
    pub(crate) new_tag: String,
    pub(crate) tag_suffix: String,
    pub(crate) digest: String,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) count: i64,
}

#[derive(Debug, PartialEq)]
pub(crate) enum ReplacementEntry {
    Path(String),
    Inline(Box<Replacement>),
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Var {
    pub(crate) name: String,
    pub(crate) target: Gvk,
    pub(crate) target_name: String,
    pub(crate) target_namespace: String,
    pub(crate) field_path: String,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct SortOptions {
    pub(crate) order: String,
    pub(crate) legacy: Option<(Vec<String>, Vec<String>)>,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct GeneratorArgs {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) behavior: String,
    pub(crate) literals: Vec<String>,
    pub(crate) files: Vec<String>,
    pub(crate) envs: Vec<String>,
    pub(crate) options: Option<GeneratorOptions>,
    pub(crate) secret_type: String,
    pub(crate) position: Position,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct GeneratorOptions {
    pub(crate) labels: Option<BTreeMap<String, String>>,
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    pub(crate) disable_name_suffix_hash: bool,
    pub(crate) immutable: bool,
}

impl Kustomization {
    /// Reads a kustomization file; the second part are warnings about deprecated fields.
    pub(crate) fn read(node: &Node, file: &Path) -> Result<(Self, Vec<&'static str>)> {
        let source = Source { file, strict: true };
        let mut top = source.fields(node, "")?;
        let fields = &mut top;
        let kind = fields.string("kind")?;
        let api_version = fields.string("apiVersion")?;
        let has_metadata = fields.object("metadata", metadata)?.is_some();
        let mut warnings = Vec::new();
        let mut resources = fields.located_strings("resources")?;
        let bases = fields.node("bases").is_some();
        if bases {
            warnings.push("# Warning: 'bases' is deprecated. Please use 'resources' instead. Run 'kustomize edit fix' to update your Kustomization automatically.");
            resources.extend(fields.located_strings("bases")?);
        }
        let common_labels = fields.string_map("commonLabels")?;
        if common_labels.is_some() {
            warnings.push("# Warning: 'commonLabels' is deprecated. Please use 'labels' instead. Run 'kustomize edit fix' to update your Kustomization automatically.");
        }
        let mut images = fields.list("images", image)?;
        if fields.node("imageTags").is_some() {
            warnings.push("# Warning: 'imageTags' is deprecated. Please use 'images' instead. Run 'kustomize edit fix' to update your Kustomization automatically.");
            images.extend(fields.list("imageTags", image)?);
        }
        if fields.node("patchesJson6902").is_some() {
            warnings.push("# Warning: 'patchesJson6902' is deprecated. Please use 'patches' instead. Run 'kustomize edit fix' to update your Kustomization automatically.");
        }
        if fields.node("patchesStrategicMerge").is_some() {
            warnings.push("# Warning: 'patchesStrategicMerge' is deprecated. Please use 'patches' instead. Run 'kustomize edit fix' to update your Kustomization automatically.");
        }
        if fields.node("vars").is_some() {
            warnings.push("# Warning: 'vars' is deprecated. Please use 'replacements' instead. [EXPERIMENTAL] Run 'kustomize edit fix' to update your Kustomization automatically.");
        }
        let kustomization = Self {
            is_component: kind == "Component",
            openapi: fields.string_map("openapi")?,
            name_prefix: fields.string("namePrefix")?,
            name_suffix: fields.string("nameSuffix")?,
            namespace: fields.string("namespace")?,
            common_labels,
            labels: fields.list("labels", label)?,
            common_annotations: fields.string_map("commonAnnotations")?,
            patches_strategic_merge: fields.located_strings("patchesStrategicMerge")?,
            patches_json6902: patches(fields, "patchesJson6902")?,
            patches: patches(fields, "patches")?,
            images,
            replacements: fields.list("replacements", replacement_entry)?,
            replicas: fields.list("replicas", replica)?,
            vars: fields.list("vars", var)?,
            sort_options: fields.object("sortOptions", sort_options)?,
            resources,
            components: fields.located_strings("components")?,
            crds: fields.located_strings("crds")?,
            config_map_generator: generators(fields, "configMapGenerator", false)?,
            secret_generator: generators(fields, "secretGenerator", true)?,
            generator_options: fields.object("generatorOptions", generator_options)?,
            configurations: fields.located_strings("configurations")?,
            generators: fields.located_strings("generators")?,
            transformers: fields.located_strings("transformers")?,
            validators: fields.located_strings("validators")?,
            build_metadata: fields.located_strings("buildMetadata")?,
        };
        refuse_helm(fields)?;
        // An empty list is still something; the old names of other fields do not count.
        let older = ["bases", "imageTags", "helmChartInflationGenerator"];
        let stated = has_metadata || top.has_collection(&older);
        top.finish()?;
        kustomization.check(&kind, &api_version, stated, source, node)?;
        Ok((kustomization, warnings))
    }

    fn check(
        &self,
        kind: &str,
        api_version: &str,
        stated: bool,
        source: Source<'_>,
        node: &Node,
    ) -> Result<()> {
        let empty = Self {
            is_component: self.is_component,
            ..Self::default()
        };
        if !stated && *self == empty {
            return Err(source.error(node, "the kustomization file is empty"));
        }
        if !matches!(kind, "" | "Kustomization" | "Component") {
            return Err(source.error(
                node,
                format!("kind should be Kustomization or Component, but is {kind}"),
            ));
        }
        let version = if self.is_component { "v1alpha1" } else { "v1beta1" };
        let wanted = format!("kustomize.config.k8s.io/{version}");
        if !api_version.is_empty() && api_version != wanted {
            return Err(source.error(
                node,
                format!("apiVersion should be {wanted}, but is {api_version}"),
            ));
        }
        Ok(())
    }
}

/// Helm runs a program, which a library that builds untrusted files must not do. Settings without a chart ask for nothing.
fn refuse_helm(fields: &mut Fields<'_>) -> Result<()> {
    fields.node("helmGlobals");
    for field in ["helmCharts", "helmChartInflationGenerator"] {
        let node = fields.node(field);
        if let Some(node) = node.filter(|n| n.as_sequence().is_none_or(|items| !items.is_empty())) {
            let message = format!(
                "{field} is not supported: charts are not rendered during a build; render the chart in CI (`helm template`) \
                 and list its output under resources, or deploy it with a HelmRelease"
            );
            return Err(Error::unsupported(message).at(fields.source().file, Some(node.position)));
        }
    }
    Ok(())
}

fn metadata(fields: &mut Fields<'_>) -> Result<()> {
    fields.string("name")?;
    fields.string("namespace")?;
    fields.string_map("labels")?;
    fields.string_map("annotations")?;
    Ok(())
}

fn label(fields: &mut Fields<'_>) -> Result<Label> {
    Ok(Label {
        pairs: fields.string_map("pairs")?.unwrap_or_default(),
        include_selectors: fields.bool("includeSelectors")?,
        include_templates: fields.bool("includeTemplates")?,
        fields: fields.list("fields", field_spec)?,
    })
}

pub(crate) fn field_spec(fields: &mut Fields<'_>) -> Result<FieldSpec> {
    let gvk = gvk(fields)?;
    let path = fields.string("path")?;
    Ok(FieldSpec::new(gvk, &path, fields.bool("create")?))
}

pub(crate) fn gvk(fields: &mut Fields<'_>) -> Result<Gvk> {
    Ok(Gvk {
        group: fields.string("group")?,
        version: fields.string("version")?,
        kind: fields.string("kind")?,
        ..Gvk::default()
    })
}

pub(crate) fn patches(fields: &mut Fields<'_>, field: &'static str) -> Result<Vec<Patch>> {
    let positions: Vec<_> = fields
        .node(field)
        .and_then(Node::as_sequence)
        .unwrap_or_default()
        .iter()
        .map(|n| n.position)
        .collect();
    let mut patches = fields.list(field, patch)?;
    for (patch, position) in patches.iter_mut().zip(positions) {
        patch.position = position;
    }
    Ok(patches)
}

pub(crate) fn patch(fields: &mut Fields<'_>) -> Result<Patch> {
    let options = fields.object("options", |f| {
        Ok((f.bool("allowNameChange")?, f.bool("allowKindChange")?))
    })?;
    let (allow_name_change, allow_kind_change) = options.unwrap_or_default();
    Ok(Patch {
        path: fields.string("path")?,
        patch: fields.string("patch")?,
        target: fields.object("target", selector)?,
        allow_name_change,
        allow_kind_change,
        position: Position::default(),
    })
}

pub(crate) fn selector(fields: &mut Fields<'_>) -> Result<Selector> {
    Ok(Selector {
        gvk: gvk(fields)?,
        name: fields.string("name")?,
        namespace: fields.string("namespace")?,
        label_selector: fields.string("labelSelector")?,
        annotation_selector: fields.string("annotationSelector")?,
    })
}

pub(crate) fn image(fields: &mut Fields<'_>) -> Result<Image> {
    Ok(Image {
        name: fields.string("name")?,
        new_name: fields.string("newName")?,
        new_tag: fields.string("newTag")?,
        tag_suffix: fields.string("tagSuffix")?,
        digest: fields.string("digest")?,
    })
}

pub(crate) fn replica(fields: &mut Fields<'_>) -> Result<Replica> {
    Ok(Replica {
        name: fields.string("name")?,
        count: fields.int("count")?,
    })
}

pub(crate) fn replacement_entry(fields: &mut Fields<'_>) -> Result<ReplacementEntry> {
    let path = fields.string("path")?;
    let inline = replacement::read(fields)?;
    if path.is_empty() {
        return Ok(ReplacementEntry::Inline(Box::new(inline)));
    }
    if inline.source.is_some() || !inline.targets.is_empty() {
        return Err(Error::kustomization(
            "a replacement has either a path or a source and targets, not both",
        )
        .at(fields.source().file, None));
    }
    Ok(ReplacementEntry::Path(path))
}

fn var(fields: &mut Fields<'_>) -> Result<Var> {
    let name = fields.string("name")?;
    let target = fields.object("objref", |f| {
        let api_version = f.string("apiVersion")?;
        let (group, version, kind) = (f.string("group")?, f.string("version")?, f.string("kind")?);
        let gvk = if api_version.is_empty() {
            Gvk {
                group,
                version,
                kind,
                ..Gvk::default()
            }
        } else {
            Gvk::new(&api_version, &kind)
        };
        Ok((gvk, f.string("name")?, f.string("namespace")?))
    })?;
    let field_path = fields
        .object("fieldref", |f| f.string("fieldpath"))?
        .unwrap_or_default();
    let (target, target_name, target_namespace) = target.unwrap_or_default();
    Ok(Var {
        name,
        target,
        target_name,
        target_namespace,
        field_path,
    })
}

fn sort_options(fields: &mut Fields<'_>) -> Result<SortOptions> {
    let order = fields.string("order")?;
    let legacy = fields.object("legacySortOptions", |f| {
        Ok((f.strings("orderFirst")?, f.strings("orderLast")?))
    })?;
    Ok(SortOptions { order, legacy })
}

fn generators(fields: &mut Fields<'_>, field: &'static str, secret: bool) -> Result<Vec<GeneratorArgs>> {
    let positions: Vec<_> = fields
        .node(field)
        .and_then(Node::as_sequence)
        .unwrap_or_default()
        .iter()
        .map(|n| n.position)
        .collect();
    let mut entries = fields.list(field, |f| generator_args(f, secret))?;
    for (entry, position) in entries.iter_mut().zip(positions) {
        entry.position = position;
    }
    Ok(entries)
}

pub(crate) fn generator_args(fields: &mut Fields<'_>, secret: bool) -> Result<GeneratorArgs> {
    let mut envs = fields.strings("envs")?;
    let env = fields.string("env")?;
    // As a plugin's configuration, kustomize does not look at the older name.
    if !env.is_empty() && fields.source().strict {
        envs.push(env);
    }
    Ok(GeneratorArgs {
        namespace: fields.string("namespace")?,
        name: fields.string("name")?,
        behavior: fields.string("behavior")?,
        literals: fields.strings("literals")?,
        files: fields.strings("files")?,
        envs,
        options: fields.object("options", generator_options)?,
        secret_type: if secret {
            fields.string("type")?
        } else {
            String::new()
        },
        position: Position::default(),
    })
}

pub(crate) fn generator_options(fields: &mut Fields<'_>) -> Result<GeneratorOptions> {
    Ok(GeneratorOptions {
        labels: fields.string_map("labels")?,
        annotations: fields.string_map("annotations")?,
        disable_name_suffix_hash: fields.bool("disableNameSuffixHash")?,
        immutable: fields.bool("immutable")?,
    })
}
