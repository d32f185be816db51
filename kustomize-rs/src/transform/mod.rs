//! The transformers of a kustomization, one a file. In: the resources of a layer; out: the same, changed.
//! Pure; what they need from files is read before.

pub(crate) mod images;
pub(crate) mod metadata;
pub(crate) mod names;
pub(crate) mod namespace;
pub(crate) mod patches;
pub(crate) mod replacements;
pub(crate) mod replicas;
pub(crate) mod select;

type Result<T> = std::result::Result<T, crate::error::Error>;
