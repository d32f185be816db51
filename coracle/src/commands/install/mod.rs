//! `coracle install`: prints the manifests that install Coracle. Does I/O through [`Ui`] only.
//!
//! In: where and how. Out: YAML for `kubectl apply`, in the order in which it is to be applied.

use std::fmt::Write as _;
use std::path::{Component, Path};

use clap::Parser as _;
use reconciler::api::crds;
use reconciler::api::rbac::{self, ApplyRights};
use serde_json::{Value, json};

use crate::cli::{Cli, Command, Global};
use crate::error::{Error, Kind};
use crate::ui::{Styled, Ui, WARN, yaml};

use super::controller;

/// Label of everything that is installed; `uninstall` goes by it.
pub(super) const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "coracle");

/// The image that is run unless another one is named.
const DEFAULT_IMAGE: &str = concat!("coracle:", env!("CARGO_PKG_VERSION"));
/// The port of the Service `coracle` that artifacts are served at.
const ARTIFACTS_PORT: u16 = 9090;

/// Flags that keep tenants apart, as Flux's documentation asks for them.
const TENANT_FLAGS: [&str; 3] = [
    "--no-cross-namespace-refs=true",
    "--no-remote-bases=true",
    "--default-service-account=default",
];

/// Arguments of `install`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    coracle install --image IMAGE | kubectl apply --server-side -f -\n  \
    coracle install --tenant-only -- --log-level=debug | kubectl apply --server-side -f -")]
pub struct Args {
    #[arg(long, value_name = "IMAGE", help = concat!(
        "Image of the controller [default: coracle:", env!("CARGO_PKG_VERSION"), ", which has to be made first]"
    ))]
    image: Option<String>,
    /// Reconcile objects of all namespaces, or only of Coracle's own
    #[arg(
        long, value_name = "BOOL", default_value_t = true, default_missing_value = "true",
        num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set
    )]
    watch_all_namespaces: bool,
    /// Give the controller no right to apply: only the ServiceAccounts that Kustomizations name may
    #[arg(long)]
    tenant_only: bool,
    /// Print only the definitions of GitRepository and Kustomization
    #[arg(long)]
    crds_only: bool,
    /// Flags of `coracle controller` to run it with
    #[arg(last = true, value_name = "CONTROLLER_FLAGS")]
    controller_flags: Vec<String>,
}

/// Prints the manifests.
///
/// # Errors
/// A name, an image or a flag cannot be used.
pub fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let manifests = manifests(args, global.namespace())?;
    if args.image.is_none() && !args.crds_only {
        warn_of_default_image(ui)?;
    }
    ui.text(&manifests)
}

/// Nothing pulls an image that nobody made: said on standard error, beside the manifests.
fn warn_of_default_image(ui: &mut Ui) -> Result<(), Error> {
    let missing = format!(
        "warning: no --image was named: the cluster has to have the image `{DEFAULT_IMAGE}`, which no registry offers"
    );
    ui.progress(Styled::new(WARN, missing))?;
    ui.hint(
        "Make it: `make image` in a clone of Coracle's repository. docs/guides/install.md says how a k3s machine imports it \
         under this name, and how to push it and name it with --image.",
    )
}

/// The manifests as `coracle install` prints them without arguments.
pub(super) fn default_manifests() -> Result<String, Error> {
    match Cli::parse_from(["coracle", "install"]) {
        Cli {
            command: Command::Install(args),
            global,
        } => manifests(&args, global.namespace()),
        _ => Err(Error::new(Kind::Internal, "`install` is not a command")),
    }
}

