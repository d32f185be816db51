//! Each cause as the sentence that a person reads. One long list, so that the wording can be compared at a glance.
#![expect(
    clippy::needless_pass_by_value,
    reason = "builders that take values read better"
)]

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;

/// A minute and a half after the pods of these tests were created.
const NOW: &str = "2026-11-23T12:01:30Z";
const CREATED: &str = "2026-11-23T12:00:00Z";
const YOUNG: &str = "2026-11-23T12:01:20Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "web", "uid": "deploy"},
        "spec": {"selector": {"matchLabels": {"app": "api"}}},
    })
}

fn replica_set(uid: &str, revision: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("api-{uid}"), "namespace": "web", "uid": uid,
            "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [{"uid": "deploy", "kind": "Deployment"}],
        },
        "spec": {"replicas": 1},
    })
}

/// A pod of one container `api`, in a state.
fn pod(owner: &str, name: &str, container: Value) -> Value {
    let mut status =
        json!({"name": "api", "ready": false, "restartCount": 0, "image": "ghcr.io/acme/api:1.2.3"});
    status
        .as_object_mut()
        .unwrap()
        .extend(container.as_object().unwrap().clone());
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "web", "uid": name, "creationTimestamp": CREATED,
            "ownerReferences": [{"uid": owner}],
        },
        "spec": {"containers": [{
            "name": "api", "image": "ghcr.io/acme/api:1.2.3", "resources": {"limits": {"memory": "64Mi"}},
        }]},
        "status": {"phase": "Pending", "startTime": CREATED, "containerStatuses": [status]},
    })
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"state": {"waiting": {"reason": reason, "message": message}}})
}

fn crashed(restarts: i64, ended: Value) -> Value {
    json!({
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
        "lastState": {"terminated": ended},
    })
}

fn event(about: &str, reason: &str, message: &str, at: &str) -> Value {
    json!({"involvedObject": {"uid": about}, "reason": reason, "message": message, "lastTimestamp": at})
}

fn log(pod: &str, text: &str) -> LogTail {
    LogTail {
        pod: pod.into(),
        container: "api".into(),
        text: text.into(),
    }
}

/// Sentences on a Deployment of one ReplicaSet `new` with these pods.
fn sentences(pods: &[Value], events: &[Value], logs: &[LogTail]) -> Vec<(Outlook, String)> {
    let workload = deployment();
    let sets = [replica_set("old", "1"), replica_set("new", "2")];
    let facts = Facts {
        replica_sets: &sets,
        pods,
        events,
        logs,
        ..Facts::of(&workload)
    };
    told(&facts)
}

fn told(facts: &Facts<'_>) -> Vec<(Outlook, String)> {
    explain(facts, now(), &Patience::default())
        .into_iter()
        .map(|why| (why.outlook, why.to_string()))
        .collect()
}

