//! What a Kustomization would apply, from files on this machine. Does I/O: reads files, asks the cluster.
//!
//! ```text
//! work tree --+
//! spec -------+--> render --> objects --> build prints them
//! variables --+                      \--> diff compares them with the cluster
//! ```

pub mod changes;
pub mod inputs;
mod refusal;
pub mod secrets;
mod takeover;
mod work_tree;

use reconciler::render::{self, Object};
use reconciler::report::redact::Redactor;

use crate::error::{Error, Kind};
use inputs::Inputs;
use work_tree::WorkTree;

/// Objects as a render gives them, and the secrets that must not show.
pub struct Built {
    /// The objects, in the order of the build.
    pub objects: Vec<Object>,
    /// Masks the values of Secrets and of secret variables.
    pub redactor: Redactor,
}

/// Renders what the inputs say.
///
/// # Errors
/// The files are wrong: the error names file, line and column where they are known.
pub fn build(inputs: &Inputs) -> Result<Built, Error> {
    let tree = WorkTree::new(&inputs.source).map_err(|error| {
        Error::new(
            Kind::NotFound,
            format!("there is no directory {}", inputs.source.display()),
        )
        .caused_by(error)
    })?;
    let mut request = render::Request::new(&tree, &inputs.path);
    if let Some(kustomization) = &inputs.kustomization {
        request.overlay = (&kustomization.spec).into();
        request.common_metadata = kustomization
            .spec
            .common_metadata
            .clone()
            .unwrap_or_default()
            .into();
    }
    request.substitution.clone_from(&inputs.substitution);
    request.decryption = inputs.keyring.as_ref();
    let rendered = render::render(&request).map_err(|error| refusal::explain(&error, &tree, inputs))?;
    let redactor = Redactor::default();
    redactor.learn("build", rendered.secrets.iter());
    Ok(Built {
        objects: rendered.objects,
        redactor,
    })
}
