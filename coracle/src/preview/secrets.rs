//! The secrets that stand in what a Kustomization applied: a change may take them away, so that the files do not name
//! them any more. Does I/O: asks the cluster.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use reconciler::api::{Kustomization, SubstituteKind};
use reconciler::report::redact::Redactor;

use crate::connect::Cluster;

/// Learns the Secrets that a Kustomization of the cluster names. Says why, if one cannot be read: then nobody knows what
/// is secret in what it applied.
pub async fn learn_those_of(
    kustomization: &Kustomization,
    cluster: &Cluster,
    redactor: &Redactor,
) -> Option<String> {
    let spec = &kustomization.spec;
    let variables = spec.post_build.iter().flat_map(|it| &it.substitute_from);
    let variables = variables
        .filter(|reference| reference.kind == SubstituteKind::Secret)
        .map(|reference| (reference.name.as_str(), reference.optional));
    let keys = spec.decryption.iter().filter_map(|it| it.secret_ref.as_ref());
    let keys = keys.map(|reference| (reference.name.as_str(), false));
    let namespace = kustomization.metadata.namespace.as_deref().unwrap_or_default();
    let secrets = Api::<Secret>::namespaced(cluster.client.clone(), namespace);
    let mut unknown = None;
    for (name, optional) in variables.chain(keys) {
        let named = format!("Secret {namespace}/{name}");
        match secrets.get_opt(name).await {
            Ok(Some(secret)) => {
                let values = secret.data.unwrap_or_default().into_values();
                redactor.learn(&named, values.map(|value| value.0));
            }
            // Without it, it brought nothing.
            Ok(None) if optional => {}
            Ok(None) => {
                unknown.get_or_insert(format!(
                    "the Kustomization in the cluster names {named}, which is not there"
                ));
            }
            Err(error) => {
                let why = cluster.explain(&format!("read {named}"), error);
                unknown.get_or_insert(why.to_string());
            }
        }
    }
    unknown
}
