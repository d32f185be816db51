//! `coracle events`: what happened, from the cluster's events. Does I/O through the cluster's client.

use std::collections::HashMap;

use futures::{StreamExt as _, pin_mut};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::Value;

use crate::cli::Global;
use crate::connect::{Cluster, connect};
use crate::error::{Error, Kind};
use crate::objects::{ObjectKind, Target, age, short_revisions};
use crate::ui::{BAD, Styled, Table, Ui, align, as_one};

use super::{scope, tell_of_broken_watch};

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only events about this object, such as `kustomization/apps`
    #[arg(long = "for", value_name = "KIND/NAME")]
    about: Option<String>,
    /// Look into all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only events of this type: Normal or Warning
    #[arg(
        long = "type",
        value_name = "TYPE",
        ignore_case = true,
        hide_possible_values = true
    )]
    type_: Option<EventType>,
    /// Print events as they happen
    #[arg(short, long)]
    watch: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

/// Types of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum EventType {
    /// What went as it should.
    #[value(name = "Normal")]
    Normal,
    /// What did not.
    #[value(name = "Warning")]
    Warning,
}

impl EventType {
    fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Columns, and below them the next lines of a message.
    Table,
    /// The events as JSON.
    Json,
    /// The events as YAML.
    Yaml,
}

/// How many lines of a message a table shows.
const LINES: usize = 5;

const HEADER: [&str; 5] = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
/// Widths of a table that grows while it is printed.
const WIDTHS: [usize; 5] = [9, 7, 24, 36, 0];

/// Prints the events, the oldest first.
///
/// # Errors
/// The cluster cannot be asked.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let about = args
        .about
        .as_ref()
        .map(|word| Target::parse(std::slice::from_ref(word)))
        .transpose()?;
    if args.watch && args.output != Output::Table {
        return Err(Error::new(Kind::Usage, "`--watch` prints a table only"));
    }
    let cluster = connect(global).await?;
    let api: Api<Event> = match scope(args.all_namespaces, global) {
        Some(namespace) => Api::namespaced(cluster.client.clone(), namespace),
        None => Api::all(cluster.client.clone()),
    };
    let listed = api
        .list(&ListParams::default())
        .await
        .map_err(|error| cluster.explain("list events", error))?;
    let mut known = Known::default();
    let mut events: Vec<Event> = listed
        .items
        .into_iter()
        .filter(|event| known.is_new(event) && wanted(args, about.as_ref(), event))
        .collect();
    events.sort_by_key(order);

    // Events outlive their object, so it is looked for only when there are none.
    if let (Some(target), true) = (&about, events.is_empty()) {
        target
            .exists(&cluster, scope(args.all_namespaces, global))
            .await?;
    }
    if !args.watch {
        return print(args.output, &events, ui);
    }
    ui.line(align(&HEADER.map(Styled::from), &WIDTHS))?;
    for event in &events {
        print_row(event, &WIDTHS, Timestamp::now(), ui)?;
    }
    let news = |event: &Event| wanted(args, about.as_ref(), event);
    follow(&cluster, api, known, news, ui).await
}

/// Prints what happens from now on.
async fn follow(
    cluster: &Cluster,
    api: Api<Event>,
    mut known: Known,
    wanted: impl Fn(&Event) -> bool,
    ui: &mut Ui,
) -> Result<(), Error> {
    let changes = watcher(api, watcher::Config::default()).default_backoff();
    pin_mut!(changes);
    let mut missed = Vec::new();
    while let Some(change) = changes.next().await {
        match change {
            Ok(watcher::Event::Apply(event)) => {
                if known.is_new(&event) && wanted(&event) {
                    print_row(&event, &WIDTHS, Timestamp::now(), ui)?;
                }
            }
            // A watch begins with everything that is there, each time that it begins again.
            Ok(watcher::Event::Init) => missed.clear(),
            Ok(watcher::Event::InitApply(event)) => missed.push(event),
            Ok(watcher::Event::InitDone) => {
                missed.retain(|event| known.is_new(event) && wanted(event));
                missed.sort_by_key(order);
                for event in missed.drain(..) {
                    print_row(&event, &WIDTHS, Timestamp::now(), ui)?;
                }
            }
            Ok(watcher::Event::Delete(event)) => known.forget(&event),
            Err(error) => tell_of_broken_watch(cluster, "watch events", error, ui)?,
        }
    }
    Ok(())
}

