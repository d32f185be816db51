//! Taking Coracle away.

use serde_json::{Value, json};

use crate::terminal::{lease, two_kustomizations};

#[tokio::test]
async fn uninstalling_says_first_what_it_will_do() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("uninstall --dry-run").await, @r"
    would delete Deployment flux-system/coracle
    would remove the finalizer of GitRepository flux-system/apps
    would remove the finalizer of Kustomization flux-system/cluster
    would remove the finalizer of Kustomization flux-system/staging
    would delete CustomResourceDefinition gitrepositories.source.toolkit.fluxcd.io
    would delete CustomResourceDefinition kustomizations.kustomize.toolkit.fluxcd.io
    would delete ClusterRoleBinding coracle-apply
    would delete ClusterRoleBinding coracle-controller
    would delete ClusterRole coracle-controller
    would delete ClusterRole coracle-view
    would delete RoleBinding flux-system/coracle-controller
    would delete Role flux-system/coracle-controller
    would delete Service flux-system/coracle
    would delete ServiceAccount flux-system/coracle
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
    insta::assert_snapshot!(shown, @r"
    deleted Deployment flux-system/coracle
    removed the finalizer of GitRepository flux-system/apps
    removed the finalizer of Kustomization flux-system/cluster
    removed the finalizer of Kustomization flux-system/staging
    deleted CustomResourceDefinition gitrepositories.source.toolkit.fluxcd.io
    deleted CustomResourceDefinition kustomizations.kustomize.toolkit.fluxcd.io
    deleted ClusterRoleBinding coracle-apply
    deleted ClusterRoleBinding coracle-controller
    deleted ClusterRole coracle-controller
    deleted ClusterRole coracle-view
    deleted RoleBinding flux-system/coracle-controller
    deleted Role flux-system/coracle-controller
    deleted Service flux-system/coracle
    deleted ServiceAccount flux-system/coracle
    Coracle is gone; what it applied runs on.
    [0]
    ");
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
    terminal
        .cluster
        .apply(&lease("laptop_1", "2999-01-01T00:00:00.000000Z"), "test")
        .unwrap();
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
