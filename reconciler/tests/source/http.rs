//! References, polls and credentials over HTTP and HTTPS.

use base64::Engine as _;
use reconciler::source::{Auth, ClientCertificate, Fetched, Proxy, Reason, ReferenceFields, Secret};

use super::git_server::{Authority, Behaviour, GitServer, TunnelProxy, Upstream};
use super::{Cache, basic, branch, fetch, main_of, noise, read, served, source};

#[tokio::test]
async fn a_branch_is_fetched_and_its_files_are_read() {
    let (upstream, server) = served().await;
    let cache = Cache::new();
    let checkout = cache.fetch(&main_of(&server)).await.unwrap();
    assert_eq!(
        checkout.revision().to_string(),
        format!("main@sha1:{}", upstream.head())
    );
    assert_eq!(checkout.subject(), "Change app.yaml");
    assert_eq!(read(&checkout, "app.yaml"), "kind: ConfigMap\n");
}

#[tokio::test]
async fn every_kind_of_reference_is_resolved() {
    for behaviour in [Behaviour::Serve, Behaviour::OldProtocol] {
        let (upstream, server) = served().await;
        server.behave(behaviour);
        let first = upstream.head();
        upstream.git(&["tag", "v1.0.0"]);
        upstream.git(&["tag", "-a", "-m", "annotated", "v1.1.0"]);
        let second = upstream.commit("b.yaml", "b");
        upstream.git(&["tag", "v2.0.0-rc.1"]);
        upstream.git(&["update-ref", "refs/pull/7/head", &first]);

        let some = |text: &str| Some(text.to_owned());
        let none = ReferenceFields::default;
        let cases = [
            (branch("main"), format!("main@sha1:{second}")),
            (
                ReferenceFields {
                    tag: some("v1.0.0"),
                    ..none()
                },
                format!("v1.0.0@sha1:{first}"),
            ),
            (
                ReferenceFields {
                    tag: some("v1.1.0"),
                    ..none()
                },
                format!("v1.1.0@sha1:{first}"),
            ),
            (
                ReferenceFields {
                    semver: some(">=1.0.0"),
                    ..none()
                },
                format!("v1.1.0@sha1:{first}"),
            ),
            (
                ReferenceFields {
                    semver: some(">=1.0.0-0"),
                    ..none()
                },
                format!("v2.0.0-rc.1@sha1:{second}"),
            ),
            (
                ReferenceFields {
                    name: some("refs/pull/7/head"),
                    ..none()
                },
                format!("refs/pull/7/head@sha1:{first}"),
            ),
            (
                ReferenceFields {
                    commit: some(&second),
                    ..none()
                },
                format!("sha1:{second}"),
            ),
            (
                ReferenceFields {
                    commit: some(&first),
                    ..branch("main")
                },
                format!("main@sha1:{first}"),
            ),
        ];
        for (fields, expected) in cases {
            let source = source(&server.url("repo.git"), Auth::None, fields.clone());
            let cache = Cache::new();
            let checkout = cache
                .fetch(&source)
                .await
                .unwrap_or_else(|error| panic!("{fields:?}: {error}"));
            assert_eq!(checkout.revision().to_string(), expected);
            assert_eq!(read(&checkout, "app.yaml"), "kind: ConfigMap\n");
        }
    }
}

