//! `coracle controller`: the flags of the controller, parsed once to its configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, ValueEnum};
use reconciler::api::GoDuration;
use reconciler::controller::{Config, Services};
use reconciler::plan::Guard;
use reconciler::report::redact::Redactor;
use telemetry::Redaction;
use telemetry::health::Readiness;
use telemetry::logs::{Format, LogConfig};
use telemetry::metrics::Metrics;
use telemetry::server::{Endpoints, Server};
use tokio_util::sync::CancellationToken;

use crate::cli::Global;
use crate::connect::connect;
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
    #[arg(long, value_name = "DURATION", default_value = "1m")]
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
pub async fn run(args: &Args, global: &Global) -> Result<(), Error> {
    let redactor = Redactor::default();
    let redaction = Redaction::new({
        let redactor = redactor.clone();
        move |text| redactor.mask(text)
    });
    start_logs(args, redaction.clone())?;
    let failed = |doing: &str| format!("the controller cannot {doing}");
    let stop = telemetry::shutdown::on_signals()
        .map_err(|error| Error::new(Kind::Internal, failed("listen for signals")).caused_by(error))?;
    let metrics = Metrics::new()
        .map_err(|error| Error::new(Kind::Internal, failed("register its metrics")).caused_by(error))?;
    let readiness = Readiness::default();
    let ready = readiness.check("leadership");
    let endpoints = Endpoints { metrics: metrics.clone(), readiness, redaction };
    let server = Server::bind(args.metrics_addr)
        .await
        .map_err(|error| Error::new(Kind::Internal, failed("serve its metrics")).caused_by(error))?;
    let serving = CancellationToken::new();
    let served = tokio::spawn(server.serve(endpoints.router(), serving.clone()));
    let cluster = connect(global).await?;
    let services = Services { client: cluster.client, redactor, metrics, ready };
    let ended = reconciler::controller::run(config(args, global), services, stop).await;
    serving.cancel();
    // Its only failure is of a listener that is gone by now.
    let _ = served.await;
    ended.map_err(|error| Error::new(Kind::Cluster, "the controller stopped").caused_by(error))
}

fn start_logs(args: &Args, redaction: Redaction) -> Result<(), Error> {
    let level = match args.log_level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Error => "error",
    };
    let format = match args.log_encoding {
        Some(LogEncoding::Console) => Format::Text { colours: false },
        Some(LogEncoding::Json) => Format::Json,
        None => Format::detect(),
    };
    // The watches of kube-runtime say at `warn` what the reconciler says itself.
    let filter = format!("{level},kube_runtime=error,kube_client=error");
    telemetry::logs::start(&LogConfig { filter, format, redaction })
        .map_err(|error| Error::new(Kind::Internal, "logging cannot start").caused_by(error))
}

fn config(args: &Args, global: &Global) -> Config {
    let namespace = args.runtime_namespace.clone().unwrap_or_else(|| global.namespace.clone());
    let artifact_host = args.storage_adv_addr.clone().unwrap_or_else(|| args.storage_addr.to_string());
    let share = f64::from(args.prune_guard) / 100.0;
    Config {
        identity: args.identity.clone().unwrap_or_else(|| format!("coracle-{}", std::process::id())),
        watch_namespace: (!args.watch_all_namespaces).then(|| namespace.clone()),
        namespace,
        storage: args.storage_path.clone(),
        artifact_address: args.storage_addr,
        artifact_host,
        default_service_account: args.default_service_account.clone(),
        no_cross_namespace_refs: args.no_cross_namespace_refs,
        no_remote_bases: args.no_remote_bases,
        concurrent: usize::from(args.concurrent),
        prune_guard: Guard { share: if args.prune_guard == 0 { 1.0 } else { share }, ..Guard::default() },
        log_excerpts: !args.no_log_excerpts,
        failure_grace: args.failure_grace.0,
        leases: args.lease,
        ..Config::default()
    }
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
