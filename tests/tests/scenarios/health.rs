//! Health: what is waited for, how a failure is explained, and that it passes without a new commit.

use embedded_cluster::Behaviour;
use serde_json::{Value, json};
use tests::world::{KUSTOMIZE_API, NAMESPACE, condition};

use crate::{Needs, Scene, config_map, deployment_of};

const IMAGE: &str = "registry.example.org/web:1.0.0";

/// A Kustomization `app` of a Deployment `web`, which waits.
async fn scene_of(behaviour: Behaviour, spec: &Value) -> Scene {
    let mut scene = Scene::with(Needs::Workloads).empty().await;
    scene.workloads().when_image(IMAGE, behaviour);
    scene
        .upstream
        .commit("app/web.yaml", &deployment_of("web", IMAGE));
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", spec);
    scene.world.start().await;
    scene
}

/// A message with the generated end of a pod's name taken out.
fn plain(message: &str) -> String {
    let mut words: Vec<String> = message.split(' ').map(ToOwned::to_owned).collect();
    for word in &mut words {
        if word.starts_with("web-") {
            let end = if word.ends_with(':') { ":" } else { "" };
            *word = format!("web-POD{end}");
        }
    }
    words.join(" ")
}

async fn unhealthy(scene: &Scene) -> String {
    plain(
        &scene
            .world
            .until_told(KUSTOMIZE_API, "Kustomization", "app", "HealthCheckFailed")
            .await,
    )
}

async fn until_healthy(scene: &Scene) -> Value {
    let object = scene.world.until_applied("app", &scene.upstream.head()).await;
    let healthy = condition(&object, "Healthy").unwrap();
    assert_eq!(
        (healthy["status"].as_str(), healthy["message"].as_str()),
        (Some("True"), Some("Health check passed"))
    );
    object
}

