//! Rule 25: what is written about a Kustomization, and by whom.

use embedded_cluster::HoldAt;
use serde_json::{Value, json};
use tests::world::{KUSTOMIZE_API, NAMESPACE};

use crate::requests::statuses;
use crate::{Needs, Scene, config_map, held};

#[tokio::test(flavor = "multi_thread")]
async fn rule_25_a_status_is_written_whole_by_the_manager_of_flux() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({"wait": true})).await;
    let mut status = scene.world.get_kustomization("app")["status"].clone();
    for condition in status["conditions"].as_array_mut().unwrap() {
        condition["lastTransitionTime"] = json!("TIME");
    }
    for key in [
        "digest",
        "firstReconciled",
        "lastReconciled",
        "lastReconciledDuration",
    ] {
        status["history"][0][key] = json!(key);
    }
    let text = serde_json::to_string_pretty(&status).unwrap();
    insta::assert_snapshot!(text.replace(&scene.upstream.head(), "COMMIT"));
    let object = scene.world.get_kustomization("app");
    let managers: Vec<(&str, &str)> = object["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["manager"].as_str().unwrap(),
                entry["subresource"].as_str().unwrap_or_default(),
            )
        })
        .filter(|(manager, _)| manager.starts_with("gotk"))
        .collect();
    assert_eq!(
        managers,
        [
            ("gotk-kustomize-controller", ""),
            ("gotk-kustomize-controller", "status")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_25_the_generation_of_the_runs_start_is_observed() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let preview = scene.held_at_its_preview("first").await;
    scene.world.respec("app", &json!({"interval": "2h"}));
    scene.until_seen_so_far().await;
    let mut written = scene.faults().hold(statuses().name("app"), HoldAt::After);
    preview.release();
    // A write that is refused since the object has changed is sent again.
    let object = loop {
        let write = held(&mut written).await;
        let object = scene.world.get_kustomization("app");
        write.release();
        if object["status"]["lastHandledReconcileAt"] == "first" {
            break object;
        }
    };
    drop(written);
    assert_eq!(object["metadata"]["generation"], 2);
    assert_eq!(object["status"]["observedGeneration"], 1);
    let both = |object: &Value| object["status"]["observedGeneration"] == object["metadata"]["generation"];
    scene
        .world
        .until(KUSTOMIZE_API, "Kustomization", NAMESPACE, "app", "observed", both)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_25_a_kustomization_that_nobody_looked_at_has_observed_generation_minus_one() {
    let scene = Scene::new().await;
    scene
        .world
        .kustomization("app", "app", "./app", &json!({"suspend": true}));
    assert_eq!(
        scene.world.get_kustomization("app")["status"],
        json!({"observedGeneration": -1})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_25_finalizers_of_others_stay() {
    let mut scene = Scene::new().await;
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    let world = &mut scene.world;
    world.git_repository("app", "main");
    world.kustomization("app", "app", "./app", &json!({}));
    world.amend(
        KUSTOMIZE_API,
        "Kustomization",
        NAMESPACE,
        "app",
        &json!({"metadata": {"finalizers": ["example.org/theirs"]}}),
    );
    world.start().await;
    world.until_applied("app", &commit).await;
    let finalizers = |world: &tests::World| world.get_kustomization("app")["metadata"]["finalizers"].clone();
    assert_eq!(
        finalizers(world),
        json!(["example.org/theirs", "finalizers.fluxcd.io"])
    );
    world
        .cluster
        .delete(KUSTOMIZE_API, "Kustomization", NAMESPACE, "app")
        .unwrap();
    let theirs = |object: &Value| object["metadata"]["finalizers"] == json!(["example.org/theirs"]);
    world
        .until(KUSTOMIZE_API, "Kustomization", NAMESPACE, "app", "let go", theirs)
        .await;
    assert_eq!(scene.data("a"), Value::Null);
}