fn one(pod: Value, events: &[Value], logs: &[LogTail]) -> (Outlook, String) {
    let mut all = sentences(&[pod], events, logs);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn hopeless(sentence: &str) -> (Outlook, String) {
    (Outlook::Hopeless, sentence.to_owned())
}

fn may_recover(sentence: &str) -> (Outlook, String) {
    (Outlook::MayRecover, sentence.to_owned())
}

#[test]
fn an_image_that_does_not_exist_is_told_in_the_registrys_words() {
    let message = "Back-off pulling image \"ghcr.io/acme/api:1.2.3\": ErrImagePull: rpc error: code = NotFound desc \
                   = failed to pull and unpack image \"ghcr.io/acme/api:1.2.3\": failed to resolve reference \
                   \"ghcr.io/acme/api:1.2.3\": ghcr.io/acme/api:1.2.3: not found";
    assert_eq!(
        one(
            pod("new", "api-1", waiting("ImagePullBackOff", message)),
            &[],
            &[]
        ),
        hopeless(
            "pod api-1: image \"ghcr.io/acme/api:1.2.3\" of container \"api\" cannot be pulled: not found"
        )
    );
}

#[test]
fn an_older_kubelet_tells_the_registrys_words_in_an_event_only() {
    let state = waiting(
        "ImagePullBackOff",
        "Back-off pulling image \"ghcr.io/acme/api:1.2.3\"",
    );
    let said = "Failed to pull image \"ghcr.io/acme/api:1.2.3\": rpc error: code = Unknown desc = failed to pull and \
                unpack image \"ghcr.io/acme/api:1.2.3\": failed to resolve reference \"ghcr.io/acme/api:1.2.3\": \
                unexpected status from HEAD request to https://ghcr.io/v2/acme/api/manifests/1.2.3: 403 Forbidden";
    let events = [
        event("api-1", "Failed", "Error: ErrImagePull", NOW),
        event("api-1", "Failed", said, CREATED),
        event("api-9", "Failed", "of another pod", NOW),
    ];
    assert_eq!(
        one(pod("new", "api-1", state), &events, &[]),
        hopeless(
            "pod api-1: image \"ghcr.io/acme/api:1.2.3\" of container \"api\" cannot be pulled: unexpected status from \
             HEAD request to https://ghcr.io/v2/acme/api/manifests/1.2.3: 403 Forbidden"
        )
    );
}

#[test]
fn a_registry_that_does_not_answer_may_come_back() {
    let message = "rpc error: code = Unknown desc = failed to pull and unpack image \"ghcr.io/acme/api:1.2.3\": \
                   failed to resolve reference \"ghcr.io/acme/api:1.2.3\": dial tcp 10.0.0.1:443: i/o timeout";
    assert_eq!(
        one(
            pod("new", "api-1", waiting("ImagePullBackOff", message)),
            &[],
            &[]
        ),
        may_recover(
            "pod api-1: image \"ghcr.io/acme/api:1.2.3\" of container \"api\" cannot be pulled: dial tcp \
             10.0.0.1:443: i/o timeout"
        )
    );
}

#[test]
fn a_crash_loop_is_told_with_its_exit_code_its_restarts_and_its_last_log_line() {
    let state = crashed(4, json!({"exitCode": 1, "reason": "Error"}));
    let tail = log("api-1", "starting\npanic: DATABASE_URL is not set\n\n");
    assert_eq!(
        one(pod("new", "api-1", state), &[], &[tail]),
        hopeless(
            "pod api-1: container \"api\" exited with code 1, restarted 4 times; its last log line: panic: \
             DATABASE_URL is not set"
        )
    );
}

#[test]
fn one_crash_at_the_start_is_no_failure() {
    let mut young = pod(
        "new",
        "api-1",
        crashed(1, json!({"exitCode": 1, "reason": "Error"})),
    );
    young["status"]["startTime"] = json!(YOUNG);
    assert_eq!(
        one(young, &[], &[]),
        may_recover("pod api-1: container \"api\" exited with code 1, restarted once")
    );
}

#[test]
fn a_container_that_runs_between_two_crashes_is_still_told_as_crashing() {
    let state = json!({
        "restartCount": 3,
        "state": {"running": {"startedAt": NOW}},
        "lastState": {"terminated": {"exitCode": 127, "reason": "Error", "message": "sh: serve: not found"}},
    });
    assert_eq!(
        one(pod("new", "api-1", state), &[], &[]),
        hopeless(
            "pod api-1: container \"api\" exited with code 127 (the command was not found), restarted 3 times: sh: \
             serve: not found"
        )
    );
}

#[test]
fn a_container_killed_for_its_memory_names_the_limit() {
    let state = crashed(3, json!({"exitCode": 137, "reason": "OOMKilled"}));
    assert_eq!(
        one(pod("new", "api-1", state), &[], &[]),
        hopeless(
            "pod api-1: container \"api\" was killed for using more memory than its limit of 64Mi, restarted 3 times"
        )
    );
}

#[test]
fn a_failing_init_container_hides_the_containers_that_wait_for_it() {
    let mut pod = pod("new", "api-1", waiting("PodInitializing", ""));
    pod["spec"]["initContainers"] = json!([{"name": "migrate"}]);
    pod["status"]["initContainerStatuses"] = json!([{
        "name": "migrate", "restartCount": 5, "ready": false,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 2, "reason": "Error", "message": "relation exists"}},
    }]);
    assert_eq!(
        one(pod, &[], &[]),
        hopeless(
            "pod api-1: init container \"migrate\" exited with code 2, restarted 5 times: relation exists"
        )
    );
}

