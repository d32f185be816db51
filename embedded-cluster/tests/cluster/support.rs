//! A cluster and a client for tests.

use embedded_cluster::{Clock, Cluster, Config};
use kube::api::{ApiResource, DynamicObject};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;

pub(crate) use anyhow::Result;

/// A running cluster with a client to it.
pub(crate) struct Running {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
}

/// Starts a cluster whose clock the test drives.
pub(crate) async fn start() -> Result<Running> {
    start_with(Config {
        clock: Clock::driven(),
        ..Config::default()
    })
    .await
}

pub(crate) async fn start_with(config: Config) -> Result<Running> {
    let cluster = Cluster::start(config).await?;
    let client = client(&cluster).await?;
    Ok(Running { cluster, client })
}

pub(crate) async fn client(cluster: &Cluster) -> Result<Client> {
    client_of(&cluster.kubeconfig()).await
}

/// A client that tries nothing again by itself.
pub(crate) async fn client_of(kubeconfig: &str) -> Result<Client> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig)?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

impl Running {
    /// Objects of one kind, `namespace` empty for cluster-scoped ones.
    pub(crate) fn api(&self, api_version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }
}

/// Reads YAML that a user could have written.
pub(crate) fn object(value: Value) -> Result<DynamicObject> {
    Ok(serde_json::from_value(value)?)
}

/// The Status of a refused request.
pub(crate) fn status<T: std::fmt::Debug>(result: kube::Result<T>) -> kube::core::Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("expected the API to refuse, got {other:?}"),
    }
}
