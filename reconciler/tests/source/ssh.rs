//! Fetching from OpenSSH.

use reconciler::source::{Auth, Fetched, Reason, ReferenceFields, Secret, Source};

use super::git_server::{HostKey, SshServer, Upstream, UserKey};
use super::{Cache, branch, read, source};

fn auth(key: &UserKey, known_hosts: String) -> Auth {
    Auth::Ssh {
        identity: Secret::new(&*key.private),
        password: None,
        known_hosts,
    }
}

fn main_of(server: &SshServer, upstream: &Upstream, auth: Auth) -> Source {
    source(&server.url(&upstream.git_dir()), auth, branch("main"))
}

#[tokio::test]
async fn a_branch_is_fetched_with_every_kind_of_key() {
    let upstream = Upstream::with_a_commit();
    let cases = [
        (HostKey::Ed25519, UserKey::generate("ed25519", "")),
        (HostKey::Ecdsa, UserKey::generate("ecdsa", "")),
        (HostKey::Rsa, UserKey::generate("rsa", "")),
        (
            HostKey::Ed25519,
            UserKey::generate_with("rsa", "", &["-m", "PEM"]),
        ),
    ];
    for (host, key) in cases {
        let server = SshServer::start(host, &[&key]);
        let source = main_of(&server, &upstream, auth(&key, server.known_hosts()));
        let cache = Cache::new();
        let checkout = cache
            .fetch(&source)
            .await
            .unwrap_or_else(|error| panic!("{:?}: {error}", server.kind()));
        assert_eq!(
            checkout.revision().to_string(),
            format!("main@sha1:{}", upstream.head())
        );
        assert_eq!(read(&checkout, "app.yaml"), "kind: ConfigMap\n");
    }
}

#[tokio::test]
async fn polls_and_later_commits_work_in_both_versions_of_the_protocol() {
    let key = UserKey::generate("ed25519", "");
    for settings in ["AcceptEnv GIT_PROTOCOL\n", ""] {
        let upstream = Upstream::with_a_commit();
        let server = SshServer::start_with(HostKey::Ed25519, &[&key], settings);
        let source = main_of(&server, &upstream, auth(&key, server.known_hosts()));
        let cache = Cache::new();
        let checkout = cache.fetch(&source).await.unwrap();
        let polled = cache.store.fetch(&source, Some(&checkout)).await.unwrap();
        assert!(matches!(polled, Fetched::Unchanged));
        upstream.commit("app.yaml", "second\n");
        let Fetched::Changed(second) = cache.store.fetch(&source, Some(&checkout)).await.unwrap() else {
            panic!("it moved");
        };
        assert_eq!(read(&second, "app.yaml"), "second\n");
    }
}

#[tokio::test]
async fn a_commit_and_a_tag_are_fetched() {
    let upstream = Upstream::with_a_commit();
    let first = upstream.head();
    upstream.git(&["tag", "-a", "-m", "annotated", "v1.0.0"]);
    upstream.commit("b.yaml", "b");
    let key = UserKey::generate("ed25519", "");
    for settings in ["AcceptEnv GIT_PROTOCOL\n", ""] {
        let server = SshServer::start_with(HostKey::Ed25519, &[&key], settings);
        let url = server.url(&upstream.git_dir());
        for fields in [
            ReferenceFields {
                commit: Some(first.clone()),
                ..branch("main")
            },
            ReferenceFields {
                semver: Some("1.x".to_owned()),
                ..ReferenceFields::default()
            },
        ] {
            let source = source(&url, auth(&key, server.known_hosts()), fields);
            let cache = Cache::new();
            assert_eq!(cache.fetch(&source).await.unwrap().commit().to_string(), first);
        }
    }
}

#[tokio::test]
async fn a_hashed_line_of_known_hosts_is_found() {
    let upstream = Upstream::with_a_commit();
    let key = UserKey::generate("ed25519", "");
    let server = SshServer::start(HostKey::Ed25519, &[&key]);
    let lines = server.hashed_known_hosts();
    assert!(lines.starts_with("|1|"), "{lines}");
    Cache::new()
        .fetch(&main_of(&server, &upstream, auth(&key, lines)))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_unknown_host_key_is_refused_with_the_line_to_add() {
    let upstream = Upstream::with_a_commit();
    let key = UserKey::generate("ed25519", "");
    let server = SshServer::start(HostKey::Ed25519, &[&key]);
    let other = SshServer::start(HostKey::Ed25519, &[]);
    let source = main_of(&server, &upstream, auth(&key, other.known_hosts()));
    let error = Cache::new().fetch(&source).await.unwrap_err();
    let line = server
        .known_hosts()
        .split(' ')
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
        .replace(" made", "");
    let message = error.to_string();
    assert!(
        message.contains(&format!("presents ssh-ed25519 {}", server.fingerprint())),
        "{message}"
    );
    assert!(
        message.ends_with(&format!(
            "add this line to 'known_hosts' in the Secret: {}",
            line.trim()
        )),
        "{message}"
    );
    assert_eq!(
        (error.reason(), error.is_stalled()),
        (Reason::AuthenticationFailed, false)
    );
}

#[tokio::test]
async fn a_changed_host_key_is_refused() {
    let upstream = Upstream::with_a_commit();
    let key = UserKey::generate("ed25519", "");
    let server = SshServer::start(HostKey::Ed25519, &[&key]);
    let other = SshServer::start(HostKey::Ed25519, &[]);
    let host = server.known_hosts();
    let recorded = other.known_hosts();
    let lines = format!(
        "{} {}",
        host.split(' ').next().unwrap(),
        recorded.split_once(' ').unwrap().1
    );
    let error = Cache::new()
        .fetch(&main_of(&server, &upstream, auth(&key, lines)))
        .await
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("is not the recorded one: line 1 of 'known_hosts' has ssh-ed25519"),
        "{message}"
    );
    assert!(message.contains(&server.fingerprint()), "{message}");
}