#[test]
fn a_missing_secret_is_named() {
    let state = waiting("CreateContainerConfigError", "secret \"db\" not found");
    assert_eq!(
        one(pod("new", "api-1", state), &[], &[]),
        may_recover("pod api-1: container \"api\" cannot start: secret \"db\" not found")
    );
}

#[test]
fn a_command_that_does_not_exist_is_told_by_the_runtime() {
    let ended = json!({"exitCode": 128, "reason": "StartError", "message": "exec: \"/serve\": no such file"});
    assert_eq!(
        one(pod("new", "api-1", crashed(3, ended)), &[], &[]),
        hopeless("pod api-1: container \"api\" cannot start: exec: \"/serve\": no such file")
    );
}

#[test]
fn a_volume_that_cannot_be_mounted_is_told_by_the_event_that_says_most() {
    let said = "MountVolume.SetUp failed for volume \"config\" : configmap \"web-config\" not found";
    let events = [
        event(
            "api-1",
            "FailedMount",
            "Unable to attach or mount volumes: timed out",
            NOW,
        ),
        event("api-1", "FailedMount", said, CREATED),
    ];
    assert_eq!(
        one(
            pod("new", "api-1", waiting("ContainerCreating", "")),
            &events,
            &[]
        ),
        may_recover(
            "pod api-1: its volumes cannot be mounted: MountVolume.SetUp failed for volume \"config\" : configmap \
             \"web-config\" not found"
        )
    );
}

#[test]
fn an_unschedulable_pod_is_told_in_the_schedulers_words() {
    let mut pod = pod("new", "api-1", json!({}));
    pod["status"] = json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient memory.",
    }]});
    assert_eq!(
        one(pod, &[], &[]),
        may_recover("pod api-1: no node takes it: 0/1 nodes are available: 1 Insufficient memory.")
    );
}

#[test]
fn a_failing_readiness_probe_is_told_in_the_kubelets_words() {
    let running = json!({"state": {"running": {"startedAt": CREATED}}});
    let events = [
        event(
            "api-1",
            "Unhealthy",
            "Readiness probe failed: connection refused",
            CREATED,
        ),
        event(
            "api-1",
            "Unhealthy",
            "Readiness probe failed: HTTP probe failed with statuscode: 503",
            NOW,
        ),
    ];
    assert_eq!(
        one(pod("new", "api-1", running), &events, &[]),
        may_recover(
            "pod api-1: container \"api\" runs but is not ready: Readiness probe failed: HTTP probe failed with \
             statuscode: 503"
        )
    );
}

#[test]
fn an_evicted_pod_says_why() {
    let mut pod = pod("new", "api-1", json!({}));
    pod["status"] = json!({
        "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage.",
    });
    assert_eq!(
        one(pod, &[], &[]),
        may_recover("pod api-1: it was evicted: Evicted: The node was low on resource: ephemeral-storage.")
    );
}

#[test]
fn a_quota_shows_without_any_pod() {
    let mut workload = deployment();
    workload["status"] = json!({"conditions": [{
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "pods \"api-1\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=5",
    }]});
    assert_eq!(
        told(&Facts::of(&workload)),
        [may_recover(
            "pods cannot be created: pods \"api-1\" is forbidden: exceeded quota: small, requested: pods=1, used: \
             pods=5"
        )]
    );
}

