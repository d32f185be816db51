//! A running cluster: server, controllers, and a door for tests.
//!
//! In: a configuration. Out: a URL, a kubeconfig, handles. Does I/O (listens on loopback).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::answer::ApiError;
use crate::api::context::Context;
use crate::api::{Answer, Api, render};
use crate::clock::Clock;
use crate::controllers::Controllers;
use crate::faults::Faults;
use crate::gate::Gate;
use crate::object;
use crate::request::{Form, Query, Request, Target, Verb};
use crate::requests::Requests;
use crate::resource::split_api_version;
use crate::server::Server;
use crate::store::{Key, Store};
use crate::tls::{Identity, TlsError};
use crate::tokens::Tokens;
use crate::workloads::Workloads;

/// Namespaces a cluster starts with.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The time of the cluster.
    pub clock: Clock,
    /// How many changes of a kind are remembered for watches.
    pub history: usize,
    /// Whether workload controllers and the kubelet are played; without them objects stay as they were written.
    pub workloads: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            clock: Clock::real(),
            history: 16_384,
            workloads: true,
        }
    }
}

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate could be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

/// A Kubernetes API in this process. It stops when it is dropped or shut down.
#[derive(Debug)]
pub struct Cluster {
    api: Api,
    address: SocketAddr,
    authority: String,
    workloads: Arc<Workloads>,
    controllers: Arc<Controllers>,
    faults: Arc<Faults>,
    requests: Arc<Requests>,
    version: Arc<Mutex<String>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Cluster {
    /// Starts a cluster. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the address cannot be listened on, or no certificate can be made.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let identity = Identity::generate()?;
        let listen_error = |source| Error::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let store = Arc::new(Store::new(config.history));
        let workloads = Arc::new(Workloads::new(config.workloads));
        let api = Api {
            store: Arc::clone(&store),
            clock: config.clock.clone(),
            workloads: Arc::clone(&workloads),
            tokens: Arc::new(Tokens::new(new_token(&store, config.clock.now()))),
        };
        let controllers = Arc::new(Controllers::new(
            Arc::clone(&store),
            config.clock,
            Arc::clone(&workloads),
        ));
        let faults = Arc::new(Faults::new(store));
        let requests = Arc::new(Requests::default());
        let gate = Gate {
            api: api.clone(),
            faults: Arc::clone(&faults),
            requests: Arc::clone(&requests),
        };
        let stop = CancellationToken::new();
        let version = Arc::new(Mutex::new(crate::discovery::VERSION.to_owned()));
        let server = Arc::new(Server {
            gate: Arc::new(gate),
            address,
            version: Arc::clone(&version),
            stop: stop.clone(),
        });
        seed(&api);
        let accept = tokio::spawn(server.run(listener, TlsAcceptor::from(identity.server)));
        let control = tokio::spawn({
            let (controllers, stop) = (Arc::clone(&controllers), stop.clone());
            async move {
                tokio::select! {
                    () = controllers.run() => {}
                    () = stop.cancelled() => {}
                }
            }
        });
        let tasks = vec![accept, control];
        Ok(Self {
            api,
            address,
            authority: identity.authority,
            workloads,
            controllers,
            faults,
            requests,
            version,
            stop,
            tasks,
        })
    }

    /// `https://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The bearer token that is accepted.
    #[must_use]
    pub fn token(&self) -> &str {
        self.api.tokens.admin()
    }

