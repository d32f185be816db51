//! From a Kustomization and a checkout to identified objects: reads variables and keys, renders, names each
//! object. Reads only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kustomize_rs::fs::ReadSet;
use serde_json::Value;

use crate::api::{Kustomization, KustomizationSpec, SubstituteKind};
use crate::apply::Permit;
use crate::causes::chain;
use crate::cluster::{ApiError, Kind};
use crate::plan::{self, Gvk, Missing, ObjectId, Owner, Wanted};
use crate::render::sops::Keyring;
use crate::render::substitute::{Substitution, VariableSource};
use crate::render::{self, RenderError, Rendered};
use crate::report::Failure;
use crate::report::redact::values_of_secret;
use crate::source::Checkout;

use super::context::Context;
use super::run::revoked;

/// What a render gave, with every object identified.
pub(crate) struct Built {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) read_set: ReadSet,
    pub(crate) digest: String,
    /// Objects that cannot be identified, and why.
    refused: Vec<String>,
    /// What is missing of what they need.
    missing: BTreeSet<Missing>,
}

impl Built {
    /// All of it, for a run.
    ///
    /// # Errors
    /// What cannot be identified, all reported together.
    pub(crate) fn whole(self) -> Result<Self, Failure> {
        if self.refused.is_empty() {
            return Ok(self);
        }
        Err(Failure::of_apply(self.refused.join("\n"), self.missing))
    }
}

/// Values read from the cluster before a render.
struct Inputs {
    substitution: Option<Substitution>,
    keyring: Option<Keyring>,
}

/// Renders a Kustomization at a checkout. Nothing is written, and nothing depends on what is remembered, so
/// that it can also be asked for what another Kustomization wants: an object of a kind that is not served is none that
/// is live.
pub(crate) async fn build(
    cx: &Context,
    permit: &Permit,
    kustomization: &Arc<Kustomization>,
    checkout: &Checkout,
) -> Result<Built, Failure> {
    let owner = owner_of(kustomization);
    let inputs = permit
        .race(read_inputs(cx, &owner, &kustomization.spec))
        .await
        .map_err(revoked)??;
    let rendered = {
        let _place = cx
            .renders
            .acquire()
            .await
            .map_err(|_| Failure::Canceled("the controller stops".into()))?;
        let (kustomization, checkout) = (kustomization.clone(), checkout.clone());
        let work =
            tokio::task::spawn_blocking(move || render_blocking(&kustomization.spec, &checkout, &inputs));
        let ended = permit.race(work).await.map_err(revoked)?;
        ended.map_err(|error| Failure::Build(format!("the build stopped: {error}")))??
    };
    let of_secrets = rendered
        .objects
        .iter()
        .filter(|object| object.id.kind == "Secret" && object.id.group.is_empty())
        .flat_map(|object| values_of_secret(&object.value));
    let decrypted = rendered.secrets.iter().map(|value| value.as_bytes().to_vec());
    cx.redactor
        .learn(&learned_as(&owner, "objects"), decrypted.chain(of_secrets));
    let digest = rendered.digest.clone();
    let read_set = rendered.read_set.clone();
    let mut built = Built {
        wanted: Vec::with_capacity(rendered.objects.len()),
        read_set,
        digest,
        refused: Vec::new(),
        missing: BTreeSet::new(),
    };
    identify(cx, &owner, rendered, &mut built).await?;
    Ok(built)
}

/// The name under which secrets of a Kustomization are known to those who mask them.
fn learned_as(owner: &Owner, what: &str) -> String {
    format!("Kustomization/{owner}/{what}")
}

/// Has a Kustomization's secrets forgotten.
pub(crate) fn forget_secrets(cx: &Context, owner: &Owner) {
    for what in ["variables", "keys", "objects"] {
        cx.redactor.forget(&learned_as(owner, what));
    }
}

