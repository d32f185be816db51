//! Reads commits and directories from an object database on disk, bounded. Does blocking disk I/O.

use std::path::Path;

use git2::{ErrorCode, ObjectType, Odb};

use super::limits::Limits;
use super::object_id::ObjectId;

/// An object that cannot be read, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("object {id}: {problem}")]
pub(super) struct ObjectError {
    pub(super) id: ObjectId,
    pub(super) problem: String,
}

/// What matters of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) tree: ObjectId,
    /// The first line of its message.
    pub(super) subject: String,
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    File { executable: bool },
    Directory,
    Link,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: EntryKind,
    pub(super) id: ObjectId,
}

/// The entries of a directory, sorted by the bytes of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) entries: Vec<Entry>,
}

impl Directory {
    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        let found = self
            .entries
            .binary_search_by(|entry| entry.name.as_str().cmp(name))
            .ok()?;
        self.entries.get(found)
    }
}

/// An object database, opened for reading. Its caches go when it goes.
pub(super) struct Objects {
    odb: Odb<'static>,
    limits: Limits,
}

impl Objects {
    /// Opens `<repository>/objects`.
    pub(super) fn open(repository: &Path, limits: &Limits) -> Result<Self, git2::Error> {
        let odb = Odb::new()?;
        let objects = repository.join("objects");
        let objects = objects
            .to_str()
            .ok_or_else(|| git2::Error::from_str("the path is not UTF-8"))?;
        odb.add_disk_alternate(objects)?;
        Ok(Self {
            odb,
            limits: limits.clone(),
        })
    }

    /// Begins to index a pack in a directory of its own. What the pack builds on may be among these objects.
    pub(super) fn indexer(&self, directory: &Path) -> Result<git2::Indexer<'static>, git2::Error> {
        git2::Indexer::new(Some(&self.odb), directory, 0, false)
    }

    /// The size of an object of the expected kind, without unpacking it.
    pub(super) fn size(&self, id: ObjectId, expected: ObjectType) -> Result<u64, ObjectError> {
        let (size, kind) = self
            .odb
            .read_header(id.into())
            .map_err(|error| failed(id, &error))?;
        if kind != expected {
            return Err(ObjectError {
                id,
                problem: format!("it is a {kind}, expected a {expected}"),
            });
        }
        Ok(size as u64)
    }

    /// The size of a file in bytes.
    pub(super) fn file_size(&self, id: ObjectId) -> Result<u64, ObjectError> {
        self.size(id, ObjectType::Blob)
    }

    /// The content of a file, whose size the caller has checked.
    pub(super) fn file(&self, id: ObjectId) -> Result<Vec<u8>, ObjectError> {
        let object = self.odb.read(id.into()).map_err(|error| failed(id, &error))?;
        Ok(object.data().to_vec())
    }

    /// What kind of object it is, as Git calls it.
    pub(super) fn kind(&self, id: ObjectId) -> Result<ObjectType, ObjectError> {
        let (_, kind) = self
            .odb
            .read_header(id.into())
            .map_err(|error| failed(id, &error))?;
        Ok(kind)
    }

    pub(super) fn commit(&self, id: ObjectId) -> Result<Commit, ObjectError> {
        let data = self.metadata(id, ObjectType::Commit)?;
        parse_commit(&data).ok_or_else(|| ObjectError {
            id,
            problem: "it is not a commit".to_owned(),
        })
    }

    pub(super) fn directory(&self, id: ObjectId) -> Result<Directory, ObjectError> {
        let data = self.metadata(id, ObjectType::Tree)?;
        parse_directory(&data).ok_or_else(|| ObjectError {
            id,
            problem: "it is not a tree".to_owned(),
        })
    }

    fn metadata(&self, id: ObjectId, kind: ObjectType) -> Result<Vec<u8>, ObjectError> {
        let size = self.size(id, kind)?;
        if size > self.limits.metadata_bytes {
            return Err(ObjectError {
                id,
                problem: format!("a {kind} of {size} bytes is beyond the bound"),
            });
        }
        self.file(id)
    }
}

fn failed(id: ObjectId, error: &git2::Error) -> ObjectError {
    let problem = match error.code() {
        ErrorCode::NotFound => "it is missing".to_owned(),
        _ => error.message().to_owned(),
    };
    ObjectError { id, problem }
}

fn parse_commit(data: &[u8]) -> Option<Commit> {
    let tree = ObjectId::from_hex(data.strip_prefix(b"tree ")?.get(..40)?)?;
    let message = data
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .map_or(&[][..], |end| &data[end + 2..]);
    let subject = message
        .trim_ascii_start()
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    Some(Commit {
        tree,
        subject: String::from_utf8_lossy(subject).trim_end().to_owned(),
    })
}

/// Entries that name something outside (`..`, a path) or Git's own folder are left out, as are submodules.
fn parse_directory(mut data: &[u8]) -> Option<Directory> {
    let mut entries = Vec::new();
    while !data.is_empty() {
        let space = data.iter().position(|byte| *byte == b' ')?;
        let mode = u32::from_str_radix(std::str::from_utf8(&data[..space]).ok()?, 8).ok()?;
        data = &data[space + 1..];
        let end = data.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8_lossy(&data[..end]).into_owned();
        let id = ObjectId::from_bytes(data.get(end + 1..end + 21)?.try_into().ok()?);
        data = &data[end + 21..];
        let kind = match mode & 0o170_000 {
            0o040_000 => EntryKind::Directory,
            0o100_000 => EntryKind::File {
                executable: mode & 0o111 != 0,
            },
            0o120_000 => EntryKind::Link,
            _ => continue,
        };
        if is_usable(&name) {
            entries.push(Entry { name, kind, id });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries.dedup_by(|a, b| a.name == b.name);
    Some(Directory { entries })
}

fn is_usable(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains('/') && !name.eq_ignore_ascii_case(".git")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut data = Vec::new();
        for (mode, name) in entries {
            data.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            data.extend_from_slice(&[7; 20]);
        }
        data
    }

    #[test]
    fn entries_that_lead_elsewhere_are_left_out() {
        let data = tree(&[
            ("100644", ".."),
            ("100644", "a/b"),
            ("40000", ".GIT"),
            ("160000", "submodule"),
            ("100755", "run"),
            ("120000", "link"),
            ("40000", "apps"),
        ]);
        let names: Vec<_> = parse_directory(&data)
            .unwrap()
            .entries
            .into_iter()
            .map(|e| (e.name, e.kind))
            .collect();
        assert_eq!(
            names,
            [
                ("apps".to_owned(), EntryKind::Directory),
                ("link".to_owned(), EntryKind::Link),
                ("run".to_owned(), EntryKind::File { executable: true }),
            ]
        );
    }

    #[test]
    fn a_cut_tree_is_no_tree() {
        let data = tree(&[("100644", "a")]);
        for end in 1..data.len() {
            assert_eq!(parse_directory(&data[..end]), None, "{end}");
        }
    }
}
