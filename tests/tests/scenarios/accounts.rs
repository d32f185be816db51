//! Rule 26: as whom runs act, and what a tenant may not know or reach.

use embedded_cluster::{Fault, RequestKey, Verb};
use serde_json::json;
use tests::world::{NAMESPACE, condition};

use crate::requests::looks;
use crate::{Needs, Scene, config_map};

/// Requests about objects of the application, by whom they were made.
fn identities(scene: &Scene, mark: u64) -> Vec<(String, Option<String>)> {
    let requests = scene.world.requests_since(mark);
    // Watches are the controller's own, and so is their look whether a list came too early.
    let of_watches = |key: &&RequestKey| key.verb == Some(Verb::List) && key.resource == "deployments";
    let about = requests
        .iter()
        .filter(|key| key.namespace == "default" && key.resource != "events" && !of_watches(key));
    about
        .map(|key| (key.to_string(), key.impersonated.clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_26_every_call_of_a_run_is_made_as_its_account() {
    let spec = json!({"serviceAccountName": "deployer", "force": true, "wait": true, "timeout": "20s"});
    let scene = Scene::new().await;
    scene.world.account("deployer");
    let broken = crate::deployment("web", "").replace("web:1", "web:does-not-exist");
    let mut scene = scene;
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &spec);
    let sealed = |value: &str| format!("{}immutable: true\n", config_map("sealed", value));
    let commit = scene.commit(&[
        ("a.yaml", &config_map("a", "1")),
        ("b.yaml", &config_map("b", "1")),
        ("s.yaml", &sealed("1")),
    ]);
    let mark = scene.world.mark();
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    scene
        .deploy(&[
            ("a.yaml", &config_map("a", "2")),
            ("b.yaml", ""),
            ("s.yaml", &sealed("2")),
        ])
        .await;
    scene.push(&[("web.yaml", &broken)]);
    scene.world.until_failed("app", "HealthCheckFailed").await;
    let seen = identities(&scene, mark);
    let account = Some("system:serviceaccount:flux-system:deployer".to_owned());
    let others: Vec<_> = seen.iter().filter(|(_, identity)| *identity != account).collect();
    assert!(others.is_empty(), "{others:#?}");
    for part in [
        "(dry run)",
        "get configmaps default/b",
        "list pods",
        "delete configmaps default/b",
        "delete configmaps default/sealed",
    ] {
        assert!(
            seen.iter().any(|(line, _)| line.contains(part)),
            "{part}: {seen:#?}"
        );
    }
    scene.world.delete_kustomization("app").await;
    assert!(
        identities(&scene, mark)
            .iter()
            .all(|(_, identity)| *identity == account)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_26_health_that_the_account_may_not_know_is_not_told() {
    let mut scene = Scene::with(Needs::Faults).empty().await;
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    let world = &mut scene.world;
    let looks = looks("apps", "deployments").name("theirs");
    let refused = world.cluster.faults().add(
        looks,
        Fault::forbidden("deployments.apps \"theirs\" is forbidden: User cannot get it"),
    );
    world.git_repository("app", "main");
    let check =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "other", "name": "theirs"});
    world.kustomization(
        "app",
        "app",
        "./app",
        &json!({"serviceAccountName": "tenant", "healthChecks": [check]}),
    );
    world.start().await;
    let message = world.until_failed("app", "HealthCheckFailed").await;
    assert_eq!(
        message,
        "the health of Deployment/other/theirs is not for ServiceAccount flux-system/tenant to know: \
         deployments.apps \"theirs\" is forbidden: User cannot get it"
    );
    assert!(!commit.is_empty() && refused.matched() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomization_whose_account_is_gone_is_let_go_and_names_what_stays() {
    let mut scene = Scene::new().await;
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    let world = &mut scene.world;
    world.account("tenant");
    world.git_repository("app", "main");
    world.kustomization("app", "app", "./app", &json!({"serviceAccountName": "tenant"}));
    world.start().await;
    world.until_applied("app", &commit).await;
    world
        .cluster
        .delete("v1", "ServiceAccount", NAMESPACE, "tenant")
        .unwrap();
    world.delete_kustomization("app").await;
    let told = "the ServiceAccount of this Kustomization is gone, so its objects could not be deleted and stay: \
                ConfigMap/default/a";
    world
        .until_event_says("Kustomization", "app", "PruneFailed", told)
        .await;
    assert_eq!(scene.data("a")["key"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_26_the_default_account_stands_in_for_one_that_is_not_named() {
    let mut scene = Scene::new().await;
    scene.world = scene
        .world
        .configured(|config| config.default_service_account = Some("tenant".into()));
    scene.world.account("tenant");
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    let mark = scene.world.mark();
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    let account = Some("system:serviceaccount:flux-system:tenant".to_owned());
    let seen = identities(&scene, mark);
    assert!(
        !seen.is_empty() && seen.iter().all(|(_, identity)| *identity == account),
        "{seen:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn references_do_not_cross_namespaces_where_that_is_forbidden() {
    let mut scene = Scene::new().await;
    scene.world = scene
        .world
        .configured(|config| config.no_cross_namespace_refs = true);
    scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    scene.world.git_repository("app", "main");
    let reference = json!({"sourceRef": {"kind": "GitRepository", "name": "app", "namespace": "default"}});
    scene.world.kustomization("app", "app", "./app", &reference);
    scene.world.start().await;
    let message = scene.world.until_failed("app", "AccessDenied").await;
    assert_eq!(
        message,
        "can't access 'GitRepository/default/app', cross-namespace references have been blocked"
    );
    let object = scene.world.get_kustomization("app");
    assert_eq!(condition(&object, "Stalled").unwrap()["status"], "True");
}
