//! What people do every week.

use serde_json::json;

use crate::{Scene, config_map, deployment_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_becomes_live_and_a_revert_takes_it_back() {
    let mut scene = Scene::new().await;
    let first = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    let world = &mut scene.world;
    world.git_repository("app", "main");
    world.kustomization("app", "app", "./app", &json!({}));
    world.start().await;
    world.until_applied("app", &first).await;
    assert_eq!(
        world.get("v1", "ConfigMap", "default", "settings").unwrap()["data"]["key"],
        "one"
    );

    let second = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "two"));
    world.poll("app", "1");
    world.until_applied("app", &second).await;
    assert_eq!(
        world.get("v1", "ConfigMap", "default", "settings").unwrap()["data"]["key"],
        "two"
    );

    scene.upstream.git(&["revert", "--no-edit", "HEAD"]);
    let third = scene.upstream.head();
    world.poll("app", "2");
    world.until_applied("app", &third).await;
    assert_eq!(
        world.get("v1", "ConfigMap", "default", "settings").unwrap()["data"]["key"],
        "one"
    );
    world.stop().await;
}

const IMAGE: &str = "registry.example.org/web";

/// Two environments of one application: a branch, a GitRepository, a Kustomization and a namespace each.
async fn environments() -> Scene {
    let mut scene = Scene::new().await;
    scene
        .upstream
        .write("app/web.yaml", deployment_of("web", &format!("{IMAGE}:1.0.0")));
    scene
        .upstream
        .write("app/config.yaml", config_map("settings", "one"));
    scene
        .upstream
        .commit("app/banner.yaml", &config_map("banner", "welcome"));
    for name in ["staging", "production"] {
        scene.upstream.git(&["branch", name]);
        scene
            .world
            .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        scene.world.git_repository(name, name);
        scene.world.kustomization(
            name,
            name,
            "./app",
            &json!({"targetNamespace": name, "wait": true}),
        );
    }
    scene.upstream.git(&["checkout", "-q", "staging"]);
    scene.world.start().await;
    for name in ["staging", "production"] {
        scene.world.until_applied(name, &scene.upstream.head()).await;
    }
    scene
}

impl Scene {
    /// Commits to the branch of staging and has its GitRepository look.
    fn merge(&self, message: &str) -> String {
        let commit = self.upstream.commit_all(message);
        self.world.poll("staging", &commit);
        commit
    }

    fn image(&self, environment: &str) -> String {
        let web = self
            .world
            .get("apps/v1", "Deployment", environment, "web")
            .unwrap();
        web["spec"]["template"]["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_a_merge_an_edit_a_broken_image_a_revert_and_a_removal() {
    let scene = environments().await;
    let production = scene
        .world
        .get("apps/v1", "Deployment", "production", "web")
        .unwrap();
    let promoted = scene.world.get_kustomization("production");

    scene
        .upstream
        .write("app/web.yaml", deployment_of("web", &format!("{IMAGE}:1.1.0")));
    let merged = scene.merge("Take 1.1.0");
    scene.world.until_applied("staging", &merged).await;
    assert_eq!(scene.image("staging"), format!("{IMAGE}:1.1.0"));
    scene
        .world
        .until_event_says(
            "Kustomization",
            "staging",
            "Progressing",
            "Deployment/staging/web configured",
        )
        .await;

    scene
        .world
        .edit(
            "apps/v1",
            "Deployment",
            "staging",
            "web",
            &json!({"spec": {"replicas": 5}}),
        )
        .await;
    scene
        .world
        .until("apps/v1", "Deployment", "staging", "web", "put back", |web| {
            web["spec"]["replicas"] == 1
        })
        .await;

    scene.upstream.write(
        "app/web.yaml",
        deployment_of("web", &format!("{IMAGE}:does-not-exist")),
    );
    let broken = scene.merge("Take an image that is not there");
    let told = scene
        .until_failed_at("staging", &broken, "HealthCheckFailed")
        .await;
    assert!(
        told.starts_with(
            "failed early due to stalled resources: [Deployment/staging/web status: 'Failed': pod web-"
        ),
        "{told}"
    );
    assert!(told.contains(&format!("{IMAGE}:does-not-exist")), "{told}");

    scene.upstream.git(&["revert", "--no-edit", "HEAD"]);
    let reverted = scene.merge("Say nothing");
    scene.world.until_applied("staging", &reverted).await;
    assert_eq!(scene.image("staging"), format!("{IMAGE}:1.1.0"));

    scene.upstream.git(&["rm", "-q", "app/banner.yaml"]);
    let removed = scene.merge("Take the banner down");
    scene.world.until_applied("staging", &removed).await;
    assert_eq!(scene.world.get("v1", "ConfigMap", "staging", "banner"), None);
    scene
        .world
        .until_event_says(
            "Kustomization",
            "staging",
            "Progressing",
            "ConfigMap/staging/banner deleted",
        )
        .await;

    let untouched = scene
        .world
        .get("apps/v1", "Deployment", "production", "web")
        .unwrap();
    assert_eq!(untouched, production, "nothing of this touched production");
    assert_eq!(scene.world.get_kustomization("production"), promoted);
    assert!(
        scene
            .world
            .get("v1", "ConfigMap", "production", "banner")
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_somebody_deletes_comes_back() {
    let scene = Scene::live().await;
    scene
        .world
        .cluster
        .delete("v1", "ConfigMap", "default", "settings")
        .unwrap();
    scene
        .world
        .until("v1", "ConfigMap", "default", "settings", "back", |object| {
            object["data"]["key"] == "one"
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomization_that_is_deleted_takes_its_objects_with_it() {
    let scene = Scene::live().await;
    scene
        .world
        .cluster
        .delete(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            "flux-system",
            "app",
        )
        .unwrap();
    scene
        .world
        .until_gone(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            "flux-system",
            "app",
        )
        .await;
    assert_eq!(scene.world.get("v1", "ConfigMap", "default", "settings"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_a_definition_and_an_object_of_it_come_in_one_commit() {
    let mut scene = Scene::new().await;
    scene.upstream.write(
        "app/namespace.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
    );
    scene.upstream.write(
        "app/gadget.yaml",
        "apiVersion: example.org/v1\nkind: Gadget\nmetadata: {name: one, namespace: shop}\nspec: {size: 3}\n",
    );
    let commit = scene.upstream.commit(
        "app/definition.yaml",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: gadgets.example.org}\n\
         spec:\n  group: example.org\n  scope: Namespaced\n  names: {kind: Gadget, plural: gadgets, singular: gadget, listKind: GadgetList}\n  \
         versions:\n    - name: v1\n      served: true\n      storage: true\n      schema:\n        openAPIV3Schema:\n          \
         type: object\n          x-kubernetes-preserve-unknown-fields: true\n",
    );
    scene.world.git_repository("app", "main");
    scene
        .world
        .kustomization("app", "app", "./app", &json!({"wait": true}));
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    assert_eq!(
        scene
            .world
            .get("example.org/v1", "Gadget", "shop", "one")
            .unwrap()["spec"]["size"],
        3
    );
}
