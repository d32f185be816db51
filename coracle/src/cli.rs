//! The command line as typed. No I/O.
//!
//! Each command's arguments stand beside the command, in `commands/<verb>.rs`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands;

/// Keeps a Kubernetes cluster in step with Git.
///
/// Coracle reads Flux's GitRepository and Kustomization objects, builds what they name, applies it, waits until
/// it is healthy, and says why when it is not. `coracle demo` shows all of it on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "coracle",
    version,
    max_term_width = 110,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// File that says how to reach the cluster [default: $KUBECONFIG, else ~/.kube/config, else the pod's account]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use [default: its current one]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the objects [default: flux-system]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// When to write colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// The namespace that is meant unless another one is named: Flux's.
pub const USUAL_NAMESPACE: &str = "flux-system";

impl Global {
    /// The namespace that is named, or the usual one.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(USUAL_NAMESPACE)
    }
}

/// When to write colours.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Color {
    /// Where a terminal reads them.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl From<Color> for anstream::ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the manifests that install Coracle into a cluster
    Install(commands::install::Args),
    /// Take Coracle out of a cluster and leave the applications running
    Uninstall(commands::uninstall::Args),
    /// Print Kustomizations and sources with their state
    Get(commands::get::Args),
    /// Print what a Kustomization applied, as a tree
    Tree(commands::tree::Args),
    /// Print what happened, from the cluster's events
    Events(commands::events::Args),
    /// Ask for a reconciliation now and wait for its end
    Reconcile(commands::reconcile::Args),
    /// Stop reconciling an object
    Suspend(commands::suspend::Args),
    /// Go on reconciling an object
    Resume(commands::resume::Args),
    /// Print what a Kustomization would apply, from files on this machine
    Build(Box<commands::build::Args>),
    /// Print what applying files on this machine would change, prunes included
    Diff(Box<commands::diff::Args>),
    /// Run the controller
    Controller(Box<commands::controller::Args>),
    /// Run a Kubernetes API in memory, to try things out
    EmbeddedCluster(commands::embedded_cluster::Args),
    /// Serve Git repositories of this machine, to try things out
    GitServer(commands::git_server::Args),
    /// Tell the whole story on this machine: environments, a merge, drift, a failure, a revert
    Demo(commands::demo::Args),
    /// Print a script that completes commands in a shell
    Completion(commands::completion::Args),
    /// Print the version, and whether a controller works in the cluster, with the remedy if none does
    Version(commands::version::Args),
    /// Write the files that are generated from code
    #[command(hide = true)]
    Generate(commands::generate::Args),
}
