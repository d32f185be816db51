//! What admission of a real API server refuses: it is told in the words of who refused, with the object, and a mended
//! rule or a mended file is enough.

use serde_json::{Value, json};

use crate::shared;
use crate::team::{Team, masked};

const POLICY: &str = "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy";
const BINDING: &str = "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding";

pub(crate) fn config_map(name: &str, boat: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{boat: {boat}}}\n")
}

fn policy(expression: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "boats" },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "policy" } },
                "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["configmaps"],
                }],
            },
            "validations": [{
                "expression": expression, "message": "only coracles may land here", "reason": "Forbidden",
            }],
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_refuses_is_told_with_its_message_until_the_file_or_the_policy_is_mended() {
    let team = Team::new(shared::installation().await, "policy").await;
    team.apply(&policy("object.data.boat == 'coracle'")).await;
    team.apply(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "boats" },
        "spec": { "policyName": "boats", "validationActions": ["Deny"] },
    }))
    .await;
    team.refuses(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "probe", "namespace": "policy" },
        "data": { "boat": "raft" },
    }))
    .await;

    team.commit(&[
        ("good.yaml", &config_map("good", "coracle")),
        ("boat.yaml", &config_map("boat", "barge")),
    ])
    .await;
    // Nothing is tried again within the patience of a test unless something changes.
    team.kustomization(&json!({ "retryInterval": "1h" })).await;
    insta::assert_snapshot!(team.fails("").await, @r#"ConfigMap/policy/boat (boat.yaml:1) dry-run failed: configmaps "boat" is forbidden: ValidatingAdmissionPolicy 'boats' with binding 'boats' denied request: only coracles may land here"#);
    // Everything is looked at before anything is written.
    assert!(team.get("ConfigMap", "good").await.is_none());
    let commit = team
        .commit(&[("boat.yaml", &config_map("boat", "coracle"))])
        .await;
    team.ready(&commit).await;

    let commit = team.commit(&[("boat.yaml", &config_map("boat", "ferry"))]).await;
    team.fails("only coracles may land here").await;
    team.apply(&policy("object.data.boat in ['coracle', 'ferry']"))
        .await;
    team.ready(&commit).await;
    team.delete(BINDING, "boats").await;
    team.delete(POLICY, "boats").await;
}

fn pod(memory: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Pod
metadata: {{name: boat}}
spec:
  containers: [{{name: boat, image: 'boat:1', resources: {{limits: {{memory: {memory}}}}}}}]
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_limit_range_refuses_is_named_and_what_it_fills_in_is_no_drift() {
    let installation = shared::installation().await;
    let team = Team::new(installation, "limits").await;
    team.apply(&json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "small", "namespace": "limits" },
        "spec": { "limits": [{
            "type": "Container", "max": { "memory": "1Gi" }, "default": { "cpu": "1" },
            "defaultRequest": { "cpu": "100m" },
        }] },
    }))
    .await;
    let too_large: Value = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "probe", "namespace": "limits" },
        "spec": { "containers": [{
            "name": "boat", "image": "boat:1", "resources": { "limits": { "memory": "2Gi" } },
        }] },
    });
    team.refuses(&too_large).await;
    team.commit(&[("boat.yaml", &pod("2Gi"))]).await;
    team.kustomization(&json!({})).await;
    insta::assert_snapshot!(team.fails("").await, @r#"Pod/limits/boat (boat.yaml:1) dry-run failed: pods "boat" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi"#);

    let commit = team.commit(&[("boat.yaml", &pod("512Mi"))]).await;
    team.ready(&commit).await;
    let boat = team.get("Pod", "boat").await.unwrap();
    assert_eq!(
        boat.data["spec"]["containers"][0]["resources"]["limits"]["cpu"],
        "1"
    );
    let mark = installation.control_plane.audit_mark();
    team.reconcile("look").await;
    assert_eq!(installation.written("limits", mark), [] as [&str; 0]);
}

fn quota(hard: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "few", "namespace": "quota" },
        "spec": { "hard": hard },
    })
}

fn service(name: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}\n")
}

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: 'web:1'}]
";

