//! What the steps of a write need to know of it. No I/O.

use jiff::Timestamp;

use super::options::{self, Validation};
use crate::answer::ApiError;
use crate::request::Request;

/// A write, apart from its content.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) now: Timestamp,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    pub(crate) manager: String,
    pub(crate) dry_run: bool,
    pub(crate) validation: Validation,
}

impl Context {
    pub(crate) fn of(request: &Request, now: Timestamp) -> Result<Self, ApiError> {
        options::check(request)?;
        Ok(Self {
            now,
            namespace: request.target.namespace.clone(),
            name: request.target.name.clone(),
            subresource: request.target.subresource.clone(),
            manager: request.manager(),
            dry_run: request.query.get("dryRun") == Some("All"),
            validation: options::validation(request),
        })
    }

    /// A write of a controller inside the cluster.
    pub(crate) fn internal(
        manager: &str,
        subresource: &str,
        namespace: &str,
        name: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            now,
            namespace: namespace.into(),
            name: name.into(),
            subresource: subresource.into(),
            manager: manager.into(),
            dry_run: false,
            validation: Validation::Ignore,
        }
    }
}
