//! `replacements`: copies a field of one resource into fields of others. Pure.

use super::Result;
use crate::error::Error;
use crate::model::replacement::Replacement;
use crate::set::ResourceSet;

pub(crate) fn transform(_set: &mut ResourceSet, replacements: &[Replacement]) -> Result<()> {
    if replacements.is_empty() {
        return Ok(());
    }
    Err(Error::unsupported("the field replacements is not supported yet"))
}
