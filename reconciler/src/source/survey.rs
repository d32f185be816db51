//! Walks a commit's tree once before it is given out: every object is there, the bounds hold, and the ignore
//! rules are known. Does blocking disk I/O.

use super::excess::Excess;
use super::ignore::{self, IGNORE_FILE, IgnoreRules};
use super::limits::Limits;
use super::object_id::ObjectId;
use super::objects::{EntryKind, ObjectError, Objects};
use super::tree::Surveyed;

/// Why a commit cannot be given out.
#[derive(Debug, thiserror::Error)]
pub(super) enum SurveyError {
    /// An object is missing or damaged.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A tag can stand for anything.
    #[error("a {kind}, not a commit")]
    NotACommit {
        /// The kind of object it is.
        kind: &'static str,
    },
    /// A bound is exceeded.
    #[error("{0}")]
    Excess(Excess),
}

/// What all `.sourceignore` files may have together.
const MOST_IGNORE_BYTES: u64 = 1 << 20;
/// Oversized files that are remembered; one that is visible is enough to refuse.
const MOST_OVERSIZED: usize = 1000;

/// Surveys a commit. A file beyond the bound is tolerated if the ignore rules leave it out.
pub(super) fn survey(
    objects: &Objects,
    commit: ObjectId,
    ignore: Option<&str>,
    limits: &Limits,
) -> Result<Surveyed, SurveyError> {
    let kind = objects.kind(commit)?;
    if kind != git2::ObjectType::Commit {
        return Err(SurveyError::NotACommit { kind: kind.str() });
    }
    let commit = objects.commit(commit)?;
    let mut walk = Walk {
        objects,
        limits,
        entries: 0,
        rules: 0,
        ignore_bytes: 0,
        ignore_files: Vec::new(),
        oversized: Vec::new(),
    };
    walk.count_rules(ignore.unwrap_or_default())?;
    walk.directory(&mut Vec::new(), commit.tree)?;
    let rules = IgnoreRules::new(
        walk.ignore_files
            .iter()
            .map(|(directory, text)| (directory.as_slice(), text.as_str())),
        ignore,
    );
    for (path, size) in walk.oversized {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        if !rules.excludes(&parts, false) {
            let name = format!("'{}'", path.join("/"));
            return Err(SurveyError::Excess(Excess::Object {
                name,
                size,
                limit: limits.blob_bytes,
            }));
        }
    }
    Ok(Surveyed {
        root: commit.tree,
        subject: commit.subject,
        rules,
    })
}

struct Walk<'a> {
    objects: &'a Objects,
    limits: &'a Limits,
    entries: u64,
    rules: usize,
    ignore_bytes: u64,
    /// With their directories, outer before inner.
    ignore_files: Vec<(Vec<String>, String)>,
    oversized: Vec<(Vec<String>, u64)>,
}

impl Walk<'_> {
    fn directory(&mut self, path: &mut Vec<String>, id: ObjectId) -> Result<(), SurveyError> {
        if path.len() > self.limits.tree_depth {
            return Err(SurveyError::Excess(Excess::TreeDepth {
                limit: self.limits.tree_depth,
            }));
        }
        let directory = self.objects.directory(id)?;
        self.entries += directory.entries.len() as u64;
        if self.entries > self.limits.tree_entries {
            return Err(SurveyError::Excess(Excess::TreeEntries {
                limit: self.limits.tree_entries,
            }));
        }
        if let Some(entry) = directory.find(IGNORE_FILE)
            && matches!(entry.kind, EntryKind::File { .. })
        {
            self.ignore_file(path, entry.id)?;
        }
        for entry in &directory.entries {
            path.push(entry.name.clone());
            match entry.kind {
                EntryKind::Directory => self.directory(path, entry.id)?,
                EntryKind::File { .. } | EntryKind::Link => {
                    let size = self.objects.file_size(entry.id)?;
                    if size > self.limits.blob_bytes && self.oversized.len() < MOST_OVERSIZED {
                        self.oversized.push((path.clone(), size));
                    }
                }
            }
            path.pop();
        }
        Ok(())
    }

    fn ignore_file(&mut self, directory: &[String], id: ObjectId) -> Result<(), SurveyError> {
        self.ignore_bytes += self.objects.file_size(id)?;
        if self.ignore_bytes > MOST_IGNORE_BYTES {
            let name = format!("all '{IGNORE_FILE}' files together");
            let (size, limit) = (self.ignore_bytes, MOST_IGNORE_BYTES);
            return Err(SurveyError::Excess(Excess::Object { name, size, limit }));
        }
        let text = String::from_utf8_lossy(&self.objects.file(id)?).into_owned();
        self.count_rules(&text)?;
        self.ignore_files.push((directory.to_vec(), text));
        Ok(())
    }

    /// Each rule is held against each path, so that their number counts.
    fn count_rules(&mut self, text: &str) -> Result<(), SurveyError> {
        self.rules += ignore::lines(text).count();
        if self.rules > self.limits.ignore_rules {
            return Err(SurveyError::Excess(Excess::IgnoreRules {
                limit: self.limits.ignore_rules,
            }));
        }
        Ok(())
    }
}
