//! Which kinds the API server serves, and where. Does I/O when a kind is not known yet.
//!
//! Aggregated discovery (two requests for everything) is used; servers older than 1.27 are not supported.
//!
//! What is known can be outdated: a kind whose requests find no such path is forgotten and looked for anew, and one
//! whose definition is being deleted counts as not served, so that nothing is created only to go with it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::{Api, ApiError};
use crate::plan::{Gvk, ObjectId};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// A kind that the server serves in one version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Group, version and kind.
    pub gvk: Gvk,
    /// Name of the resource in paths.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether it can be watched.
    pub watchable: bool,
}

impl Kind {
    /// A kind that is known without asking.
    #[must_use]
    pub fn fixed(api_version: &str, kind: &str, plural: &str, namespaced: bool) -> Self {
        Self {
            gvk: Gvk::new(api_version, kind),
            plural: plural.to_owned(),
            namespaced,
            watchable: true,
        }
    }

    /// The kind of definitions.
    #[must_use]
    pub fn of_definitions() -> Self {
        Self::fixed(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            false,
        )
    }

    /// The name of the CustomResourceDefinition that would have it served.
    #[must_use]
    pub fn definition(&self) -> String {
        format!("{}.{}", self.plural, self.gvk.group)
    }

    /// Path of an object.
    #[must_use]
    pub fn path(&self, id: &ObjectId) -> String {
        format!("{}/{}", self.collection(&id.namespace), id.name)
    }

    /// Path of a namespace's collection; of the whole cluster's when the namespace is empty.
    #[must_use]
    pub fn collection(&self, namespace: &str) -> String {
        let base = if self.gvk.group.is_empty() {
            "/api/"
        } else {
            "/apis/"
        };
        let namespace = match (self.namespaced, namespace) {
            (false, _) | (true, "") => String::new(),
            (true, namespace) => format!("/namespaces/{namespace}"),
        };
        format!("{base}{}{namespace}/{}", self.gvk.api_version(), self.plural)
    }

    /// Whether the health of its objects is in their status. Of the others metadata is enough, and their contents
    /// stay on the server.
    #[must_use]
    pub fn has_status(&self) -> bool {
        !matches!(
            (self.gvk.group.as_str(), self.gvk.kind.as_str()),
            (
                "",
                "ConfigMap" | "Secret" | "ServiceAccount" | "LimitRange" | "Endpoints"
            ) | (
                "rbac.authorization.k8s.io"
                    | "scheduling.k8s.io"
                    | "storage.k8s.io"
                    | "node.k8s.io"
                    | "admissionregistration.k8s.io",
                _
            ) | ("networking.k8s.io", "NetworkPolicy" | "IngressClass")
        )
    }
}

type Kinds = HashMap<(String, String), Vec<Kind>>;

/// A cache of the kinds, read anew when one is missing.
pub struct Discovery {
    /// What can be used: what was read, less what was forgotten since or is going.
    kinds: watch::Sender<Arc<Kinds>>,
    read: tokio::sync::Mutex<Option<Instant>>,
    /// Something was forgotten since it was read.
    outdated: AtomicBool,
    forgot: Notify,
    /// Names of definitions that are being deleted: `<plural>.<group>`.
    going: Mutex<HashSet<String>>,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            kinds: watch::Sender::default(),
            read: tokio::sync::Mutex::default(),
            outdated: AtomicBool::new(false),
            forgot: Notify::new(),
            going: Mutex::default(),
        }
    }
}

/// A missing kind is looked for at most this often.
const PAUSE: Duration = Duration::from_secs(2);

impl Discovery {
    /// The kind of an object, asking the server when it is not known yet.
    ///
    /// # Errors
    /// [`ApiError::UnknownKind`] when the server does not serve it, or why the server could not be asked.
    pub async fn resolve(&self, api: &Api, gvk: &Gvk) -> Result<Kind, ApiError> {
        if let Some(kind) = self.known(gvk) {
            return Ok(kind);
        }
        self.refresh(api, PAUSE).await?;
        self.known(gvk).ok_or_else(|| ApiError::UnknownKind {
            api_version: gvk.api_version(),
            kind: gvk.kind.clone(),
        })
    }

