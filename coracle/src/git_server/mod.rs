//! Serves the Git repositories of a directory over HTTP, by `git http-backend`. Does I/O: listens, runs `git`.
//!
//! In: a directory of clones and bare repositories, and whether pushes are taken. Out: `http://ADDRESS/<path>`, a count
//! of the pushes, and what went wrong. It stands by itself: `coracle git-server`, the demonstration and tests use it.

mod backend;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use backend::{Call, decoded};

/// Complaints that wait for a reader; what comes then is left out.
const COMPLAINTS: usize = 64;

/// What whoever reaches the server may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Fetch, whatever the repositories' own configuration allows.
    Read,
    /// Push as well.
    ReadAndPush,
}

/// A Git server; it stops when it is dropped.
#[derive(Debug)]
pub struct GitServer {
    address: SocketAddr,
    pushes: watch::Receiver<u64>,
    complaints: mpsc::Receiver<String>,
    stop: CancellationToken,
}

struct Backend {
    root: PathBuf,
    access: Access,
    pushes: watch::Sender<u64>,
    complaints: mpsc::Sender<String>,
}

impl GitServer {
    /// Serves the repositories in this directory at this address; port 0 takes a free one.
    ///
    /// # Errors
    /// It cannot be listened on.
    pub async fn start(root: &Path, address: SocketAddr, access: Access) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (counter, pushes) = watch::channel(0);
        let (complaining, complaints) = mpsc::channel(COMPLAINTS);
        let backend = Arc::new(Backend {
            root: root.to_owned(),
            access,
            pushes: counter,
            complaints: complaining,
        });
        let routes = Router::new().fallback(answer).with_state(backend);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            axum::serve(listener, routes)
                .with_graceful_shutdown(stopped)
                .await
        });
        Ok(Self {
            address,
            pushes,
            complaints,
            stop,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a bare repository.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}.git", self.address)
    }

    /// How many pushes were taken; changes with each.
    #[must_use]
    pub fn pushes(&self) -> watch::Receiver<u64> {
        self.pushes.clone()
    }

    /// The next request that went wrong, and why.
    pub async fn complaint(&mut self) -> Option<String> {
        self.complaints.recv().await
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn answer(State(backend): State<Arc<Backend>>, request: Request) -> Response {
    let asked = format!("{} {}", request.method(), request.uri());
    match backend.clone().run(request, asked.clone()).await {
        Ok(response) => response,
        Err(error) => backend.failed(&asked, &format!("cannot run git: {error}")),
    }
}

impl Backend {
    async fn run(self: Arc<Self>, request: Request, asked: String) -> io::Result<Response> {
        let (head, body) = request.into_parts();
        let Some(path) = decoded(head.uri.path()) else {
            return Ok(StatusCode::BAD_REQUEST.into_response());
        };
        // Before it sends something large, git asks with an empty packet whether it may.
        let is_probe = head
            .headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length == "4");
        let is_push = head.uri.path().ends_with("/git-receive-pack") && !is_probe;
        let mut call = Call::start(&self.root, self.access, &head, path, body)?;
        let Some(head) = call.head().await? else {
            let (_, complaint) = call.end().await?;
            return Ok(self.failed(&asked, &complaint));
        };
        if head.status.is_client_error() || head.status.is_server_error() {
            let (_, complaint) = call.end().await?;
            if head.status.is_server_error() {
                return Ok(self.failed(&asked, &complaint));
            }
            self.complain(&asked, &complaint);
            return Ok((head.status, head.headers).into_response());
        }
        let body = call.body(move |is_content, complaint| match is_content {
            true if is_push => self.pushes.send_modify(|count| *count += 1),
            true => {}
            false => self.complain(&asked, &complaint),
        });
        Ok((head.status, head.headers, Body::from_stream(body)).into_response())
    }

    /// Tells client and operator why a request cannot be answered.
    fn failed(&self, asked: &str, why: &str) -> Response {
        self.complain(asked, why);
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")).into_response()
    }

    fn complain(&self, asked: &str, why: &str) {
        // Nobody has to read them.
        let _ = self.complaints.try_send(format!("{asked}: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::repository::Repository;

    const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn what_is_pushed_can_be_cloned_and_is_counted() {
        let scratch = tempfile::tempdir().unwrap();
        let bare = scratch.path().join("served");
        std::fs::create_dir(&bare).unwrap();
        let server = GitServer::start(&bare, FREE, Access::ReadAndPush).await.unwrap();
        Repository::create_bare(&bare.join("shop.git")).await.unwrap();

        let work = Repository::create(&scratch.path().join("work"), &server.url("shop"))
            .await
            .unwrap();
        // Larger than what git sends at once, so that neither side knows its length before.
        let mut state = 1_u64;
        let digits = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{state:016x}\n")
        });
        let large: String = digits.take(200_000).collect();
        work.write("a.txt", &large).unwrap();
        let pushed = work.commit("Add a").await.unwrap();
        let mut pushes = server.pushes();
        work.push("main").await.unwrap();
        pushes.wait_for(|count| *count == 1).await.unwrap();

        let clone = Repository::clone(&server.url("shop"), &scratch.path().join("clone"))
            .await
            .unwrap();
        assert_eq!(clone.head().await.unwrap(), pushed);
        assert!(clone.read("a.txt").unwrap() == large);
    }

    #[tokio::test]
    async fn a_repository_that_does_not_exist_is_not_found() {
        let scratch = tempfile::tempdir().unwrap();
        let mut server = GitServer::start(scratch.path(), FREE, Access::Read)
            .await
            .unwrap();
        let error = Repository::clone(&server.url("none"), &scratch.path().join("clone"))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("not found"), "{error}");
        let complaint = server.complaint().await.unwrap();
        assert!(
            complaint.starts_with("GET /none.git/info/refs?service=git-upload-pack: Not a git repository"),
            "{complaint}"
        );
    }

    #[tokio::test]
    async fn nobody_pushes_where_only_reading_is_allowed_whatever_the_repository_says() {
        let scratch = tempfile::tempdir().unwrap();
        let bare = scratch.path().join("shop.git");
        Repository::create_bare(&bare).await.unwrap();
        let allowed = tokio::process::Command::new("git")
            .args(["config", "http.receivepack", "true"])
            .current_dir(&bare)
            .status();
        assert!(allowed.await.unwrap().success());
        let server = GitServer::start(scratch.path(), FREE, Access::Read)
            .await
            .unwrap();

        let work = Repository::create(&scratch.path().join("work"), &server.url("shop"))
            .await
            .unwrap();
        work.write("a.txt", "one\n").unwrap();
        work.commit("Add a").await.unwrap();
        let error = work.push("main").await.unwrap_err();
        assert!(error.to_string().contains("403"), "{error}");
    }

    #[tokio::test]
    async fn a_clone_whose_path_has_blanks_is_served() {
        let scratch = tempfile::tempdir().unwrap();
        let work = Repository::create(&scratch.path().join("my shop"), "x")
            .await
            .unwrap();
        work.write("a.txt", "one\n").unwrap();
        let head = work.commit("Add a").await.unwrap();
        let server = GitServer::start(scratch.path(), FREE, Access::Read)
            .await
            .unwrap();
        let url = format!("http://{}/my%20shop/.git", server.address());
        let clone = Repository::clone(&url, &scratch.path().join("clone"))
            .await
            .unwrap();
        assert_eq!(clone.head().await.unwrap(), head);
    }

    #[test]
    fn a_path_is_decoded_once_and_never_cut_short() {
        assert_eq!(decoded("/my%20shop%2520/%C3%A9").unwrap(), "/my shop%20/\u{e9}");
        for wrong in ["/a%", "/a%2", "/a%zz", "/a%00b"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }
}
