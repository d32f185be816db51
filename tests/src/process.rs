//! A program beside the test that ends with it, and what it costs. Does I/O.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Runs its arguments, tells their process id, and kills them when its standard input closes: that happens however
/// this process ends, and the programs know nothing of it.
const KEEPER: &str = r#""$@" <&- >&2 & echo $!; exec >&-; cat >/dev/null; kill -9 $!"#;

/// A program that runs; it is killed when this is dropped.
pub struct Process {
    name: String,
    keeper: Child,
    id: u32,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it says goes to the file.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(program: &Command, log: &Path) -> Self {
        let name = program.get_program().to_string_lossy().into_owned();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(program.get_program());
        keeper.args(program.get_args());
        for (variable, value) in program.get_envs() {
            match value {
                Some(value) => keeper.env(variable, value),
                None => keeper.env_remove(variable),
            };
        }
        let mut keeper = keeper
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log).unwrap())
            .spawn()
            .unwrap();
        let mut id = String::new();
        let told = keeper.stdout.take().unwrap();
        BufReader::new(told).read_line(&mut id).unwrap();
        Self {
            id: id.trim().parse().unwrap(),
            log: log.to_owned(),
            name,
            keeper,
        }
    }

    /// The last lines of what it said.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Fails when it has ended.
    ///
    /// # Panics
    /// With its last lines.
    pub fn assert_runs(&self) {
        let alive = self.state().is_some_and(|state| state != "Z");
        assert!(alive, "{} has ended:\n{}", self.name, self.last_words());
    }

    /// CPU seconds so far: fields 14 and 15 of `/proc/PID/stat`, in hundredths.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        let fields = self.stat().unwrap_or_default();
        let ticks = fields
            .iter()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok());
        ticks.sum::<f64>() / 100.0
    }

    /// A line of `/proc/PID/status` in MiB, such as `VmHWM`.
    #[must_use]
    pub fn mebibytes(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kibibytes.unwrap_or_default().div_ceil(1024)
    }

    fn state(&self) -> Option<String> {
        self.stat()?.into_iter().next()
    }

    /// What follows the name, which may hold anything.
    fn stat(&self) -> Option<Vec<String>> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id)).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        Some(fields.split(' ').map(ToOwned::to_owned).collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // It ends when it has killed the program.
        let _ = self.keeper.wait();
    }
}
