//! Rules 15 to 18 and the end of a Kustomization: whose object it is, and what may be deleted.

use embedded_cluster::{Fault, HoldAt};
use serde_json::{Value, json};
use tests::observe::{OWNER, ids, uid};
use tests::world::{KUSTOMIZE_API, NAMESPACE};

use crate::requests::{deletes, looks, requests};
use crate::{Needs, Scene, config_map, held};

const CLAIM: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: default}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
";

/// A ConfigMap whose data cannot be changed in place.
fn sealed(name: &str, value: &str) -> String {
    format!("{}immutable: true\n", config_map(name, value))
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_15_labels_alone_are_no_reason_to_delete() {
    let scene = Scene::applied(
        &[
            ("a.yaml", &config_map("a", "1")),
            ("b.yaml", &config_map("b", "1")),
        ],
        &json!({}),
    )
    .await;
    scene.world.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "inherited", "namespace": "default",
            "labels": {OWNER: "app", "kustomize.toolkit.fluxcd.io/namespace": NAMESPACE},
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
async fn rule_15_an_object_that_changed_since_it_was_looked_at_is_looked_at_again() {
    let scene = Scene::with(Needs::Faults)
        .applied(
            &[
                ("a.yaml", &config_map("a", "1")),
                ("b.yaml", &config_map("b", "1")),
            ],
            &json!({}),
        )
        .await;
    let mut holding = scene
        .faults()
        .hold(deletes("configmaps").times(1), HoldAt::Before);
    let mark = scene.world.mark();
    let commit = scene.push(&[("b.yaml", "")]);
    let delete = held(&mut holding).await;
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
    world.until_failed("broken", "BuildFailed").await;
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
    world.until_failed("broken", "BuildFailed").await;
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

/// Two Kustomizations, both applied: `old` with these files, and `new` with a ConfigMap of its own.
async fn old_and_new(old: &[(&str, &str)]) -> Scene {
    let mut scene = Scene::new().await;
    for (path, content) in old {
        scene.upstream.write(&format!("old/{path}"), content);
    }
    scene.upstream.write("new/b.yaml", config_map("b", "1"));
    let commit = scene.upstream.commit_all("Start");
    scene.world.git_repository("app", "main");
    for name in ["old", "new"] {
        scene
            .world
            .kustomization(name, "app", &format!("./{name}"), &json!({}));
    }
    scene.world.start().await;
    for name in ["old", "new"] {
        scene.world.until_applied(name, &commit).await;
    }
    scene
}

/// A claim that moves from `old` to `new` in one commit, with one of the two suspended until the other is done.
async fn move_a_claim(suspended: &str, first: &str) -> (Scene, String) {
    let scene = old_and_new(&[("claim.yaml", CLAIM), ("a.yaml", &config_map("a", "1"))]).await;
    let before = scene
        .world
        .get("v1", "PersistentVolumeClaim", "default", "data")
        .unwrap();
    scene.world.respec(suspended, &json!({"suspend": true}));
    scene.upstream.git(&["mv", "old/claim.yaml", "new/claim.yaml"]);
    let commit = scene.upstream.commit_all("Move the claim");
    scene.world.poll("app", "move");
    scene.world.until_applied(first, &commit).await;
    scene.world.respec(suspended, &json!({"suspend": false}));
    scene.world.until_applied(suspended, &commit).await;
    (scene, uid(&before))
}

async fn assert_moved(scene: &Scene, before: &str) {
    let after = scene
        .world
        .get("v1", "PersistentVolumeClaim", "default", "data")
        .expect("it is there");
    assert_eq!(uid(&after), before);
    assert_eq!(after["metadata"]["labels"][OWNER], "new");
    // It is forgotten here once it has arrived there.
    let forgotten = |object: &Value| ids(object) == ["default_a__ConfigMap"];
    scene
        .world
        .until(
            KUSTOMIZE_API,
            "Kustomization",
            NAMESPACE,
            "old",
            "without it",
            forgotten,
        )
        .await;
    assert_eq!(
        scene.world.inventory("new"),
        ["default_b__ConfigMap", "default_data__PersistentVolumeClaim"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_a_claim_that_moves_keeps_its_uid_when_the_old_owner_runs_first() {
    let (scene, before) = move_a_claim("new", "old").await;
    assert_moved(&scene, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_an_object_that_was_promised_to_one_that_never_takes_it_is_deleted_in_the_end() {
    let mut scene = Scene::new().await;
    scene.upstream.write("old/a.yaml", config_map("a", "1"));
    scene.upstream.write("old/m.yaml", config_map("m", "1"));
    scene.upstream.write("new/b.yaml", config_map("b", "1"));
    let commit = scene.upstream.commit_all("Start");
    scene.world.git_repository("app", "main");
    scene.world.kustomization("old", "app", "./old", &json!({}));
    scene
        .world
        .kustomization("new", "app", "./new", &json!({"suspend": true}));
    scene.world.start().await;
    scene.world.until_applied("old", &commit).await;
    scene.upstream.git(&["mv", "old/m.yaml", "new/m.yaml"]);
    let commit = scene.upstream.commit_all("Move it");
    scene.world.poll("app", "move");
    scene.world.until_applied("old", &commit).await;
    assert_eq!(
        scene.world.inventory("old"),
        ["default_a__ConfigMap", "default_m__ConfigMap"]
    );
    std::fs::remove_file(scene.upstream.work().join("new/m.yaml")).unwrap();
    let commit = scene.upstream.commit_all("Take it out");
    scene.world.poll("app", "out");
    scene.world.until_applied("old", &commit).await;
    assert_eq!(scene.data("m"), Value::Null);
    assert_eq!(scene.world.inventory("old"), ["default_a__ConfigMap"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_all_move_to_another_kustomization_need_no_confirmation() {
    let scene = old_and_new(&[("a.yaml", &config_map("a", "1"))]).await;
    scene.upstream.git(&["mv", "old/a.yaml", "new/a.yaml"]);
    scene.upstream.write("old/README.md", "All of it is in new.\n");
    let commit = scene.upstream.commit_all("Move all");
    scene.world.poll("app", "move");
    for name in ["old", "new"] {
        scene.world.until_applied(name, &commit).await;
    }
    let owner = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    assert_eq!(owner["metadata"]["labels"][OWNER], "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_a_claim_that_moves_keeps_its_uid_when_the_new_owner_runs_first() {
    let (scene, before) = move_a_claim("old", "new").await;
    assert_moved(&scene, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_17_fields_of_kubectl_are_taken_over_so_that_what_git_drops_goes() {
    let mut scene = Scene::new().await;
    let by_hand = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "a", "namespace": "default", "labels": {"by": "hand"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "data": {"key": "0", "dropped": "x"},
    });
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"},
        "data": {"other": "kept"},
    });
    scene.world.cluster.apply(&theirs, "somebody").unwrap();
    scene
        .world
        .cluster
        .merge(&by_hand, "kubectl-client-side-apply")
        .unwrap();
    let before = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    let after = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    assert_eq!(uid(&after), uid(&before));
    assert_eq!(after["data"], json!({"key": "1", "other": "kept"}));
    assert_eq!(after["metadata"]["annotations"], Value::Null);
    assert_eq!(
        after["metadata"]["labels"],
        json!({OWNER: "app", "kustomize.toolkit.fluxcd.io/namespace": NAMESPACE})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_an_immutable_field_is_named_with_the_remedy_and_force_carries_it_out() {
    let scene = Scene::applied(&[("a.yaml", &sealed("a", "1"))], &json!({})).await;
    let before = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    let commit = scene.push(&[("a.yaml", &sealed("a", "2"))]);
    let message = scene.world.until_failed("app", "ReconciliationFailed").await;
    insta::assert_snapshot!(message);
    assert_eq!(scene.data("a")["key"], "1");
    scene.world.respec("app", &json!({"force": true}));
    scene.world.until_applied("app", &commit).await;
    let after = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    assert_ne!(uid(&after), uid(&before));
    assert_eq!(after["data"]["key"], "2");
    scene
        .world
        .until_event("app", "ConfigMap/default/a recreated")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_nothing_is_deleted_whose_replacement_is_refused() {
    let scene = Scene::with(Needs::Faults)
        .applied(
            &[("a.yaml", &sealed("a", "1")), ("b.yaml", &config_map("b", "1"))],
            &json!({"force": true}),
        )
        .await;
    let proof = requests().name("a-replacement");
    scene
        .faults()
        .add(proof, Fault::forbidden("exceeded quota: objects"));
    let mark = scene.world.mark();
    scene.push(&[("a.yaml", &sealed("a", "2")), ("b.yaml", &config_map("b", "2"))]);
    let message = scene.world.until_failed("app", "ReconciliationFailed").await;
    assert_eq!(
        message,
        "ConfigMap/default/a (app/a.yaml:1) would have to be deleted and created anew, and its \
         replacement is refused: exceeded quota: objects"
    );
    assert!(
        !scene
            .world
            .writes_since(mark)
            .iter()
            .any(|line| line.contains("configmaps"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_18_what_holds_data_is_recreated_only_by_an_annotation_on_itself() {
    let scene = Scene::applied(&[("claim.yaml", CLAIM)], &json!({"force": true})).await;
    let before = scene
        .world
        .get("v1", "PersistentVolumeClaim", "default", "data")
        .unwrap();
    let other = CLAIM.replace("ReadWriteOnce", "ReadWriteMany");
    scene.push(&[("claim.yaml", &other)]);
    let message = scene.world.until_failed("app", "ReconciliationFailed").await;
    assert!(
        message.starts_with("PersistentVolumeClaim/default/data (app/claim.yaml:"),
        "{message}"
    );
    let annotated = other.replace(
        "namespace: default}",
        "namespace: default, annotations: {kustomize.toolkit.fluxcd.io/force: enabled}}",
    );
    scene.deploy(&[("claim.yaml", &annotated)]).await;
    let after = scene
        .world
        .get("v1", "PersistentVolumeClaim", "default", "data")
        .unwrap();
    assert_ne!(uid(&after), uid(&before));
    assert_eq!(after["spec"]["accessModes"], json!(["ReadWriteMany"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_without_objects_stops_and_says_how_to_confirm() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    let commit = scene.push(&[("a.yaml", ""), ("kustomization.yaml", "namespace: default\n")]);
    let message = scene.world.until_failed("app", "PruneFailed").await;
    assert_eq!(
        message,
        format!(
            "revision main@sha1:{commit} has no objects at all, so all 1 in the inventory would be deleted, among them \
             ConfigMap/default/a; nothing was changed. If this is meant, run: kubectl annotate kustomization --namespace \
             flux-system app --overwrite coracle.dev/prune-confirm=main@sha1:{commit}"
        )
    );
    assert_eq!(scene.data("a")["key"], "1");
    scene.world.confirm_prune("app", &commit);
    scene.world.until_applied("app", &commit).await;
    assert_eq!(scene.data("a"), Value::Null);
    assert_eq!(scene.world.inventory("app"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_deletes_more_than_half_of_many_objects_stops_and_the_next_one_goes_on() {
    let names: Vec<String> = (0..12).map(|number| format!("c{number:02}")).collect();
    let files: Vec<(String, String)> = names
        .iter()
        .map(|name| (format!("{name}.yaml"), config_map(name, "1")))
        .collect();
    let borrowed: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let scene = Scene::applied(&borrowed, &json!({})).await;
    let gone: Vec<(&str, &str)> = borrowed[..7].iter().map(|(path, _)| (*path, "")).collect();
    let commit = scene.push(&gone);
    let message = scene.world.until_failed("app", "PruneFailed").await;
    assert!(
        message.starts_with(&format!(
            "revision main@sha1:{commit} would delete 7 of 12 objects, among them "
        )),
        "{message}"
    );
    assert_eq!(scene.world.labelled().len(), 12);
    scene.deploy(&[borrowed[0]]).await;
    assert_eq!(scene.world.labelled().len(), 6);
}

/// Whether the object of a Kustomization is there after its deletion.
async fn survives(spec: Value) -> bool {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &spec).await;
    scene.world.delete_kustomization("app").await;
    scene.data("a") != Value::Null
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_kustomization_takes_its_objects_along_as_its_policy_says() {
    let policies = [
        (json!({"prune": true}), false),
        (json!({"prune": false}), true),
        (json!({"prune": false, "deletionPolicy": "Delete"}), false),
        (json!({"prune": true, "deletionPolicy": "Orphan"}), true),
        (
            json!({"prune": true, "suspend": false, "deletionPolicy": "WaitForTermination"}),
            false,
        ),
    ];
    for (spec, stays) in policies {
        assert_eq!(survives(spec.clone()).await, stays, "{spec}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_kustomization_that_is_suspended_leaves_its_objects() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    scene.world.respec("app", &json!({"suspend": true}));
    scene.world.delete_kustomization("app").await;
    assert_eq!(scene.data("a")["key"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_for_termination_keeps_the_finalizer_until_the_objects_are_gone() {
    let scene = Scene::with(Needs::Faults)
        .applied(
            &[("a.yaml", &config_map("a", "1"))],
            &json!({"deletionPolicy": "WaitForTermination"}),
        )
        .await;
    let world = &scene.world;
    world.amend(
        "v1",
        "ConfigMap",
        "default",
        "a",
        &json!({"metadata": {"finalizers": ["example.org/hold"]}}),
    );
    let mut holding = world
        .cluster
        .faults()
        .hold(deletes("configmaps").times(1), HoldAt::After);
    world
        .cluster
        .delete(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            NAMESPACE,
            "app",
        )
        .unwrap();
    held(&mut holding).await.release();
    let looks = looks("", "configmaps").name("a");
    let mut waiting = world.cluster.faults().hold(looks.times(1), HoldAt::After);
    let look = held(&mut waiting).await;
    assert_eq!(
        world.get_kustomization("app")["metadata"]["finalizers"],
        json!(["finalizers.fluxcd.io"])
    );
    world.amend(
        "v1",
        "ConfigMap",
        "default",
        "a",
        &json!({"metadata": {"finalizers": null}}),
    );
    look.release();
    world
        .until_gone(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            NAMESPACE,
            "app",
        )
        .await;
}
