//! The cache on disk: shared, bounded, mended.

use std::path::{Path, PathBuf};

use reconciler::source::{Fetched, Limits, Reason, SourceError, Store};

use super::git_server::Behaviour;
use super::{Cache, fetch, main_of, noise, read, served};

/// All files below a folder.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

fn with_extension(directory: &Path, wanted: &str) -> Vec<PathBuf> {
    let mut found = files(directory);
    found.retain(|path| path.extension().is_some_and(|extension| extension == wanted));
    found
}

/// The repository folders, as `<name>/<generation>`.
fn generations(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for repository in std::fs::read_dir(directory)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        for entry in std::fs::read_dir(repository.path()).unwrap().flatten() {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn two_fetches_at_once_transfer_one_pack() {
    let (_upstream, server) = served().await;
    let cache = Cache::new();
    let source = main_of(&server);
    let (one, two) = tokio::join!(cache.fetch(&source), cache.fetch(&source));
    assert_eq!(one.unwrap().revision(), two.unwrap().revision());
    assert_eq!(with_extension(cache.path(), "pack").len(), 1);
}

#[tokio::test]
async fn a_restart_reads_what_is_held_without_transferring_it() {
    let (_upstream, server) = served().await;
    let cache = Cache::new();
    let source = main_of(&server);
    cache.fetch(&source).await.unwrap();
    let Cache { store, directory } = cache;
    drop(store);
    server.take_requests();
    let store = Store::open(directory.path(), Limits::default()).unwrap();
    let checkout = fetch(&store, &source).await.unwrap();
    assert_eq!(read(&checkout, "app.yaml"), "kind: ConfigMap\n");
    // Discovery and listing, no fetch.
    assert_eq!(
        server.take_requests(),
        ["GET /repo.git/info/refs", "POST /repo.git/git-upload-pack"]
    );
}

#[tokio::test]
async fn a_cache_directory_belongs_to_one_process() {
    let cache = Cache::new();
    let error = Store::open(cache.path(), Limits::default()).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("another process uses this cache directory"),
        "{error}"
    );
    assert_eq!(error.reason(), Reason::CacheOperationFailed);
}

#[tokio::test]
async fn leftovers_of_a_killed_process_are_removed_at_the_start() {
    let (_upstream, server) = served().await;
    let cache = Cache::new();
    cache.fetch(&main_of(&server)).await.unwrap();
    let Cache { store, directory } = cache;
    drop(store);
    let repository = std::fs::read_dir(directory.path())
        .unwrap()
        .flatten()
        .find(|entry| entry.path().is_dir())
        .unwrap()
        .path();
    let incoming = repository.join("1/incoming-7");
    std::fs::create_dir_all(&incoming).unwrap();
    std::fs::write(incoming.join("pack_x"), "half").unwrap();
    std::fs::create_dir_all(repository.join("0/objects")).unwrap();
    std::fs::write(repository.join("1/shallow.new"), "half a li").unwrap();
    let store = Store::open(directory.path(), Limits::default()).unwrap();
    assert!(!incoming.exists());
    assert_eq!(generations(directory.path()), ["1"]);
    fetch(&store, &main_of(&server)).await.unwrap();
}

#[tokio::test]
async fn a_process_killed_in_mid_pack_leaves_a_cache_that_the_next_one_uses() {
    let name = "cache::a_process_killed_in_mid_pack_leaves_a_cache_that_the_next_one_uses";
    if let (Some(url), Some(directory)) = (std::env::var_os(SECOND_RUN), std::env::var_os(CACHE)) {
        // The process that is killed: it never gets further than this fetch.
        let store = Store::open(directory, Limits::default()).unwrap();
        let source = super::source(
            url.to_str().unwrap(),
            reconciler::source::Auth::None,
            super::branch("main"),
        );
        fetch(&store, &source).await.unwrap();
        panic!("the pack arrived whole");
    }
    let (upstream, server) = served().await;
    upstream.write("large.bin", noise(2_000_000));
    upstream.commit_all("large");
    let directory = tempfile::tempdir().unwrap();
    for after in [20, 1_000_000, 1_990_000] {
        server.behave(Behaviour::StallPack { after });
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(SECOND_RUN, server.url("repo.git"))
            .env(CACHE, directory.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        server.stalled().await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    server.behave(Behaviour::Serve);
    let store = Store::open(directory.path(), Limits::default()).unwrap();
    let checkout = fetch(&store, &main_of(&server)).await.unwrap();
    assert_eq!(read(&checkout, "app.yaml"), "kind: ConfigMap\n");
    assert_eq!(with_extension(directory.path(), "pack").len(), 1);
    assert!(
        files(directory.path())
            .iter()
            .all(|path| !path.to_string_lossy().contains("incoming"))
    );
}

/// The cache directory of a test that runs itself again.
const CACHE: &str = "CORACLE_TEST_CACHE";

#[tokio::test]
async fn damaged_objects_are_noticed_and_fetched_anew() {
    let (_upstream, server) = served().await;
    let cache = Cache::new();
    let source = main_of(&server);
    let checkout = cache.fetch(&source).await.unwrap();
    for pack in with_extension(cache.path(), "pack") {
        std::fs::remove_file(pack).unwrap();
    }
    let error = checkout.tree().unwrap().read_file("app.yaml").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is damaged in the cache (it is missing)"),
        "{error}"
    );
    assert!(checkout.is_damaged());
    let Fetched::Changed(mended) = cache.store.fetch(&source, Some(&checkout)).await.unwrap() else {
        panic!("damage is a change");
    };
    assert_eq!(read(&mended, "app.yaml"), "kind: ConfigMap\n");
    drop(checkout);
    assert_eq!(generations(cache.path()), ["2"]);
}

#[tokio::test]
async fn damage_done_while_the_process_was_down_is_mended_at_the_next_fetch() {
    for damage in ["truncate", "overwrite", "list"] {
        let (_upstream, server) = served().await;
        let cache = Cache::new();
        let source = main_of(&server);
        cache.fetch(&source).await.unwrap();
        let Cache { store, directory } = cache;
        drop(store);
        let pack = with_extension(directory.path(), "pack").remove(0);
        // As root everything can be written; the file itself is read-only.
        let content = std::fs::read(&pack).unwrap();
        match damage {
            "truncate" => write_over(&pack, &content[..content.len() / 2]),
            "overwrite" => write_over(&pack, &noise(content.len())),
            _ => {
                let shallow = files(directory.path())
                    .into_iter()
                    .find(|path| path.ends_with("shallow"))
                    .unwrap();
                std::fs::write(shallow, b"\xff\xfe not a list").unwrap();
            }
        }
        let store = Store::open(directory.path(), Limits::default()).unwrap();
        let checkout = fetch(&store, &source)
            .await
            .unwrap_or_else(|error| panic!("{damage}: {error}"));
        assert_eq!(read(&checkout, "app.yaml"), "kind: ConfigMap\n", "{damage}");
    }
}

fn write_over(path: &Path, content: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, content).unwrap();
}

#[tokio::test]
async fn a_repository_with_too_many_packs_is_replaced_by_a_fresh_one() {
    let (upstream, server) = served().await;
    let cache = Cache::with_limits(Limits {
        repository_packs: 3,
        ..Limits::default()
    });
    let source = main_of(&server);
    let oldest = cache.fetch(&source).await.unwrap();
    let mut held = oldest.clone();
    for n in 0..7 {
        upstream.commit("app.yaml", &format!("n: {n}\n"));
        let Fetched::Changed(next) = cache.store.fetch(&source, Some(&held)).await.unwrap() else {
            panic!("it moved");
        };
        held = next;
        assert_eq!(read(&held, "app.yaml"), format!("n: {n}\n"));
    }
    assert_eq!(read(&oldest, "app.yaml"), "kind: ConfigMap\n");
    drop(oldest);
    assert_eq!(generations(cache.path()), ["3"]);
}

#[tokio::test]
async fn repositories_that_nobody_names_are_removed() {
    let (_upstream, server) = served().await;
    let cache = Cache::new();
    let source = main_of(&server);
    cache.fetch(&source).await.unwrap();
    cache.store.retain([&source.remote]).unwrap();
    assert_eq!(generations(cache.path()), ["1"]);
    cache.store.retain([]).unwrap();
    assert!(generations(cache.path()).is_empty());
    cache.fetch(&source).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_called_so_and_leaves_the_cache_as_it_was() {
    let name = "cache::a_full_disk_is_called_so_and_leaves_the_cache_as_it_was";
    let Some(disk) = SmallDisk::mount() else {
        // Not root: the same once more where mounting is allowed, in a namespace of its own.
        assert!(
            std::env::var_os(SECOND_RUN).is_none(),
            "not even root of a namespace may mount a tmpfs"
        );
        let status = std::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(SECOND_RUN, "1")
            .status()
            .expect("unshare is installed (util-linux)");
        assert!(status.success());
        return;
    };
    let (upstream, server) = served().await;
    let store = Store::open(disk.path(), Limits::default()).unwrap();
    let source = main_of(&server);
    let checkout = fetch(&store, &source).await.unwrap();
    upstream.write("large.bin", noise(4 << 20));
    upstream.commit_all("large");
    let error = store.fetch(&source, Some(&checkout)).await.unwrap_err();
    assert!(matches!(error, SourceError::Storage { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("the disk is full; free space or enlarge the cache volume"),
        "{error}"
    );
    assert_eq!(read(&checkout, "app.yaml"), "kind: ConfigMap\n");
    assert!(
        files(disk.path())
            .iter()
            .all(|path| !path.to_string_lossy().contains("incoming"))
    );
    upstream.git(&["rm", "-q", "large.bin"]);
    upstream.commit("app.yaml", "small again\n");
    let Fetched::Changed(checkout) = store.fetch(&source, Some(&checkout)).await.unwrap() else {
        panic!("it moved");
    };
    assert_eq!(read(&checkout, "app.yaml"), "small again\n");
}

/// Set for a test that runs itself again.
const SECOND_RUN: &str = "CORACLE_TEST_SECOND_RUN";

/// A file system of two MiB, mounted for one test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` if this user may not mount anything.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(directory.path())
            .stderr(std::process::Stdio::null())
            .status()
            .expect("mount is installed");
        status.success().then(|| Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn commits_of_other_branches_share_the_repository() {
    let (upstream, server) = served().await;
    upstream.git(&["checkout", "-q", "-b", "staging"]);
    upstream.commit("app.yaml", "staging\n");
    let cache = Cache::new();
    let main = cache.fetch(&main_of(&server)).await.unwrap();
    let staging = super::source(
        &server.url("repo.git"),
        reconciler::source::Auth::None,
        super::branch("staging"),
    );
    let staging = cache.fetch(&staging).await.unwrap();
    assert_eq!(
        (
            read(&main, "app.yaml").as_str(),
            read(&staging, "app.yaml").as_str()
        ),
        ("kind: ConfigMap\n", "staging\n")
    );
    assert_eq!(generations(cache.path()), ["1"]);
}

#[tokio::test]
async fn a_checkout_of_another_url_is_not_taken_for_this_one() {
    let (upstream, server) = served().await;
    let other = upstream.root().join("other.git");
    upstream.git(&[
        "clone",
        "-q",
        "--bare",
        upstream.git_dir().to_str().unwrap(),
        other.to_str().unwrap(),
    ]);
    let cache = Cache::new();
    let held = cache.fetch(&main_of(&server)).await.unwrap();
    let other = super::source(
        &server.url("other.git"),
        reconciler::source::Auth::None,
        super::branch("main"),
    );
    let Fetched::Changed(moved) = cache.store.fetch(&other, Some(&held)).await.unwrap() else {
        panic!("it is another repository, though the commit is the same");
    };
    assert_eq!(moved.revision(), held.revision());
    assert_eq!(moved.url(), server.url("other.git"));
}

#[tokio::test]
async fn many_repositories_are_fetched_at_once() {
    let (upstream, server) = served().await;
    let cache = Cache::new();
    let sources: Vec<_> = (0..12)
        .map(|n| {
            let copy = upstream.root().join(format!("copy-{n}.git"));
            upstream.git(&[
                "clone",
                "-q",
                "--bare",
                upstream.git_dir().to_str().unwrap(),
                copy.to_str().unwrap(),
            ]);
            let url = server.url(&format!("copy-{n}.git"));
            super::source(&url, reconciler::source::Auth::None, super::branch("main"))
        })
        .collect();
    let fetched = futures::future::join_all(sources.iter().map(|source| cache.fetch(source))).await;
    for checkout in fetched {
        assert_eq!(read(&checkout.unwrap(), "app.yaml"), "kind: ConfigMap\n");
    }
}
