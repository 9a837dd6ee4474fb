//! Files of manifests.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| adapter_manifests::fuzzing::manifest(input));
