//! What ends without warning comes back by itself.

use crate::installation::{alone, kill};

#[tokio::test]
async fn a_controller_that_is_killed_in_the_middle_of_a_run_finishes_it_after_its_restart() {
    let (installation, _node) = alone().await;
    installation.ready("shop-dev", "").await;
    let work = installation.work("killed-controller").await;
    work.checkout("dev").await.unwrap();
    work.write("apps/shop/base/web/index.html", "<title>Rowed</title>\n")
        .unwrap();
    let commit = work.commit("Row").await.unwrap();
    work.push("dev").await.unwrap();
    let world = installation.world().await;
    world
        .until_kustomization("shop-dev", "the commit to be tried", |state| {
            let tried = state.object["status"]["lastAttemptedRevision"].as_str()?;
            tried.ends_with(&commit).then_some(())
        })
        .await
        .unwrap();
    let restarts = "get pods --namespace flux-system --selector app.kubernetes.io/name=coracle \
                    --output jsonpath={.items[*].status.containerStatuses[0].restartCount}";
    let before: u32 = installation.kubectl(restarts).parse().unwrap();
    kill("/usr/local/bin/coracle");
    installation.ready("shop-dev", &commit).await;
    installation
        .until_served("shop-dev", "web", "/", "<title>Rowed</title>")
        .await;
    let after: u32 = installation.kubectl(restarts).parse().unwrap();
    assert_eq!(after, before + 1);
}

#[tokio::test]
async fn a_controller_whose_pod_is_deleted_is_followed_by_another() {
    let (installation, _node) = alone().await;
    installation.ready("shop-prerelease", "").await;
    installation.kubectl("delete pod --namespace flux-system --selector app.kubernetes.io/name=coracle");
    let work = installation.work("deleted-controller").await;
    work.checkout("prerelease").await.unwrap();
    work.write("apps/shop/base/web/index.html", "<title>Sailed</title>\n")
        .unwrap();
    let commit = work.commit("Sail").await.unwrap();
    work.push("prerelease").await.unwrap();
    installation.ready("shop-prerelease", &commit).await;
    installation
        .until_served("shop-prerelease", "web", "/", "<title>Sailed</title>")
        .await;
}

#[tokio::test]
async fn a_node_that_lost_its_power_runs_everything_again_and_follows_git() {
    let (installation, mut node) = alone().await;
    installation.ready("shop-production", "").await;
    let insert = "psql --username postgres --dbname shop --command \
                  \"insert into shop.products (name, price) values ('Bailer', 4.50)\"";
    let database = [
        "exec",
        "--namespace",
        "shop-production",
        "database-0",
        "--",
        "sh",
        "-c",
        insert,
    ];
    installation.kubectl_with(&database);

    node.power_cycle().await;
    // Three pods, one after the other: the front end, the API, the database with what it kept.
    installation
        .until_served("shop-production", "web", "/api/products?order=name", "Bailer")
        .await;

    let work = installation.work("power").await;
    work.checkout("production").await.unwrap();
    work.write("apps/shop/base/web/index.html", "<title>Back again</title>\n")
        .unwrap();
    let commit = work.commit("Come back").await.unwrap();
    work.push("production").await.unwrap();
    installation.ready("shop-production", &commit).await;
    installation
        .until_served("shop-production", "web", "/", "<title>Back again</title>")
        .await;
    for name in [
        "coracle",
        "platform",
        "shop-dev",
        "shop-prerelease",
        "shop-staging",
    ] {
        installation.ready(name, "").await;
    }
}
