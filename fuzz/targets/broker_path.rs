//! Namespace and name in a path of the broker, in two lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| adapter_broker::fuzzing::broker_path(input));
