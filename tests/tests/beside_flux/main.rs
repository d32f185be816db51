//! Coracle beside Flux: the same scenarios, played with either, leave the same behind.
//!
//! The scenarios are data in `tests/flux/scenarios`. `make flux-goldens` plays them with Flux's own controllers and
//! writes what they leave into `tests/flux/goldens`; `make conformance` plays them with Coracle and compares. What
//! differs has to be listed in `tests/flux/differences.yaml`, with the number in `docs/flux-differences.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a scenario that cannot be set up fails"
)]

#[path = "../../../reconciler/tests/source/git_server/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the fetch tests use more of it")]
mod git_server;

mod differences;
mod handover;
mod player;
mod recording;
mod records;
mod scenario;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tests::world::workspace;

use player::{Contender, play};
use scenario::Scenario;

/// Set by `make flux-goldens`: Flux is played with, and what it leaves is written.
const RECORD: &str = "CORACLE_RECORD_FLUX";

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                hold(stringify!($name)).await;
            }
        )*

        const SCENARIOS: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    a_build_that_fails
    a_field_that_cannot_change
    a_first_apply
    a_refusal
    a_takeover
    an_account
    an_edit
    an_object_that_moves
    an_overlay_in_the_spec
    an_unknown_kind
    annotations
    decryption
    definitions_and_their_objects
    deletion
    dependencies
    health
    health_checks
    references_across_namespaces
    sources
    sources_that_fail
    suspension
    the_command_line
    variables
}

/// Plays a scenario, and writes or compares what was recorded.
async fn hold(name: &str) {
    let scenario = read(&folder("scenarios").join(format!("{name}.yaml")));
    let golden = folder("goldens").join(format!("{name}.json"));
    if std::env::var_os(RECORD).is_some() {
        let left = play(&scenario, Contender::Flux).await;
        let heading = serde_json::json!({ "about": scenario.about, "recorded": left });
        std::fs::write(golden, format!("{heading:#}\n")).unwrap();
        return;
    }
    let flux = std::fs::read_to_string(golden).expect("it was recorded: make flux-goldens");
    let flux: serde_json::Value = serde_json::from_str(&flux).unwrap();
    let coracle = play(&scenario, Contender::Coracle).await;
    differences::compare(name, &flux["recorded"], &coracle);
}

fn read(path: &Path) -> Scenario {
    let text = std::fs::read_to_string(path).unwrap();
    let read: Result<serde_json::Value, _> = serde_saphyr::from_str(&text);
    let value = read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_scenario_is_played() {
    let files = std::fs::read_dir(folder("scenarios")).unwrap();
    let files: BTreeSet<String> = files
        .map(|file| file.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let played = SCENARIOS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(files, played);
}

/// A folder of what is compared.
fn folder(name: &str) -> PathBuf {
    workspace("tests/flux").join(name)
}
