//! `coracle install --tenant-only` on a real API server: who may do what, and what is said when somebody may not.

use std::collections::BTreeSet;

use coracle::demo::world::WorldError;
use reconciler::api::rbac::{GRANTS, Role};
use serde_json::{Value, json};

use crate::installation::Installation;

/// Rights that the controller has for others than the tenants here.
const NOT_NEEDED_HERE: [(&str, &str); 3] = [
    // One rule holds both of its kinds; a source is known from its watch alone.
    ("gitrepositories", "get"),
    // No aggregated API is away here.
    ("apiservices", "get"),
    // Nothing is pruned whose definition is not served.
    ("customresourcedefinitions", "get"),
];

const SETTINGS: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: team-a
data:
  boat: ${boat}
  mooring: ${mooring}
";
const RIGHTS: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: team-a}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: User, name: bert}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: team-a}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]
";
const TOO_MANY_RIGHTS: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: everything, namespace: team-a}
rules: [{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]
";
const KIND: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: boats.example.org
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Boat, plural: boats, singular: boat}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {oars: {type: integer, maximum: 2}}}}
---
apiVersion: example.org/v1
kind: Boat
metadata:
  name: coracle
  namespace: team-a
spec:
  oars: 1
";

/// A person who may edit the namespace `team-a`, a repository with a folder for the team, and variables.
async fn team(installation: &Installation) {
    let work = &installation.work;
    work.checkout("main").await.unwrap();
    for (folder, content) in [
        ("team", SETTINGS),
        ("kinds", KIND),
        ("rights", RIGHTS),
        ("escalation", TOO_MANY_RIGHTS),
    ] {
        std::fs::create_dir(installation.work_tree().join(folder)).unwrap();
        work.write(&format!("{folder}/all.yaml"), content).unwrap();
    }
    work.commit("Add a team").await.unwrap();
    work.push("main").await.unwrap();
    for line in [
        "create namespace team-a",
        "create rolebinding anna --namespace team-a --clusterrole edit --user anna",
        "create configmap variables --namespace team-a --from-literal boat=coracle --as anna",
        "create secret generic variables --namespace team-a --from-literal mooring=hidden --as anna",
    ] {
        installation.kubectl(line);
    }
    let source = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
        // As Flux leaves it.
        "metadata": { "name": "shop", "namespace": "team-a", "finalizers": ["finalizers.fluxcd.io"] },
        "spec": { "interval": "1h", "url": installation.git.url("shop"), "ref": { "branch": "main" } },
    });
    installation.kubectl_apply_as("anna", &source);
}

fn kustomization(name: &str, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": { "name": name, "namespace": "team-a" },
        "spec": {
            "interval": "1h", "prune": true, "path": format!("./{name}"),
            "sourceRef": { "kind": "GitRepository", "name": "shop" },
        },
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    object
}

