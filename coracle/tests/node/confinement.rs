//! What the controller's pod may do to its node: nothing.

use std::fs;

use crate::installation::{process_of, shared};

#[tokio::test]
async fn the_controller_runs_without_any_privilege_on_a_root_that_it_cannot_write_to() {
    let (installation, _node) = shared().await;
    installation.kubectl("rollout status deployment/coracle --namespace flux-system --timeout 90s");
    let process = process_of("/usr/local/bin/coracle");
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let shown: Vec<String> = [
        "Uid",
        "Gid",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
    ]
    .map(|name| format!("{name} {}", field(name)))
    .into();
    assert_eq!(
        shown,
        [
            "Uid 65532 65532 65532 65532",
            "Gid 65532 65532 65532 65532",
            "CapInh 0000000000000000",
            "CapPrm 0000000000000000",
            "CapEff 0000000000000000",
            "CapBnd 0000000000000000",
            "CapAmb 0000000000000000",
            "NoNewPrivs 1",
            "Seccomp 2",
        ]
    );
    let mounts = fs::read_to_string(format!("/proc/{process}/mounts")).unwrap();
    let mut writable: Vec<&str> = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|fields| fields[3].split(',').any(|option| option == "rw"))
        .map(|fields| (fields[1], fields[2]))
        // What the runtime lays over files of the kernel, and what it makes for messages.
        .filter(|(path, _)| !path.starts_with("/proc/") && !path.starts_with("/sys/"))
        .filter(|(_, kind)| !["proc", "devpts", "mqueue"].contains(kind))
        .map(|(path, _)| path)
        .collect();
    writable.sort_unstable();
    assert_eq!(
        writable,
        [
            "/data",
            "/dev",
            "/dev/shm",
            "/dev/termination-log",
            "/etc/hosts",
            "/tmp"
        ]
    );
}

#[tokio::test]
async fn a_pod_with_privileges_is_refused_in_the_namespace_of_the_controller() {
    let (installation, _node) = shared().await;
    let why = installation
        .kubectl_refused("run intruder --namespace flux-system --image coracle.test/busybox:1 --privileged");
    assert!(
        why.contains("violates PodSecurity \"restricted:latest\": privileged"),
        "{why}"
    );
}
