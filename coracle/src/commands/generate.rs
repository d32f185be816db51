//! `coracle generate`: writes the files that are made from code. Does I/O: reads and writes the work tree.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::error::{Error, Kind};
use crate::ui::Ui;

use super::install;

/// Arguments of `generate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Root of the work tree
    #[arg(default_value = ".")]
    root: PathBuf,
    /// Only say which files differ
    #[arg(long)]
    check: bool,
}

/// Writes the files, or says which differ.
///
/// # Errors
/// Files cannot be written, or differ although `--check` was asked for.
pub fn run(args: &Args, ui: &mut Ui) -> Result<(), Error> {
    let mut stale = Vec::new();
    for (name, text) in files()? {
        let path = args.root.join(&name);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if !args.check {
            write(&path, &text)?;
        }
        ui.line(&name)?;
        stale.push(name);
    }
    if args.check && !stale.is_empty() {
        return Err(
            Error::new(Kind::Negative, "generated files differ from the code").hint("Run `make generate`.")
        );
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| {
            Error::new(Kind::Machine, format!("cannot write {}", path.display())).caused_by(error)
        })
}

/// Every generated file: its path in the work tree, and its text.
fn files() -> Result<Vec<(String, String)>, Error> {
    let mut files = vec![
        ("deploy/crds.yaml".to_owned(), install::definitions()?),
        ("deploy/install.yaml".to_owned(), install::default_manifests()?),
        ("docs/cli.md".to_owned(), reference()),
    ];
    let mut command = program();
    files.extend(pages(&mut command, "coracle")?);
    Ok(files)
}

fn program() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// Manual pages, one a command.
fn pages(command: &mut clap::Command, name: &str) -> Result<Vec<(String, String)>, Error> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name)
        .render(&mut page)?;
    let mut pages = vec![(
        format!("docs/man/{name}.1"),
        String::from_utf8_lossy(&page).into_owned(),
    )];
    for sub in command
        .get_subcommands_mut()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
    {
        let name = format!("{name}-{}", sub.get_name());
        pages.extend(self::pages(sub, &name)?);
    }
    Ok(pages)
}

/// The reference of the command line, as Markdown.
fn reference() -> String {
    let mut out = String::from(
        "# Commands\n\n<!-- Written by `coracle generate` from the program itself; `make generate` updates it. -->\n",
    );
    let command = program();
    let is_global =
        |arg: &clap::Arg| arg.is_global_set() || ["help", "version"].contains(&arg.get_id().as_str());
    for sub in command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
    {
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = write!(out, "\n## coracle {}\n\n{about}.\n\n", sub.get_name());
        let usage = sub.clone().render_usage().to_string();
        let _ = writeln!(out, "```\n{}\n```", usage.trim_start_matches("Usage: "));
        arguments(
            &mut out,
            sub.get_arguments()
                .filter(|arg| !is_global(arg) && !arg.is_hide_set()),
        );
        if let Some(more) = sub.get_after_help() {
            let _ = writeln!(out, "\n```text\n{}\n```", more.to_string().trim());
        }
    }
    out.push_str("\n## Options of every command\n");
    arguments(&mut out, command.get_arguments().filter(|arg| is_global(arg)));
    out.push_str("\n## Exit codes\n\n| Code | Meaning |\n| --- | --- |\n");
    for kind in crate::error::Kind::ALL {
        let _ = writeln!(out, "| {} | {} |", kind.exit_code(), kind.meaning());
    }
    out
}

fn arguments<'a>(out: &mut String, arguments: impl Iterator<Item = &'a clap::Arg>) {
    let mut header = "\n| Argument | Meaning |\n| --- | --- |\n";
    for argument in arguments {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let defaults: Vec<String> = argument
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        let default = match defaults.as_slice() {
            [] => String::new(),
            _ if argument.is_hide_default_value_set() || !argument.get_action().takes_values() => {
                String::new()
            }
            values => format!(" [default: {}]", values.join(" ")),
        };
        let short = argument
            .get_short()
            .map(|short| format!("`-{short}`, "))
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "{header}| {short}`{}` | {} |",
            argument.to_string().replace('|', "\\|"),
            with_values(&help, argument, &default).replace('|', "\\|")
        );
        header = "";
    }
}

/// What an argument means, the values that it takes if they are few, and its default. That a BOOL is true or false needs
/// no word.
fn with_values(help: &str, argument: &clap::Arg, default: &str) -> String {
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if values.is_empty() || values == ["`true`", "`false`"] || !argument.get_action().takes_values() {
        return format!("{help}{default}");
    }
    // Some defaults are told in words, in the help itself.
    let (meaning, told) = match help.split_once(" [default:") {
        Some((meaning, told)) => (meaning, format!(" [default:{told}")),
        None => (help, String::new()),
    };
    format!("{meaning}: {}{told}{default}", values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_what_the_code_says() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (name, text) in files().unwrap() {
            let committed = fs::read_to_string(root.join(&name)).unwrap_or_default();
            assert!(
                committed == text,
                "{name} differs from the code: run `make generate`"
            );
        }
    }

    #[test]
    fn the_reference_names_short_flags_and_values() {
        let reference = reference();
        for line in [
            "| `-o`, `--output <FORMAT>` | How to print: `table`, `wide`, `json`, `yaml`, `name` [default: table] |",
            "| `-A`, `--all-namespaces` | Look into all namespaces |",
            "| `--log-level <LEVEL>` | Least level of log lines: `trace`, `debug`, `info`, `warn`, `error` [default: info] |",
        ] {
            assert!(reference.contains(line), "{line}");
        }
    }

    #[test]
    fn every_command_says_what_it_does() {
        let command = program();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{}", sub.get_name());
        }
    }
}
