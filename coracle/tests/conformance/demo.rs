//! The demo's cluster, and the commands around it, on a real API server.

use coracle::demo::story::{self, Props};
use coracle::demo::teller::Teller;
use coracle::ui::Ui;

use crate::installation::Installation;

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_the_demo_comes_true_on_a_real_api_server() {
    let mut installation = Installation::new("").await;
    installation.start();
    installation.point_at_git().await;
    let (mut ui, told) = Ui::captured();
    let props = Props {
        world: &installation.world,
        work: &installation.work,
    };
    let outcome = story::tell(&props, &mut Teller::new(&mut ui)).await;
    assert!(outcome.is_ok(), "{}\n{}", told.out(), outcome.unwrap_err());
    let refused: Vec<String> = installation.refused().iter().map(ToString::to_string).collect();
    assert_eq!(refused, [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_on_a_real_api_server() {
    let mut installation = Installation::new("").await;
    installation.start();
    installation.point_at_git().await;
    installation.ready("shop-staging").await;
    installation.ready("shop-production").await;

    let shown = installation.succeeds("get all");
    assert!(shown.contains("kustomization/shop-staging"), "{shown}");
    let shown = installation.succeeds("tree coracle");
    assert!(shown.contains("Deployment/shop-staging/web"), "{shown}");
    let shown = installation.succeeds("events --for ks/shop-staging -o yaml");
    assert!(shown.contains("Deployment/shop-staging/web created"), "{shown}");
    let shown = installation.succeeds("version");
    assert!(shown.contains("with the image coracle:"), "{shown}");
    assert!(shown.contains("\nworks: yes: "), "{shown}");
    let shown = installation.succeeds("diff shop-staging");
    assert_eq!(shown, "0 to create, 0 to change, 0 to delete, 18 unchanged\n");

    installation.succeeds("suspend shop-staging");
    installation.kubectl("scale deployment web --namespace shop-staging --replicas 4");
    let shown = installation.run("diff shop-staging");
    assert!(shown.contains("0 to create, 1 to change, 0 to delete"), "{shown}");
    let shown = installation.run("reconcile shop-staging");
    assert!(shown.contains("is suspended"), "{shown}");
    installation.succeeds("resume shop-staging");
    let replicas = "get deployment web --namespace shop-staging --output jsonpath={.spec.replicas}";
    assert_eq!(installation.kubectl(replicas), "2");

    let shown = installation.succeeds("reconcile shop-staging --with-source");
    assert!(
        shown.contains("kustomization/shop-staging: Applied revision"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_kustomization_is_held_until_its_objects_are_gone() {
    let mut installation = Installation::new("").await;
    installation.start();
    installation.point_at_git().await;
    installation.ready("shop-dev").await;
    installation.succeeds("suspend coracle");
    installation.kubectl("delete kustomization shop-dev --namespace flux-system --timeout 30s");
    let left = installation
        .kubectl("get deployments,statefulsets,networkpolicies --namespace shop-dev --output name");
    assert_eq!(left, "");
    let others = installation.kubectl("get deployments --namespace shop-staging --output name");
    assert!(others.contains("deployment.apps/web"), "{others}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstalling_leaves_the_applications_and_nothing_else() {
    let mut installation = Installation::new("").await;
    installation.start();
    installation.point_at_git().await;
    installation.ready("shop-production").await;
    let refused = installation.run("uninstall --yes");
    assert!(
        refused.contains("a controller still runs: `coracle-0`"),
        "{refused}"
    );
    installation.stop();

    let done = installation.succeeds("uninstall --yes");
    assert!(
        done.ends_with("Coracle is gone; what it applied runs on.\n"),
        "{done}"
    );
    let gone = installation.run("get all");
    assert!(gone.contains("this cluster has no GitRepository"), "{gone}");
    let definitions = installation.kubectl("get customresourcedefinitions --output name");
    assert_eq!(definitions, "");
    let roles = "get clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,services,deployments -A \
                 -l app.kubernetes.io/part-of=coracle --output name";
    assert_eq!(installation.kubectl(roles), "");
    let left = installation.kubectl("get deployments --namespace shop-production --output name");
    assert_eq!(left, "deployment.apps/api\ndeployment.apps/web\n");
    assert_eq!(
        installation.run("uninstall --yes"),
        "Coracle is not installed in namespace flux-system.\n[0]"
    );
}
