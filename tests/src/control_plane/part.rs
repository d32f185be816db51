//! One process of a control plane, with a log, that ends with this process. Does I/O.

use std::fmt;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A part that is about to be started.
pub(crate) struct Start {
    name: &'static str,
    command: Command,
}

/// A part that was started. It is killed when this is dropped, and ends by itself when this process does: the pipe
/// to its standard input closes then.
pub(crate) struct Part {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Part {
    /// The part of this name of the program.
    #[expect(clippy::new_ret_no_self, reason = "a part exists once it was started")]
    pub(crate) fn new(program: &Path, name: &'static str) -> Start {
        let mut command = Command::new(program);
        command.arg(name).env("CONTROLPLANE_PARENT", "stdin");
        Start { name, command }
    }

    /// Stops it where it is, or has it go on.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success(), "{self} cannot be sent {signal}");
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A program of its own; it does not notice when this process ends.
    pub(crate) fn other(name: &'static str) -> Start {
        let command = Command::new(name);
        Start { name, command }
    }

    /// How it ended, if it did, and where to read why.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().unwrap()?;
        Some(format!("{self} ended with {status}"))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (its log: {})", self.name, self.log.display())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Start {
    pub(crate) fn arguments(mut self, arguments: Vec<String>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Has it remove this folder when this process ends without having done so.
    pub(crate) fn removes(mut self, folder: &Path) -> Self {
        self.command.env("CONTROLPLANE_SCRATCH", folder);
        self
    }

    /// Starts it; what it says goes to the end of the file, which may be that of one before it.
    pub(crate) fn start(mut self, log: &Path) -> Part {
        let file = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = self
            .command
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} cannot be run: {error}", self.command.get_program()));
        Part {
            name: self.name,
            child,
            log: log.to_owned(),
        }
    }
}
