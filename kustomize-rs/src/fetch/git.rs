//! Repositories, fetched by running Git. In: a URL and a directory for the cache; out: a directory with the files of
//! one commit. Does I/O; runs `git` within limits of time and size.
//!
//! A commit never changes, so that what was fetched for it is kept: a base that a commit or a tag names costs one question
//! to the server, or none if the URL has the whole commit in it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::without_credentials;
use kustomize_rs::fs::DirectoryFs;
use kustomize_rs::{Checkout, Error, GitUrl};

/// How often a command that runs is looked at.
const GLANCE: Duration = Duration::from_millis(10);
/// How often the size of what it fetches is.
const MEASURE: Duration = Duration::from_millis(500);

/// Gives the files of a repository, from the cache if its commit is there.
pub(super) fn checkout(url: &GitUrl, cache: &Path, max_size: u64) -> Result<Checkout, Error> {
    if url.reference.starts_with('-') || url.repository.starts_with('-') {
        return Err(Error::remote(format!("{:?} is no reference", url.reference)));
    }
    let name: String = Sha256::digest(url.repository.as_bytes())
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let kept = cache.join(name);
    std::fs::create_dir_all(&kept).map_err(|e| io(&kept, &e))?;
    let known = commit(url, &kept, max_size)?.map(|commit| place(&kept, &commit, url));
    let root = match known.filter(|path| path.is_dir()) {
        Some(path) => path,
        None => fetch(url, &kept, max_size)?,
    };
    Ok(Checkout {
        fs: Box::new(DirectoryFs),
        root,
    })
}

fn place(kept: &Path, commit: &str, url: &GitUrl) -> PathBuf {
    kept.join(if url.submodules {
        commit.to_string()
    } else {
        format!("{commit}-alone")
    })
}

/// Asks which commit a reference means now; `None` when only fetching it can tell.
fn commit(url: &GitUrl, directory: &Path, max_size: u64) -> Result<Option<String>, Error> {
    let reference = url.reference.as_str();
    if reference.len() == 40 && reference.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(Some(reference.to_ascii_lowercase()));
    }
    let wanted = if reference.is_empty() { "HEAD" } else { reference };
    let listed = run(
        url,
        directory,
        max_size,
        &["ls-remote", "--quiet", "--", &url.repository, wanted],
    )?;
    let names = [
        wanted.to_string(),
        format!("refs/tags/{wanted}^{{}}"),
        format!("refs/tags/{wanted}"),
        format!("refs/heads/{wanted}"),
    ];
    let find = |name: &String| {
        let mut lines = listed.lines().filter_map(|line| line.split_once('\t'));
        lines
            .find(|(_, found)| found == name)
            .map(|(commit, _)| commit.to_string())
    };
    Ok(names.iter().find_map(find))
}

/// Fetches one commit into a directory of its own and puts that into its place.
fn fetch(url: &GitUrl, kept: &Path, max_size: u64) -> Result<PathBuf, Error> {
    let work = kept.join(format!("incoming-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work).map_err(|e| io(&work, &e))?;
    let fetched = fetch_into(url, &work, max_size).and_then(|commit| {
        let place = place(kept, &commit, url);
        match std::fs::rename(&work, &place) {
            Ok(()) => Ok(place),
            // Another process was faster; what it fetched is the same.
            Err(_) if place.is_dir() => Ok(place),
            Err(e) => Err(io(&place, &e)),
        }
    });
    let _ = std::fs::remove_dir_all(&work);
    fetched
}

fn fetch_into(url: &GitUrl, work: &Path, max_size: u64) -> Result<String, Error> {
    let reference = if url.reference.is_empty() {
        "HEAD"
    } else {
        &url.reference
    };
    let git = |arguments: &[&str]| run(url, work, max_size, arguments);
    git(&["init", "--quiet"])?;
    // Submodules with relative URLs are found from here.
    git(&["remote", "add", "--", "origin", &url.repository])?;
    git(&["fetch", "--quiet", "--depth=1", "--", &url.repository, reference])?;
    git(&["checkout", "--quiet", "FETCH_HEAD"])?;
    if url.submodules {
        git(&["submodule", "--quiet", "update", "--init", "--recursive"])?;
    }
    let commit = git(&["rev-parse", "HEAD"])?.trim().to_string();
    within(url, work, max_size)?;
    Ok(commit)
}

/// A small repository is there before anybody measured it.
fn within(url: &GitUrl, work: &Path, max_size: u64) -> Result<(), Error> {
    if size(work) <= max_size {
        return Ok(());
    }
    let message = format!("{}: is larger than {max_size} bytes", url.repository);
    Err(Error::remote(without_credentials(&message)))
}

/// Runs Git in a directory and gives what it printed.
fn run(url: &GitUrl, directory: &Path, max_size: u64, arguments: &[&str]) -> Result<String, Error> {
    let name = format!("git {}", arguments.first().unwrap_or(&""));
    let failed = |why: &str| {
        let message = format!("{}: {name}: {}", url.repository, why.trim());
        Error::remote(without_credentials(&message))
    };
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(&format!("cannot be run: {e}")))?;
    let streams = (child.stdout.take(), child.stderr.take());
    let readers = (read_all(streams.0), read_all(streams.1));
    let start = Instant::now();
    let mut measured = start;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|e| failed(&e.to_string()))? {
            break status;
        }
        let stopped = if start.elapsed() > url.timeout {
            Some(format!("took longer than {:?}", url.timeout))
        } else if measured.elapsed() > MEASURE {
            measured = Instant::now();
            (size(directory) > max_size).then(|| format!("is larger than {max_size} bytes"))
        } else {
            None
        };
        if let Some(why) = stopped {
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed(&why));
        }
        std::thread::sleep(GLANCE);
    };
    let join = |reader: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
    };
    let (printed, complaint) = (join(readers.0), join(readers.1));
    if status.success() {
        return Ok(printed);
    }
    Err(failed(&complaint.replace('\n', "; ")))
}

fn read_all(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            // What is cut off by the limit, or by an error, is only part of a message.
            let _ = stream.take(1 << 20).read_to_end(&mut bytes);
        }
        bytes
    })
}

/// How large a directory is, as far as it can be read.
fn size(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn io(path: &Path, error: &std::io::Error) -> Error {
    Error::remote(format!("{}: {error}", path.display()))
}
