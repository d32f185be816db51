//! Commands that look at a cluster or change its objects.

use serde_json::{Value, json};

use crate::terminal::{Terminal, program, show};

const REVISION: &str = "main@sha1:0123456789abcdef0123456789abcdef01234567";

fn ready(status: &str, reason: &str, message: &str) -> Value {
    json!([{
        "type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }])
}

/// A root that applied another Kustomization, which failed.
async fn two_kustomizations() -> Terminal {
    let terminal = Terminal::installed().await;
    terminal.repository(
        "apps",
        &json!({
            "conditions": ready("True", "Succeeded", &format!("stored artifact for revision '{REVISION}'")),
            "artifact": {
                "digest": "sha256:00", "lastUpdateTime": "2026-01-01T00:00:00Z", "path": "x",
                "revision": REVISION, "url": "http://x",
            },
        }),
    );
    terminal.kustomization(
        "cluster",
        &json!({
            "lastAppliedRevision": REVISION,
            "conditions": ready("True", "ReconciliationSucceeded", &format!("Applied revision: {REVISION}")),
            "inventory": { "entries": [
                { "id": "flux-system_staging_kustomize.toolkit.fluxcd.io_Kustomization", "v": "v1" },
            ]},
        }),
    );
    terminal.kustomization(
        "staging",
        &json!({
            "conditions": ready("False", "HealthCheckFailed", "pod web-1: image \"web:new\" cannot be pulled"),
            "inventory": { "entries": [{ "id": "shop_web_apps_Deployment", "v": "v1" }] },
        }),
    );
    terminal
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_named() {
    let terminal = Terminal::new().await;
    let nobody = "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: a, user: {}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n";
    let path = terminal.file("nobody", nobody);
    let shown = show(&mut program(&format!("get --kubeconfig {}", path.display())));
    insta::assert_snapshot!(shown, @r"
    error: cannot reach the cluster at https://127.0.0.1:1/
      because client error (Connect)
      because tcp connect error
      because Connection refused (os error 111)
    hint: Is it running? --kubeconfig and --context choose another one.
    [4]
    ");
}

#[tokio::test]
async fn a_cluster_without_the_definitions_is_told_how_to_get_them() {
    let terminal = Terminal::new().await;
    insta::assert_snapshot!(terminal.run("get all").await, @r"
    error: cannot list GitRepository objects: this cluster has no GitRepository and Kustomization objects
    hint: Install Coracle first: `coracle install | kubectl apply --server-side -f -`.
    [4]
    ");
}

#[tokio::test]
async fn everything_is_listed_with_its_state() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("get").await, @r#"
    NAME                 REVISION             SUSPENDED   READY   MESSAGE
    gitrepository/apps   main@sha1:01234567   False       True    stored artifact for revision 'main@sha1:01234567'

    NAME                    REVISION             SUSPENDED   READY   MESSAGE
    kustomization/cluster   main@sha1:01234567   False       True    Applied revision: main@sha1:01234567
    kustomization/staging                        False       False   pod web-1: image "web:new" cannot be pulled
    [0]
    "#);
}

#[tokio::test]
async fn what_failed_can_be_picked_out() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("get ks -A --status-selector ready=false").await, @r#"
    NAMESPACE     NAME      REVISION   SUSPENDED   READY   MESSAGE
    flux-system   staging              False       False   pod web-1: image "web:new" cannot be pulled
    [0]
    "#);
}

#[tokio::test]
async fn a_misspelt_name_is_answered_with_the_nearest_one() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("get ks stagin").await, @r"
    error: there is no kustomization/stagin in namespace flux-system
    hint: Is `staging` meant?
    [3]
    ");
}

#[tokio::test]
async fn a_name_in_another_namespace_is_found_there() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("suspend staging -n default").await, @r"
    error: there is no kustomization/staging in namespace default
    hint: There is one in namespace flux-system: add `-n flux-system`.
    [3]
    ");
}

#[tokio::test]
async fn the_tree_starts_at_the_root() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("tree").await, @r"
    Kustomization/flux-system/cluster  ready main@sha1:01234567
    └── Kustomization/flux-system/staging  failed
        └── Deployment/shop/web
    [0]
    ");
}

#[tokio::test]
async fn suspending_and_resuming_write_the_field_and_nothing_else() {
    let terminal = two_kustomizations().await;
    let suspended = || {
        let object = terminal.cluster.get(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            "flux-system",
            "staging",
        );
        object.unwrap()["spec"]["suspend"].clone()
    };
    assert_eq!(
        terminal.run("suspend staging").await,
        "kustomization/staging: suspended\n[0]"
    );
    assert_eq!(suspended(), json!(true));
    insta::assert_snapshot!(terminal.run("reconcile staging").await, @r"
    error: kustomization/staging is suspended
    hint: `coracle resume kustomization/staging -n flux-system` ends that.
    [1]
    ");
    assert_eq!(
        terminal.run("resume staging --no-wait").await,
        "kustomization/staging: resumed\n[0]"
    );
    assert_eq!(suspended(), json!(false));
}

#[tokio::test]
async fn a_request_that_nobody_handles_times_out_with_a_hint() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("reconcile cluster --timeout 200ms").await, @r"
    error: kustomization/cluster is not done after 200ms
    hint: Does the controller run? `coracle version` says so.
    [6]
    ");
}

#[tokio::test]
async fn events_are_shown_for_one_object() {
    let terminal = two_kustomizations().await;
    for (name, about, type_, message) in [
        (
            "a.1",
            "staging",
            "Warning",
            "pod web-1: image \"web:new\" cannot be pulled",
        ),
        (
            "a.2",
            "cluster",
            "Normal",
            "Deployment/shop/web configured\nService/shop/web created",
        ),
    ] {
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": { "name": name, "namespace": "flux-system" },
            "involvedObject": {
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
                "namespace": "flux-system", "name": about,
            },
            "type": type_, "reason": "Progressing", "message": message,
        });
        terminal.cluster.apply(&event, "test").unwrap();
    }
    let shown = terminal.run("events --for ks/cluster").await;
    // How long ago depends on the machine.
    let line = shown
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .skip(1)
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(
        line,
        "Normal Progressing kustomization/cluster Deployment/shop/web configured, Service/shop/web created"
    );
    assert_eq!(shown.lines().count(), 3);
}

