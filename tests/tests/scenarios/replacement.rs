//! Rules 17 and 18: fields that are taken over, and objects that can only be made anew.

use embedded_cluster::Fault;
use serde_json::{Value, json};
use tests::observe::{OWNER, uid};
use tests::world::NAMESPACE;

use crate::requests::requests;
use crate::{CLAIM, Needs, Scene, config_map};

/// A ConfigMap whose data cannot be changed in place.
fn sealed(name: &str, value: &str) -> String {
    format!("{}immutable: true\n", config_map(name, value))
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_17_fields_of_kubectl_are_taken_over_so_that_what_git_drops_goes() {
    let mut scene = Scene::new().await;
    let by_hand = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "a", "namespace": "default", "labels": {"by": "hand"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "data": {"key": "0", "dropped": "x"},
    });
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"},
        "data": {"other": "kept"},
    });
    scene.world.cluster.apply(&theirs, "somebody").unwrap();
    scene
        .world
        .cluster
        .merge(&by_hand, "kubectl-client-side-apply")
        .unwrap();
    let before = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    let after = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    assert_eq!(uid(&after), uid(&before));
    assert_eq!(after["data"], json!({"key": "1", "other": "kept"}));
    assert_eq!(after["metadata"]["annotations"], Value::Null);
    assert_eq!(
        after["metadata"]["labels"],
        json!({OWNER: "app", "kustomize.toolkit.fluxcd.io/namespace": NAMESPACE})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_an_immutable_field_is_named_with_the_remedy_and_force_carries_it_out() {
    let scene = Scene::applied(&[("a.yaml", &sealed("a", "1"))], &json!({})).await;
    let before = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    let commit = scene.push(&[("a.yaml", &sealed("a", "2"))]);
    let message = scene.world.until_failed("app", "ReconciliationFailed").await;
    insta::assert_snapshot!(message);
    assert_eq!(scene.data("a")["key"], "1");
    scene.world.respec("app", &json!({"force": true}));
    scene.world.until_applied("app", &commit).await;
    let after = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    assert_ne!(uid(&after), uid(&before));
    assert_eq!(after["data"]["key"], "2");
    scene
        .world
        .until_event("app", "ConfigMap/default/a recreated")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_nothing_is_deleted_whose_replacement_is_refused() {
    let scene = Scene::with(Needs::Faults)
        .applied(
            &[("a.yaml", &sealed("a", "1")), ("b.yaml", &config_map("b", "1"))],
            &json!({"force": true}),
        )
        .await;
    let proof = requests().name("a-replacement");
    scene
        .faults()
        .add(proof, Fault::forbidden("exceeded quota: objects"));
    let mark = scene.world.mark();
    scene.push(&[("a.yaml", &sealed("a", "2")), ("b.yaml", &config_map("b", "2"))]);
    let message = scene.world.until_failed("app", "ReconciliationFailed").await;
    assert_eq!(
        message,
        "ConfigMap/default/a (app/a.yaml:1) would have to be deleted and created anew, and its \
         replacement is refused: exceeded quota: objects"
    );
    assert!(
        !scene
            .world
            .writes_since(mark)
            .iter()
            .any(|line| line.contains("configmaps"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_what_holds_data_is_recreated_only_by_an_annotation_on_itself() {
    let scene = Scene::applied(&[("claim.yaml", CLAIM)], &json!({"force": true})).await;
    let before = scene
        .world
        .get("v1", "PersistentVolumeClaim", "default", "data")
        .unwrap();
    let other = CLAIM.replace("ReadWriteOnce", "ReadWriteMany");
    scene.push(&[("claim.yaml", &other)]);
    let message = scene.world.until_failed("app", "ReconciliationFailed").await;
    assert!(
        message.starts_with("PersistentVolumeClaim/default/data (app/claim.yaml:"),
        "{message}"
    );
    let annotated = other.replace(
        "namespace: default}",
        "namespace: default, annotations: {kustomize.toolkit.fluxcd.io/force: enabled}}",
    );
    scene.deploy(&[("claim.yaml", &annotated)]).await;
    let after = scene
        .world
        .get("v1", "PersistentVolumeClaim", "default", "data")
        .unwrap();
    assert_ne!(uid(&after), uid(&before));
    assert_eq!(after["spec"]["accessModes"], json!(["ReadWriteMany"]));
}
