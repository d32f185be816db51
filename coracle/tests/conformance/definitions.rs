//! Kinds that a Kustomization brings along, on an API server that takes a moment to serve them and checks their rules.

use serde_json::json;

use crate::shared;
use crate::team::Team;

/// The definition of a kind with a rule over two of its fields.
fn definition(group: &str) -> String {
    format!(
        "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: boats.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{kind: Boat, plural: boats, singular: boat}}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {{oars: {{type: integer}}, seats: {{type: integer, default: 2}}}}
            x-kubernetes-validations:
            - {{rule: 'self.oars <= self.seats', message: a boat has no more oars than seats}}
"
    )
}

fn boat(group: &str, name: &str, oars: u32) -> String {
    format!("apiVersion: {group}/v1\nkind: Boat\nmetadata: {{name: {name}}}\nspec: {{oars: {oars}}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_and_its_objects_are_installed_by_one_run() {
    let installation = shared::installation().await;
    let team = Team::new(installation, "shipyard").await;
    let group = "shipyard.example.org";
    let mark = installation.control_plane.audit_mark();
    let commit = team
        .commit(&[
            // The object comes first, by name and by folder.
            ("a-boat.yaml", &boat(group, "coracle", 1)),
            ("b-boat.yaml", &boat(group, "ferry", 2)),
            ("definition.yaml", &definition(group)),
        ])
        .await;
    team.kustomization(&json!({ "retryInterval": "1h" })).await;
    team.ready(&commit).await;
    let boats = team.list(&format!("{group}/v1/Boat")).await;
    assert_eq!(boats.len(), 2);
    assert_eq!(boats[0].data["spec"]["seats"], 2);
    let mut written = installation.written("shipyard", mark);
    written.sort();
    insta::assert_snapshot!(written.join("\n"), @"
    patch boats.shipyard.example.org shipyard/coracle -> 201
    patch boats.shipyard.example.org shipyard/ferry -> 201
    ");

    let kustomization = crate::team::KUSTOMIZATION;
    team.delete(kustomization, "shipyard").await;
    team.gone(
        "apiextensions.k8s.io/v1/CustomResourceDefinition",
        "boats.shipyard.example.org",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_breaks_a_rule_of_its_kind_is_refused_with_the_rule_also_when_both_are_new() {
    let team = Team::new(shared::installation().await, "rules").await;
    let group = "rules.example.org";
    team.commit(&[
        ("definition.yaml", &definition(group)),
        ("boat.yaml", &boat(group, "galley", 40)),
        ("good.yaml", &boat(group, "coracle", 1)),
    ])
    .await;
    team.kustomization(&json!({})).await;
    insta::assert_snapshot!(team.fails("").await, @r#"Boat/rules/galley (boat.yaml:1) dry-run failed: Boat.rules.example.org "galley" is invalid: spec: Invalid value: a boat has no more oars than seats"#);
    // What is refused after the definition is served keeps the other objects back, as before.
    assert!(team.list(&format!("{group}/v1/Boat")).await.is_empty());

    let commit = team.commit(&[("boat.yaml", &boat(group, "galley", 2))]).await;
    team.ready(&commit).await;
    assert_eq!(team.list(&format!("{group}/v1/Boat")).await.len(), 2);
}
