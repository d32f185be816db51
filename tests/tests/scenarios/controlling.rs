//! Rules 21 to 26: when runs happen, who else may run, what is written about them, and as whom.

use std::time::Duration;

use embedded_cluster::{Fault, HoldAt, RequestKey, Verb};
use jiff::Timestamp;
use serde_json::{Value, json};
use tests::world::{NAMESPACE, condition};

use crate::requests::{looks, previews, requests, statuses};
use crate::{Needs, Scene, config_map, held};

const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io/v1";

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
        .when(KUSTOMIZE, "Kustomization", "the cycle", |world| {
            let one = world.get(KUSTOMIZE, "Kustomization", NAMESPACE, "one")?;
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
    let finalizers = |finalizers: &[&str]| json!({"metadata": {"finalizers": finalizers}});
    scene.world.amend(
        "v1",
        "ConfigMap",
        "default",
        "a",
        &finalizers(&["example.org/hold"]),
    );
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
    scene
        .world
        .amend("v1", "ConfigMap", "default", "a", &finalizers(&[]));
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
    let previews = previews().name("a");
    let mut holding = scene.faults().hold(previews.times(1), HoldAt::Before);
    scene.world.request(KUSTOMIZE, "Kustomization", "app", "first");
    let preview = held(&mut holding).await;
    let runs = scene.world.runs("app");
    scene.world.request(KUSTOMIZE, "Kustomization", "app", "second");
    scene.world.request(KUSTOMIZE, "Kustomization", "app", "third");
    preview.release();
    scene.world.until_handled("app", "third").await;
    assert!(scene.world.runs("app") <= runs + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_22_a_suspended_kustomization_handles_nothing_and_catches_up_when_it_is_resumed() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    let world = &scene.world;
    world.respec("app", &json!({"suspend": true}));
    world.request(KUSTOMIZE, "Kustomization", "app", "while suspended");
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

fn lease(name: &str, holder: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 35, "leaseTransitions": 0,
            "renewTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_24_while_another_holds_a_lease_of_flux_nothing_is_touched() {
    let mut scene = Scene::with(Needs::Faults).empty().await;
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    let world = &mut scene.world;
    world.git_repository("app", "main");
    world.kustomization("app", "app", "./app", &json!({}));
    world.apply(&lease(
        "kustomize-controller-leader-election",
        "kustomize-controller-7d",
    ));
    let looks = looks("coordination.k8s.io", "leases").name("kustomize-controller-leader-election");
    let mut holding = world.cluster.faults().hold(looks.times(2), HoldAt::After);
    let mark = world.mark();
    world.start().await;
    held(&mut holding).await.release();
    let again = held(&mut holding).await;
    assert_eq!(world.writes_since(mark), Vec::<String>::new());
    assert_eq!(
        world.get_kustomization("app")["status"],
        json!({"observedGeneration": -1})
    );
    world.apply(&lease("kustomize-controller-leader-election", ""));
    again.release();
    world.until_applied("app", &commit).await;
    let held = world
        .get(
            "coordination.k8s.io/v1",
            "Lease",
            NAMESPACE,
            "kustomize-controller-leader-election",
        )
        .unwrap();
    assert_eq!(held["spec"]["holderIdentity"], "coracle");
    world.stop().await;
    for name in [
        "kustomize-controller-leader-election",
        "source-controller-leader-election",
    ] {
        let lease = world
            .get("coordination.k8s.io/v1", "Lease", NAMESPACE, name)
            .unwrap();
        assert_eq!(lease["spec"]["holderIdentity"], "", "{name} is let go");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_24_a_lease_is_taken_once_it_was_not_renewed_while_it_was_watched_whatever_clock_it_was_written_by()
 {
    let mut scene = Scene::with(Needs::Faults).empty().await;
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    let world = &mut scene.world;
    world.git_repository("app", "main");
    world.kustomization("app", "app", "./app", &json!({}));
    let name = "kustomize-controller-leader-election";
    let mut slow = lease(name, "kustomize-controller-7d");
    slow["spec"]["renewTime"] = json!("2020-01-01T00:00:00.000000Z");
    world.apply(&slow);
    let looks = looks("coordination.k8s.io", "leases").name(name);
    let mut holding = world.cluster.faults().hold(looks.times(2), HoldAt::After);
    world.start().await;
    held(&mut holding).await.release();
    world.pass(Duration::from_secs(30));
    let again = held(&mut holding).await;
    let holder = |world: &tests::World| {
        let lease = world
            .get("coordination.k8s.io/v1", "Lease", NAMESPACE, name)
            .unwrap();
        lease["spec"]["holderIdentity"].clone()
    };
    assert_eq!(holder(world), "kustomize-controller-7d");
    again.release();
    world.pass(Duration::from_secs(6));
    world.until_applied("app", &commit).await;
    assert_eq!(holder(world), "coracle");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_the_controller_from_leading_is_logged_once_with_the_remedy() {
    let mut scene = Scene::with(Needs::Faults).empty().await;
    scene.world = scene
        .world
        .configured(|config| config.namespace = "absent".to_owned());
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    let world = &mut scene.world;
    world.git_repository("app", "main");
    world.kustomization("app", "app", "./app", &json!({}));
    let tries = requests()
        .verb(Verb::Create)
        .resource("coordination.k8s.io", "leases");
    let mut holding = world.cluster.faults().hold(tries.times(3), HoldAt::After);
    world.start().await;
    for _ in 0..3 {
        held(&mut holding).await.release();
        world.pass(Duration::from_secs(2));
    }
    let told = "there is no namespace absent: create it (kubectl create namespace absent)";
    assert_eq!(
        world.log().text().matches(told).count(),
        1,
        "{}",
        world.log().text()
    );
    world.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "absent"}}));
    world.until_applied("app", &commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_24_while_a_deployment_of_flux_runs_nothing_is_touched() {
    let mut scene = Scene::with(Needs::Faults).empty().await;
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    let world = &mut scene.world;
    world.git_repository("app", "main");
    world.kustomization("app", "app", "./app", &json!({}));
    let flux = |replicas: u32| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "kustomize-controller", "namespace": NAMESPACE},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "kc"}},
                "template": {"metadata": {"labels": {"app": "kc"}}, "spec": {"containers": [{"name": "m", "image": "m"}]}},
            },
        })
    };
    world.apply(&flux(1));
    let looks = requests().verb(Verb::Get).name("kustomize-controller");
    let mut holding = world.cluster.faults().hold(looks.times(2), HoldAt::After);
    let mark = world.mark();
    world.start().await;
    held(&mut holding).await.release();
    let again = held(&mut holding).await;
    assert_eq!(world.writes_since(mark), Vec::<String>::new());
    assert_eq!(
        world.cluster.list("coordination.k8s.io/v1", "Lease", NAMESPACE),
        Vec::<Value>::new()
    );
    world.apply(&flux(0));
    again.release();
    world.until_applied("app", &commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_24_a_controller_that_cannot_renew_its_leases_ends_before_another_may_take_them() {
    let mut scene = Scene::with(Needs::Faults).empty().await;
    scene.world = scene
        .world
        .configured(|config| config.lease_duration = Duration::from_secs(3));
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    let world = &mut scene.world;
    world.git_repository("app", "main");
    world.kustomization("app", "app", "./app", &json!({}));
    world.start().await;
    world.until_applied("app", &commit).await;
    let renewals = requests()
        .verb(Verb::Update)
        .resource("coordination.k8s.io", "leases");
    let holding = world.cluster.faults().hold(renewals, HoldAt::Before);
    let why = world.until_ended().await;
    assert_eq!(
        why,
        "leadership was lost to nobody: the leases could not be renewed before they ran out"
    );
    drop(holding);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_24_an_inventory_is_read_only_once_nobody_else_writes_it() {
    let mut scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    scene.world.stop().await;
    scene.world.apply(&lease(
        "kustomize-controller-leader-election",
        "kustomize-controller-7d",
    ));
    let looks = looks("coordination.k8s.io", "leases").name("kustomize-controller-leader-election");
    let mut holding = scene.faults().hold(looks.times(2), HoldAt::After);
    scene.world.start().await;
    held(&mut holding).await.release();
    let again = held(&mut holding).await;
    // Flux adds an object, then goes.
    let mut added: Value = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    added["metadata"] = json!({"name": "b", "namespace": "default", "labels": added["metadata"]["labels"]});
    scene.world.cluster.apply(&added, "kustomize-controller").unwrap();
    let mut object = scene.world.get_kustomization("app");
    object["status"]["inventory"]["entries"] =
        json!([{"id": "default_a__ConfigMap", "v": "v1"}, {"id": "default_b__ConfigMap", "v": "v1"}]);
    scene
        .world
        .cluster
        .update_status(&object, "gotk-kustomize-controller")
        .unwrap();
    scene
        .world
        .apply(&lease("kustomize-controller-leader-election", ""));
    again.release();
    scene.world.until_gone("v1", "ConfigMap", "default", "b").await;
    scene.world.let_late_writes_expire();
    scene
        .world
        .until_inventory("app", &["default_a__ConfigMap"])
        .await;
}

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
    let previews = previews().name("a");
    let mut holding = scene.faults().hold(previews.times(1), HoldAt::Before);
    scene.world.request(KUSTOMIZE, "Kustomization", "app", "first");
    let preview = held(&mut holding).await;
    scene.world.respec("app", &json!({"interval": "2h"}));
    let statuses = statuses();
    let mut written = scene.faults().hold(statuses.times(1), HoldAt::After);
    preview.release();
    let first = held(&mut written).await;
    assert_eq!(scene.world.get_kustomization("app")["metadata"]["generation"], 2);
    // The write that was refused because the object had changed, or the one after it.
    first.release();
    let object = scene.world.until_handled("app", "first").await;
    let observed = object["status"]["observedGeneration"].as_i64().unwrap();
    assert!((1..=2).contains(&observed));
    let both = |object: &Value| object["status"]["observedGeneration"] == object["metadata"]["generation"];
    scene
        .world
        .until(KUSTOMIZE, "Kustomization", NAMESPACE, "app", "observed", both)
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
        KUSTOMIZE,
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
        .delete(KUSTOMIZE, "Kustomization", NAMESPACE, "app")
        .unwrap();
    let theirs = |object: &Value| object["metadata"]["finalizers"] == json!(["example.org/theirs"]);
    world
        .until(KUSTOMIZE, "Kustomization", NAMESPACE, "app", "let go", theirs)
        .await;
    assert_eq!(scene.data("a"), Value::Null);
}

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
