//! Fetching from real Git servers: `git http-backend` over HTTP and HTTPS, and OpenSSH.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails here"
)]

mod artifact;
mod cache;
mod faults;
mod git_server;
mod http;
mod ssh;
mod tree;

use std::path::Path;

use git_server::{GitServer, Upstream};
use reconciler::source::{
    Auth, Checkout, Fetched, Limits, Reference, ReferenceFields, Remote, Secret, Source, SourceError, Store,
};

/// A store in a folder of its own.
struct Cache {
    store: Store,
    directory: tempfile::TempDir,
}

impl Cache {
    fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), limits).unwrap();
        Self { store, directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    async fn fetch(&self, source: &Source) -> Result<Checkout, SourceError> {
        fetch(&self.store, source).await
    }
}

/// Fetches with nothing at hand.
async fn fetch(store: &Store, source: &Source) -> Result<Checkout, SourceError> {
    match store.fetch(source, None).await? {
        Fetched::Changed(checkout) => Ok(checkout),
        Fetched::Unchanged => panic!("unchanged against nothing"),
    }
}

fn source(url: &str, auth: Auth, fields: ReferenceFields) -> Source {
    Source {
        remote: Remote::new(url, auth).unwrap(),
        reference: Reference::try_from(fields).unwrap(),
        ignore: None,
        timeout: None,
    }
}

fn branch(name: &str) -> ReferenceFields {
    ReferenceFields {
        branch: Some(name.to_owned()),
        ..ReferenceFields::default()
    }
}

/// The branch `main` of `repo.git`, anonymously.
fn main_of(server: &GitServer) -> Source {
    source(&server.url("repo.git"), Auth::None, branch("main"))
}

fn basic(username: &str, password: &str) -> Auth {
    Auth::Basic {
        username: username.to_owned(),
        password: Secret::new(password),
    }
}

/// A repository with one commit, served over HTTP.
async fn served() -> (Upstream, GitServer) {
    let upstream = Upstream::with_a_commit();
    let server = GitServer::http(upstream.root()).await;
    (upstream, server)
}

fn read(checkout: &Checkout, path: &str) -> String {
    String::from_utf8(checkout.tree().unwrap().read_file(path).unwrap()).unwrap()
}

/// Bytes that do not compress, always the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}
