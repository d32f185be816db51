//! The project's own applications, deployed from Git and used through their Services.

use crate::installation::shared;

const PRODUCTS: &str = r#"[{"id":1,"name":"Coracle","price":480.00}, 
 {"id":2,"name":"Paddle","price":35.50}, 
 {"id":3,"name":"Rope","price":12.00}]"#;

#[tokio::test]
async fn every_environment_is_deployed_and_answers_through_its_services() {
    let (installation, _node) = shared().await;
    for environment in ["dev", "prerelease", "staging", "production"] {
        let namespace = format!("shop-{environment}");
        installation.ready(&namespace, "").await;
        let get = |service, path| installation.served(&namespace, service, path);

        let settings = get("web", "/settings.json").await;
        assert!(
            settings.contains(&format!("\"environment\": \"{environment}\"")),
            "{settings}"
        );
        assert!(get("web", "/").await.contains("<title>Shop</title>"));
        assert_eq!(get("api", "/products?order=name").await, PRODUCTS);
        // From the front end by the name of the API, and from there by the name of the database.
        assert_eq!(get("web", "/api/products?order=name").await, PRODUCTS);
        let by_name = "PGPASSWORD=$POSTGRES_PASSWORD psql --host database --username postgres --dbname shop \
                       --tuples-only --no-align --command 'select count(*) from shop.products'";
        let database = [
            "exec",
            "--namespace",
            &namespace,
            "database-0",
            "--",
            "sh",
            "-c",
            by_name,
        ];
        assert_eq!(installation.kubectl_with(&database), "3\n");
    }
}

#[tokio::test]
async fn a_commit_is_served_once_its_environment_is_ready() {
    let (installation, _node) = shared().await;
    let work = installation.work("a-commit").await;
    work.checkout("staging").await.unwrap();
    let settings = "apps/shop/overlays/staging/settings.json";
    work.write(
        settings,
        "{\"environment\": \"staging\", \"featureSearch\": true}
",
    )
    .unwrap();
    let commit = work.commit("Search in staging").await.unwrap();
    work.push("staging").await.unwrap();
    installation.ready("shop-staging", &commit).await;
    installation
        .until_served("shop-staging", "web", "/settings.json", "\"featureSearch\": true")
        .await;
}
