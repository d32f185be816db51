//! What is decided from what was seen.

use super::*;

fn pod(phase: &str, ready: bool) -> Pod {
    Pod {
        name: "coracle-1".to_owned(),
        ready,
        phase: phase.to_owned(),
    }
}

fn trouble(reason: Reason, text: &str) -> Trouble {
    Trouble {
        reason,
        pod: Some("coracle-1".to_owned()),
        text: format!("pod coracle-1: {text}"),
    }
}

fn installed(pods: Vec<Pod>, troubles: Vec<Trouble>) -> Standing {
    Standing {
        deployment: Ok(Some(Deployment {
            image: "coracle:0.1.0".to_owned(),
            replicas: 1,
            pods: Ok(pods),
            troubles,
        })),
        ..by_hand(None)
    }
}

fn by_hand(hold: Option<Hold>) -> Standing {
    Standing {
        namespace: "flux-system".to_owned(),
        missing: Ok(Vec::new()),
        deployment: Ok(None),
        hold: Ok(hold),
        flux: Ok(Vec::new()),
    }
}

fn held(holder: &str, lasts: bool) -> Option<Hold> {
    Some(Hold {
        lease: "kustomize-controller-leader-election",
        holder: holder.to_owned(),
        renewed: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        lasts,
    })
}

fn shown(standing: &Standing) -> String {
    let now = "2026-01-01T00:00:12Z".parse().unwrap();
    let mut text = String::new();
    for (what, state) in lines(standing, now) {
        text.push_str(&format!("{what}: {state}\n"));
    }
    if let Some((_, remedy)) = standing.verdict().idle() {
        text.push_str(&format!("hint: {remedy}\n"));
    }
    text
}

#[test]
fn a_pod_that_holds_the_lease_works() {
    let standing = Standing {
        hold: Ok(held("coracle-1", true)),
        ..installed(vec![pod("Running", true)], Vec::new())
    };
    insta::assert_snapshot!(shown(&standing), @r"
    installed: yes: Deployment flux-system/coracle with the image coracle:0.1.0
    pod: coracle-1 is running and ready
    lease: held by coracle-1, renewed 12s ago
    flux: none of its controllers runs
    works: yes: coracle-1
    ");
}

#[test]
fn a_pod_whose_image_cannot_be_pulled_does_not_work() {
    let text = "image \"coracle:0.1.0\" of container \"controller\" cannot be pulled";
    let standing = installed(
        vec![pod("Pending", false)],
        vec![trouble(Reason::ImagePull, text)],
    );
    insta::assert_snapshot!(shown(&standing), @r#"
    installed: yes: Deployment flux-system/coracle with the image coracle:0.1.0
    pod: coracle-1 is pending: image "coracle:0.1.0" of container "controller" cannot be pulled
    lease: nobody holds it
    flux: none of its controllers runs
    works: no: pod coracle-1: image "coracle:0.1.0" of container "controller" cannot be pulled
    hint: Make the image and push it where the cluster can pull it (docs/guides/install.md says how), then name it: `coracle install --image IMAGE | kubectl apply --server-side -f -`.
    "#);
}

#[test]
fn a_pod_that_crashed_does_not_work_though_its_lease_has_not_run_out() {
    let standing = Standing {
        hold: Ok(held("coracle-1", true)),
        ..installed(
            vec![pod("Running", false)],
            vec![trouble(
                Reason::Crash,
                "container \"controller\" exited with code 1, restarted 4 times",
            )],
        )
    };
    insta::assert_snapshot!(shown(&standing), @r#"
    installed: yes: Deployment flux-system/coracle with the image coracle:0.1.0
    pod: coracle-1 is running: container "controller" exited with code 1, restarted 4 times
    lease: held by coracle-1, renewed 12s ago
    flux: none of its controllers runs
    works: no: pod coracle-1: container "controller" exited with code 1, restarted 4 times
    hint: `kubectl -n flux-system logs coracle-1 --previous` says what it did last.
    "#);
}

#[test]
fn a_lease_that_ran_out_is_held_by_nobody() {
    insta::assert_snapshot!(shown(&by_hand(held("laptop_1", false))), @r"
    installed: definitions only: there is no Deployment coracle in namespace flux-system
    lease: nobody holds it; laptop_1 held it last, renewed 12s ago
    flux: none of its controllers runs
    works: no: nobody holds the lease in namespace flux-system, and no controller is installed there
    hint: Install one: `coracle install --image IMAGE | kubectl apply --server-side -f -`; or run `coracle controller` by hand.
    ");
}

#[test]
fn a_controller_outside_of_the_cluster_works() {
    insta::assert_snapshot!(shown(&by_hand(held("laptop_1", true))), @r"
    installed: definitions only: there is no Deployment coracle in namespace flux-system
    lease: held by laptop_1, renewed 12s ago
    flux: none of its controllers runs
    works: yes: laptop_1
    ");
}

#[test]
fn a_deployment_without_replicas_is_told_how_to_start() {
    let mut standing = installed(Vec::new(), Vec::new());
    if let Ok(Some(deployment)) = &mut standing.deployment {
        deployment.replicas = 0;
    }
    insta::assert_snapshot!(shown(&standing), @r"
    installed: yes: Deployment flux-system/coracle with the image coracle:0.1.0
    pod: none: the Deployment is scaled to no replicas
    lease: nobody holds it
    flux: none of its controllers runs
    works: no: the Deployment coracle is scaled to no replicas
    hint: Start it: `kubectl -n flux-system scale deployment coracle --replicas=1`.
    ");
}

#[test]
fn coracle_waits_for_controllers_of_flux_that_do_not_work_either() {
    let standing = Standing {
        flux: Ok(vec![FluxController {
            name: "source-controller",
            ready: 0,
        }]),
        ..installed(vec![pod("Running", false)], Vec::new())
    };
    insta::assert_snapshot!(shown(&standing), @r"
    installed: yes: Deployment flux-system/coracle with the image coracle:0.1.0
    pod: coracle-1 is running, not ready
    lease: nobody holds it
    flux: Deployment source-controller has replicas, 0 ready
    works: no: Flux's Deployment source-controller has replicas, of which none is ready, and Coracle waits for it to stop
    hint: Stop it: `kubectl -n flux-system scale deployment source-controller --replicas=0`.
    ");
}

#[test]
fn what_may_not_be_seen_is_not_known() {
    let forbidden = "leases is forbidden".to_owned();
    let standing = Standing {
        hold: Err(forbidden),
        ..by_hand(None)
    };
    insta::assert_snapshot!(shown(&standing), @r"
    installed: definitions only: there is no Deployment coracle in namespace flux-system
    lease: not known: leases is forbidden
    flux: none of its controllers runs
    works: not known: leases is forbidden
    ");
}

#[test]
fn a_cluster_without_definitions_has_no_coracle() {
    let standing = Standing {
        missing: Ok(vec!["kustomizations.kustomize.toolkit.fluxcd.io".to_owned()]),
        ..by_hand(None)
    };
    insta::assert_snapshot!(shown(&standing), @r"
    installed: no: the cluster lacks kustomizations.kustomize.toolkit.fluxcd.io
    lease: nobody holds it
    flux: none of its controllers runs
    works: no: Coracle is not installed: the cluster lacks kustomizations.kustomize.toolkit.fluxcd.io
    hint: Install it: `coracle install --image IMAGE | kubectl apply --server-side -f -`.
    ");
}