#[tokio::test]
async fn an_unchanged_poll_is_exactly_one_request_on_the_same_connection() {
    for behaviour in [Behaviour::Serve, Behaviour::OldProtocol] {
        let (_upstream, server) = served().await;
        server.behave(behaviour);
        let cache = Cache::new();
        let source = main_of(&server);
        let checkout = cache.fetch(&source).await.unwrap();
        let connections = server.connections();
        server.take_requests();
        for _ in 0..3 {
            let polled = cache.store.fetch(&source, Some(&checkout)).await.unwrap();
            assert!(matches!(polled, Fetched::Unchanged));
            assert_eq!(server.take_requests().len(), 1);
        }
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn a_commit_that_is_held_is_polled_without_any_request() {
    let (upstream, server) = served().await;
    let cache = Cache::new();
    let fields = ReferenceFields {
        commit: Some(upstream.head()),
        ..ReferenceFields::default()
    };
    let source = source(&server.url("repo.git"), Auth::None, fields);
    let checkout = cache.fetch(&source).await.unwrap();
    server.take_requests();
    assert!(matches!(
        cache.store.fetch(&source, Some(&checkout)).await.unwrap(),
        Fetched::Unchanged
    ));
    assert!(server.take_requests().is_empty());
}

#[tokio::test]
async fn a_new_commit_is_fetched_with_what_is_new_only() {
    for behaviour in [Behaviour::Serve, Behaviour::OldProtocol] {
        let (upstream, server) = served().await;
        server.behave(behaviour);
        // Does not compress.
        upstream.write("large.bin", noise(800_000));
        upstream.commit_all("large");
        let cache = Cache::new();
        let source = main_of(&server);
        let before = cache.fetch(&source).await.unwrap();
        let size_before = packs(cache.path());
        upstream.commit("app.yaml", "changed: true\n");
        let Fetched::Changed(after) = cache.store.fetch(&source, Some(&before)).await.unwrap() else {
            panic!("it moved");
        };
        assert_eq!(read(&after, "app.yaml"), "changed: true\n");
        assert_eq!(read(&before, "app.yaml"), "kind: ConfigMap\n");
        let added = packs(cache.path()) - size_before;
        assert!(added < 2000, "{added} bytes for a small change");
        let changed = after
            .tree()
            .unwrap()
            .changed_paths(&before.tree().unwrap(), 10)
            .unwrap();
        assert_eq!(changed.unwrap(), ["app.yaml"]);
    }
}

/// The bytes of all packs below a folder.
fn packs(directory: &std::path::Path) -> u64 {
    std::fs::read_dir(directory)
        .unwrap()
        .flatten()
        .map(|entry| match entry.path() {
            path if path.is_dir() => packs(&path),
            path if path.extension().is_some_and(|extension| extension == "pack") => {
                entry.metadata().unwrap().len()
            }
            _ => 0,
        })
        .sum()
}

#[tokio::test]
async fn a_forced_push_and_a_deleted_branch_are_seen() {
    let (upstream, server) = served().await;
    upstream.commit("app.yaml", "second\n");
    let cache = Cache::new();
    let source = main_of(&server);
    let checkout = cache.fetch(&source).await.unwrap();
    upstream.git(&["reset", "-q", "--hard", "HEAD~1"]);
    upstream.commit("app.yaml", "rewritten\n");
    upstream.git(&["reflog", "expire", "--expire=now", "--all"]);
    upstream.git(&["gc", "-q", "--prune=now"]);
    let Fetched::Changed(rewritten) = cache.store.fetch(&source, Some(&checkout)).await.unwrap() else {
        panic!("it moved");
    };
    assert_eq!(read(&rewritten, "app.yaml"), "rewritten\n");

    upstream.git(&["checkout", "-q", "-b", "mainline"]);
    upstream.git(&["branch", "-q", "-D", "main"]);
    let error = cache.store.fetch(&source, Some(&rewritten)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no branch 'main' in '{}'; did you mean 'mainline'?",
            server.url("repo.git")
        )
    );
    assert_eq!(
        (error.reason(), error.is_stalled()),
        (Reason::GitOperationFailed, false)
    );
}

#[tokio::test]
async fn an_empty_repository_is_called_empty() {
    for behaviour in [Behaviour::Serve, Behaviour::OldProtocol] {
        let upstream = Upstream::empty();
        let server = GitServer::http(upstream.root()).await;
        server.behave(behaviour);
        let error = Cache::new().fetch(&main_of(&server)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the repository '{}' is empty: push a first commit",
                server.url("repo.git")
            )
        );
        assert_eq!(error.reason(), Reason::EmptyGitRepository);
    }
}

#[tokio::test]
async fn a_missing_commit_is_named() {
    for behaviour in [Behaviour::Serve, Behaviour::OldProtocol] {
        let (_upstream, server) = served().await;
        server.behave(behaviour);
        let commit = "1".repeat(40);
        let fields = ReferenceFields {
            commit: Some(commit.clone()),
            ..ReferenceFields::default()
        };
        let source = source(&server.url("repo.git"), Auth::None, fields);
        let error = Cache::new().fetch(&source).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("no commit {commit} in 'http")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn basic_and_bearer_credentials_open_the_door() {
    let (_upstream, server) = served().await;
    let encoded = base64::engine::general_purpose::STANDARD.encode("me:s3cret");
    server.require(&format!("Basic {encoded}"));
    let url = server.url("repo.git");
    Cache::new()
        .fetch(&source(&url, basic("me", "s3cret"), branch("main")))
        .await
        .unwrap();

    server.require("Bearer t0ken");
    let bearer = Auth::Bearer {
        token: Secret::new("t0ken"),
    };
    Cache::new()
        .fetch(&source(&url, bearer, branch("main")))
        .await
        .unwrap();

    let error = Cache::new().fetch(&main_of(&server)).await.unwrap_err();
    assert_eq!(error.reason(), Reason::AuthenticationFailed);
    assert!(
        error
            .to_string()
            .contains("asks for credentials (HTTP 401); put them into a Secret"),
        "{error}"
    );
    let error = Cache::new()
        .fetch(&source(&url, basic("me", "wr0ng"), branch("main")))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), Reason::AuthenticationFailed);
    assert!(
        error
            .to_string()
            .contains("does not accept the credentials (HTTP 403)"),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("wr0ng"));
}

