//! What is seen of a fetched tree.

use std::path::{Path, PathBuf};

use kustomize_rs::fs::{EntryKind, Fs};
use reconciler::source::{Tree, TreeError};

use super::git_server::{GitServer, Upstream};
use super::{Cache, main_of};

/// Fetches what `fill` puts into a repository. The cache must outlive the tree.
async fn tree_of(fill: impl FnOnce(&Upstream), ignore: Option<&str>) -> (Cache, Tree) {
    let upstream = Upstream::empty();
    fill(&upstream);
    upstream.commit_all("all");
    let server = GitServer::http(upstream.root()).await;
    let cache = Cache::new();
    let mut source = main_of(&server);
    source.ignore = ignore.map(str::to_owned);
    let tree = cache.fetch(&source).await.unwrap().tree().unwrap();
    (cache, tree)
}

fn link(upstream: &Upstream, target: &str, path: &str) {
    let path = upstream.work().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(target, path).unwrap();
}

fn list(tree: &Tree, path: &str) -> Vec<String> {
    tree.list(Path::new(path)).unwrap()
}

#[tokio::test]
async fn files_and_directories_are_read_as_kustomize_asks_for_them() {
    let (_cache, tree) = tree_of(
        |upstream| {
            upstream.write("apps/web/a.yaml", "a: 1\n");
            upstream.write("apps/web/b/c.yaml", "c: 1\n");
            upstream.write("apps.txt", "sorts between in Git's own order");
        },
        None,
    )
    .await;
    assert_eq!(list(&tree, "/"), ["apps", "apps.txt"]);
    assert_eq!(list(&tree, "/apps/web"), ["a.yaml", "b"]);
    assert_eq!(
        tree.read(Path::new("/apps/./web/../web/a.yaml")).unwrap(),
        b"a: 1\n"
    );
    assert_eq!(tree.entry(Path::new("/apps/web")).unwrap(), EntryKind::Directory);
    assert_eq!(
        tree.entry(Path::new("/apps/web/a.yaml")).unwrap(),
        EntryKind::File
    );
    assert_eq!(
        tree.entry(Path::new("/apps/web/a.yaml/x")).unwrap(),
        EntryKind::Nothing
    );
    assert_eq!(tree.entry(Path::new("/nope")).unwrap(), EntryKind::Nothing);
    assert!(
        tree.read(Path::new("/apps"))
            .unwrap_err()
            .to_string()
            .contains("is a directory")
    );
    assert!(
        tree.list(Path::new("/apps.txt"))
            .unwrap_err()
            .to_string()
            .contains("not a directory")
    );
}

#[tokio::test]
async fn links_are_followed_inside_the_tree_only() {
    let (_cache, tree) = tree_of(
        |upstream| {
            upstream.write("base/file", "inside");
            link(upstream, "../base", "apps/base");
            link(upstream, "base/../base/file", "file");
            link(upstream, "/etc/passwd", "absolute");
            link(upstream, "../../../etc/passwd", "apps/escape");
            link(upstream, "loop-b", "loop-a");
            link(upstream, "loop-a", "loop-b");
            link(upstream, "nowhere", "dangling");
        },
        None,
    )
    .await;
    assert_eq!(tree.read_file("apps/base/file").unwrap(), b"inside");
    assert_eq!(tree.read_file("file").unwrap(), b"inside");
    assert_eq!(
        tree.resolve(Path::new("/apps/base/file")).unwrap(),
        PathBuf::from("/base/file")
    );
    let outside = |path: &str| TreeError::OutsideTree {
        path: path.to_owned(),
    };
    assert_eq!(tree.read_file("absolute").unwrap_err(), outside("absolute"));
    assert_eq!(tree.read_file("apps/escape").unwrap_err(), outside("apps/escape"));
    assert_eq!(tree.read_file("../x").unwrap_err(), outside("../x"));
    assert_eq!(
        tree.read_file("loop-a").unwrap_err(),
        TreeError::TooManyLinks {
            path: "loop-a".to_owned()
        }
    );
    assert_eq!(tree.entry(Path::new("/dangling")).unwrap(), EntryKind::Nothing);
    // As in Flux's artifacts, links are not there for those who look around.
    assert_eq!(list(&tree, "/"), ["apps", "base"]);
    assert_eq!(list(&tree, "/apps/base"), ["file"]);
}

