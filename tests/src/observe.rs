//! What a scenario sees: requests of the controller, inventories, events, everything that carries our labels.

use embedded_cluster::RequestKey;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::world::{NAMESPACE, PATIENCE, World, resource};

/// The label that names the owner of an object.
pub const OWNER: &str = "kustomize.toolkit.fluxcd.io/name";
/// The label that says where that one is.
pub const OWNER_NAMESPACE: &str = "kustomize.toolkit.fluxcd.io/namespace";
/// Kinds whose objects scenarios put into Git.
const KINDS: [(&str, &str); 7] = [
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "Namespace"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
];

impl World {
    /// A mark for [`World::since`].
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.cluster.mark()
    }

    /// What the controller asked for since a mark, in the order of completion, but for what it does for itself
    /// (leases, the look for Flux, watches and the lists they begin with) and for events, which are sent in the
    /// background.
    #[must_use]
    pub fn requests_since(&self, mark: u64) -> Vec<RequestKey> {
        let log = self.cluster.requests_since(mark);
        log.into_iter()
            .filter(|key| key.user_agent == "coracle" && !is_for_itself(key))
            .collect()
    }

    /// As [`World::requests_since`], a line each.
    #[must_use]
    pub fn since(&self, mark: u64) -> Vec<String> {
        self.requests_since(mark)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// Writes of the controller since a mark.
    #[must_use]
    pub fn writes_since(&self, mark: u64) -> Vec<String> {
        self.requests_since(mark)
            .iter()
            .filter(|key| key.writes())
            .map(ToString::to_string)
            .collect()
    }

    /// What the watches of the controller asked for since a mark, a line each; a watch counts when it ends.
    #[must_use]
    pub fn requests_of_watches(&self, mark: u64) -> Vec<String> {
        let log = self.cluster.requests_since(mark);
        let of_a_watch = |key: &&RequestKey| {
            let verb = key.verb.map_or("", embedded_cluster::Verb::name);
            key.user_agent == "coracle" && matches!(verb, "list" | "watch")
        };
        log.iter().filter(of_a_watch).map(ToString::to_string).collect()
    }

    /// Waits, by what the controller asks for, until a look at its requests finds what is wanted.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn until_seen(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let mut arrivals = self.cluster.arrivals();
        let look = async {
            while !wanted(self) {
                arrivals.next().await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, look).await;
        assert!(seen.is_ok(), "this was not seen: {what}");
    }

    /// How often a Kustomization was run; each run renders once.
    ///
    /// # Panics
    /// When metrics cannot be read.
    #[must_use]
    pub fn runs(&self, kustomization: &str) -> u64 {
        let name = format!("name=\"{kustomization}\"");
        let text = self.metrics().encode().unwrap();
        let line = text.lines().find(|line| {
            line.starts_with("gotk_reconcile_duration_seconds_count")
                && line.contains("kind=\"Kustomization\"")
                && line.contains(&name)
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or(0)
    }

    /// The ids in the inventory of a Kustomization.
    #[must_use]
    pub fn inventory(&self, kustomization: &str) -> Vec<String> {
        ids(&self.get_kustomization(kustomization))
    }

    /// The inventory ids of all objects that carry the labels of some Kustomization, sorted.
    #[must_use]
    pub fn labelled(&self) -> Vec<String> {
        let mut ids: Vec<String> = KINDS
            .iter()
            .flat_map(|(api_version, kind)| self.cluster.list(api_version, kind, ""))
            .filter(|object| {
                object
                    .pointer("/metadata/labels")
                    .is_some_and(|labels| labels.get(OWNER).is_some())
            })
            .map(|object| inventory_id(&object))
            .collect();
        ids.sort();
        ids
    }

    /// Messages of the events about an object of `flux-system`, in order.
    #[must_use]
    pub fn events(&self, name: &str) -> Vec<String> {
        self.said(name, None)
    }

    /// The same of the events that warn.
    #[must_use]
    pub fn warnings(&self, name: &str) -> Vec<String> {
        self.said(name, Some("Warning"))
    }

    fn said(&self, name: &str, type_: Option<&str>) -> Vec<String> {
        let wanted = |event: &&Value| {
            event.pointer("/involvedObject/name") == Some(&json!(name))
                && type_.is_none_or(|type_| event["type"] == type_)
        };
        let message = |event: &Value| event["message"].as_str().unwrap_or_default().to_owned();
        self.cluster
            .list("v1", "Event", NAMESPACE)
            .iter()
            .filter(wanted)
            .map(message)
            .collect()
    }

    /// Waits, by events of objects of one kind, until a look at the world finds something.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn when<T>(
        &self,
        api_version: &str,
        kind: &str,
        what: &str,
        look: impl Fn(&Self) -> Option<T>,
    ) -> T {
        let objects: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource(api_version, kind));
        let search = async {
            let mut events = watcher::watcher(objects, watcher::Config::default()).boxed();
            loop {
                if let Some(found) = look(self) {
                    return found;
                }
                // A watch that broke opens itself again.
                let _ = events.try_next().await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, search).await;
        found.unwrap_or_else(|_| panic!("this did not come: {what}"))
    }

    /// Waits for an event about an object of `flux-system`, and gives its message.
    pub async fn until_event(&self, name: &str, part: &str) -> String {
        let look = |world: &Self| {
            world
                .events(name)
                .into_iter()
                .find(|message| message.contains(part))
        };
        self.when(
            "v1",
            "Event",
            &format!("an event about {name} with `{part}`"),
            look,
        )
        .await
    }

    /// Waits until a Kustomization's inventory holds just these.
    pub async fn until_inventory(&self, kustomization: &str, wanted: &[&str]) {
        let what = format!("an inventory of {wanted:?}");
        let look = |world: &Self| (world.inventory(kustomization) == wanted).then_some(());
        self.when("kustomize.toolkit.fluxcd.io/v1", "Kustomization", &what, look)
            .await;
    }

    /// Waits until a request of a Kustomization (`reconcile.fluxcd.io/requestedAt`) is handled.
    pub async fn until_handled(&self, kustomization: &str, token: &str) -> Value {
        let what = format!("the handling of {token}");
        self.until(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            NAMESPACE,
            kustomization,
            &what,
            |object| object.pointer("/status/lastHandledReconcileAt") == Some(&json!(token)),
        )
        .await
    }

    /// Asks for a run of a Kustomization, as `flux reconcile kustomization` does, and waits for its end.
    pub async fn reconcile(&self, kustomization: &str, token: &str) -> Value {
        self.request(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            kustomization,
            token,
        );
        self.until_handled(kustomization, token).await
    }

    /// Has a GitRepository look at its branch and waits until it has.
    pub async fn poll_and_wait(&self, source: &str, token: &str) {
        self.poll(source, token);
        self.until(
            "source.toolkit.fluxcd.io/v1",
            "GitRepository",
            NAMESPACE,
            source,
            "looked at",
            |object| object.pointer("/status/lastHandledReconcileAt") == Some(&json!(token)),
        )
        .await;
    }

    /// Waits until a Kustomization was run this often.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn until_runs(&self, kustomization: &str, number: u64) {
        let look = async {
            while self.runs(kustomization) < number {
                tokio::task::yield_now().await;
            }
        };
        assert!(
            tokio::time::timeout(PATIENCE, look).await.is_ok(),
            "{kustomization} was not run {number} times"
        );
    }

    /// Waits until the controller has previewed an object since a mark.
    pub async fn until_previewed(&self, name: &str, mark: u64) {
        let is_preview = |key: &RequestKey| key.dry_run && key.name == name;
        let previewed = |world: &Self| world.requests_since(mark).iter().any(is_preview);
        self.until_seen(&format!("a preview of {name}"), previewed).await;
    }

    /// Changes fields of a Kustomization's spec.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn respec(&self, kustomization: &str, spec: &Value) {
        self.amend(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            NAMESPACE,
            kustomization,
            &json!({"spec": spec}),
        );
    }

    /// Confirms that a revision of branch `main` may prune what it would, as the condition says how to.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn confirm_prune(&self, kustomization: &str, commit: &str) {
        self.amend(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            NAMESPACE,
            kustomization,
            &json!({"metadata": {"annotations": {"coracle.dev/prune-confirm": format!("main@sha1:{commit}")}}}),
        );
    }

    /// Changes an object by a merge patch, at once.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn amend(&self, api_version: &str, kind: &str, namespace: &str, name: &str, patch: &Value) {
        let mut object = patch.clone();
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        object["metadata"]["name"] = json!(name);
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = json!(namespace);
        }
        self.cluster.merge(&object, "somebody").unwrap();
    }

    /// Has these finalizers, and no others, keep a ConfigMap of namespace `default` from going.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn keep_by(&self, config_map: &str, finalizers: &[&str]) {
        let kept = json!({"metadata": {"finalizers": finalizers}});
        self.amend("v1", "ConfigMap", "default", config_map, &kept);
    }

    /// Deletes a Kustomization and waits until it is gone.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub async fn delete_kustomization(&self, name: &str) {
        self.cluster
            .delete("kustomize.toolkit.fluxcd.io/v1", "Kustomization", NAMESPACE, name)
            .unwrap();
        self.until_gone("kustomize.toolkit.fluxcd.io/v1", "Kustomization", NAMESPACE, name)
            .await;
    }
}

