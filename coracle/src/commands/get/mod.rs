//! `coracle get`: objects and their state. Does I/O through the cluster's client.

mod table;

use clap::ValueEnum;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use kube::runtime::{WatchStreamExt as _, watcher};

use crate::cli::Global;
use crate::connect::{Cluster, connect};
use crate::error::{Error, Kind};
use crate::objects::{ObjectKind, Summary, Target, list};
use crate::standing;
use crate::ui::{Styled, Ui, align, as_one};

use super::{ASIDE, scope, tell_if_nobody_works};
use table::{header, print_tables, print_the_rest, row};

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    coracle get all -A\n  \
    coracle get kustomizations --status-selector ready=false\n  \
    coracle get ks apps -o yaml")]
pub struct Args {
    /// What to print: `kustomizations` (`ks`), `sources` (`git`) or `all`
    #[arg(default_value = "all")]
    what: String,
    /// Name of one object; Flux's `get sources git NAME` is understood as well
    #[arg(num_args = 0..=2)]
    name: Vec<String>,
    /// Look into all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Print changes as they happen
    #[arg(short, long)]
    watch: bool,
    /// Print only objects with this condition, such as `ready=false`
    #[arg(long, value_name = "TYPE=STATUS")]
    status_selector: Option<StatusSelector>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Columns.
    Table,
    /// More columns.
    Wide,
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
    /// Names only, as `kubectl` takes them.
    Name,
}

/// A condition that objects are chosen by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StatusSelector {
    type_: String,
    status: String,
}

impl std::str::FromStr for StatusSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (type_, status) = text
            .split_once('=')
            .filter(|(type_, status)| !type_.is_empty() && !status.is_empty())
            .ok_or("expected a condition and its status, such as `ready=false`")?;
        Ok(Self {
            type_: type_.to_owned(),
            status: status.to_owned(),
        })
    }
}

impl StatusSelector {
    fn matches(&self, object: &Summary) -> bool {
        let conditions = object
            .object
            .pointer("/status/conditions")
            .and_then(|it| it.as_array());
        let status = conditions
            .into_iter()
            .flatten()
            .find(|condition| {
                condition["type"]
                    .as_str()
                    .is_some_and(|type_| type_.eq_ignore_ascii_case(&self.type_))
            })
            .and_then(|condition| condition["status"].as_str())
            .unwrap_or("Unknown");
        status.eq_ignore_ascii_case(&self.status)
    }
}

/// What is asked for: kinds, and the name of one object.
fn selection(args: &Args) -> Result<(Vec<ObjectKind>, Option<String>), Error> {
    let mut words: Vec<&str> = args.name.iter().map(String::as_str).collect();
    if args.what == "all" {
        return match words.as_slice() {
            [] => Ok((ObjectKind::ALL.to_vec(), None)),
            _ => Err(Error::new(Kind::Usage, "`get all` takes no name")
                .hint("Name the kind: `coracle get ks NAME`.")),
        };
    }
    let (kind, name) = match args.what.split_once('/') {
        Some((kind, name)) => (kind, Some(name)),
        None => (args.what.as_str(), None),
    };
    let kind: ObjectKind = kind.parse()?;
    if kind == ObjectKind::GitRepository && words.first() == Some(&"git") {
        words.remove(0);
    }
    match (name, words.as_slice()) {
        (None, []) => Ok((vec![kind], None)),
        (Some(name), []) | (None, &[name]) => Ok((vec![kind], Some(name.to_owned()))),
        _ => Err(Error::new(Kind::Usage, "`get` takes one name")),
    }
}

