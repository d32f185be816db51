//! What a revision or a deletion may remove, and what is confirmed first.

use embedded_cluster::HoldAt;
use serde_json::{Value, json};
use tests::world::NAMESPACE;

use crate::requests::{deletes, looks};
use crate::{Needs, Scene, config_map, held};

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_without_objects_stops_and_says_how_to_confirm() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    let commit = scene.push(&[("a.yaml", ""), ("kustomization.yaml", "namespace: default\n")]);
    let message = scene.world.until_failed("app", "PruneFailed").await;
    assert_eq!(
        message,
        format!(
            "revision main@sha1:{commit} has no objects at all, so all 1 in the inventory would be deleted, among them \
             ConfigMap/default/a; nothing was changed. If this is meant, run: kubectl annotate kustomization --namespace \
             flux-system app --overwrite coracle.dev/prune-confirm=main@sha1:{commit}"
        )
    );
    assert_eq!(scene.data("a")["key"], "1");
    scene.world.confirm_prune("app", &commit);
    scene.world.until_applied("app", &commit).await;
    assert_eq!(scene.data("a"), Value::Null);
    assert_eq!(scene.world.inventory("app"), Vec::<String>::new());
}

/// Twelve ConfigMaps: file and content.
fn twelve() -> Vec<(String, String)> {
    let names = (0..12).map(|number| format!("c{number:02}"));
    names
        .map(|name| (format!("{name}.yaml"), config_map(&name, "1")))
        .collect()
}

fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect()
}

/// The same files, removed.
fn removed<'a>(files: &[(&'a str, &str)]) -> Vec<(&'a str, &'static str)> {
    files.iter().map(|(path, _)| (*path, "")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_deletes_more_than_half_of_many_objects_stops_and_the_next_one_goes_on() {
    let files = twelve();
    let files = borrowed(&files);
    let scene = Scene::applied(&files, &json!({})).await;
    let commit = scene.push(&removed(&files[..7]));
    let message = scene.world.until_failed("app", "PruneFailed").await;
    assert!(
        message.starts_with(&format!(
            "revision main@sha1:{commit} would delete 7 of 12 objects, among them "
        )),
        "{message}"
    );
    assert_eq!(scene.world.labelled().len(), 12);
    // Just the half is not too much.
    scene.deploy(&[files[0]]).await;
    assert_eq!(scene.world.labelled().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_share_that_a_revision_may_delete_is_the_one_that_is_configured() {
    let files = twelve();
    let files = borrowed(&files);
    let mut scene = Scene::applied(&files, &json!({})).await;
    scene.world.stop().await;
    scene.world.configure(|config| config.prune_guard.share = 0.9);
    scene.world.start().await;
    scene.deploy(&removed(&files[..7])).await;
    assert_eq!(scene.world.labelled().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_prune_an_object_that_leaves_git_stays_and_is_forgotten() {
    let scene = Scene::applied(
        &[
            ("a.yaml", &config_map("a", "1")),
            ("b.yaml", &config_map("b", "1")),
        ],
        &json!({"prune": false}),
    )
    .await;
    let before = scene.world.get("v1", "ConfigMap", "default", "b").unwrap();
    let mark = scene.world.mark();
    scene.deploy(&[("b.yaml", "")]).await;
    assert_eq!(scene.world.inventory("app"), ["default_a__ConfigMap"]);
    // Nor is it pruned when pruning is allowed again: nothing remembers it.
    scene.world.respec("app", &json!({"prune": true}));
    scene.world.reconcile("app", "with prune").await;
    let requests = scene.world.since(mark);
    assert!(
        !requests.iter().any(|line| line.contains("default/b")),
        "{requests:#?}"
    );
    let after = scene.world.get("v1", "ConfigMap", "default", "b");
    assert_eq!(after, Some(before));
}

/// Whether the object of a Kustomization is there after its deletion.
async fn survives(spec: Value) -> bool {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &spec).await;
    scene.world.delete_kustomization("app").await;
    scene.data("a") != Value::Null
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_kustomization_takes_its_objects_along_as_its_policy_says() {
    let policies = [
        (json!({"prune": true}), false),
        (json!({"prune": false}), true),
        (json!({"prune": false, "deletionPolicy": "Delete"}), false),
        (json!({"prune": true, "deletionPolicy": "Orphan"}), true),
        (
            json!({"prune": true, "suspend": false, "deletionPolicy": "WaitForTermination"}),
            false,
        ),
    ];
    for (spec, stays) in policies {
        assert_eq!(survives(spec.clone()).await, stays, "{spec}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_kustomization_that_is_suspended_leaves_its_objects() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    scene.world.respec("app", &json!({"suspend": true}));
    scene.world.delete_kustomization("app").await;
    assert_eq!(scene.data("a")["key"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_for_termination_keeps_the_finalizer_until_the_objects_are_gone() {
    let scene = Scene::with(Needs::Faults)
        .applied(
            &[("a.yaml", &config_map("a", "1"))],
            &json!({"deletionPolicy": "WaitForTermination"}),
        )
        .await;
    let world = &scene.world;
    world.keep_by("a", &["example.org/hold"]);
    let mut holding = world
        .cluster
        .faults()
        .hold(deletes("configmaps").times(1), HoldAt::After);
    world
        .cluster
        .delete(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            NAMESPACE,
            "app",
        )
        .unwrap();
    held(&mut holding).await.release();
    let looks = looks("", "configmaps").name("a");
    let mut waiting = world.cluster.faults().hold(looks.times(1), HoldAt::After);
    let look = held(&mut waiting).await;
    assert_eq!(
        world.get_kustomization("app")["metadata"]["finalizers"],
        json!(["finalizers.fluxcd.io"])
    );
    world.keep_by("a", &[]);
    look.release();
    world
        .until_gone(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            NAMESPACE,
            "app",
        )
        .await;
}
