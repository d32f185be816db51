//! An API server that is in trouble for a moment: a commit becomes live all the same, and nothing is written twice.

use std::time::Duration;

use embedded_cluster::{Fault, HoldAt};
use serde_json::{Value, json};

use crate::requests::{applies, previews, requests};
use crate::{Needs, Scene, config_map, held};

/// A Kustomization `app` of two ConfigMaps, applied on a cluster whose faults can be chosen.
async fn scene() -> Scene {
    Scene::with(Needs::Faults).a_and_b().await
}

/// Commits other values of both, and a third ConfigMap.
fn push(scene: &Scene) -> String {
    scene.push(&[
        ("a.yaml", &config_map("a", "2")),
        ("b.yaml", &config_map("b", "2")),
        ("c.yaml", &config_map("c", "2")),
    ])
}

/// All three are as that commit has them, and each was written once. Gives what was asked for to that end.
async fn assert_written_once(scene: &Scene, commit: &str, mark: u64) -> Vec<String> {
    scene.world.until_applied("app", commit).await;
    // Whatever was to follow has been decided on.
    scene.until_seen_so_far().await;
    let mut asked = scene.world.since(mark);
    asked.retain(|line| line.starts_with("patch configmaps default/"));
    for (name, code) in [("a", 200), ("b", 200), ("c", 201)] {
        assert_eq!(scene.data(name)["key"], "2", "{name}");
        let written = format!("patch configmaps default/{name} -> 2");
        let written: Vec<&String> = asked.iter().filter(|line| line.starts_with(&written)).collect();
        assert_eq!(
            written,
            [&format!("patch configmaps default/{name} -> {code}")],
            "{asked:#?}"
        );
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_and_an_apply_that_the_server_fails_once_are_asked_for_again() {
    let scene = scene().await;
    for asked in [previews().name("a"), applies().name("b"), applies().name("c")] {
        scene.faults().add(asked.times(1), Fault::internal_error());
    }
    let mark = scene.world.mark();
    let commit = push(&scene);
    let asked = assert_written_once(&scene, &commit, mark).await;
    for refused in ["default/a (dry run)", "default/b", "default/c"] {
        let line = format!("patch configmaps {refused} -> 500");
        let times = asked.iter().filter(|asked| **asked == line).count();
        assert_eq!(times, 1, "{refused}: {asked:#?}");
    }
    assert_eq!(scene.world.warnings("app"), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_longer_than_it_is_asked_is_told_and_the_commit_is_live_when_it_is_tried_again() {
    let scene = scene().await;
    let refused = scene.faults().add(applies().name("b"), Fault::internal_error());
    let commit = push(&scene);
    let message = scene
        .until_failed_at("app", &commit, "ReconciliationFailed")
        .await;
    assert!(
        message.starts_with("ConfigMap/default/b (app/b.yaml:1): "),
        "{message}"
    );
    assert_eq!(scene.data("b")["key"], "1");
    refused.remove();
    let mark = scene.world.mark();
    // That is when it is due to be tried again.
    scene.world.pass(Duration::from_secs(30 * 60));
    scene.world.until_applied("app", &commit).await;
    assert_eq!(scene.data("b")["key"], "2");
    let mut writes = scene.world.writes_since(mark);
    writes.retain(|line| line.contains("configmaps"));
    assert_eq!(writes, ["patch configmaps default/b -> 200"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_waited_for() {
    let scene = scene().await;
    let slow = Fault::Delay(Duration::from_millis(200));
    let delayed = scene
        .faults()
        .add(requests().resource("", "configmaps").namespace("default"), slow);
    let mark = scene.world.mark();
    let commit = push(&scene);
    let asked = assert_written_once(&scene, &commit, mark).await;
    assert_eq!(asked.len(), 6, "three previews and three applies: {asked:#?}");
    assert!(delayed.matched() >= 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_break_in_the_middle_of_a_run_lose_nothing_and_have_nothing_written_again() {
    let scene = scene().await;
    // The watch is open when something is put back.
    let is = |value: &'static str| move |object: &Value| object["data"]["key"] == value;
    let mine = json!({"data": {"key": "mine"}});
    scene.world.edit("v1", "ConfigMap", "default", "a", &mine).await;
    scene
        .world
        .until("v1", "ConfigMap", "default", "a", "put back", is("1"))
        .await;
    let mut holding = scene.faults().hold(applies().name("c").times(1), HoldAt::After);
    let mark = scene.world.mark();
    let commit = push(&scene);
    let write = held(&mut holding).await;
    assert!(scene.faults().drop_watches(&requests()) > 3);
    write.release();
    assert_written_once(&scene, &commit, mark).await;
    // They are open again.
    for name in ["a", "c"] {
        scene.world.edit("v1", "ConfigMap", "default", name, &mine).await;
        scene
            .world
            .until("v1", "ConfigMap", "default", name, "put back", is("2"))
            .await;
    }
}
