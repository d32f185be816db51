//! Commands and objects that stand in the documents.

use std::path::{Path, PathBuf};

/// Something that a reader is told to type.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// Where it stands, for messages.
    pub(crate) place: String,
    /// What is typed: one line, or several with a here-document.
    pub(crate) text: String,
}

/// The root of the work tree.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of a document.
pub(crate) fn read(document: &str) -> String {
    std::fs::read_to_string(root().join(document)).unwrap()
}

/// All documents with commands for users.
pub(crate) fn all() -> Vec<String> {
    let mut documents = vec!["README.md".to_owned()];
    for entry in std::fs::read_dir(root().join("docs/guides")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        documents.push(format!("docs/guides/{name}"));
    }
    documents.sort();
    documents
}

/// The blocks of a document in this language, each line with its number.
fn blocks(document: &str, language: &str) -> Vec<Vec<(usize, String)>> {
    let text = read(document);
    let mut blocks = Vec::new();
    let mut open: Option<Vec<(usize, String)>> = None;
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(opened)) if opened == language => open = Some(Vec::new()),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(lines), None) => lines.push((index + 1, line.to_owned())),
            (None, _) => {}
        }
    }
    blocks
}

/// The YAML blocks of a document.
pub(crate) fn yaml(document: &str) -> Vec<String> {
    let text =
        |block: Vec<(usize, String)>| block.into_iter().map(|(_, line)| line + "\n").collect::<String>();
    blocks(document, "yaml").into_iter().map(text).collect()
}

/// The commands of a document, in its order.
pub(crate) fn commands(document: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    for block in blocks(document, "sh") {
        let mut lines = block.into_iter();
        while let Some((number, line)) = lines.next() {
            let mut text = without_comment(&line).to_owned();
            if text.is_empty() {
                continue;
            }
            if let Some((_, end)) = text.split_once("<<'") {
                let end = end.trim_end_matches('\'').to_owned();
                for (_, line) in lines.by_ref() {
                    text.push('\n');
                    text.push_str(&line);
                    if line == end {
                        break;
                    }
                }
            }
            commands.push(Command {
                place: format!("{document}:{number}"),
                text,
            });
        }
    }
    commands
}

fn without_comment(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') {
        return "";
    }
    line.split_once("  #")
        .map_or(line, |(command, _)| command.trim_end())
}
