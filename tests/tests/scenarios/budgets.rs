//! How many requests things cost. A drift of another object, which is corrected after an event was taken in,
//! shows that the event has led to nothing.

use serde_json::{Value, json};
use tests::world::condition;

use crate::{Scene, config_map, deployment};

const STATUS: &str = "patch kustomizations.kustomize.toolkit.fluxcd.io/status flux-system/app -> 200";

/// A scene with an application of five objects, and a second Kustomization `marker`.
async fn scene(spec: &Value) -> Scene {
    let mut scene = Scene::new().await;
    scene.upstream.write("marker/m.yaml", config_map("m", "1"));
    scene.upstream.write(
        "marker/d.yaml",
        deployment("m", "").replace("spec:\n  selector", "spec:\n  paused: true\n  selector"),
    );
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", spec);
    scene.world.kustomization("marker", "app", "./marker", &json!({}));
    let commit = scene.commit(&[
        ("a.yaml", &config_map("a", "1")),
        ("b.yaml", &config_map("b", "1")),
        ("c.yaml", &config_map("c", "1")),
        ("d.yaml", &config_map("d", "1")),
        ("web.yaml", &deployment("web", "")),
    ]);
    scene.world.start().await;
    for name in ["app", "marker"] {
        scene.world.until_applied(name, &commit).await;
    }
    // Watches have begun by now, and when the second has ended, the statuses above are counted.
    scene.world.reconcile("app", "start").await;
    scene.world.reconcile("marker", "start").await;
    scene
}

impl Scene {
    /// Has an object of `marker` corrected, through the watch of its kind.
    async fn mark_a_config_map(&self) {
        self.world
            .edit(
                "v1",
                "ConfigMap",
                "default",
                "m",
                &json!({"data": {"key": "mine"}}),
            )
            .await;
        let right = |object: &Value| object["data"]["key"] == "1";
        self.world
            .until("v1", "ConfigMap", "default", "m", "put back", right)
            .await;
    }

    async fn mark_a_deployment(&self) {
        self.world
            .edit(
                "apps/v1",
                "Deployment",
                "default",
                "m",
                &json!({"spec": {"paused": false}}),
            )
            .await;
        let right = |object: &Value| object["spec"]["paused"] == true;
        self.world
            .until("apps/v1", "Deployment", "default", "m", "put back", right)
            .await;
    }

    /// Requests that are not about the marker or the source, when the run under way has ended.
    async fn cost(&self, mark: u64) -> Vec<String> {
        self.world.reconcile("marker", &mark.to_string()).await;
        let others = |line: &String| {
            !line.contains(" default/m")
                && !line.contains("flux-system/marker")
                && !line.contains("gitrepositories")
                && !line.contains("events")
        };
        self.world.since(mark).into_iter().filter(others).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_drift_costs_no_request_and_no_render() {
    let scene = scene(&json!({"wait": true})).await;
    let (mark, runs) = (scene.world.mark(), scene.world.runs("app"));
    // Somebody else's field on a ConfigMap; a status of a Deployment.
    scene
        .world
        .edit(
            "v1",
            "ConfigMap",
            "default",
            "a",
            &json!({"metadata": {"annotations": {"x": "y"}}}),
        )
        .await;
    let mut web = scene
        .world
        .get("apps/v1", "Deployment", "default", "web")
        .unwrap();
    web["status"]["observedGeneration"] = json!(1);
    web["status"]["collisionCount"] = json!(1);
    scene.world.cluster.update_status(&web, "somebody").unwrap();
    scene.mark_a_config_map().await;
    scene.mark_a_deployment().await;
    assert_eq!(scene.cost(mark).await, Vec::<String>::new());
    assert_eq!(scene.world.runs("app"), runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_finds_nothing_new_costs_no_request_and_no_render() {
    let scene = scene(&json!({})).await;
    let (mark, runs) = (scene.world.mark(), scene.world.runs("app"));
    scene.world.poll_and_wait("app", "again").await;
    scene.world.reconcile("marker", "after").await;
    assert_eq!(scene.cost(mark).await, Vec::<String>::new());
    assert_eq!(scene.world.runs("app"), runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_touches_none_of_its_files_costs_one_status_and_no_render() {
    let scene = scene(&json!({"wait": true})).await;
    let (mark, runs) = (scene.world.mark(), scene.world.runs("app"));
    scene.upstream.write("README.md", "Nothing of the application.\n");
    scene.deploy(&[]).await;
    assert_eq!(scene.cost(mark).await, [STATUS]);
    assert_eq!(scene.world.runs("app"), runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_object_costs_one_preview_one_apply_and_one_status() {
    let scene = scene(&json!({})).await;
    let mark = scene.world.mark();
    scene.deploy(&[("a.yaml", &config_map("a", "2"))]).await;
    assert_eq!(
        scene.cost(mark).await,
        [
            "patch configmaps default/a (dry run) -> 200",
            "patch configmaps default/a -> 200",
            STATUS
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_object_with_health_costs_two_statuses_at_most() {
    let scene = scene(&json!({"wait": true})).await;
    let mark = scene.world.mark();
    scene.deploy(&[("a.yaml", &config_map("a", "2"))]).await;
    let cost = scene.cost(mark).await;
    let statuses = cost.iter().filter(|line| *line == STATUS).count();
    assert!(statuses <= 2, "{cost:#?}");
    assert_eq!(cost.len() - statuses, 2, "{cost:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_new_object_costs_two_statuses_one_of_them_its_intent() {
    let scene = scene(&json!({})).await;
    let mark = scene.world.mark();
    scene.deploy(&[("e.yaml", &config_map("e", "1"))]).await;
    assert_eq!(
        scene.cost(mark).await,
        [
            "patch configmaps default/e (dry run) -> 201",
            STATUS,
            "patch configmaps default/e -> 201",
            STATUS
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_costs_a_look_at_each_object_and_no_write() {
    let mut scene = scene(&json!({})).await;
    scene.world.stop().await;
    let mark = scene.world.mark();
    scene.world.start().await;
    scene.world.until_runs("app", 1).await;
    let cost = scene.cost(mark).await;
    let writes: Vec<&String> = cost
        .iter()
        .filter(|line| !line.contains("(dry run)") && !line.starts_with("get"))
        .collect();
    assert_eq!(writes, Vec::<&String>::new());
    assert_eq!(cost.len(), 5 + 5, "{cost:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_health_costs_nothing_until_an_event_comes() {
    let scene = scene(&json!({})).await;
    let mark = scene.world.mark();
    let gate = json!({"apiVersion": "v1", "kind": "ConfigMap", "namespace": "default", "name": "gate"});
    scene
        .world
        .respec("app", &json!({"timeout": "5m", "healthChecks": [gate]}));
    // Why it is not there is looked for once; by then the status says what is waited for.
    let look = |line: &String| line.starts_with("get configmaps default/gate ");
    scene
        .world
        .until_seen("a look at the gate", |world| world.since(mark).iter().any(look))
        .await;
    let waits = condition(&scene.world.get_kustomization("app"), "Reconciling").cloned();
    let waits = waits.unwrap_or_default()["message"].to_string();
    assert!(waits.contains("Running health checks for revision"), "{waits}");

    let mark = scene.world.mark();
    scene.mark_a_config_map().await;
    scene.mark_a_deployment().await;
    assert_eq!(scene.cost(mark).await, Vec::<String>::new());
    scene.world.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gate", "namespace": "default"},
    }));
    scene.world.until_applied("app", &scene.upstream.head()).await;
    assert_eq!(scene.world.since(mark).last().map(String::as_str), Some(STATUS));
}
