//! `vars`: values of fields that stand as `$(NAME)` in others. Pure.

use crate::error::Error;
use crate::layer::Accumulated;
use crate::model::Var;

type Result<T> = std::result::Result<T, Error>;

/// Registers a var of this layer.
pub(crate) fn register(into: &mut Accumulated, var: &Var) -> Result<()> {
    add(into, var.clone())
}

/// Adds a var of this layer or one below it.
pub(crate) fn add(_into: &mut Accumulated, _var: Var) -> Result<()> {
    Err(Error::unsupported(
        "the field vars is not supported yet; use replacements",
    ))
}