fn is_for_itself(key: &RequestKey) -> bool {
    let looks_for_flux = key.resource == "deployments" && key.name.ends_with("-controller");
    // Runs list what belongs to a workload, by labels; what is asked for by name is a watch's.
    let of_a_watch = key.namespace.is_empty()
        || !key.name.is_empty()
        || key.resource == "configmaps"
        || key.resource == "secrets";
    let follows = key
        .verb
        .is_some_and(|verb| verb.name() == "watch" || (verb.name() == "list" && of_a_watch));
    key.resource == "leases" || key.resource == "events" || looks_for_flux || follows || key.verb.is_none()
}

/// The ids in the inventory of a Kustomization.
#[must_use]
pub fn ids(kustomization: &Value) -> Vec<String> {
    let entries = kustomization
        .pointer("/status/inventory/entries")
        .and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["id"].as_str().map(ToOwned::to_owned))
        .collect()
}

/// The id of an object as an inventory has it.
#[must_use]
pub fn inventory_id(object: &Value) -> String {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let api_version = text("/apiVersion");
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    format!(
        "{}_{}_{group}_{}",
        text("/metadata/namespace"),
        text("/metadata/name"),
        text("/kind")
    )
}

/// The uid of an object.
#[must_use]
pub fn uid(object: &Value) -> String {
    object
        .pointer("/metadata/uid")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
