//! Rule 24: only one controller reconciles at a time, be it ours or one of Flux.

use std::time::Duration;

use embedded_cluster::{Held, HoldAt, Holding, Verb};
use jiff::Timestamp;
use serde_json::{Value, json};
use tests::world::NAMESPACE;

use crate::requests::{looks, requests};
use crate::{Needs, Scene, config_map, held};

/// A lease that somebody has just renewed.
pub(crate) fn lease(name: &str, holder: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 35, "leaseTransitions": 0,
            "renewTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        },
    })
}

/// The leases of Flux's two controllers.
const LEASES: [&str; 2] = [
    "source-controller-leader-election",
    "kustomize-controller-leader-election",
];

/// A scene with a Kustomization `app` that was not looked at yet, and its commit.
async fn untouched() -> (Scene, String) {
    let scene = Scene::with(Needs::Faults).empty().await;
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    (scene, commit)
}

/// Nothing of Flux's was written since a mark, nor anything applied.
fn assert_untouched(scene: &Scene, mark: u64) {
    assert_eq!(scene.world.writes_since(mark), Vec::<String>::new());
    for status in [
        &scene.world.get_kustomization("app")["status"],
        &scene.world.get_source("app")["status"],
    ] {
        assert_eq!(*status, json!({"observedGeneration": -1}));
    }
}

