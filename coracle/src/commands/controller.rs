//! `coracle controller`: the flags of the controller, parsed once to its configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{ArgAction, ValueEnum};
use reconciler::api::GoDuration;
use reconciler::controller::{Config, ControllerError, Services};
use reconciler::plan::Guard;
use reconciler::report::redact::Redactor;
use telemetry::Redaction;
use telemetry::health::Readiness;
use telemetry::logs::{Format, LogConfig};
use telemetry::metrics::Metrics;
use telemetry::server::{Endpoints, Server};
use tokio_util::sync::CancellationToken;

use crate::cli::Global;
use crate::connect::connect_as_controller;
use crate::error::{Error, Kind};
use crate::parent::stdin_closed;
use crate::ui::Ui;

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
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrent: u16,
    /// ServiceAccount for Kustomizations that name none [default: the controller's own rights]
    #[arg(long, value_name = "NAME")]
    pub default_service_account: Option<String>,
    /// Refuse references to sources and dependencies in other namespaces
    #[arg(long, value_name = "BOOL", default_value_t = false, default_missing_value = "true",
        num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub no_cross_namespace_refs: bool,
    /// Accepted for Flux's sake: kustomizations that fetch bases from elsewhere are always refused
    #[arg(long, value_name = "BOOL", default_value_t = false, default_missing_value = "true",
        num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub no_remote_bases: bool,
    /// Reconcile objects of all namespaces, or only of the controller's own
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true",
        num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub watch_all_namespaces: bool,
    /// Accepted for Flux's sake: dependencies are followed by events
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        hide_default_value = true
    )]
    pub requeue_dependency: GoDuration,
    /// Variables that are used and not set fail a build
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true",
        num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub strict_substitutions: bool,
    /// Share of a large inventory, in percent, above which a prune asks; 100 asks only before everything goes
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub prune_guard: u8,
    /// Age of a pod from which on a crash or a refused image counts as a failure at the first back-off
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
    /// What wants attention.
    Warn,
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
    /// What it says.
    #[command(flatten)]
    pub args: Args,
}

/// An address as Go writes it: the host may be left out.
fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.to_owned()
    };
    full.parse()
        .map_err(|_| "expected an address such as `:8080` or `127.0.0.1:8080`".to_owned())
}

/// Runs the controller until it is told to stop.
///
/// # Errors
/// It cannot start, or loses its leases.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let cluster = connect_as_controller(global).await?;
    prepare_storage(&args.storage_path, ui)?;
    let redactor = Redactor::default();
    let redaction = {
        let redactor = redactor.clone();
        Redaction::new(move |text| redactor.mask(text))
    };
    telemetry::logs::start(&logging(args, redaction.clone())).map_err(cannot("set up logging"))?;
    let stop = telemetry::shutdown::on_signals().map_err(cannot("listen for signals"))?;
    if args.until_stdin_closes {
        let stop = stop.clone();
        tokio::spawn(async move {
            stdin_closed().await;
            stop.cancel();
        });
    }

    let metrics = Metrics::new().map_err(cannot("set up metrics"))?;
    let server = bind(args.metrics_addr, "metrics", "--metrics-addr").await?;
    let metrics_and_health = server.address();
    let readiness = Readiness::default();
    let services = Services {
        client: cluster.client,
        redactor,
        metrics: metrics.clone(),
        ready: readiness.check("leadership"),
        artifacts: bind(args.storage_addr, "artifacts", "--storage-addr").await?,
    };
    let endpoints = Endpoints {
        metrics,
        readiness,
        redaction,
    };
    // It answers until the controller has ended, so that probes see the end.
    let served = CancellationToken::new();
    let serving = tokio::spawn(server.serve(endpoints.router(), served.clone()));
    let artifacts = services.artifacts.address();
    let config = args.config(global, artifacts);
    say_start(&cluster.address, &config, metrics_and_health, artifacts);
    let ended = reconciler::controller::run(config, services, stop).await;
    served.cancel();
    let _ = serving.await;
    ended.map_err(|error| explain(error, args))
}

/// Listens on an address that an option names.
async fn bind(address: SocketAddr, what: &str, option: &str) -> Result<Server, Error> {
    Server::bind(address).await.map_err(|error| {
        Error::new(Kind::Machine, format!("cannot serve {what} at {address}"))
            .caused_by(error)
            .hint(format!("{option} names another address."))
    })
}