    /// The authority's certificate, in PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// A kubeconfig (JSON, which is YAML too) for `kubectl` and `kube`.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        use base64::Engine;
        let authority = base64::engine::general_purpose::STANDARD.encode(&self.authority);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "embedded",
            "clusters": [{"name": "embedded", "cluster": {"server": self.url(), "certificate-authority-data": authority}}],
            "users": [{"name": "admin", "user": {"token": self.token()}}],
            "contexts": [{"name": "embedded", "context": {"cluster": "embedded", "user": "admin", "namespace": "default"}}],
        });
        format!("{config:#}")
    }

    /// The time of the cluster.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.api.clock
    }

    /// The workload simulator and its rules.
    #[must_use]
    pub fn workloads(&self) -> &Workloads {
        &self.workloads
    }

    /// The faults that requests meet.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The counts of requests.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Has the server say that it is this version from now on, as after an upgrade; nothing else changes.
    pub fn say_version(&self, version: &str) {
        version.clone_into(&mut self.version.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Moves a driven clock and waits until the controllers have done what became due.
    pub async fn advance(&self, by: Duration) {
        self.api.clock.advance(by);
        self.settle().await;
    }

    /// Waits until the controllers have nothing to do at the present time of the clock.
    pub async fn settle(&self) {
        self.controllers.settle().await;
    }

    /// Reads an object without the network. `namespace` is empty for cluster-scoped kinds.
    #[must_use]
    pub fn get(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let (group, version) = split_api_version(api_version);
        let state = self.api.store.lock();
        let kind = state.registry.find_kind(group, version, kind)?.clone();
        let stored = state.get(&kind.storage, &Key::new(namespace, name))?;
        Some(render::value(stored, &kind))
    }

    /// Reads all objects of a kind, of one namespace or (empty) of all.
    #[must_use]
    pub fn list(&self, api_version: &str, kind: &str, namespace: &str) -> Vec<Value> {
        let (group, version) = split_api_version(api_version);
        let state = self.api.store.lock();
        let Some(kind) = state.registry.find_kind(group, version, kind).cloned() else {
            return Vec::new();
        };
        state
            .in_namespace(&kind.storage, namespace)
            .map(|(_, stored)| render::value(stored, &kind))
            .collect()
    }

    /// Applies an object as a user with this field manager would, without the network and uncounted.
    ///
    /// # Errors
    /// What the API would answer.
    pub fn apply(&self, object: &Value, manager: &str) -> Result<Value, ApiError> {
        self.write(
            Verb::Patch,
            "application/apply-patch+yaml",
            "",
            object,
            &[("fieldManager", manager), ("force", "true")],
        )
    }

    /// Updates an object's status as a controller would, without the network and uncounted.
    ///
    /// # Errors
    /// What the API would answer.
    pub fn update_status(&self, object: &Value, manager: &str) -> Result<Value, ApiError> {
        self.write(
            Verb::Update,
            "application/json",
            "status",
            object,
            &[("fieldManager", manager)],
        )
    }

    /// Changes an object by a merge patch, as `kubectl edit` would, without the network and uncounted.
    ///
    /// # Errors
    /// What the API would answer.
    pub fn merge(&self, object: &Value, manager: &str) -> Result<Value, ApiError> {
        self.write(
            Verb::Patch,
            "application/merge-patch+json",
            "",
            object,
            &[("fieldManager", manager)],
        )
    }

    /// Deletes an object, without the network and uncounted.
    ///
    /// # Errors
    /// What the API would answer.
    pub fn delete(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<(), ApiError> {
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}});
        let mut request = self.request(Verb::Delete, "", &object, &[])?;
        request.body = Bytes::new();
        self.api.handle(&request).map(|_| ())
    }

    fn write(
        &self,
        verb: Verb,
        media: &str,
        subresource: &str,
        object: &Value,
        query: &[(&str, &str)],
    ) -> Result<Value, ApiError> {
        let mut request = self.request(verb, subresource, object, query)?;
        request.content_type = media.into();
        match self.api.handle(&request)? {
            Answer::Body { body, .. } => Ok(serde_json::from_slice(&body).unwrap_or_default()),
            Answer::Document { .. } | Answer::Text(_) | Answer::NoPage | Answer::Watch(_) => Ok(Value::Null),
        }
    }

    fn request(
        &self,
        verb: Verb,
        subresource: &str,
        value: &Value,
        query: &[(&str, &str)],
    ) -> Result<Request, ApiError> {
        let (group, version) = split_api_version(object::text(value, &["apiVersion"]));
        let registry = Arc::clone(&self.api.store.lock().registry);
        let kind = registry
            .find_kind(group, version, object::text(value, &["kind"]))
            .ok_or_else(ApiError::no_such_path)?;
        let query: Vec<String> = query
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        Ok(Request {
            verb,
            target: Target {
                group: group.into(),
                version: version.into(),
                plural: kind.plural.clone(),
                namespace: if kind.namespaced {
                    object::meta(value, "namespace").into()
                } else {
                    String::new()
                },
                name: object::meta(value, "name").into(),
                subresource: subresource.into(),
                watch: false,
            },
            query: Query::parse(&query.join("&")),
            form: Form::Whole,
            content_type: "application/json".into(),
            user_agent: "embedded-cluster".into(),
            impersonated: None,
            body: Bytes::from(value.to_string()),
        })
    }

    /// Stops the server and the controllers, and waits for them.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            let _ = task.await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A token nobody else on this machine can guess: it is made of the server's fresh private randomness.
fn new_token(store: &Store, now: Timestamp) -> String {
    use rustls::crypto::SecureRandom;
    let mut bytes = [0_u8; 24];
    let provider = rustls::crypto::ring::default_provider();
    if SecureRandom::fill(provider.secure_random, &mut bytes).is_err() {
        return store.lock().new_uid(now);
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The objects a cluster starts with.
fn seed(api: &Api) {
    let mut state = api.store.lock();
    let now = api.clock.now();
    let Some(kind) = state.registry.find("", "v1", "namespaces").cloned() else {
        return;
    };
    for name in NAMESPACES {
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let context = Context::internal("kube-apiserver", "", "", name, now);
        let _cannot_exist_yet = crate::api::write::create_object(&mut state, &kind, &context, value, None);
    }
    if let Some(kind) = state.registry.find("", "v1", "nodes").cloned() {
        let node = crate::workloads::node(&crate::clock::seconds(now));
        let context = Context::internal("kubelet", "", "", object::meta(&node, "name"), now);
        let _cannot_exist_yet = crate::api::write::create_with_status(&mut state, &kind, &context, node);
    }
    drop(state);
    api.store.bell.notify_one();
}
