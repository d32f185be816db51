//! A Kustomization that takes another's place: one commit makes the one and takes the other away.

use std::time::Duration;

use serde_json::{Value, json};
use tests::observe::{OWNER, uid};
use tests::world::{KUSTOMIZE_API, NAMESPACE, condition};

use crate::{CLAIM, Scene, config_map};

/// A GitRepository and a Kustomization of this name, for the folder `app`.
fn application(name: &str, url: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec: {{interval: 1h, url: '{url}', ref: {{branch: main}}}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  interval: 1h
  retryInterval: 30m
  prune: true
  path: ./app
  sourceRef: {{kind: GitRepository, name: {name}}}
"
    )
}

/// A Kustomization `root` of the folder `cluster`, which has the application `old`; both are applied.
async fn cluster_with_old() -> Scene {
    let mut scene = Scene::new().await;
    let old = application("old", &scene.server.url("repo.git"));
    scene.upstream.write("cluster/application.yaml", old);
    scene
        .upstream
        .write("cluster/other.yaml", config_map("other", "1"));
    scene.world.git_repository("root", "main");
    scene.world.kustomization("root", "root", "./cluster", &json!({}));
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1")), ("claim.yaml", CLAIM)]);
    scene.world.start().await;
    for name in ["root", "old"] {
        scene.world.until_applied(name, &commit).await;
    }
    scene
}

/// Commits `new` in the place of `old`, with its source there.
fn rename(scene: &Scene, url: &str) -> String {
    scene
        .upstream
        .write("cluster/application.yaml", application("new", url));
    let commit = scene.upstream.commit_all("Rename the application");
    scene.world.poll("root", &commit);
    commit
}

fn of(scene: &Scene, kind: &str, name: &str) -> Option<Value> {
    scene.world.get("v1", kind, "default", name)
}

async fn until_old_is_gone(scene: &Scene) {
    scene
        .world
        .until_gone(KUSTOMIZE_API, "Kustomization", NAMESPACE, "old")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomization_that_is_renamed_together_with_its_source_keeps_its_objects() {
    let scene = cluster_with_old().await;
    let before = ["ConfigMap/a", "PersistentVolumeClaim/data"].map(|object| {
        let (kind, name) = object.split_once('/').unwrap();
        (kind, name, uid(&of(&scene, kind, name).unwrap()))
    });
    let commit = rename(&scene, &scene.server.url("repo.git"));
    scene.world.until_applied("new", &commit).await;
    until_old_is_gone(&scene).await;
    for (kind, name, uid_before) in before {
        let object = of(&scene, kind, name).expect("it is there");
        assert_eq!(uid(&object), uid_before, "{kind}/{name}");
        assert_eq!(object["metadata"]["labels"][OWNER], "new");
    }
}

/// A rename to a source that nobody serves, a minute later: `old` has said why it is still there.
async fn renamed_to_nowhere() -> (Scene, String) {
    let scene = cluster_with_old().await;
    rename(&scene, "http://127.0.0.1:1/repo.git");
    let failed = |object: &Value| condition(object, "Ready").is_some_and(|ready| ready["status"] == "False");
    let world = &scene.world;
    world
        .until(KUSTOMIZE_API, "Kustomization", NAMESPACE, "new", "failed", failed)
        .await;
    world.log().until("its objects stay until").await;
    assert_ne!(of(&scene, "ConfigMap", "a"), None);
    world.pass(Duration::from_secs(60));
    let message = world.until_failed("old", "PruneFailed").await;
    (scene, message)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_inherited_goes_after_a_minute_and_data_once_that_is_confirmed() {
    let (scene, message) = renamed_to_nowhere().await;
    let commit = scene.upstream.git(&["rev-parse", "HEAD^"]);
    assert_eq!(
        message,
        format!(
            "PersistentVolumeClaim/default/data is not deleted yet: Kustomization flux-system/new may want it, which \
             cannot be known while it cannot be built (the source of Kustomization flux-system/new has no artifact). \
             Mend that one; or, if PersistentVolumeClaim/default/data is to go with its data, run: kubectl annotate \
             kustomization --namespace flux-system old --overwrite coracle.dev/prune-confirm=main@sha1:{commit}"
        )
    );
    assert_eq!(of(&scene, "ConfigMap", "a"), None);
    scene.world.confirm_prune("old", &commit);
    until_old_is_gone(&scene).await;
    assert_eq!(of(&scene, "PersistentVolumeClaim", "data"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_waits_for_an_heir_is_inherited_once_its_source_is_mended() {
    let (scene, _) = renamed_to_nowhere().await;
    let before = uid(&of(&scene, "PersistentVolumeClaim", "data").unwrap());
    let commit = rename(&scene, &scene.server.url("repo.git"));
    scene.world.until_applied("new", &commit).await;
    until_old_is_gone(&scene).await;
    let claim = of(&scene, "PersistentVolumeClaim", "data").expect("it is there");
    assert_eq!(uid(&claim), before);
    assert_eq!(claim["metadata"]["labels"][OWNER], "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_to_nowhere_that_is_reverted_leaves_all_objects_as_they_were() {
    let scene = cluster_with_old().await;
    let before = ["ConfigMap/a", "PersistentVolumeClaim/data"].map(|object| {
        let (kind, name) = object.split_once('/').unwrap();
        (kind, name, uid(&of(&scene, kind, name).unwrap()))
    });
    rename(&scene, "http://127.0.0.1:1/repo.git");
    scene.world.log().until("its objects stay until").await;
    let commit = revert(&scene);
    for name in ["root", "old"] {
        scene.world.until_applied(name, &commit).await;
    }
    for (kind, name, uid_before) in before {
        let object = of(&scene, kind, name).expect("it is there");
        assert_eq!(uid(&object), uid_before, "{kind}/{name}");
        assert_eq!(object["metadata"]["labels"][OWNER], "old");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_to_nowhere_that_is_reverted_late_brings_back_what_went_and_keeps_the_data() {
    let (scene, _) = renamed_to_nowhere().await;
    let before = uid(&of(&scene, "PersistentVolumeClaim", "data").unwrap());
    let commit = revert(&scene);
    for name in ["root", "old"] {
        scene.world.until_applied(name, &commit).await;
    }
    assert_ne!(of(&scene, "ConfigMap", "a"), None);
    let claim = of(&scene, "PersistentVolumeClaim", "data").expect("it is there");
    assert_eq!(uid(&claim), before);
}

fn revert(scene: &Scene) -> String {
    scene.upstream.git(&["revert", "--no-edit", "HEAD"]);
    let commit = scene.upstream.head();
    scene.world.poll("root", &commit);
    commit
}
