//! What is installed, and what the definitions take, judged by the API itself.

use serde_json::Value;

use crate::terminal::{Terminal, installed};

#[tokio::test]
async fn what_install_prints_can_be_applied_in_its_order() {
    let terminal = Terminal::installed().await;
    for manifest in installed() {
        let text = |path: &str| manifest.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let found = terminal.cluster.get(
            text("/apiVersion"),
            text("/kind"),
            text("/metadata/namespace"),
            text("/metadata/name"),
        );
        assert!(found.is_some(), "{} {}", text("/kind"), text("/metadata/name"));
    }
}

#[tokio::test]
async fn the_definitions_take_every_sample_of_the_documents_of_flux() {
    let terminal = Terminal::installed().await;
    let samples: Value = serde_json::from_str(include_str!(
        "../../../reconciler/src/api/testdata/flux-samples.json"
    ))
    .unwrap();
    for sample in samples["samples"].as_array().unwrap() {
        let place = format!("{}:{}", sample["document"], sample["line"]);
        let mut object = sample["object"].clone();
        // The documents write some names as `<repository-name>`, which no API takes.
        object["metadata"]["name"] = "sample".into();
        object["metadata"]["namespace"] = "default".into();
        if let Err(refused) = terminal.cluster.apply(&object, "test") {
            panic!("{place}: {refused:?}");
        }
        let (version, kind) = (
            object["apiVersion"].as_str().unwrap(),
            object["kind"].as_str().unwrap(),
        );
        terminal
            .cluster
            .delete(version, kind, "default", "sample")
            .unwrap();
    }
}

#[tokio::test]
async fn an_object_that_says_nothing_is_refused_when_it_is_written() {
    let terminal = Terminal::installed().await;
    let object = serde_json::json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": { "name": "empty", "namespace": "default" },
    });
    assert!(terminal.cluster.apply(&object, "test").is_err());
}
