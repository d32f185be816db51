//! The fields of a kustomization file as transformers, in kustomize's order. In: the file, and the patches
//! and replacements that it names. Out: steps. Reads files through the layer.

use std::sync::Arc;

use super::{Accumulated, Layer, Result};
use crate::config::{self, Config};
use crate::error::Error;
use crate::fieldspec::{FieldSpec, FieldSpecs};
use crate::fs::normalize;
use crate::id::Gvk;
use crate::model::replacement::{self, Replacement};
use crate::model::{Label, Patch, ReplacementEntry};
use crate::resource::Resource;
use crate::resource_file;
use crate::transform::names::End;
use crate::transform::namespace::Subjects;
use crate::transform::patches::{self, LoadedPatch, PatchBody};
use crate::transform::{Specs, Step, Transformer};
use crate::yaml::Position;

impl Layer<'_> {
    /// Runs the transformers of the fields, then those of `transformers`. All files are read first.
    pub(super) fn run_transformers(&self, into: &mut Accumulated) -> Result<()> {
        // A schema that was chosen after a resource was read says something about that, too.
        if self.schemas.has_document() {
            self.note_scopes(into.set.as_mut_slice())?;
        }
        let config = into.config.clone().unwrap_or_else(config::defaults);
        let mut steps = self.steps(&config)?;
        steps.extend(self.plugin_steps(&self.kustomization.transformers, "transformers")?);
        for step in &steps {
            step.run(&mut into.set, &self.schemas)
                .map_err(|e| e.at(&self.file, step.position))?;
        }
        Ok(())
    }

    fn steps(&self, config: &Arc<Config>) -> Result<Vec<Step>> {
        let kustomization = &self.kustomization;
        let of = |field: fn(&Config) -> &FieldSpecs| Specs::Of(Arc::clone(config), field);
        let mut steps = Vec::new();
        let mut add = |kind: &str, position: Option<Position>, transformer: Transformer| {
            steps.push(Step {
                transformer,
                position,
                note: self.builtin_note(kind),
            });
        };
        if !kustomization.patches_strategic_merge.is_empty() {
            let loaded = Transformer::StrategicMerges(self.load_strategic_merges()?);
            add("PatchStrategicMergeTransformer", None, loaded);
        }
        for patch in &kustomization.patches {
            let loaded = self
                .load_patch(patch)
                .map_err(|e| e.at(&self.file, Some(patch.position)))?;
            add(
                "PatchTransformer",
                Some(patch.position),
                Transformer::Patch(loaded),
            );
        }
        if !kustomization.namespace.is_empty() {
            let namespace = kustomization.namespace.clone();
            let (specs, subjects) = (of(|c| &c.namespace), Subjects::Default);
            let transformer = Transformer::Namespace {
                namespace,
                specs,
                subjects,
                unset_only: false,
            };
            add("NamespaceTransformer", None, transformer);
        }
        if !kustomization.name_prefix.is_empty() {
            let text = kustomization.name_prefix.clone();
            add(
                "PrefixTransformer",
                None,
                Transformer::Name {
                    end: End::Prefix,
                    text,
                    specs: of(|c| &c.name_prefix),
                },
            );
        }
        if !kustomization.name_suffix.is_empty() {
            let text = kustomization.name_suffix.clone();
            add(
                "SuffixTransformer",
                None,
                Transformer::Name {
                    end: End::Suffix,
                    text,
                    specs: of(|c| &c.name_suffix),
                },
            );
        }
        for label in &kustomization.labels {
            let specs = Specs::Own(label_specs(label, config).map_err(|e| e.at(&self.file, None))?);
            add(
                "LabelTransformer",
                None,
                Transformer::Entries {
                    entries: label.pairs.clone(),
                    specs,
                },
            );
        }
        let common = kustomization.common_labels.clone().unwrap_or_default();
        if !common.is_empty() || !kustomization.labels.is_empty() {
            add(
                "LabelTransformer",
                None,
                Transformer::Entries {
                    entries: common,
                    specs: of(|c| &c.common_labels),
                },
            );
        }
        if let Some(entries) = kustomization.common_annotations.clone().filter(|a| !a.is_empty()) {
            let specs = of(|c| &c.common_annotations);
            add(
                "AnnotationsTransformer",
                None,
                Transformer::Entries { entries, specs },
            );
        }
        for patch in &kustomization.patches_json6902 {
            let located = |e: Error| e.at(&self.file, Some(patch.position));
            let transformer = self
                .load_json_patch(patch.target.as_ref(), &patch.path, &patch.patch)
                .map_err(located)?;
            add("PatchJson6902Transformer", Some(patch.position), transformer);
        }
        for replica in &kustomization.replicas {
            let replica = replica.clone();
            add(
                "ReplicaCountTransformer",
                None,
                Transformer::Replicas {
                    replica,
                    specs: of(|c| &c.replicas),
                },
            );
        }
        for image in &kustomization.images {
            let image = image.clone();
            add(
                "ImageTagTransformer",
                None,
                Transformer::Image {
                    image,
                    specs: of(|c| &c.images),
                },
            );
        }
        if !kustomization.replacements.is_empty() {
            let loaded = self.load_replacements(&kustomization.replacements)?;
            add("ReplacementTransformer", None, Transformer::Replacements(loaded));
        }
        Ok(steps)
    }

    /// Reads the schema that the file names. The first one that a build meets stays in force to its end.
    pub(super) fn load_openapi(&self) -> Result<()> {
        let Some(openapi) = &self.kustomization.openapi else {
            return Ok(());
        };
        let (path, version) = (openapi.get("path"), openapi.get("version"));
        let wrong = |message: &str| Err(Error::kustomization(message).at(&self.file, None));
        let text = path.map(|path| self.read_text(path)).transpose()?;
        if self.schemas.is_chosen() {
            return Ok(());
        }
        match (path.zip(text), version.map(String::as_str)) {
            (Some(_), Some(_)) => wrong("openapi has either a path or a version, not both"),
            (Some((path, text)), None) => {
                self.schemas.choose_document(&text, &self.root.join(path));
                Ok(())
            }
            (None, None | Some("")) => Ok(()),
            (None, Some("v1.21.2")) => {
                self.schemas.choose_builtin();
                Ok(())
            }
            (None, Some(_)) => wrong("openapi.version: the only version is v1.21.2"),
        }
    }

    fn load_strategic_merges(&self) -> Result<Vec<Resource>> {
        let mut patches = Vec::new();
        for entry in &self.kustomization.patches_strategic_merge {
            let loaded = self.load_strategic_merge(&entry.text);
            patches.extend(loaded.map_err(|e| self.in_entry(e, "patchesStrategicMerge", entry))?);
        }
        if patches.is_empty() {
            let message = "patchesStrategicMerge: the patches appear to be empty";
            return Err(Error::kustomization(message).at(&self.file, None));
        }
        Ok(patches)
    }

    /// Reads an entry that is a patch itself, if it can be read as one, or else names a file.
    pub(super) fn load_strategic_merge(&self, text: &str) -> Result<Vec<Resource>> {
        let mut patches = match resource_file::parse(text, &self.file) {
            Ok(inline) => inline,
            Err(_) => resource_file::parse_bytes(&self.read(text)?, &normalize(&self.root.join(text)))?,
        };
        self.note_scopes(&mut patches)?;
        Ok(patches)
    }

    pub(super) fn load_patch(&self, patch: &Patch) -> Result<LoadedPatch> {
        let inline = patch.patch.trim();
        let (text, path, name) = match (inline, patch.path.as_str()) {
            ("", "") => {
                return Err(Error::kustomization(
                    "a patches entry must have a patch or a path",
                ));
            }
            (inline, "") => (inline.to_string(), self.file.clone(), "inline patch".to_string()),
            ("", path) => (
                self.read_text(path)?,
                normalize(&self.root.join(path)),
                format!("patch {path}"),
            ),
            _ => {
                return Err(Error::kustomization(
                    "a patches entry has either a patch or a path, not both",
                ));
            }
        };
        let mut body = patches::parse(&text, &path, &name)?;
        if let PatchBody::StrategicMerge(resources) = &mut body {
            self.note_scopes(resources)?;
            for resource in resources {
                resource.allow_name_change = patch.allow_name_change;
                resource.allow_kind_change = patch.allow_kind_change;
                if patch.allow_name_change || patch.allow_kind_change {
                    // kustomize notes this in the annotations, which it reads and writes as strings.
                    crate::set::stringify(&mut resource.node, &["annotations"]);
                }
            }
        }
        Ok(LoadedPatch {
            name,
            target: patch.target.clone(),
            body,
        })
    }

    pub(super) fn load_json_patch(
        &self,
        target: Option<&crate::model::Selector>,
        path: &str,
        inline: &str,
    ) -> Result<Transformer> {
        let wrong = |message: &str| Err(Error::kustomization(message));
        let Some(target) = target.filter(|t| !t.name.is_empty()) else {
            return wrong("a patchesJson6902 entry must name its target");
        };
        let text = match (inline, path) {
            ("", "") => return wrong("a patchesJson6902 entry must have a patch or a path"),
            (inline, "") => inline.to_string(),
            ("", path) => self.read_text(path)?,
            _ => return wrong("a patchesJson6902 entry has either a patch or a path, not both"),
        };
        let operations = patches::parse_operations(&text, &self.file)?;
        if operations.is_empty() {
            return wrong("the JSON patch appears to be empty");
        }
        Ok(Transformer::Json {
            target: target.clone(),
            operations,
        })
    }

    pub(super) fn load_replacements(&self, entries: &[ReplacementEntry]) -> Result<Vec<Replacement>> {
        let mut loaded = Vec::new();
        for entry in entries {
            match entry {
                ReplacementEntry::Inline(replacement) => loaded.push(replacement.as_ref().clone()),
                ReplacementEntry::Path(path) => {
                    let text = self.read_text(path)?;
                    loaded.extend(replacement::read_file(&text, &self.root.join(path))?);
                }
            }
        }
        Ok(loaded)
    }
}

fn label_specs(label: &Label, config: &Config) -> Result<FieldSpecs> {
    let mut specs = FieldSpecs::new(label.fields.clone());
    specs.merge(config.labels.iter())?;
    if label.include_selectors {
        specs.merge(config.common_labels.iter())?;
        return Ok(specs);
    }
    if label.include_templates {
        specs.merge(config.template_labels.iter())?;
    }
    specs.merge([&FieldSpec::new(Gvk::default(), "metadata/labels", true)])?;
    Ok(specs)
}
