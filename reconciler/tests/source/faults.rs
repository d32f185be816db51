//! Servers that misbehave, and repositories beyond the bounds.

use std::time::Duration;

use reconciler::source::{Excess, Fetched, Limits, Reason, SourceError};

use super::git_server::{Behaviour, GitServer};
use super::{Cache, main_of, noise, read, served};

async fn error_of(server: &GitServer, behaviour: Behaviour) -> SourceError {
    server.behave(behaviour);
    Cache::new().fetch(&main_of(server)).await.unwrap_err()
}

#[tokio::test]
async fn a_connection_cut_in_mid_pack_leaves_nothing_and_recovers() {
    let (upstream, server) = served().await;
    upstream.write("large.bin", noise(500_000));
    upstream.commit_all("large");
    let cache = Cache::new();
    let source = main_of(&server);
    for after in [0, 10, 100, 1000, 100_000, 400_000] {
        server.behave(Behaviour::CutPack { after });
        let error = cache.fetch(&source).await.unwrap_err();
        assert!(
            matches!(error, SourceError::Interrupted { .. }),
            "{after}: {error}"
        );
        assert_eq!(
            (error.reason(), error.is_stalled()),
            (Reason::GitOperationFailed, false)
        );
    }
    server.behave(Behaviour::Serve);
    assert_eq!(
        read(&cache.fetch(&source).await.unwrap(), "app.yaml"),
        "kind: ConfigMap\n"
    );
}

#[tokio::test]
async fn garbage_is_told_from_a_repository() {
    let (_upstream, server) = served().await;
    let html = || Behaviour::Answer {
        status: 200,
        content_type: "text/html; charset=utf-8",
        body: b"<html>".into(),
    };
    assert_eq!(
        error_of(&server, html()).await.to_string(),
        format!(
            "'{}' is not a Git repository: it is an HTML page; use the URL that 'git clone' takes",
            server.url("repo.git")
        )
    );
    let advertisement = "application/x-git-upload-pack-advertisement";
    let answer = |body: &[u8]| Behaviour::Answer {
        status: 200,
        content_type: advertisement,
        body: body.to_vec(),
    };
    let error = error_of(&server, answer(b"<html>\x1b[31m")).await;
    assert!(
        error
            .to_string()
            .ends_with("expected a packet, got '<html> [31m'"),
        "{error}"
    );
    let error = error_of(
        &server,
        answer(b"001e# service=git-upload-pack\n0000000eversion 2\n"),
    )
    .await;
    assert!(matches!(error, SourceError::Interrupted { .. }), "{error}");
    let error = error_of(&server, answer(b"0011not a refere\n0000")).await;
    assert!(
        error
            .to_string()
            .contains("expected a reference, got 'not a refere'"),
        "{error}"
    );
    let error = error_of(&server, answer(b"0029ERR the repository is being migrated\n")).await;
    assert!(
        error
            .to_string()
            .ends_with("reports: the repository is being migrated"),
        "{error}"
    );
    let error = error_of(
        &server,
        Behaviour::Answer {
            status: 503,
            content_type: "text/plain",
            body: vec![],
        },
    )
    .await;
    assert!(
        error
            .to_string()
            .contains("answered with HTTP status 503 Service Unavailable; the server has a problem"),
        "{error}"
    );
    let error = error_of(
        &server,
        Behaviour::Answer {
            status: 404,
            content_type: "text/plain",
            body: vec![],
        },
    )
    .await;
    assert!(error.to_string().starts_with("no repository at 'http"), "{error}");
    let sha256 = b"000eversion 2\n0019object-format=sha256\n0000";
    let error = error_of(&server, answer(sha256)).await;
    assert!(
        error
            .to_string()
            .contains("only repositories with SHA-1 names are supported"),
        "{error}"
    );
}

#[tokio::test]
async fn a_pack_that_is_none_is_refused() {
    let (_upstream, server) = served().await;
    let cache = Cache::new();
    let source = main_of(&server);
    cache.fetch(&source).await.unwrap();
    let mut fields = super::branch("main");
    fields.commit = Some("2".repeat(40));
    let commit = super::source(&server.url("repo.git"), reconciler::source::Auth::None, fields);
    let side_band = |data: &[u8]| {
        let mut body = b"000dpackfile\n".to_vec();
        body.extend_from_slice(format!("{:04x}\x01", data.len() + 5).as_bytes());
        body.extend_from_slice(data);
        body.extend_from_slice(b"0000");
        Behaviour::Post { body }
    };
    let invalid = |error: &SourceError| matches!(error, SourceError::PackInvalid { .. });
    server.behave(side_band(b"not a pack at all"));
    let error = cache.fetch(&commit).await.unwrap_err();
    assert!(
        invalid(&error) && error.to_string().contains("it begins with 'not a pack a'"),
        "{error}"
    );
    server.behave(side_band(b"PACK\0\0\0\x02\0\0\0\x01garbage that is no object"));
    let error = cache.fetch(&commit).await.unwrap_err();
    assert!(invalid(&error), "{error}");
    server.behave(side_band(b"PACK"));
    let error = cache.fetch(&commit).await.unwrap_err();
    assert!(invalid(&error), "{error}");
    // An empty pack: what was wanted is not in it.
    server.behave(side_band(b"PACK\0\0\0\x02\0\0\0\0"));
    let error = cache.fetch(&commit).await.unwrap_err();
    assert!(error.to_string().starts_with("no commit 2222"), "{error}");
    server.behave(Behaviour::Serve);
    cache.fetch(&source).await.unwrap();
}

