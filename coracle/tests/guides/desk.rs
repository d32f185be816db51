//! A directory, programs that serve in the background, and a shell to type into.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::documents;

/// Where somebody works through a document.
pub(crate) struct Desk {
    directory: TempDir,
    servers: Vec<Child>,
}

/// How a command ended, and what it printed.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) printed: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            servers: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn shell(&self, folder: &str, text: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_coracle"));
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command
            .args(["-o", "pipefail", "-c", text])
            .current_dir(self.path(folder))
            .env("PATH", format!("{}:{path}", program.parent().unwrap().display()))
            .env("HOME", self.directory.path())
            .env("KUBECONFIG", self.path("kubeconfig"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Reader");
            command.env(format!("GIT_{role}_EMAIL"), "reader@example.org");
        }
        command
    }

    /// Types a command and waits for its end.
    pub(crate) fn run(&self, folder: &str, text: &str) -> Ended {
        let output = self.shell(folder, text).stdin(Stdio::null()).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        Ended {
            code: output.status.code().unwrap_or(-1),
            printed: String::from_utf8_lossy(&printed).into_owned(),
        }
    }

    /// Types a command that has to work.
    pub(crate) fn works(&self, folder: &str, text: &str) -> String {
        let ended = self.run(folder, text);
        assert_eq!(ended.code, 0, "{text}\n{}", ended.printed);
        ended.printed
    }

    /// Starts a program that serves, and gives the first line that it prints; the controller prints none. It ends when
    /// its standard input is closed, with this value.
    pub(crate) fn serve(&mut self, folder: &str, text: &str) -> String {
        let log = std::fs::File::create(self.path(&format!("server-{}.log", self.servers.len()))).unwrap();
        let mut child = self
            .shell(folder, &format!("exec {text} --until-stdin-closes"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        self.servers.push(child);
        if !text.starts_with("coracle controller") {
            BufReader::new(stdout).read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "{text} ended at once:\n{}", self.logs());
        }
        line.trim().to_owned()
    }

    /// What the programs that serve have logged.
    pub(crate) fn logs(&self) -> String {
        let log = |index| {
            let path = self.path(&format!("server-{index}.log"));
            std::fs::read_to_string(path).unwrap_or_default()
        };
        (0..self.servers.len()).map(log).collect()
    }

    /// A repository `shop` with this project's folders, and a branch for each environment.
    pub(crate) fn clone_of_this_project(&self) {
        let root = documents::root();
        let root = root.display();
        self.works(
            ".",
            &format!(
                "mkdir repositories && git init -q -b main repositories/shop && cd repositories/shop \
                 && cp -r {root}/apps {root}/clusters . && git add . && git commit -qm Begin \
                 && for it in dev prerelease staging production; do git branch $it; done"
            ),
        );
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for server in &mut self.servers {
            drop(server.stdin.take());
        }
        for server in &mut self.servers {
            // It has been told to end; one that ended before is no failure of the test.
            let _ = server.wait();
        }
    }
}
