//! The parts of a control plane do not outlive the tests that started them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::control_plane::PROGRAM;

/// How long etcd may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_part_ends_and_takes_its_folder_along_when_its_parent_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let mut part = Command::new(std::env::var_os(PROGRAM).unwrap())
        .args([
            "etcd",
            "--listen-client-urls",
            "unix://etcd.sock",
            "--advertise-client-urls",
            "http://localhost:1",
        ])
        .args(["--listen-peer-urls", "unix://peer.sock"])
        .current_dir(&scratch)
        .env("CONTROLPLANE_PARENT", "stdin")
        .env("CONTROLPLANE_SCRATCH", &scratch)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !scratch.join("etcd.sock").exists() {
        assert!(started.elapsed() < PATIENCE, "etcd does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    // However a process ends, this is what happens to its pipes.
    drop(part.stdin.take());
    assert!(part.wait().unwrap().success());
    assert!(!scratch.exists());
}
