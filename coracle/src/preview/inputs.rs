//! Where a preview takes its spec, variables and keys from. Does I/O: reads files, asks the cluster.
//!
//! What is named on the command line wins over the cluster, and without a Kustomization nothing is asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use reconciler::api::{Kustomization, PostBuild, SubstituteKind};
use reconciler::render::sops::{Keyring, KeyringError};
use reconciler::render::substitute::{Substitution, VariableSource};
use serde_json::Value;

use crate::cli::Global;
use crate::connect::{Cluster, connect};
use crate::error::{Error, Kind, nearest};
use crate::objects::{ObjectKind, Target};

/// Arguments of `build` and `diff`.
#[derive(Debug, clap::Args)]
pub struct InputArgs {
    /// File that holds the Kustomization [default: it is read from the cluster]
    #[arg(short, long, value_name = "FILE")]
    kustomization: Option<PathBuf>,
    /// Directory that stands for the source
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    source: PathBuf,
    /// Path in the source [default: that of the Kustomization]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Files with ConfigMaps and Secrets that variables and keys are taken from, before the cluster is asked
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// File with age keys to decrypt with, instead of the Secret that the Kustomization names
    #[arg(long, value_name = "FILE")]
    age_key: Option<PathBuf>,
    /// Do not ask the cluster for anything
    #[arg(long, alias = "dry-run")]
    offline: bool,
    /// Variables that are used and not set are errors
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true",
        num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    strict_substitute: bool,
}

/// Everything that a build depends on.
pub struct Inputs {
    /// The directory that stands for the source.
    pub source: PathBuf,
    /// The path in it.
    pub path: String,
    /// The Kustomization; none for a plain folder.
    pub kustomization: Option<Kustomization>,
    /// Variables, if the Kustomization substitutes any.
    pub substitution: Option<Substitution>,
    /// Keys, if there is something to decrypt with.
    pub keyring: Option<Keyring>,
    /// The cluster, if it was reached.
    pub cluster: Option<Cluster>,
}

impl Inputs {
    /// The path as messages show it.
    #[must_use]
    pub fn shown_path(&self) -> &str {
        if self.path.is_empty() { "." } else { &self.path }
    }
}

/// ConfigMaps and Secrets by kind and name, as data.
type Config = BTreeMap<(SubstituteKindKey, String), BTreeMap<String, Vec<u8>>>;

/// Orders what is only equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SubstituteKindKey {
    ConfigMap,
    Secret,
}

impl From<SubstituteKind> for SubstituteKindKey {
    fn from(kind: SubstituteKind) -> Self {
        match kind {
            SubstituteKind::ConfigMap => Self::ConfigMap,
            SubstituteKind::Secret => Self::Secret,
        }
    }
}

impl SubstituteKindKey {
    fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

impl InputArgs {
    /// Whether they name no file with a Kustomization.
    #[must_use]
    pub fn lacks_kustomization(&self) -> bool {
        self.kustomization.is_none()
    }

    /// Gathers the inputs, for the Kustomization of this name.
    ///
    /// # Errors
    /// A file cannot be read, or something that the Kustomization names is nowhere to be found.
    pub async fn gather(&self, name: Option<&str>, global: &Global) -> Result<Inputs, Error> {
        if let Some(path) = name.filter(|name| name.contains('/') || *name == ".") {
            return Err(not_a_name(path));
        }
        let from_cluster = self.kustomization.is_none() && name.is_some();
        if from_cluster && self.offline {
            return Err(
                Error::new(Kind::Usage, "--offline needs the Kustomization as a file")
                    .hint("Name the file with --kustomization."),
            );
        }
        let mut cluster = None;
        let kustomization = match (&self.kustomization, name) {
            (Some(file), name) => Some(read_kustomization(file, name)?),
            (None, Some(name)) => {
                let reached = connect(global).await?;
                let target = Target {
                    kind: ObjectKind::Kustomization,
                    name: name.to_owned(),
                };
                let object = target.fetch(&reached, global.namespace()).await;
                let object = object.map_err(|error| self.perhaps_a_folder(name, error))?;
                cluster = Some(reached);
                Some(typed(serde_json::to_value(object).unwrap_or_default(), name)?)
            }
            (None, None) => None,
        };
        let path = match (&self.path, &kustomization) {
            (Some(path), _) => path.clone(),
            (None, Some(kustomization)) => kustomization.spec.path.clone().unwrap_or_default(),
            (None, None) => {
                return Err(Error::new(Kind::Usage, "there is nothing to build").hint(
                    "Say a Kustomization's name, a file with --kustomization, or a folder with --path.",
                ));
            }
        };
        let mut lookup = Lookup {
            config: read_config(&self.config)?,
            namespace: kustomization
                .as_ref()
                .and_then(|it| it.metadata.namespace.clone())
                .unwrap_or_else(|| global.namespace().to_owned()),
            cluster,
            global: (!self.offline).then_some(global),
        };
        let post_build = kustomization.as_ref().and_then(|it| it.spec.post_build.as_ref());
        let substitution = match post_build {
            Some(post_build) => Some(self.substitution(post_build, &mut lookup).await?),
            None => None,
        };
        let keyring = self.keyring(kustomization.as_ref(), &mut lookup).await?;
        Ok(Inputs {
            source: self.source.clone(),
            path,
            kustomization,
            substitution,
            keyring,
            cluster: lookup.cluster,
        })
    }

