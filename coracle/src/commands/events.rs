//! `coracle events`: what happened, from the cluster's events. Does I/O through the cluster's client.

use futures::{StreamExt as _, pin_mut};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use kube::runtime::{WatchStreamExt as _, watcher};

use crate::cli::Global;
use crate::connect::connect;
use crate::error::Error;
use crate::objects::{ObjectKind, Target, age, short_revisions};
use crate::ui::{BAD, Styled, Table, Ui, align};

use super::scope;

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
    #[arg(long = "type", value_name = "TYPE")]
    type_: Option<String>,
    /// Print events as they happen
    #[arg(short, long)]
    watch: bool,
}

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
    let cluster = connect(global).await?;
    let api: Api<Event> = match scope(args.all_namespaces, global) {
        Some(namespace) => Api::namespaced(cluster.client.clone(), namespace),
        None => Api::all(cluster.client.clone()),
    };
    let listed = api
        .list(&ListParams::default())
        .await
        .map_err(|error| cluster.explain("list events", error))?;
    let mut events: Vec<Event> = listed
        .items
        .into_iter()
        .filter(|event| wanted(args, about.as_ref(), event))
        .collect();
    events.sort_by_key(order);

    if !args.watch {
        if events.is_empty() {
            return ui.progress("No events. Kubernetes keeps them for an hour.");
        }
        let mut table = Table::new(HEADER);
        for event in &events {
            table.row(row(event, Timestamp::now()));
        }
        return table.print(ui);
    }

    ui.line(align(&HEADER.map(Styled::from), &WIDTHS))?;
    for event in &events {
        ui.line(align(&row(event, Timestamp::now()), &WIDTHS))?;
    }
    let start = listed.metadata.resource_version;
    let changes = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects();
    pin_mut!(changes);
    let mut last = events.last().and_then(last_seen);
    while let Some(change) = changes.next().await {
        let Ok(event) = change else { continue };
        // The watch begins with what was listed already.
        let is_new = start.is_none() || last_seen(&event) > last;
        if is_new && wanted(args, about.as_ref(), &event) {
            ui.line(align(&row(&event, Timestamp::now()), &WIDTHS))?;
            last = last_seen(&event).max(last);
        }
    }
    Ok(())
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
        && args.type_.as_ref().is_none_or(|type_| {
            event
                .type_
                .as_ref()
                .is_some_and(|it| it.eq_ignore_ascii_case(type_))
        })
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
            .replace('\n', ", ")
            .into(),
    ]
}