/// The manifests as one YAML text.
pub(super) fn manifests(args: &Args, namespace: &str) -> Result<String, Error> {
    let definitions = definitions()?;
    if args.crds_only {
        return Ok(definitions);
    }
    check_namespace(namespace)?;
    check_image(args.image())?;
    let rights = if args.tenant_only {
        ApplyRights::TenantsOnly
    } else {
        ApplyRights::Cluster
    };
    Ok([
        format!(
            "# Coracle {}, printed by `coracle install`.\n",
            env!("CARGO_PKG_VERSION")
        ),
        namespace_manifest(namespace),
        definitions,
        rbac::manifests(namespace, rights),
        deployment(args, namespace)?,
    ]
    .concat())
}

/// The definitions as YAML documents, each ended by its separator.
pub(super) fn definitions() -> Result<String, Error> {
    let mut out = String::new();
    for crd in crds() {
        let mut crd = serde_json::to_value(crd)
            .map_err(|error| Error::new(Kind::Internal, "cannot write a definition").caused_by(error))?;
        crd["metadata"]["labels"] = json!({ PART_OF.0: PART_OF.1 });
        out.push_str(&yaml(&crd));
        out.push_str("---\n");
    }
    Ok(out)
}

fn namespace_manifest(namespace: &str) -> String {
    let manifest: Value = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": namespace,
            "labels": {
                PART_OF.0: PART_OF.1,
                "pod-security.kubernetes.io/enforce": "restricted",
            },
        },
    });
    format!("{}---\n", yaml(&manifest))
}

fn deployment(args: &Args, namespace: &str) -> Result<String, Error> {
    let flags = flags(args, namespace);
    let line =
        controller::Line::try_parse_from(std::iter::once(&"coracle controller".to_owned()).chain(&flags))
            .map_err(|error| {
                Error::new(Kind::Usage, "the controller would not understand its flags")
                    .caused_by(error.to_string().trim().to_owned())
            })?;
    check_controller(&line.args)?;
    let mut lines = String::new();
    for flag in &flags {
        // JSON's strings are YAML's.
        let _ = write!(
            lines,
            "{}            - {}",
            if lines.is_empty() { "" } else { "\n" },
            json!(flag)
        );
    }
    Ok(include_str!("deployment.yaml")
        .replace("\"{{namespace}}\"", yaml(&json!(namespace)).trim_end())
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{image}}", &json!(args.image()).to_string())
        .replace("{{storage}}", &json!(line.args.storage_path).to_string())
        .replace("{{metrics}}", &line.args.metrics_addr.port().to_string())
        .replace("{{artifacts}}", &line.args.storage_addr.port().to_string())
        .replace("{{args}}", &lines))
}

/// The controller's flags: ours, but for those that the user sets, then the user's.
fn flags(args: &Args, namespace: &str) -> Vec<String> {
    let mut ours = vec![
        "--storage-path=/data".to_owned(),
        format!("--storage-adv-addr=coracle.{namespace}.svc.cluster.local.:{ARTIFACTS_PORT}"),
        format!("--watch-all-namespaces={}", args.watch_all_namespaces),
    ];
    if args.tenant_only {
        ours.extend(TENANT_FLAGS.map(str::to_owned));
    }
    let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
    let theirs: Vec<String> = args.controller_flags.iter().map(|flag| name(flag)).collect();
    ours.retain(|flag| !theirs.contains(&name(flag)));
    ours.extend(args.controller_flags.iter().cloned());
    ours
}

impl Args {
    fn image(&self) -> &str {
        self.image.as_deref().unwrap_or(DEFAULT_IMAGE)
    }
}

fn check_namespace(name: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = !name.is_empty()
        && name.len() <= 63
        && name.chars().all(fits)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if is_label {
        return Ok(());
    }
    Err(
        Error::new(Kind::Usage, format!("`{name}` cannot be the name of a namespace"))
            .hint("Lower-case letters, digits and `-` are allowed, 63 characters at most."),
    )
}

