//! What people do every week.

use serde_json::json;

use crate::{Scene, config_map};

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_becomes_live_and_a_revert_takes_it_back() {
    let mut scene = Scene::new().await;
    let first = scene.upstream.commit("app/config.yaml", &config_map("settings", "one"));
    let world = &mut scene.world;
    world.git_repository("app", "main");
    world.kustomization("app", "app", "./app", &json!({}));
    world.start().await;
    world.until_applied("app", &first).await;
    assert_eq!(world.get("v1", "ConfigMap", "default", "settings").unwrap()["data"]["key"], "one");

    let second = scene.upstream.commit("app/config.yaml", &config_map("settings", "two"));
    world.poll("app", "1");
    world.until_applied("app", &second).await;
    assert_eq!(world.get("v1", "ConfigMap", "default", "settings").unwrap()["data"]["key"], "two");

    scene.upstream.git(&["revert", "--no-edit", "HEAD"]);
    let third = scene.upstream.head();
    world.poll("app", "2");
    world.until_applied("app", &third).await;
    assert_eq!(world.get("v1", "ConfigMap", "default", "settings").unwrap()["data"]["key"], "one");
    world.stop().await;
}
