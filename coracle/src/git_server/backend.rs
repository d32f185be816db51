//! One request as `git http-backend` answers it (CGI, RFC 3875). Does I/O: runs `git`.
//!
//! Nothing is held as a whole: what the client sends goes into the program as it comes, and what the program says goes
//! to the client.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::Stdio;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use futures::{Stream, StreamExt as _, stream};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::Access;

/// The largest push that is taken.
const MAX_PUSH: usize = 256 << 20;
/// Bytes that are passed on at once.
const CHUNK: usize = 64 << 10;
/// The longest headers, and the longest complaint, that are read of the program.
const MAX_WORDS: u64 = 16 << 10;

/// What an inherited environment may say about another repository, or about who asks.
const FOREIGN: [&str; 9] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_CONFIG_PARAMETERS",
    "REMOTE_USER",
    "REMOTE_ADDR",
];

/// A request that the program is answering.
pub(super) struct Call {
    child: Child,
    stdout: BufReader<ChildStdout>,
    complaint: JoinHandle<String>,
}

/// How an answer begins.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

impl Call {
    /// Starts the program and passes the body on.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(
        root: &Path,
        access: Access,
        head: &Parts,
        path: OsString,
        body: Body,
    ) -> io::Result<Self> {
        let mut child = command(root, access, head, path).spawn()?;
        let missing = || io::Error::other("the program has no pipes");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        // Both at once with the answer: each side may block on the other.
        tokio::spawn(feed(stdin, body));
        Ok(Self {
            child,
            stdout: BufReader::with_capacity(CHUNK, stdout),
            complaint: tokio::spawn(read_complaint(stderr)),
        })
    }

    /// Reads the headers; nothing, if the program says none.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut head = Head {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
        };
        let mut limited = (&mut self.stdout).take(MAX_WORDS);
        loop {
            let mut line = Vec::new();
            limited.read_until(b'\n', &mut line).await?;
            if !line.ends_with(b"\n") {
                return Ok(None);
            }
            let line = String::from_utf8_lossy(&line);
            match line.trim_end().split_once(':') {
                Some((name, value)) => head.add(name, value.trim()),
                None if line.trim_end().is_empty() => return Ok(Some(head)),
                None => return Ok(None),
            }
        }
    }

    /// What follows the headers, then `end` with whether the program is content, and its complaint.
    pub(super) fn body(
        self,
        end: impl FnOnce(bool, String) + Send + 'static,
    ) -> impl Stream<Item = io::Result<Bytes>> {
        stream::try_unfold((self, end), |(mut call, end)| async move {
            let mut chunk = Vec::with_capacity(CHUNK);
            if call.stdout.read_buf(&mut chunk).await? > 0 {
                return Ok(Some((Bytes::from(chunk), (call, end))));
            }
            let (content, complaint) = call.end().await?;
            end(content, complaint);
            Ok(None)
        })
    }

    /// Waits for the end: whether the program is content, and its complaint.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub(super) async fn end(mut self) -> io::Result<(bool, String)> {
        let status = self.child.wait().await?;
        Ok((status.success(), self.complaint.await.unwrap_or_default()))
    }
}

impl Head {
    fn add(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            self.status = code.parse().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        } else if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            self.headers.append(name, value);
        }
    }
}

fn command(root: &Path, access: Access, head: &Parts, path: OsString) -> Command {
    let text = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let mut git = Command::new("git");
    git.arg("http-backend");
    for name in FOREIGN {
        git.env_remove(name);
    }
    git.env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        // Stronger than what the repository's own configuration says.
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "http.receivepack")
        .env("GIT_CONFIG_VALUE_0", (access == Access::ReadAndPush).to_string())
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", path)
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text(header::CONTENT_TYPE).unwrap_or_default())
        .env(
            "HTTP_CONTENT_ENCODING",
            text(header::CONTENT_ENCODING).unwrap_or_default(),
        )
        .env(
            "GIT_PROTOCOL",
            text(HeaderName::from_static("git-protocol")).unwrap_or_default(),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    match text(header::CONTENT_LENGTH) {
        Some(length) => git.env("CONTENT_LENGTH", length),
        // It reads to the end then.
        None => git.env_remove("CONTENT_LENGTH"),
    };
    git
}

/// Ends early when the client or the program has enough, or the push is too large: the program then finds its input
/// cut short and refuses it.
async fn feed(mut stdin: ChildStdin, body: Body) {
    let mut left = MAX_PUSH;
    let mut chunks = body.into_data_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        let Some(rest) = left.checked_sub(chunk.len()) else {
            return;
        };
        left = rest;
        if stdin.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

async fn read_complaint(stderr: ChildStderr) -> String {
    let mut words = Vec::new();
    let mut stderr = stderr.take(MAX_WORDS);
    // What was read until then is said.
    let _ = stderr.read_to_end(&mut words).await;
    // The rest is read as well, so that the program does not wait for a reader.
    let _ = tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&words).trim().to_owned()
}

/// The path of a URL as bytes; nothing, if it is no path of a file.
pub(super) fn decoded(path: &str) -> Option<OsString> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    (!decoded.contains(&0)).then(|| OsString::from_vec(decoded))
}
