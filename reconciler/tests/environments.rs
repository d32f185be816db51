//! What this project itself deploys: `apps/` and `clusters/`, as the demo and every scenario use them.
//!
//! `fixtures/overlays/` is what `kustomize build` 5.8.1 makes of them, written by `fixtures/overlays/make.sh`; run it
//! after a change of `apps/` or `clusters/`.
#![expect(clippy::unwrap_used, reason = "a broken fixture ends the test")]

use std::path::{Path, PathBuf};

use kustomize_rs::fs::DirectoryFs;
use kustomize_rs::{Options, Reorder, build, to_yaml};
use serde_json::Value;

const ENVIRONMENTS: [&str; 4] = ["dev", "prerelease", "staging", "production"];
const FOLDERS: [&str; 8] = [
    "apps/shop/overlays/dev",
    "apps/shop/overlays/prerelease",
    "apps/shop/overlays/staging",
    "apps/shop/overlays/production",
    "clusters/demo",
    "clusters/demo/platform",
    "clusters/production",
    "clusters/production/platform",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn built(folder: &str) -> String {
    let mut options = Options::default();
    options.reorder = Reorder::Legacy;
    let resources =
        build(&DirectoryFs, &root().join(folder), &options).unwrap_or_else(|error| panic!("{error}"));
    to_yaml(&resources).unwrap()
}

fn objects(folder: &str) -> Vec<Value> {
    built(folder)
        .split("\n---\n")
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .collect()
}

fn overlay(environment: &str) -> Vec<Value> {
    objects(&format!("apps/shop/overlays/{environment}"))
}

/// Pod templates of the workloads among the objects.
fn pods(objects: &[Value]) -> Vec<&Value> {
    objects
        .iter()
        .map(|object| &object["spec"]["template"]["spec"])
        .filter(|spec| spec.is_object())
        .collect()
}

#[test]
fn every_folder_builds_to_the_bytes_that_kustomize_builds() {
    for folder in FOLDERS {
        let golden = root()
            .join("reconciler/tests/fixtures/overlays")
            .join(folder.replace('/', "-") + ".yaml");
        let golden = std::fs::read_to_string(golden).unwrap();
        assert!(
            built(folder) == golden,
            "{folder} differs: did it change? run fixtures/overlays/make.sh"
        );
    }
}

#[test]
fn every_pod_runs_without_root_privileges_or_a_writable_root() {
    for environment in ENVIRONMENTS {
        let objects = overlay(environment);
        assert_eq!(pods(&objects).len(), 3);
        for pod in pods(&objects) {
            assert_eq!(
                pod["securityContext"]["runAsNonRoot"], true,
                "{environment}: {pod}"
            );
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(pod["automountServiceAccountToken"], false);
            for container in pod["containers"].as_array().unwrap() {
                let security = &container["securityContext"];
                assert_eq!(
                    security["readOnlyRootFilesystem"], true,
                    "{environment}: {container}"
                );
                assert_eq!(security["allowPrivilegeEscalation"], false);
                assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
            }
        }
    }
}

#[test]
fn every_container_has_probes_a_memory_limit_and_an_image_of_a_stated_version() {
    for environment in ENVIRONMENTS {
        let objects = overlay(environment);
        for pod in pods(&objects) {
            for container in pod["containers"].as_array().unwrap() {
                assert!(container["readinessProbe"].is_object() && container["livenessProbe"].is_object());
                assert!(
                    container["resources"]["limits"]["memory"].is_string(),
                    "{environment}: {container}"
                );
                let image = container["image"].as_str().unwrap();
                let (_, tag) = image
                    .rsplit_once(':')
                    .unwrap_or_else(|| panic!("{image} has no tag"));
                assert_ne!(tag, "latest");
            }
        }
    }
}

#[test]
fn secrets_are_in_git_encrypted_only() {
    for folder in FOLDERS {
        for secret in objects(folder).iter().filter(|object| object["kind"] == "Secret") {
            for section in ["data", "stringData"] {
                for (key, value) in secret[section].as_object().into_iter().flatten() {
                    let value = value.as_str().unwrap();
                    assert!(
                        value.starts_with("ENC[AES256_GCM,"),
                        "{folder}: {key} is not encrypted"
                    );
                }
            }
            assert!(secret["sops"]["mac"].is_string());
        }
    }
}

#[test]
fn the_demo_cluster_runs_every_environment_from_its_branch_as_its_own_account() {
    let cluster = objects("clusters/demo");
    let platform = objects("clusters/demo/platform");
    let of_kind = |objects: &'_ [Value], kind: &str, name: &str| {
        let found = objects
            .iter()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind}/{name}")).clone()
    };
    for environment in ENVIRONMENTS {
        let name = format!("shop-{environment}");
        let source = of_kind(&cluster, "GitRepository", &name);
        assert_eq!(source["spec"]["ref"]["branch"], environment);
        let kustomization = of_kind(&cluster, "Kustomization", &name);
        assert_eq!(kustomization["spec"]["sourceRef"]["name"], name.as_str());
        let path = kustomization["spec"]["path"].as_str().unwrap();
        assert!(root().join(path).join("kustomization.yaml").is_file(), "{path}");
        let account = kustomization["spec"]["serviceAccountName"].as_str().unwrap();
        assert_eq!(
            of_kind(&platform, "ServiceAccount", account)["metadata"]["namespace"],
            "flux-system"
        );
        of_kind(&platform, "Namespace", &name);
        // Everything of an environment is in the one namespace that its account may change.
        for object in overlay(environment) {
            assert_eq!(object["metadata"]["namespace"], name.as_str(), "{object}");
        }
    }
}

#[test]
fn a_clusters_own_description_is_never_applied() {
    for name in ["demo", "production"] {
        let text = std::fs::read_to_string(root().join(format!("clusters/{name}/cluster.yaml"))).unwrap();
        let cluster: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(
            (&cluster["kind"], &cluster["metadata"]["name"]),
            (&"Cluster".into(), &name.into())
        );
        assert!(
            objects(&format!("clusters/{name}"))
                .iter()
                .all(|object| object["kind"] != "Cluster")
        );
    }
}
