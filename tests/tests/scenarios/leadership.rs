//! Rule 24: only one controller reconciles at a time, be it ours or one of Flux.

use std::time::Duration;

use embedded_cluster::{HoldAt, Verb};
use jiff::Timestamp;
use serde_json::{Value, json};
use tests::world::NAMESPACE;

use crate::requests::{looks, requests};
use crate::{Needs, Scene, config_map, held};

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
