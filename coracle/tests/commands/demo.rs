//! The demonstration, as `make demo ARGS=--once` runs it.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::terminal::{program, show};

/// How long processes may take to notice that their parent is gone.
const PATIENCE: Duration = Duration::from_secs(30);

fn demo(scratch: &Path) -> Command {
    let mut command = program("demo --once --source");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command.env("TMPDIR", scratch);
    command
}

#[test]
fn the_story_comes_true_and_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let shown = show(&mut demo(scratch.path()));
    assert!(shown.ends_with("[0]"), "{shown}");
    for chapter in [
        "the environments come up",
        "a merge goes live",
        "an edit by hand is put back",
        "a broken image is explained",
        "a revert takes it back",
        "a removed file removes its objects",
    ] {
        assert!(shown.contains(chapter), "{chapter}: {shown}");
    }
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn its_processes_end_with_it_even_when_it_is_killed() {
    let scratch = tempfile::tempdir().unwrap();
    let mut child = demo(scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let api = lines
        .find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("https://")?;
            rest.split_whitespace().next()?.parse::<SocketAddr>().ok()
        })
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let killed = Instant::now();
    while TcpStream::connect_timeout(&api, PATIENCE).is_ok() {
        assert!(
            killed.elapsed() < PATIENCE,
            "the cluster at {api} outlives its parent"
        );
        std::thread::yield_now();
    }
}

#[test]
fn without_its_files_it_says_where_to_run_it() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = program("demo --once");
    command.current_dir(scratch.path());
    let shown = show(&mut command).replace(
        &*scratch.path().canonicalize().unwrap().to_string_lossy(),
        "/here",
    );
    insta::assert_snapshot!(shown, @r"
    error: there is no `clusters/demo` and `apps/shop` in /here or above it
    hint: Run it in a clone of Coracle's repository, or say where that is with --source.
    [3]
    ");
}

#[test]
fn a_file_that_is_not_as_the_story_needs_it_is_named_before_anything_starts() {
    let scratch = tempfile::tempdir().unwrap();
    for folder in ["clusters/demo", "apps/shop/overlays/staging"] {
        std::fs::create_dir_all(scratch.path().join(folder)).unwrap();
    }
    std::fs::write(
        scratch.path().join("apps/shop/overlays/staging/settings.json"),
        "[]",
    )
    .unwrap();
    let mut command = program("demo --once");
    command.current_dir(scratch.path());
    insta::assert_snapshot!(show(&mut command), @r#"
    error: the story of the demo needs a JSON object with the settings, such as {"featureSearch": false}, in apps/shop/overlays/staging/settings.json
    hint: `git checkout -- apps clusters` brings the files back as they were.
    [5]
    "#);
}
