//! Requests that are wrong, answered as kube-apiserver 1.36.3 answers them: `make-malformed.py` asked one.

#![allow(clippy::unwrap_used, reason = "a line that is no case fails the test")]

use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::{Result, Running, start};

/// A body, of which a row of the same sign may be written in short.
fn body(text: &str) -> String {
    match text.split_once(" times ") {
        Some((count, sign)) => sign.repeat(count.parse().unwrap()),
        None => text.into(),
    }
}

/// Code, warnings and Status of an answer.
async fn ask(running: &Running, case: &Value) -> Result<Value> {
    let text = |field: &str| case[field].as_str().unwrap().to_owned();
    let mut request = http::Request::builder()
        .method(text("method").as_str())
        .uri(text("path"))
        .header("accept", "application/json");
    if !text("media").is_empty() {
        request = request.header("content-type", text("media"));
    }
    let request = request.body(body(&text("body")).into_bytes().into())?;
    let (parts, body) = running.client.send(request).await?.into_parts();
    let warnings = parts.headers.get_all("warning").into_iter();
    let warnings: Vec<&str> = warnings.map(|warning| warning.to_str().unwrap()).collect();
    let answer: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    let status = ["message", "reason", "details"]
        .into_iter()
        .filter_map(|field| Some((field.to_owned(), answer.get(field)?.clone())));
    let status = parts
        .status
        .is_client_error()
        .then(|| Value::Object(status.collect()));
    Ok(json!({"code": parts.status.as_u16(), "warnings": warnings, "status": status}))
}

#[tokio::test]
async fn what_is_wrong_is_answered_as_upstream_answers_it() -> Result<()> {
    let running = start().await?;
    let mut lines = include_str!("malformed.jsonl").lines();
    let setting: Value = serde_json::from_str(lines.next().unwrap())?;
    running.cluster.apply(&setting["definition"], "t")?;
    running.cluster.settle().await;
    running.cluster.advance(Duration::from_secs(1)).await;
    for object in setting["objects"].as_array().unwrap() {
        let mut object: Value = serde_json::from_str(object.as_str().unwrap())?;
        object["metadata"]["namespace"] = "default".into();
        running.cluster.apply(&object, "t")?;
    }
    let mut cases = 0;
    for line in lines {
        let case: Value = serde_json::from_str(line)?;
        let answered = ask(&running, &case).await?;
        let expected = json!({"code": case["code"], "warnings": case["warnings"], "status": case["status"]});
        assert_eq!(
            answered, expected,
            "{} {} of {:?}",
            case["method"], case["path"], case["body"]
        );
        cases += 1;
    }
    assert!(cases > 100, "{cases}");
    Ok(())
}
