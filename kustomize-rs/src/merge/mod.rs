//! Patches: strategic merges and JSON 6902 operations on one resource. Pure.

pub(crate) mod json6902;
mod list;
pub(crate) mod openapi;
mod schema;
pub(crate) mod strategic;

type Result<T> = std::result::Result<T, crate::error::Error>;
