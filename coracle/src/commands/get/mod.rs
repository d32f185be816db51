//! `coracle get`: objects and their state. Does I/O through the cluster's client.

mod selector;
mod table;

use std::collections::BTreeMap;

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

use super::{ASIDE, require_namespace, scope, tell_if_nobody_works, tell_of_broken_watch};
use selector::StatusSelector;
use table::{header, print_tables, print_the_rest, row};

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    coracle get all -A\n  \
    coracle get kustomizations --status-selector ready=false\n  \
    coracle get ks apps -o yaml\n\n\
    REVISION is what is applied, or fetched. While an object fails that may be an old one: `-o wide` shows\n\
    what was ATTEMPTED last, and the condition's REASON, which docs/guides/failures.md explains.")]
pub struct Args {
    /// What to print: `kustomizations` (`ks`), `sources` (`git`) or `all`
    #[arg(default_value = "all")]
    what: String,
    /// Names of objects; Flux's `get sources git NAME` is understood as well
    #[arg(num_args = 0..)]
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
    /// More columns: what was attempted last, the reason of the condition, where it comes from.
    Wide,
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
    /// Names only, as `kubectl` takes them.
    Name,
}

/// What is asked for: kinds, and names of objects; no name means all.
fn selection(args: &Args) -> Result<(Vec<ObjectKind>, Vec<String>), Error> {
    let mut words: Vec<&str> = args.name.iter().map(String::as_str).collect();
    if args.what == "all" {
        return match words.as_slice() {
            [] => Ok((ObjectKind::ALL.to_vec(), Vec::new())),
            _ => Err(Error::new(Kind::Usage, "`get all` takes no name")
                .hint("Name the kind: `coracle get ks NAME`.")),
        };
    }
    let (kind, name) = match args.what.split_once('/') {
        Some((kind, name)) => (kind, Some(name)),
        None => (args.what.as_str(), None),
    };
    let kind: ObjectKind = kind.parse().map_err(|error: Error| {
        let error = error.hint("`all` stands for all of them.");
        match name.is_none() && words.is_empty() {
            true => error.hint(format!(
                "If it is a name: `coracle get kustomization {kind}` prints the Kustomization."
            )),
            false => error,
        }
    })?;
    if kind == ObjectKind::GitRepository && words.first() == Some(&"git") {
        words.remove(0);
    }
    if name.is_some() && !words.is_empty() {
        return Err(Error::new(Kind::Usage, "`get KIND/NAME` takes no other name")
            .hint("Name several as `coracle get KIND NAME NAME`."));
    }
    let names = name.into_iter().chain(words).map(str::to_owned).collect();
    Ok((vec![kind], names))
}