    /// Who names no Kustomization may have meant a folder.
    fn perhaps_a_folder(&self, name: &str, error: Error) -> Error {
        match error.kind() == Kind::NotFound && self.source.join(name).is_dir() {
            true => error.hint(format!("{name} is a folder too: `--path {name}` names one.")),
            false => error,
        }
    }

    async fn substitution(
        &self,
        post_build: &PostBuild,
        lookup: &mut Lookup<'_>,
    ) -> Result<Substitution, Error> {
        let mut sources = Vec::new();
        for reference in &post_build.substitute_from {
            let kind = SubstituteKindKey::from(reference.kind);
            let Some(data) = lookup.find(kind, &reference.name).await? else {
                if reference.optional {
                    continue;
                }
                return Err(lookup.missing(kind, &reference.name, "variables"));
            };
            let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
            sources.push(VariableSource {
                name: format!("{}/{}", kind.name(), reference.name),
                secret: kind == SubstituteKindKey::Secret,
                values: data
                    .into_iter()
                    .map(|(name, value)| (name, text(value)))
                    .collect(),
            });
        }
        Ok(Substitution {
            sources,
            inline: post_build.substitute.clone(),
            strategy: post_build.substitute_strategy.map(Into::into).unwrap_or_default(),
            strict: self.strict_substitute,
        })
    }

    async fn keyring(
        &self,
        kustomization: Option<&Kustomization>,
        lookup: &mut Lookup<'_>,
    ) -> Result<Option<Keyring>, Error> {
        let unusable = |error: KeyringError| Error::new(Kind::Input, "cannot decrypt").caused_by(error);
        if let Some(file) = &self.age_key {
            let data = BTreeMap::from([("file.agekey".to_owned(), read(file)?)]);
            let keyring = Keyring::from_secret(&file.display().to_string(), &data).map_err(unusable)?;
            return Ok(Some(keyring));
        }
        let Some(decryption) = kustomization.and_then(|it| it.spec.decryption.as_ref()) else {
            return Ok(None);
        };
        let Some(reference) = &decryption.secret_ref else {
            return Ok(Some(Keyring::default()));
        };
        let Some(data) = lookup.find(SubstituteKindKey::Secret, &reference.name).await? else {
            return Err(lookup
                .missing(SubstituteKindKey::Secret, &reference.name, "keys")
                .hint("--age-key decrypts with a file instead."));
        };
        let origin = format!("Secret {}/{}", lookup.namespace, reference.name);
        Keyring::from_secret(&origin, &data).map(Some).map_err(unusable)
    }
}

/// A path where a Kustomization's name is expected.
fn not_a_name(path: &str) -> Error {
    Error::new(
        Kind::Usage,
        format!("`{path}` is not the name of a Kustomization"),
    )
    .hint(format!("A folder is named with `--path {path}`."))
}

/// Finds ConfigMaps and Secrets in files, then in the cluster.
struct Lookup<'a> {
    config: Config,
    namespace: String,
    cluster: Option<Cluster>,
    global: Option<&'a Global>,
}

impl Lookup<'_> {
    async fn find(
        &mut self,
        kind: SubstituteKindKey,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, Error> {
        if let Some(data) = self.config.get(&(kind, name.to_owned())) {
            return Ok(Some(data.clone()));
        }
        let Some(global) = self.global else {
            return Ok(None);
        };
        if self.cluster.is_none() {
            self.cluster = Some(connect(global).await?);
        }
        let Some(cluster) = &self.cluster else {
            return Ok(None);
        };
        let explain =
            |error| cluster.explain(&format!("read {} {}/{name}", kind.name(), self.namespace), error);
        let client = cluster.client.clone();
        match kind {
            SubstituteKindKey::ConfigMap => {
                let found = Api::<ConfigMap>::namespaced(client, &self.namespace)
                    .get_opt(name)
                    .await;
                Ok(found.map_err(explain)?.map(config_map_data))
            }
            SubstituteKindKey::Secret => {
                let found = Api::<Secret>::namespaced(client, &self.namespace)
                    .get_opt(name)
                    .await;
                Ok(found.map_err(explain)?.map(secret_data))
            }
        }
    }

    fn missing(&self, kind: SubstituteKindKey, name: &str, what: &str) -> Error {
        let place = if self.global.is_some() {
            format!("namespace {}", self.namespace)
        } else {
            "the files".to_owned()
        };
        Error::new(
            Kind::NotFound,
            format!("there is no {} {name} with {what} in {place}", kind.name()),
        )
        .hint("Files with ConfigMaps and Secrets can be named with --config.")
    }
}

