//! SOPS trees as dotenv files: lines of `KEY=value` and comments. Pure.
//!
//! Metadata stands flattened in keys such as `sops_age__list_0__map_recipient`.

use std::collections::BTreeMap;

use super::SopsError;
use super::tree::{Item, Value};

const METADATA_PREFIX: &str = "sops_";

/// Reads a file: its metadata, if it has any, and everything else.
pub(super) fn load(text: &str) -> Result<(Option<Value>, Value), SopsError> {
    let mut flat = Vec::new();
    let mut items = Vec::new();
    for (index, line) in text.split('\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix('#') {
            items.push(Item::Comment(comment.to_owned()));
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| SopsError::Syntax {
            format: "dotenv",
            message: format!("line {}: expected KEY=value or a comment", index + 1),
        })?;
        let value = value.replace("\\n", "\n");
        match key.strip_prefix(METADATA_PREFIX) {
            Some(key) => flat.push((key.to_owned(), value)),
            None => items.push(Item::Entry(key.to_owned(), Value::Text(value))),
        }
    }
    Ok((unflatten(flat), Value::Map(items)))
}

/// Prints a tree as `sops` does.
pub(super) fn emit(tree: &Value) -> Result<String, SopsError> {
    let Value::Map(items) = tree else {
        return Err(SopsError::NotText);
    };
    let mut text = String::new();
    for item in items {
        match item {
            Item::Comment(comment) => text.push_str(&format!("#{comment}\n")),
            Item::Entry(key, value) => {
                let value = value.as_text().ok_or(SopsError::NotText)?.replace('\n', "\\n");
                text.push_str(&format!("{key}={value}\n"));
            }
        }
    }
    Ok(text)
}

/// A tree in the making: a leaf, or what is below it by key or position.
#[derive(Default)]
struct Branch {
    leaf: Option<String>,
    below: BTreeMap<Step, Branch>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Position(usize),
    Key(String),
}

/// Builds the tree that keys such as `age__list_0__map_enc` describe.
pub(super) fn unflatten(flat: Vec<(String, String)>) -> Option<Value> {
    if flat.is_empty() {
        return None;
    }
    let mut root = Branch::default();
    for (path, value) in flat {
        let mut branch = &mut root;
        for step in steps(&path) {
            branch = branch.below.entry(step).or_default();
        }
        branch.leaf = Some(value);
    }
    Some(root.into_value())
}

fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for (level, part) in path.split("__map_").enumerate() {
        let mut pieces = part.split("__list_");
        let key = pieces.next().unwrap_or_default();
        if level == 0 || !key.is_empty() {
            steps.push(Step::Key(key.to_owned()));
        }
        steps.extend(pieces.map(|position| Step::Position(position.parse().unwrap_or(0))));
    }
    steps
}

impl Branch {
    fn into_value(self) -> Value {
        if let Some(text) = self.leaf {
            return Value::Text(text);
        }
        let list = matches!(self.below.first_key_value(), Some((Step::Position(_), _)));
        if list {
            return Value::List(self.below.into_values().map(Branch::into_value).collect());
        }
        let entry = |(step, branch): (Step, Branch)| {
            let key = match step {
                Step::Key(key) => key,
                Step::Position(position) => position.to_string(),
            };
            Item::Entry(key, branch.into_value())
        };
        Value::Map(self.below.into_iter().map(entry).collect())
    }
}
