//! `coracle diff`: what applying files would change in the cluster, prunes included. Does I/O: reads files,
//! asks the cluster.

use kube::Api;
use reconciler::api::{Kustomization, KustomizationStatus};
use reconciler::plan::Action;
use reconciler::report::redact::Redactor;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::connect::{Cluster, connect};
use crate::error::{Error, Kind};
use crate::preview::changes::{Change, Changes, Effect, Field, changes};
use crate::preview::{self, inputs};
use crate::ui::{BAD, DIM, GOOD, Styled, Ui, WARN};

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It ends with 0 if nothing would change, 1 if something would, 5 if something would be refused, and another code\n\
if it cannot tell.\n\n\
Example, in a work tree with a change that is not merged yet:\n  \
coracle diff shop-staging")]
pub struct Args {
    #[command(flatten)]
    inputs: inputs::InputArgs,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A line an object, and below it its fields.
    Text,
    /// One object.
    Json,
}

/// Prints the changes.
///
/// # Errors
/// There are changes; or the files are wrong, or the cluster cannot be asked.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let inputs = args.inputs.gather(global).await?;
    let built = preview::build(&inputs)?;
    let Some(mut kustomization) = inputs.kustomization else {
        return Err(
            Error::new(Kind::Usage, "a plain folder belongs to no Kustomization")
                .hint("Say a Kustomization's name, or a file with --kustomization."),
        );
    };
    let cluster = match inputs.cluster {
        Some(cluster) => cluster,
        None => connect(global).await?,
    };
    if kustomization.status.is_none() {
        kustomization.status = live_status(&cluster, &kustomization, global).await?;
    }
    let found = changes(&cluster, &kustomization, built.objects).await?;
    match args.output {
        Output::Json => ui.json(&as_json(&found, &built.redactor))?,
        Output::Text => print(&found, &built.redactor, ui)?,
    }
    if found.changes.is_empty() {
        return Ok(());
    }
    let mut refused = found
        .changes
        .iter()
        .filter(|change| matches!(change.effect, Effect::Refused(_)));
    let Some(first) = refused.next() else {
        return Err(Error::answered());
    };
    let more = match refused.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Error::new(
        Kind::Input,
        format!("{}{more} would be refused, and the run would fail", first.id),
    ))
}

/// The status of the Kustomization in the cluster, for one that comes from a file: its inventory says what
/// would be pruned.
async fn live_status(
    cluster: &Cluster,
    kustomization: &Kustomization,
    global: &Global,
) -> Result<Option<KustomizationStatus>, Error> {
    let namespace = kustomization
        .metadata
        .namespace
        .as_deref()
        .unwrap_or(global.namespace());
    let name = kustomization.metadata.name.as_deref().unwrap_or_default();
    let live = Api::<Kustomization>::namespaced(cluster.client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(|error| {
            cluster.explain(
                &format!("get kustomization/{name} in namespace {namespace}"),
                error,
            )
        })?;
    Ok(live.and_then(|live| live.status))
}

fn print(found: &Changes, redactor: &Redactor, ui: &mut Ui) -> Result<(), Error> {
    for change in &found.changes {
        ui.line(headline(change, redactor))?;
        for field in &change.fields {
            let from = shown(change, field.from.as_ref(), redactor);
            let to = shown(change, field.to.as_ref(), redactor);
            ui.line(format_args!(
                "    {}: {} -> {}",
                Styled::new(DIM, field.path.as_str()),
                Styled::new(BAD, from),
                Styled::new(GOOD, to)
            ))?;
        }
    }
    if let Some(guard) = &found.guard {
        ui.line(Styled::new(
            WARN,
            format!("The prune guard would stop this: {guard}"),
        ))?;
    }
    let count = |wanted: &[Action]| {
        let does =
            |change: &&Change| matches!(&change.effect, Effect::Does(action) if wanted.contains(action));
        found.changes.iter().filter(does).count()
    };
    let unchecked = found
        .changes
        .iter()
        .filter(|it| matches!(it.effect, Effect::Unchecked(_)))
        .count();
    let refused = match found
        .changes
        .iter()
        .filter(|it| matches!(it.effect, Effect::Refused(_)))
        .count()
    {
        0 => String::new(),
        refused => format!(", {refused} refused"),
    };
    ui.line(format_args!(
        "{} to create, {} to change, {} to delete, {} unchanged{refused}",
        count(&[Action::Created]) + unchecked,
        count(&[Action::Configured, Action::Recreated]),
        count(&[Action::Deleted]),
        found.unchanged,
    ))
}

fn headline(change: &Change, redactor: &Redactor) -> String {
    let id = &change.id;
    match &change.effect {
        Effect::Does(Action::Created) => Styled::new(GOOD, format!("+ {id}")).to_string(),
        Effect::Does(Action::Deleted) => Styled::new(BAD, format!("- {id}")).to_string(),
        Effect::Does(Action::Recreated) => format!(
            "{} (deleted and created anew)",
            Styled::new(BAD, format!("! {id}"))
        ),
        Effect::Does(_) if change.fields.is_empty() => format!(
            "{} (no value changes, only who manages its fields)",
            Styled::new(WARN, format!("~ {id}"))
        ),
        Effect::Does(_) => Styled::new(WARN, format!("~ {id}")).to_string(),
        Effect::Unchecked(why) => format!("{} (not checked: {why})", Styled::new(GOOD, format!("+ {id}"))),
        Effect::Refused(why) => format!(
            "{} (refused: {})",
            Styled::new(BAD, format!("x {id}")),
            redactor.mask(why)
        ),
    }
}

/// A value as one line; those of Secrets are not shown.
fn shown(change: &Change, value: Option<&Value>, redactor: &Redactor) -> String {
    const MAX: usize = 200;
    let Some(value) = value else {
        return "nothing".to_owned();
    };
    if change.id.kind == "Secret" {
        return "***".to_owned();
    }
    let text = value.to_string();
    let text = redactor.mask(&text);
    if text.chars().count() <= MAX {
        return text.into_owned();
    }
    text.chars().take(MAX).chain("...".chars()).collect()
}

/// A value without secrets, as it is.
fn masked(change: &Change, value: Option<&Value>, redactor: &Redactor) -> Value {
    let Some(value) = value else { return Value::Null };
    if change.id.kind == "Secret" {
        return json!("***");
    }
    let text = value.to_string();
    let text = redactor.mask(&text);
    serde_json::from_str(&text).unwrap_or_else(|_| json!(text))
}

fn as_json(found: &Changes, redactor: &Redactor) -> Value {
    let field = |change: &Change, field: &Field| {
        json!({
            "path": field.path,
            "from": masked(change, field.from.as_ref(), redactor),
            "to": masked(change, field.to.as_ref(), redactor),
        })
    };
    let change = |change: &Change| {
        let (action, why) = match &change.effect {
            Effect::Does(action) => (action.as_str(), None),
            Effect::Unchecked(why) => ("created", Some(why)),
            Effect::Refused(why) => ("refused", Some(why)),
        };
        let fields: Vec<Value> = change.fields.iter().map(|it| field(change, it)).collect();
        json!({
            "object": change.id.to_string(),
            "action": action,
            "why": why.map(|why| redactor.mask(why).into_owned()),
            "fields": fields,
        })
    };
    json!({
        "changes": found.changes.iter().map(change).collect::<Vec<_>>(),
        "unchanged": found.unchanged,
        "guard": found.guard,
    })
}
