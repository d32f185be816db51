//! `build` and `diff`: what they foresee, and how they say what is wrong.

use embedded_cluster::{ApiError, Fault, Match};
use serde_json::{Value, json};

use crate::terminal::Terminal;

const KUSTOMIZATION: &str = "kustomize.toolkit.fluxcd.io/v1";

/// A cluster, a Kustomization `apps` of the folder `apps`, and this file in it.
async fn with_file(text: &str) -> Terminal {
    let terminal = Terminal::installed().await;
    terminal.kustomization("apps", &json!({}));
    terminal.folder("apps");
    terminal.file("apps/objects.yaml", text);
    terminal
}

fn settings(namespace: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "settings", "namespace": namespace },
        "data": data,
    })
}

#[tokio::test]
async fn an_object_of_a_namespace_that_is_not_there_would_be_refused() {
    let terminal = with_file(&settings("nowhere", &json!({})).to_string()).await;
    insta::assert_snapshot!(terminal.run("diff apps").await, @r#"
    x ConfigMap/nowhere/settings (refused: namespaces "nowhere" not found)
    0 to create, 0 to change, 0 to delete, 0 unchanged, 1 refused
    error: ConfigMap/nowhere/settings would be refused, and the run would fail
    [5]
    "#);
}

#[tokio::test]
async fn an_object_of_a_namespace_that_comes_along_is_not_refused() {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    let terminal = with_file(&format!("{namespace}\n---\n{}", settings("shop", &json!({})))).await;
    insta::assert_snapshot!(terminal.run("diff apps").await, @r"
    + Namespace/shop
    + ConfigMap/shop/settings (not checked: its namespace comes with this Kustomization)
    2 to create, 0 to change, 0 to delete, 0 unchanged
    [1]
    ");
}

#[tokio::test]
async fn a_namespaced_object_without_a_namespace_would_be_refused() {
    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" } });
    let terminal = with_file(&object.to_string()).await;
    insta::assert_snapshot!(terminal.run("diff apps").await, @r"
    x ConfigMap/settings (refused: it has no namespace: set metadata.namespace, or spec.targetNamespace of the Kustomization)
    0 to create, 0 to change, 0 to delete, 0 unchanged, 1 refused
    error: ConfigMap/settings would be refused, and the run would fail
    [5]
    ");
}

#[tokio::test]
async fn what_goes_with_the_entries_of_kubectl_is_shown() {
    let terminal = with_file(&settings("default", &json!({ "level": "1" })).to_string()).await;
    let live = settings("default", &json!({ "level": "1", "edited": "by hand" }));
    terminal.cluster.apply(&live, "kubectl").unwrap();
    insta::assert_snapshot!(terminal.run("diff apps").await, @r#"
    ~ ConfigMap/default/settings
        /metadata/labels/kustomize.toolkit.fluxcd.io~1name: nothing -> "apps"
        /metadata/labels/kustomize.toolkit.fluxcd.io~1namespace: nothing -> "flux-system"
        /data/edited: "by hand" -> nothing
    0 to create, 1 to change, 0 to delete, 0 unchanged
    [1]
    "#);
    insta::assert_snapshot!(terminal.run("diff apps -o json").await, @r#"
    {
      "changes": [
        {
          "action": "configured",
          "fields": [
            {
              "from": null,
              "path": "/metadata/labels/kustomize.toolkit.fluxcd.io~1name",
              "to": "apps"
            },
            {
              "from": null,
              "path": "/metadata/labels/kustomize.toolkit.fluxcd.io~1namespace",
              "to": "flux-system"
            },
            {
              "from": "by hand",
              "path": "/data/edited",
              "to": null
            }
          ],
          "object": "ConfigMap/default/settings",
          "why": null
        }
      ],
      "guard": null,
      "unchanged": 0
    }
    [1]
    "#);
}

#[tokio::test]
async fn a_refused_value_that_is_a_variable_is_told_so() {
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "settings", "namespace": "default", "labels": { "environment": "${environment}" } },
    });
    let terminal = with_file(&settings.to_string()).await;
    insta::assert_snapshot!(terminal.run("diff apps").await, @r#"
    x ConfigMap/default/settings (refused: dry-run failed: ConfigMap "settings" is invalid: metadata.labels: Invalid value: "${environment}": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?'); `${environment}` was not replaced: the Kustomization has no variables; set environment in spec.postBuild.substitute)
    0 to create, 0 to change, 0 to delete, 0 unchanged, 1 refused
    error: ConfigMap/default/settings would be refused, and the run would fail
    [5]
    "#);
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_answered_with_those_that_do() {
    let terminal = with_file("").await;
    terminal.folder("clusters/production");
    insta::assert_snapshot!(terminal.run("build --path clusters/producton").await, @r"
    error: there is no folder clusters/producton
    hint: Is clusters/production meant?
    [3]
    ");
    insta::assert_snapshot!(terminal.run("build --path elsewhere").await, @r"
    error: there is no folder elsewhere
    hint: This directory has the folders apps, clusters.
    hint: --source names the directory that stands for the repository.
    [3]
    ");
    insta::assert_snapshot!(terminal.run("build --source clusters --path elsewhere").await, @r"
    error: there is no folder clusters/elsewhere
    hint: clusters has the folders production.
    hint: --source names the directory that stands for the repository.
    [3]
    ");
}

#[tokio::test]
async fn a_file_that_is_wrong_is_named_as_a_person_would_type_it() {
    let terminal = with_file("kind: ConfigMap\nmetadata: [\n").await;
    insta::assert_snapshot!(terminal.run("build --path apps").await, @r#"
    error: cannot build apps
      because in resources entry "./objects.yaml": apps/objects.yaml:3:1: did not find expected node content
    [5]
    "#);
    insta::assert_snapshot!(terminal.run("build --source apps --path .").await, @r#"
    error: cannot build apps
      because in resources entry "./objects.yaml": apps/objects.yaml:3:1: did not find expected node content
    [5]
    "#);
}

#[tokio::test]
async fn what_is_encrypted_is_answered_with_the_option_for_keys() {
    let terminal = with_file("").await;
    let secret = include_str!("../../../apps/shop/overlays/staging/database.sops.yaml");
    terminal.file("apps/objects.yaml", secret);
    insta::assert_snapshot!(terminal.run("build --path apps").await, @r"
    error: cannot build apps
      because apps/objects.yaml:1: Secret/database is encrypted with SOPS to age1l2y4wx5ddm2hulcrr78zun3ls847t2tzaegkqal7y4g0upgtrs7qyf4rsp, and spec.decryption is missing: set its provider to `sops` and its secretRef to a Secret that holds the identity
    hint: --age-key FILE decrypts with the age keys in a file.
    [5]
    ");
    let object = json!({
        "apiVersion": KUSTOMIZATION, "kind": "Kustomization", "metadata": { "name": "apps" },
        "spec": {
            "interval": "1m", "prune": true, "path": "apps",
            "sourceRef": { "kind": "GitRepository", "name": "apps" }, "decryption": { "provider": "sops" },
        },
    });
    terminal.file("apps.yaml", &object.to_string());
    insta::assert_snapshot!(terminal.run("build -k apps.yaml --offline").await, @r"
    error: cannot build apps
      because apps/objects.yaml: no key for it: it is encrypted to age1l2y4wx5ddm2hulcrr78zun3ls847t2tzaegkqal7y4g0upgtrs7qyf4rsp; name a Secret in spec.decryption.secretRef that holds the identity of one of them in a key that ends in `.agekey`
    hint: --age-key FILE decrypts with other keys than these.
    [5]
    ");
}

#[tokio::test]
async fn an_invalid_object_of_a_namespace_that_is_there_and_comes_along_would_be_refused() {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    let mut invalid = settings("shop", &json!({}));
    invalid["metadata"]["labels"] = json!({ "tier": "not a label" });
    let terminal = with_file(&format!("{namespace}\n---\n{invalid}")).await;
    terminal.cluster.apply(&namespace, "kubectl").unwrap();
    let shown = terminal.run("diff apps").await;
    assert!(
        shown.contains("x ConfigMap/shop/settings (refused: dry-run failed:"),
        "{shown}"
    );
    assert!(shown.ends_with("[5]"), "{shown}");
}

#[tokio::test]
async fn an_object_without_a_namespace_of_a_kind_that_comes_along_would_be_refused() {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "boats.example.org" },
        "spec": {
            "group": "example.org", "scope": "Namespaced", "names": { "kind": "Boat", "plural": "boats" },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": { "type": "object" } },
            }],
        },
    });
    let boat = json!({ "apiVersion": "example.org/v1", "kind": "Boat", "metadata": { "name": "coracle" } });
    let terminal = with_file(&format!("{definition}\n---\n{boat}")).await;
    insta::assert_snapshot!(terminal.run("diff apps").await, @r"
    + CustomResourceDefinition/boats.example.org
    x Boat/coracle (refused: it has no namespace: set metadata.namespace, or spec.targetNamespace of the Kustomization)
    1 to create, 0 to change, 0 to delete, 0 unchanged, 1 refused
    error: Boat/coracle would be refused, and the run would fail
    [5]
    ");
}

#[tokio::test]
async fn what_a_webhook_keeps_from_being_compared_is_not_checked() {
    let terminal = with_file(&settings("default", &json!({ "level": "2" })).to_string()).await;
    let words = "admission webhook \"boats.example.org\" does not support dry run";
    let dry_runs = Match::default().resource("", "configmaps").dry_run(true);
    let refused = Fault::Refuse(ApiError::new(400, "BadRequest", words));
    terminal.cluster.faults().add(dry_runs, refused);
    insta::assert_snapshot!(terminal.run("diff apps").await, @r"
    + ConfigMap/default/settings (not checked: a webhook refuses dry runs)
    1 to create, 0 to change, 0 to delete, 0 unchanged
    [1]
    ");
    terminal
        .cluster
        .apply(
            &settings("default", &json!({ "level": "1" })),
            "kustomize-controller",
        )
        .unwrap();
    insta::assert_snapshot!(terminal.run("diff apps").await, @r"
    ~ ConfigMap/default/settings (not checked: a webhook refuses dry runs)
    0 to create, 0 to change, 0 to delete, 0 unchanged, 1 not checked
    [1]
    ");
    insta::assert_snapshot!(terminal.run("diff apps -o json").await, @r#"
    {
      "changes": [
        {
          "action": "unknown",
          "fields": [],
          "object": "ConfigMap/default/settings",
          "why": "a webhook refuses dry runs"
        }
      ],
      "guard": null,
      "unchanged": 0
    }
    [1]
    "#);
}

/// Gives the Kustomization in the cluster variables from a Secret.
fn substitute_from_secret(terminal: &Terminal, variables: &Value) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "variables", "namespace": "flux-system" },
        "stringData": variables,
    });
    terminal.cluster.apply(&secret, "kubectl").unwrap();
    let reads = json!({
        "apiVersion": KUSTOMIZATION, "kind": "Kustomization",
        "metadata": { "name": "apps", "namespace": "flux-system" },
        "spec": { "postBuild": { "substituteFrom": [{ "kind": "Secret", "name": "variables" }] } },
    });
    terminal.cluster.merge(&reads, "kubectl").unwrap();
}

#[tokio::test]
async fn neither_a_new_secret_nor_the_one_that_it_replaces_is_shown() {
    let annotated = |token: &str| {
        let mut object = settings("default", &json!({}));
        object["metadata"]["annotations"] = json!({ "hook": format!("https://hook.example.org/{token}") });
        object
    };
    let terminal = with_file(&annotated("${token}").to_string()).await;
    substitute_from_secret(&terminal, &json!({ "token": "the-new-token" }));
    let live = annotated("the-old-token");
    terminal.cluster.apply(&live, "kustomize-controller").unwrap();
    let shown = terminal.run("diff apps").await;
    assert!(
        shown.contains("/metadata/annotations/hook: \"***\" -> \"https://hook.example.org/***\"\n"),
        "{shown}"
    );
    let shown = terminal.run("diff apps -o json").await;
    assert!(
        shown.contains("https://hook.example.org/***") && !shown.contains("the-old-token"),
        "{shown}"
    );
}

/// A Kustomization in the cluster whose Secret gave a value of what it applied, and files that say something else.
async fn with_a_secret_that_goes() -> Terminal {
    let terminal = with_file(&settings("default", &json!({ "password": "in Vault" })).to_string()).await;
    substitute_from_secret(&terminal, &json!({ "password": "the-password" }));
    let live = settings("default", &json!({ "password": "the-password", "user": "shop" }));
    terminal.cluster.apply(&live, "kustomize-controller").unwrap();
    terminal.file(
        "apps.yaml",
        &json!({
            "apiVersion": KUSTOMIZATION, "kind": "Kustomization",
            "metadata": { "name": "apps", "namespace": "flux-system" },
            "spec": {
                "interval": "10m", "prune": true, "path": "./apps",
                "sourceRef": { "kind": "GitRepository", "name": "apps" },
            },
        })
        .to_string(),
    );
    terminal
}

#[tokio::test]
async fn a_secret_that_a_change_takes_away_is_not_shown() {
    let terminal = with_a_secret_that_goes().await;
    let shown = terminal.run("diff apps").await;
    insta::assert_snapshot!(shown, @r#"
    ~ ConfigMap/default/settings
        /metadata/labels/kustomize.toolkit.fluxcd.io~1name: nothing -> "apps"
        /metadata/labels/kustomize.toolkit.fluxcd.io~1namespace: nothing -> "flux-system"
        /data/password: "***" -> "in Vault"
        /data/user: "shop" -> nothing
    0 to create, 1 to change, 0 to delete, 0 unchanged
    [1]
    "#);
    assert_eq!(terminal.run("diff --kustomization apps.yaml").await, shown);
}

#[tokio::test]
async fn where_the_secrets_of_what_is_there_cannot_be_read_it_is_masked() {
    let terminal = with_a_secret_that_goes().await;
    let words = "secrets \"variables\" is forbidden: User \"reader\" cannot get resource \"secrets\"";
    let secrets = Match::default().resource("", "secrets");
    let rule = terminal.cluster.faults().add(secrets, Fault::forbidden(words));
    insta::assert_snapshot!(terminal.run("diff --kustomization apps.yaml").await, @r#"
    ~ ConfigMap/default/settings
        /metadata/labels/kustomize.toolkit.fluxcd.io~1name: nothing -> "apps"
        /metadata/labels/kustomize.toolkit.fluxcd.io~1namespace: nothing -> "flux-system"
        /data/password: "***" -> "in Vault"
        /data/user: "***" -> nothing
    0 to create, 1 to change, 0 to delete, 0 unchanged
    Values as they are now are masked: cannot read Secret flux-system/variables: secrets "variables" is forbidden: User "reader" cannot get resource "secrets".
    [1]
    "#);
    rule.remove();
    terminal
        .cluster
        .delete("v1", "Secret", "flux-system", "variables")
        .unwrap();
    let shown = terminal.run("diff --kustomization apps.yaml -o json").await;
    assert!(
        shown.contains("names Secret flux-system/variables, which is not there")
            && !shown.contains("the-password"),
        "{shown}"
    );
}

#[tokio::test]
async fn what_the_prune_guard_would_stop_is_refused_and_says_how_it_will_be_confirmed() {
    let terminal = with_file(&settings("default", &json!({})).to_string()).await;
    let mut entries = Vec::new();
    for number in 0..11 {
        let mut object = settings("default", &json!({}));
        object["metadata"]["name"] = format!("old-{number}").into();
        terminal.cluster.apply(&object, "kustomize-controller").unwrap();
        entries.push(json!({ "id": format!("default_old-{number}__ConfigMap"), "v": "v1" }));
    }
    terminal.kustomization("apps", &json!({ "inventory": { "entries": entries } }));
    let shown = terminal.run("diff apps").await;
    let end: Vec<&str> = shown.lines().skip(12).collect();
    insta::assert_snapshot!(end.join("\n"), @r"
    The prune guard would stop this: the revision would delete 11 of 11 objects.
    1 to create, 0 to change, 11 to delete, 0 unchanged
    error: the prune guard would stop the run
    hint: Put the objects back; or, if their removal is meant, apply it: the condition Ready of kustomization/apps will then give the command that confirms its revision.
    [5]
    ");
    let shown = terminal.run("diff apps -o json").await;
    assert!(
        shown.contains("\"guard\": \"would delete 11 of 11 objects\"") && shown.ends_with("[5]"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_folder_in_the_place_of_a_name_is_answered_with_the_option_for_folders() {
    let terminal = with_file("").await;
    terminal.folder("shop");
    insta::assert_snapshot!(terminal.run("build apps/shop/overlay --offline").await, @r"
    error: `apps/shop/overlay` is not the name of a Kustomization
    hint: A folder is named with `--path apps/shop/overlay`.
    [2]
    ");
    insta::assert_snapshot!(terminal.run("build shop").await, @r"
    error: there is no kustomization/shop in namespace flux-system
    hint: `coracle get all -A` prints those that exist.
    hint: shop is a folder too: `--path shop` names one.
    [3]
    ");
}

#[tokio::test]
async fn a_difference_is_that_of_a_kustomization_and_the_help_says_so() {
    let terminal = with_file("").await;
    terminal.folder("shop");
    for (command, default) in [
        ("diff", "the one in --kustomization"),
        (
            "build",
            "the one in --kustomization; without that, the plain folder --path",
        ),
    ] {
        let help = terminal.run(&format!("{command} -h")).await;
        let line = format!("[NAME]  The Kustomization [default: {default}]\n");
        assert!(help.contains(&line), "{help}");
    }
    let refused = terminal.run("diff --path shop").await;
    insta::assert_snapshot!(refused, @r"
    error: no Kustomization is named
    hint: Say its name, or a file with --kustomization; --path alone names a plain folder, which `coracle build` prints.
    [2]
    ");
    assert_eq!(terminal.run("diff").await, refused);
}
