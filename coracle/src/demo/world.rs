//! What the story looks at: objects of the cluster, waited for by watches. Does I/O through a client.

use std::pin::pin;
use std::time::Duration;

use futures::future::ready;
use futures::{Stream, StreamExt as _};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Config, ResourceExt as _};
use reconciler::api::REQUESTED_AT;
use serde_json::{Value, json};

use crate::objects::{ObjectKind, Summary};

/// How long anything in the story may take, where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(30);
/// Field manager of what the story writes as an administrator.
const MANAGER: &str = "kubectl-client-side-apply";

/// What went wrong in the world.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// Something did not happen.
    #[error("waited {patience:?} for {what}; last seen: {last}")]
    Timeout {
        /// How long.
        patience: Duration,
        /// What was waited for.
        what: String,
        /// The object's last state.
        last: String,
    },
    /// The cluster refuses.
    #[error("cannot {doing}")]
    Refused {
        /// What was tried.
        doing: String,
        /// What it answered.
        #[source]
        source: Box<kube::Error>,
    },
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
}

/// The cluster, as the story sees it.
#[derive(Clone)]
pub struct World {
    client: Client,
    patience: Duration,
}

impl World {
    /// Reaches the cluster of a kubeconfig.
    ///
    /// # Errors
    /// The kubeconfig cannot be used.
    pub async fn reach(kubeconfig: &str) -> Result<Self, WorldError> {
        let file = Kubeconfig::from_yaml(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config).map_err(refused("reach the cluster"))?;
        Ok(Self {
            client,
            patience: PATIENCE,
        })
    }

