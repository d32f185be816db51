//! The archive behind `status.artifact`.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use futures::StreamExt;
use reconciler::source::Checkout;
use sha2::{Digest, Sha256};

use super::git_server::{GitServer, Upstream};
use super::{Cache, main_of, noise};

async fn bytes(checkout: &Checkout) -> Vec<u8> {
    let mut body = checkout.artifact_body();
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        bytes.extend_from_slice(&part.unwrap());
    }
    bytes
}

/// The files of `testdata/artifact_files.json`, which the reference program gets as well.
const FILES: &str = include_str!("testdata/artifact_files.json");
/// What Flux makes of them. Made by `testdata/artifact_listing.go`.
const LISTING: &str = include_str!("testdata/artifact_listing.txt");
const IGNORE: &str = "/secret/*\n!/secret/public.pem";

#[derive(serde::Deserialize)]
struct File {
    path: String,
    content: Option<String>,
    link: Option<String>,
    #[serde(default)]
    executable: bool,
}

fn upstream() -> Upstream {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let upstream = Upstream::empty();
    let files: Vec<File> = serde_json::from_str(FILES).unwrap();
    for file in files {
        let path = upstream.work().join(&file.path);
        match (file.content, file.link) {
            (Some(content), None) => upstream.write(&file.path, content),
            (None, Some(target)) => symlink(target, &path).unwrap(),
            _ => panic!("{}: content or link", file.path),
        }
        if file.executable {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
    }
    // Force, as the files have a .gitignore among them and Git is to have them all.
    upstream.git(&["add", "-A", "-f"]);
    upstream.commit_all("all");
    upstream
}

#[tokio::test]
async fn the_archive_holds_what_flux_puts_into_it() {
    let upstream = upstream();
    let server = GitServer::http(upstream.root()).await;
    let cache = Cache::new();
    let mut source = main_of(&server);
    source.ignore = Some(IGNORE.to_owned());
    let archive = bytes(&cache.fetch(&source).await.unwrap()).await;
    let mut listing = String::new();
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(&archive[..]))
        .entries()
        .unwrap()
    {
        let entry = entry.unwrap();
        let header = entry.header();
        writeln!(
            listing,
            "{} {:04o} {}/{} {} {} {}",
            header.entry_type().as_byte() as char,
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            header.size().unwrap(),
            header.mtime().unwrap(),
            entry.path().unwrap().display()
        )
        .unwrap();
    }
    assert_eq!(listing, LISTING);
}

#[tokio::test]
async fn tar_unpacks_the_archive() {
    let upstream = upstream();
    upstream.write("noise.bin", noise(300_000));
    upstream.commit_all("noise");
    let server = GitServer::http(upstream.root()).await;
    let cache = Cache::new();
    let archive = bytes(&cache.fetch(&main_of(&server)).await.unwrap()).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("archive.tar.gz");
    std::fs::write(&file, &archive).unwrap();
    let status = Command::new("tar")
        .arg("-xzf")
        .arg(&file)
        .current_dir(directory.path())
        .status()
        .unwrap();
    assert!(status.success());
    let files: Vec<File> = serde_json::from_str(FILES).unwrap();
    for path in ["apps/web/app.yaml", "run.sh", "empty"]
        .into_iter()
        .chain(files.last().map(|file| &*file.path))
    {
        let read = |directory: &Path| std::fs::read(directory.join(path)).unwrap();
        assert_eq!(read(directory.path()), read(&upstream.work()), "{path}");
    }
    assert_eq!(
        std::fs::read(directory.path().join("noise.bin")).unwrap(),
        noise(300_000)
    );
}

#[tokio::test]
async fn digest_and_size_are_those_of_the_bytes_and_the_same_everywhere() {
    let upstream = upstream();
    let server = GitServer::http(upstream.root()).await;
    let (one, two) = (Cache::new(), Cache::new());
    let here = one.fetch(&main_of(&server)).await.unwrap();
    // Another cache, with another history of packs.
    let first = two.fetch(&main_of(&server)).await.unwrap();
    upstream.commit("x", "x");
    two.fetch(&main_of(&server)).await.unwrap();
    let archive = bytes(&here).await;
    assert_eq!(archive, bytes(&first).await);
    let artifact = here.artifact().await.unwrap();
    let digest: String = Sha256::digest(&archive)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(artifact.digest, format!("sha256:{digest}"));
    assert_eq!(artifact.size, archive.len() as u64);
    // From the file beside the repository.
    assert_eq!(here.artifact().await.unwrap(), artifact);
    assert_eq!(
        here.artifact_path("flux-system", "coracle"),
        format!("gitrepository/flux-system/coracle/{}.tar.gz", here.commit())
    );
}

#[tokio::test]
async fn other_ignore_rules_make_another_archive() {
    let upstream = upstream();
    let server = GitServer::http(upstream.root()).await;
    let cache = Cache::new();
    let mut source = main_of(&server);
    let all = cache.fetch(&source).await.unwrap().artifact().await.unwrap();
    source.ignore = Some("apps".to_owned());
    let less = cache.fetch(&source).await.unwrap().artifact().await.unwrap();
    assert!(
        less.size < all.size && less.digest != all.digest,
        "{less:?} {all:?}"
    );
}

#[tokio::test]
async fn an_archive_that_cannot_be_made_ends_with_an_error() {
    let upstream = upstream();
    let server = GitServer::http(upstream.root()).await;
    let cache = Cache::new();
    let checkout = cache.fetch(&main_of(&server)).await.unwrap();
    cache.store.retain([]).unwrap();
    let parts: Vec<_> = checkout.artifact_body().collect().await;
    assert!(parts.last().is_some_and(Result::is_err));
    assert!(checkout.artifact().await.is_err());
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_work() {
    let upstream = upstream();
    upstream.write("noise.bin", noise(3_000_000));
    upstream.commit_all("noise");
    let server = GitServer::http(upstream.root()).await;
    let cache = Cache::new();
    let checkout = cache.fetch(&main_of(&server)).await.unwrap();
    let mut body = checkout.artifact_body();
    assert!(body.next().await.unwrap().is_ok());
    // The runtime's shutdown at the end of this test waits for the thread: it would hang otherwise.
    drop(body);
}
