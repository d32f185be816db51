//! Namespaces whose deletion takes long, by the controller that does it.

use serde_json::{Value, json};

use crate::shared;
use crate::team::{KUSTOMIZATION, Team};

/// A namespace and what is in it; the team's own one holds the Kustomization.
fn quay(name: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Namespace
metadata: {{name: {name}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: boat, namespace: {name}}}
data: {{boat: coracle}}
"
    )
}

/// An object of somebody else that has its namespace wait.
fn rope(namespace: &str, finalizers: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "rope", "namespace": namespace, "finalizers": finalizers },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_cannot_go_is_told_with_what_keeps_it_and_is_made_anew_when_it_is_gone() {
    let installation = shared::installation().await;
    let team = Team::new(installation, "harbour").await;
    let commit = team.commit(&[("quay.yaml", &quay("harbour-quay"))]).await;
    team.kustomization(&json!({ "targetNamespace": null, "timeout": "10s" }))
        .await;
    team.ready(&commit).await;
    team.apply(&rope("harbour-quay", &json!(["example.org/tied"])))
        .await;
    team.begin_to_delete("Namespace", "harbour-quay").await;
    insta::assert_snapshot!(team.is_doing("finalizers remaining").await, @"Namespace/harbour-quay is being deleted and is not gone yet: Some resources are remaining: configmaps. has 1 resource instances; Some content in the namespace has finalizers remaining: example.org/tied in 1 resource instances");
    insta::assert_snapshot!(team.fails("(the run took longer than spec.timeout)").await, @"Namespace/harbour-quay is being deleted and is not gone yet: Some resources are remaining: configmaps. has 1 resource instances; Some content in the namespace has finalizers remaining: example.org/tied in 1 resource instances (the run took longer than spec.timeout)");
    team.apply(&rope("harbour-quay", &json!([]))).await;
    team.until("Namespace", "harbour-quay", "to be there again", |namespace| {
        namespace.metadata.deletion_timestamp.is_none()
    })
    .await;
    team.ready(&commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_for_a_namespace_of_others_that_is_going_wait_for_the_next_one_of_its_name() {
    let installation = shared::installation().await;
    let team = Team::new(installation, "mooring").await;
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "mooring-buoy" } });
    team.apply(&namespace).await;
    team.apply(&rope("mooring-buoy", &json!(["example.org/tied"])))
        .await;
    team.begin_to_delete("Namespace", "mooring-buoy").await;
    team.until("Namespace", "mooring-buoy", "to be looked at", |namespace| {
        coracle::objects::condition(&namespace.data, "NamespaceFinalizersRemaining").is_some()
    })
    .await;
    let boat = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: boat, namespace: mooring-buoy}\n";
    let commit = team.commit(&[("boat.yaml", boat)]).await;
    // Only what happens has it try again.
    team.kustomization(&json!({ "targetNamespace": null, "retryInterval": "1h" }))
        .await;
    insta::assert_snapshot!(team.fails("").await, @r#"ConfigMap/mooring-buoy/boat (boat.yaml:1) dry-run failed: configmaps "boat" is forbidden: unable to create new content in namespace mooring-buoy because it is being terminated (Namespace/mooring-buoy is being deleted and is not gone yet: Some resources are remaining: configmaps. has 1 resource instances; Some content in the namespace has finalizers remaining: example.org/tied in 1 resource instances)"#);
    team.apply(&rope("mooring-buoy", &json!([]))).await;
    team.gone("Namespace", "mooring-buoy").await;
    team.apply(&namespace).await;
    team.ready(&commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomization_that_waits_for_the_end_of_its_objects_says_what_keeps_them() {
    let installation = shared::installation().await;
    let team = Team::new(installation, "anchor").await;
    let tied = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: boat, finalizers: [example.org/tied]}\n";
    let commit = team.commit(&[("boat.yaml", tied)]).await;
    team.kustomization(&json!({ "deletionPolicy": "WaitForTermination", "timeout": "4s" }))
        .await;
    team.ready(&commit).await;
    team.begin_to_delete(KUSTOMIZATION, "anchor").await;
    insta::assert_snapshot!(team.fails("").await, @"ConfigMap/anchor/boat is being deleted and is not gone yet: the finalizer example.org/tied is left, which whoever set it removes when it has cleaned up");
    team.edit(
        "ConfigMap",
        "boat",
        &json!({ "metadata": { "finalizers": null } }),
    )
    .await;
    team.gone(KUSTOMIZATION, "anchor").await;
    team.gone("ConfigMap", "boat").await;
}
