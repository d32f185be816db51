//! `kustomize-rs build DIR`: the library as a program that can stand in kustomize's place. Reads files,
//! prints to the standard streams.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

mod fetch;

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kustomize_rs::fs::DirectoryFs;
use kustomize_rs::{Error, GitUrl, LoadRestrictions, Options, Remote, Reorder, Resource, build, to_yaml};

use fetch::Fetcher;

const USAGE: &str = "\
Builds a kustomization.

DIR is a directory with a kustomization file, or the URL of a Git repository with a path to one.

Usage: kustomize-rs build [DIR] [flags]

Flags:
  -o, --output PATH           write to a file, or one file per resource into a directory
      --load-restrictor KIND  LoadRestrictionsRootOnly (default) or LoadRestrictionsNone
      --reorder ORDER         legacy (default) or none
      --enable-managedby-label  label every resource as managed by kustomize
  -h, --help                  print this
";

struct Arguments {
    directory: PathBuf,
    output: Option<PathBuf>,
    load_restrictions: LoadRestrictions,
    reorder: Reorder,
    managed_by_label: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("Error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let Some(arguments) = parse(arguments)? else {
        print!("{USAGE}");
        return Ok(());
    };
    let warn = |line: &str| eprintln!("{line}");
    let mut options = Options::default();
    options.load_restrictions = arguments.load_restrictions;
    options.reorder = arguments.reorder;
    options.warn = Some(&warn);
    options.managed_by_label = arguments.managed_by_label;
    let fetcher = Fetcher::new(cache());
    options.remote = Some(&fetcher);
    let resources = build_named(&arguments.directory, options, &fetcher).map_err(|e| e.chain())?;
    match arguments.output {
        Some(path) => write(&path, &resources),
        None => {
            let text = to_yaml(&resources).map_err(|e| e.chain())?;
            // A reader that goes away early is no failure of the build.
            let _ = std::io::stdout().write_all(text.as_bytes());
            Ok(())
        }
    }
}

/// Builds a directory, or one in a repository that is fetched.
fn build_named(
    directory: &Path,
    mut options: Options<'_>,
    fetcher: &Fetcher,
) -> Result<Vec<Resource>, Error> {
    let Some(url) = directory
        .to_str()
        .and_then(GitUrl::parse)
        .filter(|_| !directory.exists())
    else {
        return build(&DirectoryFs, directory, &options);
    };
    let checkout = fetcher.repository(&url)?;
    options.load_restrictions = LoadRestrictions::RootOnly;
    build(
        checkout.fs.as_ref(),
        &checkout.root.join(&url.directory),
        &options,
    )
}

/// Where repositories are kept.
fn cache() -> PathBuf {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let home = || set("HOME").map(|home| home.join(".cache"));
    set("XDG_CACHE_HOME")
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("kustomize-rs/git")
}

/// Reads the command line; `None` asks for help.
fn parse(arguments: &[String]) -> Result<Option<Arguments>, String> {
    let mut parsed = Arguments {
        directory: PathBuf::from("."),
        output: None,
        load_restrictions: LoadRestrictions::RootOnly,
        reorder: Reorder::Legacy,
        managed_by_label: false,
    };
    let mut rest = arguments.iter();
    match rest.next().map(String::as_str) {
        Some("build") => {}
        Some("-h" | "--help" | "help") | None => return Ok(None),
        Some(other) => return Err(format!("unknown command {other:?}; there is only build")),
    }
    let mut directory = None;
    while let Some(argument) = rest.next() {
        let (flag, value) = match argument.split_once('=') {
            Some((flag, value)) if flag.starts_with('-') => (flag, Some(value.to_string())),
            _ => (argument.as_str(), None),
        };
        let mut value = || {
            value
                .clone()
                .or_else(|| rest.next().cloned())
                .ok_or(format!("{flag} needs a value"))
        };
        match flag {
            "-h" | "--help" => return Ok(None),
            "-o" | "--output" => parsed.output = Some(PathBuf::from(value()?)),
            "--load-restrictor" => {
                parsed.load_restrictions = match value()?.as_str() {
                    "LoadRestrictionsRootOnly" | "rootOnly" => LoadRestrictions::RootOnly,
                    "LoadRestrictionsNone" | "none" => LoadRestrictions::None,
                    other => {
                        return Err(format!(
                            "illegal flag value --load-restrictor {other}; legal values: LoadRestrictionsRootOnly, LoadRestrictionsNone"
                        ));
                    }
                };
            }
            "--reorder" => {
                parsed.reorder = match value()?.as_str() {
                    "legacy" => Reorder::Legacy,
                    "none" => Reorder::None,
                    other => {
                        return Err(format!(
                            "illegal flag value --reorder {other}; legal values: legacy, none"
                        ));
                    }
                };
            }
            "--enable-managedby-label" => parsed.managed_by_label = true,
            // They matter only to what runs programs, and to the trace of a crash.
            "--stack-trace" | "--as-current-user" | "--network" | "--helm-debug" => {}
            "-e"
            | "--env"
            | "--mount"
            | "--network-name"
            | "--helm-command"
            | "--helm-api-versions"
            | "--helm-kube-version" => {
                value()?;
            }
            "--enable-helm" | "--enable-alpha-plugins" | "--enable-exec" | "--enable-star" => {
                return Err(format!(
                    "{flag} is not supported: a build runs no programs; run them before and list their output under resources"
                ));
            }
            flag if flag.starts_with('-') && flag.len() > 1 => return Err(format!("unknown flag: {flag}")),
            path if directory.is_none() => directory = Some(PathBuf::from(path)),
            _ => return Err("specify one path to kustomization.yaml".into()),
        }
    }
    parsed.directory = directory.unwrap_or(parsed.directory);
    Ok(Some(parsed))
}

/// Writes everything to a file, or each resource into a directory that exists.
fn write(path: &Path, resources: &[Resource]) -> Result<(), String> {
    let failed = |path: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    if !path.is_dir() {
        let text = to_yaml(resources).map_err(|e| e.chain())?;
        return std::fs::write(path, text).map_err(|e| failed(path, &e));
    }
    let namespaced = resources.iter().filter(|r| !r.id().gvk.is_cluster_scoped());
    let namespaces: HashSet<&str> = namespaced.map(|r| r.id().effective_namespace()).collect();
    for resource in resources {
        let id = resource.id();
        let gvk = [&id.gvk.group, &id.gvk.version, &id.gvk.kind];
        let mut parts: Vec<&str> = gvk.iter().map(|s| s.as_str()).filter(|s| !s.is_empty()).collect();
        if namespaces.len() > 1 && !id.gvk.is_cluster_scoped() {
            parts.insert(0, id.effective_namespace());
        }
        parts.push(&id.name);
        let file = path.join(format!("{}.yaml", parts.join("_").to_lowercase()));
        let text = resource.to_yaml().map_err(|e| e.chain())?;
        std::fs::write(&file, text).map_err(|e| failed(&file, &e))?;
    }
    Ok(())
}
