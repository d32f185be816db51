//! Create, read, update, delete and watch with the `kube` client.

use crate::support::{Result, object, start, status};
use futures::{StreamExt, TryStreamExt};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

fn config_map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data})
}

fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}]}]},
            },
        },
    })
}

#[tokio::test]
async fn an_object_is_created_read_changed_and_deleted() -> Result<()> {
    let running = start().await?;
    let api = running.api("v1", "ConfigMap", "default");
    let created = api
        .create(
            &PostParams::default(),
            &object(config_map("a", &json!({"k": "1"})))?,
        )
        .await?;
    assert!(created.metadata.uid.is_some());
    let mut read = api.get("a").await?;
    read.data["data"]["k"] = "2".into();
    let updated = api.replace("a", &PostParams::default(), &read).await?;
    assert_ne!(
        updated.metadata.resource_version,
        created.metadata.resource_version
    );
    let stale = status(api.replace("a", &PostParams::default(), &created).await);
    assert_eq!((stale.code, stale.reason.as_str()), (409, "Conflict"));
    api.delete("a", &DeleteParams::default()).await?;
    let gone = status(api.get("a").await);
    assert_eq!(
        (gone.code, gone.message.as_str()),
        (404, "configmaps \"a\" not found")
    );
    Ok(())
}

#[tokio::test]
async fn apply_owns_fields_and_refuses_to_take_them_from_others() -> Result<()> {
    let running = start().await?;
    let api = running.api("apps/v1", "Deployment", "default");
    let mut wanted = deployment("web:1");
    let applied = api
        .patch("web", &PatchParams::apply("flux"), &Patch::Apply(&wanted))
        .await?;
    assert_eq!(applied.data["spec"]["progressDeadlineSeconds"], 600);
    assert_eq!(
        applied.data["spec"]["template"]["spec"]["containers"][0]["ports"][0]["protocol"],
        "TCP"
    );
    let same = api
        .patch("web", &PatchParams::apply("flux"), &Patch::Apply(&wanted))
        .await?;
    running.cluster.settle().await;
    assert_eq!(same.metadata.generation, applied.metadata.generation);
    wanted["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2".into();
    let refused = status(
        api.patch("web", &PatchParams::apply("other"), &Patch::Apply(&wanted))
            .await,
    );
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"flux\": .spec.template.spec.containers[name=\"web\"].image"
    );
    let forced = api
        .patch(
            "web",
            &PatchParams::apply("other").force(),
            &Patch::Apply(&wanted),
        )
        .await?;
    assert_eq!(forced.metadata.generation, Some(2));
    Ok(())
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_a_new_object_has_no_version() -> Result<()> {
    let running = start().await?;
    let api = running.api("apps/v1", "Deployment", "default");
    let previewed = api
        .patch(
            "web",
            &PatchParams::apply("flux").dry_run(),
            &Patch::Apply(&deployment("web:1")),
        )
        .await?;
    assert_eq!(previewed.metadata.resource_version, None);
    assert_eq!(api.get_opt("web").await?, None);
    Ok(())
}

#[tokio::test]
async fn a_watch_tells_what_happens_after_a_list() -> Result<()> {
    let running = start().await?;
    let api = running.api("v1", "ConfigMap", "default");
    let list = api.list(&ListParams::default()).await?;
    let version = list.metadata.resource_version.unwrap_or_default();
    let mut events = api
        .watch(&WatchParams::default().labels("app=x"), &version)
        .await?
        .boxed();
    let mut wanted = config_map("a", &json!({}));
    wanted["metadata"]["labels"] = json!({"app": "x"});
    api.patch("a", &PatchParams::apply("t"), &Patch::Apply(&wanted))
        .await?;
    wanted["metadata"]["labels"] = json!({"app": "y"});
    api.patch("a", &PatchParams::apply("t"), &Patch::Apply(&wanted))
        .await?;
    let mut seen = Vec::new();
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(_) => seen.push("added"),
            WatchEvent::Modified(_) => seen.push("modified"),
            WatchEvent::Deleted(_) => {
                seen.push("deleted");
                break;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(seen, ["added", "deleted"]);
    Ok(())
}

#[tokio::test]
async fn an_object_of_a_custom_kind_is_checked_defaulted_and_pruned() -> Result<()> {
    let running = start().await?;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["size"], "properties": {
                        "size": {"type": "integer", "minimum": 1}, "colour": {"type": "string", "default": "red"},
                    }},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                }}},
            }],
        },
    });
    let definitions = running.api("apiextensions.k8s.io/v1", "CustomResourceDefinition", "");
    definitions
        .patch(
            "widgets.example.com",
            &PatchParams::apply("t"),
            &Patch::Apply(&definition),
        )
        .await?;
    running.cluster.advance(std::time::Duration::from_secs(1)).await;
    let api = running.api("example.com/v1", "Widget", "default");
    let mut widget = json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "default"},
        "spec": {"size": 0},
    });
    let refused = status(api.create(&PostParams::default(), &object(widget.clone())?).await);
    assert_eq!(
        refused.message,
        "Widget.example.com \"w\" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"
    );
    widget["spec"] = json!({"size": 1, "other": true});
    let created = api.create(&PostParams::default(), &object(widget)?).await?;
    assert_eq!(created.data["spec"], json!({"size": 1, "colour": "red"}));
    Ok(())
}

#[tokio::test]
async fn a_namespace_goes_when_its_last_finalizer_is_gone() -> Result<()> {
    let running = start().await?;
    let namespaces = running.api("v1", "Namespace", "");
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    namespaces
        .patch("shop", &PatchParams::apply("t"), &Patch::Apply(&space))
        .await?;
    let api = running.api("v1", "ConfigMap", "shop");
    let held = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": "shop", "finalizers": ["example.com/hold"]},
    });
    api.create(&PostParams::default(), &object(held)?).await?;
    namespaces.delete("shop", &DeleteParams::default()).await?;
    running.cluster.settle().await;
    let terminating = namespaces.get("shop").await?;
    assert_eq!(terminating.data["status"]["phase"], "Terminating");
    let refused = status(
        api.create(
            &PostParams::default(),
            &object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}))?,
        )
        .await,
    );
    assert_eq!(refused.reason, "Forbidden");
    api.patch(
        "held",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"finalizers": null}})),
    )
    .await?;
    running.cluster.settle().await;
    assert_eq!(namespaces.get_opt("shop").await?, None);
    Ok(())
}

#[tokio::test]
async fn dependents_go_with_their_owner() -> Result<()> {
    let running = start().await?;
    let api = running.api("v1", "ConfigMap", "default");
    let owner = api
        .create(&PostParams::default(), &object(config_map("owner", &json!({})))?)
        .await?;
    let mut dependent = config_map("dependent", &json!({}));
    dependent["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}]);
    api.create(&PostParams::default(), &object(dependent)?).await?;
    api.delete("owner", &DeleteParams::background()).await?;
    running.cluster.settle().await;
    assert_eq!(api.get_opt("dependent").await?, None);
    Ok(())
}
