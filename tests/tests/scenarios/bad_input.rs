//! Bad input is told by a condition and an Event that name the cause and what to do; nothing else changes, and it
//! recovers by itself when the input is mended.

use serde_json::{Value, json};
use tests::world::{KUSTOMIZE_API, NAMESPACE, SOURCE_API, condition, workspace};

use crate::{Scene, config_map, kustomization_of};

/// Pushes something bad and asserts what is said of it, then mends it.
async fn refused_and_mended(scene: &Scene, path: &str, bad: &str, reason: &str, message: &str) {
    let before = scene.settings();
    let commit = scene.push_file(path, bad);
    assert_eq!(scene.until_failed_at("app", &commit, reason).await, message);
    assert_eq!(scene.settings(), before, "nothing else changed");
    scene.upstream.git(&["revert", "--no-edit", "HEAD"]);
    let mended = scene.push_file("app/config.yaml", &config_map("settings", "two"));
    scene.world.until_applied("app", &mended).await;
    assert_eq!(scene.world.value("settings", "key").unwrap(), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yaml_error_is_told_with_file_line_and_column() {
    let scene = Scene::live().await;
    let bad = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n   namespace: default\n";
    refused_and_mended(&scene, "app/config.yaml", bad, "BuildFailed", "in resources entry \"./config.yaml\": app/config.yaml:5:13: mapping values are not allowed in this context").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomization_that_names_a_missing_file_is_told_with_the_file() {
    let scene = Scene::live().await;
    let bad = kustomization_of(&["config.yaml", "absent.yaml"]);
    refused_and_mended(
        &scene,
        "app/kustomization.yaml",
        &bad,
        "BuildFailed",
        "app/kustomization.yaml:5:5: resources entry \"absent.yaml\": no such file or directory",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_the_kustomization_file_that_does_not_exist_is_told() {
    let scene = Scene::live().await;
    let bad = format!("{}resourcess: []\n", kustomization_of(&["config.yaml"]));
    refused_and_mended(
        &scene,
        "app/kustomization.yaml",
        &bad,
        "BuildFailed",
        "app/kustomization.yaml:5:1: unknown field \"resourcess\"; did you mean \"resources\"?",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_an_unknown_kind_is_told_with_its_file_and_line() {
    let scene = Scene::live().await;
    let bad = "apiVersion: example.org/v1\nkind: Gadget\nmetadata:\n  name: one\n  namespace: default\n";
    refused_and_mended(&scene, "app/gadget.yaml", bad, "ReconciliationFailed", "Gadget/default/one (app/gadget.yaml:1): no matches for kind \"Gadget\" in version \"example.org/v1\": is its CustomResourceDefinition installed?").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_without_a_namespace_is_told_with_its_file() {
    let scene = Scene::live().await;
    let bad = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: other\n";
    refused_and_mended(&scene, "app/other.yaml", bad, "ReconciliationFailed", "ConfigMap/other (app/other.yaml:1): it has no namespace; set metadata.namespace, or spec.targetNamespace of the Kustomization").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yaml_document_that_is_no_kubernetes_object_is_told() {
    let scene = Scene::live().await;
    refused_and_mended(
        &scene,
        "app/values.yaml",
        "replicas: 3\n",
        "BuildFailed",
        "in resources entry \"./values.yaml\": app/values.yaml:1:1: missing kind in object",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_in_two_files_is_told_with_both() {
    let scene = Scene::live().await;
    let bad = config_map("settings", "three");
    refused_and_mended(&scene, "app/again.yaml", &bad, "BuildFailed", "in resources entry \"./config.yaml\": app/config.yaml:1:1: may not add resource with an already registered id: ConfigMap.v1.[noGrp]/settings.default; the first one is in app/again.yaml, line 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rejected_objects_of_a_stage_are_told_together_and_none_is_applied() {
    let scene = Scene::live().await;
    let before = scene.settings();
    scene
        .upstream
        .write("app/config.yaml", config_map("settings", "two"));
    scene.upstream.write(
        "app/service.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {ports: [{port: 99999}]}\n",
    );
    scene.upstream.write(
        "app/deployment.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: default}\nspec: {replicas: many}\n",
    );
    let bad = scene.push_all();
    assert_eq!(
        scene.until_failed_at("app", &bad, "ReconciliationFailed").await,
        "Deployment/default/web (app/deployment.yaml:1) dry-run failed: failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got string\nService/default/web (app/service.yaml:1) dry-run failed: Service \"web\" is invalid: [spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive, spec.ports[0].targetPort: Invalid value: 99999: must be between 1 and 65535, inclusive]"
    );
    assert_eq!(scene.settings(), before, "nothing else changed");
    scene
        .upstream
        .git(&["rm", "-q", "app/service.yaml", "app/deployment.yaml"]);
    let mended = scene.push_all();
    scene.world.until_applied("app", &mended).await;
    assert_eq!(scene.world.value("settings", "key").unwrap(), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_does_not_exist_is_told_with_what_looks_like_it() {
    let scene = Scene::live().await;
    let before = scene.settings();
    scene.world.kustomization("app", "app", "./apps", &json!({}));
    assert_eq!(
        scene
            .world
            .until_told(
                "kustomize.toolkit.fluxcd.io/v1",
                "Kustomization",
                "app",
                "ArtifactFailed"
            )
            .await,
        "spec.path apps does not exist: the nearest folder that does is the root of the repository (there is `app` in it)"
    );
    assert_eq!(scene.settings(), before);
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.until_applied("app", &scene.upstream.head()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_kustomizations_that_render_the_same_object_are_both_named() {
    let scene = Scene::live().await;
    let before = scene.settings();
    scene.world.kustomization("rival", "app", "./app", &json!({}));
    let told = scene.world.until_told(
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        "rival",
        "ReconciliationFailed",
    );
    assert_eq!(
        told.await,
        "ConfigMap/default/settings (app/config.yaml:1) belongs to Kustomization flux-system/app and is wanted by flux-system/rival as well; take it out of one of the two"
    );
    assert_eq!(scene.settings(), before, "nothing else changed");
    let commit = scene.push_file("rival/config.yaml", &config_map("rival", "one"));
    scene.world.until_applied("app", &commit).await;
    scene.world.kustomization("rival", "app", "./rival", &json!({}));
    scene.world.until_applied("rival", &commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_suddenly_empty_deletes_nothing_and_says_how_to_confirm() {
    let scene = Scene::live().await;
    let before = scene.settings();
    scene.upstream.git(&["rm", "-q", "app/config.yaml"]);
    let empty = scene.push_file("app/README.md", "nothing\n");
    let told = scene.until_failed_at("app", &empty, "PruneFailed").await;
    assert_eq!(
        told.replace(&empty, "COMMIT"),
        "revision main@sha1:COMMIT has no objects at all, so all 1 in the inventory would be deleted, among them ConfigMap/default/settings; nothing was changed. If this is meant, run: kubectl annotate kustomization --namespace flux-system app --overwrite coracle.dev/prune-confirm=main@sha1:COMMIT"
    );
    assert_eq!(scene.settings(), before);
    let mended = scene.push_file("app/config.yaml", &config_map("settings", "two"));
    scene.world.until_applied("app", &mended).await;
}

/// The fields of a kind that `docs/flux-differences.md` lists as not served, as messages name them.
fn unserved(kind: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace("docs/flux-differences.md")).unwrap();
    let (_, list) = text.split_once(&format!("   - `{kind}`: ")).unwrap();
    // The dots before that are those of fields.
    let (list, _) = list.split_once(".\n").unwrap();
    let list = list.split_whitespace().collect::<Vec<_>>().join(" ");
    list.replace('`', "")
        .split(", ")
        .map(|field| format!("spec.{field}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_a_kustomization_that_is_not_served_yet_stalls_and_is_named() {
    let scene = Scene::live().await;
    let before = scene.settings();
    let source = |kind: &str| json!({"sourceRef": {"kind": kind, "name": "app"}});
    let other_source = "spec.sourceRef.kind other than GitRepository";
    let check = json!({"apiVersion": "example.org/v1", "kind": "Widget", "current": "true"});
    let ignored = json!({"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}});
    let rows = [
        (other_source, source("OCIRepository")),
        (other_source, source("Bucket")),
        (other_source, source("ExternalArtifact")),
        (
            "spec.kubeConfig",
            json!({"kubeConfig": {"secretRef": {"name": "there"}}}),
        ),
        (
            "spec.kubeConfig",
            json!({"kubeConfig": {"configMapRef": {"name": "there"}}}),
        ),
        ("spec.healthCheckExprs", json!({"healthCheckExprs": [check]})),
        (
            "spec.buildMetadata",
            json!({"buildMetadata": ["originAnnotations"]}),
        ),
        ("spec.ignore", json!({"ignore": [ignored]})),
        (
            "spec.dependsOn[].readyExpr",
            json!({"dependsOn": [{"name": "app", "readyExpr": "true"}]}),
        ),
        (
            "spec.decryption.serviceAccountName",
            json!({"decryption": {"provider": "sops", "serviceAccountName": "keys"}}),
        ),
    ];
    for (number, (field, spec)) in rows.iter().enumerate() {
        let name = format!("row-{number}");
        scene.world.kustomization(&name, "app", "./app", spec);
        assert_stalled(&scene, KUSTOMIZE_API, "Kustomization", &name, field).await;
    }
    assert_eq!(listed(&rows), unserved("Kustomization"));
    // One that ran before stays as it is.
    scene.world.kustomization("app", "app", "./app", &rows[9].1);
    assert_stalled(&scene, KUSTOMIZE_API, "Kustomization", "app", rows[9].0).await;
    assert_eq!(scene.settings(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_a_git_repository_that_is_not_served_yet_stalls_and_is_named() {
    let scene = Scene::live().await;
    let other = "spec.provider other than generic";
    let rows = [
        (
            "spec.verify",
            json!({"verify": {"mode": "HEAD", "secretRef": {"name": "keys"}}}),
        ),
        ("spec.recurseSubmodules", json!({"recurseSubmodules": true})),
        (
            "spec.include",
            json!({"include": [{"repository": {"name": "app"}}]}),
        ),
        ("spec.sparseCheckout", json!({"sparseCheckout": ["app"]})),
        (other, json!({"provider": "aws"})),
        (other, json!({"provider": "azure"})),
        (other, json!({"provider": "github"})),
        // Without one of these providers the API server refuses it.
        (
            "spec.serviceAccountName",
            json!({"serviceAccountName": "reader", "provider": "aws"}),
        ),
    ];
    scene.server.take_requests();
    for (number, (field, spec)) in rows.iter().enumerate() {
        let name = format!("row-{number}");
        scene.world.git_repository_with(&name, spec);
        let named = match *field {
            "spec.serviceAccountName" => format!("{other}, {field}"),
            field => field.to_owned(),
        };
        assert_stalled(&scene, SOURCE_API, "GitRepository", &name, &named).await;
    }
    assert_eq!(scene.server.take_requests(), [] as [&str; 0]);
    assert_eq!(listed(&rows), unserved("GitRepository"));
    scene.world.git_repository_with(
        "generic",
        &json!({"provider": "generic", "ref": {"branch": "main"}}),
    );
    scene.world.until_fetched("generic", &scene.upstream.head()).await;
}

/// The fields of rows, each once.
fn listed(rows: &[(&str, Value)]) -> Vec<String> {
    let mut fields: Vec<String> = rows.iter().map(|(field, _)| (*field).to_owned()).collect();
    fields.dedup();
    fields
}

/// An object is refused for these fields, and an Event says so.
async fn assert_stalled(scene: &Scene, api: &str, kind: &str, name: &str, fields: &str) {
    let told = scene.world.until_told(api, kind, name, "InvalidSpec").await;
    let done = if kind == "Kustomization" {
        "reconciled"
    } else {
        "fetched"
    };
    assert_eq!(
        told,
        format!("not supported yet: {fields}; remove it to have this {done}")
    );
    let object = scene.world.get(api, kind, NAMESPACE, name).unwrap();
    assert_eq!(
        condition(&object, "Stalled").unwrap()["status"],
        "True",
        "{fields}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_a_namespace_that_does_not_exist_is_told_with_its_file() {
    let scene = Scene::live().await;
    let bad = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: other\n  namespace: absent\n";
    refused_and_mended(
        &scene,
        "app/other.yaml",
        bad,
        "ReconciliationFailed",
        "ConfigMap/absent/other (app/other.yaml:1) dry-run failed: namespaces \"absent\" not found",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_once_and_once_that_it_is_over_though_nothing_had_to_be_applied() {
    let scene = Scene::live().await;
    let before = scene.settings();
    let bad = scene.push_file("app/kustomization.yaml", &kustomization_of(&["absent.yaml"]));
    let message = scene.until_failed_at("app", &bad, "BuildFailed").await;
    for token in ["again", "and again"] {
        scene.world.reconcile("app", token).await;
    }
    scene.upstream.git(&["revert", "--no-edit", "HEAD"]);
    let mended = scene.push_all_committed();
    scene.world.until_applied("app", &mended).await;
    scene
        .world
        .until_event(
            "app",
            &format!("Ready at main@sha1:{mended}: BuildFailed is over"),
        )
        .await;
    assert_eq!(scene.world.warnings("app"), [message]);
    assert_eq!(scene.settings(), before, "nothing was applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_value_in_which_a_variable_stands_names_it_and_where_it_is_set() {
    let scene = Scene::live().await;
    let bad = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: default}\nspec: {replicas: \"${replicas}\"}\n";
    refused_and_mended(
        &scene,
        "app/web.yaml",
        bad,
        "ReconciliationFailed",
        "Deployment/default/web (app/web.yaml:1) dry-run failed: failed to create typed patch object (default/web; apps/v1, Kind=Deployment): .spec.replicas: expected numeric (int or float), got string; `${replicas}` was not replaced: the Kustomization has no variables; set replicas in spec.postBuild.substitute",
    )
    .await;
}