#[tokio::test]
async fn a_private_ca_is_trusted_when_given_and_only_then() {
    let upstream = Upstream::with_a_commit();
    let authority = Authority::new();
    let server = GitServer::https(upstream.root(), &authority).await;
    let mut source = main_of(&server);
    let error = Cache::new().fetch(&source).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("its issuer is not trusted; if it is signed by a private CA"),
        "{error}"
    );
    source.remote = source.remote.with_ca(authority.pem());
    Cache::new().fetch(&source).await.unwrap();

    let server = GitServer::https_for_another_name(upstream.root(), &authority).await;
    let mut source = main_of(&server);
    source.remote = source.remote.with_ca(authority.pem());
    let error = Cache::new().fetch(&source).await.unwrap_err();
    assert!(error.to_string().contains("it is for another name"), "{error}");
    source.remote = source.remote.with_ca("nonsense");
    let error = Cache::new().fetch(&source).await.unwrap_err();
    assert_eq!(error.reason(), Reason::InvalidProviderConfiguration);
}

#[tokio::test]
async fn credentials_do_not_open_what_other_credentials_fetched() {
    let (upstream, server) = served().await;
    let encoded = base64::engine::general_purpose::STANDARD.encode("me:right");
    server.require(&format!("Basic {encoded}"));
    let cache = Cache::new();
    let fields = ReferenceFields {
        commit: Some(upstream.head()),
        ..ReferenceFields::default()
    };
    let url = server.url("repo.git");
    cache
        .fetch(&source(&url, basic("me", "right"), fields.clone()))
        .await
        .unwrap();
    let error = fetch(&cache.store, &source(&url, basic("me", "wrong"), fields.clone()))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), Reason::AuthenticationFailed);

    // The same with credentials that are right: the server is asked, and nothing is fetched twice.
    server.require("Bearer right");
    server.take_requests();
    let bearer = Auth::Bearer {
        token: Secret::new("right"),
    };
    fetch(&cache.store, &source(&url, bearer, fields)).await.unwrap();
    assert_eq!(
        server.take_requests(),
        ["GET /repo.git/info/refs", "POST /repo.git/git-upload-pack"]
    );
}

#[tokio::test]
async fn redirects_are_followed_to_the_same_host_only() {
    let (_upstream, server) = served().await;
    let renamed = GitServer::http(std::path::Path::new("/nonexistent")).await;
    renamed.behave(Behaviour::Redirect {
        to: server.url("").trim_end_matches('/').to_owned(),
    });
    let error = Cache::new().fetch(&main_of(&renamed)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("it leaves the scheme or port of spec.url"),
        "{error}"
    );

    renamed.behave(Behaviour::Redirect {
        to: "http://localhost:1".to_owned(),
    });
    let secret = source(&renamed.url("repo.git"), basic("me", "s3cret"), branch("main"));
    let error = Cache::new().fetch(&secret).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "'{}' redirects to 'http://localhost:1/repo.git/info/refs', which is not followed: it is another \
             host, and credentials are sent to the one in spec.url only; if that host is right, put it into \
             spec.url",
            renamed.url("repo.git")
        )
    );
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_found_and_polled_with_one_request() {
    let (_upstream, server) = served().await;
    server.behave(Behaviour::Moved {
        from: "/old.git/",
        to: "/repo.git/",
    });
    let cache = Cache::new();
    let source = source(&server.url("old.git/"), Auth::None, branch("main"));
    let checkout = cache.fetch(&source).await.unwrap();
    assert_eq!(
        server.take_requests(),
        [
            "GET /old.git/info/refs",
            "GET /repo.git/info/refs",
            "POST /repo.git/git-upload-pack",
            "POST /repo.git/git-upload-pack"
        ]
    );
    cache.store.fetch(&source, Some(&checkout)).await.unwrap();
    assert_eq!(server.take_requests(), ["POST /repo.git/git-upload-pack"]);

    // Renamed again: the remembered place leads nowhere, so the way is asked for anew.
    server.behave(Behaviour::Moved {
        from: "/repo.git/",
        to: "/gone.git/",
    });
    let error = cache.store.fetch(&source, Some(&checkout)).await.unwrap_err();
    assert!(
        error.to_string().starts_with("no repository at 'http://"),
        "{error}"
    );
}

