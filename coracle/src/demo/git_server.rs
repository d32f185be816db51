//! Serves Git repositories over HTTP, for fetch and push, by `git http-backend`. Does I/O: listens on
//! loopback, runs `git`.
//!
//! In: a directory of bare repositories. Out: `http://127.0.0.1:PORT/<name>.git`, and a count of the pushes.
//! It stands by itself, so that tests use it as well.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The largest push that is taken.
const MAX_PUSH: usize = 256 << 20;

/// A Git server; it stops when it is dropped.
#[derive(Debug)]
pub struct GitServer {
    address: SocketAddr,
    pushes: watch::Receiver<u64>,
    stop: CancellationToken,
}

struct Backend {
    root: PathBuf,
    pushes: watch::Sender<u64>,
}

impl GitServer {
    /// Serves the repositories in this directory on a free port of loopback.
    ///
    /// # Errors
    /// No port can be listened on.
    pub async fn start(root: &Path) -> io::Result<Self> {
        Self::start_at(root, ([127, 0, 0, 1], 0).into()).await
    }

    /// Serves the repositories in this directory at this address.
    ///
    /// # Errors
    /// It cannot be listened on.
    pub async fn start_at(root: &Path, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (sender, pushes) = watch::channel(0);
        let backend = Arc::new(Backend {
            root: root.to_owned(),
            pushes: sender,
        });
        let routes = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(MAX_PUSH))
            .with_state(backend);
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
            stop,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a repository.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}.git", self.address)
    }

    /// How many pushes were taken; changes with each.
    #[must_use]
    pub fn pushes(&self) -> watch::Receiver<u64> {
        self.pushes.clone()
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn answer(State(backend): State<Arc<Backend>>, request: Request) -> Response {
    match backend.run(request).await {
        Ok(response) => response,
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("git http-backend: {error}\n"),
        )
            .into_response(),
    }
}

impl Backend {
    async fn run(&self, request: Request) -> io::Result<Response> {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_PUSH)
            .await
            .map_err(io::Error::other)?;
        let is_push = head.uri.path().ends_with("/git-receive-pack");
        let text = |name: HeaderName| {
            head.headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let mut git = Command::new("git");
        git.arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("REQUEST_METHOD", head.method.as_str())
            .env("PATH_INFO", head.uri.path())
            .env("QUERY_STRING", head.uri.query().unwrap_or_default())
            .env("CONTENT_TYPE", text(header::CONTENT_TYPE))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", text(header::CONTENT_ENCODING))
            .env("GIT_PROTOCOL", text(HeaderName::from_static("git-protocol")))
            .env("REMOTE_ADDR", "127.0.0.1")
            .env_remove("GIT_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let output = converse(git, body).await?;
        let response = parse(&output)?;
        if is_push && response.status() == StatusCode::OK {
            self.pushes.send_modify(|count| *count += 1);
        }
        Ok(response)
    }
}

/// Feeds a program and collects what it says. Both at once: each side may block on the other.
async fn converse(mut program: Command, input: Bytes) -> io::Result<Vec<u8>> {
    let mut child = program.spawn()?;
    let stdin = child.stdin.take();
    let feed = async move {
        match stdin {
            // A program that has read enough closes its end; that is its right.
            Some(mut stdin) => stdin.write_all(&input).await.or_else(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Ok(()),
                _ => Err(error),
            }),
            None => Ok(()),
        }
    };
    let (fed, output) = tokio::join!(feed, child.wait_with_output());
    fed?;
    Ok(output?.stdout)
}

/// Reads a CGI answer: headers, an empty line, a body.
fn parse(output: &[u8]) -> io::Result<Response> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the answer has no headers");
    let end = output
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .ok_or_else(malformed)?;
    let mut status = StatusCode::OK;
    let mut headers = HeaderMap::new();
    for line in output[..end].split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse::<u16>().ok());
            status = code
                .and_then(|code| StatusCode::from_u16(code).ok())
                .ok_or_else(malformed)?;
        } else if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let mut response = Response::new(Body::from(output[end + 4..].to_vec()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::repository::Repository;

    #[tokio::test]
    async fn what_is_pushed_can_be_cloned_and_is_counted() {
        let scratch = tempfile::tempdir().unwrap();
        let bare = scratch.path().join("served");
        std::fs::create_dir(&bare).unwrap();
        let server = GitServer::start(&bare).await.unwrap();
        Repository::create_bare(&bare.join("shop.git")).await.unwrap();

        let work = Repository::create(&scratch.path().join("work"), &server.url("shop"))
            .await
            .unwrap();
        work.write("a.txt", "one\n").unwrap();
        let pushed = work.commit("Add a").await.unwrap();
        let mut pushes = server.pushes();
        work.push("main").await.unwrap();
        pushes.wait_for(|count| *count == 1).await.unwrap();

        let clone = Repository::clone(&server.url("shop"), &scratch.path().join("clone"))
            .await
            .unwrap();
        assert_eq!(clone.head().await.unwrap(), pushed);
        assert_eq!(clone.read("a.txt").unwrap(), "one\n");
    }

    #[tokio::test]
    async fn a_repository_that_does_not_exist_is_not_found() {
        let scratch = tempfile::tempdir().unwrap();
        let server = GitServer::start(scratch.path()).await.unwrap();
        let error = Repository::clone(&server.url("none"), &scratch.path().join("clone"))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("not found"), "{error}");
    }
}
