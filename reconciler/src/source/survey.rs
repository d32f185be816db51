//! Walks a commit's tree once before it is given out: every object is there, the bounds hold, and the ignore
//! rules are known. Does blocking disk I/O.

use super::error::Excess;
use super::ignore::{IGNORE_FILE, IgnoreRules};
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

/// The largest `.sourceignore` that is read.
const LARGEST_IGNORE_FILE: u64 = 1 << 20;
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
        ignore_files: Vec::new(),
        oversized: Vec::new(),
    };
    walk.directory(&mut Vec::new(), commit.tree)?;
    let rules = IgnoreRules::new(
        walk.ignore_files
            .iter()
            .map(|(directory, text)| (directory.as_slice(), text.as_str())),
        ignore,
    );
    if rules.len() > limits.ignore_rules {
        return Err(SurveyError::Excess(Excess::IgnoreRules {
            limit: limits.ignore_rules,
        }));
    }
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
            && self.objects.file_size(entry.id)? <= LARGEST_IGNORE_FILE
        {
            let text = String::from_utf8_lossy(&self.objects.file(entry.id)?).into_owned();
            self.ignore_files.push((path.clone(), text));
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
}
