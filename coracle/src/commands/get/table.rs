//! Objects as rows: one object, one line. Does I/O through [`Ui`] only.

use jiff::Timestamp;

use super::{Args, Output};
use crate::error::Error;
use crate::objects::{ObjectKind, Summary, age, short_revisions};
use crate::ui::{DIM, Styled, Table, Ui};

pub(super) fn print_tables(
    args: &Args,
    kinds: &[ObjectKind],
    found: &[Summary],
    now: Timestamp,
    ui: &mut Ui,
) -> Result<(), Error> {
    let mut first = true;
    for kind in kinds {
        let mut table = Table::new(header(args, *kind));
        for object in found.iter().filter(|object| object.kind == *kind) {
            table.row(row(args, kinds.len() > 1, object, now));
        }
        if table.is_empty() {
            continue;
        }
        if !std::mem::take(&mut first) {
            ui.line("")?;
        }
        table.print(ui)?;
    }
    Ok(())
}

/// A table has the first line of a message only: one object is told to its end, of several it is said how.
pub(super) fn print_the_rest(args: &Args, found: &[Summary], ui: &mut Ui) -> Result<(), Error> {
    let longer = |object: &&Summary| object.said().contains('\n');
    if let ([object], false) = (found, args.name.is_empty() && !args.what.contains('/')) {
        let message = object.said();
        return message
            .lines()
            .skip(1)
            .try_for_each(|line| ui.line(format_args!("    {line}")));
    }
    let Some(object) = found.iter().find(longer) else {
        return Ok(());
    };
    ui.hint(format_args!(
        "A message has more lines: `coracle get {}/{} -n {}` prints them all.",
        object.kind.word(),
        object.name,
        object.namespace
    ))
}

pub(super) fn header(args: &Args, kind: ObjectKind) -> Vec<&'static str> {
    let mut header = Vec::new();
    if args.all_namespaces {
        header.push("NAMESPACE");
    }
    header.extend(["NAME", "REVISION", "SUSPENDED", "READY"]);
    if args.output == Output::Wide {
        if tells_attempted(args, kind) {
            header.push("ATTEMPTED");
        }
        header.extend(match kind {
            ObjectKind::Kustomization => ["AGE", "SOURCE", "PATH", "REASON"],
            ObjectKind::GitRepository => ["AGE", "URL", "REF", "REASON"],
        });
    }
    header.push("MESSAGE");
    header
}

/// A repository has no revision that was tried; but while watching, all kinds share one table.
fn tells_attempted(args: &Args, kind: ObjectKind) -> bool {
    kind == ObjectKind::Kustomization || args.watch
}

pub(super) fn row(args: &Args, with_kind: bool, object: &Summary, now: Timestamp) -> Vec<Styled> {
    let mut row = Vec::new();
    if args.all_namespaces {
        row.push(object.namespace.as_str().into());
    }
    row.push(match with_kind {
        true => format!("{}/{}", object.kind.word(), object.name).into(),
        false => object.name.as_str().into(),
    });
    row.push(short_revisions(&object.revision).into());
    row.push(if object.suspended {
        "True".into()
    } else {
        Styled::new(DIM, "False")
    });
    row.push(object.styled_ready());
    if args.output == Output::Wide {
        if tells_attempted(args, object.kind) {
            row.push(short_revisions(object.attempted()).into());
        }
        row.push(age(object.created, now).into());
        row.push(object.origin.as_str().into());
        row.push(object.detail.as_str().into());
        row.push(object.reason.as_str().into());
    }
    row.push(first_line(&object.said()).into());
    row
}

/// One object, one line.
fn first_line(message: &str) -> String {
    let mut lines = message.lines();
    let first = lines.next().unwrap_or_default();
    match lines.count() {
        0 => first.to_owned(),
        1 => format!("{first} (and 1 line more)"),
        more => format!("{first} (and {more} lines more)"),
    }
}
