//! Secrets are planted wherever the commands around a Kustomization read one, and none of them is printed.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::terminal::{Terminal, two_kustomizations};

const KUSTOMIZATION: &str = "kustomize.toolkit.fluxcd.io/v1";
/// What objects are built with. The first two are in the fixture that `sops` encrypted.
const BUILT: [&str; 4] = [
    "planted-password",
    "planted-token",
    "planted-Plain1",
    "planted-Variable2",
];
/// What else there is: live values that the built ones replace, and values that make a build or an object wrong.
const OTHERS: [&str; 5] = [
    "planted-Live-Password3",
    "planted-Live-Plain4",
    "planted-Live-Variable5",
    "planted-Label6!",
    "planted-Broken7",
];

fn fixture(path: &str) -> String {
    std::fs::read_to_string(tests::world::workspace("reconciler/tests/fixtures/sops").join(path)).unwrap()
}

fn secret(namespace: &str, name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": namespace },
        "stringData": data,
    })
}

fn settings(hook: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "settings", "namespace": "default",
            "annotations": { "hook": format!("https://hook.example.org/{hook}") },
        },
        "data": { "hook": hook },
    })
}

/// A Kustomization `staging` with Secrets of each sort in its folder, and others live in their place.
async fn planted() -> Terminal {
    let terminal = two_kustomizations().await;
    let keys = json!({ "age.agekey": fixture("test-only-a.agekey") });
    let variables = json!({ "hook": BUILT[3], "label": OTHERS[3], "broken": format!("\"{}", OTHERS[4]) });
    for object in [
        secret("flux-system", "keys", &keys),
        secret("flux-system", "variables", &variables),
    ] {
        terminal.cluster.apply(&object, "kubectl").unwrap();
    }
    for object in [
        secret("default", "database", &json!({ "password": OTHERS[0] })),
        secret("default", "plain", &json!({ "password": OTHERS[1] })),
        settings(OTHERS[2]),
    ] {
        terminal.cluster.apply(&object, "kustomize-controller").unwrap();
    }
    let spec = json!({
        "targetNamespace": "default",
        "decryption": { "provider": "sops", "secretRef": { "name": "keys" } },
        "postBuild": { "substituteFrom": [{ "kind": "Secret", "name": "variables" }] },
    });
    let change = json!({
        "apiVersion": KUSTOMIZATION, "kind": "Kustomization",
        "metadata": { "name": "staging", "namespace": "flux-system" }, "spec": spec,
    });
    terminal.cluster.merge(&change, "kubectl").unwrap();
    terminal.folder("apps");
    terminal.file("apps/database.yaml", &fixture("encrypted/secret.yaml"));
    let plain = secret("default", "plain", &json!({ "password": BUILT[2] }));
    terminal.file("apps/plain.yaml", &plain.to_string());
    terminal.file("apps/settings.yaml", &settings("${hook}").to_string());
    terminal
}

fn shows(shown: &str, planted: &str) -> bool {
    let encoded = base64::engine::general_purpose::STANDARD.encode(planted);
    shown.contains(planted) || shown.contains(encoded.trim_end_matches('='))
}

/// Runs a command line whose output has this in it, and nothing that was planted.
async fn runs_clean(terminal: &Terminal, line: &str, about: &str) {
    let shown = terminal.run(line).await;
    assert!(shown.contains(about), "`{line}` does not say `{about}`:\n{shown}");
    for planted in BUILT.into_iter().chain(OTHERS) {
        assert!(!shows(&shown, planted), "`{line}` shows {planted}:\n{shown}");
    }
}

#[tokio::test]
async fn what_is_built_is_printed_without_the_values_of_secrets_unless_they_are_asked_for() {
    let terminal = planted().await;
    insta::assert_snapshot!(terminal.run("build staging").await, @r"
    apiVersion: v1
    data:
      token: '***'
    kind: Secret
    metadata:
      labels:
        app: shop
      name: database
      namespace: default
    stringData:
      password: '***'
      username: '***'
    type: Opaque
    ---
    apiVersion: v1
    kind: Secret
    metadata:
      name: plain
      namespace: default
    stringData:
      password: '***'
    ---
    apiVersion: v1
    data:
      hook: '***'
    kind: ConfigMap
    metadata:
      annotations:
        hook: https://hook.example.org/***
      name: settings
      namespace: default
    [0]
    ");
    let shown = terminal.run("build staging --show-secrets").await;
    for planted in BUILT {
        assert!(shows(&shown, planted), "{planted}: {shown}");
    }
}

#[tokio::test]
async fn no_command_around_a_kustomization_prints_a_secret() {
    let terminal = planted().await;
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "name": "a.1", "namespace": "flux-system" },
        "involvedObject": {
            "apiVersion": KUSTOMIZATION, "kind": "Kustomization", "namespace": "flux-system", "name": "staging",
        },
        "type": "Normal", "reason": "Progressing", "message": "Secret/default/plain configured",
    });
    terminal.cluster.apply(&event, "test").unwrap();
    for (line, about) in [
        ("build staging", "name: database"),
        ("diff staging", "~ Secret/default/database"),
        ("diff staging", "~ Secret/default/plain"),
        ("diff staging", "~ ConfigMap/default/settings"),
        ("diff staging -o json", "\"Secret/default/plain\""),
        ("get all", "kustomization/staging"),
        ("get ks staging -o yaml", "name: keys"),
        ("events --for ks/staging", "Secret/default/plain configured"),
        ("events -o yaml", "Secret/default/plain configured"),
        ("tree", "Kustomization/flux-system/staging"),
    ] {
        runs_clean(&terminal, line, about).await;
    }

    // An object that the cluster refuses, quoting it.
    let mut refused = settings("");
    refused["metadata"] = json!({ "name": "more", "namespace": "default", "labels": { "tier": "${label}" } });
    terminal.file("apps/more.yaml", &refused.to_string());
    runs_clean(&terminal, "diff staging", "x ConfigMap/default/more (refused: ").await;
    runs_clean(&terminal, "diff staging -o json", "Invalid value").await;

    // A value that makes the file no YAML.
    terminal.file(
        "apps/more.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndata: {a: ${broken}}\n",
    );
    for line in ["diff staging", "build staging", "build staging --show-secrets"] {
        runs_clean(&terminal, line, "error: cannot build apps").await;
    }
}
