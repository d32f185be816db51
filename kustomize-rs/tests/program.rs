//! The program as a script sees it: flags, streams, exit codes, and bases in Git repositories, which the real Git makes.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn kustomize(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kustomize-rs"))
        .args(arguments)
        .current_dir(directory)
        .env("XDG_CACHE_HOME", directory.join("cache"))
        .output()
        .unwrap()
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

/// A repository with the kustomization `app`; gives its commit.
fn repository(root: &Path) -> String {
    write(root, "repository/app/kustomization.yaml", "resources: [c.yaml]\n");
    write(root, "repository/app/c.yaml", CONFIG_MAP);
    let repository = root.join("repository");
    git(&repository, &["init", "--quiet", "--initial-branch=main"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "--quiet", "--message=first"]);
    git(&repository, &["rev-parse", "HEAD"])
}

fn overlay(root: &Path, entry: &str) {
    let text = format!("namePrefix: dev-\nresources: ['{entry}']\n");
    write(root, "overlay/kustomization.yaml", &text);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_is_built_goes_to_standard_output_and_warnings_to_standard_error() {
    let root = TempDir::new().unwrap();
    write(
        root.path(),
        "kustomization.yaml",
        "resources: [c.yaml]\ncommonLabels: {a: b}\n",
    );
    write(root.path(), "c.yaml", CONFIG_MAP);
    let output = kustomize(root.path(), &["build"]);
    assert!(output.status.success());
    assert!(text(&output.stdout).starts_with("apiVersion: v1\n"));
    assert!(text(&output.stderr).starts_with("# Warning: 'commonLabels' is deprecated."));
}

#[test]
fn a_failure_is_one_line_and_exit_code_one() {
    let root = TempDir::new().unwrap();
    write(
        root.path(),
        "kustomization.yaml",
        "resources: [c.yaml]\nnameprefx: a\n",
    );
    let output = kustomize(root.path(), &["build", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let message = text(&output.stderr);
    assert!(
        message.contains("kustomization.yaml:2:1: unknown field \"nameprefx\""),
        "{message}"
    );
    assert!(message.contains("did you mean \"namePrefix\"?"), "{message}");
}

#[test]
fn flags_that_run_programs_are_refused_with_a_reason() {
    let root = TempDir::new().unwrap();
    for flag in ["--enable-helm", "--enable-alpha-plugins", "--enable-exec"] {
        let output = kustomize(root.path(), &["build", flag]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("a build runs no programs"));
    }
}

#[test]
fn output_into_a_directory_is_one_file_per_resource() {
    let root = TempDir::new().unwrap();
    write(root.path(), "kustomization.yaml", "resources: [c.yaml]\n");
    write(root.path(), "c.yaml", CONFIG_MAP);
    std::fs::create_dir(root.path().join("out")).unwrap();
    assert!(kustomize(root.path(), &["build", "-o", "out"]).status.success());
    assert!(root.path().join("out/v1_configmap_c.yaml").is_file());
}

#[test]
fn resources_of_several_namespaces_are_written_into_files_that_name_them() {
    let root = TempDir::new().unwrap();
    let resource = |api: &str, kind: &str, metadata: &str| {
        format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{{metadata}}}\n---\n")
    };
    let resources = [
        resource("v1", "ConfigMap", "name: One"),
        resource("apps/v1", "Deployment", "name: web, namespace: Live"),
        resource("v1", "Namespace", "name: live, namespace: ignored"),
    ];
    write(root.path(), "kustomization.yaml", "resources: [r.yaml]\n");
    write(root.path(), "r.yaml", &resources.concat());
    std::fs::create_dir(root.path().join("out")).unwrap();
    assert!(kustomize(root.path(), &["build", "-o", "out"]).status.success());
    let files = std::fs::read_dir(root.path().join("out")).unwrap();
    let mut files: Vec<_> = files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        [
            "default_v1_configmap_one.yaml",
            "live_apps_v1_deployment_web.yaml",
            "v1_namespace_live.yaml"
        ]
    );
}

#[test]
fn a_base_in_a_repository_is_fetched_and_then_found_by_its_commit() {
    let root = TempDir::new().unwrap();
    let commit = repository(root.path());
    let repository = root.path().join("repository");
    overlay(
        root.path(),
        &format!("file://{}//app?ref=main", repository.display()),
    );
    let first = kustomize(root.path(), &["build", "overlay"]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(text(&first.stdout).contains("name: dev-c"));

    overlay(
        root.path(),
        &format!("file://{}//app?ref={commit}", repository.display()),
    );
    std::fs::remove_dir_all(&repository).unwrap();
    let second = kustomize(root.path(), &["build", "overlay"]);
    assert_eq!(
        text(&second.stdout),
        text(&first.stdout),
        "{}",
        text(&second.stderr)
    );
}

#[test]
fn the_directory_to_build_can_be_in_a_repository() {
    let root = TempDir::new().unwrap();
    repository(root.path());
    let url = format!("file://{}//app", root.path().join("repository").display());
    let output = kustomize(root.path(), &["build", &url]);
    assert!(
        text(&output.stdout).contains("name: c"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_base_in_a_repository_stays_in_it() {
    let root = TempDir::new().unwrap();
    write(
        root.path(),
        "repository/app/kustomization.yaml",
        "resources: [../../../../outside]\n",
    );
    write(root.path(), "outside/kustomization.yaml", "resources: []\n");
    let repository = root.path().join("repository");
    git(&repository, &["init", "--quiet"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "--quiet", "--message=first"]);
    overlay(root.path(), &format!("file://{}//app", repository.display()));
    // The way out of the cache leads to the same directory as that out of the repository would.
    let cache = root.path().join("cache/kustomize-rs");
    write(
        &cache,
        "outside/kustomization.yaml",
        "configMapGenerator: [{name: a}]\n",
    );
    let output = kustomize(root.path(), &["build", "overlay"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("is outside of the repository"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_repository_that_is_not_there_is_named_without_the_password() {
    let root = TempDir::new().unwrap();
    overlay(root.path(), "https://me:secret@127.0.0.1:1/o/r?ref=v1");
    let output = kustomize(root.path(), &["build", "overlay"]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(
        message.contains("https://***@127.0.0.1:1/o/r: git ls-remote"),
        "{message}"
    );
}
