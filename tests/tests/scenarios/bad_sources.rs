//! A source that cannot be fetched is told by a condition and an Event; what was applied from it stays, and it
//! recovers by itself when the cause is gone.

use serde_json::json;
use tests::World;
use tests::world::{SOURCE_API, program};

use crate::git_server::{Behaviour, GitServer, HostKey, SshServer, Upstream, UserKey};
use crate::{Scene, config_map};

/// What a GitRepository says, with the address of its server taken out.
async fn told(scene: &Scene, reason: &str) -> String {
    let message = scene
        .world
        .until_told(SOURCE_API, "GitRepository", "app", reason)
        .await;
    message.replace(scene.world.url(), "URL")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_branch_is_told_with_the_branches_there_are() {
    let scene = Scene::live().await;
    let before = scene.settings();
    scene.world.git_repository("app", "staging");
    assert_eq!(
        told(&scene, "GitOperationFailed").await,
        "no branch 'staging' in 'URL'; there are 'main'"
    );
    assert_eq!(scene.settings(), before);
    scene.upstream.git(&["checkout", "-q", "-b", "staging"]);
    let mended = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "two"));
    scene.world.until_applied("app", &mended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_host_is_told_and_what_is_applied_stays() {
    let scene = Scene::live().await;
    let before = scene.settings();
    // The port was free a moment ago, and nothing listens on it.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    scene
        .world
        .git_repository_with("app", &json!({"url": format!("http://{free}/repo.git")}));
    let message = scene
        .world
        .until_told(SOURCE_API, "GitRepository", "app", "GitOperationFailed")
        .await;
    assert_eq!(
        message.replace(&free.to_string(), "HOST"),
        "cannot connect to HOST: connection refused; check the host, the port, DNS and network policies: client error (Connect): tcp connect error: Connection refused (os error 111)"
    );
    assert_eq!(scene.settings(), before);
    scene.world.git_repository("app", "main");
    let mended = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "two"));
    scene.world.poll("app", "1");
    scene.world.until_applied("app", &mended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomization_of_a_source_that_never_came_says_why() {
    let mut scene = Scene::new().await;
    scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    scene.world.git_repository("app", "staging");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    told(&scene, "GitOperationFailed").await;
    let message = scene.world.until_failed("app", "ArtifactFailed").await;
    assert_eq!(
        message.replace(scene.world.url(), "URL"),
        "Source 'GitRepository/flux-system/app' has no artifact yet: no branch 'staging' in 'URL'; there are 'main'"
    );
    // The source has warned of it, under the same name; the Kustomization only waits, and has said so by then.
    scene.world.until_event("app", &message).await;
    assert_eq!(scene.world.warnings("app").len(), 1);
    scene.world.git_repository("app", "main");
    scene.world.until_applied("app", &scene.upstream.head()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kustomization_of_a_source_that_does_not_exist_says_so_after_a_moment_and_starts_when_it_does() {
    let mut scene = Scene::new().await;
    let commit = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    let message = scene.world.until_failed("app", "ArtifactFailed").await;
    assert_eq!(
        message,
        "Source 'GitRepository/flux-system/app' not found; create it, or correct spec.sourceRef"
    );
    scene.world.pass(std::time::Duration::from_secs(60));
    scene.world.until_event("app", &message).await;
    assert_eq!(scene.world.warnings("app"), [message]);
    scene.world.git_repository("app", "main");
    scene.world.until_applied("app", &commit).await;
    scene.world.until_event("app", "ArtifactFailed is over").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_comes_a_moment_after_its_kustomization_is_no_trouble() {
    let mut scene = Scene::new().await;
    let commit = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    scene.world.until_failed("app", "ArtifactFailed").await;
    scene.world.git_repository("app", "main");
    scene.world.until_applied("app", &commit).await;
    scene
        .world
        .until_event("app", "ConfigMap/default/settings created")
        .await;
    // Events are sent in the order in which they are told: whatever was told before this one is there when it is.
    scene.push_file("app/config.yaml", &config_map("settings", "two"));
    let last = "ConfigMap/default/settings configured";
    scene.world.until_event("app", last).await;
    let of_the_source = |message: &String| message.starts_with("stored artifact");
    let mut told = scene.world.events("app");
    told.retain(|message| !of_the_source(message));
    told.sort();
    assert_eq!(told, [last, "ConfigMap/default/settings created"]);
    assert_eq!(scene.world.warnings("app"), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_git_server_is_told() {
    let scene = Scene::live().await;
    let before = scene.settings();
    scene.server.behave(Behaviour::Answer {
        status: 200,
        content_type: "text/html",
        body: b"<h1>Welcome</h1>".to_vec(),
    });
    scene.world.poll("app", "1");
    assert_eq!(
        told(&scene, "GitOperationFailed").await,
        "'URL' is not a Git repository: it is an HTML page; use the URL that 'git clone' takes"
    );
    assert_eq!(scene.settings(), before);
    scene.server.behave(Behaviour::default());
    let mended = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "two"));
    scene.world.until_applied("app", &mended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_does_not_exist_is_told_and_fetched_when_its_url_is_mended() {
    let scene = Scene::live().await;
    let before = scene.settings();
    let absent = scene.server.url("absent.git");
    scene.world.git_repository_with("app", &json!({"url": absent}));
    let message = scene
        .world
        .until_told(SOURCE_API, "GitRepository", "app", "GitOperationFailed")
        .await;
    assert_eq!(
        message.replace(&absent, "URL"),
        "no repository at 'URL': the server says so (HTTP 404); check the path, and, for a private repository, that the credentials may read it (servers hide what they may not)"
    );
    assert_eq!(scene.settings(), before);
    let mended = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "two"));
    scene.world.git_repository("app", "main");
    scene.world.until_applied("app", &mended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_repository_is_told_and_its_first_commit_is_fetched() {
    let mut scene = Scene::new().await;
    scene.world.git_repository("app", "main");
    scene.world.kustomization("app", "app", "./app", &json!({}));
    scene.world.start().await;
    assert_eq!(
        told(&scene, "EmptyGitRepository").await,
        "the repository 'URL' is empty: push a first commit"
    );
    let first = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "one"));
    scene.world.until_applied("app", &first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_the_mended_secret_is_used_at_once() {
    let scene = Scene::live().await;
    let before = scene.settings();
    // git:right
    scene.server.require("Basic Z2l0OnJpZ2h0");
    scene
        .world
        .secret("git", &[("username", "git"), ("password", "wrong")]);
    scene.world.git_repository_with(
        "app",
        &json!({"ref": {"branch": "main"}, "secretRef": {"name": "git"}}),
    );
    assert_eq!(
        told(&scene, "AuthenticationFailed").await,
        "access to 'URL' was refused: the server does not accept the credentials (HTTP 403); check user name and password or token, and that they may read the repository"
    );
    assert_eq!(scene.settings(), before);
    let mended = scene
        .upstream
        .commit("app/config.yaml", &config_map("settings", "two"));
    scene
        .world
        .secret("git", &[("username", "git"), ("password", "right")]);
    scene.world.until_applied("app", &mended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_told_and_used_at_once_when_it_comes() {
    let scene = Scene::live().await;
    scene.world.git_repository_with(
        "app",
        &json!({"ref": {"branch": "main"}, "secretRef": {"name": "git"}}),
    );
    assert_eq!(
        told(&scene, "AuthenticationFailed").await,
        "secret 'flux-system/git' not found, which spec.secretRef names; create it there"
    );
    scene
        .world
        .secret("git", &[("username", "git"), ("password", "right")]);
    scene.world.until_fetched("app", &scene.upstream.head()).await;
}

/// A world whose repository is served over SSH, and is applied with this key.
struct SshScene {
    upstream: Upstream,
    server: SshServer,
    world: World,
}

impl SshScene {
    async fn live(user: &UserKey) -> Self {
        let upstream = Upstream::empty();
        let commit = upstream.commit("app/config.yaml", &config_map("settings", "one"));
        let server = SshServer::start(HostKey::Ed25519, &[user]);
        let world = World::new(tempfile::tempdir().unwrap(), server.url(&upstream.git_dir())).await;
        let spec = json!({"ref": {"branch": "main"}, "secretRef": {"name": "git"}});
        world.git_repository_with("app", &spec);
        world.kustomization("app", "app", "./app", &json!({}));
        let mut scene = Self {
            upstream,
            server,
            world,
        };
        scene.identify(user, &scene.server.known_hosts());
        scene.world.start().await;
        scene.world.until_applied("app", &commit).await;
        scene
    }

    /// Has the source use this key, and know these hosts.
    fn identify(&self, user: &UserKey, known_hosts: &str) {
        let data = [("identity", &*user.private), ("known_hosts", known_hosts)];
        self.world.secret("git", &data);
    }

    /// What the source says that is refused now, and has an Event said; what was applied is as it was before.
    async fn refused(&self, user: &UserKey, known_hosts: &str, reason: &str) -> String {
        let settings = || {
            let object = self.world.get("v1", "ConfigMap", "default", "settings");
            object.unwrap()["metadata"]["resourceVersion"].clone()
        };
        let before = settings();
        self.identify(user, known_hosts);
        let told = self
            .world
            .until_told(SOURCE_API, "GitRepository", "app", reason)
            .await;
        assert_eq!(settings(), before);
        told.replace(self.world.url(), "URL")
    }

    /// A commit is applied once the source uses this key, and knows these hosts.
    async fn mended(&self, user: &UserKey, known_hosts: &str) {
        let commit = self
            .upstream
            .commit("app/config.yaml", &config_map("settings", "two"));
        self.identify(user, known_hosts);
        self.world.until_applied("app", &commit).await;
        assert_eq!(self.world.value("settings", "key").unwrap(), "two");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_ssh_server_does_not_know_is_told_and_the_right_one_is_used_at_once() {
    let (right, wrong) = (UserKey::generate("ed25519", ""), UserKey::generate("ed25519", ""));
    let scene = SshScene::live(&right).await;
    let hosts = scene.server.known_hosts();
    let message = scene.refused(&wrong, &hosts, "AuthenticationFailed").await;
    let directory = scene.world.directory();
    std::fs::write(directory.join("wrong.pub"), &wrong.public).unwrap();
    let listed = program(directory, "ssh-keygen", &["-lf", "wrong.pub"]);
    let fingerprint = listed.split(' ').nth(1).unwrap();
    let user = program(directory, "id", &["-un"]);
    assert_eq!(
        message
            .replace(fingerprint, "KEY")
            .replace(&format!("'{user}'"), "USER"),
        "access to 'URL' was refused: the server does not accept the key KEY for user USER; add its public key as a \
         deploy key"
    );
    scene.mended(&right, &hosts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_key_is_refused_and_told_with_the_line_to_add() {
    let user = UserKey::generate("ed25519", "");
    let scene = SshScene::live(&user).await;
    let message = scene.refused(&user, "# none yet\n", "AuthenticationFailed").await;
    let line = scene.server.known_hosts();
    let mut words: Vec<&str> = line.split_whitespace().collect();
    words.truncate(3);
    assert!(
        message.contains("host key") && message.ends_with(&words.join(" ")),
        "{message}"
    );
    scene.mended(&user, &words.join(" ")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_unknown_authority_is_told_and_accepted_with_its_ca() {
    let authority = crate::git_server::Authority::new();
    let upstream = Upstream::empty();
    let commit = upstream.commit("app/config.yaml", &config_map("settings", "one"));
    let server = GitServer::https(upstream.root(), &authority).await;
    let mut world = World::new(tempfile::tempdir().unwrap(), server.url("repo.git")).await;
    world.git_repository("app", "main");
    world.start().await;
    let message = world
        .until_told(SOURCE_API, "GitRepository", "app", "GitOperationFailed")
        .await;
    let host = world
        .url()
        .trim_start_matches("https://")
        .trim_end_matches("/repo.git")
        .to_owned();
    assert_eq!(
        message.replace(&host, "HOST"),
        "the TLS certificate of HOST is not accepted: its issuer is not trusted; if it is signed by a private CA, put that CA's certificate in 'ca.crt' of the Secret"
    );
    world.secret("git", &[("ca.crt", &authority.pem())]);
    world.git_repository_with(
        "app",
        &json!({"ref": {"branch": "main"}, "secretRef": {"name": "git"}}),
    );
    world.until_fetched("app", &commit).await;
}
