//! `coracle git-server`: what it refuses, and what it says when `git` does not work.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::terminal::{get, program};

/// A directory with the bare repository `shop.git`, which takes pushes by its own configuration.
fn with_repository() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let status = Command::new("git")
            .args(arguments)
            .current_dir(scratch.path())
            .status();
        assert!(status.unwrap().success());
    };
    git(&["init", "--quiet", "--bare", "shop.git"]);
    git(&["-C", "shop.git", "config", "http.receivepack", "true"]);
    scratch
}

/// The program serves a directory, with this in its environment.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(directory: &Path, variable: &str, value: &str) -> Self {
        let mut child = program("git-server --until-stdin-closes")
            .arg(directory)
            .env(variable, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("http://").to_owned();
        Self { child, address }
    }

    fn get(&self, path: &str) -> (String, String) {
        get(&self.address, path)
    }

    /// Ends it, and gives what it said beside its output.
    fn end(mut self) -> String {
        drop(self.child.stdin.take());
        let output = self.child.wait_with_output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn nobody_pushes_though_the_repository_and_the_environment_say_so() {
    let repositories = with_repository();
    let serving = Serving::start(repositories.path(), "REMOTE_USER", "somebody");
    let push = "/shop.git/info/refs?service=git-receive-pack";
    assert_eq!(serving.get(push).0, "403");
    assert_eq!(
        serving.get("/shop.git/info/refs?service=git-upload-pack").0,
        "200"
    );
    assert_eq!(
        serving.end(),
        format!("GET {push}: Service not enabled: 'receive-pack'\n")
    );
}

#[test]
fn what_git_says_about_a_repository_of_another_owner_reaches_both_ends() {
    let repositories = with_repository();
    // Git's own way of testing this.
    let serving = Serving::start(repositories.path(), "GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    let (status, body) = serving.get("/shop.git/info/refs?service=git-upload-pack");
    let said = serving.end();
    assert_eq!(status, "500");
    for words in [&body, &said] {
        assert!(
            words.contains("detected dubious ownership in repository"),
            "{words}"
        );
    }
}

#[test]
fn a_git_without_its_part_for_http_is_named() {
    let repositories = with_repository();
    let nothing = repositories.path().join("nothing");
    let serving = Serving::start(repositories.path(), "GIT_EXEC_PATH", nothing.to_str().unwrap());
    let (status, body) = serving.get("/shop.git/HEAD");
    assert_eq!(status, "500");
    assert!(body.contains("'http-backend' is not a git command"), "{body}");
    assert!(serving.end().contains("'http-backend' is not a git command"));
}
