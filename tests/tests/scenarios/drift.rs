//! Rules 9 to 14: when something is done, and when nothing.

use std::time::Duration;

use embedded_cluster::{HoldAt, Verb};
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tests::observe::uid;
use tests::world::{KUSTOMIZE_API, NAMESPACE, condition, is_ready};

use crate::requests::{previews, requests};
use crate::{Needs, Scene, config_map, deployment, held};

fn is(value: &'static str) -> impl Fn(&Value) -> bool {
    move |object| object["data"]["key"] == value
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_9_a_base_outside_of_the_path_is_part_of_what_was_read() {
    let mut scene = Scene::new().await;
    scene
        .upstream
        .write("base/kustomization.yaml", "resources: [a.yaml]\n");
    scene.upstream.write("base/a.yaml", config_map("a", "1"));
    let first = scene.commit(&[("kustomization.yaml", "resources: [../base]\n")]);
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    scene.world.until_applied("app", &first).await;
    scene.upstream.write("base/a.yaml", config_map("a", "2"));
    scene.deploy(&[]).await;
    assert_eq!(scene.data("a")["key"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_9_a_file_that_appears_where_none_was_found_is_a_change() {
    let scene = Scene::applied(
        &[
            ("a.yaml", &config_map("a", "1")),
            ("deep/b.yaml", &config_map("b", "1")),
        ],
        &json!({}),
    )
    .await;
    scene
        .deploy(&[("kustomization.yaml", "resources: [a.yaml]\n")])
        .await;
    assert_eq!(scene.world.inventory("app"), ["default_a__ConfigMap"]);
    scene
        .deploy(&[("kustomization.yaml", ""), ("deep/c.yaml", &config_map("c", "1"))])
        .await;
    assert_eq!(
        scene.world.inventory("app"),
        [
            "default_a__ConfigMap",
            "default_b__ConfigMap",
            "default_c__ConfigMap"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_9_a_changed_variable_is_a_change() {
    let mut scene = Scene::new().await;
    let variables = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "vars", "namespace": "flux-system"}, "data": {"value": value}});
    scene.world.apply(&variables("one"));
    let commit = scene.commit(&[("a.yaml", &config_map("a", "${value}"))]);
    scene.world.git_repository("app", "main");
    let spec = json!({"postBuild": {"substituteFrom": [{"kind": "ConfigMap", "name": "vars"}]}});
    scene.world.kustomization("app", "app", "./app", &spec);
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    assert_eq!(scene.data("a")["key"], "one");
    scene.world.apply(&variables("two"));
    scene
        .world
        .until("v1", "ConfigMap", "default", "a", "two", is("two"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_9_what_a_repository_has_ignored_is_part_of_what_was_read() {
    let scene = Scene::with(Needs::Kubernetes).a_and_b().await;
    scene.upstream.write(".sourceignore", "/app/b.yaml\n");
    scene.deploy(&[]).await;
    assert_eq!(scene.world.inventory("app"), ["default_a__ConfigMap"]);
    assert_eq!(scene.data("b"), Value::Null);
    scene.upstream.write(".sourceignore", "/app/a.yaml\n");
    scene.deploy(&[]).await;
    assert_eq!(scene.world.inventory("app"), ["default_b__ConfigMap"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_9_so_is_what_a_source_has_ignored_though_its_commit_stays() {
    let scene = Scene::with(Needs::Kubernetes).a_and_b().await;
    let ignoring = |paths: &str| json!({"ref": {"branch": "main"}, "ignore": paths});
    let world = &scene.world;
    world.git_repository_with("app", &ignoring("/app/b.yaml\n"));
    world.until_inventory("app", &["default_a__ConfigMap"]).await;
    assert_eq!(scene.data("b"), Value::Null);
    world.git_repository_with("app", &ignoring("/app/a.yaml\n"));
    world.until_inventory("app", &["default_b__ConfigMap"]).await;
    assert_eq!(scene.data("a"), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_10_what_somebody_changes_is_put_back_and_what_is_not_ours_is_left_alone() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    let mine = json!({"data": {"key": "mine", "other": "mine"}});
    scene.world.edit("v1", "ConfigMap", "default", "a", &mine).await;
    scene
        .world
        .until("v1", "ConfigMap", "default", "a", "put back", is("1"))
        .await;
    assert_eq!(scene.data("a"), json!({"key": "1", "other": "mine"}));
    let before = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    scene
        .world
        .cluster
        .delete("v1", "ConfigMap", "default", "a")
        .unwrap();
    let after = scene
        .world
        .until("v1", "ConfigMap", "default", "a", "back", |object| {
            uid(object) != uid(&before)
        })
        .await;
    assert_eq!(after["data"], json!({"key": "1"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_10_a_generation_that_moves_while_our_fields_stay_costs_one_check_and_no_second_one() {
    let scene = Scene::applied(
        &[
            ("a.yaml", &config_map("a", "1")),
            ("web.yaml", &deployment("web", "")),
        ],
        &json!({}),
    )
    .await;
    let world = &scene.world;
    let scale = async |number: i64| {
        let deployments: Api<k8s_openapi::api::apps::v1::Deployment> =
            Api::namespaced(world.client.clone(), "default");
        let patch = Patch::Merge(json!({"spec": {"replicas": number}}));
        let autoscaler = PatchParams {
            field_manager: Some("horizontal-pod-autoscaler".into()),
            ..PatchParams::default()
        };
        deployments.patch_scale("web", &autoscaler, &patch).await.unwrap();
    };
    let mark = world.mark();
    scale(2).await;
    scale(3).await;
    world.until_runs("app", 2).await;
    let checks = |mark| {
        let mut checks = world.since(mark);
        checks.retain(|line| line.contains("deployments"));
        checks
    };
    let one = [
        "patch deployments.apps default/web (dry run) -> 200",
        "get deployments.apps default/web -> 200",
    ];
    assert_eq!(checks(mark), one);

    // A run that looks at what changed remembers it.
    let mark = world.mark();
    let drifted = json!({"data": {"key": "mine"}});
    world.edit("v1", "ConfigMap", "default", "a", &drifted).await;
    world
        .until("v1", "ConfigMap", "default", "a", "put back", is("1"))
        .await;
    world.until_runs("app", 3).await;
    assert_eq!(checks(mark), Vec::<String>::new());

    let mark = world.mark();
    scale(4).await;
    world.until_runs("app", 4).await;
    assert_eq!(checks(mark), one);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_11_a_field_that_was_set_and_set_back_by_somebody_is_taken_back() {
    let mut scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    scene.world.stop().await;
    for value in ["2", "1"] {
        scene
            .world
            .edit(
                "v1",
                "ConfigMap",
                "default",
                "a",
                &json!({"data": {"key": value}}),
            )
            .await;
    }
    assert!(!owns_key(
        &scene.world.get("v1", "ConfigMap", "default", "a").unwrap()
    ));
    scene.world.start().await;
    scene
        .world
        .until("v1", "ConfigMap", "default", "a", "ours", owns_key)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_11_so_is_one_that_was_set_and_set_back_while_it_was_watched() {
    let scene = Scene::with(Needs::Faults)
        .applied(&[("a.yaml", &config_map("a", "1"))], &json!({}))
        .await;
    let mut holding = scene.faults().hold(previews().name("a").times(1), HoldAt::Before);
    let set = async |value: &str| {
        let patch = json!({"data": {"key": value}});
        scene.world.edit("v1", "ConfigMap", "default", "a", &patch).await;
    };
    set("2").await;
    // It is looked at for that, and finds the value that it wants.
    let look = held(&mut holding).await;
    set("1").await;
    let live = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    assert!(!owns_key(&live));
    look.release();
    scene
        .world
        .until("v1", "ConfigMap", "default", "a", "ours", owns_key)
        .await;
}

fn owns_key(object: &Value) -> bool {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .filter(|entry| entry["manager"] == "kustomize-controller" && entry["operation"] == "Apply")
        .any(|entry| entry.pointer("/fieldsV1/f:data/f:key").is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_a_request_looks_at_everything() {
    let scene = Scene::with(Needs::Kubernetes).a_and_b().await;
    let mark = scene.world.mark();
    scene.world.reconcile("app", "look").await;
    let mut looks = scene.world.since(mark);
    looks.sort();
    looks.dedup();
    assert_eq!(
        looks,
        [
            "get configmaps default/a -> 200",
            "get configmaps default/b -> 200",
            "patch configmaps default/a (dry run) -> 200",
            "patch configmaps default/b (dry run) -> 200",
            "patch kustomizations.kustomize.toolkit.fluxcd.io/status flux-system/app -> 200",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_what_happened_while_a_watch_was_broken_is_seen_when_it_is_back() {
    let scene = Scene::with(Needs::Faults).a_and_b().await;
    let world = &scene.world;
    // The watch is open when something is put back.
    world.amend(
        "v1",
        "ConfigMap",
        "default",
        "a",
        &json!({"data": {"key": "mine"}}),
    );
    world
        .until("v1", "ConfigMap", "default", "a", "put back", is("1"))
        .await;
    let config_maps = requests().resource("", "configmaps");
    let mut holding = world
        .cluster
        .faults()
        .hold(config_maps.clone().verb(Verb::List).times(1), HoldAt::Before);
    // The watch may not be open yet: what it shows was listed before.
    while world.cluster.faults().expire_watches(&config_maps) == 0 {
        tokio::task::yield_now().await;
    }
    let list = held(&mut holding).await;
    world.amend(
        "v1",
        "ConfigMap",
        "default",
        "a",
        &json!({"data": {"key": "mine"}}),
    );
    world.cluster.delete("v1", "ConfigMap", "default", "b").unwrap();
    list.release();
    world
        .until("v1", "ConfigMap", "default", "a", "put back", is("1"))
        .await;
    world
        .until("v1", "ConfigMap", "default", "b", "back", is("1"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_13_a_label_stripped_by_hand_is_put_back_on_the_same_object() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({})).await;
    let before = scene.world.get("v1", "ConfigMap", "default", "a").unwrap();
    let none = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": null}}});
    let mark = scene.world.mark();
    scene.world.edit("v1", "ConfigMap", "default", "a", &none).await;
    let labelled = |object: &Value| object["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] == "app";
    let after = scene
        .world
        .until("v1", "ConfigMap", "default", "a", "labelled", labelled)
        .await;
    assert_eq!(uid(&after), uid(&before));
    // The watch shows a deletion, which the look does not believe: nothing is created.
    let mut requests = scene.world.since(mark);
    requests.retain(|line| line.contains("configmaps default/a"));
    assert_eq!(
        requests,
        [
            "patch configmaps default/a (dry run) -> 200",
            "get configmaps default/a -> 200",
            "patch configmaps default/a -> 200",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_14_a_field_that_is_changed_back_three_times_is_left_alone_and_told() {
    let web = deployment("web", "").replace("spec:\n  selector", "spec:\n  replicas: 1\n  selector");
    let scene = Scene::applied(&[("web.yaml", &web)], &json!({"interval": "5m"})).await;
    let replicas = |number: i64| move |object: &Value| object["spec"]["replicas"] == number;
    let world = &scene.world;
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> =
        Api::namespaced(world.client.clone(), "default");
    let autoscaler = PatchParams {
        field_manager: Some("horizontal-pod-autoscaler".into()),
        ..PatchParams::default()
    };
    let scale = async |number: i64| {
        let patch = Patch::Merge(json!({"spec": {"replicas": number}}));
        deployments.patch_scale("web", &autoscaler, &patch).await.unwrap();
    };
    for number in [2, 3, 4] {
        scale(number).await;
        world
            .until("apps/v1", "Deployment", "default", "web", "put back", replicas(1))
            .await;
    }
    let told = world.until_event("app", "back each time").await;
    assert_eq!(
        told,
        "horizontal-pod-autoscaler changes /spec/replicas of Deployment/default/web back each time it is corrected; \
         it is now corrected once an interval only. Take the field out of Git, or stop horizontal-pod-autoscaler \
         from writing it (a HorizontalPodAutoscaler and `replicas` in Git is the common case)"
    );
    scale(5).await;
    // Another object of the kind is still corrected, by an event that comes later.
    scene
        .deploy(&[(
            "other.yaml",
            &deployment("other", "      paused: true\n").replace("      paused", "  paused"),
        )])
        .await;
    world
        .edit(
            "apps/v1",
            "Deployment",
            "default",
            "other",
            &json!({"spec": {"paused": false}}),
        )
        .await;
    world
        .until(
            "apps/v1",
            "Deployment",
            "default",
            "other",
            "put back",
            |object| object["spec"]["paused"] == true,
        )
        .await;
    assert_eq!(
        world.get("apps/v1", "Deployment", "default", "web").unwrap()["spec"]["replicas"],
        5
    );
    // An interval passes, or one and a half: its phase is by the uid. It is still contested then.
    world.pass(Duration::from_secs(450));
    world
        .until("apps/v1", "Deployment", "default", "web", "put back", replicas(1))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_that_told_what_it_waits_for_says_that_it_is_over() {
    let scene = Scene::applied(&[("a.yaml", &config_map("a", "1"))], &json!({"wait": true})).await;
    scene.world.keep_by("a", &["example.org/hold"]);
    scene
        .world
        .cluster
        .delete("v1", "ConfigMap", "default", "a")
        .unwrap();
    // Only an edit makes a correction of what is on its way out.
    scene
        .world
        .amend("v1", "ConfigMap", "default", "a", &json!({"data": {"key": "2"}}));
    let told = |object: &Value| {
        condition(object, "Reconciling").is_some_and(|reconciling| {
            reconciling["message"]
                .as_str()
                .unwrap_or_default()
                .starts_with("ConfigMap/default/a is being deleted")
        })
    };
    scene
        .world
        .until(KUSTOMIZE_API, "Kustomization", NAMESPACE, "app", "told", told)
        .await;
    scene.world.keep_by("a", &[]);
    scene
        .world
        .until(
            KUSTOMIZE_API,
            "Kustomization",
            NAMESPACE,
            "app",
            "ready",
            is_ready,
        )
        .await;
    assert_eq!(scene.data("a")["key"], "1");
}
