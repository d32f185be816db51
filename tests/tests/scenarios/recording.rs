//! Rules 1 to 5: what is recorded before anything is written, and what a write may touch.

use std::time::Duration;

use embedded_cluster::{Fault, HoldAt};
use serde_json::{Value, json};
use tests::observe::{ids, uid};
use tests::world::{KUSTOMIZE_API, NAMESPACE};

use crate::leadership::lease;
use crate::requests::{applies, deletes, looks, previews, statuses};
use crate::{Needs, Scene, config_map, held};

/// Applies of objects of a kind: no previews, no statuses.
/// An object as the controller would apply it.
fn labelled(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": name, "namespace": "default",
            "labels": {"kustomize.toolkit.fluxcd.io/name": "app", "kustomize.toolkit.fluxcd.io/namespace": NAMESPACE},
        },
        "data": {"key": "late"},
    })
}

/// A write of this object that was sent before everything else arrives at last, and no other can come after it.
fn late_write(scene: &Scene, name: &str) {
    scene
        .world
        .cluster
        .apply(&labelled(name), "kustomize-controller")
        .unwrap();
    scene.world.let_late_writes_expire();
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_1_finalizer_and_inventory_are_written_before_the_first_object() {
    let mut scene = Scene::with(Needs::Faults).empty().await;
    let commit = scene.commit(&[
        ("a.yaml", &config_map("a", "1")),
        ("b.yaml", &config_map("b", "1")),
    ]);
    let world = &mut scene.world;
    world.git_repository("app", "main");
    world.kustomization("app", "app", "./app", &json!({}));
    let mut holding = world
        .cluster
        .faults()
        .hold(applies().resource("", "configmaps").times(1), HoldAt::Before);
    let mark = world.mark();
    world.start().await;
    let first = held(&mut holding).await;
    assert_eq!(
        world.inventory("app"),
        ["default_a__ConfigMap", "default_b__ConfigMap"]
    );
    assert_eq!(
        world.get_kustomization("app")["metadata"]["finalizers"],
        json!(["finalizers.fluxcd.io"])
    );
    first.release();
    world.until_applied("app", &commit).await;
    let writes: Vec<String> = world
        .writes_since(mark)
        .into_iter()
        .filter(|line| line.contains("kustomizations") || line.contains("configmaps"))
        .collect();
    assert_eq!(
        writes[0],
        "patch kustomizations.kustomize.toolkit.fluxcd.io flux-system/app -> 200"
    );
    assert_eq!(
        writes[1],
        "patch kustomizations.kustomize.toolkit.fluxcd.io/status flux-system/app -> 200"
    );
    assert_eq!(writes.len(), 5, "{writes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_1_the_inventory_shrinks_only_when_the_object_is_really_gone() {
    let scene = Scene::with(Needs::Faults).a_and_b().await;
    let deletes = deletes("configmaps").times(1);
    scene.faults().add(
        deletes,
        Fault::forbidden("configmaps \"b\" is forbidden: not today"),
    );
    scene.push(&[("b.yaml", "")]);
    let message = scene.world.until_failed("app", "PruneFailed").await;
    assert_eq!(
        message,
        "ConfigMap/default/b could not be deleted: configmaps \"b\" is forbidden: not today"
    );
    assert_eq!(
        scene.world.inventory("app"),
        ["default_a__ConfigMap", "default_b__ConfigMap"]
    );
    scene.world.reconcile("app", "again").await;
    assert_eq!(scene.world.inventory("app"), ["default_a__ConfigMap"]);
    assert_eq!(scene.data("b"), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_1_an_inventory_that_somebody_else_changed_is_not_written_over() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let record = statuses();
    let mut holding = scene.faults().hold(record.times(1), HoldAt::Before);
    let commit = scene.push(&[("b.yaml", &config_map("b", "1"))]);
    let held = held(&mut holding).await;
    let mut object = scene.world.get_kustomization("app");
    object["status"]["inventory"]["entries"] = json!([
        {"id": "default_a__ConfigMap", "v": "v1"}, {"id": "default_stray__ConfigMap", "v": "v1"}
    ]);
    scene.world.cluster.update_status(&object, "somebody").unwrap();
    scene.world.apply(&labelled("stray"));
    held.release();
    let message = scene.world.until_failed("app", "ReconciliationFailed").await;
    assert!(
        message.starts_with("the inventory could not be recorded, nothing was applied: "),
        "{message}"
    );
    assert_eq!(scene.data("b"), Value::Null);
    scene.world.reconcile("app", "again").await;
    scene.world.until_applied("app", &commit).await;
    assert_eq!(
        scene.world.inventory("app"),
        ["default_a__ConfigMap", "default_b__ConfigMap"]
    );
    assert_eq!(scene.data("stray"), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_1_a_status_that_an_earlier_process_sent_and_that_arrives_late_is_refused() {
    let mut scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let mut holding = scene.faults().hold(statuses().times(1), HoldAt::Before);
    scene.push(&[("a.yaml", &config_map("a", "2"))]);
    let late = held(&mut holding).await;
    scene.world.kill();
    scene.world.start().await;
    let commit = scene.push(&[("b.yaml", &config_map("b", "1"))]);
    let settled = scene.world.until_applied("app", &commit).await;
    let mark = scene.world.mark();
    late.release();
    scene.world.reconcile("app", "after").await;
    let refused = "patch kustomizations.kustomize.toolkit.fluxcd.io/status flux-system/app -> 409";
    assert!(scene.world.since(mark).iter().any(|line| line == refused));
    assert_eq!(ids(&scene.world.get_kustomization("app")), ids(&settled));
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_2_after_a_restart_what_was_pruned_stays_recorded_until_no_late_write_can_bring_it_back() {
    let mut scene = Scene::with(Needs::Kubernetes).a_and_b().await;
    scene.world.stop().await;
    scene.commit(&[("b.yaml", "")]);
    let commit = scene.upstream.head();
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    assert_eq!(scene.data("b"), Value::Null);
    assert_eq!(
        scene.world.inventory("app"),
        ["default_a__ConfigMap", "default_b__ConfigMap"]
    );
    late_write(&scene, "b");
    scene
        .world
        .until_inventory("app", &["default_a__ConfigMap"])
        .await;
    assert_eq!(scene.data("b"), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_2_a_late_write_that_arrives_before_the_answer_to_a_deletion_is_not_forgotten() {
    let mut scene = Scene::with(Needs::Faults).a_and_b().await;
    scene.world.stop().await;
    let mut holding = scene.faults().hold(deletes("configmaps").times(1), HoldAt::After);
    scene.world.start().await;
    let commit = scene.push(&[("b.yaml", "")]);
    let deleted = held(&mut holding).await;
    late_write(&scene, "b");
    deleted.release();
    scene.world.until_applied("app", &commit).await;
    scene
        .world
        .until_inventory("app", &["default_a__ConfigMap"])
        .await;
    assert_eq!(scene.data("b"), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_2_so_does_what_a_create_without_an_answer_may_still_bring_back() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    scene.faults().add(
        applies().resource("", "configmaps").name("b").times(1),
        Fault::CutBefore,
    );
    scene.deploy(&[("b.yaml", &config_map("b", "1"))]).await;
    scene.deploy(&[("b.yaml", "")]).await;
    assert_eq!(scene.data("b"), Value::Null);
    assert_eq!(
        scene.world.inventory("app"),
        ["default_a__ConfigMap", "default_b__ConfigMap"]
    );
    late_write(&scene, "b");
    scene
        .world
        .until_inventory("app", &["default_a__ConfigMap"])
        .await;
    assert_eq!(scene.data("b"), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_2_a_finalizer_stays_until_no_late_write_can_leave_an_object_behind() {
    let mut scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    scene.world.stop().await;
    scene.world.start().await;
    let mut holding = scene.faults().hold(deletes("configmaps").times(1), HoldAt::After);
    scene
        .world
        .cluster
        .delete(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            NAMESPACE,
            "app",
        )
        .unwrap();
    let deleted = held(&mut holding).await;
    late_write(&scene, "a");
    deleted.release();
    scene
        .world
        .until_gone(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            NAMESPACE,
            "app",
        )
        .await;
    assert_eq!(scene.world.labelled(), Vec::<String>::new());
}

const CRDS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: zones.example.org}
spec:
  group: example.org
  scope: Cluster
  names: {kind: Zone, plural: zones}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: records.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Record, plural: records}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
";

#[tokio::test(flavor = "multi_thread")]
async fn rule_3_the_scope_of_a_kind_whose_definition_is_in_the_set_is_known_before_its_id_is_written() {
    let objects = "
apiVersion: example.org/v1
kind: Zone
metadata: {name: home, namespace: left-over}
---
apiVersion: example.org/v1
kind: Record
metadata: {name: www, namespace: default}
";
    let scene = Scene::applied(&[("crds.yaml", CRDS), ("objects.yaml", objects)], &json!({})).await;
    assert_eq!(
        scene.world.inventory("app"),
        [
            "_home_example.org_Zone",
            "_records.example.org_apiextensions.k8s.io_CustomResourceDefinition",
            "_zones.example.org_apiextensions.k8s.io_CustomResourceDefinition",
            "default_www_example.org_Record",
        ]
    );
    assert!(scene.world.get("example.org/v1", "Zone", "", "home").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_3_a_namespaced_object_without_a_namespace_is_refused_with_its_file() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    scene.push(&[(
        "b.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n",
    )]);
    let message = scene.world.until_failed("app", "ReconciliationFailed").await;
    assert_eq!(
        message,
        "ConfigMap/b (app/b.yaml:1): it has no namespace; set metadata.namespace, or spec.targetNamespace of the Kustomization"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_3_an_object_that_is_served_by_two_groups_is_not_pruned_under_its_old_name() {
    let event = |api_version: &str| {
        format!(
            "apiVersion: {api_version}\nkind: Event\nmetadata:\n  name: note\n  namespace: default\nreason: Noted\ntype: Normal\n"
        )
    };
    let scene = Scene::applied(
        &[("a.yaml", &config_map("a", "1")), ("note.yaml", &event("v1"))],
        &json!({}),
    )
    .await;
    let before = scene.world.get("v1", "Event", "default", "note").unwrap();
    scene.deploy(&[("note.yaml", &event("events.k8s.io/v1"))]).await;
    let after = scene
        .world
        .get("v1", "Event", "default", "note")
        .expect("it is not pruned");
    assert_eq!(uid(&after), uid(&before));
    assert_eq!(
        scene.world.inventory("app"),
        ["default_a__ConfigMap", "default_note_events.k8s.io_Event"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_4_an_object_that_is_going_away_is_left_alone_and_created_when_it_is_gone() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let world = &scene.world;
    world.keep_by("a", &["example.org/hold"]);
    let before = world.get("v1", "ConfigMap", "default", "a").unwrap();
    world.cluster.delete("v1", "ConfigMap", "default", "a").unwrap();
    // The second look is the one that waits.
    let looks = looks("", "configmaps").name("a");
    let mut holding = world.cluster.faults().hold(looks.nth(2), HoldAt::After);
    let mark = world.mark();
    let commit = scene.push(&[("a.yaml", &config_map("a", "2"))]);
    let look = held(&mut holding).await;
    assert!(
        !world
            .writes_since(mark)
            .iter()
            .any(|line| line.contains("configmaps"))
    );
    world.keep_by("a", &[]);
    look.release();
    world.until_applied("app", &commit).await;
    let after = world.get("v1", "ConfigMap", "default", "a").unwrap();
    assert_ne!(uid(&after), uid(&before));
    assert_eq!(after["data"]["key"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_4_an_update_of_an_object_that_is_gone_does_not_create_it_but_looks_again() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let mut holding = scene
        .faults()
        .hold(applies().resource("", "configmaps").times(1), HoldAt::Before);
    let mark = scene.world.mark();
    let commit = scene.push(&[("a.yaml", &config_map("a", "2"))]);
    let update = held(&mut holding).await;
    scene
        .world
        .cluster
        .delete("v1", "ConfigMap", "default", "a")
        .unwrap();
    update.release();
    scene.world.until_applied("app", &commit).await;
    let writes: Vec<String> = scene
        .world
        .since(mark)
        .into_iter()
        .filter(|line| line.contains("patch configmaps default/a"))
        .collect();
    assert_eq!(
        writes,
        [
            "patch configmaps default/a (dry run) -> 200",
            "patch configmaps default/a -> 409",
            "patch configmaps default/a (dry run) -> 201",
            "patch configmaps default/a -> 201",
        ]
    );
    assert_eq!(scene.data("a")["key"], "2");
}

/// A Namespace, which is written before the rest.
const SHOP: &str = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n";

/// Writes of the controller to ConfigMaps since a mark.
fn writes_of_config_maps(scene: &Scene, mark: u64) -> Vec<String> {
    let mut writes = scene.world.writes_since(mark);
    writes.retain(|line| line.contains("configmaps"));
    writes
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_5_a_run_whose_time_is_over_stops_before_its_next_write() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    scene.world.respec("app", &json!({"timeout": "2s"}));
    scene.world.reconcile("app", "with a timeout").await;
    let mut holding = scene
        .faults()
        .hold(applies().resource("", "namespaces").times(1), HoldAt::After);
    let mut asked = scene
        .faults()
        .hold(previews().resource("", "configmaps").name("m"), HoldAt::Before);
    scene.upstream.write("marker/m.yaml", config_map("m", "1"));
    let mark = scene.world.mark();
    let commit = scene.push(&[("a.yaml", &config_map("a", "2")), ("shop.yaml", SHOP)]);
    let write = held(&mut holding).await;
    // A run that begins later and has as long is over by its deadline, so that this one is too.
    scene
        .world
        .kustomization("marker", "app", "./marker", &json!({"timeout": "2s"}));
    let unanswered = held(&mut asked).await;
    scene.world.until_failed("marker", "ReconciliationFailed").await;
    write.release();
    let message = scene
        .until_failed_at("app", &commit, "ReconciliationFailed")
        .await;
    assert_eq!(message, "the run took longer than spec.timeout");
    assert_eq!(writes_of_config_maps(&scene, mark), [] as [&str; 0]);
    assert_eq!(scene.data("a")["key"], "1");
    assert!(scene.world.get("v1", "Namespace", "", "shop").is_some());
    drop(unanswered);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_5_a_run_whose_process_leads_no_more_stops_before_its_next_write() {
    let mut scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let mut holding = scene
        .faults()
        .hold(applies().resource("", "namespaces").times(1), HoldAt::After);
    let mark = scene.world.mark();
    scene.push(&[("a.yaml", &config_map("a", "2")), ("shop.yaml", SHOP)]);
    let write = held(&mut holding).await;
    scene
        .world
        .apply(&lease("kustomize-controller-leader-election", "another"));
    // It looks at its leases when it is to renew them.
    scene.world.pass(Duration::from_secs(30));
    scene.world.log().until("leadership is lost").await;
    write.release();
    let why = scene.world.until_ended().await;
    assert!(
        why.starts_with("leadership was lost: another holds the lease"),
        "{why}"
    );
    assert_eq!(writes_of_config_maps(&scene, mark), [] as [&str; 0]);
    assert_eq!(scene.data("a")["key"], "1");
    assert!(scene.world.get("v1", "Namespace", "", "shop").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_5_a_finalizer_stays_until_a_write_under_way_is_answered() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let writes = applies().resource("", "configmaps").times(1);
    let mut holding = scene.faults().hold(writes, HoldAt::Before);
    let mark = scene.world.mark();
    scene.push(&[("b.yaml", &config_map("b", "1"))]);
    let write = held(&mut holding).await;
    scene
        .world
        .cluster
        .delete(KUSTOMIZE_API, "Kustomization", NAMESPACE, "app")
        .unwrap();
    scene.until_seen_so_far().await;
    let leaving = scene.world.get_kustomization("app");
    assert!(leaving["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(leaving["metadata"]["finalizers"], json!(["finalizers.fluxcd.io"]));
    assert_eq!(writes_of_config_maps(&scene, mark), [] as [&str; 0]);
    write.release();
    scene
        .world
        .until_gone(KUSTOMIZE_API, "Kustomization", NAMESPACE, "app")
        .await;
    assert_eq!(scene.world.labelled(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_5_a_run_that_is_no_longer_wanted_stops_before_its_next_write() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let mut holding = scene
        .faults()
        .hold(applies().resource("", "namespaces").times(1), HoldAt::After);
    scene.push(&[("a.yaml", &config_map("a", "2")), ("shop.yaml", SHOP)]);
    let write = held(&mut holding).await;
    scene.world.respec("app", &json!({"suspend": true}));
    scene.until_seen_so_far().await;
    write.release();
    let mut scene = scene;
    scene.world.stop().await;
    assert_eq!(scene.data("a")["key"], "1");
    assert!(scene.world.get("v1", "Namespace", "", "shop").is_some());
    assert_eq!(
        scene.world.inventory("app"),
        ["_shop__Namespace", "default_a__ConfigMap"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_5_a_write_that_failed_is_not_sent_again_once_the_run_is_not_wanted_any_more() {
    let mut scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let mut holding = scene
        .faults()
        .hold(applies().resource("", "configmaps").times(1), HoldAt::Before);
    let mark = scene.world.mark();
    scene.push(&[("a.yaml", &config_map("a", "2"))]);
    let write = held(&mut holding).await;
    scene.world.respec("app", &json!({"suspend": true}));
    scene.until_seen_so_far().await;
    write.cut();
    scene.world.stop().await;
    let writes: Vec<String> = scene
        .world
        .since(mark)
        .into_iter()
        .filter(|line| line.starts_with("patch configmaps default/a") && !line.contains("dry run"))
        .collect();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!(scene.data("a")["key"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_could_not_be_written_is_written_without_another_run() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let world = &scene.world;
    let statuses = statuses().name("app");
    let refused = world.cluster.faults().add(statuses.times(5), Fault::throttled(0));
    let mark = world.mark();
    let commit = scene.push(&[("a.yaml", &config_map("a", "2"))]);
    world.until_applied("app", &commit).await;
    assert!(refused.matched() > 5);
    let previews: Vec<String> = world
        .since(mark)
        .into_iter()
        .filter(|line| line.contains("(dry run)"))
        .collect();
    assert_eq!(previews, ["patch configmaps default/a (dry run) -> 200"]);
}
