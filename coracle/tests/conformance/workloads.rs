//! Workloads under upstream's own controllers and scheduler, on nodes that kwok plays: what is waited for, what has
//! failed, and why.

use serde_json::{Value, json};

use crate::shared;
use crate::team::{Team, masked};

const DEPLOYMENT: &str = "apps/v1/Deployment";
const JOB: &str = "batch/v1/Job";

/// A Deployment of two pods; `plays` is what becomes of them.
fn deployment(version: &str, plays: &str) -> String {
    format!(
        "\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  progressDeadlineSeconds: 4
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web{plays}}}}}
    spec:
      containers: [{{name: web, image: 'web:{version}'}}]
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_done_when_the_old_replica_set_is_scaled_down() {
    let team = Team::new(shared::installation().await, "rollout").await;
    let commit = team.commit(&[("web.yaml", &deployment("1", ""))]).await;
    team.kustomization(&json!({})).await;
    team.ready(&commit).await;
    let commit = team.commit(&[("web.yaml", &deployment("2", ""))]).await;
    team.ready(&commit).await;
    let sets = team.list("apps/v1/ReplicaSet").await;
    let replicas = |image: &str| {
        let set = sets
            .iter()
            .find(|set| set.data["spec"]["template"]["spec"]["containers"][0]["image"] == image);
        set.map(|set| set.data["status"]["replicas"].clone())
    };
    assert_eq!(
        (replicas("web:1"), replicas("web:2")),
        (Some(json!(0)), Some(json!(2)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_makes_no_progress_fails_at_its_own_deadline_and_the_next_one_mends_it() {
    let team = Team::new(shared::installation().await, "stuck").await;
    let commit = team.commit(&[("web.yaml", &deployment("1", ""))]).await;
    team.kustomization(&json!({ "timeout": "1m" })).await;
    team.ready(&commit).await;
    team.commit(&[("web.yaml", &deployment("2", ", plays: hangs"))])
        .await;
    insta::assert_snapshot!(masked(&team.fails("").await, "web"), @r#"failed early due to stalled resources: [Deployment/stuck/web status: 'Failed': Progress deadline exceeded; pod web-*: container "web" runs but is not ready]"#);
    // The old pods serve on.
    let web = team.get(DEPLOYMENT, "web").await.unwrap();
    assert_eq!(web.data["status"]["availableReplicas"], 2);
    let commit = team.commit(&[("web.yaml", &deployment("3", ""))]).await;
    team.ready(&commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_crash_fail_the_run_before_its_timeout() {
    let team = Team::new(shared::installation().await, "crashes").await;
    team.commit(&[("web.yaml", &deployment("1", ", plays: crashes"))])
        .await;
    team.kustomization(&json!({ "timeout": "1m" })).await;
    insta::assert_snapshot!(masked(&team.fails("").await, "web"), @r#"failed early due to stalled resources: [Deployment/crashes/web status: 'Failed': pod web-* and another: container "web" exited with code 3, restarted 4 times]"#);
}

/// A Job of one pod.
fn job(spec: &str, labels: &str) -> String {
    format!(
        "\
apiVersion: batch/v1
kind: Job
metadata: {{name: migrate, annotations: {{kustomize.toolkit.fluxcd.io/force: enabled}}}}
spec:
  {spec}
  template:
    metadata: {{labels: {{app: migrate{labels}}}}}
    spec:
      restartPolicy: Never
      containers: [{{name: migrate, image: 'migrate:1'}}]
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_used_up_its_tries_has_failed_and_the_next_commit_runs_another() {
    let team = Team::new(shared::installation().await, "jobs").await;
    team.commit(&[("job.yaml", &job("backoffLimit: 0", ", plays: fails"))])
        .await;
    team.kustomization(&json!({ "timeout": "1m" })).await;
    insta::assert_snapshot!(masked(&team.fails("").await, "migrate"), @r#"failed early due to stalled resources: [Job/jobs/migrate status: 'Failed': pod migrate-*: container "migrate" exited with code 3]"#);
    let commit = team.commit(&[("job.yaml", &job("backoffLimit: 0", ""))]).await;
    team.ready(&commit).await;
    assert_eq!(
        team.get(JOB, "migrate").await.unwrap().data["status"]["succeeded"],
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_cluster_removes_when_it_is_done_is_run_once_and_again_only_when_git_changes_it() {
    let installation = shared::installation().await;
    let team = Team::new(installation, "vanishing").await;
    let mark = installation.control_plane.audit_mark();
    let commit = team
        .commit(&[("job.yaml", &job("ttlSecondsAfterFinished: 0", ""))])
        .await;
    team.kustomization(&json!({})).await;
    team.ready(&commit).await;
    team.gone(JOB, "migrate").await;
    for token in ["once", "twice"] {
        team.reconcile(token).await;
    }
    let commit = team
        .commit(&[(
            "settings.yaml",
            &crate::admission::config_map("settings", "coracle"),
        )])
        .await;
    team.ready(&commit).await;
    let jobs = || {
        let written = installation.written("vanishing", mark).into_iter();
        written
            .filter(|request| request.contains("jobs"))
            .collect::<Vec<_>>()
    };
    insta::assert_snapshot!(jobs().join("\n"), @"patch jobs.batch vanishing/migrate -> 201");

    let changed = job("ttlSecondsAfterFinished: 0\n  activeDeadlineSeconds: 100", "");
    let commit = team.commit(&[("job.yaml", &changed)]).await;
    team.ready(&commit).await;
    assert_eq!(jobs().len(), 2);
}

const OTHERS: &str = "\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: 'db:1'}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: 'agent:1'}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report}
spec:
  schedule: '* * * * *'
  jobTemplate: {spec: {backoffLimit: 0, template: {metadata: {labels: {plays: fails}}, spec: {restartPolicy: Never, containers: [{name: report, image: 'report:1'}]}}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: db}
spec:
  minAvailable: 2
  selector: {matchLabels: {app: db}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: nobody}
spec:
  minAvailable: 1
  selector: {matchLabels: {app: nobody}}
";

#[tokio::test(flavor = "multi_thread")]
async fn stateful_sets_and_daemon_sets_are_waited_for_pod_by_pod_and_budgets_and_cron_jobs_hold_nothing_up() {
    let installation = shared::installation().await;
    let team = Team::new(installation, "others").await;
    let commit = team.commit(&[("others.yaml", OTHERS)]).await;
    team.kustomization(&json!({ "timeout": "1m" })).await;
    team.ready(&commit).await;
    let update = OTHERS.replace("db:1", "db:2").replace("agent:1", "agent:2");
    let commit = team.commit(&[("others.yaml", &update)]).await;
    team.ready(&commit).await;
    let status = |object: Option<kube::api::DynamicObject>| object.unwrap().data["status"].clone();
    let db = status(team.get("apps/v1/StatefulSet", "db").await);
    assert_eq!(db["currentRevision"], db["updateRevision"]);
    assert_eq!(
        (&db["updatedReplicas"], &db["readyReplicas"]),
        (&json!(2), &json!(2))
    );
    let agent = status(team.get("apps/v1/DaemonSet", "agent").await);
    assert_eq!(
        (&agent["updatedNumberScheduled"], &agent["numberReady"]),
        (&json!(3), &json!(3))
    );

    // What a CronJob spawns is not in Git, fails at its own account, and is nobody's to prune.
    let mark = installation.control_plane.audit_mark();
    team.until("batch/v1/CronJob", "report", "to have run", |report| {
        report.data["status"]["lastScheduleTime"].is_string()
    })
    .await;
    let failed = |job: &Value| job["status"]["failed"] == 1;
    let spawned = team.list(JOB).await.remove(0).metadata.name.unwrap();
    team.until(JOB, &spawned, "to have failed", |job| failed(&job.data))
        .await;
    team.reconcile("look").await;
    team.ready(&commit).await;
    assert_eq!(installation.written("others", mark), [] as [&str; 0]);
}

const VOLUME: &str = "\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  storageClassName: by-hand
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: Pod
metadata: {name: db}
spec:
  containers: [{name: db, image: 'db:1', volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_without_a_volume_is_named_with_the_pod_that_waits_for_it_until_there_is_one() {
    let team = Team::new(shared::installation().await, "volumes").await;
    let commit = team.commit(&[("db.yaml", VOLUME)]).await;
    team.kustomization(&json!({ "timeout": "4s" })).await;
    insta::assert_snapshot!(team.fails("").await, @r#"timeout waiting for: [PersistentVolumeClaim/volumes/data status: 'InProgress': a volume claim is not bound: "data": storageclass.storage.k8s.io "by-hand" not found, Pod/volumes/db status: 'InProgress': a volume claim is not bound: "data": storageclass.storage.k8s.io "by-hand" not found]"#);
    team.apply(&json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "by-hand" },
        "spec": {
            "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
            "hostPath": { "path": "/nowhere" },
        },
    }))
    .await;
    team.ready(&commit).await;
}
