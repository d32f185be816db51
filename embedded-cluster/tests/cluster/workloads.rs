//! The simulator: what becomes of workloads over time.

use std::time::Duration;

use embedded_cluster::Behaviour;
use serde_json::{Value, json};

use crate::support::{Result, Running, start};

fn workload(kind: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}},
        },
    })
}

/// Lets time pass in the steps in which pods start.
async fn let_pass(running: &Running, span: Duration) {
    for _ in 0..10 {
        running.cluster.advance(span / 10).await;
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
        .unwrap_or(&Value::Null)
}

fn pod(running: &Running) -> Value {
    running
        .cluster
        .list("v1", "Pod", "default")
        .into_iter()
        .next()
        .unwrap_or_default()
}

#[tokio::test]
async fn a_deployment_rolls_out_and_over() -> Result<()> {
    let running = start().await?;
    running.cluster.apply(&workload("Deployment", "web:1"), "t")?;
    let_pass(&running, Duration::from_secs(1)).await;
    let web = running
        .cluster
        .get("apps/v1", "Deployment", "default", "web")
        .unwrap_or_default();
    assert_eq!(web["status"]["availableReplicas"], 2, "{web:#}");
    assert_eq!(condition(&web, "Progressing")["reason"], "NewReplicaSetAvailable");
    running.cluster.apply(&workload("Deployment", "web:2"), "t")?;
    let_pass(&running, Duration::from_secs(2)).await;
    let web = running
        .cluster
        .get("apps/v1", "Deployment", "default", "web")
        .unwrap_or_default();
    assert_eq!(
        (&web["status"]["updatedReplicas"], &web["status"]["replicas"]),
        (&json!(2), &json!(2)),
        "{web:#}"
    );
    assert_eq!(running.cluster.list("v1", "Pod", "default").len(), 2);
    assert_eq!(
        web["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
    Ok(())
}

#[tokio::test]
async fn an_image_that_does_not_exist_runs_out_of_time_and_leaves_the_old_pods_running() -> Result<()> {
    let running = start().await?;
    running.cluster.apply(&workload("Deployment", "web:1"), "t")?;
    let_pass(&running, Duration::from_secs(1)).await;
    running
        .cluster
        .apply(&workload("Deployment", "web:does-not-exist"), "t")?;
    let_pass(&running, Duration::from_secs(1)).await;
    let pods = running.cluster.list("v1", "Pod", "default");
    let waiting: Vec<&str> = pods
        .iter()
        .filter_map(|pod| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_str())
        .collect();
    assert_eq!(waiting, ["ImagePullBackOff"]);
    let_pass(&running, Duration::from_secs(601)).await;
    let web = running
        .cluster
        .get("apps/v1", "Deployment", "default", "web")
        .unwrap_or_default();
    assert_eq!(
        condition(&web, "Progressing")["reason"],
        "ProgressDeadlineExceeded"
    );
    assert_eq!(condition(&web, "Available")["status"], "True");
    Ok(())
}

#[tokio::test]
async fn a_crash_is_told_with_exit_code_restarts_and_log() -> Result<()> {
    let running = start().await?;
    let crash = Behaviour::Crash {
        exit_code: 3,
        log: "no database\n".into(),
    };
    running.cluster.workloads().when_image("web:1", crash);
    running.cluster.apply(&workload("Deployment", "web:1"), "t")?;
    let_pass(&running, Duration::from_secs(30)).await;
    let pod = pod(&running);
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(status["restartCount"], 2);
    let api: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(running.client.clone(), "default");
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let params = kube::api::LogParams {
        previous: true,
        tail_lines: Some(1),
        ..Default::default()
    };
    assert_eq!(api.logs(name, &params).await?, "no database\n");
    Ok(())
}

#[tokio::test]
async fn a_stateful_set_starts_its_pods_in_order_with_bound_claims() -> Result<()> {
    let running = start().await?;
    let mut set = workload("StatefulSet", "web:1");
    set["spec"]["serviceName"] = "web".into();
    set["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }]);
    running.cluster.apply(&set, "t")?;
    let_pass(&running, Duration::from_secs(1)).await;
    let names: Vec<String> = running
        .cluster
        .list("v1", "PersistentVolumeClaim", "default")
        .iter()
        .map(|claim| format!("{} {}", claim["metadata"]["name"], claim["status"]["phase"]))
        .collect();
    assert_eq!(names, ["\"data-web-0\" \"Bound\"", "\"data-web-1\" \"Bound\""]);
    let set = running
        .cluster
        .get("apps/v1", "StatefulSet", "default", "web")
        .unwrap_or_default();
    assert_eq!(set["status"]["readyReplicas"], 2, "{set:#}");
    assert_eq!(set["status"]["currentRevision"], set["status"]["updateRevision"]);
    Ok(())
}

#[tokio::test]
async fn a_daemon_set_has_one_pod_on_a_node_that_it_fits_and_rolls_over() -> Result<()> {
    let running = start().await?;
    let mut set = workload("DaemonSet", "web:1");
    if let Some(spec) = set["spec"].as_object_mut() {
        spec.remove("replicas");
    }
    let status = || {
        let set = running.cluster.get("apps/v1", "DaemonSet", "default", "web");
        let mut status = set.unwrap_or_default()["status"].clone();
        status["observedGeneration"].take();
        status
    };
    let up = json!({
        "observedGeneration": null, "desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberMisscheduled": 0,
        "numberReady": 1, "numberAvailable": 1, "updatedNumberScheduled": 1,
    });
    running.cluster.apply(&set, "t")?;
    let_pass(&running, Duration::from_secs(1)).await;
    assert_eq!(status(), up);
    let first = pod(&running);
    assert_eq!(first["metadata"]["ownerReferences"][0]["kind"], "DaemonSet");

    set["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2".into();
    running.cluster.apply(&set, "t")?;
    let_pass(&running, Duration::from_secs(1)).await;
    assert_eq!(status(), up);
    let second = pod(&running);
    assert_eq!(second["spec"]["containers"][0]["image"], "web:2");
    assert_ne!(second["metadata"]["uid"], first["metadata"]["uid"]);
    assert_eq!(running.cluster.list("v1", "Pod", "default").len(), 1);

    // A node that there is not.
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "fast"});
    running.cluster.apply(&set, "t")?;
    let_pass(&running, Duration::from_secs(1)).await;
    assert_eq!(running.cluster.list("v1", "Pod", "default"), Vec::<Value>::new());
    assert_eq!(status()["desiredNumberScheduled"], 0);
    Ok(())
}

#[tokio::test]
async fn a_job_completes_or_reaches_its_backoff_limit() -> Result<()> {
    let running = start().await?;
    running.cluster.workloads().when_image(
        "bad:1",
        Behaviour::Crash {
            exit_code: 1,
            log: String::new(),
        },
    );
    for (name, image) in [("good", "good:1"), ("bad", "bad:1")] {
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "default"},
            "spec": {"backoffLimit": 1, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}}},
        });
        running.cluster.apply(&job, "t")?;
    }
    let_pass(&running, Duration::from_secs(60)).await;
    let get = |name: &str| {
        running
            .cluster
            .get("batch/v1", "Job", "default", name)
            .unwrap_or_default()
    };
    assert_eq!(condition(&get("good"), "Complete")["status"], "True");
    assert_eq!(condition(&get("bad"), "Failed")["reason"], "BackoffLimitExceeded");
    Ok(())
}