/// Waits until a Kustomization of the team has failed, and gives why.
async fn failed(installation: &Installation, name: &str) -> Result<String, WorldError> {
    let kind = "kustomize.toolkit.fluxcd.io/v1/Kustomization";
    let what = format!("{name} to fail");
    let failed = |object: Option<&kube::api::DynamicObject>| {
        let ready = coracle::objects::condition(&object?.data, "Ready")?;
        (ready["status"] == "False").then(|| ready["message"].as_str().unwrap_or_default().to_owned())
    };
    installation
        .world
        .until(kind, "team-a", name, &what, failed)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tenant_only_a_kustomization_does_what_its_account_may_and_a_refusal_is_named() {
    let mut installation = Installation::new("--tenant-only").await;
    team(&installation).await;
    installation.start();

    let variables = json!({ "postBuild": { "substituteFrom": [
        { "kind": "ConfigMap", "name": "variables" }, { "kind": "Secret", "name": "variables" },
    ] } });
    installation.kubectl_apply_as("anna", &kustomization("team", &variables));
    let why = failed(&installation, "team").await.unwrap();
    assert_eq!(
        why,
        "ConfigMap/team-a/settings (team/all.yaml:1) dry-run failed: configmaps \"settings\" is forbidden: \
         User \"system:serviceaccount:team-a:default\" cannot patch resource \"configmaps\" in API group \"\" in \
         the namespace \"team-a\""
    );
    installation.kubectl(
        "create rolebinding default --namespace team-a --clusterrole edit --serviceaccount team-a:default",
    );
    let done = installation.succeeds("reconcile team --namespace team-a");
    assert!(done.contains("kustomization/team: Applied revision"), "{done}");
    let boat = "get configmap settings --namespace team-a --output jsonpath={.data.boat}";
    assert_eq!(installation.kubectl(boat), "coracle");

    let elsewhere =
        json!({ "sourceRef": { "kind": "GitRepository", "name": "coracle", "namespace": "flux-system" } });
    installation.kubectl_apply_as("anna", &kustomization("kinds", &elsewhere));
    let why = failed(&installation, "kinds").await.unwrap();
    assert!(
        why.contains("cross-namespace references have been blocked"),
        "{why}"
    );

    // A binding waits for the role that comes with it, and nobody grants what they do not have.
    installation.kubectl("create serviceaccount mate --namespace team-a");
    installation.kubectl(
        "create rolebinding mate --namespace team-a --clusterrole admin --serviceaccount team-a:mate",
    );
    let as_mate = json!({ "serviceAccountName": "mate" });
    installation.kubectl_apply_as("anna", &kustomization("rights", &as_mate));
    let done = installation.succeeds("reconcile rights --namespace team-a");
    assert!(done.contains("kustomization/rights: Applied revision"), "{done}");
    installation.kubectl_apply_as("anna", &kustomization("escalation", &as_mate));
    let why = failed(&installation, "escalation").await.unwrap();
    assert!(
        why.starts_with("Role/team-a/everything (escalation/all.yaml:1)"),
        "{why}"
    );
    assert!(
        why.contains("attempting to grant RBAC permissions not currently held"),
        "{why}"
    );

    // The administrator installs what a tenant may not, and gives the tenant an account for it.
    installation.kubectl("create serviceaccount captain --namespace team-a");
    installation.kubectl(
        "create clusterrolebinding captain --clusterrole cluster-admin --serviceaccount team-a:captain",
    );
    let as_captain = json!({ "serviceAccountName": "captain" });
    installation.kubectl_apply_as("anna", &kustomization("kinds", &as_captain));
    let done = installation.succeeds("reconcile kinds --namespace team-a");
    assert!(done.contains("kustomization/kinds: Applied revision"), "{done}");
    let oars = "get boat coracle --namespace team-a --output jsonpath={.spec.oars}";
    assert_eq!(installation.kubectl(oars), "1");

    installation.kubectl(
        "delete kustomization team kinds rights escalation --namespace team-a --timeout 30s --as anna",
    );
    assert_eq!(
        installation.kubectl("get customresourcedefinitions boats.example.org --ignore-not-found"),
        ""
    );
    installation.kubectl("delete gitrepository shop --namespace team-a --timeout 30s --as anna");
    installation.stop();
    the_roles_hold_what_was_used_and_nothing_else(&installation);
}

fn the_roles_hold_what_was_used_and_nothing_else(installation: &Installation) {
    let own: Vec<_> = installation
        .requests()
        .into_iter()
        .filter(|audited| audited.request.impersonated.is_none() && audited.request.verb.is_some())
        .collect();
    // Common kinds are watched. Others may be tried now and then, and are compared at each interval.
    let mut refused: Vec<&str> = own
        .iter()
        .filter(|audited| audited.request.code == 403)
        .map(|audited| audited.request.resource.as_str())
        .collect();
    refused.sort_unstable();
    refused.dedup();
    assert_eq!(refused, ["boats", "rolebindings", "roles"]);

    let used: BTreeSet<(String, &str)> = own
        .iter()
        .filter_map(|audited| {
            let key = &audited.request;
            let resource = match key.subresource.as_str() {
                "" => key.resource.clone(),
                sub => format!("{}/{sub}", key.resource),
            };
            Some((resource, key.verb?.name()))
        })
        .collect();
    let granted = GRANTS
        .iter()
        .filter(|grant| matches!(grant.role, Role::Controller | Role::Home));
    let unused: Vec<(&str, &str)> = granted
        .flat_map(|grant| {
            grant
                .resources
                .iter()
                .flat_map(|resource| grant.verbs.iter().map(move |verb| (*resource, *verb)))
        })
        .filter(|(resource, verb)| *verb != "impersonate" && !used.contains(&((*resource).to_owned(), verb)))
        .collect();
    assert_eq!(unused, NOT_NEEDED_HERE);
}
