//! No text makes the loader panic, loop, or take memory out of proportion to it, and what is printed is read back the
//! same. Run it with `-rss_limit_mb=512 -timeout=5`: the fuzzer watches memory and time.
#![no_main]

use kustomize_rs::yaml::{self, Schema};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
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
});
