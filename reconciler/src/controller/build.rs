//! From a Kustomization and a checkout to identified objects: reads variables and keys, renders, names each
//! object. Reads only.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use kustomize_rs::fs::ReadSet;
use serde_json::Value;

use crate::api::{Kustomization, SubstituteKind};
use crate::apply::Permit;
use crate::cluster::{Api, ApiError, Kind};
use crate::plan::{self, Gvk, ObjectId, Owner, Wanted};
use crate::report::Failure;
use crate::source::Checkout;

use super::context::Context;

/// What a render gave, with every object identified.
pub(crate) struct Built {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) read_set: ReadSet,
    pub(crate) digest: String,
    pub(crate) configs: Vec<(&'static str, String, String)>,
}

/// Values read from the cluster before a render.
#[derive(Default)]
struct Inputs {
    sources: Vec<render::VariableSource>,
    age_keys: Option<render::AgeKeys>,
    configs: Vec<(&'static str, String, String)>,
}

use crate::render;

/// Renders a Kustomization at a checkout. Nothing is written, and nothing depends on what is remembered, so
/// that it can also be asked for what another Kustomization wants.
pub(crate) async fn build(
    cx: &Context,
    permit: &Permit,
    kustomization: &Arc<Kustomization>,
    checkout: &Checkout,
) -> Result<Built, Failure> {
    let inputs = read_inputs(cx, permit, kustomization).await?;
    let configs = inputs.configs.clone();
    let rendered = {
        let _place = cx.renders.acquire().await.map_err(|_| Failure::Canceled("the controller stops".into()))?;
        let (kustomization, checkout) = (kustomization.clone(), checkout.clone());
        let (remote_bases, strict) = (!cx.config.no_remote_bases, cx.config.strict_substitutions);
        let work = tokio::task::spawn_blocking(move || render_blocking(&kustomization, &checkout, &inputs, remote_bases, strict));
        permit.race(work).await.map_err(revoked)?.map_err(|error| Failure::Build(format!("the build stopped: {error}")))??
    };
    cx.redactor.learn(&owner_of(kustomization).to_string(), rendered.secrets.iter());
    let digest = rendered.digest.clone();
    let read_set = rendered.read_set.clone();
    let wanted = identify(cx, kustomization, rendered).await?;
    Ok(Built { wanted, read_set, digest, configs })
}
