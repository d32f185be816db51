//! What cannot be read into a built-in type is refused, in the words of Go's decoders: a body with 400, the result
//! of a patch with 422, the result of an apply with 500.

#![allow(clippy::unwrap_used, reason = "an object that a test makes wrongly fails it")]

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{Result, Running, object, start, status};

fn secret(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "default"}, "data": data})
}

fn service(port: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "default"},
        "spec": {"ports": [{"port": 80, "targetPort": port}]},
    })
}

fn deployment(replicas: &Value, memory: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [
                    {"name": "web", "image": "web:1", "resources": {"limits": {"memory": memory}}}
                ]},
            },
        },
    })
}

/// Code and message of an apply that is refused.
async fn applied(running: &Running, wanted: Value) -> (u16, String) {
    let (version, kind) = (&wanted["apiVersion"], &wanted["kind"]);
    let api = running.api(version.as_str().unwrap(), kind.as_str().unwrap(), "default");
    let refused = api
        .patch("a", &PatchParams::apply("t").force(), &Patch::Apply(&wanted))
        .await;
    let refused = status(refused);
    (refused.code, refused.message)
}

/// Code and message of a creation that is refused.
async fn created(running: &Running, wanted: Value) -> (u16, String) {
    let (version, kind) = (&wanted["apiVersion"], &wanted["kind"]);
    let api = running.api(version.as_str().unwrap(), kind.as_str().unwrap(), "default");
    let refused = api.create(&PostParams::default(), &object(wanted).unwrap()).await;
    let refused = status(refused);
    (refused.code, refused.message)
}

#[tokio::test]
async fn data_of_a_secret_that_is_not_base64_is_refused_however_it_comes() -> Result<()> {
    let running = start().await?;
    let bad = secret(&json!({"password": "c2Vj-mV0"}));
    assert_eq!(
        applied(&running, bad.clone()).await,
        (
            500,
            "failed to convert new object (default/a; /v1, Kind=Secret) to proper version: unable to convert \
             unstructured object to /v1, Kind=Secret: error decoding from json: illegal base64 data at input byte 4"
                .to_owned()
        )
    );
    assert_eq!(
        created(&running, bad).await,
        (
            400,
            "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 4"
                .to_owned()
        )
    );
    let api = running.api("v1", "Secret", "default");
    let good = secret(&json!({"password": "c2VjcmV0"}));
    api.create(&PostParams::default(), &object(good)?).await?;
    let merge = Patch::Merge(json!({"data": {"password": "c2Vj-mV0"}}));
    let refused = status(api.patch("a", &PatchParams::default(), &merge).await);
    assert_eq!(refused.code, 422);
    assert!(
        refused.message.ends_with("illegal base64 data at input byte 4"),
        "{}",
        refused.message
    );
    Ok(())
}

#[tokio::test]
async fn binary_data_of_a_config_map_that_is_not_base64_is_refused() -> Result<()> {
    let running = start().await?;
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"},
        "binaryData": {"logo": "not base64"},
    });
    let (code, message) = applied(&running, config_map).await;
    assert_eq!(code, 500);
    assert!(
        message.ends_with("illegal base64 data at input byte 3"),
        "{message}"
    );
    Ok(())
}