/// Flags with which the pod could not be made, or would never be ready.
fn check_controller(args: &controller::Args) -> Result<(), Error> {
    let (storage, metrics, artifacts) = (&args.storage_path, args.metrics_addr, args.storage_addr);
    let shown = storage.display();
    let is_plain = storage.is_absolute() && !storage.components().any(|it| it == Component::ParentDir);
    let wrong = if !is_plain || storage.to_string_lossy().contains(':') {
        format!("--storage-path={shown} is no absolute path that a volume can be mounted at")
    } else if ["/", "/tmp"].iter().any(|taken| storage == Path::new(taken)) {
        format!("--storage-path={shown} is a directory of the pod already; name another, such as /data")
    } else if metrics.ip().is_loopback() {
        format!(
            "--metrics-addr={metrics} is not reached by the probes, so the pod would be ended again and again; say \
             --metrics-addr=:{}",
            metrics.port()
        )
    } else if metrics.port() == artifacts.port() {
        format!(
            "--metrics-addr and --storage-addr name the same port, {}",
            metrics.port()
        )
    } else if metrics.port() == 0 || artifacts.port() == 0 {
        "--metrics-addr and --storage-addr have to name their ports, for the Service to find them".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Usage, wrong))
}

fn check_image(image: &str) -> Result<(), Error> {
    if !image.is_empty() && image.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Usage,
        format!("`{image}` is not the name of an image"),
    ))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

    use super::*;

    fn install(line: &str) -> Result<String, Error> {
        let words = std::iter::once("coracle").chain(line.split(' '));
        let cli = Cli::parse_from(words);
        match cli.command {
            Command::Install(args) => manifests(&args, cli.global.namespace()),
            other => panic!("{other:?}"),
        }
    }

    fn documents(text: &str) -> Vec<Value> {
        text.split("---\n")
            .map(|document| serde_saphyr::from_str(document).unwrap())
            .collect()
    }

    fn controller_flags(text: &str) -> Vec<String> {
        let deployment = documents(text)
            .into_iter()
            .find(|it| it["kind"] == "Deployment")
            .unwrap();
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        let pod = deployment.spec.unwrap().template.spec.unwrap();
        pod.containers.into_iter().next().unwrap().args.unwrap()
    }

    #[test]
    fn what_is_installed_comes_in_the_order_in_which_it_can_be_applied() {
        let objects: Vec<String> = documents(&install("install").unwrap())
            .iter()
            .map(|it| {
                format!(
                    "{}/{}",
                    it["kind"].as_str().unwrap(),
                    it["metadata"]["name"].as_str().unwrap()
                )
            })
            .collect();
        assert_eq!(
            objects,
            [
                "Namespace/flux-system",
                "CustomResourceDefinition/gitrepositories.source.toolkit.fluxcd.io",
                "CustomResourceDefinition/kustomizations.kustomize.toolkit.fluxcd.io",
                "ClusterRole/coracle-controller",
                "ClusterRoleBinding/coracle-controller",
                "Role/coracle-controller",
                "RoleBinding/coracle-controller",
                "ClusterRole/coracle-view",
                "ClusterRoleBinding/coracle-apply",
                "ServiceAccount/coracle",
                "Service/coracle",
                "Deployment/coracle",
            ]
        );
    }

    #[test]
    fn everything_that_is_installed_carries_the_label_that_uninstall_goes_by() {
        for document in documents(&install("install --tenant-only -n gitops").unwrap()) {
            assert_eq!(document["metadata"]["labels"][PART_OF.0], PART_OF.1, "{document}");
            assert!(!document.to_string().contains("flux-system"), "{document}");
        }
    }

    #[test]
    fn definitions_survive_the_way_through_yaml() {
        let text = install("install --crds-only").unwrap();
        let printed: Vec<CustomResourceDefinition> = documents(text.trim_end_matches("---\n"))
            .into_iter()
            .map(|document| serde_json::from_value(document).unwrap())
            .collect();
        let mut generated = crds();
        for crd in &mut generated {
            crd.metadata.labels = Some([(PART_OF.0.to_owned(), PART_OF.1.to_owned())].into());
        }
        assert_eq!(printed, generated);
    }

    #[test]
    fn tenants_are_kept_apart_by_flags_and_roles_together() {
        assert_eq!(
            controller_flags(&install("install --tenant-only -- --log-level=debug").unwrap())[3..],
            [
                "--watch-all-namespaces=true",
                "--no-cross-namespace-refs=true",
                "--no-remote-bases=true",
                "--default-service-account=default",
                "--log-level=debug"
            ]
        );
    }

    #[test]
    fn a_flag_of_the_user_stands_instead_of_ours() {
        let text = install(
            "install -- --storage-path=/srv/coracle --watch-all-namespaces=false --metrics-addr :8081",
        )
        .unwrap();
        assert_eq!(
            controller_flags(&text),
            [
                "controller",
                "--storage-adv-addr=coracle.flux-system.svc.cluster.local.:9090",
                "--storage-path=/srv/coracle",
                "--watch-all-namespaces=false",
                "--metrics-addr",
                ":8081",
            ]
        );
        // What belongs to the flags goes with them.
        assert!(text.contains("mountPath: \"/srv/coracle\""), "{text}");
        assert!(text.contains("containerPort: 8081"), "{text}");
    }

    #[test]
    fn the_image_that_nobody_named_is_warned_of_beside_the_manifests() {
        let warned = |line: &str| {
            let (mut ui, captured) = Ui::captured();
            let cli = Cli::parse_from(line.split(' '));
            let Command::Install(args) = cli.command else {
                panic!("{line}")
            };
            run(&args, &cli.global, &mut ui).unwrap();
            captured.err()
        };
        insta::assert_snapshot!(warned("coracle install"), @r"
        warning: no --image was named: the cluster has to have the image `coracle:0.1.0`, which no registry offers
        hint: Make it: `make image` in a clone of Coracle's repository. docs/guides/install.md says how a k3s machine imports it under this name, and how to push it and name it with --image.
        ");
        assert_eq!(
            warned("coracle install --image registry.example.org/coracle:0.1.0"),
            ""
        );
        assert_eq!(warned("coracle install --crds-only"), "");
    }

    #[test]
    fn a_flag_that_the_controller_does_not_know_is_refused_before_it_is_installed() {
        let error = install("install -- --no-such-flag").unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
    }

    #[test]
    fn a_flag_with_which_the_pod_would_not_work_is_refused_before_it_is_installed() {
        for flag in [
            "--storage-path=/tmp",
            "--storage-path=/tmp/",
            "--storage-path=/",
            "--storage-path=data",
            "--storage-path=/data/../tmp",
            "--storage-path=/data:1",
            "--metrics-addr=127.0.0.1:8080",
            "--metrics-addr=:9090",
            "--metrics-addr=:0",
            "--storage-addr=:0",
        ] {
            let error = install(&format!("install -- {flag}")).unwrap_err();
            let name = flag.split('=').next().unwrap();
            assert!(
                error.kind() == Kind::Usage && error.to_string().contains(name),
                "{flag}: {error}"
            );
        }
        install("install -- --storage-path=/tmp/coracle --metrics-addr=0.0.0.0:8081").unwrap();
    }

    #[test]
    fn a_namespace_of_digits_stays_a_name() {
        for document in documents(&install("install -n 2026").unwrap()) {
            let metadata = &document["metadata"];
            assert!(
                metadata["namespace"].is_null() || metadata["namespace"] == "2026",
                "{document}"
            );
            for subject in document["subjects"].as_array().into_iter().flatten() {
                assert_eq!(subject["namespace"], "2026");
            }
        }
    }

    #[test]
    fn a_name_that_would_break_the_manifest_is_refused() {
        for line in ["install -n Flux", "install -n a/b", "install --image "] {
            assert_eq!(install(line).unwrap_err().kind(), Kind::Usage, "{line}");
        }
    }
}
