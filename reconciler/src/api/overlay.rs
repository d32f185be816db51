//! What a Kustomization's spec asks of a render: its own words into those of [`crate::render`]. No I/O.

use super::{BuildMetadata, CommonMetadata, KustomizationSpec, Selector, SubstituteStrategy};
use crate::render::{self, substitute};

impl From<&KustomizationSpec> for render::Overlay {
    fn from(spec: &KustomizationSpec) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            target_namespace: spec.target_namespace.clone(),
            name_prefix: spec.name_prefix.clone(),
            name_suffix: spec.name_suffix.clone(),
            patches: spec
                .patches
                .iter()
                .map(|patch| render::Patch {
                    patch: patch.patch.clone(),
                    target: patch.target.as_ref().map(Into::into),
                })
                .collect(),
            images: spec
                .images
                .iter()
                .map(|image| render::Image {
                    name: image.name.clone(),
                    new_name: text(&image.new_name),
                    new_tag: text(&image.new_tag),
                    digest: text(&image.digest),
                })
                .collect(),
            components: spec.components.clone(),
            ignore_missing_components: spec.ignore_missing_components,
            build_metadata: spec
                .build_metadata
                .iter()
                .map(|metadata| match metadata {
                    BuildMetadata::OriginAnnotations => "originAnnotations".to_owned(),
                    BuildMetadata::TransformerAnnotations => "transformerAnnotations".to_owned(),
                })
                .collect(),
        }
    }
}

impl From<&Selector> for render::Target {
    fn from(selector: &Selector) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self {
            group: text(&selector.group),
            version: text(&selector.version),
            kind: text(&selector.kind),
            name: text(&selector.name),
            namespace: text(&selector.namespace),
            label_selector: text(&selector.label_selector),
            annotation_selector: text(&selector.annotation_selector),
        }
    }
}

impl From<CommonMetadata> for render::CommonMetadata {
    fn from(common: CommonMetadata) -> Self {
        Self {
            labels: common.labels,
            annotations: common.annotations,
        }
    }
}

impl From<SubstituteStrategy> for substitute::SubstituteStrategy {
    fn from(strategy: SubstituteStrategy) -> Self {
        match strategy {
            SubstituteStrategy::WithVariables => Self::WithVariables,
            SubstituteStrategy::Always => Self::Always,
        }
    }
}