/// Prints the objects.
///
/// # Errors
/// The cluster cannot be asked, or the object that is named does not exist.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let (kinds, name) = selection(args)?;
    let cluster = connect(global).await?;
    if args.watch {
        return watch(args, global, &cluster, &kinds, name.as_deref(), ui).await;
    }
    let mut found = Vec::new();
    for kind in &kinds {
        let objects = match &name {
            Some(name) => {
                let target = Target {
                    kind: *kind,
                    name: name.clone(),
                };
                vec![Summary::new(
                    *kind,
                    &target.fetch(&cluster, global.namespace()).await?,
                )]
            }
            None => list(&cluster, *kind, scope(args.all_namespaces, global)).await?,
        };
        found.extend(objects.into_iter().filter(|object| chosen(args, object)));
    }
    if found.is_empty() && args.output == Output::Table {
        let place = scope(args.all_namespaces, global)
            .map_or("any namespace".to_owned(), |it| format!("namespace {it}"));
        return ui.progress(format_args!("Nothing found in {place}."));
    }
    let is_table = matches!(args.output, Output::Table | Output::Wide);
    let untouched = found
        .iter()
        .find(|it| it.is_untouched())
        .map(|it| it.namespace.clone());
    print(args, &kinds, found, Timestamp::now(), ui)?;
    match untouched.filter(|_| is_table) {
        Some(namespace) => {
            let verdict = standing::verdict(&cluster, Some(&namespace), ASIDE).await;
            tell_if_nobody_works(&verdict, "", ui)
        }
        None => Ok(()),
    }
}

fn chosen(args: &Args, object: &Summary) -> bool {
    args.status_selector
        .as_ref()
        .is_none_or(|selector| selector.matches(object))
}

fn print(
    args: &Args,
    kinds: &[ObjectKind],
    found: Vec<Summary>,
    now: Timestamp,
    ui: &mut Ui,
) -> Result<(), Error> {
    let objects = |found: Vec<Summary>| as_one(found.into_iter().map(|object| object.object).collect());
    match args.output {
        Output::Json => ui.json(&objects(found)),
        Output::Yaml => ui.yaml(&objects(found)),
        Output::Name => found.iter().try_for_each(|object| {
            ui.line(format_args!(
                "{}.{}/{}",
                object.kind.word(),
                object.kind.resource().group,
                object.name
            ))
        }),
        Output::Table | Output::Wide => {
            print_tables(args, kinds, &found, now, ui)?;
            print_the_rest(args, &found, ui)
        }
    }
}

