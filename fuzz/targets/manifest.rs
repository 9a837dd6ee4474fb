//! Files of manifests.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    adapter_manifests::fuzzing::manifest(text);
});
