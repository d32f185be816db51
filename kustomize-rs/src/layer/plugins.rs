//! `generators`, `transformers` and `validators`: configurations of built-in plugins, in files, directories
//! or inline. In: entries; out: resources and steps. Reads files through the layer. Other plugins run
//! programs, which a build does not.

use super::{Accumulated, Layer, Result};
use crate::error::Error;
use crate::fieldspec::FieldSpecs;
use crate::generate::{self, Kind};
use crate::model::decode::{Fields, Source};
use crate::model::{Located, field_spec, generator_args, image, patch, replacement_entry, replica, selector};
use crate::origin::{ConfiguredBy, Note};
use crate::resource::Resource;
use crate::resource_file;
use crate::set::ResourceSet;
use crate::transform::names::End;
use crate::transform::namespace::Subjects;
use crate::transform::values::{AddedValue, ValueTarget};
use crate::transform::{Specs, Step, Transformer};
use crate::yaml::{self, Node, Schema, to_value};

const VALIDATED_BY: &str = "validated-by";

impl Layer<'_> {
    pub(super) fn run_generator_plugins(&self, into: &mut Accumulated) -> Result<()> {
        let entries = &self.kustomization.generators;
        for config in self.plugin_configs(entries, "generators")? {
            let kind = match (config.id.gvk.api_version().as_str(), config.id.gvk.kind.as_str()) {
                ("builtin", "ConfigMapGenerator") => Kind::ConfigMap,
                ("builtin", "SecretGenerator") => Kind::Secret,
                ("builtin", "IAMPolicyGenerator") => {
                    let mut resource = service_account(&config)?;
                    if let Some(note) = self.plugin_note(&config) {
                        note.set_origin(&mut resource);
                    }
                    into.set.absorb(resource)?;
                    continue;
                }
                _ => return Err(refused(&config, "generator")),
            };
            let node = config_node(&config)?;
            let source = Source {
                file: &config.origin.path,
                strict: false,
            };
            let mut fields = source.fields(&node, "")?;
            let mut args = generator_args(&mut fields, kind == Kind::Secret)?;
            if args.name.is_empty() {
                args.name.clone_from(&config.id.name);
            }
            if args.namespace.is_empty() {
                args.namespace.clone_from(&config.id.namespace);
            }
            let read = |name: &str| self.read(name);
            let mut resource = generate::generate(kind, &args, None, &read, config.origin.clone())
                .map_err(|e| e.context(format!("generator {}", config.id)))?;
            if let Some(note) = self.plugin_note(&config) {
                note.set_origin(&mut resource);
            }
            into.set.absorb(resource)?;
        }
        Ok(())
    }

    /// Runs `validators`, which are transformers that must not change anything.
    pub(super) fn run_validators(&self, into: &mut Accumulated) -> Result<()> {
        for mut step in self.plugin_steps(&self.kustomization.validators, "validators")? {
            step.note = None;
            let before = values(&into.set)?;
            step.run(&mut into.set, &self.schemas)
                .map_err(|e| e.at(&self.file, step.position))?;
            if values(&into.set)? != before {
                let message = "a validator must not change resources";
                return Err(Error::kustomization(message).at(&self.file, step.position));
            }
        }
        Ok(())
    }

    pub(super) fn plugin_steps(&self, entries: &[Located], field: &str) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for config in self.plugin_configs(entries, field)? {
            let position = entries.first().map(|e| e.position);
            let note = self.plugin_note(&config);
            // One configuration is noted once, even if it is two transformers.
            let first = steps.len();
            steps.extend(self.plugin(&config)?.into_iter().map(|transformer| Step {
                transformer,
                position,
                note: None,
            }));
            if let Some(last) = steps[first..].last_mut() {
                last.note = note;
            }
        }
        Ok(steps)
    }

    /// Gathers the configurations that the entries hold or name: inline ones first.
    fn plugin_configs(&self, entries: &[Located], field: &str) -> Result<Vec<Resource>> {
        let mut gathered = Accumulated::default();
        let mut paths = Vec::new();
        for entry in entries {
            match resource_file::parse(&entry.text, &self.file) {
                Ok(mut inline) => {
                    if let Some(way) = &self.way {
                        let path = way.join(self.file.file_name().unwrap_or_default());
                        let note = Note { path, ..self.note() };
                        inline.iter_mut().for_each(|resource| note.set_origin(resource));
                    }
                    gathered
                        .set
                        .append_all(inline)
                        .map_err(|e| self.in_entry(e, field, entry))?;
                }
                Err(_) => paths.push(entry),
            }
        }
        for entry in paths {
            self.add_resource(&mut gathered, entry)?;
        }
        Ok(gathered.set.into_resources())
    }

    fn plugin_note(&self, config: &Resource) -> Option<Note> {
        self.way.as_ref()?;
        let origin = config
            .node
            .at(&["metadata", "annotations", crate::origin::ORIGIN])?
            .as_text()?;
        let path = crate::yaml::load(origin).ok()?.get("path")?.as_text()?.into();
        let configured_by = Some(ConfiguredBy {
            api_version: config.id.gvk.api_version(),
            kind: config.id.gvk.kind.clone(),
            name: config.id.name.clone(),
            namespace: config.id.namespace.clone(),
        });
        Some(Note {
            configured_in: path,
            configured_by,
            ..self.note()
        })
    }

    /// Turns the configuration of a built-in transformer into what it asks for.
    fn plugin(&self, config: &Resource) -> Result<Vec<Transformer>> {
        if config.id.gvk.api_version() != "builtin" {
            return Err(refused(config, "transformer"));
        }
        let node = config_node(config)?;
        let source = Source {
            file: &config.origin.path,
            strict: false,
        };
        let mut fields = source.fields(&node, "")?;
        let transformers = self.plugin_of_kind(config, &mut fields);
        transformers.map_err(|e| {
            e.context(format!("transformer {}", config.id))
                .at(&self.file, None)
        })
    }

    fn plugin_of_kind(&self, config: &Resource, fields: &mut Fields<'_>) -> Result<Vec<Transformer>> {
        let has_specs = fields.node("fieldSpecs").is_some();
        let mut specs = || {
            Ok::<_, Error>(Specs::Own(FieldSpecs::new(
                fields.list("fieldSpecs", field_spec)?,
            )))
        };
        let transformer = match config.id.gvk.kind.as_str() {
            "AnnotationsTransformer" => {
                let specs = specs()?;
                Transformer::Entries {
                    entries: fields.string_map("annotations")?.unwrap_or_default(),
                    specs,
                }
            }
            "LabelTransformer" => {
                let specs = specs()?;
                Transformer::Entries {
                    entries: fields.string_map("labels")?.unwrap_or_default(),
                    specs,
                }
            }
            "HashTransformer" => Transformer::Hash,
            "ImageTagTransformer" => {
                let specs = specs()?;
                Transformer::Image {
                    image: fields.object("imageTag", image)?.unwrap_or_default(),
                    specs,
                }
            }
            "ReplicaCountTransformer" => {
                let specs = specs()?;
                Transformer::Replicas {
                    replica: fields.object("replica", replica)?.unwrap_or_default(),
                    specs,
                }
            }
            "NamespaceTransformer" => {
                let specs = specs()?;
                let namespace = fields
                    .object("metadata", |f| f.string("namespace"))?
                    .unwrap_or_default();
                let unset_only = fields.bool("unsetOnly")?;
                let subjects = match fields.string("setRoleBindingSubjects")?.as_str() {
                    "" | "defaultOnly" => Subjects::Default,
                    "allServiceAccounts" => Subjects::AllServiceAccounts,
                    "none" => Subjects::None,
                    other => {
                        let message = format!(
                            "setRoleBindingSubjects is {other:?}, but must be defaultOnly, allServiceAccounts or none"
                        );
                        return Err(Error::kustomization(message));
                    }
                };
                Transformer::Namespace {
                    namespace,
                    specs,
                    subjects,
                    unset_only,
                }
            }
            "PrefixTransformer" | "SuffixTransformer" | "PrefixSuffixTransformer" => {
                return name_transformers(config, fields, has_specs);
            }
            "PatchTransformer" => Transformer::Patch(self.load_patch(&patch(fields)?)?),
            "PatchJson6902Transformer" => {
                let target = fields.object("target", selector)?;
                let (path, inline) = (fields.string("path")?, fields.string("jsonOp")?);
                self.load_json_patch(target.as_ref(), &path, &inline)?
            }
            "PatchStrategicMergeTransformer" => self.strategic_merges(fields)?,
            "ReplacementTransformer" => {
                let entries = fields.list("replacements", replacement_entry)?;
                Transformer::Replacements(self.load_replacements(&entries)?)
            }
            "ValueAddTransformer" => Transformer::AddValue(self.added_value(fields)?),
            _ => return Err(refused(config, "transformer")),
        };
        Ok(vec![transformer])
    }

    /// Reads a value and where it goes; without one it is the name of the directory.
    fn added_value(&self, fields: &mut Fields<'_>) -> Result<AddedValue> {
        let mut value = fields.string("value")?.trim().to_string();
        if value.is_empty() {
            let name = self.root.file_name().unwrap_or_default();
            value = name.to_string_lossy().into_owned();
        }
        let mut targets = fields.list("targets", value_target)?;
        let path = fields.string("targetFilePath")?;
        if !path.is_empty() {
            let file = self.root.join(&path);
            let node = yaml::load_v2(&self.read_text(&path)?).map_err(|e| Error::load(&file, e))?;
            let source = Source {
                file: &file,
                strict: false,
            };
            targets.extend(source.fields(&node, "")?.list("targets", value_target)?);
        }
        if targets.is_empty() {
            return Err(Error::kustomization("must specify at least one target"));
        }
        Ok(AddedValue { value, targets })
    }

    fn strategic_merges(&self, fields: &mut Fields<'_>) -> Result<Transformer> {
        let (paths, inline) = (fields.strings("paths")?, fields.string("patches")?);
        let mut patches = Vec::new();
        for path in &paths {
            patches.extend(self.load_strategic_merge(path)?);
        }
        if !inline.is_empty() {
            patches.extend(resource_file::parse(&inline, &self.file)?);
        }
        if patches.is_empty() {
            return Err(Error::kustomization("the patch appears to be empty"));
        }
        Ok(Transformer::StrategicMerges(patches))
    }
}

