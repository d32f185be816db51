//! What happens around the objects: the server, its admission, definitions and namespaces change, appear and go.
//!
//! The intervals of all Kustomizations here are an hour, and half an hour after a failure: what happens within the
//! patience of a scenario has not waited for them.

use std::time::Duration;

use embedded_cluster::{Fault, Verb};
use serde_json::{Value, json};
use tests::observe::uid;
use tests::world::KUSTOMIZE_API;

use crate::requests::{applies, requests};
use crate::{Needs, Scene, config_map};

const DEFINITION: &str = "CustomResourceDefinition";
const DEFINITIONS: &str = "apiextensions.k8s.io/v1";
const WIDGETS: &str = "widgets.example.org";
const WIDGET: &str = "\
apiVersion: example.org/v1
kind: Widget
metadata: {name: w, namespace: default}
spec: {size: 1}
";

/// The definition of Widgets; a description makes one of it that differs.
fn definition(description: &str) -> Value {
    json!({
        "apiVersion": DEFINITIONS, "kind": DEFINITION, "metadata": {"name": WIDGETS},
        "spec": {
            "group": "example.org", "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object", "description": description,
                    "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                }},
            }],
        },
    })
}

/// Configuration of admission that asks for nothing the cluster would do.
fn webhooks(seconds: u32) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "policies"},
        "webhooks": [{
            "name": "policies.example.org", "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [{"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothings"]}],
            "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": seconds,
        }],
    })
}

impl Scene {
    /// The definition of Widgets is installed by somebody, and served.
    async fn install_widgets(&self) {
        self.world.apply(&definition(""));
        self.until_widgets_are_served().await;
    }

    async fn until_widgets_are_served(&self) {
        let established = |crd: &Value| {
            tests::world::condition(crd, "Established").is_some_and(|condition| condition["status"] == "True")
        };
        self.world
            .until(DEFINITIONS, DEFINITION, "", WIDGETS, "established", established)
            .await;
    }

    fn widget(&self) -> Option<Value> {
        self.world.get("example.org/v1", "Widget", "default", "w")
    }

    fn delete_definition(&self) {
        self.world
            .cluster
            .delete(DEFINITIONS, DEFINITION, "", WIDGETS)
            .unwrap();
    }

    /// Waits until there is a Widget other than this one.
    async fn until_widget_is_back(&self, before: &Value) -> Value {
        self.world
            .when("v1", "Event", "the Widget is back", |_| {
                self.widget().filter(|widget| uid(widget) != uid(before))
            })
            .await
    }

    fn writes_statuses_only(&self, mark: u64) {
        let writes = self.world.writes_since(mark);
        let is_status = |write: &String| write.contains("kustomizations.kustomize.toolkit.fluxcd.io/status");
        assert!(writes.iter().all(is_status), "{writes:#?}");
    }

    /// Somebody changes the Widget, and that is put back: it is watched.
    async fn widget_is_watched(&self) {
        let world = &self.world;
        let patch = json!({"spec": {"size": 2}});
        world
            .edit("example.org/v1", "Widget", "default", "w", &patch)
            .await;
        let right = |object: &Value| object["spec"]["size"] == 1;
        world
            .until("example.org/v1", "Widget", "default", "w", "put back", right)
            .await;
    }
}