    /// The kind in whatever version is served, the wanted one first: for objects of an inventory, whose
    /// version may be gone.
    ///
    /// # Errors
    /// As [`Discovery::resolve`].
    pub async fn resolve_any_version(&self, api: &Api, gvk: &Gvk) -> Result<Kind, ApiError> {
        match self.resolve(api, gvk).await {
            Err(ApiError::UnknownKind { api_version, kind }) => {
                let served = self.known_in_any_version(gvk);
                served.ok_or(ApiError::UnknownKind { api_version, kind })
            }
            answer => answer,
        }
    }

    /// The kind, if it is known without asking.
    #[must_use]
    pub fn known(&self, gvk: &Gvk) -> Option<Kind> {
        let kinds = self.snapshot();
        let versions = kinds.get(&(gvk.group.clone(), gvk.kind.clone()))?;
        versions
            .iter()
            .find(|kind| kind.gvk.version == gvk.version)
            .cloned()
    }

    /// The kind in whatever version is served, the wanted one first, if it is known without asking.
    pub(crate) fn known_in_any_version(&self, gvk: &Gvk) -> Option<Kind> {
        in_any_version(&self.snapshot(), gvk)
    }

    /// Reads what is served, unless that was done less than `pause` ago.
    ///
    /// # Errors
    /// Why the server could not be asked.
    pub async fn refresh(&self, api: &Api, pause: Duration) -> Result<(), ApiError> {
        let mut read = self.read.lock().await;
        if read.is_some_and(|at| at.elapsed() < pause) && !self.outdated.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.outdated.store(false, Ordering::Relaxed);
        let mut kinds = Kinds::new();
        for path in ["/api", "/apis"] {
            collect(&api.raw(path, AGGREGATED).await?, &mut kinds);
        }
        let going = self.going.lock().unwrap_or_else(PoisonError::into_inner).clone();
        kinds.values_mut().for_each(|versions| {
            versions.retain(|kind| going.is_empty() || !going.contains(&kind.definition()));
        });
        kinds.retain(|_, versions| !versions.is_empty());
        self.change(|known| *known = kinds);
        *read = Some(Instant::now());
        Ok(())
    }

    /// Forgets a kind whose requests find no such path; it is looked for anew.
    pub fn forget(&self, gvk: &Gvk) {
        self.outdated.store(true, Ordering::Relaxed);
        self.change(|known| {
            let key = (gvk.group.clone(), gvk.kind.clone());
            if let Some(versions) = known.get_mut(&key) {
                versions.retain(|kind| kind.gvk.version != gvk.version);
                if versions.is_empty() {
                    known.remove(&key);
                }
            }
        });
        self.forgot.notify_one();
    }

    /// Completes when something was forgotten since it was last asked.
    pub(crate) async fn forgotten(&self) {
        self.forgot.notified().await;
    }

    /// Says whether the definition `<plural>.<group>` is being deleted.
    pub(crate) fn definition_goes(&self, name: &str, goes: bool) {
        let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        if !goes {
            going.remove(name);
            return;
        }
        going.insert(name.to_owned());
        drop(going);
        self.change(|known| {
            known.retain(|_, versions| versions.iter().all(|kind| kind.definition() != name));
        });
    }

    /// The kinds that a definition `<plural>.<group>` has the server serve.
    pub(crate) fn defined_by(&self, name: &str) -> Vec<Gvk> {
        let kinds = self.snapshot();
        let all = kinds.values().flatten();
        all.filter(|kind| kind.definition() == name)
            .map(|kind| kind.gvk.clone())
            .collect()
    }

