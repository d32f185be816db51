//! Whether a controller works, as each command that needs one says it.

use embedded_cluster::{Fault, HoldAt, Match};
use serde_json::{Value, json};

use crate::terminal::{Terminal, lease_in, two_kustomizations};

/// The names that the simulator gives to pods, in a form that each run has.
fn with_pods_named(shown: &str, terminal: &Terminal) -> String {
    let mut shown = shown.to_owned();
    for pod in terminal.cluster.list("v1", "Pod", "flux-system") {
        let name = pod["metadata"]["name"].as_str().unwrap();
        shown = shown.replace(name, "coracle-1");
    }
    shown
}

#[tokio::test]
async fn the_version_of_a_cluster_whose_image_cannot_be_pulled_says_that_no_controller_works() {
    let terminal = Terminal::with_image("coracle:does-not-exist").await;
    terminal
        .until(|cluster| {
            let pods = cluster.list("v1", "Pod", "flux-system");
            let waits = |pod: &Value| {
                pod.pointer("/status/containerStatuses/0/state/waiting/reason")
                    .and_then(Value::as_str)
                    .is_some_and(|reason| reason.contains("ImagePull"))
            };
            pods.iter().any(waits)
        })
        .await;
    let shown = with_pods_named(&terminal.run("version").await, &terminal);
    insta::assert_snapshot!(shown, @r#"
    coracle: 0.1.0
    installed: yes: Deployment flux-system/coracle with the image coracle:does-not-exist
    pod: coracle-1 is pending: image "coracle:does-not-exist" of container "controller" cannot be pulled: not found
    lease: nobody holds it
    flux: none of its controllers runs
    works: no: pod coracle-1: image "coracle:does-not-exist" of container "controller" cannot be pulled: not found
    hint: Make the image and push it where the cluster can pull it (docs/guides/install.md says how), then name it: `coracle install --image IMAGE | kubectl apply --server-side -f -`.
    [1]
    "#);
    let object = with_pods_named(&terminal.run("version -o json").await, &terminal);
    insta::assert_snapshot!(object, @r#"
    {
      "controller": {
        "definitions": true,
        "flux": [],
        "image": "coracle:does-not-exist",
        "lease": null,
        "namespace": "flux-system",
        "pods": [
          {
            "name": "coracle-1",
            "phase": "Pending",
            "ready": false
          }
        ],
        "remedy": "Make the image and push it where the cluster can pull it (docs/guides/install.md says how), then name it: `coracle install --image IMAGE | kubectl apply --server-side -f -`.",
        "troubles": [
          {
            "message": "pod coracle-1: image \"coracle:does-not-exist\" of container \"controller\" cannot be pulled: not found",
            "pod": "coracle-1",
            "reason": "ImagePull"
          }
        ],
        "who": null,
        "why": "pod coracle-1: image \"coracle:does-not-exist\" of container \"controller\" cannot be pulled: not found",
        "works": false
      },
      "coracle": "0.1.0"
    }
    [1]
    "#);
}

#[tokio::test]
async fn the_version_of_an_empty_cluster_says_that_nothing_is_installed() {
    let terminal = Terminal::new().await;
    insta::assert_snapshot!(terminal.run("version").await, @r"
    coracle: 0.1.0
    installed: no: the cluster lacks gitrepositories.source.toolkit.fluxcd.io and kustomizations.kustomize.toolkit.fluxcd.io
    lease: nobody holds it
    flux: none of its controllers runs
    works: no: Coracle is not installed: the cluster lacks gitrepositories.source.toolkit.fluxcd.io and kustomizations.kustomize.toolkit.fluxcd.io
    hint: Install it: `coracle install --image IMAGE | kubectl apply --server-side -f -`.
    [4]
    ");
}

#[tokio::test]
async fn what_nobody_has_looked_at_is_listed_so_and_with_the_reason() {
    let terminal = two_kustomizations().await;
    terminal.kustomization("new", &json!({}));
    terminal
        .cluster
        .delete("apps/v1", "Deployment", "flux-system", "coracle")
        .unwrap();
    insta::assert_snapshot!(terminal.run("get ks new").await, @r"
    NAME   REVISION   SUSPENDED   READY     MESSAGE
    new               False       Unknown   no controller has looked at it yet
    No controller works: nobody holds the lease in namespace flux-system, and no controller is installed there.
    hint: Install one: `coracle install --image IMAGE | kubectl apply --server-side -f -`; or run `coracle controller` by hand.
    [0]
    ");
    terminal.somebody_works();
    insta::assert_snapshot!(terminal.run("get ks new").await, @r"
    NAME   REVISION   SUSPENDED   READY     MESSAGE
    new               False       Unknown   no controller has looked at it yet
    [0]
    ");
}

#[tokio::test]
async fn a_script_learns_whether_a_controller_works_by_how_the_version_ends() {
    let terminal = Terminal::installed().await;
    let ends = async |line: &str| {
        let shown = terminal.run(line).await;
        shown.lines().next_back().unwrap_or_default().to_owned()
    };
    let lines = [
        "version",
        "version -o json",
        "version --client",
        "version --client -o yaml",
    ];
    let mut ended = Vec::new();
    for line in lines {
        ended.push(ends(line).await);
    }
    assert_eq!(ended, ["[1]", "[1]", "[0]", "[0]"]);
    terminal.somebody_works();
    assert_eq!(ends("version").await, "[0]");
    assert_eq!(ends("version -o yaml").await, "[0]");
}

#[tokio::test]
async fn what_was_ready_when_the_controller_ended_is_listed_with_the_reason_why_that_may_be_old() {
    let terminal = two_kustomizations().await;
    terminal
        .cluster
        .delete("apps/v1", "Deployment", "flux-system", "coracle")
        .unwrap();
    insta::assert_snapshot!(terminal.run("get ks cluster").await, @r"
    NAME      REVISION             SUSPENDED   READY   MESSAGE
    cluster   main@sha1:01234567   False       True    Applied revision: main@sha1:01234567
    No controller works: nobody holds the lease in namespace flux-system, and no controller is installed there.
    hint: Install one: `coracle install --image IMAGE | kubectl apply --server-side -f -`; or run `coracle controller` by hand.
    [0]
    ");
    // What programs read has nothing beside it.
    insta::assert_snapshot!(terminal.run("get ks cluster -o name").await, @r"
    kustomization.kustomize.toolkit.fluxcd.io/cluster
    [0]
    ");
}

#[tokio::test]
async fn a_request_that_nobody_handles_times_out_and_says_that_nobody_works() {
    let terminal = two_kustomizations().await;
    terminal
        .cluster
        .delete("apps/v1", "Deployment", "flux-system", "coracle")
        .unwrap();
    insta::assert_snapshot!(terminal.run("reconcile cluster --timeout 200ms").await, @r"
    error: kustomization/cluster is not done after 200ms: no controller works: nobody holds the lease in namespace flux-system, and no controller is installed there
    hint: Install one: `coracle install --image IMAGE | kubectl apply --server-side -f -`; or run `coracle controller` by hand.
    [6]
    ");
}

/// Nobody has looked at `new`, and Coracle is in the namespace `gitops` instead of the usual one.
async fn in_gitops() -> Terminal {
    let terminal = two_kustomizations().await;
    terminal.kustomization("new", &json!({}));
    terminal
        .cluster
        .delete("apps/v1", "Deployment", "flux-system", "coracle")
        .unwrap();
    terminal.also_in("gitops");
    terminal
}

fn last_lines(shown: &str) -> String {
    let lines = shown.lines().skip_while(|line| !line.starts_with("lease: "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn the_version_is_about_the_controller_wherever_it_is_unless_a_namespace_is_named() {
    let terminal = in_gitops().await;
    terminal
        .cluster
        .apply(
            &lease_in("gitops", "laptop_1", "2999-01-01T00:00:00.000000Z"),
            "test",
        )
        .unwrap();
    assert!(!terminal.run("get ks new").await.contains("No controller works"));
    insta::assert_snapshot!(last_lines(&terminal.run("version").await), @r"
    lease: held by laptop_1, renewed 0s ago
    flux: none of its controllers runs
    works: yes: laptop_1
    [0]
    ");
    insta::assert_snapshot!(last_lines(&terminal.run("version -n flux-system").await), @r"
    lease: nobody holds it
    flux: none of its controllers runs
    works: no: nobody holds the lease in namespace flux-system, and no controller is installed there
    hint: Install one: `coracle install --image IMAGE | kubectl apply --server-side -f -`; or run `coracle controller` by hand.
    [1]
    ");
}

#[tokio::test]
async fn of_two_controllers_the_one_beside_the_object_counts() {
    let terminal = in_gitops().await;
    terminal.somebody_works();
    assert!(!terminal.run("get ks new").await.contains("No controller works"));
}

#[tokio::test]
async fn what_this_account_may_not_see_is_not_known() {
    let terminal = two_kustomizations().await;
    let forbidden =
        |plural: &str| format!("{plural} is forbidden: User \"reader\" cannot list resource \"{plural}\"");
    for (group, plural) in [("apps", "deployments"), ("coordination.k8s.io", "leases")] {
        let matching = Match::default().resource(group, plural);
        terminal
            .cluster
            .faults()
            .add(matching, Fault::forbidden(&forbidden(plural)));
    }
    insta::assert_snapshot!(terminal.run("version").await, @r#"
    coracle: 0.1.0
    installed: not known: deployments is forbidden: User "reader" cannot list resource "deployments"
    lease: not known: leases is forbidden: User "reader" cannot list resource "leases"
    flux: not known: deployments is forbidden: User "reader" cannot list resource "deployments"
    works: not known: leases is forbidden: User "reader" cannot list resource "leases"
    [0]
    "#);
}

#[tokio::test]
async fn a_look_that_fails_or_hangs_takes_nothing_from_the_list() {
    let terminal = two_kustomizations().await;
    terminal.kustomization("new", &json!({}));
    let deployments = || Match::default().resource("apps", "deployments");
    let listed = "NAME   REVISION   SUSPENDED   READY     MESSAGE\n\
                  new               False       Unknown   no controller has looked at it yet\n[0]";
    let failing = terminal
        .cluster
        .faults()
        .add(deployments(), Fault::internal_error());
    assert_eq!(terminal.run("get ks new").await, listed);
    failing.remove();
    let _held = terminal.cluster.faults().hold(deployments(), HoldAt::Before);
    assert_eq!(terminal.run("get ks new").await, listed);
}
