//! Admission webhooks: one that is down, one that will have no dry runs, and those that change what is applied.

use serde_json::{Value, json};
use tests::control_plane::{Reviewed, Webhook};

use crate::admission::config_map;
use crate::shared;
use crate::team::Team;

/// The configuration of a webhook that is asked about ConfigMaps of one namespace.
fn configuration(kind: &str, namespace: &str, webhook: &Webhook) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": { "name": namespace },
        "webhooks": [{
            "name": format!("{namespace}.example.org"), "clientConfig": webhook.client_config(),
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["configmaps"],
            }],
            "failurePolicy": "Fail", "sideEffects": "NoneOnDryRun", "timeoutSeconds": 2,
            "admissionReviewVersions": ["v1"],
        }],
    })
}

const VALIDATING: &str = "ValidatingWebhookConfiguration";
const MUTATING: &str = "MutatingWebhookConfiguration";

fn boat(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "probe", "namespace": namespace },
        "data": { "boat": "raft" },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_down_is_named_and_asked_again_until_it_is_up() {
    let installation = shared::installation().await;
    let team = Team::new(installation, "absent").await;
    let mut webhook = Webhook::down(&installation.control_plane);
    team.apply(&configuration(VALIDATING, "absent", &webhook)).await;
    team.refuses(&boat("absent")).await;
    let files: Vec<(String, String)> = (0..20)
        .map(|number| {
            (
                format!("{number}.yaml"),
                config_map(&format!("boat-{number}"), "coracle"),
            )
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    let commit = team.commit(&files).await;
    team.kustomization(&json!({})).await;
    let why = team.fails("").await.replace(&webhook.address(), "WEBHOOK");
    insta::assert_snapshot!(why.lines().next().unwrap(), @r#"ConfigMap/absent/boat-0 (0.yaml:1) dry-run failed: Internal error occurred: failed calling webhook "absent.example.org": failed to call webhook: Post "https://WEBHOOK/review?timeout=2s": dial tcp WEBHOOK: connect: connection refused"#);

    webhook.serve(|_| Reviewed::Allowed).await;
    team.ready(&commit).await;
    team.remove_configuration(VALIDATING).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_will_have_no_dry_runs_is_quoted_and_none_can_be_registered_that_the_server_keeps_from_them()
 {
    let installation = shared::installation().await;
    let team = Team::new(installation, "wet").await;
    let mut webhook = Webhook::down(&installation.control_plane);
    let mut with_side_effects = configuration(VALIDATING, "wet", &webhook);
    with_side_effects["webhooks"][0]["sideEffects"] = "Some".into();
    let refused = team.world.apply(&with_side_effects).await.unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(
        why.contains("supported values: \"None\", \"NoneOnDryRun\""),
        "{why}"
    );

    let review = |request: &Value| match request["dryRun"].as_bool() {
        Some(true) => Reviewed::Denied("it counts what it sees and takes no dry runs".to_owned()),
        _ => Reviewed::Allowed,
    };
    webhook.serve(review).await;
    team.apply(&configuration(VALIDATING, "wet", &webhook)).await;
    team.refuses(&boat("wet")).await;
    let commit = team
        .commit(&[("boat.yaml", &config_map("boat", "coracle"))])
        .await;
    team.kustomization(&json!({})).await;
    insta::assert_snapshot!(team.fails("").await, @r#"ConfigMap/wet/boat (boat.yaml:1) dry-run failed: admission webhook "wet.example.org" denied the request: it counts what it sees and takes no dry runs"#);
    team.remove_configuration(VALIDATING).await;
    team.ready(&commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_makes_of_an_object_is_no_drift() {
    let installation = shared::installation().await;
    let team = Team::new(installation, "painted").await;
    let mut webhook = Webhook::down(&installation.control_plane);
    // It changes what Git has, adds what Git has not, and says so in what is the same each time.
    let paint = |_: &Value| {
        Reviewed::Changed(json!([
            { "op": "add", "path": "/data/boat", "value": "painted" },
            { "op": "add", "path": "/data/colour", "value": "red" },
        ]))
    };
    webhook.serve(paint).await;
    team.apply(&configuration(MUTATING, "painted", &webhook)).await;
    team.changes("painted").await;
    let commit = team
        .commit(&[("boat.yaml", &config_map("boat", "coracle"))])
        .await;
    team.kustomization(&json!({})).await;
    team.ready(&commit).await;
    let boat = team.get("ConfigMap", "boat").await.unwrap();
    assert_eq!(boat.data["data"], json!({ "boat": "painted", "colour": "red" }));

    let mark = installation.control_plane.audit_mark();
    for token in ["once", "twice", "thrice"] {
        team.reconcile(token).await;
    }
    assert_eq!(installation.written("painted", mark), [] as [&str; 0]);
    team.remove_configuration(MUTATING).await;
    // Without the webhook, Git's value stands again, and what was added belongs to nobody.
    team.until("ConfigMap", "boat", "to be as Git has it", |boat| {
        boat.data["data"]["boat"] == "coracle"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_changes_an_object_otherwise_each_time_causes_a_write_for_each_look_and_no_more() {
    let installation = shared::installation().await;
    let team = Team::new(installation, "stamped").await;
    let mut webhook = Webhook::down(&installation.control_plane);
    let stamp = |_: &Value| {
        let now = jiff::Timestamp::now().to_string();
        Reviewed::Changed(json!([{ "op": "add", "path": "/data/boat", "value": now }]))
    };
    webhook.serve(stamp).await;
    team.apply(&configuration(MUTATING, "stamped", &webhook)).await;
    team.changes("stamped").await;
    let commit = team
        .commit(&[("boat.yaml", &config_map("boat", "coracle"))])
        .await;
    team.kustomization(&json!({})).await;
    team.ready(&commit).await;

    let mark = installation.control_plane.audit_mark();
    for token in ["once", "twice", "thrice"] {
        team.reconcile(token).await;
    }
    let written = installation.written("stamped", mark);
    assert!(written.len() <= 3, "{written:#?}");
    team.remove_configuration(MUTATING).await;
}

impl Team {
    /// Waits until the API server has a webhook change objects of a namespace.
    async fn changes(&self, namespace: &str) {
        self.admits(&boat(namespace), |boat| boat.data["data"]["boat"] != "raft")
            .await;
    }

    async fn remove_configuration(&self, kind: &str) {
        self.delete(&format!("admissionregistration.k8s.io/v1/{kind}"), self.name)
            .await;
    }
}
