//! Reaching the cluster, and what its refusals mean to a person. Does I/O: reads kubeconfigs.
//!
//! In: the options of every command. Out: a client, or an error that says what to do.

use axum::http::{Request, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};

use crate::cli::Global;
use crate::error::{Error, Kind};

/// A cluster that commands talk to.
#[derive(Clone)]
pub struct Cluster {
    /// Its client.
    pub client: Client,
    /// Its address, for messages.
    pub address: String,
}

/// Connects as the options say. Nothing is sent yet.
///
/// # Errors
/// There is no usable kubeconfig, and this is no pod.
pub async fn connect(global: &Global) -> Result<Cluster, Error> {
    reach(load(global).await?)
}

/// Connects as a controller: what is tried again is its own to decide, since a write that is sent again needs the right
/// to be written.
///
/// # Errors
/// There is no usable kubeconfig, and this is no pod.
pub async fn connect_as_controller(global: &Global) -> Result<Cluster, Error> {
    let mut config = load(global).await?;
    config.default_retry = false;
    reach(config)
}

fn reach(config: Config) -> Result<Cluster, Error> {
    let address = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|error| {
        Error::new(Kind::Cluster, format!("cannot use the kubeconfig for {address}")).caused_by(error)
    })?;
    Ok(Cluster { client, address })
}

/// The configuration that the options name.
///
/// # Errors
/// There is no usable kubeconfig, and this is no pod.
pub async fn load(global: &Global) -> Result<Config, Error> {
    let unusable = |message: String| {
        Error::new(Kind::Cluster, message)
            .hint("Name a kubeconfig with --kubeconfig or KUBECONFIG, and a context of it with --context.")
            .hint("`coracle demo` starts a cluster of its own and needs none.")
    };
    let options = KubeConfigOptions {
        context: global.context.clone(),
        ..KubeConfigOptions::default()
    };
    let file = match &global.kubeconfig {
        Some(path) => Kubeconfig::read_from(path).map_err(|error| {
            unusable(format!("cannot read the kubeconfig {}", path.display())).caused_by(error)
        })?,
        None => match Kubeconfig::read() {
            Ok(file) => file,
            Err(error) if global.context.is_none() => {
                return Config::incluster()
                    .map_err(|_| unusable("no cluster is configured".to_owned()).caused_by(error));
            }
            Err(error) => {
                return Err(unusable("no cluster is configured".to_owned()).caused_by(error));
            }
        },
    };
    Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|error| unusable("the kubeconfig cannot be used".to_owned()).caused_by(error))
}

impl Cluster {
    /// Objects of a kind in its version `v1`, of one namespace or of all.
    #[must_use]
    pub fn api(&self, group: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// The time by the API server's clock, to the second: that of this machine may be wrong. Every answer has it,
    /// refusals too.
    ///
    /// # Errors
    /// The cluster cannot be reached.
    pub async fn now(&self) -> Result<Timestamp, Error> {
        let doing = "ask the cluster for the time";
        let unasked = |error| Error::new(Kind::Internal, format!("cannot {doing}")).caused_by(error);
        let request = Request::get("/version").body(Body::empty()).map_err(unasked)?;
        let answer = self.client.send(request).await;
        let answer = answer.map_err(|error| self.explain(doing, error))?;
        let date = answer.headers().get(header::DATE);
        let date = date.and_then(|date| rfc2822::parse(date.to_str().ok()?).ok());
        Ok(date.map_or_else(Timestamp::now, |date| date.timestamp()))
    }

    /// Explains an error of the client. `doing` completes "cannot ...".
    #[must_use]
    pub fn explain(&self, doing: &str, error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => explain_status(doing, &status),
            kube::Error::Service(source) => self.unreachable(source),
            kube::Error::HyperError(source) => self.unreachable(source.into()),
            kube::Error::Auth(source) => {
                Error::new(Kind::Cluster, format!("cannot log in to {}", self.address))
                    .caused_by(source)
                    .hint("Check the user of the kubeconfig's context.")
            }
            other => Error::new(Kind::Cluster, format!("cannot {doing}")).caused_by(other),
        }
    }

    fn unreachable(&self, source: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::new(
            Kind::Cluster,
            format!("cannot reach the cluster at {}", self.address),
        )
        .caused_by(source)
        .hint("Is it running? --kubeconfig and --context choose another one.")
    }
}

fn explain_status(doing: &str, status: &kube::core::Status) -> Error {
    let refused = Error::new(Kind::Cluster, format!("cannot {doing}: {}", status.message));
    match status.code {
        401 => refused.hint("The cluster does not know you: check the user of the kubeconfig's context."),
        403 => refused.hint("Ask for the role `coracle-view` to look, or `admin` to change."),
        404 if is_unknown_kind(status) => Error::new(
            Kind::Cluster,
            format!("cannot {doing}: this cluster has no GitRepository and Kustomization objects"),
        )
        .hint("Install Coracle first: `coracle install --image IMAGE | kubectl apply --server-side -f -`."),
        404 => Error::new(Kind::NotFound, format!("cannot {doing}: {}", status.message)),
        _ => refused,
    }
}

/// Whether a 404 is about the kind: then it names no object.
#[must_use]
pub fn is_unknown_kind(status: &kube::core::Status) -> bool {
    status.code == 404
        && status
            .details
            .as_ref()
            .is_none_or(|details| details.name.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::Router;

    use super::*;

    #[tokio::test]
    async fn the_time_is_that_of_the_api_server() {
        // Another test may have been faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let late = || async { ([(header::DATE, "Tue, 06 Nov 2001 08:49:37 GMT")], "{}") };
        let serving = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(late)).await });
        let cluster = Cluster {
            client: Client::try_from(Config::new(address.parse().unwrap())).unwrap(),
            address,
        };
        assert_eq!(cluster.now().await.unwrap().to_string(), "2001-11-06T08:49:37Z");
        serving.abort();
    }
}