fn render_blocking(
    spec: &KustomizationSpec,
    checkout: &Checkout,
    inputs: &Inputs,
) -> Result<Rendered, Failure> {
    let tree = checkout
        .tree()
        .map_err(|error| Failure::Source(error.to_string()))?;
    let mut request = render::Request::new(&tree, spec.path.as_deref().unwrap_or_default());
    request.overlay = spec.into();
    request.common_metadata = spec.common_metadata.clone().unwrap_or_default().into();
    request.substitution.clone_from(&inputs.substitution);
    request.decryption = inputs.keyring.as_ref();
    render::render(&request).map_err(|error| match &error {
        // As in Flux: it is the artifact that lacks the folder.
        RenderError::NoSuchPath { .. } => Failure::Path(chain(&error)),
        _ => Failure::Build(chain(&error)),
    })
}

/// The ConfigMaps and Secrets that a build of it reads: kind, namespace, name.
fn configs(kustomization: &Kustomization) -> Vec<(&'static str, String, String)> {
    let namespace = kustomization.metadata.namespace.clone().unwrap_or_default();
    let spec = &kustomization.spec;
    let sources = spec
        .post_build
        .iter()
        .flat_map(|post_build| &post_build.substitute_from);
    let variables = sources.map(|source| (kind_of(source.kind), namespace.clone(), source.name.clone()));
    let keys = spec
        .decryption
        .iter()
        .filter_map(|decryption| decryption.secret_ref.as_ref());
    variables
        .chain(keys.map(|secret| ("Secret", namespace.clone(), secret.name.clone())))
        .collect()
}

/// Whether a build of it reads this ConfigMap or Secret.
pub(crate) fn reads(kustomization: &Kustomization, kind: &str, namespace: &str, name: &str) -> bool {
    configs(kustomization)
        .iter()
        .any(|(k, ns, n)| *k == kind && ns == namespace && n == name)
}

fn kind_of(kind: SubstituteKind) -> &'static str {
    match kind {
        SubstituteKind::Secret => "Secret",
        SubstituteKind::ConfigMap => "ConfigMap",
    }
}

pub(crate) fn owner_of(kustomization: &Kustomization) -> Owner {
    Owner {
        namespace: kustomization.metadata.namespace.clone().unwrap_or_default(),
        name: kustomization.metadata.name.clone().unwrap_or_default(),
    }
}

async fn read_inputs(cx: &Context, owner: &Owner, spec: &KustomizationSpec) -> Result<Inputs, Failure> {
    Ok(Inputs {
        substitution: read_variables(cx, owner, spec).await?,
        keyring: read_keyring(cx, owner, spec).await?,
    })
}

async fn read_variables(
    cx: &Context,
    owner: &Owner,
    spec: &KustomizationSpec,
) -> Result<Option<Substitution>, Failure> {
    let Some(post_build) = &spec.post_build else {
        return Ok(None);
    };
    let mut sources = Vec::new();
    let mut secrets: Vec<String> = Vec::new();
    for reference in &post_build.substitute_from {
        let kind = kind_of(reference.kind);
        let name = format!("{kind}/{}", reference.name);
        let Some(data) = read_data(cx, kind, &owner.namespace, &reference.name).await? else {
            if reference.optional {
                continue;
            }
            return Err(Failure::Build(format!(
                "substitute from '{name}' error: {name} not found in namespace {}; create it, or set `optional: true`",
                owner.namespace
            )));
        };
        let values = data
            .into_iter()
            .map(|(key, value)| (key, String::from_utf8_lossy(&value).into_owned()))
            .collect::<BTreeMap<_, _>>();
        if reference.kind == SubstituteKind::Secret {
            secrets.extend(BTreeMap::values(&values).cloned());
        }
        sources.push(VariableSource {
            name,
            secret: reference.kind == SubstituteKind::Secret,
            values,
        });
    }
    // A render that fails may quote them, and learns nothing.
    cx.redactor.learn(&learned_as(owner, "variables"), secrets);
    let strategy = post_build.substitute_strategy.map(Into::into).unwrap_or_default();
    Ok(Some(Substitution {
        sources,
        inline: post_build.substitute.clone(),
        strategy,
        strict: cx.config.strict_substitutions,
    }))
}

