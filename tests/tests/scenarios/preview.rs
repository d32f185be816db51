//! Rules 6 to 8: what is known before the first change.

use embedded_cluster::{ApiError, Fault, HoldAt};
use serde_json::{Value, json};

use crate::requests::{applies, previews, requests};
use crate::{Needs, Scene, config_map, deployment, held};

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n";

fn in_shop(name: &str, data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: shop\ndata: {data}\n")
}

fn crd(name: &str, kind: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: {name}s.example.org\nspec:\n  group: example.org\n  scope: Namespaced\n  names: {{kind: {kind}, plural: {name}s, singular: {name}}}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema:\n      openAPIV3Schema:\n        type: object\n        properties:\n          spec:\n            type: object\n            properties:\n              size: {{type: integer}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_6_all_that_is_rejected_is_reported_together_and_nothing_is_written() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    let mark = scene.world.mark();
    scene.push(&[
        ("a.yaml", &config_map("a", "2")),
        ("bad.yaml", &config_map("Bad_Name", "1")),
        (
            "worse.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: worse\n  namespace: nowhere\n",
        ),
    ]);
    let message = scene.world.until_failed("app", "ReconciliationFailed").await;
    insta::assert_snapshot!(message);
    assert_eq!(scene.data("a")["key"], "1");
    assert!(
        !scene
            .world
            .writes_since(mark)
            .iter()
            .any(|line| line.contains("configmaps"))
    );
    assert_eq!(scene.world.inventory("app"), ["default_a__ConfigMap"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_6_objects_whose_namespace_comes_along_are_previewed_when_it_is_there() {
    let scene = Scene::applied(
        &[("shop.yaml", NAMESPACE), ("a.yaml", &in_shop("a", "{key: '1'}"))],
        &json!({}),
    )
    .await;
    assert_eq!(
        scene.world.inventory("app"),
        ["_shop__Namespace", "shop_a__ConfigMap"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_6_a_binding_whose_role_comes_along_is_previewed_when_it_is_there() {
    let mut scene = Scene::with(Needs::Faults).empty().await;
    let rbac = "rbac.authorization.k8s.io";
    let role = format!(
        "apiVersion: {rbac}/v1\nkind: Role\nmetadata: {{name: reader, namespace: default}}\nrules: []\n"
    );
    let binding = format!(
        "apiVersion: {rbac}/v1\nkind: RoleBinding\nmetadata: {{name: reader, namespace: default}}\n\
         roleRef: {{apiGroup: {rbac}, kind: Role, name: reader}}\n"
    );
    let commit = scene.commit(&[("role.yaml", &role), ("binding.yaml", &binding)]);
    let world = &mut scene.world;
    let bindings = requests().resource(rbac, "rolebindings").dry_run(true);
    world
        .cluster
        .faults()
        .add(bindings.times(1), Fault::missing(rbac, "rolebindings", "reader"));
    world.git_repository("app", "main");
    world.kustomization("app", "app", "./app", &json!({}));
    let mark = world.mark();
    world.start().await;
    world.until_applied("app", &commit).await;
    let mut patches: Vec<String> = world
        .since(mark)
        .into_iter()
        .filter(|line| line.contains("role") && line.starts_with("patch"))
        .collect();
    // The two first looks are made at once.
    patches[..2].sort();
    assert_eq!(
        patches,
        [
            "patch rolebindings.rbac.authorization.k8s.io default/reader (dry run) -> 404",
            "patch roles.rbac.authorization.k8s.io default/reader (dry run) -> 201",
            "patch roles.rbac.authorization.k8s.io default/reader -> 201",
            "patch rolebindings.rbac.authorization.k8s.io default/reader (dry run) -> 201",
            "patch rolebindings.rbac.authorization.k8s.io default/reader -> 201",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_6_what_was_deferred_and_is_rejected_then_fails_before_its_stage_writes_anything() {
    let scene = Scene::applied(&[("first.yaml", &config_map("first", "1"))], &json!({})).await;
    scene.push(&[
        ("shop.yaml", NAMESPACE),
        ("good.yaml", &in_shop("good", "{key: '1'}")),
        ("bad.yaml", &in_shop("bad", "{'no/such/key': '1'}")),
        ("first.yaml", &config_map("first", "2")),
    ]);
    let message = scene.world.until_failed("app", "ReconciliationFailed").await;
    assert!(
        message.starts_with("ConfigMap/shop/bad (app/bad.yaml:1) dry-run failed: "),
        "{message}"
    );
    assert!(scene.world.get("v1", "Namespace", "", "shop").is_some());
    assert_eq!(scene.world.get("v1", "ConfigMap", "shop", "good"), None);
    assert_eq!(scene.data("first")["key"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_6_objects_whose_definition_comes_along_are_previewed_against_it() {
    let scene = Scene::applied(&[("first.yaml", &config_map("first", "1"))], &json!({})).await;
    let widget = |size: &str| {
        format!(
            "apiVersion: example.org/v1\nkind: Widget\nmetadata:\n  name: w\n  namespace: default\nspec:\n  size: {size}\n"
        )
    };
    scene.push(&[
        ("crd.yaml", &crd("widget", "Widget")),
        ("w.yaml", &widget("large")),
    ]);
    let message = scene.world.until_failed("app", "ReconciliationFailed").await;
    assert!(
        message.starts_with("Widget/default/w (app/w.yaml:1) dry-run failed: "),
        "{message}"
    );
    scene.deploy(&[("w.yaml", &widget("3"))]).await;
    assert_eq!(
        scene
            .world
            .get("example.org/v1", "Widget", "default", "w")
            .unwrap()["spec"]["size"],
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_6_what_a_webhook_refuses_to_preview_is_applied_unverified() {
    let mut scene = Scene::with(Needs::Faults).empty().await;
    let message =
        "admission webhook \"x.example.org\" does not support dry run: its side effects are unknown";
    let refusal = ApiError {
        code: 400,
        reason: "BadRequest",
        message: message.into(),
        details: None,
    };
    let previews = previews().resource("", "configmaps");
    scene.faults().add(previews, Fault::Refuse(refusal));
    let commit = scene.commit(&[("a.yaml", &config_map("a", "1"))]);
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    assert_eq!(scene.data("a")["key"], "1");
    scene.deploy(&[("a.yaml", &config_map("a", "2"))]).await;
    assert_eq!(scene.data("a")["key"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_7_a_run_that_fails_midway_is_resumed() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let apply = applies().name("c").times(1);
    scene
        .faults()
        .add(apply, Fault::forbidden("exceeded quota: objects"));
    let commit = scene.push(&[
        ("b.yaml", &config_map("b", "1")),
        ("c.yaml", &config_map("c", "1")),
    ]);
    let message = scene.world.until_failed("app", "ReconciliationFailed").await;
    assert_eq!(
        message,
        "ConfigMap/default/c (app/c.yaml:1): exceeded quota: objects"
    );
    let all = [
        "default_a__ConfigMap",
        "default_b__ConfigMap",
        "default_c__ConfigMap",
    ];
    assert_eq!(scene.world.inventory("app"), all);
    scene.world.reconcile("app", "again").await;
    scene.world.until_applied("app", &commit).await;
    assert_eq!(scene.world.labelled(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_8_what_the_server_makes_of_a_value_is_no_drift() {
    let more = "        resources:\n          requests: {cpu: '0.10', memory: 1024Mi}\n";
    let scene = Scene::applied(&[("web.yaml", &deployment("web", more))], &json!({})).await;
    let mark = scene.world.mark();
    scene.world.reconcile("app", "look").await;
    let seen = scene.world.since(mark);
    assert!(
        seen.contains(&"patch deployments.apps default/web (dry run) -> 200".to_owned()),
        "{seen:#?}"
    );
    assert!(
        !seen.contains(&"patch deployments.apps default/web -> 200".to_owned()),
        "{seen:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_8_what_somebody_changes_during_a_write_is_seen_afterwards() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let apply = applies().name("a").times(1);
    let mut holding = scene.faults().hold(apply, HoldAt::After);
    scene.push(&[("a.yaml", &config_map("a", "2"))]);
    let write = held(&mut holding).await;
    scene.world.amend(
        "v1",
        "ConfigMap",
        "default",
        "a",
        &json!({"data": {"key": "mine"}}),
    );
    write.release();
    let right = |object: &Value| object["data"]["key"] == "2";
    scene
        .world
        .until("v1", "ConfigMap", "default", "a", "put back", right)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_is_written_when_the_one_before_it_is_and_each_in_its_order() {
    let role = "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: c}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]
";
    let class = "apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: b}
provisioner: example.org/disk
";
    let scene = Scene::with(Needs::Faults)
        .applied(&[("first.yaml", &config_map("first", "1"))], &json!({}))
        .await;
    let roles = applies().resource("rbac.authorization.k8s.io", "clusterroles");
    let classes = applies().resource("storage.k8s.io", "storageclasses");
    let mut stages = [roles, classes].map(|writes| scene.faults().hold(writes.times(1), HoldAt::Before));
    let mark = scene.world.mark();
    let commit = scene.push(&[
        ("a.yaml", &config_map("a", "1")),
        ("b.yaml", class),
        ("c.yaml", role),
    ]);
    let written = || {
        let mut writes = scene.world.writes_since(mark);
        writes.retain(|line| !line.contains("toolkit.fluxcd.io"));
        writes
    };
    let order = [
        "patch clusterroles.rbac.authorization.k8s.io /c -> 201",
        "patch storageclasses.storage.k8s.io /b -> 201",
        "patch configmaps default/a -> 201",
    ];
    for (number, stage) in stages.iter_mut().enumerate() {
        let write = held(stage).await;
        assert_eq!(written(), order[..number]);
        write.release();
    }
    scene.world.until_applied("app", &commit).await;
    assert_eq!(written(), order);
}
