//! SOPS trees as INI files: sections of `key = value` lines and comments. Pure.
//!
//! What `sops` itself writes is read; anything fancier is refused or fails at the MAC, which covers
//! every value as it was read when the file was encrypted.

use super::SopsError;
use super::dotenv::unflatten;
use super::tree::{Item, Value};

/// Keys in front of the first section belong to this one.
const DEFAULT_SECTION: &str = "DEFAULT";
const METADATA_SECTION: &str = "sops";

/// Reads a file: its metadata, if it has any, and everything else.
pub(super) fn load(text: &str) -> Result<(Option<Value>, Value), SopsError> {
    let mut sections = vec![(DEFAULT_SECTION.to_owned(), Vec::new())];
    let mut comment: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if let Some(text) = line.strip_prefix([';', '#']) {
            let text = text.trim_start_matches([';', '#', ' ']);
            comment = Some(comment.map_or_else(|| text.to_owned(), |before| format!("{before}\n{text}")));
            continue;
        }
        let last = sections.len() - 1;
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let items = comment.take().map(Item::Comment).into_iter().collect();
            sections.push((name.to_owned(), items));
            continue;
        }
        let (key, value) = entry(line).ok_or_else(|| SopsError::Syntax {
            format: "INI",
            message: format!(
                "line {}: expected `key = value`, a section or a comment",
                index + 1
            ),
        })?;
        let items = &mut sections[last].1;
        items.push(Item::Entry(key, Value::Text(value)));
        items.extend(comment.take().map(Item::Comment));
    }
    let mut metadata = None;
    let mut items = Vec::new();
    for (name, section) in sections {
        if name == METADATA_SECTION {
            metadata = unflatten(section.into_iter().filter_map(flat).collect());
        } else {
            items.push(Item::Entry(name, Value::Map(section)));
        }
    }
    Ok((metadata, Value::Map(items)))
}

fn flat(item: Item) -> Option<(String, String)> {
    match item {
        Item::Entry(key, Value::Text(value)) => Some((key, value.replace("\\n", "\n"))),
        _ => None,
    }
}

fn entry(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once(['=', ':'])?;
    let value = value.trim();
    for quote in ["\"\"\"", "`", "\""] {
        let inner = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return Some((key.trim().to_owned(), inner.to_owned()));
        }
    }
    let value = value.split(['#', ';']).next().unwrap_or_default().trim_end();
    Some((key.trim().to_owned(), value.to_owned()))
}

/// Prints a tree as `sops` does: keys aligned, a blank line between sections.
pub(super) fn emit(tree: &Value) -> Result<String, SopsError> {
    let Value::Map(sections) = tree else {
        return Err(SopsError::NotText);
    };
    let mut text = String::new();
    for section in sections {
        let Item::Entry(name, Value::Map(items)) = section else {
            continue;
        };
        if name == DEFAULT_SECTION && items.is_empty() {
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        emit_section(&mut text, name, items)?;
    }
    Ok(text)
}

fn emit_section(text: &mut String, name: &str, items: &[Item]) -> Result<(), SopsError> {
    let mut items = items.iter().peekable();
    if let Some(Item::Comment(comment)) = items.peek() {
        emit_comment(text, comment);
        items.next();
    }
    if name != DEFAULT_SECTION {
        text.push_str(&format!("[{name}]\n"));
    }
    let items: Vec<&Item> = items.collect();
    let length = |item: &&Item| {
        if let Item::Entry(key, _) = item {
            key.len()
        } else {
            0
        }
    };
    let width = items.iter().map(length).max().unwrap_or(0);
    for (index, item) in items.iter().enumerate() {
        let Item::Entry(key, value) = item else { continue };
        if let Some(Item::Comment(comment)) = items.get(index + 1) {
            emit_comment(text, comment);
        }
        let value = quoted(&value.as_text().ok_or(SopsError::NotText)?);
        text.push_str(&format!("{key:width$} = {value}\n"));
    }
    Ok(())
}

fn emit_comment(text: &mut String, comment: &str) {
    for line in comment.lines() {
        text.push_str(&format!("; {line}\n"));
    }
}

fn quoted(value: &str) -> String {
    match () {
        () if value.contains(['\n', '`']) => format!("\"\"\"{value}\"\"\""),
        () if value.contains(['#', ';']) => format!("`{value}`"),
        () if value.trim() != value => format!("\"{value}\""),
        () => value.to_owned(),
    }
}
