//! Faults, held requests and counts.

use std::time::Duration;

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
async fn a_request_that_is_throttled_is_told_when_to_come_again_and_not_carried_out() -> Result<()> {
    let running = start().await?;
    let faults = running.cluster.faults();
    faults.add(Match::default().writes().times(2), Fault::throttled(7));
    let api = running.api("v1", "ConfigMap", "default");
    let (params, wanted) = (PatchParams::apply("t"), Patch::Apply(config_map()));
    let refused = status(api.patch("a", &params, &wanted).await);
    assert_eq!((refused.code, refused.reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(
        refused.details.map(|details| details.retry_after_seconds),
        Some(7)
    );
    let request = kube::core::Request::new("/api/v1/namespaces/default/configmaps").create(
        &kube::api::PostParams::default(),
        serde_json::to_vec(&config_map())?,
    )?;
    let answer = running.client.send(request.map(kube::client::Body::from)).await?;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "7");
    assert!(running.cluster.get("v1", "ConfigMap", "default", "a").is_none());
    api.patch("a", &params, &wanted).await?;
    Ok(())
}

#[tokio::test]
async fn a_request_that_meets_an_error_of_the_server_is_not_carried_out() -> Result<()> {
    let running = start().await?;
    let api = running.api("v1", "ConfigMap", "default");
    let faults = running.cluster.faults();
    faults.add(
        Match::default().verb(Verb::Patch).times(1),
        Fault::internal_error(),
    );
    let (params, wanted) = (PatchParams::apply("t"), Patch::Apply(config_map()));
    let refused = status(api.patch("a", &params, &wanted).await);
    assert_eq!((refused.code, refused.reason.as_str()), (500, "InternalError"));
    assert!(running.cluster.get("v1", "ConfigMap", "default", "a").is_none());
    api.patch("a", &params, &wanted).await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_cut_before_the_write_leaves_nothing_written() -> Result<()> {
    let running = start().await?;
    let api = running.api("v1", "ConfigMap", "default");
    let faults = running.cluster.faults();
    faults.add(Match::default().verb(Verb::Patch).times(1), Fault::CutBefore);
    let (params, wanted) = (PatchParams::apply("t"), Patch::Apply(config_map()));
    let lost = api.patch("a", &params, &wanted).await;
    assert!(!matches!(lost, Ok(_) | Err(kube::Error::Api(_))), "got {lost:?}");
    assert!(running.cluster.get("v1", "ConfigMap", "default", "a").is_none());
    let made = api.patch("a", &params, &wanted).await?;
    assert_eq!(made.metadata.name.as_deref(), Some("a"));
    Ok(())
}

#[tokio::test]
async fn a_request_that_is_delayed_is_carried_out_when_the_time_of_the_cluster_has_come() -> Result<()> {
    let running = start().await?;
    let api = running.api("v1", "ConfigMap", "default");
    let faults = running.cluster.faults();
    let delay = Duration::from_secs(5);
    let rule = faults.add(Match::default().name("a").writes(), Fault::Delay(delay));
    let begin = running.cluster.clock().now();
    let client = tokio::spawn({
        let api = api.clone();
        async move {
            let (params, wanted) = (PatchParams::apply("t"), Patch::Apply(config_map()));
            api.patch("a", &params, &wanted).await
        }
    });
    while rule.matched() == 0 {
        tokio::task::yield_now().await;
    }
    // What came later is done, and this is not.
    let mut later = config_map();
    later["metadata"]["name"] = "b".into();
    api.patch("b", &PatchParams::apply("t"), &Patch::Apply(later))
        .await?;
    assert!(running.cluster.get("v1", "ConfigMap", "default", "a").is_none());
    while running.cluster.get("v1", "ConfigMap", "default", "a").is_none() {
        running.cluster.advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    assert!(running.cluster.clock().now() >= begin + delay);
    client.await??;
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
