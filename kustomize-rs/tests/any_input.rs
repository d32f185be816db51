//! The checks of the fuzz targets, on golden cases that are damaged at random: they run on every compiler, and find a panic
//! or a loop without a fuzzer.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "../fuzz/checks.rs"]
mod checks;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

/// Texts that mean something to a YAML loader or to kustomize.
const PIECES: &[&str] = &[
    "\t",
    " ",
    ":",
    "- ",
    "#",
    "'",
    "\"",
    "\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a ",
    "*a",
    "!!int ",
    "!x ",
    "? ",
    "|",
    ">",
    "|2-",
    "---\n",
    "...\n",
    "<<: ",
    "\r\n",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\\",
    "~",
    "0x",
    "$patch: delete",
    "\n###\n",
    "null",
    "1e9",
    "😀",
    "*",
    "(",
    "..",
    "/",
    "$(A)",
    "%",
];

/// Where a text is cut, how much goes, and what comes in its place.
type Damage = (Index, usize, Index);

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    prop::collection::vec((any::<Index>(), 0..6_usize, any::<Index>()), 1..6)
}

fn damaged(text: &str, damages: &[Damage]) -> String {
    let mut text = text.to_string();
    for (at, length, piece) in damages {
        let starts: Vec<usize> = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
        let from = at.index(starts.len());
        let to = (from + length).min(starts.len() - 1);
        text.replace_range(starts[from]..starts[to], PIECES[piece.index(PIECES.len())]);
    }
    text
}

static CASES: LazyLock<Vec<(String, String)>> = LazyLock::new(cases);

/// All golden cases that are one directory: the kustomization file, and its first resource.
fn cases() -> Vec<(String, String)> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let mut entries: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        entries
    };
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let cases = folders(&goldens).into_iter().flat_map(|field| folders(&field));
    let read = |path: PathBuf| std::fs::read_to_string(path).ok();
    let pairs = cases.filter_map(|case| {
        let resource = ["r.yaml", "deploy.yaml", "cm.yaml"]
            .into_iter()
            .find_map(|file| read(case.join(file)))?;
        Some((read(case.join("kustomization.yaml"))?, resource))
    });
    pairs.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_read_back_the_same(case in any::<Index>(), damages in damage()) {
        let (_, resource) = &CASES[case.index(CASES.len())];
        checks::yaml(damaged(resource, &damages).as_bytes());
    }

    #[test]
    fn no_bytes_make_the_loader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        checks::yaml(&bytes);
    }

    #[test]
    fn no_kustomization_file_makes_a_build_panic(case in any::<Index>(), damages in damage()) {
        let (kustomization, resource) = &CASES[case.index(CASES.len())];
        checks::kustomization(&damaged(&format!("{kustomization}\n###\n{resource}"), &damages));
    }
}
