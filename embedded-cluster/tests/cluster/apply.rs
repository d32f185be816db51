//! Server-side apply: ownership, conflicts, removal, list maps and sets.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{Result, Running, start, status};

fn config_map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}, "data": data})
}

fn service(ports: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "default"},
        "spec": {"selector": {"app": "a"}, "ports": ports},
    })
}

fn maps(running: &Running) -> Api<DynamicObject> {
    running.api("v1", "ConfigMap", "default")
}

async fn apply(api: &Api<DynamicObject>, manager: &str, wanted: &Value) -> kube::Result<DynamicObject> {
    api.patch("a", &PatchParams::apply(manager), &Patch::Apply(wanted))
        .await
}

/// `manager operation fields`, one a line.
fn owners(object: &DynamicObject) -> String {
    let entries = object.metadata.managed_fields.iter().flatten();
    let lines = entries.map(|entry| {
        let fields = entry
            .fields_v1
            .as_ref()
            .map(|fields| fields.0.to_string())
            .unwrap_or_default();
        let (manager, operation) = (entry.manager.as_deref(), entry.operation.as_deref());
        format!(
            "{} {} {fields}",
            manager.unwrap_or_default(),
            operation.unwrap_or_default()
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_field_two_managers_apply_stays_until_both_drop_it() -> Result<()> {
    let running = start().await?;
    let api = maps(&running);
    apply(&api, "one", &config_map(&json!({"k": "1"}))).await?;
    let both = apply(&api, "two", &config_map(&json!({"k": "1"}))).await?;
    assert_eq!(
        owners(&both),
        "two Apply {\"f:data\":{\"f:k\":{}}}\none Apply {\"f:data\":{\"f:k\":{}}}"
    );
    let one_left = apply(&api, "one", &config_map(&json!({}))).await?;
    assert_eq!(one_left.data["data"], json!({"k": "1"}));
    let none_left = apply(&api, "two", &config_map(&json!({}))).await?;
    assert_eq!(none_left.data.get("data"), None);
    Ok(())
}

#[tokio::test]
async fn an_apply_that_changes_nothing_changes_no_version() -> Result<()> {
    let running = start().await?;
    let api = maps(&running);
    let first = apply(&api, "one", &config_map(&json!({"k": "1"}))).await?;
    running.cluster.advance(std::time::Duration::from_secs(5)).await;
    let second = apply(&api, "one", &config_map(&json!({"k": "1"}))).await?;
    assert_eq!(first, second);
    let owned = apply(&api, "two", &config_map(&json!({"k": "1"}))).await?;
    assert_ne!(owned.metadata.resource_version, first.metadata.resource_version);
    let entries = owned.metadata.managed_fields.unwrap_or_default();
    assert!(
        entries
            .iter()
            .any(|entry| entry.manager.as_deref() == Some("two") && entry.time.is_none())
    );
    Ok(())
}

#[tokio::test]
async fn what_is_forced_is_taken_away_from_its_owner() -> Result<()> {
    let running = start().await?;
    let api = maps(&running);
    apply(&api, "one", &config_map(&json!({"k": "1", "l": "1"}))).await?;
    let wanted = config_map(&json!({"k": "2"}));
    let refused = status(apply(&api, "two", &wanted).await);
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    let causes = refused.details.map(|details| details.causes).unwrap_or_default();
    let causes: Vec<_> = causes
        .iter()
        .map(|c| (c.reason.as_str(), c.message.as_str(), c.field.as_str()))
        .collect();
    assert_eq!(
        causes,
        [("FieldManagerConflict", "conflict with \"one\"", ".data.k")]
    );
    let forced = api
        .patch("a", &PatchParams::apply("two").force(), &Patch::Apply(&wanted))
        .await?;
    assert_eq!(
        owners(&forced),
        "one Apply {\"f:data\":{\"f:l\":{}}}\ntwo Apply {\"f:data\":{\"f:k\":{}}}"
    );
    Ok(())
}

#[tokio::test]
async fn several_conflicts_are_grouped_by_manager() -> Result<()> {
    let running = start().await?;
    let api = maps(&running);
    apply(&api, "one", &config_map(&json!({"a": "1", "b": "1"}))).await?;
    let edit = Patch::Merge(json!({"data": {"c": "1"}}));
    api.patch(
        "a",
        &PatchParams {
            field_manager: Some("edit".into()),
            ..Default::default()
        },
        &edit,
    )
    .await?;
    let refused = status(apply(&api, "two", &config_map(&json!({"a": "2", "b": "2", "c": "2"}))).await);
    assert_eq!(
        refused.message,
        "Apply failed with 3 conflicts: conflicts with \"edit\" using v1:\n- .data.c\nconflicts with \"one\":\n- .data.a\n- .data.b"
    );
    Ok(())
}

#[tokio::test]
async fn elements_of_a_list_map_belong_to_who_applied_them() -> Result<()> {
    let running = start().await?;
    let api = running.api("v1", "Service", "default");
    apply(&api, "one", &service(&json!([{"name": "http", "port": 80}]))).await?;
    let both = apply(&api, "two", &service(&json!([{"name": "metrics", "port": 81}]))).await?;
    let ports = |object: &DynamicObject| -> Vec<i64> {
        object.data["spec"]["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|port| port["port"].as_i64())
            .collect()
    };
    assert_eq!(ports(&both), [80, 81]);
    let dropped = apply(&api, "one", &service(&json!([]))).await?;
    assert_eq!(ports(&dropped), [81]);
    let refused = status(
        apply(
            &api,
            "two",
            &service(&json!([{"port": 81}, {"port": 81, "protocol": "TCP"}])),
        )
        .await,
    );
    assert_eq!(
        refused.message,
        "failed to create typed patch object (default/a; /v1, Kind=Service): .spec.ports: duplicate entries for key [port=81,protocol=\"TCP\"]"
    );
    Ok(())
}

#[tokio::test]
async fn an_unmanaged_object_is_taken_over_from_before_first_apply() -> Result<()> {
    let running = start().await?;
    let api = maps(&running);
    apply(&api, "one", &config_map(&json!({"k": "1"}))).await?;
    api.patch(
        "a",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"managedFields": [{}]}})),
    )
    .await?;
    let reset = api.get("a").await?;
    assert_eq!(reset.metadata.managed_fields, None);
    let applied = apply(&api, "two", &config_map(&json!({"l": "1"}))).await?;
    assert_eq!(
        owners(&applied),
        "two Apply {\"f:data\":{\"f:l\":{}}}\nbefore-first-apply Update {\"f:data\":{\".\":{},\"f:k\":{}}}"
    );
    Ok(())
}

#[tokio::test]
async fn more_than_ten_updaters_are_folded_together() -> Result<()> {
    let running = start().await?;
    let api = maps(&running);
    apply(&api, "one", &config_map(&json!({}))).await?;
    for number in 0..12 {
        let edit = Patch::Merge(json!({"data": {format!("k{number}"): "1"}}));
        let manager = PatchParams {
            field_manager: Some(format!("u{number:02}")),
            ..Default::default()
        };
        running.cluster.advance(std::time::Duration::from_secs(1)).await;
        api.patch("a", &manager, &edit).await?;
    }
    let object = api.get("a").await?;
    let entries = object.metadata.managed_fields.unwrap_or_default();
    let updates = entries
        .iter()
        .filter(|entry| entry.operation.as_deref() == Some("Update"));
    let names: Vec<&str> = updates.filter_map(|entry| entry.manager.as_deref()).collect();
    assert_eq!(names.len(), 10);
    assert_eq!(names[..2], ["ancient-changes", "u03"]);
    Ok(())
}

#[tokio::test]
async fn replicas_that_nobody_applies_any_more_become_the_default() -> Result<()> {
    let running = start().await?;
    let api = running.api("apps/v1", "Deployment", "default");
    let mut wanted = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "default"},
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}},
        },
    });
    apply(&api, "one", &wanted).await?;
    wanted["spec"].as_object_mut().map(|spec| spec.remove("replicas"));
    let dropped = apply(&api, "one", &wanted).await?;
    assert_eq!(dropped.data["spec"]["replicas"], 1);
    wanted["spec"]["replicas"] = 2.into();
    apply(&api, "one", &wanted).await?;
    let scaled = api
        .patch_scale(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"replicas": 4}})),
        )
        .await?;
    assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(4));
    let subresources: Vec<Option<String>> = api
        .get("a")
        .await?
        .metadata
        .managed_fields
        .into_iter()
        .flatten()
        .map(|entry| entry.subresource)
        .collect();
    assert!(subresources.contains(&Some("scale".into())), "{subresources:?}");
    Ok(())
}
