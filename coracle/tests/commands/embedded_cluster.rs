//! `coracle embedded-cluster`, as a person starts and ends it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Stdio;

use crate::terminal::{program, show, signal};

/// Starts it, waits until it serves, ends it as Ctrl-C does; what it printed, without its address and folder.
fn session(folder: &Path, options: &str) -> String {
    let mut child = program(&format!("embedded-cluster {options}"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut url = String::new();
    out.read_line(&mut url).unwrap();
    assert!(folder.join("embedded-cluster.kubeconfig").exists());
    signal("INT", &child);
    let mut said = url.clone();
    out.read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let folder = folder.canonicalize().unwrap();
    let said = said
        .replace(url.trim(), "https://ADDRESS")
        .replace(&*folder.to_string_lossy(), "/here");
    format!("{said}[{}]", child.wait().unwrap().code().unwrap())
}

#[test]
fn it_says_how_to_get_in_and_takes_its_kubeconfig_away() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(session(folder.path(), ""), @"
    https://ADDRESS
    A Kubernetes API listens there and keeps everything in memory. In another terminal:

      export KUBECONFIG=/here/embedded-cluster.kubeconfig

    Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and their pods are played: they become ready, and no
    container runs. PersistentVolumeClaims are bound, and Services get addresses that nothing listens at.
    Ctrl-C ends it and removes the kubeconfig.
    [0]
    ");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn it_leaves_the_kubeconfig_when_it_is_told_to_and_writes_over_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let said = session(folder.path(), "--keep-kubeconfig");
    assert!(said.contains("Ctrl-C ends it; the kubeconfig stays."), "{said}");
    let path = folder.path().join("embedded-cluster.kubeconfig");
    assert!(path.exists());
    session(folder.path(), "");
    assert!(!path.exists());
}

#[test]
fn it_does_not_write_over_another_kubeconfig() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, "apiVersion: v1\nkind: Config\n").unwrap();
    let mut command = program("embedded-cluster --kubeconfig-out config");
    insta::assert_snapshot!(show(command.current_dir(folder.path())), @"
    error: config exists and is not the kubeconfig of an embedded cluster
    hint: --kubeconfig-out names another file; to have this one replaced, remove it first.
    [2]
    ");
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "apiVersion: v1\nkind: Config\n"
    );
}
