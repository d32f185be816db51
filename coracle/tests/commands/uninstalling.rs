//! Taking Coracle away.

use embedded_cluster::{HoldAt, Holding, Match, Verb};
use serde_json::{Value, json};

use crate::terminal::{Terminal, lease, lease_in, two_kustomizations};

#[tokio::test]
async fn uninstalling_says_first_what_it_will_do() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("uninstall --dry-run").await, @r"
    would delete Deployment flux-system/coracle
    would remove the finalizer of GitRepository flux-system/apps
    would remove the finalizer of Kustomization flux-system/cluster
    would remove the finalizer of Kustomization flux-system/staging
    would delete GitRepository flux-system/apps with its definition
    would delete Kustomization flux-system/cluster with its definition
    would delete Kustomization flux-system/staging with its definition
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

#[tokio::test]
async fn uninstalling_stops_while_coracle_is_in_another_namespace_and_takes_only_its_own_with_keep_objects() {
    let terminal = two_kustomizations().await;
    terminal.also_in("team-b");
    insta::assert_snapshot!(terminal.run("uninstall --yes").await, @r"
    error: there are other controllers: Deployment team-b/coracle, whose objects would go as well
    hint: --keep-objects takes only this one out and leaves what the others need; --force takes all of it.
    [1]
    ");
    let shown = terminal.run("uninstall --dry-run").await;
    assert!(
        shown.contains("It would be refused: there are other controllers: Deployment team-b/coracle"),
        "{shown}"
    );
    // Roles and bindings of the whole cluster stay: the other one works by them.
    insta::assert_snapshot!(terminal.run("uninstall --yes --keep-objects").await, @r"
    deleted Deployment flux-system/coracle
    deleted RoleBinding flux-system/coracle-controller
    deleted Role flux-system/coracle-controller
    deleted Service flux-system/coracle
    deleted ServiceAccount flux-system/coracle
    Coracle is gone; what it applied runs on.
    [0]
    ");
}

#[tokio::test]
async fn uninstalling_stops_while_somebody_holds_the_lease_of_another_namespace() {
    let terminal = two_kustomizations().await;
    let elsewhere = lease_in("default", "laptop_1", "2999-01-01T00:00:00.000000Z");
    terminal.cluster.apply(&elsewhere, "test").unwrap();
    insta::assert_snapshot!(terminal.run("uninstall --yes").await, @r"
    error: a controller still runs: `laptop_1` holds the lease default/kustomize-controller-leader-election
    hint: End it first; it would delete what it applied. --force goes on without it.
    [1]
    ");
    assert!(is_installed(&terminal));
}

fn is_installed(terminal: &Terminal) -> bool {
    let deployment = terminal
        .cluster
        .get("apps/v1", "Deployment", "flux-system", "coracle");
    deployment.is_some()
}

/// A lease that ran out an hour ago by the API server's clock.
fn an_hour_old(lasts: u32) -> Value {
    let hour = jiff::SignedDuration::from_hours(1);
    let renewed = jiff::Timestamp::now() - hour;
    let mut lease = lease(
        "laptop_1",
        &renewed.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
    );
    lease["spec"]["leaseDurationSeconds"] = lasts.into();
    lease
}

#[tokio::test]
async fn a_controller_whose_clock_is_wrong_is_known_by_renewing_its_lease() {
    let terminal = two_kustomizations().await;
    terminal.cluster.apply(&an_hour_old(600), "test").unwrap();
    let watches = Match::default()
        .verb(Verb::Watch)
        .resource("coordination.k8s.io", "leases");
    let mut watches = terminal.cluster.faults().hold(watches, HoldAt::Before);
    let renewal = async {
        watches.next().await.unwrap().release();
        terminal.cluster.apply(&an_hour_old(600), "test").unwrap();
    };
    let (shown, ()) = tokio::join!(terminal.run("uninstall --yes"), renewal);
    insta::assert_snapshot!(shown, @r"
    watching for 300s whether laptop_1 renews its lease
    error: a controller still runs: `laptop_1` holds the lease flux-system/kustomize-controller-leader-election
    hint: End it first; it would delete what it applied. --force goes on without it.
    [1]
    ");
    assert!(is_installed(&terminal));
}

#[tokio::test]
async fn a_lease_that_nobody_renews_keeps_nobody_from_uninstalling() {
    let terminal = two_kustomizations().await;
    terminal.cluster.apply(&an_hour_old(1), "test").unwrap();
    let shown = terminal.run("uninstall --yes").await;
    assert!(
        shown.starts_with("deleted Deployment flux-system/coracle\n"),
        "{shown}"
    );
    assert!(shown.ends_with("[0]"), "{shown}");
}

#[tokio::test]
async fn what_the_controller_still_made_before_it_ended_goes_as_well() {
    let terminal = two_kustomizations().await;
    let deletions = Match::default()
        .verb(Verb::Delete)
        .resource("apps", "deployments");
    let mut deletions = terminal.cluster.faults().hold(deletions, HoldAt::Before);
    let late = async {
        let held = deletions.next().await.unwrap();
        terminal.kustomization("late", &json!({}));
        held.release();
    };
    let (shown, ()) = tokio::join!(terminal.run("uninstall --yes"), late);
    assert!(
        shown.contains("removed the finalizer of Kustomization flux-system/late\n"),
        "{shown}"
    );
    assert!(shown.ends_with("[0]"), "{shown}");
}

#[tokio::test]
async fn a_namespace_that_coracle_did_not_make_is_not_deleted() {
    let terminal = two_kustomizations().await;
    let production = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "production" } });
    terminal.cluster.apply(&production, "test").unwrap();
    insta::assert_snapshot!(terminal.run("uninstall -n production --delete-namespace --yes").await, @r"
    error: namespace production was not made by `coracle install`, and is not deleted
    hint: -n names the namespace that Coracle is in. Without --delete-namespace, all but the namespace goes.
    [1]
    ");
    assert!(
        terminal
            .cluster
            .get("v1", "Namespace", "", "production")
            .is_some()
    );
    let shown = terminal.run("uninstall --delete-namespace --yes").await;
    assert!(shown.contains("deleted Namespace flux-system\n"), "{shown}");
}

#[tokio::test]
async fn a_lease_that_does_not_say_how_long_it_lasts_is_held() {
    let terminal = two_kustomizations().await;
    let renewed = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(30);
    let renewed = renewed.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let mut held = lease("laptop_1", &renewed);
    held["spec"]
        .as_object_mut()
        .unwrap()
        .remove("leaseDurationSeconds");
    terminal.cluster.apply(&held, "test").unwrap();
    insta::assert_snapshot!(terminal.run("uninstall --yes").await, @r"
    error: a controller still runs: `laptop_1` holds the lease flux-system/kustomize-controller-leader-election
    hint: End it first; it would delete what it applied. --force goes on without it.
    [1]
    ");
    assert!(is_installed(&terminal));
}

#[tokio::test]
async fn a_lease_of_the_last_moment_that_there_is_is_held() {
    let terminal = two_kustomizations().await;
    let last = lease("laptop_1", "9999-12-30T22:00:00.000000Z");
    terminal.cluster.apply(&last, "test").unwrap();
    let shown = terminal.run("version").await;
    assert!(
        shown.contains("lease: held by laptop_1, renewed 0s ago\n"),
        "{shown}"
    );
    let shown = terminal.run("uninstall --yes").await;
    assert!(shown.contains("a controller still runs: `laptop_1`"), "{shown}");
}

/// The leases of both of Flux's controllers.
fn leases(terminal: &Terminal) -> Vec<Value> {
    terminal
        .cluster
        .list("coordination.k8s.io/v1", "Lease", "flux-system")
}

/// Requests that delete definitions wait for the test.
fn deletions_of_definitions(terminal: &Terminal) -> Holding {
    let deletions = Match::default()
        .verb(Verb::Delete)
        .resource("apiextensions.k8s.io", "customresourcedefinitions");
    terminal.cluster.faults().hold(deletions.times(1), HoldAt::Before)
}

#[tokio::test]
async fn no_controller_that_stands_by_can_lead_while_objects_are_deleted() {
    let terminal = two_kustomizations().await;
    let let_go = lease("", "2026-01-01T00:00:00.000000Z");
    terminal.cluster.apply(&let_go, "test").unwrap();
    let foreseen = terminal.run("uninstall --dry-run").await;
    assert!(
        foreseen.contains("would delete Lease flux-system/kustomize-controller-leader-election\n"),
        "{foreseen}"
    );
    assert!(!foreseen.contains("source-controller"), "{foreseen}");
    let mut deletions = deletions_of_definitions(&terminal);
    let standing_by = async {
        let held = deletions.next().await.unwrap();
        let holders: Vec<(Value, Value)> = leases(&terminal)
            .iter()
            .map(|it| {
                (
                    it["spec"]["holderIdentity"].clone(),
                    it["spec"]["leaseDurationSeconds"].clone(),
                )
            })
            .collect();
        held.release();
        holders
    };
    let (shown, holders) = tokio::join!(terminal.run("uninstall --yes"), standing_by);
    let ours = (json!("coracle uninstall"), json!(90));
    assert_eq!(holders, [ours.clone(), ours]);
    assert!(
        shown.ends_with(
            "deleted Lease flux-system/kustomize-controller-leader-election\nCoracle is gone; what it applied runs on.\n[0]"
        ),
        "{shown}"
    );
    assert_eq!(leases(&terminal), [] as [Value; 0]);
}

#[tokio::test]
async fn uninstalling_stops_if_a_controller_whose_clock_is_wrong_was_faster() {
    let terminal = two_kustomizations().await;
    let deletions = Match::default()
        .verb(Verb::Delete)
        .resource("apps", "deployments");
    let mut deletions = terminal.cluster.faults().hold(deletions, HoldAt::Before);
    let standing_by = async {
        let held = deletions.next().await.unwrap();
        terminal.cluster.apply(&an_hour_old(90), "test").unwrap();
        held.release();
    };
    let (shown, ()) = tokio::join!(terminal.run("uninstall --yes"), standing_by);
    assert!(
        shown.starts_with("deleted Deployment flux-system/coracle\n"),
        "{shown}"
    );
    assert!(
        shown.contains("error: a controller still runs: `laptop_1` holds the lease"),
        "{shown}"
    );
    assert!(!shown.contains("finalizer") && shown.ends_with("[1]"), "{shown}");
    let names: Vec<Value> = leases(&terminal)
        .iter()
        .map(|it| it["metadata"]["name"].clone())
        .collect();
    assert_eq!(names, [json!("kustomize-controller-leader-election")]);
    assert!(terminal.run("get ks").await.contains("staging"));
}

#[tokio::test]
async fn a_run_that_was_broken_off_is_gone_on_with() {
    let terminal = two_kustomizations().await;
    let ours = lease("coracle uninstall", "2999-01-01T00:00:00.000000Z");
    terminal.cluster.apply(&ours, "test").unwrap();
    let shown = terminal.run("uninstall --yes").await;
    assert!(
        shown.ends_with("Coracle is gone; what it applied runs on.\n[0]"),
        "{shown}"
    );
    assert_eq!(leases(&terminal), [] as [Value; 0]);
}

#[tokio::test]
async fn the_leases_of_whoever_goes_on_with_the_objects_are_left_alone() {
    let terminal = two_kustomizations().await;
    let of_flux = lease("kustomize-controller-7d", "2999-01-01T00:00:00.000000Z");
    terminal.cluster.apply(&of_flux, "test").unwrap();
    let shown = terminal.run("uninstall --yes --keep-objects").await;
    assert!(!shown.contains("Lease") && shown.ends_with("[0]"), "{shown}");
    assert_eq!(leases(&terminal).len(), 1);
}
