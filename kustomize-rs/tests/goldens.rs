//! Every folder in `goldens/` is a kustomization with the output of the real kustomize, or a mark that it
//! must fail; `make-goldens.sh` writes both. Ours must agree to the byte.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

use kustomize_rs::fs::DirectoryFs;
use kustomize_rs::{LoadRestrictions, Options, Reorder, build, to_yaml};

/// The folders of all cases, in order.
fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    };
    folders(&root).iter().flat_map(|field| folders(field)).collect()
}

fn build_case(case: &Path) -> Result<String, String> {
    let overlay = case.join("overlay");
    let directory = if overlay.is_dir() {
        overlay
    } else {
        case.to_path_buf()
    };
    let flags = std::fs::read_to_string(case.join("flags")).unwrap_or_default();
    let mut options = Options::default();
    options.reorder = if flags.contains("--reorder none") {
        Reorder::None
    } else {
        Reorder::Legacy
    };
    if flags.contains("LoadRestrictionsNone") {
        options.load_restrictions = LoadRestrictions::None;
    }
    let resources = build(&DirectoryFs, &directory, &options).map_err(|e| e.chain())?;
    to_yaml(&resources).map_err(|e| e.chain())
}

#[test]
fn every_golden_case_comes_out_as_kustomize_builds_it() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display();
        let expected = std::fs::read_to_string(case.join("expected.yaml"));
        match (expected, build_case(case)) {
            (Ok(expected), Ok(built)) if expected == built => {}
            (Ok(expected), Ok(built)) => {
                wrong.push(format!("{name}: differs\n{}", difference(&expected, &built)));
            }
            (Ok(_), Err(error)) => wrong.push(format!("{name}: should build, but: {error}")),
            (Err(_), Ok(_)) => wrong.push(format!("{name}: should be refused")),
            (Err(_), Err(_)) => assert!(case.join("must-fail").is_file(), "{name} has no expected result"),
        }
    }
    assert!(cases.len() > 100, "only {} cases found", cases.len());
    assert!(
        wrong.is_empty(),
        "{} of {} cases are wrong:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// The first line that differs, with its neighbours.
fn difference(expected: &str, built: &str) -> String {
    let (expected, built): (Vec<_>, Vec<_>) = (expected.lines().collect(), built.lines().collect());
    let at = (0..)
        .find(|&i| expected.get(i) != built.get(i))
        .unwrap_or_default();
    let around = |lines: &[&str]| {
        lines[at.saturating_sub(2).min(lines.len())..(at + 3).min(lines.len())].join("\n    ")
    };
    format!(
        "  expected, line {}:\n    {}\n  built:\n    {}",
        at + 1,
        around(&expected),
        around(&built)
    )
}