#[tokio::test]
async fn http_may_become_https_on_the_same_host() {
    let upstream = Upstream::with_a_commit();
    let authority = Authority::new();
    let secure = GitServer::https(upstream.root(), &authority).await;
    let plain = GitServer::http_at_localhost(upstream.root()).await;
    plain.behave(Behaviour::Redirect {
        to: secure.url("").trim_end_matches('/').to_owned(),
    });
    let mut source = main_of(&plain);
    source.remote = source.remote.with_ca(authority.pem());
    Cache::new().fetch(&source).await.unwrap();

    let plain = GitServer::http_at_localhost(upstream.root()).await;
    secure.behave(Behaviour::Redirect {
        to: plain.url("").trim_end_matches('/').to_owned(),
    });
    let mut source = main_of(&secure);
    source.remote = source.remote.with_ca(authority.pem());
    let error = Cache::new().fetch(&source).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("it leaves the scheme or port of spec.url"),
        "{error}"
    );
    assert!(plain.take_requests().is_empty());
}

#[tokio::test]
async fn a_client_certificate_is_presented() {
    let upstream = Upstream::with_a_commit();
    let authority = Authority::new();
    let server = GitServer::https_for_known_clients(upstream.root(), &authority).await;
    let mut source = main_of(&server);
    source.remote = source.remote.with_ca(authority.pem());
    Cache::new().fetch(&source).await.unwrap_err();
    let (certificates, key) = authority.client_certificate();
    let key = Secret::new(key);
    source.remote = source
        .remote
        .with_client_certificate(ClientCertificate { certificates, key });
    Cache::new().fetch(&source).await.unwrap();
}

#[tokio::test]
async fn a_proxy_is_asked_to_tunnel_with_its_own_credentials() {
    let upstream = Upstream::with_a_commit();
    let authority = Authority::new();
    let server = GitServer::https(upstream.root(), &authority).await;
    let proxy = TunnelProxy::start().await;
    let mut source = main_of(&server);
    let credentials = Some(("me".to_owned(), Secret::new("s3cret")));
    source.remote = source.remote.with_ca(authority.pem()).with_proxy(Proxy {
        address: proxy.url(),
        credentials,
    });
    Cache::new().fetch(&source).await.unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode("me:s3cret");
    let requests = proxy.requests().join("\n").to_lowercase();
    assert!(requests.starts_with("connect localhost:"), "{requests}");
    assert!(
        requests.contains(&format!("proxy-authorization: basic {}", encoded.to_lowercase())),
        "{requests}"
    );

    source.remote = source.remote.with_proxy(Proxy {
        address: "ftp://x".to_owned(),
        credentials: None,
    });
    let error = Cache::new().fetch(&source).await.unwrap_err();
    assert_eq!(error.reason(), Reason::InvalidProviderConfiguration);
}

#[tokio::test]
async fn repositories_of_one_server_share_its_connection() {
    let (upstream, server) = served().await;
    let other = upstream.root().join("other.git");
    upstream.git(&[
        "clone",
        "-q",
        "--bare",
        upstream.git_dir().to_str().unwrap(),
        other.to_str().unwrap(),
    ]);
    let cache = Cache::new();
    cache.fetch(&main_of(&server)).await.unwrap();
    cache
        .fetch(&source(
            &server.url("other.git"),
            basic("some", "body"),
            branch("main"),
        ))
        .await
        .unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_tag_on_something_else_than_a_commit_is_called_so() {
    let (upstream, server) = served().await;
    upstream.git(&["tag", "tree", "HEAD^{tree}"]);
    upstream.git(&["tag", "-a", "-m", "annotated", "blob", "HEAD:app.yaml"]);
    let cache = Cache::new();
    cache.fetch(&main_of(&server)).await.unwrap();
    for (tag, kind) in [("tree", "tree"), ("blob", "blob")] {
        let fields = ReferenceFields {
            tag: Some(tag.to_owned()),
            ..ReferenceFields::default()
        };
        let error = cache
            .fetch(&source(&server.url("repo.git"), Auth::None, fields))
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("stands for a {kind}, not a commit, in 'http")),
            "{error}"
        );
    }
}