impl Team {
    /// Sets the quota, and waits until it is in force.
    async fn allow(&self, hard: &Value) {
        self.apply(&quota(hard)).await;
        self.until("ResourceQuota", "few", "to be in force", |quota| {
            quota.data["status"]["hard"] == *hard && quota.data["status"]["used"].is_object()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exceeded_quota_is_named_whether_nothing_fits_or_only_a_part_and_a_raised_one_is_enough() {
    let team = Team::new(shared::installation().await, "quota").await;
    team.allow(&json!({ "services": "0", "pods": "0" })).await;
    team.commit(&[("one.yaml", &service("one")), ("two.yaml", &service("two"))])
        .await;
    team.kustomization(&json!({ "timeout": "4s" })).await;
    insta::assert_snapshot!(team.fails("").await, @r#"
    Service/quota/one (one.yaml:1) dry-run failed: services "one" is forbidden: exceeded quota: few, requested: services=1, used: services=0, limited: services=0
    Service/quota/two (two.yaml:1) dry-run failed: services "two" is forbidden: exceeded quota: few, requested: services=1, used: services=0, limited: services=0
    "#);

    // Each fits for itself, and both together do not: no dry run can know that.
    team.allow(&json!({ "services": "1", "pods": "0" })).await;
    let mut why = team.fails("used: services=1").await;
    // Either may be the first; the next run, which may have begun, knows it from its dry run.
    for (one, any) in [
        ("quota/one (one", "quota/* (*"),
        ("quota/two (two", "quota/* (*"),
        ("\"one\"", "\"*\""),
        ("\"two\"", "\"*\""),
        (" dry-run failed", ""),
    ] {
        why = why.replace(one, any);
    }
    insta::assert_snapshot!(why, @r#"Service/quota/* (*.yaml:1): services "*" is forbidden: exceeded quota: few, requested: services=1, used: services=1, limited: services=1"#);
    team.allow(&json!({ "services": "2", "pods": "0" })).await;
    let commit = team.commit(&[("web.yaml", WEB)]).await;
    insta::assert_snapshot!(masked(&team.fails("pods").await, "web"), @r#"timeout waiting for: [Deployment/quota/web status: 'InProgress': pods cannot be created: pods "web-*" is forbidden: exceeded quota: few, requested: pods=1, used: pods=0, limited: pods=0]"#);

    team.allow(&json!({ "services": "2", "pods": "2" })).await;
    team.ready(&commit).await;
    assert_eq!(team.list("Service").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_pod_security_refuses_are_told_whether_git_has_the_pod_or_the_deployment_that_makes_it() {
    let team = Team::new(shared::installation().await, "guarded").await;
    let enforce =
        |level: &str| json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": level } } });
    team.edit("Namespace", "guarded", &enforce("restricted")).await;
    team.commit(&[("boat.yaml", &pod("1Gi"))]).await;
    team.kustomization(&json!({ "timeout": "1m" })).await;
    insta::assert_snapshot!(team.fails("").await, @r#"Pod/guarded/boat (boat.yaml:1) dry-run failed: pods "boat" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "boat" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "boat" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "boat" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "boat" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#);

    // The API server only warns of a Deployment; its pods are refused to the controller that makes them.
    let commit = team.commit(&[("boat.yaml", WEB)]).await;
    insta::assert_snapshot!(masked(&team.fails("Deployment").await, "web"), @r#"failed early due to stalled resources: [Deployment/guarded/web status: 'Failed': pods cannot be created: pods "web-*" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "web" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "web" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "web" must set securityContext.runAsNonRoot=true), seccompProfile (pod or…]"#);
    team.edit("Namespace", "guarded", &enforce("baseline")).await;
    team.ready(&commit).await;
    let privileged = WEB.replace(
        "image: 'web:1'",
        "image: 'web:2', securityContext: {privileged: true}",
    );
    team.commit(&[("boat.yaml", &privileged)]).await;
    let why = team
        .fails("violates PodSecurity \"baseline:latest\": privileged")
        .await;
    assert!(why.contains("pods cannot be created"), "{why}");
}