/// The events that were looked at, by uid, each in the version that it had: one that happens again is written again.
#[derive(Default)]
struct Known(HashMap<String, String>);

impl Known {
    /// Whether it was not looked at as it is; from now on it was.
    fn is_new(&mut self, event: &Event) -> bool {
        let version = event.metadata.resource_version.clone().unwrap_or_default();
        let uid = event.metadata.uid.clone().unwrap_or_default();
        self.0.insert(uid, version.clone()) != Some(version)
    }

    fn forget(&mut self, event: &Event) {
        self.0.remove(event.metadata.uid.as_deref().unwrap_or_default());
    }
}

fn print(output: Output, events: &[Event], ui: &mut Ui) -> Result<(), Error> {
    let objects = || as_one(events.iter().map(as_object).collect());
    match output {
        Output::Json => return ui.json(&objects()),
        Output::Yaml => return ui.yaml(&objects()),
        Output::Table if events.is_empty() => {
            return ui.progress("No events. Kubernetes keeps them for an hour.");
        }
        Output::Table => {}
    }
    let now = Timestamp::now();
    let mut table = Table::new(HEADER);
    for event in events {
        table.row(row(event, now));
    }
    ui.line(align(&HEADER.map(Styled::from), &table.widths()))?;
    events
        .iter()
        .try_for_each(|event| print_row(event, &table.widths(), now, ui))
}

/// The event as the API has it, without the list of who set which field.
fn as_object(event: &Event) -> Value {
    let mut event = event.clone();
    event.metadata.managed_fields = None;
    serde_json::to_value(event).unwrap_or_default()
}

/// Prints the row of an event, and below it the next lines of its message: of many objects, the first few.
fn print_row(event: &Event, widths: &[usize], now: Timestamp, ui: &mut Ui) -> Result<(), Error> {
    ui.line(align(&row(event, now), widths))?;
    let message = short_revisions(event.message.as_deref().unwrap_or_default());
    let lines = message.lines().count();
    // One line that is left out would take as much room as what says so.
    let shown = if lines > LINES + 1 { LINES } else { lines };
    for line in message.lines().take(shown).skip(1) {
        ui.line(format_args!("    {line}"))?;
    }
    match lines - shown {
        0 => Ok(()),
        more => ui.line(format_args!("    and {more} more lines: -o yaml prints them all")),
    }
}

fn wanted(args: &Args, about: Option<&Target>, event: &Event) -> bool {
    let object = &event.involved_object;
    let Some(kind) = ObjectKind::ALL
        .into_iter()
        .find(|kind| object.kind.as_deref() == Some(kind.name()))
    else {
        return false;
    };
    let group = kind.resource().group;
    object
        .api_version
        .as_ref()
        .is_none_or(|version| version.starts_with(&group))
        && about.is_none_or(|target| target.kind == kind && object.name.as_deref() == Some(&target.name))
        && args
            .type_
            .is_none_or(|type_| event.type_.as_deref() == Some(type_.name()))
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref().map(|time| time.0));
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let time = event.event_time.as_ref().map(|time| time.0);
    series
        .or(last)
        .or(time)
        .or(event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// Times are kept to the second; within one, the order in which the cluster wrote them down tells.
fn order(event: &Event) -> (Option<Timestamp>, u64) {
    let version = event
        .metadata
        .resource_version
        .as_ref()
        .and_then(|version| version.parse().ok());
    (last_seen(event), version.unwrap_or(0))
}

fn row(event: &Event, now: Timestamp) -> Vec<Styled> {
    let type_ = event.type_.clone().unwrap_or_default();
    let object = &event.involved_object;
    let name = format!(
        "{}/{}",
        object.kind.as_deref().unwrap_or_default().to_ascii_lowercase(),
        object.name.as_deref().unwrap_or_default()
    );
    vec![
        age(last_seen(event), now).into(),
        if type_ == "Warning" {
            Styled::new(BAD, type_)
        } else {
            type_.into()
        },
        event.reason.clone().unwrap_or_default().into(),
        name.into(),
        short_revisions(event.message.as_deref().unwrap_or_default())
            .lines()
            .next()
            .unwrap_or_default()
            .into(),
    ]
}
