//! `coracle controller`: the flags of the controller, parsed once to its configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, ValueEnum};
use reconciler::api::GoDuration;

use crate::cli::Global;
use crate::error::{Error, Kind};

/// Arguments of `controller`. Flags that Flux's controllers have carry Flux's names.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address of metrics and health
    #[arg(long, value_name = "ADDRESS", default_value = ":8080", value_parser = address)]
    pub metrics_addr: SocketAddr,
    /// Address that artifacts are served at
    #[arg(long, value_name = "ADDRESS", default_value = ":9090", value_parser = address)]
    pub storage_addr: SocketAddr,
    /// Host and port under which other controllers reach the artifacts [default: that of --storage-addr]
    #[arg(long, value_name = "HOST:PORT")]
    pub storage_adv_addr: Option<String>,
    /// Directory for repositories and artifacts
    #[arg(long, value_name = "DIRECTORY", default_value = "/data")]
    pub storage_path: PathBuf,
    /// Kustomizations that are built and applied at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrent: u16,
    /// ServiceAccount for Kustomizations that name none [default: the controller's own rights]
    #[arg(long, value_name = "NAME")]
    pub default_service_account: Option<String>,
    /// Refuse references to sources and dependencies in other namespaces
    #[arg(long, value_name = "BOOL", default_value_t = false, default_missing_value = "true",
        num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub no_cross_namespace_refs: bool,
    /// Refuse kustomizations that fetch bases from elsewhere
    #[arg(long, value_name = "BOOL", default_value_t = false, default_missing_value = "true",
        num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub no_remote_bases: bool,
    /// Reconcile objects of all namespaces, or only of the controller's own
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true",
        num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub watch_all_namespaces: bool,
    /// Reconcile only objects with these labels
    #[arg(long, value_name = "SELECTOR")]
    pub watch_label_selector: Option<String>,
    /// How far timers are spread, in percent of the interval
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=50))]
    pub interval_jitter_percentage: u8,
    /// Accepted for Flux's sake: dependencies are followed by events
    #[arg(long, value_name = "DURATION", default_value = "30s", hide_default_value = true)]
    pub requeue_dependency: GoDuration,
    /// Share of an inventory, in percent, above which a prune asks for confirmation; 0 never asks
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub prune_guard: u8,
    /// How long a crash or a refused image may last before it counts as a failure
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub failure_grace: GoDuration,
    /// Leave log lines of containers out of what is said about failures
    #[arg(long)]
    pub no_log_excerpts: bool,
    /// Hold Flux's leases while running; only tests do without
    #[arg(long, alias = "enable-leader-election", value_name = "BOOL", default_value_t = true,
        default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub lease: bool,
    /// Least level of log lines
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
    /// How log lines look [default: console on a terminal, else json]
    #[arg(long, value_name = "ENCODING")]
    pub log_encoding: Option<LogEncoding>,
    /// Namespace that the controller runs in [default: that of --namespace]
    #[arg(long, value_name = "NAME", env = "RUNTIME_NAMESPACE", hide_env_values = true)]
    pub runtime_namespace: Option<String>,
    /// Name of this process in leases [default: the host's name and the process's number]
    #[arg(long, value_name = "NAME", env = "POD_NAME", hide_env_values = true)]
    pub identity: Option<String>,
    /// End when standard input is closed
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

/// Levels of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What happens.
    Info,
    /// What goes wrong.
    Error,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogEncoding {
    /// For people.
    Console,
    /// For machines.
    Json,
}

/// The controller's command line by itself, to check flags that are only written down.
#[derive(Debug, clap::Parser)]
#[command(name = "coracle controller")]
pub struct Line {
    #[command(flatten)]
    #[allow(dead_code)]
    args: Args,
}

/// An address as Go writes it: the host may be left out.
fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    full.parse().map_err(|_| "expected an address such as `:8080` or `127.0.0.1:8080`".to_owned())
}

/// Runs the controller until it is told to stop.
///
/// # Errors
/// It cannot start, or loses its leases.
#[expect(clippy::unused_async, reason = "the controller is not wired yet")]
pub async fn run(_args: &Args, _global: &Global) -> Result<(), Error> {
    Err(Error::new(Kind::Internal, "the controller is not wired yet"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn flags_are_understood_as_flux_writes_them() {
        let line = [
            "coracle controller",
            "--no-cross-namespace-refs=true",
            "--no-remote-bases",
            "--watch-all-namespaces=false",
            "--default-service-account=default",
            "--metrics-addr=:8081",
            "--requeue-dependency=5s",
            "--log-level=debug",
            "--log-encoding=json",
            "--enable-leader-election",
        ];
        let args = Line::try_parse_from(line).unwrap().args;
        assert!(args.no_cross_namespace_refs && args.no_remote_bases && !args.watch_all_namespaces && args.lease);
        assert_eq!(args.metrics_addr, "0.0.0.0:8081".parse().unwrap());
    }
}
