//! Run it with `-rss_limit_mb=512 -timeout=5`: the fuzzer watches memory and time.
#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::yaml(bytes));