#[test]
fn pod_security_does_not_change_its_mind() {
    let workload = json!({"kind": "StatefulSet", "metadata": {"uid": "sts"}});
    let said =
        "create Pod db-0 failed: pods \"db-0\" is forbidden: violates PodSecurity \"restricted:latest\"";
    let events = [event("sts", "FailedCreate", said, NOW)];
    let facts = Facts {
        events: &events,
        ..Facts::of(&workload)
    };
    assert_eq!(
        told(&facts),
        [hopeless(&format!("pods cannot be created: {said}"))]
    );
}

#[test]
fn a_failed_job_names_its_condition_and_its_pods_last_words() {
    let workload = json!({
        "kind": "Job", "metadata": {"uid": "job"},
        "status": {"conditions": [{
            "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
            "message": "Job has reached the specified backoff limit",
        }]},
    });
    let mut failed = pod(
        "job",
        "migrate-1",
        json!({"state": {"terminated": {"exitCode": 3, "reason": "Error"}}}),
    );
    failed["status"]["phase"] = json!("Failed");
    let (pods, logs) = ([failed], [log("migrate-1", "no such column: id")]);
    let facts = Facts {
        pods: &pods,
        logs: &logs,
        ..Facts::of(&workload)
    };
    assert_eq!(
        told(&facts),
        [
            hopeless(
                "pod migrate-1: container \"api\" exited with code 3; its last log line: no such column: id"
            ),
            hopeless("the job failed: BackoffLimitExceeded: Job has reached the specified backoff limit"),
        ]
    );
}

#[test]
fn a_claim_that_is_not_bound_says_what_the_provisioner_said() {
    let workload = json!({"kind": "StatefulSet", "metadata": {"uid": "sts"}});
    let mut waiting = pod("sts", "db-0", json!({}));
    waiting["status"] = json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "message": "pod has unbound immediate PersistentVolumeClaims",
    }]});
    let claim = json!({
        "kind": "PersistentVolumeClaim", "metadata": {"name": "data-db-0", "uid": "pvc"},
        "status": {"phase": "Pending"},
    });
    let events = [event(
        "pvc",
        "ProvisioningFailed",
        "storageclass.storage.k8s.io \"fast\" not found",
        NOW,
    )];
    let (pods, claims) = ([waiting], [claim]);
    let facts = Facts {
        pods: &pods,
        claims: &claims,
        events: &events,
        ..Facts::of(&workload)
    };
    assert_eq!(
        told(&facts),
        [
            may_recover(
                "a volume claim is not bound: \"data-db-0\": storageclass.storage.k8s.io \"fast\" not found"
            ),
            may_recover("pod db-0: no node takes it: pod has unbound immediate PersistentVolumeClaims"),
        ]
    );
}

#[test]
fn only_the_newest_replica_set_is_looked_at_and_the_same_trouble_is_told_once() {
    let failing = |name: &str| pod("new", name, crashed(3, json!({"exitCode": 1})));
    let pods = [
        pod(
            "old",
            "old-1",
            waiting("CreateContainerConfigError", "of the old rollout"),
        ),
        pod(
            "alien",
            "alien-1",
            waiting("CreateContainerConfigError", "of another workload"),
        ),
        failing("api-1"),
        failing("api-2"),
        failing("api-3"),
    ];
    assert_eq!(
        sentences(&pods, &[], &[]),
        [hopeless(
            "pod api-1 and 2 others: container \"api\" exited with code 1, restarted 3 times"
        )]
    );
}