#[tokio::test]
async fn a_server_slower_than_the_deadline_is_left() {
    let (_upstream, server) = served().await;
    server.behave(Behaviour::Hang);
    let mut source = main_of(&server);
    source.timeout = Some(Duration::from_millis(300));
    let error = Cache::new().fetch(&source).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "fetching '{}' took longer than 0.3 s; raise spec.timeout if the server is slow",
            server.url("repo.git")
        )
    );
}

#[tokio::test]
async fn a_fetch_that_is_dropped_leaves_the_cache_usable() {
    let (upstream, server) = served().await;
    upstream.write("large.bin", noise(2_000_000));
    upstream.commit_all("large");
    let cache = Cache::new();
    let source = main_of(&server);
    // Dropped after ever more steps of its way.
    for polls in 1..60 {
        let mut fetch = Box::pin(cache.fetch(&source));
        let mut left = polls;
        let finished = futures::future::poll_fn(|context| {
            if left == 0 {
                return std::task::Poll::Ready(false);
            }
            left -= 1;
            fetch.as_mut().poll(context).map(|_| true)
        })
        .await;
        drop(fetch);
        if finished {
            break;
        }
    }
    assert_eq!(
        read(&cache.fetch(&source).await.unwrap(), "app.yaml"),
        "kind: ConfigMap\n"
    );
}

#[tokio::test]
async fn nothing_listening_is_called_so() {
    let source = super::source(
        "http://127.0.0.1:1/x.git",
        reconciler::source::Auth::None,
        super::branch("main"),
    );
    assert_eq!(
        Cache::new().fetch(&source).await.unwrap_err().to_string(),
        "cannot connect to 127.0.0.1:1: connection refused; check the host, the port, DNS and network policies"
    );
}

#[tokio::test]
async fn bounds_stop_a_fetch_with_what_exceeds_them() {
    let (upstream, server) = served().await;
    upstream.write("assets/large.bin", noise(300_000));
    upstream.commit_all("large");
    let source = main_of(&server);
    let excess = |limits: Limits| {
        let source = source.clone();
        async move {
            match Cache::with_limits(limits).fetch(&source).await.unwrap_err() {
                SourceError::TooLarge { excess, .. } => excess,
                other => panic!("{other}"),
            }
        }
    };
    let defaults = Limits::default;
    let limits = Limits {
        pack_bytes: 100_000,
        ..defaults()
    };
    assert_eq!(excess(limits).await, Excess::PackBytes { limit: 100_000 });
    let limits = Limits {
        objects: 2,
        ..defaults()
    };
    assert_eq!(excess(limits).await, Excess::Objects { count: 5, limit: 2 });
    let limits = Limits {
        blob_bytes: 200_000,
        ..defaults()
    };
    assert_eq!(
        excess(limits).await.to_string(),
        "'assets/large.bin' has 292.9 KiB, allowed are 195.3 KiB"
    );
    let limits = Limits {
        tree_entries: 2,
        ..defaults()
    };
    assert_eq!(excess(limits).await, Excess::TreeEntries { limit: 2 });
    let limits = Limits {
        ignore_rules: 0,
        ..defaults()
    };
    upstream.write("assets/.sourceignore", "*.tmp\n");
    upstream.commit_all("ignore");
    assert_eq!(excess(limits).await, Excess::IgnoreRules { limit: 0 });
    let limits = Limits {
        tree_depth: 0,
        ..defaults()
    };
    assert_eq!(excess(limits).await, Excess::TreeDepth { limit: 0 });
    let limits = Limits {
        listing_bytes: 20,
        ..defaults()
    };
    assert_eq!(excess(limits).await, Excess::ListingBytes { limit: 20 });
}

#[tokio::test]
async fn a_large_file_that_is_ignored_does_no_harm() {
    let (upstream, server) = served().await;
    upstream.write("assets/large.bin", noise(300_000));
    upstream.commit_all("large");
    let mut source = main_of(&server);
    source.ignore = Some("/assets".to_owned());
    let cache = Cache::with_limits(Limits {
        blob_bytes: 200_000,
        ..Limits::default()
    });
    let Fetched::Changed(checkout) = cache.store.fetch(&source, None).await.unwrap() else {
        panic!("nothing was at hand");
    };
    assert_eq!(read(&checkout, "app.yaml"), "kind: ConfigMap\n");
}
