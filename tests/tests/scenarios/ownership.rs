//! Rules 15 and 16: whose object it is, and whose it is not.

use embedded_cluster::{Held, HoldAt};
use serde_json::{Value, json};
use tests::observe::{OWNER, OWNER_NAMESPACE, uid};
use tests::world::{KUSTOMIZE_API, NAMESPACE};

use crate::requests::deletes;
use crate::{CLAIM, Needs, Scene, config_map, held};

#[tokio::test(flavor = "multi_thread")]
async fn rule_15_labels_alone_are_no_reason_to_delete() {
    let scene = Scene::with(Needs::Kubernetes).a_and_b().await;
    scene.world.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "inherited", "namespace": "default",
            "labels": {OWNER: "app", OWNER_NAMESPACE: NAMESPACE},
        },
    }));
    scene.deploy(&[("b.yaml", "")]).await;
    assert_eq!(scene.data("b"), Value::Null);
    assert!(
        scene
            .world
            .get("v1", "ConfigMap", "default", "inherited")
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_15_an_object_that_lacks_one_of_the_two_labels_or_has_anothers_is_not_deleted() {
    let relabelled = [
        ("nameless", json!({OWNER: null})),
        ("homeless", json!({OWNER_NAMESPACE: null})),
        ("of-another-name", json!({OWNER: "other"})),
        ("of-another-namespace", json!({OWNER_NAMESPACE: "other"})),
    ];
    let names = relabelled.iter().map(|(name, _)| *name).chain(["ours", "stays"]);
    let files: Vec<(String, String)> = names
        .map(|name| (format!("{name}.yaml"), config_map(name, "1")))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    let mut scene = Scene::applied(&files, &json!({})).await;
    // What is changed while the controller runs, it puts back.
    scene.world.stop().await;
    for (name, labels) in &relabelled {
        let patch = json!({"metadata": {"labels": labels}});
        scene.world.amend("v1", "ConfigMap", "default", name, &patch);
    }
    let removed: Vec<(&str, &str)> = files[..5].iter().map(|(path, _)| (*path, "")).collect();
    let commit = scene.commit(&removed);
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    scene.world.let_late_writes_expire();
    scene
        .world
        .until_inventory("app", &["default_stays__ConfigMap"])
        .await;
    for (name, _) in &relabelled {
        assert_eq!(scene.data(name)["key"], "1", "{name}");
    }
    assert_eq!(scene.data("ours"), Value::Null);
}

/// Takes `b` out of Git, and holds the request that deletes it.
async fn held_as_b_is_deleted(scene: &Scene) -> (String, Held) {
    let deletion = deletes("configmaps").times(1);
    let mut holding = scene.faults().hold(deletion, HoldAt::Before);
    let commit = scene.push(&[("b.yaml", "")]);
    (commit, held(&mut holding).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_15_an_object_that_was_made_anew_since_it_was_looked_at_is_not_deleted_in_its_place() {
    let scene = Scene::with(Needs::Faults).a_and_b().await;
    let mark = scene.world.mark();
    let (commit, delete) = held_as_b_is_deleted(&scene).await;
    scene
        .world
        .cluster
        .delete("v1", "ConfigMap", "default", "b")
        .unwrap();
    scene.world.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "b", "namespace": "default"}, "data": {"key": "somebody's"},
    }));
    delete.release();
    scene.world.until_applied("app", &commit).await;
    let mut deletes = scene.world.writes_since(mark);
    deletes.retain(|line| line.starts_with("delete configmaps"));
    assert_eq!(deletes, ["delete configmaps default/b -> 409"]);
    assert_eq!(scene.data("b")["key"], "somebody's");
    assert_eq!(scene.world.inventory("app"), ["default_a__ConfigMap"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_15_an_object_that_changed_since_it_was_looked_at_is_looked_at_again() {
    let scene = Scene::with(Needs::Faults).a_and_b().await;
    let mark = scene.world.mark();
    let (commit, delete) = held_as_b_is_deleted(&scene).await;
    scene.world.amend(
        "v1",
        "ConfigMap",
        "default",
        "b",
        &json!({"metadata": {"labels": {OWNER: null}}}),
    );
    delete.release();
    scene.world.until_applied("app", &commit).await;
    assert!(
        scene
            .world
            .since(mark)
            .contains(&"delete configmaps default/b -> 409".to_owned())
    );
    assert!(
        scene.world.get("v1", "ConfigMap", "default", "b").is_some(),
        "it is not ours any more"
    );
    assert_eq!(scene.world.inventory("app"), ["default_a__ConfigMap"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_two_kustomizations_that_render_one_object_are_both_named() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    scene.world.kustomization("twin", "app", "./app", &json!({}));
    let message = scene.world.until_failed("twin", "ReconciliationFailed").await;
    assert_eq!(
        message,
        "ConfigMap/default/a (app/a.yaml:1) belongs to Kustomization flux-system/app and is wanted by \
         flux-system/twin as well; take it out of one of the two"
    );
    let labels = scene.world.get("v1", "ConfigMap", "default", "a").unwrap()["metadata"]["labels"].clone();
    assert_eq!(labels[OWNER], "app");
    assert_eq!(scene.world.inventory("twin"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_of_two_kustomizations_that_begin_at_once_with_one_object_the_loser_names_both() {
    let mut scene = Scene::new().await;
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    let world = &mut scene.world;
    world.git_repository("app", "main");
    for name in ["one", "two"] {
        world.kustomization(name, "app", "./app", &json!({}));
    }
    world.start().await;
    let (loser, message) = world
        .when(KUSTOMIZE_API, "Kustomization", "one that loses", |world| {
            let refusal = |name: &'static str| {
                let object = world.get_kustomization(name);
                let ready = tests::world::condition(&object, "Ready")?;
                let message = ready["message"].as_str()?.to_owned();
                message.contains("belongs to").then_some((name, message))
            };
            ["one", "two"].into_iter().find_map(refusal)
        })
        .await;
    let winner = if loser == "one" { "two" } else { "one" };
    assert_eq!(
        message,
        format!(
            "ConfigMap/default/a (app/a.yaml:1) belongs to Kustomization flux-system/{winner} and is wanted by \
             flux-system/{loser} as well; take it out of one of the two"
        )
    );
    world.until_applied(winner, &commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_data_that_a_kustomization_which_cannot_be_built_may_want_stays_until_it_is_confirmed() {
    let scene = Scene::applied(
        &[("claim.yaml", CLAIM), ("a.yaml", &config_map("a", "1"))],
        &json!({}),
    )
    .await;
    let world = &scene.world;
    world.kustomization("broken", "app", "./nowhere", &json!({}));
    world.until_failed("broken", "ArtifactFailed").await;
    let claim = || world.get("v1", "PersistentVolumeClaim", "default", "data");
    let commit = scene.push(&[("claim.yaml", "")]);
    let message = world.until_failed("app", "PruneFailed").await;
    let remedy = format!(
        "Mend that one; or, if PersistentVolumeClaim/default/data is to go with its data, run: kubectl annotate \
         kustomization --namespace flux-system app --overwrite coracle.dev/prune-confirm=main@sha1:{commit}"
    );
    assert!(message.ends_with(&remedy), "{message}");
    assert!(claim().is_some());
    world.confirm_prune("app", &commit);
    world.until_applied("app", &commit).await;
    // It goes when nobody uses it, which its finalizer is there for.
    world
        .until_gone("v1", "PersistentVolumeClaim", "default", "data")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_a_kustomization_of_another_source_that_cannot_be_built_holds_nothing_back() {
    let scene = Scene::applied(
        &[("claim.yaml", CLAIM), ("a.yaml", &config_map("a", "1"))],
        &json!({}),
    )
    .await;
    let world = &scene.world;
    world.git_repository("other", "main");
    world.kustomization("broken", "other", "./nowhere", &json!({}));
    world.until_failed("broken", "ArtifactFailed").await;
    scene.deploy(&[("claim.yaml", "")]).await;
    world
        .until_gone("v1", "PersistentVolumeClaim", "default", "data")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_an_object_whose_labels_name_a_kustomization_that_is_gone_is_adopted() {
    let scene = Scene::applied(
        &[("a.yaml", &config_map("a", "1"))],
        &json!({"deletionPolicy": "Orphan"}),
    )
    .await;
    let before = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    scene.world.delete_kustomization("app").await;
    scene.world.kustomization("heir", "app", "./app", &json!({}));
    scene.world.until_applied("heir", &scene.upstream.head()).await;
    let after = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    assert_eq!(
        (uid(&after), &after["metadata"]["labels"][OWNER]),
        (uid(&before), &json!("heir"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_an_object_that_its_owner_does_not_list_is_adopted() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    scene.upstream.write("other/c.yaml", config_map("c", "1"));
    let commit = scene.push(&[]);
    scene.world.kustomization("other", "app", "./other", &json!({}));
    scene.world.until_applied("other", &commit).await;
    scene.world.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "b", "namespace": "default", "labels": {OWNER: "other", OWNER_NAMESPACE: NAMESPACE},
        },
        "data": {"key": "found"},
    }));
    let before = scene.world.get("v1", "ConfigMap", "default", "b").unwrap();
    scene.deploy(&[("b.yaml", &config_map("b", "1"))]).await;
    let after = scene.world.get("v1", "ConfigMap", "default", "b").unwrap();
    assert_eq!(uid(&after), uid(&before));
    assert_eq!(
        (&after["metadata"]["labels"][OWNER], &after["data"]["key"]),
        (&json!("app"), &json!("1"))
    );
    assert_eq!(
        scene.world.inventory("app"),
        ["default_a__ConfigMap", "default_b__ConfigMap"]
    );
    assert_eq!(scene.world.inventory("other"), ["default_c__ConfigMap"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_a_name_that_does_not_fit_a_label_is_refused() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    let name = "x".repeat(64);
    scene.world.kustomization(&name, "app", "./app", &json!({}));
    let message = scene.world.until_failed(&name, "InvalidSpec").await;
    assert_eq!(
        message,
        "the name is longer than 63 characters, and cannot be written in the owner label"
    );
}