/// A scene with a Kustomization `app`, and a second one `other` of a ConfigMap `o`; both are applied.
async fn two(needs: Needs, files: &[(&str, &str)], debounce: Duration) -> Scene {
    let mut scene = Scene::with(needs).empty().await;
    scene.world = scene.world.configured(|config| {
        config.debounce = debounce;
        // A third of it is between two looks at the version.
        config.lease_duration = Duration::from_secs(6);
    });
    scene.install_widgets().await;
    scene.upstream.write("other/o.yaml", config_map("o", "1"));
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.kustomization("other", "app", "./other", &json!({}));
    let commit = scene.commit(files);
    scene.world.start().await;
    for name in ["app", "other"] {
        scene.world.until_applied(name, &commit).await;
        scene.world.until_runs(name, 1).await;
    }
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_a_new_version_of_the_server_has_everything_checked() {
    let scene = two(
        Needs::Upgrade,
        &[("a.yaml", &config_map("a", "1"))],
        Duration::from_millis(100),
    )
    .await;
    let mark = scene.world.mark();
    scene.world.cluster.say_version("v1.99.0");
    scene.world.until_previewed("a", mark).await;
    scene.world.until_previewed("o", mark).await;
    scene.world.until_runs("app", 2).await;
    scene.writes_statuses_only(mark);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_a_burst_of_changes_of_admission_has_everything_checked_once() {
    let scene = two(
        Needs::Kubernetes,
        &[("a.yaml", &config_map("a", "1"))],
        Duration::from_secs(2),
    )
    .await;
    for seconds in 1..=5 {
        scene.world.apply(&webhooks(seconds));
    }
    scene.world.until_runs("app", 2).await;
    scene.world.until_runs("other", 2).await;
    scene.world.reconcile("app", "after").await;
    scene.world.until_runs("app", 3).await;
    assert_eq!(scene.world.runs("app"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_a_changed_definition_has_those_checked_who_own_objects_of_its_kind() {
    let scene = two(
        Needs::Kubernetes,
        &[("w.yaml", WIDGET)],
        Duration::from_millis(100),
    )
    .await;
    let mark = scene.world.mark();
    scene.world.apply(&definition("Changed."));
    scene.world.until_previewed("w", mark).await;
    scene.world.until_runs("app", 2).await;
    assert_eq!(scene.world.runs("other"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_what_a_run_writes_of_definitions_and_admission_leads_to_one_check_and_not_to_another() {
    let scene = two(
        Needs::Upgrade,
        &[("a.yaml", &config_map("a", "1"))],
        Duration::from_millis(100),
    )
    .await;
    scene
        .deploy(&[
            ("crd.yaml", &definition("Ours.").to_string()),
            ("webhooks.yaml", &webhooks(1).to_string()),
            ("w.yaml", WIDGET),
        ])
        .await;
    // The run itself, and the check after it.
    scene.world.until_runs("app", 3).await;
    scene.world.until_runs("other", 2).await;
    let mark = scene.world.mark();
    scene.world.cluster.say_version("v1.99.0");
    scene.world.until_runs("app", 4).await;
    scene.world.until_runs("other", 3).await;
    scene.world.reconcile("app", "after").await;
    scene.world.until_runs("app", 5).await;
    assert_eq!(scene.world.runs("app"), 5);
    scene.writes_statuses_only(mark);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_for_a_kind_that_was_not_served_runs_when_it_is() {
    let mut scene = Scene::new().await;
    let commit = scene.commit(&[("w.yaml", WIDGET)]);
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    let told = scene
        .world
        .until_told(KUSTOMIZE_API, "Kustomization", "app", "ReconciliationFailed")
        .await;
    assert!(told.contains("no matches for kind \"Widget\""), "{told}");
    scene.world.apply(&definition(""));
    scene.world.until_applied("app", &commit).await;
    assert!(scene.widget().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_for_a_namespace_that_did_not_exist_runs_when_it_does() {
    let mut scene = Scene::new().await;
    let config = config_map("a", "1").replace("namespace: default", "namespace: shop");
    let commit = scene.commit(&[("a.yaml", &config)]);
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    let told = scene
        .world
        .until_told(KUSTOMIZE_API, "Kustomization", "app", "ReconciliationFailed")
        .await;
    assert!(told.contains("namespaces \"shop\" not found"), "{told}");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    scene.world.apply(&namespace);
    scene.world.until_applied("app", &commit).await;
    assert!(scene.world.get("v1", "ConfigMap", "shop", "a").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_deleted_by_hand_comes_back_with_its_objects_and_their_watch() {
    let crd = definition("").to_string();
    let scene = Scene::applied(&[("crd.yaml", &crd), ("w.yaml", WIDGET)], &json!({})).await;
    scene.widget_is_watched().await;
    let before = scene.widget().unwrap();
    scene.delete_definition();
    scene.until_widget_is_back(&before).await;
    scene.widget_is_watched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_that_another_kustomization_holds() {
    let mut scene = Scene::new().await;
    scene.upstream.write("crds/crd.yaml", definition("").to_string());
    let commit = scene.commit(&[("w.yaml", WIDGET)]);
    scene.world.git_repository("app", "main");
    scene.world.kustomization("crds", "app", "./crds", &json!({}));
    scene
        .world
        .kustomization("app", "app", "./app", &json!({"dependsOn": [{"name": "crds"}]}));
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    scene.widget_is_watched().await;
    let before = scene.widget().unwrap();
    scene.delete_definition();
    scene.until_widget_is_back(&before).await;
    scene.widget_is_watched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_whose_definition_somebody_deletes_are_back_when_somebody_installs_it_again() {
    let scene = two(
        Needs::Kubernetes,
        &[("w.yaml", WIDGET)],
        Duration::from_millis(100),
    )
    .await;
    scene.widget_is_watched().await;
    let before = scene.widget().unwrap();
    scene.delete_definition();
    scene.world.until_failed("app", "ReconciliationFailed").await;
    scene.world.until_gone(DEFINITIONS, DEFINITION, "", WIDGETS).await;
    scene.world.apply(&definition(""));
    scene.until_widget_is_back(&before).await;
    scene.widget_is_watched().await;
}

/// In the words of an API server that has started before it knew any role.
const NO_ROLES_YET: &str = "configmaps is forbidden: User \"system:serviceaccount:flux-system:coracle\" cannot list \
                            resource \"configmaps\" in API group \"\" at the cluster scope";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_denies_that_has_just_started_is_asked_for_again_soon() {
    let mut scene = Scene::with(Needs::Faults).empty().await;
    let lists = requests().verb(Verb::List).resource("", "configmaps");
    let applies = applies().resource("", "configmaps");
    for match_ in [lists, applies] {
        scene
            .faults()
            .add(match_.times(1), Fault::forbidden(NO_ROLES_YET));
    }
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    assert!(!scene.world.log().text().contains("ERROR"));

    // Its watch was denied, and is opened again before rights could have changed.
    assert!(scene.world.log().text().contains("may not be watched"));
    let patch = json!({"data": {"key": "2"}});
    scene.world.edit("v1", "ConfigMap", "default", "a", &patch).await;
    let corrected = |object: &Value| object["data"]["key"] == "1";
    scene
        .world
        .until("v1", "ConfigMap", "default", "a", "corrected", corrected)
        .await;
}