fn value_target(fields: &mut Fields<'_>) -> Result<ValueTarget> {
    let target = ValueTarget {
        selector: fields.object("selector", selector)?,
        path: fields.string("fieldPath")?,
        position: fields.int("filePathPosition")?,
    };
    if target.path.is_empty() {
        return Err(Error::kustomization("fieldPath must be given"));
    }
    if target.position < 0 {
        return Err(Error::kustomization("filePathPosition must not be negative"));
    }
    Ok(target)
}

/// Makes the ServiceAccount that an `IAMPolicyGenerator` asks for.
fn service_account(config: &Resource) -> Result<Resource> {
    let node = config_node(config)?;
    let source = Source {
        file: &config.origin.path,
        strict: false,
    };
    let mut fields = source.fields(&node, "")?;
    let cloud = fields.string("cloud")?;
    if cloud != "gke" {
        let message = format!(
            "generator {}: the cloud provider {cloud:?} is not known; there is only gke",
            config.id
        );
        return Err(Error::kustomization(message).at(&config.origin.path, None));
    }
    let account = fields.object("kubernetesService", |f| {
        Ok((f.string("name")?, f.string("namespace")?))
    })?;
    let (name, namespace) = account.unwrap_or_default();
    let external = fields.object("serviceAccount", |f| {
        Ok((f.string("name")?, f.string("projectId")?))
    })?;
    let (external, project) = external.unwrap_or_default();
    let mut text = format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  annotations:\n    iam.gke.io/gcp-service-account: \
         {external}@{project}.iam.gserviceaccount.com\n  name: {name}\n"
    );
    if !namespace.is_empty() {
        text.push_str(&format!("  namespace: {namespace}\n"));
    }
    let node = yaml::load(&text).map_err(|e| Error::load(&config.origin.path, e))?;
    Ok(Resource::new(node, config.origin.clone()))
}

