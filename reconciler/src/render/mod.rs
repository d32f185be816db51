//! From a file tree to objects, as Flux's kustomize-controller does it. Pure: the file tree, the
//! variables and the keys come as values; there is no clock, no network, and no global state.
//!
//! ```text
//! tree --walk--> kustomization file --overlay--> with spec --kustomize-rs--> resources
//!   each: decrypt --> substitute --> digest --> expand lists --> check --> common metadata --> Object
//! ```
//! SOPS files are decrypted as they are read ([`sops`]). Everything that the build looks up goes
//! through one recording, so that [`Rendered::read_set`] tells whether another tree would render
//! the same.

mod error;
mod object;
mod overlay;
mod relative;
mod secrets;
pub mod sops;
pub mod substitute;
mod walk;

use std::collections::HashMap;
use std::path::Path;

use kustomize_rs::fs::{Fs, ReadSet, Recording};
use kustomize_rs::yaml::{self, Schema};
use kustomize_rs::{LoadRestrictions, Options, Remote, Resource};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use error::RenderError;
pub use object::{CommonMetadata, Object, Origin};
pub use overlay::{Image, Overlay, Patch, Target};
pub use secrets::SecretValues;

use crate::plan::ObjectId;
use overlay::Effective;
use sops::Keyring;
use substitute::{SUBSTITUTE_KEY, Substitution, Variables};

/// What to render.
pub struct Request<'a> {
    /// The file tree of a revision; paths start at its root, `/`.
    pub fs: &'a dyn Fs,
    /// `spec.path`; the root if empty.
    pub path: &'a str,
    /// What the spec puts on top of the kustomization file.
    pub overlay: Overlay,
    /// `spec.commonMetadata`.
    pub common_metadata: CommonMetadata,
    /// `spec.postBuild`, its references resolved; `None` if there is none.
    pub substitution: Option<Substitution>,
    /// The keys if `spec.decryption` is set, an empty keyring if it names no Secret.
    pub decryption: Option<&'a Keyring>,
    /// Fetches remote bases; `None` refuses them. What it reads is not in the read set.
    pub remote: Option<&'a dyn Remote>,
    /// How much may come out.
    pub limits: Limits,
}

impl<'a> Request<'a> {
    /// A folder of a tree, and nothing of the spec besides.
    #[must_use]
    pub fn new(fs: &'a dyn Fs, path: &'a str) -> Self {
        Self {
            fs,
            path,
            overlay: Overlay::default(),
            common_metadata: CommonMetadata::default(),
            substitution: None,
            decryption: None,
            remote: None,
            limits: Limits::default(),
        }
    }
}

/// Bounds on what a render may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Objects.
    pub objects: usize,
    /// Bytes of all objects as YAML.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            objects: 10_000,
            bytes: 32 * 1024 * 1024,
        }
    }
}

/// What a render gives.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The objects, in the order of the build.
    pub objects: Vec<Object>,
    /// Everything that was looked up in the tree, and what was not there.
    pub read_set: ReadSet,
    /// `sha256:` and the digest of the built YAML, as Flux keeps it in the history: without a key, although Secrets are
    /// part of what was built, since whoever reads a history compares it with what Flux would write.
    pub digest: String,
    /// Values to redact wherever they would show.
    pub secrets: SecretValues,
}

/// Renders the objects of a folder.
///
/// # Errors
/// See [`RenderError`]; the same request gives the same error.
pub fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    render_tree(request).map_err(|error| error.relative_to_root(request.fs))
}

fn render_tree(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let variables = request
        .substitution
        .as_ref()
        .map_or(Ok(None), Substitution::variables);
    let mut assembly = Assembly::new(request, variables.map_err(RenderError::Variables)?);
    let recording = Recording::new(request.fs);
    match request.decryption {
        None => assembly.add_all(&build(&recording, request)?)?,
        Some(keyring) => {
            let decrypting = sops::Decrypting::new(&recording, keyring);
            let built = build(&decrypting, request);
            let (failure, secrets) = decrypting.finish();
            if let Some((path, source)) = failure {
                return Err(RenderError::Decrypt {
                    path,
                    source: Box::new(source),
                });
            }
            let built = built.map_err(|error| error.redacted(&secrets));
            assembly.secrets.extend(secrets);
            assembly
                .secrets
                .extend(keyring.secret_keys().into_iter().collect());
            assembly.add_all(&built?)?;
        }
    }
    Ok(assembly.finish(recording.into_read_set()))
}

fn build(fs: &dyn Fs, request: &Request<'_>) -> Result<Vec<Resource>, RenderError> {
    let folder = walk::find_folder(fs, request.path)?;
    let file = overlay::effective(fs, &folder, &request.overlay)?;
    build_with(fs, &folder, &file, request.remote).map_err(|error| RenderError::build(&error, Some(&file)))
}

fn build_with(
    fs: &dyn Fs,
    folder: &Path,
    file: &Effective,
    remote: Option<&dyn Remote>,
) -> Result<Vec<Resource>, kustomize_rs::Error> {
    let mut options = Options::default();
    // As Flux does: the tree is the boundary, not the folder.
    options.load_restrictions = LoadRestrictions::None;
    options.remote = remote;
    kustomize_rs::build(&overlay::Overlaid::new(fs, file), folder, &options)
}

/// Takes resources one by one and makes objects of them.
struct Assembly<'r> {
    request: &'r Request<'r>,
    variables: Option<Variables>,
    objects: Vec<Object>,
    /// Where each object came from, by group, kind, namespace and name.
    seen: HashMap<ObjectId, Origin>,
    bytes: usize,
    hash: Sha256,
    secrets: SecretValues,
}