async fn read_keyring(
    cx: &Context,
    owner: &Owner,
    spec: &KustomizationSpec,
) -> Result<Option<Keyring>, Failure> {
    let Some(decryption) = &spec.decryption else {
        return Ok(None);
    };
    let Some(reference) = &decryption.secret_ref else {
        return Ok(Some(Keyring::default()));
    };
    let origin = format!("Secret {}/{}", owner.namespace, reference.name);
    let Some(data) = read_data(cx, "Secret", &owner.namespace, &reference.name).await? else {
        return Err(Failure::Build(format!(
            "{origin} not found, which spec.decryption.secretRef names; create it: kubectl -n {} create secret generic {} --from-file=age.agekey",
            owner.namespace, reference.name
        )));
    };
    let keyring = Keyring::from_secret(&origin, &data).map_err(|error| Failure::Build(error.to_string()))?;
    cx.redactor
        .learn(&learned_as(owner, "keys"), keyring.secret_keys());
    Ok(Some(keyring))
}

/// The values of a ConfigMap or a Secret, decoded; nothing when there is none.
async fn read_data(
    cx: &Context,
    kind: &'static str,
    namespace: &str,
    name: &str,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, Failure> {
    let plural = if kind == "Secret" { "secrets" } else { "configmaps" };
    let resource = Kind::fixed("v1", kind, plural, true);
    let id = ObjectId {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        group: String::new(),
        kind: kind.to_owned(),
    };
    cx.configs.ensure(kind, namespace).await;
    let found = cx.api.get(&resource, &id).await;
    let found = found
        .map_err(|error| Failure::Apply(format!("{kind} {namespace}/{name} could not be read: {error}")))?;
    Ok(found.map(|object| decode(&object, kind == "Secret")))
}

pub(crate) fn decode(object: &Value, encoded: bool) -> BTreeMap<String, Vec<u8>> {
    let entries = object
        .get("data")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    entries
        .map(|(key, value)| {
            let text = value.as_str().unwrap_or_default();
            let bytes = if encoded {
                STANDARD.decode(text).unwrap_or_default()
            } else {
                text.as_bytes().to_vec()
            };
            (key.clone(), bytes)
        })
        .collect()
}

/// Names each object, with the scope of its kind: from the server, or from a definition in this very set
/// (rule 3).
async fn identify(cx: &Context, owner: &Owner, rendered: Rendered, built: &mut Built) -> Result<(), Failure> {
    let defined = definitions(&rendered);
    for object in rendered.objects {
        let gvk = Gvk {
            group: object.id.group.clone(),
            version: object.version.clone(),
            kind: object.id.kind.clone(),
        };
        let namespaced = match (
            cx.discovery.known(&gvk),
            defined.get(&(gvk.group.clone(), gvk.kind.clone())),
        ) {
            (Some(kind), _) => kind.namespaced,
            (None, Some(namespaced)) => *namespaced,
            (None, None) => match cx.discovery.resolve(&cx.api, &gvk).await {
                Ok(kind) => kind.namespaced,
                Err(error @ ApiError::UnknownKind { .. }) => {
                    let why = format!("{} ({}): {error}", object.id, object.origin);
                    built.refused.push(why);
                    built.missing.insert(Missing::Kind(gvk));
                    continue;
                }
                Err(error) => return Err(Failure::Apply(error.to_string())),
            },
        };
        let mut value = object.value;
        plan::normalize(&mut value, namespaced, owner);
        if namespaced && object.id.namespace.is_empty() {
            built.refused.push(format!(
                "{} ({}): it has no namespace; set metadata.namespace, or spec.targetNamespace of the Kustomization",
                object.id, object.origin
            ));
            continue;
        }
        let mut id = object.id;
        if !namespaced {
            id.namespace.clear();
        }
        built.wanted.push(Wanted {
            id,
            version: object.version,
            value,
            origin: Some(object.origin.to_string()),
        });
    }
    Ok(())
}

/// Kinds that definitions among the objects bring along, and whether they are namespaced.
fn definitions(rendered: &Rendered) -> HashMap<(String, String), bool> {
    let text = |value: &Value, pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    rendered
        .objects
        .iter()
        .filter(|object| object.id.kind == "CustomResourceDefinition")
        .map(|object| {
            let key = (
                text(&object.value, "/spec/group"),
                text(&object.value, "/spec/names/kind"),
            );
            (
                key,
                object.value.pointer("/spec/scope").and_then(Value::as_str) == Some("Namespaced"),
            )
        })
        .collect()
}
