//! Rules 21 to 23: when runs happen, and which comes first.

use embedded_cluster::HoldAt;
use serde_json::{Value, json};
use tests::world::{KUSTOMIZE_API, NAMESPACE, condition};

use crate::requests::{looks, previews};
use crate::{Needs, Scene, config_map, held};

#[tokio::test(flavor = "multi_thread")]
async fn rule_21_a_cycle_of_dependencies_is_named() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    for (name, needs) in [("one", "two"), ("two", "three"), ("three", "one")] {
        scene
            .world
            .kustomization(name, "app", "./app", &json!({"dependsOn": [{"name": needs}]}));
    }
    let message = scene
        .world
        .when(KUSTOMIZE_API, "Kustomization", "the cycle", |world| {
            let one = world.get(KUSTOMIZE_API, "Kustomization", NAMESPACE, "one")?;
            let message = condition(&one, "Ready")?["message"].as_str()?.to_owned();
            message.contains("cycle").then_some(message)
        })
        .await;
    assert_eq!(
        message,
        "dependency cycle: flux-system/one -> flux-system/two -> flux-system/three -> flux-system/one; remove one of \
         these from spec.dependsOn"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_21_a_run_that_waits_for_an_object_to_go_holds_no_other_up() {
    let mut scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    scene.world.stop().await;
    scene.world = scene.world.configured(|config| config.concurrent = 1);
    scene.world.keep_by("a", &["example.org/hold"]);
    scene
        .world
        .cluster
        .delete("v1", "ConfigMap", "default", "a")
        .unwrap();
    // The first look is the preview's, the second waits.
    let looks = looks("", "configmaps").name("a");
    let mut holding = scene.faults().hold(looks.nth(2), HoldAt::After);
    scene.world.start().await;
    held(&mut holding).await.release();
    scene.upstream.write("marker/m.yaml", config_map("m", "1"));
    let marked = scene.push(&[]);
    scene.world.kustomization("marker", "app", "./marker", &json!({}));
    scene.world.until_applied("marker", &marked).await;
    assert!(scene.world.get("v1", "ConfigMap", "default", "a").is_some());
    scene.world.keep_by("a", &[]);
    scene.world.until_applied("app", &marked).await;
    assert_eq!(scene.data("a")["key"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_22_a_request_is_handled_on_success_and_on_failure() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    let handled = scene.world.reconcile("app", "not a time").await;
    assert_eq!(condition(&handled, "Ready").unwrap()["status"], "True");
    scene.push(&[("bad.yaml", &config_map("Bad_Name", "1"))]);
    scene.world.until_failed("app", "ReconciliationFailed").await;
    let handled = scene.world.reconcile("app", "another").await;
    assert_eq!(condition(&handled, "Ready").unwrap()["status"], "False");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_22_a_request_that_comes_during_a_run_is_run_for_after_it() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let preview = scene.held_at_its_preview("first").await;
    let mut second_run = scene.faults().hold(previews().name("a").times(1), HoldAt::Before);
    let mark = scene.world.mark();
    for token in ["second", "third"] {
        scene.world.request(KUSTOMIZE_API, "Kustomization", "app", token);
    }
    scene.until_seen_so_far().await;
    preview.release();
    let again = held(&mut second_run).await;
    // The first run is over, and has answered what it was asked for.
    assert_eq!(
        scene.world.get_kustomization("app")["status"]["lastHandledReconcileAt"],
        "first"
    );
    again.release();
    scene.world.until_handled("app", "third").await;
    scene.until_seen_so_far().await;
    let previews: Vec<String> = scene
        .world
        .since(mark)
        .into_iter()
        .filter(|line| line.contains("default/a (dry run)"))
        .collect();
    assert_eq!(previews.len(), 2, "{previews:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_22_a_suspended_kustomization_handles_nothing_and_catches_up_when_it_is_resumed() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    let world = &scene.world;
    world.respec("app", &json!({"suspend": true}));
    world.request(KUSTOMIZE_API, "Kustomization", "app", "while suspended");
    let commit = scene.push(&[("a.yaml", &config_map("a", "2"))]);
    world
        .edit(
            "v1",
            "ConfigMap",
            "default",
            "a",
            &json!({"data": {"key": "mine"}}),
        )
        .await;
    // Another Kustomization of the same source is reconciled meanwhile.
    world.kustomization("marker", "app", "./marker", &json!({}));
    scene.upstream.write("marker/m.yaml", config_map("m", "1"));
    let marked = scene.push(&[]);
    world.until_applied("marker", &marked).await;
    assert_eq!(scene.data("a")["key"], "mine");
    assert_eq!(
        world.get_kustomization("app")["status"]["lastHandledReconcileAt"],
        Value::Null
    );
    world.respec("app", &json!({"suspend": false}));
    world.until_handled("app", "while suspended").await;
    assert_eq!(scene.data("a")["key"], "2");
    assert_ne!(commit, marked);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_after_a_restart_those_that_failed_come_first() {
    let mut scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    scene.upstream.write("zulu/z.yaml", config_map("Bad_Name", "1"));
    scene.push(&[]);
    scene.world.kustomization("zulu", "app", "./zulu", &json!({}));
    scene.world.until_failed("zulu", "ReconciliationFailed").await;
    scene.world.stop().await;
    let mark = scene.world.mark();
    scene.world = scene.world.configured(|config| config.concurrent = 1);
    scene.world.start().await;
    scene.world.until_previewed("a", mark).await;
    let previews: Vec<String> = scene
        .world
        .since(mark)
        .into_iter()
        .filter(|line| line.contains("(dry run)"))
        .collect();
    assert_eq!(
        previews,
        [
            "patch configmaps default/Bad_Name (dry run) -> 422",
            "patch configmaps default/a (dry run) -> 200"
        ]
    );
}