fn config_map_data(object: ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let text = object
        .data
        .unwrap_or_default()
        .into_iter()
        .map(|(key, value)| (key, value.into_bytes()));
    let binary = object
        .binary_data
        .unwrap_or_default()
        .into_iter()
        .map(|(key, ByteString(value))| (key, value));
    text.chain(binary).collect()
}

fn secret_data(object: Secret) -> BTreeMap<String, Vec<u8>> {
    let encoded = object
        .data
        .unwrap_or_default()
        .into_iter()
        .map(|(key, ByteString(value))| (key, value));
    let plain = object
        .string_data
        .unwrap_or_default()
        .into_iter()
        .map(|(key, value)| (key, value.into_bytes()));
    encoded.chain(plain).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| {
        Error::new(Kind::NotFound, format!("cannot read {}", path.display())).caused_by(error)
    })
}

/// The documents of a YAML file.
fn documents(path: &Path) -> Result<Vec<Value>, Error> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(Kind::Input, format!("cannot read {}", path.display())).caused_by(error)
    };
    let bytes = read(path)?;
    let text = kustomize_rs::yaml::text_of(&bytes).map_err(|error| wrong(error.into()))?;
    let nodes = kustomize_rs::yaml::load_all(text).map_err(|error| wrong(error.into()))?;
    nodes
        .iter()
        .map(|node| {
            kustomize_rs::yaml::to_value(node, kustomize_rs::yaml::Schema::GoYamlV3)
                .map_err(|error| wrong(error.into()))
        })
        .collect()
}

fn read_kustomization(path: &Path, name: Option<&str>) -> Result<Kustomization, Error> {
    let resource = ObjectKind::Kustomization.resource();
    let found: Vec<Value> = documents(path)?
        .into_iter()
        .filter(|document| {
            document["kind"] == resource.kind && document["apiVersion"] == resource.api_version
        })
        .collect();
    let names: Vec<String> = found
        .iter()
        .filter_map(|it| it["metadata"]["name"].as_str())
        .map(str::to_owned)
        .collect();
    let chosen = match name {
        None if found.len() == 1 => found.into_iter().next(),
        None => None,
        Some(name) => found
            .into_iter()
            .find(|document| document["metadata"]["name"] == name),
    };
    if let Some(document) = chosen {
        return typed(document, name.unwrap_or_default());
    }
    let file = path.display();
    let error = match name {
        Some(name) => Error::new(
            Kind::NotFound,
            format!("there is no Kustomization {name} in {file}"),
        ),
        None if names.is_empty() => Error::new(
            Kind::NotFound,
            format!("there is no Kustomization of Flux in {file}"),
        ),
        None => Error::new(Kind::Usage, format!("there are several Kustomizations in {file}")),
    };
    let meant = name.and_then(|name| nearest(name, names.iter().map(String::as_str)).map(str::to_owned));
    Err(match meant {
        Some(meant) => error.hint(format!("Is `{meant}` meant?")),
        None if names.is_empty() => error,
        None => error.hint(format!("It holds {}.", names.join(", "))),
    })
}

fn typed(document: Value, name: &str) -> Result<Kustomization, Error> {
    serde_json::from_value(document).map_err(|error| {
        Error::new(Kind::Input, format!("cannot read the Kustomization {name}")).caused_by(error)
    })
}

fn read_config(files: &[PathBuf]) -> Result<Config, Error> {
    let mut config = Config::new();
    for file in files {
        for document in documents(file)? {
            let name = document["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let wrong = |error: serde_json::Error| {
                Error::new(Kind::Input, format!("cannot read {name} in {}", file.display())).caused_by(error)
            };
            let (kind, data) = match document["kind"].as_str() {
                Some("ConfigMap") => (
                    SubstituteKindKey::ConfigMap,
                    config_map_data(serde_json::from_value(document).map_err(wrong)?),
                ),
                Some("Secret") => (
                    SubstituteKindKey::Secret,
                    secret_data(serde_json::from_value(document).map_err(wrong)?),
                ),
                _ => continue,
            };
            config.insert((kind, name), data);
        }
    }
    Ok(config)
}
