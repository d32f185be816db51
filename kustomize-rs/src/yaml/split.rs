//! Cuts the text of a resource file into documents, as kustomize does: by its lines, before any of it is
//! read as YAML. In: text; out: pieces of it. Pure.

use super::load::{LoadError, load};
use super::node::{Content, Node, Position};

/// One document of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Its text.
    pub text: &'a str,
    /// How many lines of the file stand before it.
    pub line: u32,
}

impl Chunk<'_> {
    /// Loads the first document in the text, with positions in the whole file.
    ///
    /// # Errors
    /// When the text is no YAML.
    pub fn load(&self) -> Result<Node, LoadError> {
        if self.line == 0 {
            return load(self.text);
        }
        let mut node = load(self.text).map_err(|e| e.moved_down(self.line))?;
        move_down(&mut node, self.line);
        Ok(node)
    }
}

fn move_down(node: &mut Node, lines: u32) {
    node.position.line += lines;
    match &mut node.content {
        Content::Scalar(_) => {}
        Content::Sequence(items) => items.iter_mut().for_each(|item| move_down(item, lines)),
        Content::Mapping(mapping) => {
            for (key, value) in &mut mapping.entries {
                move_down(key, lines);
                move_down(value, lines);
            }
        }
    }
}

/// Cuts a text without carriage returns at lines that start with `---`, also inside block scalars.
///
/// # Errors
/// When such a line holds more than a comment.
pub fn split_documents(text: &str) -> Result<Vec<Chunk<'_>>, LoadError> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line) = (0, 0);
    let (mut at, mut line) = (0, 0);
    while let Some(found) = text[at..].find('\n') {
        line += 1;
        at += found + 1;
        let rest = &text[at..];
        if !rest.starts_with("---") {
            continue;
        }
        let Some(end) = rest.find('\n') else { continue };
        let after = rest[3..end].trim();
        if !after.is_empty() && !after.starts_with('#') {
            let position = Position {
                line: line + 1,
                column: 4,
            };
            return Err(LoadError::Syntax {
                position,
                message: format!("invalid document separator: ---{after}"),
            });
        }
        chunks.push(Chunk {
            text: &text[start..at],
            line: start_line,
        });
        // The line break that ends a separator cannot start the next one.
        at += end + 1;
        line += 1;
        (start, start_line) = (at, line);
    }
    chunks.push(Chunk {
        text: &text[start..],
        line: start_line,
    });
    Ok(chunks)
}