async fn watch(
    args: &Args,
    global: &Global,
    cluster: &Cluster,
    kinds: &[ObjectKind],
    name: Option<&str>,
    ui: &mut Ui,
) -> Result<(), Error> {
    if !matches!(args.output, Output::Table | Output::Wide) {
        return Err(Error::new(Kind::Usage, "`--watch` prints a table only"));
    }
    let config = match name {
        Some(name) => watcher::Config::default().fields(&format!("metadata.name={name}")),
        None => watcher::Config::default(),
    };
    let changes = kinds.iter().map(|&kind| {
        let api = kind.api(cluster, scope(args.all_namespaces, global));
        watcher(api, config.clone())
            .default_backoff()
            .touched_objects()
            .map_ok(move |object| Summary::new(kind, &object))
            .boxed()
    });
    let mut changes = stream::select_all(changes);
    // Later rows are as wide as a row of usual length; only what is longer moves its own line.
    let header = header(args, kinds[0]);
    let widths: Vec<usize> = header
        .iter()
        .map(|title| match *title {
            "NAME" => 36,
            "NAMESPACE" | "REVISION" | "SOURCE" | "PATH" | "URL" => 24,
            other => other.len(),
        })
        .collect();
    let titles: Vec<Styled> = header.iter().map(|title| (*title).into()).collect();
    ui.line(align(&titles, &widths))?;
    while let Some(change) = changes.next().await {
        match change {
            Ok(object) if chosen(args, &object) => {
                ui.line(align(
                    &row(args, kinds.len() > 1, &object, Timestamp::now()),
                    &widths,
                ))?;
            }
            Ok(_) => {}
            Err(watcher::Error::InitialListFailed(error)) => {
                return Err(cluster.explain("watch objects", error));
            }
            Err(error) => ui.progress(format_args!("watching again: {error}"))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kube::api::DynamicObject;
    use serde_json::json;

    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    fn args(line: &str) -> Args {
        match Cli::parse_from(std::iter::once("coracle").chain(line.split(' '))).command {
            Command::Get(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn object(kind: ObjectKind, name: &str, ready: &str, message: &str) -> Summary {
        let object: DynamicObject = serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "flux-system", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "path": "./apps", "sourceRef": { "kind": "GitRepository", "name": "apps" }, "url": "https://git.example/apps", "suspend": name == "old" },
            "status": {
                "lastAppliedRevision": "main@sha1:0123456789abcdef0123456789abcdef01234567",
                "artifact": { "revision": "main@sha1:0123456789abcdef0123456789abcdef01234567" },
                "conditions": [{ "type": "Ready", "status": ready, "reason": "x", "message": message }]
            }
        }))
        .unwrap();
        Summary::new(kind, &object)
    }

    fn printed(line: &str) -> String {
        let (mut ui, captured) = Ui::captured();
        let args = args(line);
        let (kinds, _) = selection(&args).unwrap();
        let found = [
            object(ObjectKind::GitRepository, "apps", "True", "stored artifact"),
            object(
                ObjectKind::Kustomization,
                "apps",
                "True",
                "Applied revision: main@sha1:0123456789abcdef0123456789abcdef01234567",
            ),
            object(
                ObjectKind::Kustomization,
                "old",
                "False",
                "kinds are missing:\nServiceMonitor/web\nServiceMonitor/api",
            ),
        ];
        let found = found
            .into_iter()
            .filter(|it| kinds.contains(&it.kind) && chosen(&args, it))
            .collect();
        print(
            &args,
            &kinds,
            found,
            "2026-01-01T01:00:00Z".parse().unwrap(),
            &mut ui,
        )
        .unwrap();
        captured.out()
    }

    #[test]
    fn objects_are_printed_in_the_columns_of_flux() {
        insta::assert_snapshot!(printed("get kustomizations"), @r"
        NAME   REVISION             SUSPENDED   READY   MESSAGE
        apps   main@sha1:01234567   False       True    Applied revision: main@sha1:01234567
        old    main@sha1:01234567   True        False   kinds are missing: (and 2 lines more)
        ");
    }

    #[test]
    fn all_kinds_are_printed_with_their_kind_and_namespace() {
        insta::assert_snapshot!(printed("get all -A"), @r"
        NAMESPACE     NAME                 REVISION             SUSPENDED   READY   MESSAGE
        flux-system   gitrepository/apps   main@sha1:01234567   False       True    stored artifact

        NAMESPACE     NAME                 REVISION             SUSPENDED   READY   MESSAGE
        flux-system   kustomization/apps   main@sha1:01234567   False       True    Applied revision: main@sha1:01234567
        flux-system   kustomization/old    main@sha1:01234567   True        False   kinds are missing: (and 2 lines more)
        ");
    }

    #[test]
    fn wide_output_adds_where_things_come_from() {
        insta::assert_snapshot!(printed("get ks -o wide --status-selector ready=true"), @r"
        NAME   REVISION             SUSPENDED   READY   AGE   SOURCE               PATH     MESSAGE
        apps   main@sha1:01234567   False       True    60m   GitRepository/apps   ./apps   Applied revision: main@sha1:01234567
        ");
    }

    #[test]
    fn names_are_printed_as_kubectl_takes_them() {
        insta::assert_snapshot!(printed("get all -o name"), @r"
        gitrepository.source.toolkit.fluxcd.io/apps
        kustomization.kustomize.toolkit.fluxcd.io/apps
        kustomization.kustomize.toolkit.fluxcd.io/old
        ");
    }

    #[test]
    fn sources_can_be_named_in_the_words_of_flux() {
        for line in [
            "get sources git apps",
            "get git apps",
            "get source/apps",
            "get gitrepositories apps",
        ] {
            let (kinds, name) = selection(&args(line)).unwrap();
            assert_eq!(
                (kinds, name.as_deref()),
                (vec![ObjectKind::GitRepository], Some("apps")),
                "{line}"
            );
        }
    }
}
