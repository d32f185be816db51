//! A repository made by the real `git`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A bare repository `repo.git` in a folder that can be served, with a working tree to commit from.
pub(crate) struct Upstream {
    root: TempDir,
}

impl Upstream {
    /// An empty repository whose first branch will be `main`.
    pub(crate) fn empty() -> Self {
        let upstream = Self {
            root: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir_all(upstream.work()).unwrap();
        let git_dir = upstream.git_dir();
        upstream.git(&[
            "init",
            "-q",
            "-b",
            "main",
            "--separate-git-dir",
            git_dir.to_str().unwrap(),
            ".",
        ]);
        upstream
    }

    /// A repository with one commit of one file.
    pub(crate) fn with_a_commit() -> Self {
        let upstream = Self::empty();
        upstream.commit("app.yaml", "kind: ConfigMap\n");
        upstream
    }

    /// The folder to serve.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn git_dir(&self) -> PathBuf {
        self.root.path().join("repo.git")
    }

    /// The working tree.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.work().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits everything in the working tree; returns the commit.
    pub(crate) fn commit_all(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    /// Writes one file and commits; returns the commit.
    pub(crate) fn commit(&self, path: &str, content: &str) -> String {
        self.write(path, content);
        self.commit_all(&format!("Change {path}"))
    }

    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs `git` in the working tree and returns what it prints. The user's own settings play no part.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new("git")
            .args(arguments)
            .current_dir(self.work())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_NAME", "test")
            .env("GIT_AUTHOR_EMAIL", "test@example.org")
            .env("GIT_COMMITTER_NAME", "test")
            .env("GIT_COMMITTER_EMAIL", "test@example.org")
            .output()
            .expect("git is installed");
        assert!(
            status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&stderr)
        );
        String::from_utf8(stdout).unwrap().trim_end().to_owned()
    }
}
