//! Pods that do not work, as a real kubelet tells of them: the condition of the Kustomization says why.

use coracle::objects::Summary;
use serde_json::json;

use crate::installation::{Installation, shared};

/// Deploys one container from Git and gives what the condition says once it is a failure.
async fn explained(installation: &Installation, name: &str, container: &str) -> String {
    let indented = container.trim().replace('\n', "\n          ");
    let manifests = format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  progressDeadlineSeconds: 10
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: worker
          {indented}
"
    );
    let url = installation.publish(name, &manifests).await;
    let world = installation.world().await;
    installation.kubectl(&format!("create namespace {name}"));
    for object in [
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": { "name": name, "namespace": "flux-system" },
            "spec": { "interval": "1h", "url": url, "ref": { "branch": name } },
        }),
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": { "name": name, "namespace": "flux-system" },
            "spec": {
                "interval": "1h", "timeout": "2m", "prune": true, "wait": true, "path": "./", "targetNamespace": name,
                "sourceRef": { "kind": "GitRepository", "name": name },
            },
        }),
    ] {
        world.apply(&object).await.unwrap();
    }
    let failed = |state: &Summary| (state.reason == "HealthCheckFailed").then(|| state.message.clone());
    let what = format!("{name} to have failed");
    let message = world.until_kustomization(name, &what, failed).await.unwrap();
    installation.kubectl(&format!(
        "delete kustomization {name} --namespace flux-system --timeout 60s"
    ));
    without_chance(&message, name)
}

/// Nobody can know how names of pods end, nor how often a container was restarted until somebody looked.
fn without_chance(message: &str, name: &str) -> String {
    let mut out = message.to_owned();
    let beginning = format!("pod {name}-");
    while let Some(at) = out.find(&beginning) {
        let rest = &out[at + beginning.len()..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .unwrap_or(rest.len());
        out.replace_range(at..at + beginning.len() + end, "POD");
    }
    if let Some((before, after)) = out.split_once("restarted ")
        && let Some((_, after)) = after.split_once(';')
    {
        out = format!("{before}restarted;{after}");
    }
    out
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_named_with_its_pod() {
    let (installation, _node) = shared().await;
    let said = explained(installation, "missing", "image: registry.invalid/boat:7").await;
    // Why is told by the resolver of names, with a port that nobody can know.
    let expected = "failed early due to stalled resources: [Deployment/missing/missing status: 'Failed': POD: image \
                    \"registry.invalid/boat:7\" of container \"worker\" cannot be pulled: failed to do request: Head \
                    \"https://registry.invalid/v2/boat/manifests/7\": dial tcp: lookup registry.invalid";
    assert!(said.starts_with(expected), "{said}");
}

#[tokio::test]
async fn a_crash_is_told_with_its_exit_code_and_the_last_line_of_the_log() {
    let (installation, _node) = shared().await;
    let container = r#"
image: coracle.test/busybox:1
command: [sh, -c, "echo starting >&2; echo 'the sail is torn' >&2; exit 7"]
"#;
    let said = explained(installation, "crashing", container).await;
    assert_eq!(
        said,
        "failed early due to stalled resources: [Deployment/crashing/crashing status: 'Failed': POD: \
         container \"worker\" exited with code 7, restarted; its last log line: the sail is torn]"
    );
}

#[tokio::test]
async fn a_container_that_the_kernel_kills_for_its_memory_is_told_with_its_limit() {
    let (installation, _node) = shared().await;
    let container = r#"
image: coracle.test/busybox:1
command: [sh, -c, "echo bailing; busybox tail /dev/zero"]
resources:
  limits:
    memory: 24Mi
"#;
    let said = explained(installation, "hungry", container).await;
    assert_eq!(
        said,
        "failed early due to stalled resources: [Deployment/hungry/hungry status: 'Failed': POD: \
         container \"worker\" was killed for using more memory than its limit of 24Mi, restarted; \
         its last log line: bailing]"
    );
}

#[tokio::test]
async fn a_readiness_probe_that_fails_is_told_in_the_kubelets_words() {
    let (installation, _node) = shared().await;
    let container = r#"
image: coracle.test/busybox:1
command: [sleep, "3600"]
readinessProbe:
  exec:
    command: [sh, -c, "echo 'not moored yet'; exit 1"]
  periodSeconds: 1
"#;
    let said = explained(installation, "adrift", container).await;
    assert_eq!(
        said,
        "failed early due to stalled resources: [Deployment/adrift/adrift status: 'Failed': POD: \
         container \"worker\" runs but is not ready: Readiness probe failed: not moored yet]"
    );
}