/// Has all pods made anew, so that they behave as they are told now without a wait for a kubelet's back-off.
fn replace_pods(scene: &Scene) {
    for pod in scene.world.cluster.list("v1", "Pod", "default") {
        let name = pod["metadata"]["name"].as_str().unwrap();
        scene.world.cluster.delete("v1", "Pod", "default", name).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_wait_it_is_ready_when_the_workloads_are() {
    let scene = scene_of(Behaviour::Ready, &json!({"wait": true})).await;
    until_healthy(&scene).await;
    let web = scene
        .world
        .get("apps/v1", "Deployment", "default", "web")
        .unwrap();
    assert_eq!(web["status"]["readyReplicas"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_wait_it_is_ready_when_everything_is_applied() {
    let scene = scene_of(Behaviour::ImageNotFound, &json!({})).await;
    let object = scene.world.until_applied("app", &scene.upstream.head()).await;
    assert_eq!(condition(&object, "Healthy"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_20_an_image_that_cannot_be_pulled_is_told_with_pod_and_container_and_passes_without_a_commit() {
    let scene = scene_of(Behaviour::ImageNotFound, &json!({"wait": true})).await;
    assert_eq!(
        unhealthy(&scene).await,
        "failed early due to stalled resources: [Deployment/default/web status: 'Failed': pod web-POD: image \"registry.example.org/web:1.0.0\" of container \"web\" cannot be pulled: not found]"
    );
    scene.workloads().when_image(IMAGE, Behaviour::Ready);
    replace_pods(&scene);
    until_healthy(&scene).await;
    scene.world.until_event("app", "HealthCheckFailed is over").await;
    assert_eq!(scene.world.warnings("app").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_told_with_its_exit_code_and_the_last_line_of_the_log() {
    let log = "connecting\nfatal: no database at db:5432\n".to_owned();
    let scene = scene_of(Behaviour::Crash { exit_code: 3, log }, &json!({"wait": true})).await;
    assert_eq!(
        unhealthy(&scene).await,
        "failed early due to stalled resources: [Deployment/default/web status: 'Failed': pod web-POD: container \"web\" exited with code 3, restarted once; its last log line: fatal: no database at db:5432]"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_line_of_the_log_can_be_left_out() {
    let log = "fatal: no database at db:5432\n".to_owned();
    let mut scene = Scene::with(Needs::Workloads).empty().await;
    scene.world = scene.world.configured(|config| config.log_excerpts = false);
    scene
        .workloads()
        .when_image(IMAGE, Behaviour::Crash { exit_code: 3, log });
    scene
        .upstream
        .commit("app/web.yaml", &deployment_of("web", IMAGE));
    scene.world.git_repository("app", "main");
    scene
        .world
        .kustomization("app", "app", "./app", &json!({"wait": true}));
    scene.world.start().await;
    assert_eq!(
        unhealthy(&scene).await,
        "failed early due to stalled resources: [Deployment/default/web status: 'Failed': pod web-POD: container \"web\" exited with code 3, restarted once]"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_memory_is_told() {
    let scene = scene_of(Behaviour::OutOfMemory, &json!({"wait": true})).await;
    assert_eq!(
        unhealthy(&scene).await,
        "failed early due to stalled resources: [Deployment/default/web status: 'Failed': pod web-POD: container \"web\" was killed for using more memory than its node has, restarted once; its last log line: allocating]"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_ready_times_out_and_counts_when_it_is_ready_later() {
    let scene = scene_of(Behaviour::NeverReady, &json!({"wait": true, "timeout": "1s"})).await;
    assert_eq!(
        unhealthy(&scene).await,
        "timeout waiting for: [Deployment/default/web status: 'InProgress': pod web-POD: container \"web\" runs but is not ready: Readiness probe failed: HTTP probe failed with statuscode: 503]"
    );
    scene.workloads().when_image(IMAGE, Behaviour::Ready);
    replace_pods(&scene);
    until_healthy(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_no_node_takes_is_told_at_the_timeout() {
    let scene = scene_of(Behaviour::Unschedulable, &json!({"wait": true, "timeout": "1s"})).await;
    assert_eq!(
        unhealthy(&scene).await,
        "timeout waiting for: [Deployment/default/web status: 'InProgress': pod web-POD: no node takes it: 0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.]"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_ends_the_wait_for_what_it_replaces() {
    let scene = scene_of(Behaviour::NeverReady, &json!({"wait": true, "timeout": "1h"})).await;
    scene
        .world
        .until(
            KUSTOMIZE_API,
            "Kustomization",
            NAMESPACE,
            "app",
            "waiting",
            |object| {
                condition(object, "Reconciling").is_some_and(|c| {
                    c["message"]
                        .as_str()
                        .is_some_and(|m| m.starts_with("Running health checks"))
                })
            },
        )
        .await;
    let mended = scene.push_file(
        "app/web.yaml",
        &deployment_of("web", "registry.example.org/web:1.0.1"),
    );
    scene.world.until_applied("app", &mended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_19_a_healthy_workload_that_breaks_later_is_told_and_passes_again() {
    let scene = scene_of(Behaviour::Ready, &json!({"wait": true, "timeout": "2s"})).await;
    until_healthy(&scene).await;
    scene.workloads().when_image(
        IMAGE,
        Behaviour::Crash {
            exit_code: 1,
            log: "bye\n".into(),
        },
    );
    replace_pods(&scene);
    assert_eq!(
        unhealthy(&scene).await,
        "failed early due to stalled resources: [Deployment/default/web status: 'Failed': pod web-POD: container \"web\" exited with code 1, restarted once; its last log line: bye]"
    );
    scene.workloads().when_image(IMAGE, Behaviour::Ready);
    replace_pods(&scene);
    until_healthy(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_19_why_a_healthy_workload_broke_is_told_after_the_time_of_grace_and_not_only_at_the_timeout() {
    let scene = scene_of(Behaviour::Ready, &json!({"wait": true, "timeout": "1h"})).await;
    until_healthy(&scene).await;
    scene.workloads().when_image(IMAGE, Behaviour::ImageNotFound);
    replace_pods(&scene);
    assert_eq!(
        unhealthy(&scene).await,
        "failed early due to stalled resources: [Deployment/default/web status: 'Failed': pod web-POD: image \"registry.example.org/web:1.0.0\" of container \"web\" cannot be pulled: not found]"
    );
    scene.workloads().when_image(IMAGE, Behaviour::Ready);
    replace_pods(&scene);
    until_healthy(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_20_a_health_check_of_an_object_elsewhere_is_waited_for() {
    let checks =
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "database", "namespace": "default"}]);
    let mut scene = Scene::new().await;
    let commit = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    scene.world.git_repository("app", "main");
    scene.world.kustomization(
        "app",
        "app",
        "./app",
        &json!({"healthChecks": checks, "timeout": "1s"}),
    );
    scene.world.start().await;
    assert_eq!(
        unhealthy(&scene).await,
        "timeout waiting for: [Deployment/default/database status: 'NotFound']"
    );
    scene.world.apply(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "database", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "database"}},
            "template": {
                "metadata": {"labels": {"app": "database"}},
                "spec": {"containers": [{"name": "database", "image": "postgres:18"}]},
            },
        },
    }));
    until_healthy(&scene).await;

    // The first owned Deployment starts a watch of its own, which does not show the other one.
    let web = scene.push_file("web/web.yaml", &deployment_of("web", IMAGE));
    scene
        .world
        .kustomization("web", "app", "./web", &json!({"wait": true}));
    scene.world.until_applied("web", &web).await;
    let next = scene.push_file("app/config.yaml", &config_map("settings", "two"));
    assert_ne!(commit, next);
    until_healthy(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_of_one_of_its_own_objects_leaves_the_others_out() {
    let checks =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "settings", "namespace": "default"}]);
    let mut scene = Scene::with(Needs::Workloads).empty().await;
    scene.workloads().when_image(IMAGE, Behaviour::NeverReady);
    scene.upstream.write("app/web.yaml", deployment_of("web", IMAGE));
    scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    scene.world.git_repository("app", "main");
    scene
        .world
        .kustomization("app", "app", "./app", &json!({"healthChecks": checks}));
    scene.world.start().await;
    until_healthy(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_is_told() {
    let mut scene = Scene::with(Needs::Workloads).empty().await;
    let crash = Behaviour::Crash {
        exit_code: 4,
        log: "migration 7 failed\n".into(),
    };
    scene.workloads().when_image(IMAGE, crash);
    scene.upstream.commit(
        "app/job.yaml",
        &format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: web\n  namespace: default\nspec:\n  backoffLimit: 0\n  \
             template:\n    spec:\n      restartPolicy: Never\n      containers:\n        - name: migrate\n          \
             image: {IMAGE}\n"
        ),
    );
    scene.world.git_repository("app", "main");
    scene
        .world
        .kustomization("app", "app", "./app", &json!({"wait": true}));
    scene.world.start().await;
    assert_eq!(
        unhealthy(&scene).await,
        "failed early due to stalled resources: [Job/default/web status: 'Failed': pod web-POD: container \"migrate\" exited with code 4; its last log line: migration 7 failed]"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_20_a_health_check_of_what_another_kustomization_owns_follows_each_of_its_changes() {
    let checks =
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "default"}]);
    let scene = scene_of(Behaviour::Ready, &json!({"wait": true})).await;
    scene
        .upstream
        .write("watcher/config.yaml", config_map("settings", "one"));
    scene.push_all();
    scene.world.kustomization(
        "watcher",
        "app",
        "./watcher",
        &json!({"healthChecks": checks, "timeout": "20s"}),
    );
    for round in ["two", "three", "four", "five"] {
        scene
            .upstream
            .write("app/web.yaml", deployment_of("web", &format!("{IMAGE}-{round}")));
        scene
            .upstream
            .write("watcher/config.yaml", config_map("settings", round));
        let commit = scene.push_all();
        for name in ["app", "watcher"] {
            scene.world.until_applied(name, &commit).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_that_is_not_asked_for_any_more_is_not_watched_any_more() {
    let check = |name: &str| json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "namespace": "default"}]);
    let scene = scene_of(
        Behaviour::Ready,
        &json!({"healthChecks": check("absent"), "timeout": "1h"}),
    )
    .await;
    let watches = |name: &'static str| {
        move |world: &tests::World| {
            let requests = world.requests_of_watches(0);
            requests
                .iter()
                .filter(|line| line.contains(&format!("default/{name} ")))
                .count()
        }
    };
    scene
        .world
        .until_seen("a list of it", |world| watches("absent")(world) > 0)
        .await;
    scene
        .world
        .respec("app", &json!({"healthChecks": check("other")}));
    scene
        .world
        .until_seen("a list of the other", |world| watches("other")(world) > 0)
        .await;
    // A watch is counted when it ends.
    let ended = |world: &tests::World| {
        world
            .requests_of_watches(0)
            .iter()
            .any(|line| line.starts_with("watch ") && line.contains("default/absent "))
    };
    scene.world.until_seen("the end of the watch", ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_vanished_when_it_was_done_is_not_run_again_by_a_look_or_a_restart_but_by_git() {
    let mut scene = Scene::with(Needs::Kubernetes).empty().await;
    let job = |image: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: migrate, namespace: default}}\nspec:\n  \
             ttlSecondsAfterFinished: 0\n  template:\n    spec:\n      restartPolicy: Never\n      containers: \
             [{{name: migrate, image: '{image}'}}]\n"
        )
    };
    scene.upstream.commit("app/job.yaml", &job("migrate:1"));
    scene.world.git_repository("app", "main");
    scene
        .world
        .kustomization("app", "app", "./app", &json!({"wait": true}));
    scene.world.start().await;
    until_healthy(&scene).await;
    vanish(&scene).await;
    let mark = scene.world.mark();
    scene.world.reconcile("app", "first").await;
    scene.world.stop().await;
    scene.world.start().await;
    scene.world.reconcile("app", "second").await;
    until_healthy(&scene).await;
    assert_eq!(applied_jobs(&scene, mark), 0);

    scene.upstream.commit("app/job.yaml", &job("migrate:2"));
    scene.world.poll("app", "third");
    until_healthy(&scene).await;
    assert_eq!(applied_jobs(&scene, mark), 1);
}

/// The Job is done and gone, as its time to live has it.
async fn vanish(scene: &Scene) {
    // Upstream's controller may have removed it already.
    let _ = scene
        .world
        .cluster
        .delete("batch/v1", "Job", "default", "migrate");
    scene
        .world
        .until_gone("batch/v1", "Job", "default", "migrate")
        .await;
}

fn applied_jobs(scene: &Scene, mark: u64) -> usize {
    let writes = scene.world.writes_since(mark);
    writes.iter().filter(|write| write.contains("jobs")).count()
}