#[tokio::test]
async fn a_claim_stays_until_no_pod_uses_it() -> Result<()> {
    let running = start().await?;
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let claim = running.cluster.apply(&claim, "t")?;
    assert_eq!(
        claim["metadata"]["finalizers"],
        json!(["kubernetes.io/pvc-protection"])
    );
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "containers": [{"name": "db", "image": "db:1"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    });
    running.cluster.apply(&pod, "t")?;
    let_pass(&running, Duration::from_secs(1)).await;
    let delete = |kind: &'static str, name: &'static str| {
        let api = running.api("v1", kind, "default");
        async move { api.delete(name, &kube::api::DeleteParams::default()).await }
    };
    delete("PersistentVolumeClaim", "data").await?;
    let_pass(&running, Duration::from_secs(60)).await;
    let held = running
        .cluster
        .get("v1", "PersistentVolumeClaim", "default", "data");
    assert!(held.is_some_and(|claim| claim["metadata"]["deletionTimestamp"].is_string()));
    delete("Pod", "db").await?;
    let_pass(&running, Duration::from_secs(60)).await;
    assert!(running.cluster.get("v1", "Pod", "default", "db").is_none());
    let claims = running.cluster.list("v1", "PersistentVolumeClaim", "default");
    assert!(claims.is_empty(), "{claims:?}");
    Ok(())
}
