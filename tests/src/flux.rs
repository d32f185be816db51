//! Flux's own controllers and command line, to compare with. Does I/O.
//!
//! In: the programs that `.ci/tools flux` builds from `tests/flux`. Out: both controllers at work outside of a
//! cluster, and the definitions that they need.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::Process;
use crate::world::NAMESPACE;

/// A program of Flux and the variable that names its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Fetches.
    SourceController,
    /// Applies.
    KustomizeController,
    /// The command line.
    CommandLine,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::SourceController => "source-controller",
            Self::KustomizeController => "kustomize-controller",
            Self::CommandLine => "flux",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::SourceController => "CORACLE_FLUX_SOURCE_CONTROLLER",
            Self::KustomizeController => "CORACLE_FLUX_KUSTOMIZE_CONTROLLER",
            Self::CommandLine => "CORACLE_FLUX_CLI",
        }
    }

    fn folder(self) -> PathBuf {
        let folder = std::env::var_os(self.variable());
        let folder = folder.unwrap_or_else(|| {
            panic!(
                "{} does not name Flux's {}: run it by `make`",
                self.variable(),
                self.name()
            )
        });
        PathBuf::from(folder)
    }

    /// The program.
    ///
    /// # Panics
    /// When it was not built.
    #[must_use]
    pub fn command(self) -> Command {
        Command::new(self.folder().join(self.name()))
    }
}

/// Both controllers; they are killed when this is dropped.
pub struct Flux {
    /// The one that fetches.
    pub source: Process,
    /// The one that applies.
    pub kustomize: Process,
}

impl Flux {
    /// Starts both on the cluster of a kubeconfig, with what they keep in a folder and more flags for the controller
    /// that applies.
    ///
    /// # Panics
    /// When a program was not built or cannot be started.
    #[must_use]
    pub fn start(kubeconfig: &str, folder: &Path, flags: &[String]) -> Self {
        Self {
            source: start_source(kubeconfig, folder),
            kustomize: start_kustomize(kubeconfig, folder, flags),
        }
    }

    /// Fails when one of them has ended.
    ///
    /// # Panics
    /// With its last lines.
    pub fn assert_runs(&self) {
        self.source.assert_runs();
        self.kustomize.assert_runs();
    }
}

/// Starts the controller that fetches.
///
/// # Panics
/// When it was not built or cannot be started.
#[must_use]
pub fn start_source(kubeconfig: &str, folder: &Path) -> Process {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let artifacts = listener.local_addr().unwrap();
    drop(listener);
    let storage = folder.join("flux-storage");
    std::fs::create_dir_all(&storage).unwrap();
    let flags = [
        format!("--storage-path={}", storage.display()),
        format!("--storage-addr={artifacts}"),
        format!("--storage-adv-addr={artifacts}"),
    ];
    start(Program::SourceController, kubeconfig, folder, &flags)
}

/// Starts the controller that applies.
///
/// # Panics
/// When it was not built or cannot be started.
#[must_use]
pub fn start_kustomize(kubeconfig: &str, folder: &Path, flags: &[String]) -> Process {
    start(Program::KustomizeController, kubeconfig, folder, flags)
}

fn start(program: Program, kubeconfig: &str, folder: &Path, flags: &[String]) -> Process {
    let name = program.name();
    let path = folder.join("flux.kubeconfig");
    std::fs::write(&path, kubeconfig).unwrap();
    // Another one of them would tidy up what it takes for its own.
    let scratch = folder.join(format!("{name}-scratch"));
    std::fs::create_dir_all(&scratch).unwrap();
    let mut command = program.command();
    command
        .args(["--watch-all-namespaces", "--enable-leader-election=false"])
        .args(["--events-addr=", "--metrics-addr=0", "--health-addr=0"])
        .args(flags)
        .env("KUBECONFIG", &path)
        .env("RUNTIME_NAMESPACE", NAMESPACE)
        // It names files in it.
        .env("HOME", "/home/flux")
        .env("TMPDIR", scratch);
    Process::start(&command, &folder.join(format!("{name}.log")))
}

/// Flux's definitions, as it is installed with.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn definitions() -> Vec<Value> {
    let folders = [Program::SourceController, Program::KustomizeController];
    let mut files: Vec<PathBuf> = folders
        .into_iter()
        .flat_map(|program| std::fs::read_dir(program.folder().join("crds")).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|path| definition(path)).collect()
}

fn definition(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
