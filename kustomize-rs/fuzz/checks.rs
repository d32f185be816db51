//! What must hold for every input: the fuzz targets run these with libFuzzer, and `tests/any_input.rs` with inputs made at
//! random on every compiler.

use kustomize_rs::yaml::{self, Schema};
use kustomize_rs::{Options, build, fs::MemoryFs, to_yaml};

/// No text makes the loader panic or loop, and what is printed is read back the same.
///
/// # Panics
/// When it is not.
#[allow(clippy::expect_used, reason = "a check panics when it fails")]
#[allow(dead_code, reason = "each target includes the file for one of the checks")]
pub(crate) fn yaml(bytes: &[u8]) {
    let Ok(text) = yaml::text_of(bytes) else { return };
    let loaded = [yaml::load(text).map(|node| vec![node]), yaml::load_all(text)];
    for node in loaded.into_iter().flatten().flatten() {
        let Ok(value) = yaml::to_value(&node, Schema::GoYamlV3) else {
            continue;
        };
        let printed = yaml::emit(&value);
        let again = yaml::load(&printed).expect("what is printed can be read");
        let again = yaml::to_value(&again, Schema::GoYamlV2).expect("what is printed has values");
        // A whole float has become an integer, and a line break of Unicode a space, as they do in kustomize.
        if !printed.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
            assert_eq!(yaml::emit(&again), printed);
        }
    }
}

/// No kustomization file with a resource makes a build panic or loop. The input is the file, a line with `###`, and the
/// resource.
#[allow(dead_code, reason = "each target includes the file for one of the checks")]
pub(crate) fn kustomization(text: &str) {
    let (kustomization, resource) = text.split_once("\n###\n").unwrap_or((text, ""));
    let fs = MemoryFs::new()
        .with_file("/app/kustomization.yaml", kustomization)
        .with_file("/app/r.yaml", resource);
    if let Ok(resources) = build(&fs, "/app".as_ref(), &Options::default()) {
        let _ = to_yaml(&resources);
    }
}