#[tokio::test]
async fn a_port_by_number_is_a_whole_number() -> Result<()> {
    let running = start().await?;
    for (port, got) in [
        (json!(80.5), "number 80.5"),
        (json!(3_000_000_000_i64), "number 3000000000"),
        (json!(true), "bool"),
    ] {
        let why = format!("json: cannot unmarshal {got} into Go value of type int32");
        let (code, message) = applied(&running, service(&port)).await;
        assert_eq!(code, 500);
        assert!(message.ends_with(&format!("Kind=Service: {why}")), "{message}");
        let field = "Go struct field ServicePort.spec.ports.targetPort";
        let why = why.replace("Go value", field);
        let refused = format!("Service in version \"v1\" cannot be handled as a Service: {why}");
        assert_eq!(created(&running, service(&port)).await, (400, refused));
    }
    let (code, message) = applied(&running, service(&json!({}))).await;
    assert_eq!(code, 500);
    assert!(message.contains("expected any scalar"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_quantity_that_is_none_is_refused_in_the_words_of_its_parser() -> Result<()> {
    let running = start().await?;
    let format =
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    for (memory, why) in [
        (json!("64mb"), format),
        (json!("64Mii"), "unable to parse quantity's suffix"),
        (json!(true), format),
    ] {
        let (code, message) = applied(&running, deployment(&json!(1), &memory)).await;
        assert_eq!(code, 500);
        assert!(
            message.ends_with(&format!("Kind=Deployment: {why}")),
            "{memory}: {message}"
        );
        let (code, message) = created(&running, deployment(&json!(1), &memory)).await;
        assert_eq!(code, 400);
        assert!(message.ends_with(&format!(": {why}")), "{memory}: {message}");
    }
    Ok(())
}

#[tokio::test]
async fn a_whole_number_field_takes_no_fraction_and_a_number_in_quotes_is_a_text() -> Result<()> {
    let running = start().await?;
    let memory = json!("64Mi");
    let (code, message) = applied(&running, deployment(&json!(1.5), &memory)).await;
    assert_eq!(code, 500);
    assert!(
        message.ends_with("Kind=Deployment: cannot convert float64 to int32"),
        "{message}"
    );
    assert_eq!(
        created(&running, deployment(&json!(1.5), &memory)).await.1,
        "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal number 1.5 into Go \
         struct field DeploymentSpec.spec.replicas of type int32"
    );
    assert_eq!(
        applied(&running, deployment(&json!("2"), &memory)).await.1,
        "failed to create typed patch object (default/a; apps/v1, Kind=Deployment): .spec.replicas: expected numeric \
         (int or float), got string"
    );
    let api = running.api("apps/v1", "Deployment", "default");
    let taken = api
        .patch(
            "a",
            &PatchParams::apply("t"),
            &Patch::Apply(&deployment(&json!(2.0), &memory)),
        )
        .await?;
    assert_eq!(taken.data["spec"]["replicas"], json!(2));
    Ok(())
}

#[tokio::test]
async fn a_boolean_in_quotes_is_a_text() -> Result<()> {
    let running = start().await?;
    let mut sealed = secret(&json!({}));
    sealed["immutable"] = "true".into();
    assert_eq!(
        applied(&running, sealed.clone()).await.1,
        "failed to create typed patch object (default/a; /v1, Kind=Secret): .immutable: expected boolean, got &{true}"
    );
    assert_eq!(
        created(&running, sealed).await.1,
        "Secret in version \"v1\" cannot be handled as a Secret: json: cannot unmarshal string into Go struct field \
         Secret.immutable of type bool"
    );
    Ok(())
}

#[tokio::test]
async fn a_time_is_one_of_rfc_3339() -> Result<()> {
    let running = start().await?;
    let event = |time: &str| {
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a", "namespace": "default"},
            "involvedObject": {"namespace": "default"}, "reason": "Noted", "type": "Normal", "lastTimestamp": time,
        })
    };
    for (time, why) in [
        (
            "yesterday",
            "parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"yesterday\" as \"2006\"",
        ),
        (
            "2026-01-02 03:04:05Z",
            "parsing time \"2026-01-02 03:04:05Z\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \" 03:04:05Z\" as \"T\"",
        ),
        (
            "2026-02-30T03:04:05Z",
            "parsing time \"2026-02-30T03:04:05Z\": day out of range",
        ),
    ] {
        let (code, message) = created(&running, event(time)).await;
        assert_eq!(code, 400);
        assert!(message.ends_with(why), "{message}");
    }
    let api = running.api("v1", "Event", "default");
    api.create(
        &PostParams::default(),
        &object(event("2026-02-28T03:04:05.25+01:00"))?,
    )
    .await?;
    Ok(())
}