/// Prints the objects.
///
/// # Errors
/// The cluster cannot be asked, or the object that is named does not exist.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let (kinds, names) = selection(args)?;
    let cluster = connect(global).await?;
    if args.watch {
        return watch(args, global, &cluster, &kinds, &names, ui).await;
    }
    let mut there = Vec::new();
    for kind in &kinds {
        if names.is_empty() {
            there.extend(list(&cluster, *kind, scope(args.all_namespaces, global)).await?);
        }
        for name in &names {
            let target = Target {
                kind: *kind,
                name: name.clone(),
            };
            there.extend(target.find(&cluster, scope(args.all_namespaces, global)).await?);
        }
    }
    let is_table = matches!(args.output, Output::Table | Output::Wide);
    if is_table && !there.iter().any(|object| chosen(args, object)) {
        if there.is_empty() {
            require_namespace(&cluster, scope(args.all_namespaces, global)).await?;
        }
        let place = scope(args.all_namespaces, global)
            .map_or("any namespace".to_owned(), |it| format!("namespace {it}"));
        return match &args.status_selector {
            Some(selector) if !there.is_empty() => ui.progress(selector.instead(&there, &place)),
            _ => ui.progress(format_args!("Nothing found in {place}.")),
        };
    }
    let found: Vec<Summary> = there.into_iter().filter(|object| chosen(args, object)).collect();
    // Of several, one that nobody has looked at tells best where somebody is missing.
    let near = found.iter().find(|it| it.is_untouched()).or(found.first());
    let near = near.map(|it| it.namespace.clone());
    print(args, &kinds, found, Timestamp::now(), ui)?;
    if !is_table {
        return Ok(());
    }
    // What is printed is what was said last: with nobody who works, it stays so whatever happens.
    let verdict = standing::verdict(&cluster, near.as_deref(), ASIDE).await;
    tell_if_nobody_works(&verdict, "", ui)
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
    names: &[String],
    ui: &mut Ui,
) -> Result<(), Error> {
    if !matches!(args.output, Output::Table | Output::Wide) {
        return Err(Error::new(Kind::Usage, "`--watch` prints a table only"));
    }
    for (kind, name) in kinds
        .iter()
        .flat_map(|kind| names.iter().map(move |name| (*kind, name)))
    {
        let target = Target {
            kind,
            name: name.clone(),
        };
        target.find(cluster, scope(args.all_namespaces, global)).await?;
    }
    // The API server selects by one name at most.
    let config = match names {
        [name] => watcher::Config::default().fields(&format!("metadata.name={name}")),
        _ => watcher::Config::default(),
    };
    let named = |object: &Summary| names.is_empty() || names.contains(&object.name);
    let changes = kinds.iter().map(|&kind| {
        let api = kind.api(cluster, scope(args.all_namespaces, global));
        watcher(api, config.clone())
            .default_backoff()
            .touched_objects()
            .map_ok(move |object| Summary::new(kind, &object))
            .boxed()
    });
    let mut changes = stream::select_all(changes);
    let began = Timestamp::now();
    // Later rows are as wide as a row of usual length; only what is longer moves its own line.
    let header = header(args, kinds[0]);
    let widths: Vec<usize> = header
        .iter()
        .map(|title| match *title {
            "NAME" => 36,
            "NAMESPACE" | "REVISION" | "ATTEMPTED" | "REASON" | "SOURCE" | "PATH" | "URL" => 24,
            other => other.len(),
        })
        .collect();
    let titles: Vec<Styled> = header.iter().map(|title| (*title).into()).collect();
    ui.line(align(&titles, &widths))?;
    let mut printed = Printed::default();
    while let Some(change) = changes.next().await {
        match change {
            Ok(object) if !named(&object) => {}
            Ok(object) if !chosen(args, &object) => printed.forget(&object),
            Ok(object) => {
                let line = |now| align(&row(args, kinds.len() > 1, &object, now), &widths);
                if printed.is_news(&object, &line(began)) {
                    ui.line(line(Timestamp::now()))?;
                }
            }
            Err(error) => tell_of_broken_watch(cluster, "watch objects", error, ui)?,
        }
    }
    Ok(())
}

/// What a watch printed last of each object: most of what changes in one is not in the table.
#[derive(Default)]
struct Printed(BTreeMap<(ObjectKind, String, String), String>);

impl Printed {
    /// Whether this is another line than the last one. Both are as of the same time, since an age alone is no news.
    fn is_news(&mut self, object: &Summary, line: &str) -> bool {
        let last = self.0.insert(Self::key(object), line.to_owned());
        last.is_none_or(|last| last != line)
    }

    /// It is printed again when it is chosen again.
    fn forget(&mut self, object: &Summary) {
        self.0.remove(&Self::key(object));
    }

    fn key(object: &Summary) -> (ObjectKind, String, String) {
        (object.kind, object.namespace.clone(), object.name.clone())
    }
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
                "lastAttemptedRevision": "main@sha1:fedcba98765432100123456789abcdef01234567",
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
        NAME   REVISION             SUSPENDED   READY   ATTEMPTED            AGE   SOURCE               PATH     REASON   MESSAGE
        apps   main@sha1:01234567   False       True    main@sha1:fedcba98   60m   GitRepository/apps   ./apps   x        Applied revision: main@sha1:01234567
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
    fn what_failed_is_shown_with_its_reason_and_the_revision_that_was_attempted() {
        insta::assert_snapshot!(printed("get ks -o wide --status-selector ready=false"), @r"
        NAME   REVISION             SUSPENDED   READY   ATTEMPTED            AGE   SOURCE               PATH     REASON   MESSAGE
        old    main@sha1:01234567   True        False   main@sha1:fedcba98   60m   GitRepository/apps   ./apps   x        kinds are missing: (and 2 lines more)
        ");
    }

    #[test]
    fn several_objects_can_be_named() {
        let (_, names) = selection(&args("get ks apps old")).unwrap();
        assert_eq!(names, ["apps", "old"]);
        let refused = selection(&args("get ks/apps old")).unwrap_err();
        assert_eq!(refused.to_string(), "`get KIND/NAME` takes no other name");
    }

    #[test]
    fn sources_can_be_named_in_the_words_of_flux() {
        for line in [
            "get sources git apps",
            "get git apps",
            "get source/apps",
            "get gitrepositories apps",
        ] {
            let (kinds, names) = selection(&args(line)).unwrap();
            assert_eq!(
                (kinds, names),
                (vec![ObjectKind::GitRepository], vec!["apps".to_owned()]),
                "{line}"
            );
        }
    }
}