#[tokio::test]
async fn a_key_that_the_server_does_not_know_is_named() {
    let upstream = Upstream::with_a_commit();
    let (known, unknown) = (UserKey::generate("ed25519", ""), UserKey::generate("ed25519", ""));
    let server = SshServer::start(HostKey::Ed25519, &[&known]);
    let source = main_of(&server, &upstream, auth(&unknown, server.known_hosts()));
    let error = Cache::new().fetch(&source).await.unwrap_err();
    assert_eq!(error.reason(), Reason::AuthenticationFailed);
    assert!(
        error
            .to_string()
            .contains("the server does not accept the key SHA256:"),
        "{error}"
    );
}

#[tokio::test]
async fn an_encrypted_key_needs_its_passphrase() {
    let upstream = Upstream::with_a_commit();
    let key = UserKey::generate_with("ed25519", "open sesame", &["-a", "1"]);
    let server = SshServer::start(HostKey::Ed25519, &[&key]);
    let with = |password: Option<&str>| {
        let auth = Auth::Ssh {
            identity: Secret::new(&*key.private),
            password: password.map(Secret::new),
            known_hosts: server.known_hosts(),
        };
        main_of(&server, &upstream, auth)
    };
    Cache::new().fetch(&with(Some("open sesame"))).await.unwrap();
    let error = Cache::new().fetch(&with(None)).await.unwrap_err().to_string();
    assert!(
        error.ends_with("'identity' is encrypted; put its passphrase into 'password' of the Secret"),
        "{error}"
    );
    let error = Cache::new()
        .fetch(&with(Some("wrong one")))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("check that 'password' is its passphrase"),
        "{error}"
    );
    assert!(!error.contains("wrong one"));
}

#[tokio::test]
async fn what_is_no_private_key_is_called_so() {
    let upstream = Upstream::with_a_commit();
    let key = UserKey::generate("ed25519", "");
    let server = SshServer::start(HostKey::Ed25519, &[&key]);
    let public = UserKey {
        private: key.public.clone(),
        public: key.public.clone(),
    };
    let error = Cache::new()
        .fetch(&main_of(&server, &upstream, auth(&public, server.known_hosts())))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("'identity' is not a private key"),
        "{error}"
    );
}

#[tokio::test]
async fn a_path_without_a_repository_is_called_so() {
    let key = UserKey::generate("ed25519", "");
    let server = SshServer::start(HostKey::Ed25519, &[&key]);
    let url = server.url(std::path::Path::new("/no/such'repo"));
    let error = Cache::new()
        .fetch(&source(&url, auth(&key, server.known_hosts()), branch("main")))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("does not appear to be a git repository"),
        "{error}"
    );
    assert!(
        error.to_string().starts_with("no repository at 'ssh://"),
        "{error}"
    );
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_called_so() {
    let key = UserKey::generate("ed25519", "");
    let auth = auth(&key, "host ssh-ed25519 AAAA".to_owned());
    let error = Cache::new()
        .fetch(&source("ssh://git@127.0.0.1:1/x.git", auth, branch("main")))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot connect to 127.0.0.1:1: connection refused; check the host, the port, DNS and network policies"
    );
}

#[tokio::test]
async fn polls_share_a_connection_and_a_new_one_is_made_when_it_is_gone() {
    let upstream = Upstream::with_a_commit();
    let key = UserKey::generate("ed25519", "");
    for settings in ["AcceptEnv GIT_PROTOCOL\n", ""] {
        let server = SshServer::start_with(HostKey::Ed25519, &[&key], settings);
        let source = main_of(&server, &upstream, auth(&key, server.known_hosts()));
        let cache = Cache::new();
        let checkout = cache.fetch(&source).await.unwrap();
        for _ in 0..3 {
            cache.store.fetch(&source, Some(&checkout)).await.unwrap();
        }
        assert_eq!(server.accepted(1).await, 1);
        // More than sshd allows at a time on one connection.
        let polls = (0..15).map(|_| cache.store.fetch(&source, Some(&checkout)));
        for polled in futures::future::join_all(polls).await {
            assert!(matches!(polled.unwrap(), Fetched::Unchanged));
        }
        let before = server.accepted(2).await;
        server.disconnect();
        cache.store.fetch(&source, Some(&checkout)).await.unwrap();
        server.accepted(before + 1).await;
    }
}

#[tokio::test]
async fn a_connection_is_not_shared_with_another_key() {
    let upstream = Upstream::with_a_commit();
    let (known, unknown) = (UserKey::generate("ed25519", ""), UserKey::generate("ed25519", ""));
    let server = SshServer::start(HostKey::Ed25519, &[&known]);
    let cache = Cache::new();
    cache
        .fetch(&main_of(&server, &upstream, auth(&known, server.known_hosts())))
        .await
        .unwrap();
    let stranger = main_of(&server, &upstream, auth(&unknown, server.known_hosts()));
    let error = cache.fetch(&stranger).await.unwrap_err();
    assert_eq!(error.reason(), Reason::AuthenticationFailed);
}
