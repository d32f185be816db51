//! Repositories that the story is told with, by the program `git`. Does I/O: files and processes.
//!
//! Nothing of the person's own configuration takes part: no hooks, no signing, no name.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Why a repository could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// `git` said no.
    #[error("git {command}: {message}")]
    Git {
        /// What was asked.
        command: String,
        /// What it answered.
        message: String,
    },
    /// `git` could not be run.
    #[error("cannot run `git`: is it installed?")]
    Missing(#[source] io::Error),
    /// A file could not be read or written.
    #[error("cannot work on {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A repository with a work tree.
#[derive(Clone, Debug)]
pub struct Repository {
    directory: PathBuf,
}

impl Repository {
    /// Makes a bare repository.
    ///
    /// # Errors
    /// `git` fails.
    pub async fn create_bare(path: &Path) -> Result<(), RepositoryError> {
        fs::create_dir_all(path).map_err(|source| file(path, source))?;
        let bare = Self {
            directory: path.to_owned(),
        };
        bare.git(&["init", "--quiet", "--bare", "--initial-branch=main"])
            .await?;
        bare.git(&["config", "uploadpack.allowAnySHA1InWant", "true"])
            .await?;
        Ok(())
    }

    /// A repository that is there already.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self {
            directory: path.to_owned(),
        }
    }

    /// Branches and the commits that they are at.
    ///
    /// # Errors
    /// `git` fails.
    pub async fn heads(&self) -> Result<BTreeMap<String, String>, RepositoryError> {
        let format = "--format=%(refname:lstrip=2) %(objectname)";
        let listed = self.git(&["for-each-ref", format, "refs/heads"]).await?;
        let head = |line: &str| {
            line.split_once(' ')
                .map(|(branch, commit)| (branch.to_owned(), commit.to_owned()))
        };
        Ok(listed.lines().filter_map(head).collect())
    }

    /// The first line of a commit's message.
    ///
    /// # Errors
    /// `git` fails.
    pub async fn subject(&self, commit: &str) -> Result<String, RepositoryError> {
        let shown = self.git(&["show", "--no-patch", "--format=%s", commit]).await?;
        Ok(shown.trim().to_owned())
    }

    /// Makes an empty repository whose `origin` is this address.
    ///
    /// # Errors
    /// `git` fails.
    pub async fn create(path: &Path, origin: &str) -> Result<Self, RepositoryError> {
        fs::create_dir_all(path).map_err(|source| file(path, source))?;
        let repository = Self {
            directory: path.to_owned(),
        };
        repository
            .git(&["init", "--quiet", "--initial-branch=main"])
            .await?;
        repository.git(&["remote", "add", "origin", origin]).await?;
        Ok(repository)
    }

    /// Clones a repository.
    ///
    /// # Errors
    /// `git` fails.
    pub async fn clone(url: &str, path: &Path) -> Result<Self, RepositoryError> {
        fs::create_dir_all(path).map_err(|source| file(path, source))?;
        let repository = Self {
            directory: path.to_owned(),
        };
        repository.git(&["clone", "--quiet", url, "."]).await?;
        Ok(repository)
    }

    /// Copies a directory into the work tree: its files and directories, and no links.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn copy(&self, from: &Path, to: &str) -> Result<(), RepositoryError> {
        copy_directory(from, &self.directory.join(to))
    }

    /// Reads a file of the work tree.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, path: &str) -> Result<String, RepositoryError> {
        let path = self.directory.join(path);
        fs::read_to_string(&path).map_err(|source| file(&path, source))
    }

    /// Writes a file of the work tree.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<(), RepositoryError> {
        let path = self.directory.join(path);
        fs::write(&path, text).map_err(|source| file(&path, source))
    }

    /// Removes a file of the work tree.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, path: &str) -> Result<(), RepositoryError> {
        let path = self.directory.join(path);
        fs::remove_file(&path).map_err(|source| file(&path, source))
    }

    /// Commits everything and returns the commit's hash.
    ///
    /// # Errors
    /// `git` fails, also when there is nothing to commit.
    pub async fn commit(&self, message: &str) -> Result<String, RepositoryError> {
        self.git(&["add", "--all"]).await?;
        self.git(&["commit", "--quiet", "--message", message]).await?;
        self.head().await
    }

    /// Starts a branch at the current commit and changes to it.
    ///
    /// # Errors
    /// `git` fails.
    pub async fn branch(&self, name: &str) -> Result<(), RepositoryError> {
        self.git(&["checkout", "--quiet", "-b", name]).await.map(drop)
    }

    /// Changes to a branch.
    ///
    /// # Errors
    /// `git` fails.
    pub async fn checkout(&self, name: &str) -> Result<(), RepositoryError> {
        self.git(&["checkout", "--quiet", name]).await.map(drop)
    }

    /// Merges a branch into the current one, with a merge commit, and returns its hash.
    ///
    /// # Errors
    /// `git` fails.
    pub async fn merge(&self, name: &str, message: &str) -> Result<String, RepositoryError> {
        self.git(&["merge", "--quiet", "--no-ff", "-m", message, name])
            .await?;
        self.head().await
    }

    /// Takes the last commit back by a new one and returns its hash.
    ///
    /// # Errors
    /// `git` fails.
    pub async fn revert(&self) -> Result<String, RepositoryError> {
        self.git(&["revert", "--no-edit", "HEAD"]).await?;
        self.head().await
    }

    /// Pushes a branch to `origin`.
    ///
    /// # Errors
    /// `git` fails.
    pub async fn push(&self, branch: &str) -> Result<(), RepositoryError> {
        self.git(&["push", "--quiet", "origin", branch]).await.map(drop)
    }

    /// The current commit's hash.
    ///
    /// # Errors
    /// `git` fails.
    pub async fn head(&self) -> Result<String, RepositoryError> {
        Ok(self.git(&["rev-parse", "HEAD"]).await?.trim().to_owned())
    }

    async fn git(&self, arguments: &[&str]) -> Result<String, RepositoryError> {
        let output = Command::new("git")
            .args([
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "commit.gpgSign=false",
                "-c",
                "core.autocrlf=false",
            ])
            .args(arguments)
            .current_dir(&self.directory)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .envs(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].map(|name| (name, "Coracle demo")))
            .envs(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "demo@coracle.invalid")))
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .output()
            .await
            .map_err(RepositoryError::Missing)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(RepositoryError::Git {
            command: arguments.join(" "),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

fn file(path: &Path, source: io::Error) -> RepositoryError {
    RepositoryError::File {
        path: path.to_owned(),
        source,
    }
}

fn copy_directory(from: &Path, to: &Path) -> Result<(), RepositoryError> {
    fs::create_dir_all(to).map_err(|source| file(to, source))?;
    for entry in fs::read_dir(from).map_err(|source| file(from, source))? {
        let entry = entry.map_err(|source| file(from, source))?;
        let path = entry.path();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().map_err(|source| file(&path, source))?;
        if kind.is_dir() {
            copy_directory(&path, &target)?;
        } else if kind.is_file() {
            fs::copy(&path, &target).map_err(|source| file(&path, source))?;
        }
    }
    Ok(())
}
