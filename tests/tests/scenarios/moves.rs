//! Rule 16: an object that moves from one Kustomization to another.

use serde_json::{Value, json};
use tests::observe::{OWNER, ids, uid};
use tests::world::{KUSTOMIZE_API, NAMESPACE};

use crate::{CLAIM, Scene, config_map};

/// Two Kustomizations, both applied: `old` with these files, and `new` with a ConfigMap of its own.
async fn old_and_new(old: &[(&str, &str)]) -> Scene {
    let mut scene = Scene::new().await;
    for (path, content) in old {
        scene.upstream.write(&format!("old/{path}"), content);
    }
    scene.upstream.write("new/b.yaml", config_map("b", "1"));
    let commit = scene.upstream.commit_all("Start");
    scene.world.git_repository("app", "main");
    for name in ["old", "new"] {
        scene
            .world
            .kustomization(name, "app", &format!("./{name}"), &json!({}));
    }
    scene.world.start().await;
    for name in ["old", "new"] {
        scene.world.until_applied(name, &commit).await;
    }
    scene
}

/// A claim that moves from `old` to `new` in one commit, with one of the two suspended until the other is done.
async fn move_a_claim(suspended: &str, first: &str) -> (Scene, String) {
    let scene = old_and_new(&[("claim.yaml", CLAIM), ("a.yaml", &config_map("a", "1"))]).await;
    let before = scene
        .world
        .get("v1", "PersistentVolumeClaim", "default", "data")
        .unwrap();
    scene.world.respec(suspended, &json!({"suspend": true}));
    scene.upstream.git(&["mv", "old/claim.yaml", "new/claim.yaml"]);
    let commit = scene.upstream.commit_all("Move the claim");
    scene.world.poll("app", "move");
    scene.world.until_applied(first, &commit).await;
    scene.world.respec(suspended, &json!({"suspend": false}));
    scene.world.until_applied(suspended, &commit).await;
    (scene, uid(&before))
}

async fn assert_moved(scene: &Scene, before: &str) {
    let after = scene
        .world
        .get("v1", "PersistentVolumeClaim", "default", "data")
        .expect("it is there");
    assert_eq!(uid(&after), before);
    assert_eq!(after["metadata"]["labels"][OWNER], "new");
    // It is forgotten here once it has arrived there.
    let forgotten = |object: &Value| ids(object) == ["default_a__ConfigMap"];
    scene
        .world
        .until(
            KUSTOMIZE_API,
            "Kustomization",
            NAMESPACE,
            "old",
            "without it",
            forgotten,
        )
        .await;
    assert_eq!(
        scene.world.inventory("new"),
        ["default_b__ConfigMap", "default_data__PersistentVolumeClaim"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_a_claim_that_moves_keeps_its_uid_when_the_old_owner_runs_first() {
    let (scene, before) = move_a_claim("new", "old").await;
    assert_moved(&scene, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_an_object_that_was_promised_to_one_that_never_takes_it_is_deleted_in_the_end() {
    let mut scene = Scene::new().await;
    scene.upstream.write("old/a.yaml", config_map("a", "1"));
    scene.upstream.write("old/m.yaml", config_map("m", "1"));
    scene.upstream.write("new/b.yaml", config_map("b", "1"));
    let commit = scene.upstream.commit_all("Start");
    scene.world.git_repository("app", "main");
    scene.world.kustomization("old", "app", "./old", &json!({}));
    scene
        .world
        .kustomization("new", "app", "./new", &json!({"suspend": true}));
    scene.world.start().await;
    scene.world.until_applied("old", &commit).await;
    scene.upstream.git(&["mv", "old/m.yaml", "new/m.yaml"]);
    let commit = scene.upstream.commit_all("Move it");
    scene.world.poll("app", "move");
    scene.world.until_applied("old", &commit).await;
    assert_eq!(
        scene.world.inventory("old"),
        ["default_a__ConfigMap", "default_m__ConfigMap"]
    );
    std::fs::remove_file(scene.upstream.work().join("new/m.yaml")).unwrap();
    let commit = scene.upstream.commit_all("Take it out");
    scene.world.poll("app", "out");
    scene.world.until_applied("old", &commit).await;
    assert_eq!(scene.data("m"), Value::Null);
    assert_eq!(scene.world.inventory("old"), ["default_a__ConfigMap"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_all_move_to_another_kustomization_need_no_confirmation() {
    let scene = old_and_new(&[("a.yaml", &config_map("a", "1"))]).await;
    scene.upstream.git(&["mv", "old/a.yaml", "new/a.yaml"]);
    scene.upstream.write("old/README.md", "All of it is in new.\n");
    let commit = scene.upstream.commit_all("Move all");
    scene.world.poll("app", "move");
    for name in ["old", "new"] {
        scene.world.until_applied(name, &commit).await;
    }
    let owner = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    assert_eq!(owner["metadata"]["labels"][OWNER], "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_a_claim_that_moves_keeps_its_uid_when_the_new_owner_runs_first() {
    let (scene, before) = move_a_claim("old", "new").await;
    assert_moved(&scene, &before).await;
}
