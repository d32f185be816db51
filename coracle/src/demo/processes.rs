//! Processes that the demonstration runs: this same program in other roles. Does I/O.
//!
//! A child ends with its parent, however that ends: its standard input is a pipe that closes with the parent
//! (`--until-stdin-closes`), and it is killed by its own id when it is dropped.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// How long a child may take to end by itself.
const END: Duration = Duration::from_secs(10);

/// A role of this program, running.
#[derive(Debug)]
pub struct Role {
    child: Child,
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

impl Role {
    /// Starts this program with these arguments; what it logs goes to a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(arguments: &[String], log: &Path) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            // Ctrl-C is for the parent, which ends its children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            stdin: child.stdin.take(),
            child,
            log: log.to_owned(),
        })
    }

    /// The first line that the process prints.
    ///
    /// # Errors
    /// It ends without printing one.
    pub async fn first_line(&mut self) -> io::Result<String> {
        let closed = || io::Error::new(io::ErrorKind::UnexpectedEof, "it ended at once");
        let stdout = self.child.stdout.take().ok_or_else(closed)?;
        let mut lines = BufReader::new(stdout).lines();
        lines.next_line().await?.ok_or_else(closed)
    }

    /// Whether it ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What it logged that went wrong, at most so many lines; its last lines if nothing did.
    #[must_use]
    pub fn complaints(&self, count: usize) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        complaints(&String::from_utf8_lossy(&log), count)
    }

    /// Asks it to end, waits, and kills it if it does not.
    pub async fn end(mut self) {
        drop(self.stdin.take());
        if tokio::time::timeout(END, self.child.wait()).await.is_err() {
            // It is ours and still there; when it ended meanwhile there is nothing left to do.
            let _ = self.child.kill().await;
        }
    }
}

fn complaints(log: &str, count: usize) -> String {
    let is_bad = |line: &&str| {
        line.starts_with("error: ")
            || line.contains(" WARN ")
            || line.contains("ERROR ")
            || line.contains("panicked")
    };
    let bad: Vec<&str> = log.lines().filter(is_bad).collect();
    let lines = if bad.is_empty() {
        log.lines().collect()
    } else {
        bad
    };
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::complaints;

    #[test]
    fn of_a_log_what_went_wrong_is_shown_and_else_its_end() {
        let log = "T  INFO leading\nT  WARN no host\nT  INFO applied\nT ERROR broken\n";
        assert_eq!(complaints(log, 2), "T  WARN no host\nT ERROR broken");
        assert_eq!(complaints(log, 1), "T ERROR broken");
        assert_eq!(complaints("T  INFO a\nT  INFO b\n", 1), "T  INFO b");
    }
}
