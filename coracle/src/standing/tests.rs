//! What is decided from what was seen.

use reconciler::assess::why::Facts;
use serde_json::json;

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
        namespace: "flux-system".to_owned(),
        holder: holder.to_owned(),
        renewed: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        duration: Duration::from_secs(90),
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
    works: no: Flux's Deployment source-controller has replicas, so Coracle waits, and Flux does not work: source-controller has no replica that is ready, kustomize-controller has no replicas
    hint: Stop Flux: `kubectl -n flux-system scale deployment source-controller --replicas=0`.
    ");
}

fn beside_flux(ready: [i32; 2]) -> Standing {
    let controllers = ["source-controller", "kustomize-controller"]
        .into_iter()
        .zip(ready);
    Standing {
        flux: Ok(controllers
            .map(|(name, ready)| FluxController { name, ready })
            .collect()),
        ..installed(vec![pod("Running", false)], Vec::new())
    }
}

#[test]
fn flux_works_only_with_both_of_its_controllers() {
    assert_eq!(
        beside_flux([1, 1]).verdict(),
        Verdict::Works("Flux's source-controller and kustomize-controller".to_owned())
    );
    insta::assert_snapshot!(shown(&beside_flux([1, 0])), @r"
    installed: yes: Deployment flux-system/coracle with the image coracle:0.1.0
    pod: coracle-1 is running, not ready
    lease: nobody holds it
    flux: Deployment source-controller has replicas, 1 ready, Deployment kustomize-controller has replicas, 0 ready
    works: no: Flux's Deployments source-controller and kustomize-controller have replicas, so Coracle waits, and Flux does not work: kustomize-controller has no replica that is ready
    hint: Stop Flux: `kubectl -n flux-system scale deployment source-controller kustomize-controller --replicas=0`.
    ");
    // The one that is left fetches, and nobody applies.
    let mut half = beside_flux([1, 0]);
    half.flux.as_mut().unwrap().pop();
    insta::assert_snapshot!(shown(&half), @r"
    installed: yes: Deployment flux-system/coracle with the image coracle:0.1.0
    pod: coracle-1 is running, not ready
    lease: nobody holds it
    flux: Deployment source-controller has replicas, 1 ready
    works: no: Flux's Deployment source-controller has replicas, so Coracle waits, and Flux does not work: kustomize-controller has no replicas
    hint: Stop Flux: `kubectl -n flux-system scale deployment source-controller --replicas=0`.
    ");
}

#[test]
fn a_lease_of_a_pod_that_is_gone_is_held_by_nobody() {
    let mut standing = Standing {
        hold: Ok(held("coracle-6c9d8f7b5-x2x4z", true)),
        ..installed(vec![pod("Running", false)], Vec::new())
    };
    insta::assert_snapshot!(shown(&standing), @r"
    installed: yes: Deployment flux-system/coracle with the image coracle:0.1.0
    pod: coracle-1 is running, not ready
    lease: held by coracle-6c9d8f7b5-x2x4z, renewed 12s ago
    flux: none of its controllers runs
    works: no: pod coracle-1 waits for the lease of pod coracle-6c9d8f7b5-x2x4z, which is gone, to run out
    hint: It may be starting. `kubectl -n flux-system logs deployment/coracle` says what it does.
    ");
    if let Ok(Some(deployment)) = &mut standing.deployment {
        deployment.replicas = 0;
        deployment.pods = Err("pods is forbidden".to_owned());
    }
    insta::assert_snapshot!(shown(&standing), @r"
    installed: yes: Deployment flux-system/coracle with the image coracle:0.1.0
    pod: not known: pods is forbidden
    lease: held by coracle-6c9d8f7b5-x2x4z, renewed 12s ago
    flux: none of its controllers runs
    works: no: the Deployment coracle is scaled to no replicas
    hint: Start it: `kubectl -n flux-system scale deployment coracle --replicas=1`.
    ");
    // One that is run by hand is no pod.
    for name in ["laptop_1", "coracle-0", "coracle-dev-box_4711"] {
        standing.hold = Ok(held(name, true));
        assert_eq!(standing.verdict(), Verdict::Works(name.to_owned()));
    }
}

#[test]
fn a_trouble_of_two_pods_is_known_of_each() {
    let pod = |name: &str| {
        json!({
            "kind": "Pod", "metadata": { "name": name, "ownerReferences": [{ "uid": "set" }] },
            "status": { "phase": "Running", "containerStatuses": [{
                "name": "controller", "restartCount": 4,
                "state": { "waiting": { "reason": "CrashLoopBackOff" } },
                "lastState": { "terminated": { "exitCode": 1 } },
            }]},
        })
    };
    let deployment = json!({
        "kind": "Deployment", "metadata": { "name": "coracle", "uid": "deployment" },
        "spec": { "replicas": 2 },
    });
    let set = json!({
        "kind": "ReplicaSet", "metadata": { "uid": "set", "ownerReferences": [{ "uid": "deployment" }] },
    });
    let facts = Facts {
        replica_sets: &[set],
        pods: &[pod("coracle-1"), pod("coracle-2")],
        ..Facts::of(&deployment)
    };
    let troubles = look::troubles(&facts, "2026-01-01T00:00:00Z".parse().unwrap());
    let said: Vec<&str> = troubles.iter().map(|it| it.text.as_str()).collect();
    insta::assert_debug_snapshot!(said, @r#"
    [
        "pod coracle-1 and another: container \"controller\" exited with code 1, restarted 4 times",
        "pod coracle-2: container \"controller\" exited with code 1, restarted 4 times",
    ]
    "#);
    let standing = Standing {
        hold: Ok(held("coracle-2", true)),
        ..installed(vec![], troubles)
    };
    assert!(standing.verdict().idle().is_some());
}

#[test]
fn of_several_controllers_the_one_near_the_object_is_meant_then_one_that_works() {
    let hold = |namespace: &str, lasts| Hold {
        namespace: namespace.to_owned(),
        ..held("laptop_1", lasts).unwrap()
    };
    let installed = ["apps", "gitops"].map(str::to_owned);
    let home = |near, holds: &[Hold]| look::home(near, &installed, holds).to_owned();
    assert_eq!(home(Some("gitops"), &[hold("apps", true)]), "gitops");
    assert_eq!(
        home(Some("shop"), &[hold("shop", true), hold("apps", true)]),
        "shop"
    );
    assert_eq!(
        home(Some("shop"), &[hold("apps", false), hold("gitops", true)]),
        "gitops"
    );
    assert_eq!(home(None, &[hold("gitops", false)]), "apps");
    assert_eq!(look::home(None, &[], &[hold("shop", false)]), "shop");
    assert_eq!(look::home(Some("shop"), &[], &[]), "flux-system");
}

#[test]
fn a_lease_that_ran_out_is_watched_unless_no_clock_is_that_wrong() {
    let hold = held("laptop_1", false).unwrap();
    let at = |time: &str| hold.observation(time.parse().unwrap()).as_secs();
    assert_eq!(at("2026-01-01T00:02:00Z"), 45);
    assert_eq!(at("2025-12-31T23:00:00Z"), 45);
    assert_eq!(at("2026-01-03T00:00:00Z"), 0);
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
