//! What is said while nothing happens, on an embedded cluster.

use embedded_cluster::{Cluster as Embedded, Config, Fault, Match, Verb};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use reconciler::api::crds;
use serde_json::Value;

use super::*;
use crate::ui::Captured;

/// A Kustomization `apps` that nobody reconciles.
async fn alone() -> (Embedded, Cluster) {
    // Another test may have been faster.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let embedded = Embedded::start(Config::default()).await.unwrap();
    let file = Kubeconfig::from_yaml(&embedded.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .unwrap();
    let client = kube::Client::try_from(config).unwrap();
    for crd in crds() {
        let definition = serde_json::to_value(&crd).unwrap();
        embedded.apply(&definition, "test").unwrap();
        let name = crd.metadata.name.unwrap();
        await_condition(
            kube::Api::all(client.clone()),
            &name,
            conditions::is_crd_established(),
        )
        .await
        .unwrap();
    }
    let object: Value = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": { "name": "apps", "namespace": "default" },
        "spec": { "interval": "1m", "prune": true, "sourceRef": { "kind": "GitRepository", "name": "apps" } },
    });
    embedded.apply(&object, "test").unwrap();
    let cluster = Cluster {
        client,
        address: "https://cluster".to_owned(),
    };
    (embedded, cluster)
}

/// Waits this long for a run, and doubts after that long.
async fn waited(cluster: &Cluster, timeout: &str, silence: Duration) -> (Error, Captured) {
    let (mut ui, captured) = Ui::captured();
    let mut waiting = Waiting {
        silence,
        ..Waiting::new(cluster, timeout.parse().unwrap(), &mut ui)
    };
    let apps = Target {
        kind: ObjectKind::Kustomization,
        name: "apps".to_owned(),
    };
    let error = waiting.reconcile(&apps, "default", None).await.unwrap_err();
    (error, captured)
}

fn lists() -> Match {
    Match::default()
        .verb(Verb::List)
        .resource("kustomize.toolkit.fluxcd.io", "kustomizations")
}

#[tokio::test]
async fn after_a_silence_it_is_said_that_nobody_works() {
    let (_embedded, cluster) = alone().await;
    let (error, captured) = waited(&cluster, "2s", Duration::ZERO).await;
    insta::assert_snapshot!(captured.err(), @r"
    No controller works: nobody holds the lease in namespace flux-system, and no controller is installed there. Waiting for one up to 2s.
    hint: Install one: `coracle install --image IMAGE | kubectl apply --server-side -f -`; or run `coracle controller` by hand.
    ");
    assert_eq!(error.kind(), Kind::Timeout);
}

#[tokio::test]
async fn a_look_aside_that_fails_ends_nothing() {
    let (embedded, cluster) = alone().await;
    let deployments = Match::default().resource("apps", "deployments");
    embedded.faults().add(deployments, Fault::internal_error());
    let (error, captured) = waited(&cluster, "1s", Duration::ZERO).await;
    assert_eq!(captured.err(), "");
    assert_eq!(error.to_string(), "kustomization/apps is not done after 1s");
}

#[tokio::test]
async fn who_may_not_watch_learns_it_at_once() {
    let (embedded, cluster) = alone().await;
    let words = "kustomizations is forbidden: User \"reader\" cannot list resource \"kustomizations\"";
    embedded.faults().add(lists(), Fault::forbidden(words));
    let (error, _) = waited(&cluster, "1h", SILENCE).await;
    assert_eq!(error.kind(), Kind::Cluster);
    assert_eq!(
        error.to_string(),
        format!("cannot watch kustomization/apps: {words}")
    );
}

#[tokio::test]
async fn a_cluster_that_fails_is_asked_seldom_and_named_at_the_end() {
    let (embedded, cluster) = alone().await;
    let refused = embedded.faults().add(lists(), Fault::internal_error());
    let (error, _) = waited(&cluster, "2s", SILENCE).await;
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(error.to_string(), "kustomization/apps is not done after 2s");
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(
        cause.as_deref(),
        Some("cannot watch kustomization/apps: Internal error occurred: injected fault")
    );
    assert!(refused.matched() < 5, "asked {} times", refused.matched());
}
