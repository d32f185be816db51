//! The archive behind `status.artifact`.

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

fn upstream() -> Upstream {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let upstream = Upstream::empty();
    upstream.write("apps/web/app.yaml", "kind: Deployment\n");
    upstream.write("apps.yaml", "a");
    upstream.write("run.sh", "#!/bin/sh\n");
    upstream.write("logo.png", "not for a cluster");
    upstream.write("noise.bin", noise(300_000));
    let long = format!("{}/{}.yaml", "d".repeat(90), "f".repeat(90));
    upstream.write(&long, "long");
    let script = upstream.work().join("run.sh");
    std::fs::set_permissions(script, PermissionsExt::from_mode(0o755)).unwrap();
    symlink("run.sh", upstream.work().join("link")).unwrap();
    upstream.commit_all("all");
    upstream
}

#[tokio::test]
async fn the_archive_is_what_flux_makes_of_the_commit() {
    let upstream = upstream();
    let server = GitServer::http(upstream.root()).await;
    let cache = Cache::new();
    let checkout = cache.fetch(&main_of(&server)).await.unwrap();
    let archive = bytes(&checkout).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("archive.tar.gz");
    std::fs::write(&file, &archive).unwrap();
    let listing = Command::new("tar")
        .args(["--numeric-owner", "--full-time", "-tvzf"])
        .arg(&file)
        .output()
        .unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    let names: Vec<&str> = listing
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap())
        .collect();
    let long = "d".repeat(90);
    let long_file = format!("{long}/{}.yaml", "f".repeat(90));
    assert_eq!(
        names,
        [
            ".",
            "apps",
            "apps/web",
            "apps/web/app.yaml",
            "apps.yaml",
            long.as_str(),
            long_file.as_str(),
            "noise.bin",
            "run.sh"
        ]
    );
    let expected = [
        "drwxr-x--- 0/0               0 1970-01-01 00:00:00 apps/web",
        "-rw------- 0/0               1 1970-01-01 00:00:00 apps.yaml",
        "-rwx------ 0/0              10 1970-01-01 00:00:00 run.sh",
    ];
    for line in expected {
        assert!(listing.contains(line), "{line} is not in\n{listing}");
    }

    let status = Command::new("tar")
        .arg("-xzf")
        .arg(&file)
        .current_dir(directory.path())
        .status()
        .unwrap();
    assert!(status.success());
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
    source.ignore = Some("noise.bin".to_owned());
    let less = cache.fetch(&source).await.unwrap().artifact().await.unwrap();
    assert!(less.size < all.size - 250_000, "{less:?} {all:?}");
}
