//! Holds Coracle to what Flux left in a scenario, or records that. Does I/O.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::world::workspace;

use crate::differences;
use crate::player::{Contender, play};
use crate::scenario::{Needs, Scenario};

/// Set by `make flux-goldens`: Flux is played with, and what it leaves is written.
const RECORD: &str = "CORACLE_RECORD_FLUX";

/// Names the scenarios that are played here, which are all that need one of these.
macro_rules! scenarios {
    ($needs:pat => $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                crate::holding::hold(stringify!($name)).await;
            }
        )*

        #[test]
        fn every_scenario_that_belongs_here_is_played() {
            let played = [$(stringify!($name)),*].map(ToOwned::to_owned);
            let belong = crate::holding::that_need(|needs| matches!(needs, $needs));
            assert_eq!(belong, std::collections::BTreeSet::from(played));
        }
    };
}

/// Plays a scenario, and writes or compares what was recorded.
pub(crate) async fn hold(name: &str) {
    let scenario = read(&path_of(name));
    let golden = folder("goldens").join(format!("{name}.json"));
    if std::env::var_os(RECORD).is_some() {
        let left = play(&scenario, Contender::Flux).await;
        let heading = json!({ "about": scenario.about, "recorded": left });
        std::fs::write(golden, format!("{heading:#}\n")).unwrap();
        return;
    }
    let flux = std::fs::read_to_string(golden).expect("it was recorded: make flux-goldens");
    let flux: Value = serde_json::from_str(&flux).unwrap();
    let coracle = play(&scenario, Contender::Coracle).await;
    differences::compare(name, &flux["recorded"], &coracle);
}

/// Reads a scenario.
pub(crate) fn read(path: &Path) -> Scenario {
    let text = std::fs::read_to_string(path).unwrap();
    let read: Result<Value, _> = serde_saphyr::from_str(&text);
    let value = read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The scenarios that need this.
pub(crate) fn that_need(wanted: impl Fn(Needs) -> bool) -> BTreeSet<String> {
    let mut names = all();
    names.retain(|name| wanted(read(&path_of(name)).needs));
    names
}

/// All scenarios, wherever they are played.
pub(crate) fn all() -> BTreeSet<String> {
    let files = std::fs::read_dir(folder("scenarios")).unwrap();
    let names = files.map(|file| {
        let path = file.unwrap().path();
        path.file_stem().unwrap().to_string_lossy().into_owned()
    });
    names.collect()
}

fn path_of(name: &str) -> PathBuf {
    folder("scenarios").join(format!("{name}.yaml"))
}

/// A folder of what is compared.
pub(crate) fn folder(name: &str) -> PathBuf {
    workspace("tests/flux").join(name)
}