/// Makes the directory for repositories and artifacts, and says so: run by hand, nobody expects it.
fn prepare_storage(path: &Path, ui: &mut Ui) -> Result<(), Error> {
    let unusable = |error| {
        Error::new(Kind::Machine, format!("cannot write to {}", path.display()))
            .caused_by(error)
            .hint("--storage-path names another directory for repositories and artifacts.")
    };
    if !path.exists() {
        std::fs::create_dir_all(path).map_err(unusable)?;
        ui.progress(format_args!(
            "Made the directory {} for repositories and artifacts; --storage-path names another.",
            path.display()
        ))?;
    }
    // The permission bits do not tell it all: the file system may be mounted for reading.
    tempfile::tempfile_in(path).map(drop).map_err(unusable)
}

/// The first line of the log: which controller this is, and where.
fn say_start(cluster: &str, config: &Config, metrics_and_health: SocketAddr, artifacts: SocketAddr) {
    let namespaces = config.watch_namespace.as_deref().unwrap_or("all");
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        cluster,
        namespace = config.namespace,
        identity = config.identity,
        namespaces,
        %metrics_and_health,
        %artifacts,
        "the controller starts: it reconciles GitRepositories and Kustomizations"
    );
}

impl Args {
    /// What the flags mean, with the address that artifacts are served at: a port 0 has become one.
    fn config(&self, global: &Global, artifacts: SocketAddr) -> Config {
        let defaults = Config::default();
        let namespace = self
            .runtime_namespace
            .clone()
            .unwrap_or_else(|| global.namespace().to_owned());
        Config {
            watch_namespace: (!self.watch_all_namespaces).then(|| namespace.clone()),
            namespace,
            identity: self.identity.clone().unwrap_or_else(identity),
            storage: self.storage_path.clone(),
            artifact_host: self
                .storage_adv_addr
                .clone()
                .unwrap_or_else(|| artifacts.to_string()),
            default_service_account: self
                .default_service_account
                .clone()
                .filter(|name| !name.is_empty()),
            no_cross_namespace_refs: self.no_cross_namespace_refs,
            no_remote_bases: self.no_remote_bases,
            strict_substitutions: self.strict_substitutions,
            concurrent: self.concurrent.into(),
            prune_guard: Guard {
                share: f64::from(self.prune_guard) / 100.0,
                ..defaults.prune_guard
            },
            log_excerpts: !self.no_log_excerpts,
            failure_grace: self.failure_grace.0,
            leases: self.lease,
            ..defaults
        }
    }
}

fn logging(args: &Args, redaction: Redaction) -> LogConfig {
    let level = match args.log_level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    LogConfig {
        // The watches of kube-runtime say at `warn` what the reconciler says itself.
        filter: format!(
            "warn,kube_runtime=error,kube_client=error,coracle={level},reconciler={level},kustomize_rs={level},telemetry={level}"
        ),
        format: match args.log_encoding {
            None => Format::detect(),
            Some(LogEncoding::Console) => Format::Text { colours: false },
            Some(LogEncoding::Json) => Format::Json,
        },
        redaction,
    }
}

/// The host's name and the process's number: two controllers on one machine differ.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!(
        "{}_{}",
        if host.is_empty() { "coracle" } else { host },
        std::process::id()
    )
}

fn explain(error: ControllerError, args: &Args) -> Error {
    let (kind, remedy) = match &error {
        ControllerError::Discovery(_) | ControllerError::NotInstalled(_) | ControllerError::Deposed(_) => {
            (Kind::Cluster, None)
        }
        ControllerError::Storage(_) => (
            Kind::Machine,
            Some(format!(
                "{} has to be writable and used by one controller only: --storage-path names another.",
                args.storage_path.display()
            )),
        ),
        ControllerError::Broken => (Kind::Internal, None),
    };
    let ended = Error::new(kind, "the controller ended").caused_by(error);
    match remedy {
        Some(remedy) => ended.hint(remedy),
        None => ended,
    }
}

fn cannot<E: std::error::Error + Send + Sync + 'static>(doing: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::new(Kind::Internal, format!("cannot {doing}")).caused_by(error)
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
        assert!(
            args.no_cross_namespace_refs && args.no_remote_bases && !args.watch_all_namespaces && args.lease
        );
        assert_eq!(args.metrics_addr, "0.0.0.0:8081".parse().unwrap());
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_refused_with_the_remedy() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        std::fs::write(&file, "").unwrap();
        let (mut ui, captured) = Ui::captured();
        let error = prepare_storage(&file.join("data"), &mut ui).unwrap_err();
        assert_eq!(error.kind(), Kind::Machine);
        assert_eq!(
            error.hints(),
            ["--storage-path names another directory for repositories and artifacts."]
        );
        let made = scratch.path().join("a/b");
        prepare_storage(&made, &mut ui).unwrap();
        prepare_storage(&made, &mut ui).unwrap();
        assert_eq!(
            captured.err(),
            format!(
                "Made the directory {} for repositories and artifacts; --storage-path names another.\n",
                made.display()
            )
        );
    }
}
