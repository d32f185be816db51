//! The transformers: what a kustomization file asks for by its fields, and what the configurations of
//! built-in transformers ask for. In: the resources of a layer; out: the same, changed. Pure; what they need
//! from files is read before.

pub(crate) mod images;
pub(crate) mod metadata;
pub(crate) mod names;
pub(crate) mod namespace;
pub(crate) mod patches;
pub(crate) mod replacements;
pub(crate) mod replicas;
pub(crate) mod select;
pub(crate) mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Config;
use crate::fieldspec::FieldSpecs;
use crate::merge::json6902::Operation;
use crate::merge::openapi::Schemas;
use crate::model::replacement::Replacement;
use crate::model::{Image, Replica, Selector};
use crate::origin::Note;
use crate::resource::Resource;
use crate::set::ResourceSet;
use crate::yaml::Position;

type Result<T> = std::result::Result<T, crate::error::Error>;

/// The field specs of a transformer: its own, or those of the configuration of all layers.
pub(crate) enum Specs {
    Own(FieldSpecs),
    Of(Arc<Config>, fn(&Config) -> &FieldSpecs),
}

impl Specs {
    fn get(&self) -> &FieldSpecs {
        match self {
            Self::Own(specs) => specs,
            Self::Of(config, field) => field(config),
        }
    }
}

/// One transformer with everything that it needs.
pub(crate) enum Transformer {
    StrategicMerges(Vec<Resource>),
    Patch(patches::LoadedPatch),
    Namespace {
        namespace: String,
        specs: Specs,
        subjects: namespace::Subjects,
        unset_only: bool,
    },
    Name {
        end: names::End,
        text: String,
        specs: Specs,
    },
    /// Labels or annotations.
    Entries {
        entries: BTreeMap<String, String>,
        specs: Specs,
    },
    Json {
        target: Selector,
        operations: Vec<Operation>,
    },
    Replicas {
        replica: Replica,
        specs: Specs,
    },
    Image {
        image: Image,
        specs: Specs,
    },
    Replacements(Vec<Replacement>),
    Hash,
    AddValue(values::AddedValue),
}

/// A transformer in the order of a build.
pub(crate) struct Step {
    pub(crate) transformer: Transformer,
    /// The entry of the kustomization file that it comes from.
    pub(crate) position: Option<Position>,
    /// What is noted on each resource, if origins are.
    pub(crate) note: Option<Note>,
}

impl Step {
    /// `schemas` tell which lists strategic merges merge.
    pub(crate) fn run(&self, set: &mut ResourceSet, schemas: &Schemas) -> Result<()> {
        self.transformer.apply(set, schemas)?;
        if let Some(note) = &self.note {
            set.as_mut_slice()
                .iter_mut()
                .filter(|r| !crate::set::is_empty(&r.node))
                .for_each(|r| note.add_to(r));
        }
        set.drop_empty();
        Ok(())
    }
}

impl Transformer {
    fn apply(&self, set: &mut ResourceSet, schemas: &Schemas) -> Result<()> {
        match self {
            Self::StrategicMerges(patches) => patches::apply_by_name(set, patches, schemas),
            Self::Patch(patch) => patch.apply(set, schemas),
            Self::Namespace {
                namespace,
                specs,
                subjects,
                unset_only,
            } => {
                let (specs, subjects, unset_only) = (specs.get(), *subjects, *unset_only);
                namespace::Transform {
                    namespace,
                    specs,
                    subjects,
                    unset_only,
                }
                .apply(set)
            }
            Self::Name { end, text, specs } => names::transform(set, *end, text, specs.get()),
            Self::Entries { entries, .. } if entries.is_empty() => Ok(()),
            Self::Entries { entries, specs } => metadata::transform(set, entries, specs.get()),
            Self::Json { target, operations } => patches::apply_json(set, target, operations, false),
            Self::Replicas { replica, specs } => replicas::transform(set, replica, specs.get()),
            Self::Image { image, specs } => images::transform(set, image, specs.get()),
            Self::Replacements(replacements) => replacements::transform(set, replacements),
            Self::Hash => names::add_hashes(set),
            Self::AddValue(value) => value.apply(set),
        }
    }
}