#[tokio::test]
async fn uninstalling_says_first_what_it_will_do() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("uninstall --dry-run").await, @r"
    delete Deployment flux-system/coracle
    remove the finalizer of GitRepository flux-system/apps
    remove the finalizer of Kustomization flux-system/cluster
    remove the finalizer of Kustomization flux-system/staging
    delete CustomResourceDefinition gitrepositories.source.toolkit.fluxcd.io
    delete CustomResourceDefinition kustomizations.kustomize.toolkit.fluxcd.io
    delete ClusterRoleBinding coracle-apply
    delete ClusterRoleBinding coracle-controller
    delete ClusterRole coracle-controller
    delete ClusterRole coracle-view
    delete RoleBinding flux-system/coracle-controller
    delete Role flux-system/coracle-controller
    delete Service flux-system/coracle
    delete ServiceAccount flux-system/coracle
    Nothing was changed.
    [0]
    ");
}

#[tokio::test]
async fn uninstalling_leaves_applications_and_nothing_that_hangs() {
    let terminal = two_kustomizations().await;
    let application = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "settings", "namespace": "default",
            "labels": {
                "kustomize.toolkit.fluxcd.io/name": "staging", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
            },
        },
    });
    terminal
        .cluster
        .apply(&application, "kustomize-controller")
        .unwrap();

    let shown = terminal.run("uninstall --yes").await;
    assert!(
        shown.ends_with("Coracle is gone; what it applied runs on.\n[0]"),
        "{shown}"
    );
    terminal.cluster.settle().await;

    let definitions = terminal
        .cluster
        .list("apiextensions.k8s.io/v1", "CustomResourceDefinition", "");
    assert_eq!(definitions, [] as [Value; 0]);
    assert!(
        terminal
            .cluster
            .get("apps/v1", "Deployment", "flux-system", "coracle")
            .is_none()
    );
    assert!(
        terminal
            .cluster
            .get("v1", "ConfigMap", "default", "settings")
            .is_some()
    );
    assert!(
        terminal
            .cluster
            .get("v1", "Namespace", "", "flux-system")
            .is_some()
    );
    let again = terminal.run("uninstall --yes").await;
    assert_eq!(again, "Coracle is not installed in namespace flux-system.\n[0]");
}

#[tokio::test]
async fn uninstalling_leaves_the_definitions_of_flux_alone() {
    let terminal = two_kustomizations().await;
    for plural in ["gitrepositories.source", "kustomizations.kustomize"] {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {
                "name": format!("{plural}.toolkit.fluxcd.io"),
                "labels": { "app.kubernetes.io/part-of": "flux" },
            },
        });
        terminal.cluster.merge(&definition, "test").unwrap();
    }
    let shown = terminal.run("uninstall --yes").await;
    assert!(!shown.contains("Kustomization"), "{shown}");
    assert!(terminal.run("get ks").await.contains("staging"));
}

#[tokio::test]
async fn uninstalling_stops_while_a_controller_runs_elsewhere() {
    let terminal = two_kustomizations().await;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "kustomize-controller-leader-election", "namespace": "flux-system" },
        "spec": {
            "holderIdentity": "laptop_1", "leaseDurationSeconds": 90,
            "renewTime": "2999-01-01T00:00:00.000000Z",
        },
    });
    terminal.cluster.apply(&lease, "test").unwrap();
    let shown = terminal.run("uninstall --yes").await;
    assert!(
        shown.contains("error: a controller still runs: `laptop_1` holds the lease"),
        "{shown}"
    );
    assert!(shown.ends_with("[1]"));
    let kept = terminal.cluster.get(
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        "flux-system",
        "staging",
    );
    assert_eq!(
        kept.unwrap()["metadata"]["finalizers"],
        json!(["finalizers.fluxcd.io"])
    );
}

#[tokio::test]
async fn a_difference_is_shown_and_is_no_error() {
    let terminal = two_kustomizations().await;
    let object = |value: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings", "namespace": "default" },
            "data": { "level": value },
        })
    };
    terminal
        .cluster
        .apply(&object("1"), "kustomize-controller")
        .unwrap();
    std::fs::create_dir_all(terminal.file("keep", "").with_file_name("apps")).unwrap();
    terminal.file("apps/settings.yaml", &object("2").to_string());
    insta::assert_snapshot!(terminal.run("diff cluster").await, @r#"
    ~ ConfigMap/default/settings
        /metadata/labels/kustomize.toolkit.fluxcd.io~1name: nothing -> "cluster"
        /metadata/labels/kustomize.toolkit.fluxcd.io~1namespace: nothing -> "flux-system"
        /data/level: "1" -> "2"
    - Kustomization/flux-system/staging
    0 to create, 1 to change, 1 to delete, 0 unchanged
    [1]
    "#);
    insta::assert_snapshot!(terminal.run("build cluster").await, @r#"
    apiVersion: v1
    data:
      level: "2"
    kind: ConfigMap
    metadata:
      name: settings
      namespace: default
    [0]
    "#);
}