impl<'r> Assembly<'r> {
    fn new(request: &'r Request<'r>, variables: Option<Variables>) -> Self {
        Self {
            request,
            variables,
            objects: Vec::new(),
            seen: HashMap::new(),
            bytes: 0,
            hash: Sha256::new(),
            secrets: SecretValues::default(),
        }
    }

    fn finish(self, read_set: ReadSet) -> Rendered {
        use std::fmt::Write as _;
        let mut digest = "sha256:".to_owned();
        for byte in self.hash.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(digest, "{byte:02x}");
        }
        Rendered {
            objects: self.objects,
            read_set,
            digest,
            secrets: self.secrets,
        }
    }

    fn add_all(&mut self, resources: &[Resource]) -> Result<(), RenderError> {
        resources.iter().try_for_each(|resource| self.add(resource))
    }

    fn add(&mut self, resource: &Resource) -> Result<(), RenderError> {
        let origin = Origin {
            file: resource.origin().path.clone(),
            line: resource.origin().line,
        };
        let built = |error: kustomize_rs::Error| RenderError::build(&error, None);
        let mut value = resource.to_value().map_err(built)?;
        let (id, _) = identify(&value, &origin)?;
        let decrypted = self.decrypt(&mut value, &id, &origin)?;
        let mut text = if decrypted {
            yaml::emit(&value)
        } else {
            resource.to_yaml().map_err(built)?
        };
        if let Some(substituted) = self.substitute(&value, &text, &id, &origin)? {
            text = yaml::emit(&substituted);
            value = substituted;
        }
        self.account(&text)?;
        object::expanded(value)
            .into_iter()
            .try_for_each(|value| self.push(value, &origin))
    }

    fn decrypt(&mut self, value: &mut Value, id: &ObjectId, origin: &Origin) -> Result<bool, RenderError> {
        let Some(keyring) = self.request.decryption else {
            return Ok(false);
        };
        let secrets =
            sops::decrypt_secret_data(value, keyring).map_err(|(key, source)| RenderError::DecryptData {
                object: id.to_string(),
                origin: origin.clone(),
                key,
                source: Box::new(source),
            })?;
        let decrypted = secrets.is_some();
        self.secrets.extend(secrets.unwrap_or_default());
        Ok(decrypted)
    }

    /// The object with its variables replaced; `None` if there is nothing to replace.
    fn substitute(
        &mut self,
        value: &Value,
        text: &str,
        id: &ObjectId,
        origin: &Origin,
    ) -> Result<Option<Value>, RenderError> {
        let Some(variables) = self.variables.as_ref() else {
            return Ok(None);
        };
        if opted_out_of_substitution(value) || !variables.may_change(text) {
            return Ok(None);
        }
        let substituted = variables
            .substitute(text)
            .map_err(|source| RenderError::Substitute {
                object: id.to_string(),
                origin: origin.clone(),
                source,
            })?;
        let secrets: SecretValues = substituted.secrets.into_iter().collect();
        let value = if substituted.text == text {
            Ok(None)
        } else {
            reread(&substituted.text).map(Some)
        };
        let value = value.map_err(|message| RenderError::Substituted {
            object: id.to_string(),
            origin: origin.clone(),
            message: secrets.redact(&message),
        })?;
        self.secrets.extend(secrets);
        Ok(value)
    }

    fn account(&mut self, text: &str) -> Result<(), RenderError> {
        self.bytes += text.len();
        if self.bytes > self.request.limits.bytes {
            return Err(RenderError::TooLarge {
                limit: self.request.limits.bytes,
            });
        }
        if self.bytes > text.len() {
            self.hash.update("---\n");
        }
        self.hash.update(text);
        Ok(())
    }

    fn push(&mut self, mut value: Value, origin: &Origin) -> Result<(), RenderError> {
        let (id, version) = identify(&value, origin)?;
        if object::is_kustomize_configuration(&id) {
            return Ok(());
        }
        if let Some(recipients) = sops::recipients_if_encrypted(&value) {
            let configured = self.request.decryption.is_some();
            return Err(RenderError::Encrypted {
                object: id.to_string(),
                origin: origin.clone(),
                recipients,
                configured,
            });
        }
        if let Some(first) = self.seen.insert(id.clone(), origin.clone()) {
            return Err(RenderError::Duplicate {
                object: id.to_string(),
                first,
                second: origin.clone(),
            });
        }
        if self.objects.len() == self.request.limits.objects {
            return Err(RenderError::TooManyObjects {
                limit: self.request.limits.objects,
            });
        }
        self.request.common_metadata.apply(&mut value);
        self.objects.push(Object {
            id,
            version,
            value,
            origin: origin.clone(),
        });
        Ok(())
    }
}

fn identify(value: &Value, origin: &Origin) -> Result<(ObjectId, String), RenderError> {
    object::identify(value).map_err(|missing| RenderError::NotAnObject {
        origin: origin.clone(),
        missing,
    })
}

fn opted_out_of_substitution(value: &Value) -> bool {
    let metadata = &value["metadata"];
    ["labels", "annotations"]
        .iter()
        .any(|field| metadata[*field][SUBSTITUTE_KEY] == "disabled")
}

/// Reads substituted text by YAML 1.1, as Flux does: an unquoted `${n}` may become a number.
fn reread(text: &str) -> Result<Value, String> {
    let node = yaml::load(text).map_err(|error| error.to_string())?;
    let value = yaml::to_value(&node, Schema::GoYamlV2).map_err(|error| error.to_string())?;
    if value.is_object() {
        Ok(value)
    } else {
        Err("it is not a mapping".to_owned())
    }
}

#[cfg(test)]
mod tests;
