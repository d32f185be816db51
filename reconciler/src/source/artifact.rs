//! The archive of a checkout as Flux's source-controller makes it: a reproducible `tar.gz` of what the ignore
//! rules leave, streamed from the object database. Does blocking disk I/O on a thread of its own.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use futures::Stream;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::SourceError;
use super::objects::EntryKind;
use super::remote::hex;
use super::repository::replace;
use super::tree::{Checkout, Node, Tree};

/// What `status.artifact` says of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// In bytes.
    pub size: u64,
}

/// The bytes of an archive, made as they are read.
pub type ArtifactBody = std::pin::Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Modes as Flux gives them.
const FILE_MODE: u32 = 0o600;
const EXECUTABLE_MODE: u32 = 0o700;
const DIRECTORY_MODE: u32 = 0o750;
/// What a part of a body holds at most.
const PART: usize = 64 << 10;
/// Parts that wait for a slow reader.
const PARTS: usize = 4;
/// Changes when archives of the same commit get other bytes.
const FORMAT: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));

impl Checkout {
    /// The path of the archive below the server's root: `gitrepository/<namespace>/<name>/<commit>.tar.gz`.
    pub fn artifact_path(&self, namespace: &str, name: &str) -> String {
        format!("gitrepository/{namespace}/{name}/{}.tar.gz", self.commit())
    }

    /// Digest and size of the archive. Made once a commit and set of ignore rules, then remembered beside the
    /// repository.
    ///
    /// # Errors
    /// [`SourceError::Tree`] for objects that cannot be read, [`SourceError::Storage`] for the cache.
    pub async fn artifact(&self) -> Result<Artifact, SourceError> {
        let checkout = self.clone();
        tokio::task::spawn_blocking(move || checkout.artifact_blocking())
            .await
            .unwrap_or_else(|_| {
                Err(SourceError::Abandoned {
                    url: self.url().to_owned(),
                })
            })
    }

    fn artifact_blocking(&self) -> Result<Artifact, SourceError> {
        let remembered = self.artifact_file();
        if let Some(artifact) = std::fs::read_to_string(&remembered)
            .ok()
            .and_then(|text| parse(&text))
        {
            return Ok(artifact);
        }
        let mut meter = Meter::default();
        write_archive(&self.tree()?, &mut meter)?;
        let artifact = Artifact {
            digest: format!("sha256:{}", hex(&meter.digest.finalize())),
            size: meter.size,
        };
        remember(&remembered, &artifact)?;
        Ok(artifact)
    }

    /// Where digest and size are remembered: one file for a commit and its rules.
    fn artifact_file(&self) -> PathBuf {
        let rules = Sha256::digest(format!("{:?}", self.rules()));
        let name = format!("{}-{}", self.commit(), hex(&rules[..8]));
        self.generation().artifacts().join(name)
    }

    /// The archive itself, made while it is read: a few hundred KiB of memory whatever its size, besides the
    /// largest file. An error ends the stream. Must be called within a tokio runtime.
    pub fn artifact_body(&self) -> ArtifactBody {
        let (sink, parts) = mpsc::channel(PARTS);
        let checkout = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut writer = io::BufWriter::with_capacity(PART, PartWriter(sink.clone()));
            let written = checkout
                .tree()
                .and_then(|tree| write_archive(&tree, &mut writer))
                .map_err(io::Error::other)
                .and_then(|()| writer.flush());
            if let Err(error) = written {
                // What is buffered must not follow the error and look like an end.
                drop(writer.into_parts());
                // The reader may have gone, which is what most such errors are.
                let _ = sink.blocking_send(Err(error));
            }
        });
        Box::pin(futures::stream::unfold(parts, |mut parts| async {
            parts.recv().await.map(|part| (part, parts))
        }))
    }
}

fn parse(text: &str) -> Option<Artifact> {
    let mut lines = text.lines();
    if lines.next()? != FORMAT {
        return None;
    }
    let digest = lines.next()?.to_owned();
    Some(Artifact {
        digest,
        size: lines.next()?.parse().ok()?,
    })
}

fn remember(path: &Path, artifact: &Artifact) -> Result<(), SourceError> {
    let directory = path.parent().unwrap_or(path);
    std::fs::create_dir_all(directory).map_err(|error| SourceError::storage("create", directory, error))?;
    replace(
        path,
        format!("{FORMAT}\n{}\n{}\n", artifact.digest, artifact.size).as_bytes(),
    )
}

#[derive(Default)]
struct Meter {
    digest: Sha256,
    size: u64,
}

impl Write for Meter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.digest.update(data);
        self.size += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct PartWriter(mpsc::Sender<io::Result<Bytes>>);

impl Write for PartWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(data)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_archive(tree: &Tree, sink: impl Write) -> Result<(), SourceError> {
    // No time, no name, and "unknown" for the operating system: the header is the same everywhere.
    let gzip = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(sink, Compression::default());
    let mut archive = tar::Builder::new(gzip);
    append_directory(tree, &mut archive, &tree.root())?;
    archive
        .into_inner()
        .and_then(flate2::write::GzEncoder::finish)
        .map_err(archive_failed)?;
    Ok(())
}

fn archive_failed(cause: io::Error) -> SourceError {
    SourceError::storage("write", "archive", cause)
}

/// A directory and what is in it, in the order of names. Links are left out, as Flux leaves them out.
fn append_directory(
    tree: &Tree,
    archive: &mut tar::Builder<impl Write>,
    node: &Node,
) -> Result<(), SourceError> {
    let path = if node.path.is_empty() {
        ".".to_owned()
    } else {
        node.shown()
    };
    let parts: Vec<&str> = node.path.iter().map(String::as_str).collect();
    let excluded = !parts.is_empty() && tree.checkout().rules().excludes(&parts, true);
    if !excluded {
        let mut header = header(tar::EntryType::Directory, DIRECTORY_MODE, 0);
        archive
            .append_data(&mut header, &path, io::empty())
            .map_err(archive_failed)?;
    } else if !tree.checkout().rules().can_include() {
        return Ok(());
    }
    let directory = tree.directory(&path, node.id)?;
    for entry in &directory.entries {
        let child = node.child(entry);
        match child.kind {
            EntryKind::Directory => append_directory(tree, archive, &child)?,
            EntryKind::File { executable } => append_file(tree, archive, &child, executable)?,
            EntryKind::Link => {}
        }
    }
    Ok(())
}

fn append_file(
    tree: &Tree,
    archive: &mut tar::Builder<impl Write>,
    node: &Node,
    executable: bool,
) -> Result<(), SourceError> {
    let parts: Vec<&str> = node.path.iter().map(String::as_str).collect();
    if tree.checkout().rules().excludes(&parts, false) {
        return Ok(());
    }
    let path = node.shown();
    let content = tree.content(&path, node.id)?;
    let mode = if executable { EXECUTABLE_MODE } else { FILE_MODE };
    let mut header = header(tar::EntryType::Regular, mode, content.len() as u64);
    archive
        .append_data(&mut header, &path, &content[..])
        .map_err(archive_failed)
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}
