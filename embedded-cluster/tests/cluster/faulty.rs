//! Faults, held requests and counts.

use embedded_cluster::{Fault, HoldAt, Match, Verb};
use futures::{StreamExt, TryStreamExt};
use kube::api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use crate::support::{Result, start, status};

fn config_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}, "data": {}})
}

#[tokio::test]
async fn the_nth_write_is_refused_and_the_others_are_not() -> Result<()> {
    let running = start().await?;
    let api = running.api("v1", "ConfigMap", "default");
    let rule = running
        .cluster
        .faults()
        .add(Match::default().writes().nth(2), Fault::conflict());
    let (params, wanted) = (PatchParams::apply("t"), Patch::Apply(config_map()));
    api.patch("a", &params, &wanted).await?;
    assert_eq!(status(api.patch("a", &params, &wanted).await).reason, "Conflict");
    api.patch("a", &params, &wanted).await?;
    assert_eq!(rule.matched(), 3);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_the_write_committed() -> Result<()> {
    let running = start().await?;
    let api = running.api("v1", "ConfigMap", "default");
    running
        .cluster
        .faults()
        .add(Match::default().verb(Verb::Patch).times(1), Fault::CutAfter);
    let lost = api
        .patch("a", &PatchParams::apply("t"), &Patch::Apply(config_map()))
        .await;
    assert!(!matches!(lost, Ok(_) | Err(kube::Error::Api(_))), "got {lost:?}");
    assert!(running.cluster.get("v1", "ConfigMap", "default", "a").is_some());
    Ok(())
}

#[tokio::test]
async fn a_held_write_can_be_carried_out_after_its_client_is_gone() -> Result<()> {
    let running = start().await?;
    let api = running.api("v1", "ConfigMap", "default");
    let mut holding = running
        .cluster
        .faults()
        .hold(Match::default().writes(), HoldAt::Before);
    let client = tokio::spawn(async move {
        api.patch("a", &PatchParams::apply("t"), &Patch::Apply(config_map()))
            .await
    });
    let held = holding.next().await.expect("a held request");
    assert_eq!(held.request.name, "a");
    client.abort();
    assert!(client.await.is_err());
    assert!(running.cluster.get("v1", "ConfigMap", "default", "a").is_none());
    let version = running.cluster.list("v1", "ConfigMap", "default").len();
    held.release();
    while running.cluster.list("v1", "ConfigMap", "default").len() == version {
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_watch_can_be_dropped_or_expired() -> Result<()> {
    let running = start().await?;
    let api = running.api("v1", "ConfigMap", "default");
    let version = api
        .list(&ListParams::default())
        .await?
        .metadata
        .resource_version
        .unwrap_or_default();
    let mut dropped = api.watch(&WatchParams::default(), &version).await?.boxed();
    assert_eq!(running.cluster.faults().drop_watches(&Match::default()), 1);
    assert!(dropped.try_next().await?.is_none());
    let mut expired = api.watch(&WatchParams::default(), &version).await?.boxed();
    assert_eq!(running.cluster.faults().expire_watches(&Match::default()), 1);
    let Some(WatchEvent::Error(error)) = expired.try_next().await? else {
        panic!("expected an error event")
    };
    assert_eq!((error.code, error.reason.as_str()), (410, "Expired"));
    running.cluster.apply(&config_map(), "t")?;
    running.cluster.faults().compact();
    let mut late = api.watch(&WatchParams::default(), &version).await?.boxed();
    let Some(WatchEvent::Error(error)) = late.try_next().await? else {
        panic!("expected an error event")
    };
    assert_eq!(error.code, 410);
    Ok(())
}

#[tokio::test]
async fn requests_are_counted_by_what_they_were() -> Result<()> {
    let running = start().await?;
    let api = running.api("v1", "ConfigMap", "default");
    let before = running.cluster.requests().snapshot();
    api.patch(
        "a",
        &PatchParams::apply("t").dry_run(),
        &Patch::Apply(config_map()),
    )
    .await?;
    api.patch("a", &PatchParams::apply("t"), &Patch::Apply(config_map()))
        .await?;
    api.patch("a", &PatchParams::apply("t"), &Patch::Apply(config_map()))
        .await?;
    let counted = running.cluster.requests().since(&before);
    assert_eq!(counted.clone().writes().total(), 2);
    assert_eq!(
        counted.to_string(),
        "1 patch configmaps default/a -> 200\n1 patch configmaps default/a -> 201\n1 patch configmaps default/a (dry run) -> 201\n"
    );
    Ok(())
}
