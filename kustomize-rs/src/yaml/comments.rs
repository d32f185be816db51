//! Comments of a text that is changed and printed again. In: a text; out: which comments stand at which line of content.
//! Pure.
//!
//! Only what almost all comments are: lines above a key or an item, ends of lines, and lines at both ends of the text.

use std::cell::Cell;
use std::collections::HashMap;

use super::load::load_commented;
use super::node::Position;

/// The comments of one text.
#[derive(Default)]
pub(super) struct Comments<'a> {
    /// Those above a line of content, by its number.
    above: HashMap<u32, Vec<&'a str>>,
    /// Those at the end of a line.
    behind: HashMap<u32, &'a str>,
    /// Those at the start of the text, if an empty line follows them.
    pub(super) top: Vec<&'a str>,
    /// Those at the end, and whether an empty line precedes them.
    pub(super) end: (bool, Vec<&'a str>),
    /// How many are to be printed still.
    left: Cell<usize>,
}

impl<'a> Comments<'a> {
    /// Finds the comments of a text; `None` if one stands where its place in print is not known.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let (_, found) = load_commented(text).ok()?;
        let lines: Vec<&str> = text.lines().collect();
        let mut comments = Self::default();
        let mut block: Vec<&str> = Vec::new();
        let mut found = found.into_iter().peekable();
        while let Some(comment) = found.next() {
            let (line, column) = (comment.mark.line, comment.mark.column);
            if !is_blank(lines.get(line)?.get(..column)?) {
                comments.behind.insert(number(line), comment.text);
                continue;
            }
            block.push(comment.text);
            let continues =
                |next: &super::scan::Comment<'_>| next.mark.line == line + 1 && next.mark.column == column;
            if found.peek().is_some_and(continues) {
                continue;
            }
            let block = std::mem::take(&mut block);
            comments.place(&lines, line + 1 - block.len(), block, column)?;
        }
        let above: usize = comments.above.values().map(Vec::len).sum();
        comments.left = Cell::new(above + comments.behind.len());
        Some(comments)
    }

    /// Finds out what comments on lines of their own belong to.
    fn place(&mut self, lines: &[&str], first: usize, block: Vec<&'a str>, column: usize) -> Option<()> {
        let next = first + block.len();
        let blank_before = first > 0 && is_blank(lines[first - 1]);
        let Some(line) = lines.get(next) else {
            self.end = (blank_before, block);
            return (column == 0 && first > 0).then_some(());
        };
        if is_blank(line) {
            self.top = block;
            return (first == 0 && column == 0).then_some(());
        }
        let indent = line.len() - line.trim_start_matches(' ').len();
        self.above.insert(number(next), block);
        (indent == column && !line.trim_start().starts_with('#')).then_some(())
    }

    /// Takes the comments above the line of a node.
    pub(super) fn above(&self, position: Position) -> &[&'a str] {
        let found = self.above.get(&position.line).map_or(&[][..], Vec::as_slice);
        self.left.set(self.left.get().saturating_sub(found.len()));
        found
    }

    /// Takes the comment behind the line of a node.
    pub(super) fn behind(&self, position: Position) -> Option<&'a str> {
        let found = self.behind.get(&position.line).copied();
        self.left
            .set(self.left.get().saturating_sub(usize::from(found.is_some())));
        found
    }

    /// Whether every comment was taken.
    pub(super) fn are_printed(&self) -> bool {
        self.left.get() == 0
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn number(line: usize) -> u32 {
    u32::try_from(line + 1).unwrap_or(u32::MAX)
}
