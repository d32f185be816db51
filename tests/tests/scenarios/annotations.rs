//! What a mark on an object, in Git or on the live object, changes.

use serde_json::{Value, json};
use tests::observe::uid;

use crate::{Needs, Scene, config_map};

/// A ConfigMap with an annotation of Flux.
fn marked(name: &str, value: &str, key: &str, mark: &str) -> String {
    config_map(name, value).replace(
        "  namespace: default\n",
        &format!("  namespace: default\n  annotations:\n    kustomize.toolkit.fluxcd.io/{key}: {mark}\n"),
    )
}

fn mark(key: &str, value: Option<&str>) -> Value {
    json!({"metadata": {"annotations": {format!("kustomize.toolkit.fluxcd.io/{key}"): value}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn ssa_if_not_present_creates_an_object_and_never_changes_it() {
    let scene = Scene::applied(
        &[("a.yaml", &marked("a", "1", "ssa", "IfNotPresent"))],
        &json!({}),
    )
    .await;
    assert_eq!(scene.data("a")["key"], "1");
    scene
        .deploy(&[("a.yaml", &marked("a", "2", "ssa", "IfNotPresent"))])
        .await;
    assert_eq!(scene.data("a")["key"], "1");
    assert_eq!(scene.world.inventory("app"), ["default_a__ConfigMap"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ssa_ignore_leaves_an_object_to_others_and_keeps_it_when_it_leaves_git() {
    let scene = Scene::applied(
        &[
            ("a.yaml", &marked("a", "1", "ssa", "Ignore")),
            ("b.yaml", &config_map("b", "1")),
        ],
        &json!({"wait": true}),
    )
    .await;
    assert_eq!(scene.data("a"), Value::Null);
    scene.deploy(&[("a.yaml", &config_map("a", "1"))]).await;
    assert_eq!(scene.data("a")["key"], "1");
    scene
        .deploy(&[("a.yaml", &marked("a", "2", "ssa", "Ignore"))])
        .await;
    assert_eq!(scene.data("a")["key"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn ssa_merge_keeps_what_kubectl_added() {
    let mut scene = Scene::new().await;
    scene.world.cluster.apply(
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}, "data": {"by": "hand"}}),
        "kubectl",
    )
    .unwrap();
    let commit = scene.commit(&[("a.yaml", &marked("a", "1", "ssa", "Merge"))]);
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    assert_eq!(scene.data("a"), json!({"by": "hand", "key": "1"}));
    // Without the mark kubectl's fields are taken over, and so go.
    scene.deploy(&[("a.yaml", &config_map("a", "1"))]).await;
    scene.world.reconcile("app", "look").await;
    assert_eq!(scene.data("a"), json!({"key": "1"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_disabled_keeps_an_object_that_leaves_git() {
    let scene = Scene::applied(
        &[
            ("a.yaml", &marked("a", "1", "prune", "disabled")),
            ("b.yaml", &config_map("b", "1")),
        ],
        &json!({}),
    )
    .await;
    scene.deploy(&[("a.yaml", "")]).await;
    assert_eq!(scene.data("a")["key"], "1");
    assert_eq!(scene.world.inventory("app"), ["default_b__ConfigMap"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_disabled_in_git_leaves_an_object_alone() {
    let scene = Scene::with(Needs::Kubernetes).a_and_b().await;
    scene
        .deploy(&[("a.yaml", &marked("a", "2", "reconcile", "Disabled"))])
        .await;
    assert_eq!(scene.data("a")["key"], "1");
    scene.deploy(&[("a.yaml", &config_map("a", "3"))]).await;
    assert_eq!(scene.data("a")["key"], "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_disabled_on_the_live_object_holds_until_it_is_taken_away() {
    let scene = Scene::with(Needs::Kubernetes).a_and_b().await;
    let world = &scene.world;
    world
        .edit(
            "v1",
            "ConfigMap",
            "default",
            "a",
            &mark("reconcile", Some("disabled")),
        )
        .await;
    world
        .edit(
            "v1",
            "ConfigMap",
            "default",
            "a",
            &json!({"data": {"key": "mine"}}),
        )
        .await;
    // The watch of ConfigMaps shows this one later.
    world
        .edit(
            "v1",
            "ConfigMap",
            "default",
            "b",
            &json!({"data": {"key": "mine"}}),
        )
        .await;
    world
        .until("v1", "ConfigMap", "default", "b", "put back", |object| {
            object["data"]["key"] == "1"
        })
        .await;
    assert_eq!(scene.data("a")["key"], "mine");
    scene.deploy(&[("a.yaml", &config_map("a", "2"))]).await;
    assert_eq!(scene.data("a")["key"], "mine");
    world
        .edit("v1", "ConfigMap", "default", "a", &mark("reconcile", None))
        .await;
    world
        .until("v1", "ConfigMap", "default", "a", "as in Git", |object| {
            object["data"]["key"] == "2"
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn force_enabled_recreates_one_object_of_a_kustomization_without_force() {
    let sealed = |value: &str| format!("{}immutable: true\n", marked("a", value, "force", "enabled"));
    let scene = Scene::applied(&[("a.yaml", &sealed("1"))], &json!({})).await;
    let before = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    scene.deploy(&[("a.yaml", &sealed("2"))]).await;
    let after = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    assert_ne!(uid(&after), uid(&before));
    assert_eq!(after["data"]["key"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn substitute_disabled_leaves_variables_as_they_are() {
    let spec = json!({"postBuild": {"substitute": {"value": "one"}}});
    let scene = Scene::applied(
        &[
            ("a.yaml", &config_map("a", "${value}")),
            ("b.yaml", &marked("b", "${value}", "substitute", "disabled")),
        ],
        &spec,
    )
    .await;
    assert_eq!(
        (scene.data("a")["key"].as_str(), scene.data("b")["key"].as_str()),
        (Some("one"), Some("${value}"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_a_mark_keeps_us_from_holds_nobody_up() {
    let crd = |more: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: things.example.org\n{more}spec:\n  group: example.org\n  scope: Namespaced\n  names: {{kind: Thing, plural: things}}\n  versions:\n  - {{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}\n"
        )
    };
    let ignored = crd("  annotations:\n    kustomize.toolkit.fluxcd.io/ssa: IfNotPresent\n");
    let mut scene = Scene::new().await;
    let live = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.org"},
        "spec": {
            "group": "example.org", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    scene.world.apply(&live);
    let commit = scene.commit(&[("crd.yaml", &ignored), ("a.yaml", &config_map("a", "1"))]);
    scene.world.git_repository("app", "main");
    scene
        .world
        .kustomization("app", "app", "./app", &json!({"timeout": "10s"}));
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
}
