//! `coracle diff`: what applying files would change in the cluster, prunes included. Does I/O: reads files,
//! asks the cluster.

use std::borrow::Cow;

use kube::Api;
use reconciler::api::Kustomization;
use reconciler::plan::Action;
use reconciler::report::redact::{MASK, Redactor};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::connect::{Cluster, connect};
use crate::error::{Error, Kind};
use crate::preview::changes::{Change, Changes, Effect, Field, changes};
use crate::preview::{self, inputs, secrets};
use crate::ui::{BAD, DIM, GOOD, Styled, Ui, WARN};

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It ends with 0 if nothing would change, 1 if something would, 5 if something would be refused or the prune guard\n\
would stop the run, and another code if it cannot tell.\n\n\
Example, in a work tree with a change that is not merged yet:\n  \
coracle diff shop-staging")]
pub struct Args {
    /// The Kustomization [default: the one in --kustomization]
    name: Option<String>,
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
    let name = args.name.as_deref();
    if name.is_none() && args.inputs.lacks_kustomization() {
        return Err(nothing_to_compare());
    }
    let inputs = args.inputs.gather(name, global).await?;
    let built = preview::build(&inputs)?;
    let Some(mut kustomization) = inputs.kustomization else {
        return Err(nothing_to_compare());
    };
    let cluster = match inputs.cluster {
        Some(cluster) => cluster,
        None => connect(global).await?,
    };
    let live = live(&cluster, &kustomization, global).await?;
    let unknown = match &live {
        Some(live) => secrets::learn_those_of(live, &cluster, &built.redactor).await,
        None => None,
    };
    if kustomization.status.is_none() {
        kustomization.status = live.and_then(|live| live.status);
    }
    let found = changes(&cluster, &kustomization, built.objects, &built.redactor).await?;
    let view = View {
        redactor: &built.redactor,
        hides_what_is: unknown.is_some(),
    };
    match args.output {
        Output::Json => ui.json(&as_json(&found, &view))?,
        Output::Text => print(&found, &view, ui)?,
    }
    if let Some(why) = unknown {
        ui.progress(Styled::new(
            WARN,
            format!("Values as they are now are masked: {why}."),
        ))?;
    }
    if found.changes.is_empty() {
        return Ok(());
    }
    let mut refused = found
        .changes
        .iter()
        .filter(|change| matches!(change.effect, Effect::Refused(_)));
    let Some(first) = refused.next() else {
        return Err(if found.guard.is_some() {
            stopped(&kustomization)
        } else {
            Error::answered()
        });
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

/// What would be deleted is known of a Kustomization only.
fn nothing_to_compare() -> Error {
    Error::new(Kind::Usage, "no Kustomization is named").hint(
        "Say its name, or a file with --kustomization; --path alone names a plain folder, which `coracle build` prints.",
    )
}

/// The prune guard would stop the run. How to confirm is known when there is a revision to confirm.
fn stopped(kustomization: &Kustomization) -> Error {
    let name = kustomization.metadata.name.as_deref().unwrap_or_default();
    Error::new(Kind::Input, "the prune guard would stop the run").hint(format!(
        "Put the objects back; or, if their removal is meant, apply it: the condition Ready of kustomization/{name} \
         will then give the command that confirms its revision."
    ))
}

/// The Kustomization as it is in the cluster. Its inventory says what would be pruned, and it names the Secrets whose
/// values stand in what it applied.
async fn live(
    cluster: &Cluster,
    kustomization: &Kustomization,
    global: &Global,
) -> Result<Option<Kustomization>, Error> {
    let namespace = kustomization
        .metadata
        .namespace
        .as_deref()
        .unwrap_or(global.namespace());
    let name = kustomization.metadata.name.as_deref().unwrap_or_default();
    Api::<Kustomization>::namespaced(cluster.client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(|error| {
            cluster.explain(
                &format!("get kustomization/{name} in namespace {namespace}"),
                error,
            )
        })
}

/// What may be shown of values.
struct View<'a> {
    redactor: &'a Redactor,
    /// Some secrets that may stand in what is in the cluster are not known.
    hides_what_is: bool,
}

fn print(found: &Changes, view: &View<'_>, ui: &mut Ui) -> Result<(), Error> {
    for change in &found.changes {
        ui.line(headline(change, view.redactor))?;
        for field in &change.fields {
            let [from, to] = values(change, field, view).map(|value| shown(value.as_ref()));
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
            format!("The prune guard would stop this: the revision {guard}."),
        ))?;
    }
    let count = |wanted: &[Action]| {
        let does =
            |change: &&Change| matches!(&change.effect, Effect::Does(action) if wanted.contains(action));
        found.changes.iter().filter(does).count()
    };
    let having = |is: fn(&Effect) -> bool| found.changes.iter().filter(|it| is(&it.effect)).count();
    let if_any = |count: usize, what: &str| match count {
        0 => String::new(),
        count => format!(", {count} {what}"),
    };
    let unchecked = having(|it| matches!(it, Effect::Unchecked(_)));
    let unforeseen = if_any(having(|it| matches!(it, Effect::Unforeseen(_))), "not checked");
    let refused = if_any(having(|it| matches!(it, Effect::Refused(_))), "refused");
    ui.line(format_args!(
        "{} to create, {} to change, {} to delete, {} unchanged{unforeseen}{refused}",
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
        Effect::Unforeseen(why) => {
            format!("{} (not checked: {why})", Styled::new(WARN, format!("~ {id}")))
        }
        Effect::Refused(why) => format!(
            "{} (refused: {})",
            Styled::new(BAD, format!("x {id}")),
            redactor.mask(why)
        ),
    }
}

/// The value now and then, without secrets. Those that were replaced are not known any more: where the value then
/// holds a secret, that of now is taken for one as a whole.
fn values(change: &Change, field: &Field, view: &View<'_>) -> [Option<Value>; 2] {
    let masked = |value: &Option<Value>| {
        let value = value.as_ref()?;
        if change.id.kind == "Secret" {
            return Some(json!(MASK));
        }
        let text = value.to_string();
        Some(match view.redactor.mask(&text) {
            Cow::Borrowed(_) => value.clone(),
            Cow::Owned(masked) => serde_json::from_str(&masked).unwrap_or_else(|_| json!(masked)),
        })
    };
    let to = masked(&field.to);
    let from = match to == field.to && !view.hides_what_is {
        true => masked(&field.from),
        false => field.from.as_ref().map(|_| json!(MASK)),
    };
    [from, to]
}

/// A value as one line.
fn shown(value: Option<&Value>) -> String {
    const MAX: usize = 200;
    let text = match value {
        None => return "nothing".to_owned(),
        Some(value) => value.to_string(),
    };
    if text.chars().count() <= MAX {
        return text;
    }
    text.chars().take(MAX).chain("...".chars()).collect()
}

fn as_json(found: &Changes, view: &View<'_>) -> Value {
    let field = |change: &Change, field: &Field| {
        let [from, to] = values(change, field, view);
        json!({ "path": field.path, "from": from, "to": to })
    };
    let change = |change: &Change| {
        let (action, why) = match &change.effect {
            Effect::Does(action) => (action.as_str(), None),
            Effect::Unchecked(why) => ("created", Some(why)),
            Effect::Unforeseen(why) => ("unknown", Some(why)),
            Effect::Refused(why) => ("refused", Some(why)),
        };
        let fields: Vec<Value> = change.fields.iter().map(|it| field(change, it)).collect();
        json!({
            "object": change.id.to_string(),
            "action": action,
            "why": why.map(|why| view.redactor.mask(why).into_owned()),
            "fields": fields,
        })
    };
    json!({
        "changes": found.changes.iter().map(change).collect::<Vec<_>>(),
        "unchanged": found.unchanged,
        "guard": found.guard,
    })
}