    /// Waits this long for anything from now on.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version, kind) = match kind.split('/').collect::<Vec<_>>()[..] {
            [group, version, kind] => (group, version, kind),
            _ => ("", "v1", kind),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        self.api_of(&resource, namespace)
    }

    fn api_of(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        match namespace {
            "" => Api::all_with(self.client.clone(), resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, resource),
        }
    }

    /// Applies an object as an administrator.
    ///
    /// # Errors
    /// The cluster refuses.
    pub async fn apply(&self, object: &Value) -> Result<(), WorldError> {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (group, version) = text("/apiVersion")
            .split_once('/')
            .unwrap_or(("", text("/apiVersion")));
        let gvk = GroupVersionKind::gvk(group, version, text("/kind"));
        let resource = match text("/kind") {
            "GitRepository" => ObjectKind::GitRepository.resource(),
            _ => ApiResource::from_gvk(&gvk),
        };
        self.api_of(&resource, text("/metadata/namespace"))
            .patch(
                text("/metadata/name"),
                &PatchParams::apply(MANAGER).force(),
                &Patch::Apply(object),
            )
            .await
            .map(drop)
            .map_err(refused(&format!(
                "apply {} {}",
                text("/kind"),
                text("/metadata/name")
            )))
    }

    /// Waits until an object satisfies a condition; nothing stands for an object that is not there.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn until<T>(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        what: &str,
        found: impl FnMut(Option<&DynamicObject>) -> Option<T>,
    ) -> Result<T, WorldError> {
        wait(self.patience, self.api(kind, namespace), name, what, found).await
    }

    /// Waits until a Kustomization satisfies a condition.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn until_kustomization<T>(
        &self,
        name: &str,
        what: &str,
        mut found: impl FnMut(&Summary) -> Option<T>,
    ) -> Result<T, WorldError> {
        let kind = ObjectKind::Kustomization;
        wait(
            self.patience,
            self.api_of(&kind.resource(), "flux-system"),
            name,
            what,
            |object| found(&Summary::new(kind, object?)),
        )
        .await
    }

    /// Asks for a look at a source at once, as a webhook of a Git server would.
    ///
    /// # Errors
    /// The cluster refuses.
    pub async fn poke(&self, source: &str) -> Result<(), WorldError> {
        let token = jiff::Timestamp::now().to_string();
        let patch = json!({ "metadata": { "annotations": { REQUESTED_AT: token } } });
        self.api_of(&ObjectKind::GitRepository.resource(), "flux-system")
            .patch_metadata(source, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map(drop)
            .map_err(refused(&format!("ask for {source}")))
    }

    /// Names of the sources that follow a branch, and of the Kustomizations that follow those.
    ///
    /// # Errors
    /// The cluster refuses.
    pub async fn followers(&self, branch: &str) -> Result<(Vec<String>, Vec<String>), WorldError> {
        let sources = self.list(ObjectKind::GitRepository).await?;
        let sources: Vec<String> = sources
            .into_iter()
            .filter(|source| source.detail == branch)
            .map(|source| source.name)
            .collect();
        let follows = |it: &Summary| {
            it.origin
                .split_once('/')
                .is_some_and(|(_, name)| sources.iter().any(|s| s == name))
        };
        let kustomizations = self.list(ObjectKind::Kustomization).await?;
        let kustomizations = kustomizations.into_iter().filter(follows);
        let kustomizations = kustomizations.map(|it| it.name).collect();
        Ok((sources, kustomizations))
    }

    async fn list(&self, kind: ObjectKind) -> Result<Vec<Summary>, WorldError> {
        let listed = self
            .api_of(&kind.resource(), "flux-system")
            .list(&ListParams::default())
            .await
            .map_err(refused(&format!("list {} objects", kind.name())))?;
        Ok(listed
            .items
            .iter()
            .map(|object| Summary::new(kind, object))
            .collect())
    }

    /// An object as it is.
    ///
    /// # Errors
    /// The cluster refuses.
    pub async fn get(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<DynamicObject>, WorldError> {
        self.api(kind, namespace)
            .get_opt(name)
            .await
            .map_err(refused(&format!("get {kind} {namespace}/{name}")))
    }

    /// Changes an object by hand, as `kubectl edit` would. Returns its generation after that.
    ///
    /// # Errors
    /// The cluster refuses.
    pub async fn edit(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Option<i64>, WorldError> {
        let manager = PatchParams {
            field_manager: Some("kubectl-edit".to_owned()),
            ..PatchParams::default()
        };
        self.api(kind, namespace)
            .patch(name, &manager, &Patch::Merge(patch))
            .await
            .map(|object| object.metadata.generation)
            .map_err(refused(&format!("edit {kind} {namespace}/{name}")))
    }

    /// What the controller said about a Kustomization, the oldest first.
    ///
    /// # Errors
    /// The cluster refuses.
    pub async fn events(&self, about: &str) -> Result<Vec<Said>, WorldError> {
        let params = ListParams::default().fields(&format!("involvedObject.name={about}"));
        let listed = self
            .api("Event", "flux-system")
            .list(&params)
            .await
            .map_err(refused("list events"))?;
        let mut events: Vec<Said> = listed
            .items
            .into_iter()
            .filter(|event| event.data["involvedObject"]["kind"] == "Kustomization")
            .map(|event| Said::new(&event))
            .collect();
        events.sort_by_key(|event| event.version);
        Ok(events)
    }
}

impl World {
    /// What the controller says from now on about its objects, as it says it.
    pub fn news(&self) -> impl Stream<Item = Said> + use<> {
        watcher(self.api("Event", "flux-system"), watcher::Config::default())
            .default_backoff()
            // What there was before comes as `InitApply`.
            .filter_map(async |change| match change {
                Ok(watcher::Event::Apply(event)) => Some(Said::new(&event)),
                _ => None,
            })
    }

    /// Kustomizations as they are, and then each time one changes.
    pub fn kustomizations(&self) -> impl Stream<Item = Summary> + use<> {
        let kind = ObjectKind::Kustomization;
        watcher(
            self.api_of(&kind.resource(), "flux-system"),
            watcher::Config::default(),
        )
        .default_backoff()
        .touched_objects()
        .filter_map(move |object| ready(object.ok().map(|object| Summary::new(kind, &object))))
    }
}

/// An event.
#[derive(Clone, Debug)]
pub struct Said {
    /// `kind/name` of the object that it is about.
    pub about: String,
    /// The event's resource version.
    pub version: u64,
    /// The revision that it is about, if it is about one.
    pub revision: String,
    /// What it says.
    pub message: String,
}

impl Said {
    fn new(event: &DynamicObject) -> Self {
        let object = &event.data["involvedObject"];
        let version = event.metadata.resource_version.as_ref();
        Self {
            about: format!("{}/{}", text(object, "kind").to_lowercase(), text(object, "name")),
            // A number in this cluster; elsewhere it may be compared for equality only.
            version: version.and_then(|version| version.parse().ok()).unwrap_or(0),
            revision: event
                .annotations()
                .iter()
                .find(|(key, _)| key.ends_with("/revision"))
                .map(|(_, revision)| revision.clone())
                .unwrap_or_default(),
            message: text(&event.data, "message").to_owned(),
        }
    }
}

async fn wait<T>(
    patience: Duration,
    api: Api<DynamicObject>,
    name: &str,
    what: &str,
    mut found: impl FnMut(Option<&DynamicObject>) -> Option<T>,
) -> Result<T, WorldError> {
    let mut last = "nothing".to_owned();
    let look = async {
        let mut states = pin!(watcher::watch_object(api, name));
        loop {
            match states.next().await {
                Some(Ok(object)) => {
                    if let Some(value) = found(object.as_ref()) {
                        return value;
                    }
                    last = describe(object.as_ref());
                }
                // The watch starts again by itself.
                Some(Err(error)) => last = error.to_string(),
                None => std::future::pending().await,
            }
        }
    };
    match tokio::time::timeout(patience, look).await {
        Ok(value) => Ok(value),
        Err(_) => Err(WorldError::Timeout {
            patience,
            what: what.to_owned(),
            last,
        }),
    }
}

fn describe(object: Option<&DynamicObject>) -> String {
    let Some(object) = object else {
        return "no such object".to_owned();
    };
    let conditions = object
        .data
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let said: Vec<String> = conditions
        .into_iter()
        .flatten()
        .map(|it| {
            format!(
                "{}={}: {}",
                text(it, "type"),
                text(it, "status"),
                text(it, "message")
            )
        })
        .collect();
    if said.is_empty() {
        "an object without conditions".to_owned()
    } else {
        said.join("; ")
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn refused(doing: &str) -> impl FnOnce(kube::Error) -> WorldError {
    let doing = doing.to_owned();
    move |source| WorldError::Refused {
        doing,
        source: Box::new(source),
    }
}