#[tokio::test]
async fn submodules_are_absent_and_lfs_pointers_are_files() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let (_cache, tree) = tree_of(
        |upstream| {
            upstream.write("large.bin", pointer);
            let commit = "1".repeat(40);
            upstream.git(&[
                "update-index",
                "--add",
                "--cacheinfo",
                &format!("160000,{commit},module"),
            ]);
            // `add -A` would take the submodule away again, as its folder is not there.
            std::fs::create_dir_all(upstream.work().join("module")).unwrap();
        },
        None,
    )
    .await;
    assert_eq!(tree.read_file("large.bin").unwrap(), pointer.as_bytes());
    assert_eq!(list(&tree, "/"), ["large.bin"]);
}

#[tokio::test]
async fn ignore_rules_hide_files_from_listing_reading_and_links() {
    let (_cache, tree) = tree_of(
        |upstream| {
            upstream.write("README.md", "");
            upstream.write("secret/key", "");
            upstream.write("deploy/app.yaml", "");
            upstream.write("deploy/app.yaml.orig", "");
            upstream.write(".sourceignore", "/*\n!/deploy");
            upstream.write("deploy/.sourceignore", "*.orig\n");
            link(upstream, "../secret/key", "deploy/key");
        },
        Some("notes.txt"),
    )
    .await;
    assert_eq!(list(&tree, "/"), ["deploy"]);
    assert_eq!(list(&tree, "/deploy"), [".sourceignore", "app.yaml"]);
    for hidden in [
        "README.md",
        "secret/key",
        "secret",
        "deploy/app.yaml.orig",
        "deploy/key",
    ] {
        assert_eq!(
            tree.entry(&Path::new("/").join(hidden)).unwrap(),
            EntryKind::Nothing,
            "{hidden}"
        );
    }
}

#[tokio::test]
async fn changed_paths_are_those_that_git_shows() {
    let upstream = Upstream::empty();
    for path in ["a/one", "a/two", "b/three", "four", "kind"] {
        upstream.write(path, path);
    }
    upstream.commit_all("first");
    let server = GitServer::http(upstream.root()).await;
    let cache = Cache::new();
    let source = main_of(&server);
    let before = cache.fetch(&source).await.unwrap();
    upstream.write("a/one", "changed");
    upstream.git(&["rm", "-q", "b/three", "kind"]);
    upstream.write("kind/is/a/folder/now", "");
    upstream.commit_all("second");
    let after = cache.fetch(&source).await.unwrap();
    let (before, after) = (before.tree().unwrap(), after.tree().unwrap());
    let mut shown: Vec<String> = upstream
        .git(&["diff", "--no-renames", "--name-only", "HEAD~1", "HEAD"])
        .lines()
        .map(str::to_owned)
        .collect();
    shown.sort();
    assert_eq!(before.changed_paths(&after, 100).unwrap().unwrap(), shown);
    assert_eq!(after.changed_paths(&before, 100).unwrap().unwrap(), shown);
    assert_eq!(before.changed_paths(&after, 2).unwrap(), None);
    assert_eq!(
        before.object_id("a/two").unwrap(),
        after.object_id("a/two").unwrap()
    );
    assert_ne!(before.object_id("a").unwrap(), after.object_id("a").unwrap());
}

#[test]
fn checkouts_and_trees_go_from_thread_to_thread() {
    fn goes<T: Send + Sync>() {}
    goes::<reconciler::source::Checkout>();
    goes::<Tree>();
    goes::<reconciler::source::Store>();
}
