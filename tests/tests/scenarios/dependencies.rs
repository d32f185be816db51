//! `dependsOn`: a chain moves on by events, and what it waits for is named.

use serde_json::json;
use tests::world::{KUSTOMIZE_API, NAMESPACE, condition};

use crate::{Scene, config_map};

/// A repository with a folder for each name, each of one ConfigMap, and a GitRepository `app`.
async fn scene_of(names: &[&str]) -> Scene {
    let scene = Scene::new().await;
    for name in names {
        scene
            .upstream
            .write(&format!("{name}/config.yaml"), config_map(name, "one"));
    }
    scene.upstream.commit_all("Begin");
    scene.world.git_repository("app", "main");
    scene
}

fn depends_on(name: &str) -> serde_json::Value {
    json!({"dependsOn": [{"name": name}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_applied_in_order_and_each_link_starts_when_the_one_before_is_ready() {
    let names = ["a", "b", "c", "d", "e"];
    let mut scene = scene_of(&names).await;
    let world = &mut scene.world;
    world.kustomization("a", "app", "./a", &json!({"wait": true}));
    for pair in names.windows(2) {
        let spec = json!({"dependsOn": [{"name": pair[0]}], "wait": true});
        world.kustomization(pair[1], "app", &format!("./{}", pair[1]), &spec);
    }
    world.start().await;
    world.until_applied("e", &scene.upstream.head()).await;
    let created = |name: &str| {
        let version =
            scene.world.get("v1", "ConfigMap", "default", name).unwrap()["metadata"]["resourceVersion"]
                .clone();
        version.as_str().unwrap().parse::<u64>().unwrap()
    };
    let order: Vec<u64> = names.iter().map(|name| created(name)).collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_goes_down_the_chain_one_after_the_other() {
    let mut scene = scene_of(&["a", "b"]).await;
    scene.world.kustomization("a", "app", "./a", &json!({}));
    scene.world.kustomization("b", "app", "./b", &depends_on("a"));
    scene.world.start().await;
    scene.world.until_applied("b", &scene.upstream.head()).await;
    scene.upstream.write("a/config.yaml", config_map("a", "two"));
    scene.upstream.write("b/config.yaml", config_map("b", "two"));
    let commit = scene.push_all();
    scene.world.until_applied("b", &commit).await;
    assert_eq!(scene.world.value("a", "key").unwrap(), "two");
    assert_eq!(scene.world.value("b", "key").unwrap(), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_a_failed_one_waits_names_it_and_goes_on_when_it_is_mended() {
    let mut scene = scene_of(&["a", "b"]).await;
    scene.world.kustomization("a", "app", "./absent", &json!({}));
    scene.world.kustomization("b", "app", "./b", &depends_on("a"));
    scene.world.start().await;
    let told = scene
        .world
        .until_told(KUSTOMIZE_API, "Kustomization", "b", "DependencyNotReady")
        .await;
    assert_eq!(told, "dependency 'flux-system/a' is not ready");
    assert_eq!(scene.world.value("b", "key"), None);
    scene.world.kustomization("a", "app", "./a", &json!({}));
    scene.world.until_applied("b", &scene.upstream.head()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_that_is_suspended_while_it_is_ready_stays_so() {
    let mut scene = scene_of(&["a", "b"]).await;
    scene.world.kustomization("a", "app", "./a", &json!({}));
    scene.world.kustomization("b", "app", "./b", &depends_on("a"));
    scene.world.start().await;
    scene.world.until_applied("b", &scene.upstream.head()).await;
    scene.world.respec("a", &json!({"suspend": true}));
    let prefixed = json!({"dependsOn": [{"name": "a"}], "namePrefix": "new-"});
    scene.world.kustomization("b", "app", "./b", &prefixed);
    scene
        .world
        .until_inventory("b", &["default_new-b__ConfigMap"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_that_does_not_exist_is_named_and_waited_for() {
    let mut scene = scene_of(&["a", "b"]).await;
    scene.world.kustomization("b", "app", "./b", &depends_on("a"));
    scene.world.start().await;
    let told = scene
        .world
        .until_told(KUSTOMIZE_API, "Kustomization", "b", "DependencyNotReady")
        .await;
    assert_eq!(told, "dependency 'flux-system/a' not found");
    scene.world.kustomization("a", "app", "./a", &json!({}));
    scene.world.until_applied("b", &scene.upstream.head()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_of_dependencies_is_told_to_each_of_its_members_with_the_way_around() {
    let mut scene = scene_of(&["a", "b", "c", "d"]).await;
    scene.world.kustomization("a", "app", "./a", &depends_on("c"));
    scene.world.kustomization("b", "app", "./b", &depends_on("a"));
    scene.world.kustomization("c", "app", "./c", &depends_on("b"));
    // It waits for the cycle and is not part of it.
    scene.world.kustomization("d", "app", "./d", &depends_on("c"));
    scene.world.start().await;
    let around = |way: &str| {
        let way: Vec<String> = way.split(' ').map(|name| format!("flux-system/{name}")).collect();
        format!(
            "dependency cycle: {}; remove one of these from spec.dependsOn",
            way.join(" -> ")
        )
    };
    for (name, cycle) in [
        ("a", around("a c b a")),
        ("b", around("b a c b")),
        ("c", around("c b a c")),
        ("d", "dependency 'flux-system/c' is not ready".to_owned()),
    ] {
        let object = scene
            .world
            .until(
                KUSTOMIZE_API,
                "Kustomization",
                NAMESPACE,
                name,
                "told",
                |object| {
                    condition(object, "Ready").is_some_and(|c| {
                        c["reason"] == "DependencyNotReady"
                            && (name == "d" || c["message"].as_str().is_some_and(|m| m.contains("cycle")))
                    })
                },
            )
            .await;
        let message = condition(&object, "Ready").unwrap()["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(message, cycle, "{name}");
        scene
            .world
            .until_event_says("Kustomization", name, "DependencyNotReady", &message)
            .await;
    }
    scene
        .world
        .kustomization("a", "app", "./a", &json!({"dependsOn": []}));
    scene.world.until_applied("d", &scene.upstream.head()).await;
}