fn holder_of(scene: &Scene, lease: &str) -> Option<String> {
    let api = "coordination.k8s.io/v1";
    let lease = scene.world.get(api, "Lease", NAMESPACE, lease)?;
    Some(lease["spec"]["holderIdentity"].as_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_24_while_another_holds_a_lease_of_flux_nothing_is_touched() {
    for name in LEASES {
        let (mut scene, commit) = untouched().await;
        scene.world.apply(&lease(name, "flux-7d"));
        let looks = looks("coordination.k8s.io", "leases").name(name);
        let mut holding = scene.faults().hold(looks.times(2), HoldAt::After);
        let mark = scene.world.mark();
        scene.world.start().await;
        held(&mut holding).await.release();
        let said = format!(
            "another controller reconciles, and nothing is touched until it stops: flux-7d holds the lease \
             flux-system/{name}, which is taken over once it is not renewed any more"
        );
        scene.world.log().until(&said).await;
        scene.world.pass(Duration::from_secs(6));
        let again = held(&mut holding).await;
        assert_untouched(&scene, mark);
        scene.world.apply(&lease(name, ""));
        again.release();
        scene.world.until_applied("app", &commit).await;
        for name in LEASES {
            assert_eq!(holder_of(&scene, name).as_deref(), Some("coracle"), "{name}");
        }
        scene.world.stop().await;
        for name in LEASES {
            assert_eq!(holder_of(&scene, name).as_deref(), Some(""), "{name} is let go");
        }
    }
}

const KUSTOMIZE_LEASE: &str = "kustomize-controller-leader-election";
const FLUX: &str = "kustomize-controller-7d";

/// A controller that waits while another holds a lease, and whose looks at it are held.
struct Standby {
    scene: Scene,
    commit: String,
    looks: Holding,
}

impl Standby {
    async fn of(lease: &Value, looks_held: u64) -> Self {
        let (mut scene, commit) = untouched().await;
        let world = &mut scene.world;
        world.apply(lease);
        let looks = looks("coordination.k8s.io", "leases").name(KUSTOMIZE_LEASE);
        let looks = world
            .cluster
            .faults()
            .hold(looks.times(looks_held), HoldAt::After);
        world.start().await;
        Self { scene, commit, looks }
    }

    /// Waits until the first look was taken in.
    async fn until_it_waits(&self) {
        self.scene
            .world
            .log()
            .until("another controller reconciles")
            .await;
    }

    /// The next look, which has its answer and is held.
    async fn look(&mut self) -> Held {
        held(&mut self.looks).await
    }

    fn pass(&self, seconds: u64) {
        self.scene.world.pass(Duration::from_secs(seconds));
    }

    fn holder(&self) -> String {
        holder_of(&self.scene, KUSTOMIZE_LEASE).unwrap()
    }

    async fn until_it_leads(&self) {
        self.scene.world.until_applied("app", &self.commit).await;
        assert_eq!(self.holder(), "coracle");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_24_a_lease_is_taken_once_it_was_not_renewed_while_it_was_watched_whatever_clock_it_was_written_by()
 {
    let mut slow = lease(KUSTOMIZE_LEASE, FLUX);
    slow["spec"]["renewTime"] = json!("2020-01-01T00:00:00.000000Z");
    let mut standby = Standby::of(&slow, 3).await;
    standby.look().await.release();
    standby.until_it_waits().await;
    standby.pass(20);
    standby.look().await.release();
    // What is passed before it sleeps is added to its sleep: 40 to 50 s at the next look.
    standby.pass(20);
    let last = standby.look().await;
    assert_eq!(standby.holder(), FLUX);
    last.release();
    standby.until_it_leads().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_24_a_lease_that_is_renewed_while_it_is_watched_is_left_to_its_holder() {
    let mut standby = Standby::of(&lease(KUSTOMIZE_LEASE, FLUX), 3).await;
    standby.look().await.release();
    standby.until_it_waits().await;
    let mut renewed = lease(KUSTOMIZE_LEASE, FLUX);
    renewed["spec"]["renewTime"] = json!("2030-01-01T00:00:00.000000Z");
    standby.scene.world.apply(&renewed);
    standby.pass(40);
    standby.look().await.release();
    standby.pass(6);
    let again = standby.look().await;
    assert_eq!(standby.holder(), FLUX);
    // It stops without a word.
    again.release();
    standby.pass(40);
    standby.until_it_leads().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_24_a_slow_answer_does_not_make_a_lease_older_than_it_is() {
    let mut standby = Standby::of(&lease(KUSTOMIZE_LEASE, FLUX), 3).await;
    let slow = standby.look().await;
    standby.pass(40);
    slow.release();
    standby.until_it_waits().await;
    standby.pass(6);
    standby.look().await.release();
    standby.pass(6);
    let again = standby.look().await;
    assert_eq!(standby.holder(), FLUX);
    again.release();
    standby.pass(35);
    standby.until_it_leads().await;
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

/// A Deployment of one of Flux's controllers.
fn flux(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "m", "image": "m"}]},
            },
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_24_while_a_deployment_of_flux_runs_nothing_is_touched() {
    for name in ["source-controller", "kustomize-controller"] {
        let (mut scene, commit) = untouched().await;
        scene.world.apply(&flux(name, 1));
        let looks = looks("apps", "deployments").name(name);
        let mut holding = scene.faults().hold(looks.times(2), HoldAt::After);
        let mark = scene.world.mark();
        scene.world.start().await;
        held(&mut holding).await.release();
        let said = format!(
            "another controller reconciles, and nothing is touched until it stops: Flux's Deployment \
             flux-system/{name} (stop it: kubectl -n flux-system scale deployment {name} --replicas=0)"
        );
        scene.world.log().until(&said).await;
        scene.world.pass(Duration::from_secs(6));
        let again = held(&mut holding).await;
        assert_untouched(&scene, mark);
        for lease in LEASES {
            assert_eq!(holder_of(&scene, lease), None);
        }
        scene.world.apply(&flux(name, 0));
        again.release();
        scene.world.until_applied("app", &commit).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_24_controllers_of_flux_that_coracle_does_not_replace_may_run() {
    let (mut scene, commit) = untouched().await;
    for name in ["helm-controller", "notification-controller"] {
        scene.world.apply(&flux(name, 1));
        scene
            .world
            .apply(&lease(&format!("{name}-leader-election"), "flux-7d"));
    }
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    assert!(!scene.world.log().text().contains("another controller reconciles"));
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
        "leadership was lost: the leases could not be renewed before they ran out"
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
