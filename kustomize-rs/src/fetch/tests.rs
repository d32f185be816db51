//! Fetching from servers on loopback: what is given, and the limits.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::*;

/// Reads a request up to the empty line.
fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        request.push(byte[0]);
    }
    String::from_utf8(request).unwrap()
}

/// A server that gives one answer to one request; the answer is made from the request.
fn serve_once(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let answer = answer(&read_request(&mut stream));
        stream.write_all(answer.as_bytes()).unwrap();
    });
    address.to_string()
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn fetcher(cache: &Path) -> Fetcher {
    Fetcher::new(cache.to_path_buf())
}

#[test]
fn no_message_has_a_password_in_it() {
    let message = "fatal: unable to access 'https://me:secret@host/o/r/': no https://t@x";
    let shown = "fatal: unable to access 'https://***@host/o/r/': no https://***@x";
    assert_eq!(without_credentials(message), shown);
    assert_eq!(without_credentials("git@github.com:o/r"), "git@github.com:o/r");
}

#[cfg(feature = "http")]
mod http {
    use super::*;

    #[test]
    fn a_file_is_what_the_server_gives() {
        let address = serve_once(|request| {
            assert!(request.starts_with("GET /app/c.yaml HTTP/1.1\r\n"), "{request}");
            answer("200 OK", "kind: ConfigMap\n")
        });
        let bytes = fetcher(Path::new("")).file(&format!("http://{address}/app/c.yaml"));
        assert_eq!(bytes.unwrap(), b"kind: ConfigMap\n");
    }

    #[test]
    fn a_file_that_is_not_there_is_named_without_the_password() {
        let address = serve_once(|_| answer("404 Not Found", "secret"));
        let error = fetcher(Path::new("")).file(&format!("http://me:secret@{address}/c.yaml"));
        let message = error.unwrap_err().chain();
        assert_eq!(message, format!("http://***@{address}/c.yaml: http status: 404"));
    }

    #[test]
    fn a_file_that_is_larger_than_the_limit_is_refused() {
        let address = serve_once(|_| answer("200 OK", "12345678901"));
        let limited = Fetcher {
            max_size: 10,
            ..fetcher(Path::new(""))
        };
        let error = limited.file(&format!("http://{address}/c.yaml")).unwrap_err();
        assert!(error.chain().contains("larger than"), "{}", error.chain());
    }

    #[test]
    fn a_server_that_never_answers_is_given_up() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let limited = Fetcher {
            timeout: Duration::from_millis(50),
            ..fetcher(Path::new(""))
        };
        let url = format!("http://{}/c.yaml", silent.local_addr().unwrap());
        let error = limited.file(&url).unwrap_err();
        assert!(error.chain().contains("timeout"), "{}", error.chain());
    }
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

/// A repository with one file, and its URL at a reference.
fn repository(root: &TempDir, reference: &str) -> GitUrl {
    let repository = root.path().join("repository");
    std::fs::create_dir_all(&repository).unwrap();
    std::fs::write(repository.join("f"), "text").unwrap();
    git(&repository, &["init", "--quiet", "--initial-branch=main"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "--quiet", "--message=first"]);
    GitUrl::parse(&format!("file://{}?ref={reference}", repository.display())).unwrap()
}

#[test]
fn a_commit_is_fetched_once() {
    let root = TempDir::new().unwrap();
    let url = repository(&root, "main");
    let cache = root.path().join("cache");
    let first = fetcher(&cache).repository(&url).unwrap();
    std::fs::write(first.root.join("f"), "from the cache").unwrap();
    let second = fetcher(&cache).repository(&url).unwrap();
    assert_eq!(second.root, first.root);
    assert_eq!(std::fs::read(second.root.join("f")).unwrap(), b"from the cache");

    git(
        &root.path().join("repository"),
        &["commit", "--quiet", "--allow-empty", "--message=second"],
    );
    let third = fetcher(&cache).repository(&url).unwrap();
    assert_ne!(third.root, first.root);
}

#[test]
fn a_repository_that_is_larger_than_the_limit_is_refused_and_not_kept() {
    let root = TempDir::new().unwrap();
    let url = repository(&root, "main");
    let cache = root.path().join("cache");
    let limited = Fetcher {
        max_size: 100,
        ..fetcher(&cache)
    };
    let error = limited.repository(&url).err().unwrap();
    assert!(
        error.chain().contains("is larger than 100 bytes"),
        "{}",
        error.chain()
    );
    let kept = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_dir(kept).unwrap().count(), 0);
}

#[test]
fn a_git_server_that_never_answers_is_given_up_after_the_time_that_the_url_gives() {
    let root = TempDir::new().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let url = GitUrl::parse(&format!("http://me:secret@{address}/o/r?ref=main&timeout=100ms")).unwrap();
    let error = fetcher(root.path()).repository(&url).err().unwrap();
    let message = error.chain();
    assert!(
        message.ends_with("git ls-remote: took longer than 100ms"),
        "{message}"
    );
    assert!(!message.contains("secret"), "{message}");
}
