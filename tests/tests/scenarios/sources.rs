//! GitRepositories: what they follow, how they authenticate, and the artifact that others read.

use serde_json::{Value, json};
use tests::World;
use tests::world::{KUSTOMIZE_API, NAMESPACE, SOURCE_API, condition, is_ready, program};

use crate::git_server::{Authority, GitServer, HostKey, SshServer, Upstream, UserKey};
use crate::{Scene, config_map};

fn revision(object: &Value) -> &str {
    object
        .pointer("/status/artifact/revision")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Waits until a GitRepository is ready at a revision.
async fn until_revision(world: &World, name: &str, wanted: &str) -> Value {
    world
        .until(SOURCE_API, "GitRepository", NAMESPACE, name, wanted, |object| {
            revision(object) == wanted && is_ready(object)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_reference_gives_the_revision_that_flux_writes() {
    let mut scene = Scene::new().await;
    let first = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    scene.upstream.git(&["tag", "v1.0.0"]);
    let second = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "two"));
    scene.upstream.git(&["tag", "-a", "-m", "the second", "v1.1.0"]);
    let third = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "three"));
    scene.upstream.git(&["update-ref", "refs/pull/7/head", &second]);
    let world = &mut scene.world;
    world.start().await;
    for (name, reference, wanted) in [
        ("branch", json!({"branch": "main"}), format!("main@sha1:{third}")),
        ("tag", json!({"tag": "v1.0.0"}), format!("v1.0.0@sha1:{first}")),
        ("semver", json!({"semver": "~1"}), format!("v1.1.0@sha1:{second}")),
        (
            "name",
            json!({"name": "refs/pull/7/head"}),
            format!("refs/pull/7/head@sha1:{second}"),
        ),
        ("commit", json!({"commit": first}), format!("sha1:{first}")),
        (
            "commit-of-branch",
            json!({"branch": "main", "commit": first}),
            format!("main@sha1:{first}"),
        ),
        (
            "precedence",
            json!({"branch": "main", "tag": "v1.0.0", "semver": ">=1.1.0"}),
            format!("v1.1.0@sha1:{second}"),
        ),
    ] {
        world.git_repository_with(name, &json!({"ref": reference}));
        until_revision(world, name, &wanted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_tag_in_the_range_is_taken() {
    let mut scene = Scene::new().await;
    let first = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    scene.upstream.git(&["tag", "v1.0.0"]);
    scene
        .world
        .git_repository_with("app", &json!({"ref": {"semver": "1.x"}}));
    scene.world.start().await;
    until_revision(&scene.world, "app", &format!("v1.0.0@sha1:{first}")).await;
    let second = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "two"));
    scene.upstream.git(&["tag", "v1.2.0"]);
    scene.world.poll("app", "1");
    until_revision(&scene.world, "app", &format!("v1.2.0@sha1:{second}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_from_a_secret_is_sent() {
    let mut scene = Scene::new().await;
    let commit = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    scene.server.require("Bearer planted-token-of-a-test");
    scene
        .world
        .secret("git", &[("bearerToken", "planted-token-of-a-test")]);
    scene.world.git_repository_with(
        "app",
        &json!({"secretRef": {"name": "git"}, "ref": {"branch": "main"}}),
    );
    scene.world.start().await;
    scene.world.until_fetched("app", &commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_and_a_private_authority_from_a_secret_are_used() {
    let authority = Authority::new();
    let upstream = Upstream::empty();
    let commit = upstream.commit("app/config.yaml", &config_map("settings", "one"));
    let server = GitServer::https(upstream.root(), &authority).await;
    // git:right
    server.require("Basic Z2l0OnJpZ2h0");
    let mut world = World::new(tempfile::tempdir().unwrap(), server.url("repo.git")).await;
    world.secret(
        "git",
        &[
            ("username", "git"),
            ("password", "right"),
            ("ca.crt", &authority.pem()),
        ],
    );
    world.git_repository_with(
        "app",
        &json!({"secretRef": {"name": "git"}, "ref": {"branch": "main"}}),
    );
    world.start().await;
    world.until_fetched("app", &commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_a_passphrase_and_a_known_host_from_a_secret_are_used() {
    let user = UserKey::generate("ed25519", "a passphrase");
    let upstream = Upstream::empty();
    let commit = upstream.commit("app/config.yaml", &config_map("settings", "one"));
    let server = SshServer::start(HostKey::Ecdsa, &[&user]);
    let mut world = World::new(tempfile::tempdir().unwrap(), server.url(&upstream.git_dir())).await;
    world.secret(
        "git",
        &[
            ("identity", &user.private),
            ("password", "a passphrase"),
            ("known_hosts", &server.known_hosts()),
        ],
    );
    world.git_repository_with(
        "app",
        &json!({"secretRef": {"name": "git"}, "ref": {"branch": "main"}}),
    );
    world.start().await;
    world.until_fetched("app", &commit).await;
}

/// A scene whose artifacts are served where the status says.
async fn scene_with_artifacts() -> Scene {
    let mut scene = Scene::new().await;
    scene.world = scene.world.telling_artifacts();
    scene
}

/// Downloads a URL into a file, as another controller would.
async fn download(url: &str, to: &std::path::Path) {
    use http_body_util::BodyExt as _;
    let uri: http::Uri = url.parse().unwrap();
    let stream = tokio::net::TcpStream::connect(uri.authority().unwrap().as_str())
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(uri.path())
        .header("host", uri.authority().unwrap().as_str())
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200, "{url}");
    std::fs::write(to, response.into_body().collect().await.unwrap().to_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_artifact_is_served_at_its_url_with_the_digest_and_the_size_that_the_status_says() {
    let mut scene = scene_with_artifacts().await;
    scene
        .upstream
        .write("app/config.yaml", config_map("settings", "one"));
    scene.upstream.write("app/run.sh", "#!/bin/sh\n");
    scene.upstream.write("docs/picture.png", "left out by default");
    let commit = scene.upstream.commit_all("Begin");
    scene.world.git_repository("app", "main");
    scene.world.start().await;
    let artifact = scene.world.until_fetched("app", &commit).await["status"]["artifact"].clone();
    assert_eq!(
        artifact["path"],
        format!("gitrepository/{NAMESPACE}/app/{commit}.tar.gz")
    );
    let directory = scene.world.directory().to_owned();
    let file = directory.join("artifact.tar.gz");
    download(artifact["url"].as_str().unwrap(), &file).await;

    let sum = program(&directory, "sha256sum", &["artifact.tar.gz"]);
    let digest = format!("sha256:{}", sum.split_whitespace().next().unwrap());
    assert_eq!(artifact["digest"], digest);
    assert_eq!(artifact["size"], std::fs::metadata(&file).unwrap().len());
    let listing = program(
        &directory,
        "tar",
        &["--list", "--verbose", "--gzip", "--file", "artifact.tar.gz"],
    );
    let files = listing.lines().filter(|line| line.starts_with('-'));
    let mut files: Vec<&str> = files.filter_map(|line| line.split(' ').next_back()).collect();
    files.sort_unstable();
    assert_eq!(files, ["app/config.yaml", "app/run.sh"]);
    program(
        &directory,
        "tar",
        &["--extract", "--gzip", "--file", "artifact.tar.gz"],
    );
    assert_eq!(
        std::fs::read_to_string(directory.join("app/config.yaml")).unwrap(),
        config_map("settings", "one")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_artifact_keeps_its_digest_over_a_restart_and_a_lost_cache() {
    let mut scene = scene_with_artifacts().await;
    let commit = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    scene.world.git_repository("app", "main");
    scene.world.start().await;
    let before = scene.world.until_fetched("app", &commit).await["status"].clone();
    scene.world.stop().await;
    std::fs::remove_dir_all(scene.world.directory().join("storage")).unwrap();
    scene.world.start().await;
    scene.world.poll("app", "after the restart");
    let after = scene
        .world
        .until(
            SOURCE_API,
            "GitRepository",
            NAMESPACE,
            "app",
            "looked at",
            |object| object["status"]["lastHandledReconcileAt"] == "after the restart",
        )
        .await["status"]
        .clone();
    for field in ["digest", "lastUpdateTime", "path", "revision", "size"] {
        assert_eq!(after["artifact"][field], before["artifact"][field], "{field}");
    }
    let file = scene.world.directory().join("artifact.tar.gz");
    download(after["artifact"]["url"].as_str().unwrap(), &file).await;
    let sum = program(scene.world.directory(), "sha256sum", &["artifact.tar.gz"]);
    assert_eq!(
        after["artifact"]["digest"],
        format!("sha256:{}", sum.split_whitespace().next().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_its_cache_fetches_no_pack_again() {
    let mut scene = Scene::new().await;
    let commit = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    scene.world.until_applied("app", &commit).await;
    scene.world.stop().await;
    let before = scene.settings();
    scene.server.take_requests();
    scene.world.start().await;
    scene
        .world
        .request("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "app", "1");
    scene
        .world
        .until(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            NAMESPACE,
            "app",
            "handled",
            |object| object["status"]["lastHandledReconcileAt"] == "1" && is_ready(object),
        )
        .await;
    let requests = scene.server.take_requests();
    let expected = ["GET /repo.git/info/refs", "POST /repo.git/git-upload-pack"];
    assert_eq!(
        requests, expected,
        "references are listed, and no pack is fetched"
    );
    assert_eq!(scene.settings(), before, "nothing is written again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_stays_when_the_cache_is_lost_and_the_server_is_away() {
    let mut scene = Scene::live().await;
    let before = scene.settings();
    scene.world.stop().await;
    std::fs::remove_dir_all(scene.world.directory().join("storage")).unwrap();
    scene.server.behave(crate::git_server::Behaviour::Answer {
        status: 503,
        content_type: "text/plain",
        body: Vec::new(),
    });
    scene.world.start().await;
    scene
        .world
        .until_told(SOURCE_API, "GitRepository", "app", "GitOperationFailed")
        .await;
    assert_eq!(scene.settings(), before);
    scene.server.behave(crate::git_server::Behaviour::Serve);
    let next = scene.push_file("app/config.yaml", &config_map("settings", "two"));
    scene.world.until_applied("app", &next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_source_stays_where_it_is_until_it_is_resumed() {
    let mut scene = Scene::live().await;
    let first = scene.upstream.head();
    scene.world.until_fetched("app", &first).await;
    scene
        .world
        .git_repository_with("app", &json!({"ref": {"branch": "main"}, "suspend": true}));
    let second = scene.push_file("app/config.yaml", &config_map("settings", "two"));
    // A restart shows that it looks at nothing else even then.
    scene.world.stop().await;
    scene.world.start().await;
    scene
        .world
        .kustomization("copy", "app", "./app", &json!({"namePrefix": "copy-"}));
    scene.world.until_applied("copy", &first).await;
    assert_eq!(scene.world.value("settings", "key").unwrap(), "one");
    let suspended = scene.world.get_source("app");
    assert_ne!(
        suspended["status"]["lastHandledReconcileAt"], second,
        "a request is not handled while suspended"
    );
    scene.world.git_repository("app", "main");
    scene.world.until_applied("app", &second).await;
    assert_eq!(scene.world.value("settings", "key").unwrap(), "two");
    let source = scene.world.until_fetched("app", &second).await;
    assert_eq!(source["status"]["lastHandledReconcileAt"], second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_suspended_from_the_start_is_not_fetched() {
    let mut scene = Scene::new().await;
    let commit = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    scene
        .world
        .git_repository_with("app", &json!({"ref": {"branch": "main"}, "suspend": true}));
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    let told = scene
        .world
        .until(
            KUSTOMIZE_API,
            "Kustomization",
            NAMESPACE,
            "app",
            "told",
            |object| {
                condition(object, "Ready").is_some_and(|ready| {
                    ready["message"]
                        == "Source 'GitRepository/flux-system/app' has no artifact yet: it is suspended"
                })
            },
        )
        .await;
    assert!(!is_ready(&told));
    assert_eq!(scene.server.take_requests(), Vec::<String>::new());
    scene.world.git_repository("app", "main");
    scene.world.until_applied("app", &commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_kustomization_changes_nothing_and_runs_when_it_is_resumed() {
    let scene = Scene::live().await;
    scene
        .world
        .kustomization("app", "app", "./app", &json!({"suspend": true}));
    let second = scene.push_file("app/config.yaml", &config_map("settings", "two"));
    scene.world.until_fetched("app", &second).await;
    scene
        .world
        .edit(
            "v1",
            "ConfigMap",
            "default",
            "settings",
            &json!({"data": {"key": "edited"}}),
        )
        .await;
    scene
        .world
        .kustomization("other", "app", "./app", &json!({"namePrefix": "other-"}));
    scene.world.until_applied("other", &second).await;
    assert_eq!(scene.world.value("settings", "key").unwrap(), "edited");
    scene
        .world
        .kustomization("app", "app", "./app", &json!({"suspend": false}));
    scene.world.until_applied("app", &second).await;
    assert_eq!(scene.world.value("settings", "key").unwrap(), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_22_a_request_is_handled_on_success_and_on_failure_and_not_while_suspended() {
    let scene = Scene::live().await;
    let world = &scene.world;
    let api = "kustomize.toolkit.fluxcd.io/v1";
    let handled = async |token: &str| {
        world
            .until(api, "Kustomization", NAMESPACE, "app", "handled", |object| {
                object["status"]["lastHandledReconcileAt"] == token
            })
            .await
    };
    world.request(api, "Kustomization", "app", "any text will do");
    assert!(is_ready(&handled("any text will do").await));

    let bad = scene.push_file("app/config.yaml", "kind: {\n");
    scene.until_failed_at("app", &bad, "BuildFailed").await;
    world.request(api, "Kustomization", "app", "while it fails");
    assert!(!is_ready(&handled("while it fails").await));

    // What blocks a run answers a request as well: whoever asked waits for the answer.
    world.kustomization("app", "app", "./app", &json!({"dependsOn": [{"name": "absent"}]}));
    world.until_failed("app", "DependencyNotReady").await;
    world.request(api, "Kustomization", "app", "while it is blocked");
    handled("while it is blocked").await;

    world.kustomization("app", "app", "./app", &json!({"suspend": true, "dependsOn": []}));
    world.request(api, "Kustomization", "app", "while suspended");
    world.kustomization("other", "app", "./absent", &json!({}));
    world.until_failed("other", "ArtifactFailed").await;
    assert_eq!(
        world.get_kustomization("app")["status"]["lastHandledReconcileAt"],
        "while it is blocked"
    );
    let mended = scene.push_file("app/config.yaml", &config_map("settings", "two"));
    world.kustomization("app", "app", "./app", &json!({"suspend": false}));
    world.until_applied("app", &mended).await;
    handled("while suspended").await;
}
