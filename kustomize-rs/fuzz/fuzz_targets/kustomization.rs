//! No kustomization file with a resource makes a build panic or loop. The input is the file, a line with `###`, and the
//! resource.
#![no_main]

use kustomize_rs::{Options, build, fs::MemoryFs, to_yaml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (kustomization, resource) = text.split_once("\n###\n").unwrap_or((text, ""));
    let fs = MemoryFs::new()
        .with_file("/app/kustomization.yaml", kustomization)
        .with_file("/app/r.yaml", resource);
    if let Ok(resources) = build(&fs, "/app".as_ref(), &Options::default()) {
        let _ = to_yaml(&resources);
    }
});
