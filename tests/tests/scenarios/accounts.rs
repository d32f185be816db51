//! Rule 26: as whom runs act, and what a tenant may not know or reach.

use embedded_cluster::{Behaviour, Fault, RequestKey, Verb};
use serde_json::{Value, json};
use tests::world::{KUSTOMIZE_API, NAMESPACE, SOURCE_API, condition, is_ready};

use crate::requests::looks;
use crate::{Needs, Scene, config_map};

/// The account of the Kustomizations here.
const ACCOUNT: &str = "system:serviceaccount:flux-system:deployer";

/// Requests of runs since a mark, whatever they are about, by whom they were made.
fn of_runs(scene: &Scene, mark: u64) -> Vec<(String, Option<String>)> {
    let requests = scene.world.cluster.requests_since(mark);
    let of_runs = requests
        .iter()
        .filter(|key| key.user_agent == "coracle" && !is_the_controllers_own(key));
    of_runs
        .map(|key| (key.to_string(), key.impersonated.clone()))
        .collect()
}

/// What the controller asks for as itself. All else is asked for as the account of a Kustomization.
fn is_the_controllers_own(key: &RequestKey) -> bool {
    // Flux's objects, their statuses and finalizers; leases, events, and what the server serves.
    let its_work = key.group.ends_with(".toolkit.fluxcd.io")
        || key.resource == "leases"
        || key.resource == "events" && key.writes()
        || key.verb.is_none();
    let looks_for_flux = key.resource == "deployments" && key.namespace == NAMESPACE;
    let follows = match key.verb {
        Some(Verb::Watch) => true,
        // A watch begins with a list of all namespaces, and may ask by name whether that came too early.
        Some(Verb::List) => key.namespace.is_empty() || !key.name.is_empty(),
        _ => false,
    };
    // Whether the account itself is there.
    let looks_for_account = key.resource == "serviceaccounts" && key.namespace == NAMESPACE;
    its_work || looks_for_flux || follows || looks_for_account || reads_inputs(key)
}

/// Variables and keys are read by the controller, beside the Kustomization that names them, as Flux does: its account
/// need not have the right to.
fn reads_inputs(key: &RequestKey) -> bool {
    key.namespace == NAMESPACE
        && ["configmaps", "secrets"].contains(&&*key.resource)
        && matches!(key.verb, Some(Verb::Get | Verb::List))
}