fn name_transformers(
    config: &Resource,
    fields: &mut Fields<'_>,
    has_specs: bool,
) -> Result<Vec<Transformer>> {
    if !has_specs {
        return Err(Error::kustomization("fieldSpecs must be given"));
    }
    let mut transformers = Vec::new();
    for (end, field) in [(End::Prefix, "prefix"), (End::Suffix, "suffix")] {
        let other = if end == End::Prefix {
            "SuffixTransformer"
        } else {
            "PrefixTransformer"
        };
        if config.id.gvk.kind == other {
            continue;
        }
        let specs = Specs::Own(FieldSpecs::new(fields.list("fieldSpecs", field_spec)?));
        transformers.push(Transformer::Name {
            end,
            text: fields.string(field)?,
            specs,
        });
    }
    Ok(transformers)
}

/// The configuration as kustomize hands it on: printed and read again, so that its types are settled.
fn config_node(config: &Resource) -> Result<Node> {
    let value = config.to_value()?;
    Ok(Node::from_value(&value))
}

fn refused(config: &Resource, what: &str) -> Error {
    let message = format!(
        "the {what} {} is not supported: a build runs built-in plugins only, no programs, containers or charts; \
         run it before and list its output under resources",
        config.id.gvk
    );
    Error::unsupported(message).at(&config.origin.path, None)
}

/// What a validator must leave as it is: the values, and the notes about what was done.
fn values(set: &ResourceSet) -> Result<Vec<serde_json::Value>> {
    let without_label = |resource: &Resource| {
        let mut resource = resource.clone();
        let metadata = resource.node.get_mut("metadata").and_then(Node::as_mapping_mut);
        // Next to other labels it counts as a change, because kustomize rewrites those to take it out.
        let labels = metadata
            .as_ref()
            .and_then(|m| m.get("labels"))
            .and_then(Node::as_mapping);
        let alone = labels.is_some_and(|l| l.entries.len() == 1 && l.get(VALIDATED_BY).is_some());
        if let Some(metadata) = metadata.filter(|_| alone) {
            metadata.remove("labels");
        }
        let value = to_value(&resource.node, Schema::GoYamlV3);
        let mut value =
            value.map_err(|e| Error::syntax(e.message).at(&resource.origin.path, Some(e.position)))?;
        crate::notes::write(&resource, &mut value);
        Ok(value)
    };
    set.as_slice().iter().map(without_label).collect()
}