    /// Tells of each change of what is known.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Kinds>> {
        self.kinds.subscribe()
    }

    /// Waits until a kind is served in whatever version, the wanted one first.
    pub(crate) async fn served(&self, gvk: &Gvk) -> Kind {
        let mut changes = self.changes();
        loop {
            if let Some(kind) = in_any_version(&changes.borrow_and_update(), gvk) {
                return kind;
            }
            // The sender is here as long as `self`.
            let _ = changes.changed().await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Kinds)) {
        self.kinds.send_if_modified(|known| {
            let mut kinds = (**known).clone();
            change(&mut kinds);
            let changed = kinds != **known;
            if changed {
                *known = Arc::new(kinds);
            }
            changed
        });
    }

    fn snapshot(&self) -> Arc<Kinds> {
        self.kinds.borrow().clone()
    }
}

fn in_any_version(kinds: &Kinds, gvk: &Gvk) -> Option<Kind> {
    let versions = kinds.get(&(gvk.group.clone(), gvk.kind.clone()))?;
    let wanted = versions.iter().find(|kind| kind.gvk.version == gvk.version);
    wanted.or(versions.first()).cloned()
}

fn collect(list: &Value, kinds: &mut Kinds) {
    for group in array(&list["items"]) {
        let name = group
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        for version in array(&group["versions"]) {
            let version_name = version["version"].as_str().unwrap_or_default();
            for resource in array(&version["resources"]) {
                let kind = resource
                    .pointer("/responseKind/kind")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let verbs = array(&resource["verbs"]);
                let has = |verb: &str| verbs.iter().any(|v| v == verb);
                if kind.is_empty() || !has("get") {
                    continue;
                }
                kinds
                    .entry((name.to_owned(), kind.to_owned()))
                    .or_default()
                    .push(Kind {
                        gvk: Gvk {
                            group: name.to_owned(),
                            version: version_name.to_owned(),
                            kind: kind.to_owned(),
                        },
                        plural: resource["resource"].as_str().unwrap_or_default().to_owned(),
                        namespaced: resource["scope"] == "Namespaced",
                        watchable: has("watch") && has("list"),
                    });
            }
        }
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widget(version: &str) -> Kind {
        Kind::fixed(&format!("example.org/{version}"), "Widget", "widgets", true)
    }

    fn serving(kinds: &[Kind]) -> Discovery {
        let discovery = Discovery::default();
        discovery.change(|known| {
            for kind in kinds {
                let key = (kind.gvk.group.clone(), kind.gvk.kind.clone());
                known.entry(key).or_default().push(kind.clone());
            }
        });
        discovery
    }

    #[test]
    fn a_version_that_is_forgotten_leaves_the_others_known() {
        let discovery = serving(&[widget("v1"), widget("v1beta1")]);
        discovery.forget(&widget("v1").gvk);
        assert_eq!(discovery.known(&widget("v1").gvk), None);
        assert_eq!(
            discovery.known_in_any_version(&widget("v1").gvk),
            Some(widget("v1beta1"))
        );
        discovery.forget(&widget("v1beta1").gvk);
        assert_eq!(discovery.known_in_any_version(&widget("v1").gvk), None);
    }

    #[test]
    fn a_kind_whose_definition_goes_counts_as_not_served() {
        let gadget = Kind::fixed("example.org/v1", "Gadget", "gadgets", true);
        let discovery = serving(&[widget("v1"), gadget.clone()]);
        discovery.definition_goes("widgets.example.org", true);
        assert_eq!(discovery.known(&widget("v1").gvk), None);
        assert_eq!(discovery.known(&gadget.gvk), Some(gadget));
    }

    #[tokio::test]
    async fn whoever_waits_for_a_kind_is_told_when_it_is_served() {
        let discovery = Arc::new(serving(&[]));
        let waiting = tokio::spawn({
            let discovery = discovery.clone();
            async move { discovery.served(&widget("v1").gvk).await }
        });
        discovery.change(|known| {
            known.insert(("example.org".into(), "Widget".into()), vec![widget("v2")]);
        });
        assert_eq!(waiting.await.unwrap(), widget("v2"));
    }
}
