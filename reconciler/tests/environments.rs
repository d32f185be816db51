//! What this project itself deploys: `apps/` and `clusters/`, as the demo and every scenario use them.
//!
//! `fixtures/overlays/` is what `kustomize build` 5.8.1 makes of them, written by `fixtures/overlays/make.sh`; run it
//! after a change of `apps/` or `clusters/`.
#![expect(clippy::unwrap_used, reason = "a broken fixture ends the test")]

use std::path::{Path, PathBuf};

use kustomize_rs::fs::{DirectoryFs, MemoryFs};
use kustomize_rs::{Options, Reorder, build, to_yaml};
use reconciler::render::sops::Keyring;
use reconciler::render::substitute::Substitution;
use reconciler::render::{Request, render};
use reconciler::report::redact::{MASK, Redactor};
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

/// The trees `apps/` and `clusters/` as a commit has them.
fn tree() -> MemoryFs {
    fn add(fs: MemoryFs, root: &Path, folder: &Path) -> MemoryFs {
        std::fs::read_dir(root.join(folder))
            .unwrap()
            .fold(fs, |fs, entry| {
                let path = folder.join(entry.unwrap().file_name());
                if root.join(&path).is_dir() {
                    return add(fs, root, &path);
                }
                fs.with_file(
                    Path::new("/").join(&path),
                    std::fs::read(root.join(&path)).unwrap(),
                )
            })
    }
    let fs = add(MemoryFs::new(), &root(), Path::new("apps"));
    add(fs, &root(), Path::new("clusters"))
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
fn the_demo_key_decrypts_the_secrets_of_every_environment_and_their_values_are_masked() {
    let key = std::fs::read(root().join("clusters/demo/sops-demo.agekey")).unwrap();
    let data = [("sops-demo.agekey".to_owned(), key)].into();
    let keyring = Keyring::from_secret("Secret/flux-system/sops-age", &data).unwrap();
    let tree = tree();
    for environment in ENVIRONMENTS {
        let path = format!("./apps/shop/overlays/{environment}");
        let request = Request {
            decryption: Some(&keyring),
            ..Request::new(&tree, &path)
        };
        let rendered = render(&request).unwrap();
        let secret = rendered
            .objects
            .iter()
            .find(|object| object.id.kind == "Secret")
            .unwrap();
        let redactor = Redactor::default();
        redactor.learn(&path, rendered.secrets.iter());
        for key in ["api-password", "postgres-password"] {
            let password = secret.value["stringData"][key].as_str().unwrap();
            assert!(password.starts_with(&format!("demo-{environment}-")));
            assert_eq!(
                redactor.mask(&format!("{key} is {password}")),
                format!("{key} is {MASK}")
            );
        }
    }
}

#[test]
fn a_file_mode_written_in_octal_is_applied_as_the_number_it_is() {
    let tree = tree();
    let rendered = render(&Request::new(&tree, "apps/shop/base")).unwrap();
    let database = rendered
        .objects
        .iter()
        .find(|object| object.id.kind == "StatefulSet")
        .unwrap();
    let volumes = database.value["spec"]["template"]["spec"]["volumes"]
        .as_array()
        .unwrap();
    let init = volumes.iter().find(|volume| volume["name"] == "init").unwrap();
    assert_eq!(init["configMap"]["defaultMode"], 0o555);
}

#[test]
fn a_cluster_is_pointed_at_its_repository_by_one_variable() {
    let tree = tree();
    let rendered = |inline: &[(&str, &str)]| {
        let inline = inline
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let substitution = Some(Substitution {
            inline,
            strict: true,
            ..Substitution::default()
        });
        render(&Request {
            substitution,
            ..Request::new(&tree, "./clusters/demo")
        })
        .map_err(|error| error.to_string())
    };
    let url = "http://127.0.0.1:8080/shop.git";
    let objects = rendered(&[("git_url", url)]).unwrap().objects;
    let sources: Vec<&Value> = objects
        .iter()
        .filter(|object| object.id.kind == "GitRepository")
        .map(|object| &object.value["spec"])
        .collect();
    assert_eq!(sources.len(), ENVIRONMENTS.len());
    for source in sources {
        assert_eq!((&source["url"], &source["interval"]), (&url.into(), &"1m".into()));
    }
    let error = rendered(&[("git_interval", "1s")]).unwrap_err();
    assert!(error.contains("git_url"), "{error}");
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