#[test]
fn the_worst_trouble_comes_first() {
    let mut pod = pod("new", "api-1", json!({"state": {"running": {}}}));
    pod["status"]["containerStatuses"]
        .as_array_mut()
        .unwrap()
        .push(json!({
            "name": "sidecar", "restartCount": 7, "ready": false,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 139, "reason": "Error"}},
        }));
    assert_eq!(
        sentences(&[pod], &[], &[]),
        [
            hopeless("pod api-1: container \"sidecar\" exited with code 139 (SIGSEGV), restarted 7 times"),
            may_recover("pod api-1: container \"api\" runs but is not ready"),
        ]
    );
}

#[test]
fn a_healthy_workload_needs_no_explanation() {
    let mut pod = pod("new", "api-1", json!({"ready": true, "state": {"running": {}}}));
    pod["status"]["phase"] = json!("Running");
    assert!(sentences(&[pod], &[], &[]).is_empty());
}

#[test]
fn what_others_wrote_is_put_on_one_line_and_cut() {
    let state = crashed(4, json!({"exitCode": 1}));
    let tail = log(
        "api-1",
        &format!("\u{1b}[31mred\u{1b}[1;0m\talert {}\n", "é".repeat(500)),
    );
    let (_, sentence) = one(pod("new", "api-1", state), &[], &[tail]);
    assert!(sentence.contains("its last log line: red alert é"), "{sentence}");
    assert!(
        sentence.ends_with('…') && sentence.len() < 450,
        "{}",
        sentence.len()
    );
}

#[test]
fn two_rounds_of_needs_fetch_what_the_explanation_uses_and_no_more() {
    let workload = deployment();
    let namespace = || "web".to_owned();
    let selector = || "app=api".to_owned();
    assert_eq!(
        needs(&workload),
        [
            Need::ReplicaSets {
                namespace: namespace(),
                selector: selector()
            },
            Need::Pods {
                namespace: namespace(),
                selector: selector()
            },
        ]
    );

    let sets = [replica_set("new", "1")];
    let mut ready = pod("new", "api-2", json!({"ready": true}));
    ready["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    let mut crashing = pod("new", "api-1", crashed(4, json!({"exitCode": 1})));
    crashing["spec"]["volumes"] = json!([{"persistentVolumeClaim": {"claimName": "data"}}, {"emptyDir": {}}]);
    let pods = [crashing, ready];
    let facts = Facts {
        replica_sets: &sets,
        pods: &pods,
        ..Facts::of(&workload)
    };
    assert_eq!(
        further_needs(&facts),
        [
            Need::Events {
                namespace: namespace(),
                uid: "api-1".into()
            },
            Need::Claim {
                namespace: namespace(),
                name: "data".into()
            },
            Need::Log {
                namespace: namespace(),
                pod: "api-1".into(),
                container: "api".into(),
                previous: true
            },
        ]
    );
}

#[test]
fn a_claim_that_is_not_bound_brings_a_need_for_its_events() {
    let workload = deployment();
    let claim = json!({
        "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "web", "uid": "pvc"},
        "status": {"phase": "Pending"},
    });
    let claims = [claim];
    let facts = Facts {
        claims: &claims,
        ..Facts::of(&workload)
    };
    assert_eq!(
        further_needs(&facts),
        [Need::Events {
            namespace: "web".into(),
            uid: "pvc".into()
        }]
    );
}

#[test]
fn a_selector_is_written_as_a_query() {
    let workload = json!({
        "kind": "DaemonSet", "metadata": {"namespace": "web", "uid": "ds"},
        "spec": {"selector": {
            "matchLabels": {"app": "agent"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "track", "operator": "NotIn", "values": ["canary"]},
                {"key": "zone", "operator": "Exists"},
                {"key": "legacy", "operator": "DoesNotExist"},
            ],
        }},
    });
    let selector = "app=agent,tier in (a,b),track notin (canary),zone,!legacy".to_owned();
    assert_eq!(
        needs(&workload),
        [
            Need::Pods {
                namespace: "web".into(),
                selector
            },
            Need::Events {
                namespace: "web".into(),
                uid: "ds".into()
            },
        ]
    );
}
