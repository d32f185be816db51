//! What the spec puts on top of the files: variables, keys, and the overlay fields.

use serde_json::{Value, json};
use tests::world::{KUSTOMIZE_API, workspace};

use crate::{Scene, config_map, deployment_of, kustomization_of};

fn fixture(path: &str) -> String {
    std::fs::read_to_string(workspace("reconciler/tests/fixtures/sops").join(path)).unwrap()
}

fn substitute_from(kind: &str, name: &str) -> Value {
    json!({"postBuild": {"substituteFrom": [{"kind": kind, "name": name}]}})
}

/// A Kustomization `app` whose ConfigMap `settings` takes its value from the variable `color`.
async fn scene_with_variable(spec: &Value) -> Scene {
    let mut scene = Scene::new().await;
    scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "${color:=none}"));
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", spec);
    scene.world.start().await;
    scene
}

async fn until_color(scene: &Scene, color: &str) {
    let is_so = |object: &Value| object["data"]["key"] == color;
    scene
        .world
        .until("v1", "ConfigMap", "default", "settings", color, is_so)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_config_map_runs_those_that_read_it() {
    let scene = scene_with_variable(&substitute_from("ConfigMap", "colors")).await;
    scene.world.config_map("colors", &json!({"color": "red"}));
    until_color(&scene, "red").await;
    scene.world.config_map("colors", &json!({"color": "green"}));
    until_color(&scene, "green").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_secret_runs_those_that_read_it() {
    let scene = scene_with_variable(&substitute_from("Secret", "colors")).await;
    scene.world.secret("colors", &[("color", "red")]);
    until_color(&scene, "red").await;
    scene.world.secret("colors", &[("color", "green")]);
    until_color(&scene, "green").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_source_of_variables_is_told_and_used_at_once_when_it_comes() {
    let scene = scene_with_variable(&substitute_from("ConfigMap", "colors")).await;
    assert_eq!(
        scene
            .world
            .until_told(KUSTOMIZE_API, "Kustomization", "app", "BuildFailed")
            .await,
        "substitute from 'ConfigMap/colors' error: ConfigMap/colors not found in namespace flux-system; create it, or set `optional: true`"
    );
    scene.world.config_map("colors", &json!({"color": "red"}));
    until_color(&scene, "red").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_source_may_be_missing_and_counts_when_it_comes() {
    let sources = json!([{"kind": "ConfigMap", "name": "colors", "optional": true}]);
    // Flux replaces nothing, defaults included, when there is no variable at all.
    let post_build = json!({"substitute": {"shape": "round"}, "substituteFrom": sources});
    let scene = scene_with_variable(&json!({"postBuild": post_build})).await;
    until_color(&scene, "none").await;
    scene.world.until_applied("app", &scene.upstream.head()).await;
    scene.world.config_map("colors", &json!({"color": "red"}));
    until_color(&scene, "red").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn later_sources_win_and_the_spec_wins_over_all() {
    let scene = scene_with_variable(&json!({"postBuild": {
        "substitute": {"inline": "yes"},
        "substituteFrom": [{"kind": "ConfigMap", "name": "first"}, {"kind": "Secret", "name": "second"}],
    }}))
    .await;
    scene.world.config_map(
        "first",
        &json!({"color": "red", "inline": "no", "shape": "round"}),
    );
    scene.world.secret("second", &[("color", "green")]);
    let commit = scene.push_file(
        "app/config.yaml",
        &config_map("settings", "${color} ${inline} ${shape}"),
    );
    scene.world.until_applied("app", &commit).await;
    assert_eq!(scene.world.value("settings", "key").unwrap(), "green yes round");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_nobody_sets_is_told_with_its_file() {
    let scene = scene_with_variable(&json!({"postBuild": {"substitute": {"color": "red"}}})).await;
    until_color(&scene, "red").await;
    let bad = scene.push_file("app/config.yaml", &config_map("settings", "${colour}"));
    assert_eq!(
        scene.until_failed_at("app", &bad, "BuildFailed").await,
        "app/config.yaml:1: variables in ConfigMap/default/settings: not set: `colour`; define it in spec.postBuild, give it a default as in `${colour:=value}`, or write `$${` where the text is meant as it stands"
    );
    until_color(&scene, "red").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_marked_keeps_its_dollar_signs() {
    let scene = scene_with_variable(&json!({"postBuild": {"substitute": {"color": "red"}}})).await;
    let marked = config_map("settings", "${color}").replace(
        "  namespace: default\n",
        "  namespace: default\n  annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}\n",
    );
    let commit = scene.push_file("app/config.yaml", &marked);
    scene.world.until_applied("app", &commit).await;
    assert_eq!(scene.world.value("settings", "key").unwrap(), "${color}");
}

/// A Kustomization `app` of a Secret that the real `sops` encrypted.
async fn scene_with_sops(file: &str) -> Scene {
    let mut scene = Scene::new().await;
    scene
        .upstream
        .commit("app/secret.yaml", &fixture(&format!("encrypted/{file}")));
    scene.world.git_repository("app", "main");
    scene.world.kustomization(
        "app",
        "app",
        "./app",
        &json!({"targetNamespace": "default", "decryption": {"provider": "sops", "secretRef": {"name": "keys"}}}),
    );
    scene.world.start().await;
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sops_secret_is_decrypted_with_the_key_of_a_secret() {
    let scene = scene_with_sops("secret.yaml").await;
    scene
        .world
        .secret("keys", &[("age.agekey", &fixture("test-only-a.agekey"))]);
    scene.world.until_applied("app", &scene.upstream.head()).await;
    let data = scene.world.get("v1", "Secret", "default", "database").unwrap()["data"].clone();
    // planted-password, planted-token, shop
    let wanted = json!({"password": "cGxhbnRlZC1wYXNzd29yZA==", "token": "cGxhbnRlZC10b2tlbg==", "username": "c2hvcA=="});
    assert_eq!(data, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_with_the_key_is_told_and_used_at_once_when_it_comes() {
    let scene = scene_with_sops("secret.yaml").await;
    assert_eq!(
        scene
            .world
            .until_told(KUSTOMIZE_API, "Kustomization", "app", "BuildFailed")
            .await,
        "Secret flux-system/keys not found, which spec.decryption.secretRef names; create it: kubectl -n flux-system create secret generic keys --from-file=age.agekey"
    );
    scene
        .world
        .secret("keys", &[("age.agekey", &fixture("test-only-a.agekey"))]);
    scene.world.until_applied("app", &scene.upstream.head()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_decrypted_is_told_with_the_key_that_is_missing() {
    let scene = scene_with_sops("to-b.yaml").await;
    scene
        .world
        .secret("keys", &[("age.agekey", &fixture("test-only-a.agekey"))]);
    let message = scene
        .world
        .until(
            KUSTOMIZE_API,
            "Kustomization",
            "flux-system",
            "app",
            "told",
            |object| {
                tests::world::condition(object, "Ready")
                    .is_some_and(|c| c["message"].as_str().is_some_and(|m| m.contains("no key for it")))
            },
        )
        .await;
    let message = tests::world::condition(&message, "Ready").unwrap()["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        message,
        "app/secret.yaml: no key for it: it is encrypted to age107xam2e0lxnzl8hsucstktg8hnp6qm44s9w06s92prlgv9uw4agsx8smde; Secret flux-system/keys holds the identity of age177td2x9tgc3az9ma75zzssncnpzt4egknzz6atdnwn5dtvymve5seun267. Put the identity of a recipient there, in a key that ends in `.agekey`, or encrypt the file to what is there"
    );
    scene
        .world
        .until_event_says("Kustomization", "app", "BuildFailed", &message)
        .await;
    assert_eq!(scene.world.get("v1", "Secret", "default", "to-b"), None);
    scene
        .world
        .secret("keys", &[("age.agekey", &fixture("test-only-b.agekey"))]);
    scene.world.until_applied("app", &scene.upstream.head()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_secret_without_decryption_is_never_applied() {
    let scene = Scene::live_with(&json!({"targetNamespace": "default"})).await;
    let bad = scene.push_file("app/secret.yaml", &fixture("encrypted/secret.yaml"));
    assert_eq!(
        scene.until_failed_at("app", &bad, "BuildFailed").await,
        "app/secret.yaml:1: Secret/default/database is encrypted with SOPS to age177td2x9tgc3az9ma75zzssncnpzt4egknzz6atdnwn5dtvymve5seun267, and spec.decryption is missing: set its provider to `sops` and its secretRef to a Secret that holds the identity"
    );
    assert_eq!(scene.world.get("v1", "Secret", "default", "database"), None);
    scene
        .world
        .secret("keys", &[("age.agekey", &fixture("test-only-a.agekey"))]);
    scene.world.kustomization(
        "app",
        "app",
        "./app",
        &json!({"targetNamespace": "default", "decryption": {"provider": "sops", "secretRef": {"name": "keys"}}}),
    );
    scene.world.until_applied("app", &bad).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_changed_after_its_encryption_is_refused() {
    let scene = scene_with_sops("secret.yaml").await;
    scene
        .world
        .secret("keys", &[("age.agekey", &fixture("test-only-a.agekey"))]);
    scene.world.until_applied("app", &scene.upstream.head()).await;
    let bad = scene.push_file(
        "app/secret.yaml",
        &fixture("encrypted/secret.yaml").replace("app: shop", "app: other"),
    );
    assert_eq!(
        scene.until_failed_at("app", &bad, "BuildFailed").await,
        "app/secret.yaml: the file was changed after sops encrypted it: its MAC does not match. Values that are not encrypted count too; if the change is meant, run `sops edit --ignore-mac` on the file and save it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_of_the_spec_are_laid_over_the_files() {
    let mut scene = Scene::new().await;
    scene
        .upstream
        .write("app/config.yaml", config_map("settings", "one"));
    scene.upstream.write(
        "app/web.yaml",
        deployment_of("web", "registry.example.org/web:1.0.0"),
    );
    scene.upstream.write(
        "debug/kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nlabels:\n  - pairs: {debug: \"on\"}\n",
    );
    let commit = scene.upstream.commit_all("Begin");
    scene
        .world
        .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}));
    scene.world.git_repository("app", "main");
    scene.world.kustomization(
        "app",
        "app",
        "./app",
        &json!({
            "targetNamespace": "shop",
            "namePrefix": "eu-",
            "nameSuffix": "-1",
            "patches": [{"target": {"kind": "Deployment"}, "patch": "[{\"op\": \"replace\", \"path\": \"/spec/replicas\", \"value\": 3}]"}],
            "images": [{"name": "registry.example.org/web", "newName": "registry.example.org/shop", "newTag": "2.0.0"}],
            "components": ["../debug"],
            "commonMetadata": {"labels": {"team": "shop"}, "annotations": {"example.org/cost": "42"}},
        }),
    );
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    let settings = scene
        .world
        .get("v1", "ConfigMap", "shop", "eu-settings-1")
        .unwrap();
    assert_eq!(
        settings["metadata"]["labels"],
        json!({
            "debug": "on", "team": "shop",
            "kustomize.toolkit.fluxcd.io/name": "app", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
        })
    );
    assert_eq!(
        settings["metadata"]["annotations"],
        json!({"example.org/cost": "42"})
    );
    let web = scene
        .world
        .get("apps/v1", "Deployment", "shop", "eu-web-1")
        .unwrap();
    assert_eq!(web["spec"]["replicas"], 3);
    assert_eq!(
        web["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.example.org/shop:2.0.0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_spec_alone_is_applied() {
    let scene = Scene::live().await;
    scene.world.kustomization(
        "app",
        "app",
        "./app",
        &json!({"commonMetadata": {"labels": {"team": "shop"}}}),
    );
    scene
        .world
        .until("v1", "ConfigMap", "default", "settings", "labelled", |object| {
            object["metadata"]["labels"]["team"] == "shop"
        })
        .await;
    let kept = kustomization_of(&["config.yaml"]);
    let commit = scene.push_file("app/kustomization.yaml", &kept);
    scene.world.until_applied("app", &commit).await;
}