/// All of these were asked for, and all that was asked for was asked for as the account.
fn assert_made_as_the_account(seen: &[(String, Option<String>)], asked: &[&str]) {
    let others: Vec<_> = seen
        .iter()
        .filter(|(_, identity)| identity.as_deref() != Some(ACCOUNT))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    for part in asked {
        assert!(
            seen.iter().any(|(line, _)| line.contains(part)),
            "{part}: {seen:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_26_every_call_of_a_run_is_made_as_its_account() {
    let mut scene = Scene::new().await;
    scene.world.account("deployer");
    scene.world.secret("colors", &[("color", "red")]);
    let spec = json!({
        "serviceAccountName": "deployer", "force": true, "wait": true, "timeout": "20s",
        "postBuild": {"substituteFrom": [{"kind": "Secret", "name": "colors"}]},
    });
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &spec);
    let broken = crate::deployment("web", "").replace("web:1", "web:does-not-exist");
    let sealed = |value: &str| format!("{}immutable: true\n", config_map("sealed", value));
    let shop = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n";
    let in_shop = config_map("c", "1").replace("namespace: default", "namespace: shop");
    let commit = scene.commit(&[
        ("a.yaml", &config_map("a", "${color}")),
        ("b.yaml", &config_map("b", "1")),
        ("s.yaml", &sealed("1")),
        ("shop.yaml", shop),
        ("c.yaml", &in_shop),
    ]);
    let mark = scene.world.mark();
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    assert_eq!(scene.data("a")["key"], "red");
    scene
        .deploy(&[
            ("a.yaml", &config_map("a", "2")),
            ("b.yaml", ""),
            ("s.yaml", &sealed("2")),
        ])
        .await;
    scene.push(&[("web.yaml", &broken)]);
    scene.world.until_failed("app", "HealthCheckFailed").await;
    scene.world.delete_kustomization("app").await;
    assert_made_as_the_account(
        &of_runs(&scene, mark),
        &[
            "patch configmaps default/a (dry run)",
            "patch configmaps default/a ->",
            "patch configmaps default/sealed-replacement (dry run)",
            "patch configmaps shop/c ->",
            "patch namespaces /shop (dry run)",
            "patch namespaces /shop ->",
            "get configmaps default/b",
            "delete configmaps default/b",
            "delete configmaps default/sealed",
            "list pods",
            "get namespaces /shop",
            "delete namespaces /shop",
        ],
    );
    let requests = scene.world.cluster.requests_since(mark);
    let inputs = requests
        .iter()
        .filter(|key| reads_inputs(key) && key.name == "colors" && key.verb == Some(Verb::Get));
    let inputs: Vec<_> = inputs.map(|key| key.impersonated.as_deref()).collect();
    assert!(
        !inputs.is_empty() && inputs.iter().all(Option::is_none),
        "{inputs:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_26_what_a_container_logged_is_read_as_the_account() {
    let mut scene = Scene::with(Needs::Workloads).empty().await;
    let log = "fatal: no database\n".to_owned();
    scene
        .workloads()
        .when_image("example.org/web:1", Behaviour::Crash { exit_code: 3, log });
    scene.world.account("deployer");
    scene.commit(&[("web.yaml", &crate::deployment("web", ""))]);
    scene.world.git_repository("app", "main");
    let spec = json!({"serviceAccountName": "deployer", "wait": true});
    scene.world.kustomization("app", "app", "./app", &spec);
    let mark = scene.world.mark();
    scene.world.start().await;
    let message = scene.world.until_failed("app", "HealthCheckFailed").await;
    assert!(
        message.contains("its last log line: fatal: no database"),
        "{message}"
    );
    assert_made_as_the_account(
        &of_runs(&scene, mark),
        &[
            "get deployments.apps default/web",
            "list replicasets.apps",
            "list pods",
            "get pods/log",
        ],
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
    let seen = of_runs(&scene, mark);
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

#[tokio::test(flavor = "multi_thread")]
async fn dependencies_do_not_cross_namespaces_where_that_is_forbidden() {
    let mut scene = Scene::new().await;
    scene.world = scene
        .world
        .configured(|config| config.no_cross_namespace_refs = true);
    scene.upstream.write("base/b.yaml", config_map("b", "1"));
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    let world = &mut scene.world;
    world.git_repository("app", "main");
    // The dependency is there and is ready.
    world.apply(&json!({
        "apiVersion": SOURCE_API, "kind": "GitRepository",
        "metadata": {"name": "base", "namespace": "default"},
        "spec": {"url": world.url(), "interval": "1h", "ref": {"branch": "main"}},
    }));
    world.apply(&json!({
        "apiVersion": KUSTOMIZE_API, "kind": "Kustomization",
        "metadata": {"name": "base", "namespace": "default"},
        "spec": {
            "interval": "1h", "prune": true, "path": "./base",
            "sourceRef": {"kind": "GitRepository", "name": "base"},
        },
    }));
    world.start().await;
    let applied = |object: &Value| {
        is_ready(object)
            && object["status"]["lastAppliedRevision"]
                .as_str()
                .is_some_and(|revision| revision.ends_with(&commit))
    };
    world
        .until(
            KUSTOMIZE_API,
            "Kustomization",
            "default",
            "base",
            "applied",
            applied,
        )
        .await;
    let depends = json!({"dependsOn": [{"name": "base", "namespace": "default"}]});
    world.kustomization("app", "app", "./app", &depends);
    let message = world
        .until_told(KUSTOMIZE_API, "Kustomization", "app", "DependencyNotReady")
        .await;
    assert_eq!(
        message,
        "dependency 'default/base' is in another namespace, and cross-namespace references have been blocked"
    );
    assert_eq!(scene.data("a"), Value::Null);
    scene
        .world
        .kustomization("app", "app", "./app", &json!({"dependsOn": []}));
    scene.world.until_applied("app", &commit).await;
}
